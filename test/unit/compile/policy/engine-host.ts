/** The policy engine and the compiler as the agent runs them, without a kernel: objects in, verdicts of single packets out. */
import { addressKey } from '../../../../src/compile/addresses.js';
import { Compiler, type Compilation } from '../../../../src/compile/compiler.js';
import { evaluate } from '../../../../src/compile/evaluate.js';
import { PolicyEngine } from '../../../../src/compile/policy/policy-engine.js';
import { WorldState, type ObjectChange, type Problem, type World } from '../../../../src/compile/world.js';
import { objectKey, type DesiredObject } from '../../../../src/model/objects.js';
import type { PolicyReference } from '../../../../src/model/rule.js';
import { hasPorts, type OraclePacket } from '../../../oracle/packet.js';

export interface Decision {
  readonly action: string;
  /** Name of the rule table; `default` for the default rule, empty when the filter has nothing in force. */
  readonly table: string;
  readonly ruleId: number;
  readonly policy?: PolicyReference;
}

export class EngineHost {
  private objects = new Map<string, DesiredObject>();
  private readonly compiler = new Compiler();
  private readonly engine: PolicyEngine;
  private readonly world: WorldState;
  private current: { readonly world: World; readonly compilation: Compilation } | undefined;

  constructor(hostAddresses: readonly string[], cluster: string) {
    this.engine = new PolicyEngine({ numbers: { number: counter(1001) }, cluster, namesOf: () => [] });
    this.engine.setHostAddresses(hostAddresses);
    this.world = new WorldState({ number: counter(1) });
  }

  /** Brings these objects, and no others, into force; tells the engine only what changed. */
  apply(desired: readonly DesiredObject[]): void {
    const next = new Map(desired.map((object) => [objectKey(object), object]));
    const changes: ObjectChange[] = [];
    for (const [key, before] of this.objects) if (!next.has(key)) changes.push({ key, before });
    for (const [key, after] of next) {
      const before = this.objects.get(key);
      if (before === undefined) changes.push({ key, after });
      else if (before !== after) changes.push({ key, before, after });
    }
    this.objects = next;
    const world = this.world.update(changes);
    this.engine.update(changes, world.filters);
    this.current = { world, compilation: this.compiler.compile(world, (filter) => this.engine.tables(filter)) };
  }

  get problems(): readonly Problem[] {
    return [...this.engine.problems, ...this.applied.world.problems, ...this.applied.compilation.problems];
  }

  decide(attachment: string, direction: 'in' | 'out', packet: OraclePacket): Decision {
    const { world, compilation } = this.applied;
    const filter = world.filters.find((candidate) => candidate.attachment === attachment);
    const key = filter === undefined ? undefined : compilation.filterTables.get(filter.name);
    const compiled = key === undefined ? undefined : compilation.tables.get(key);
    if (key === undefined || compiled === undefined) return { action: 'drop', table: '', ruleId: 0 };
    const [source, destination] = [addressKey(packet.source), addressKey(packet.destination)];
    if (source === undefined || destination === undefined) throw new Error('an address that is none');
    const port = packet.icmpType === undefined ? packet.destinationPort ?? 0 : packet.icmpType * 256 + (packet.icmpCode ?? 0);
    const label = evaluate(compiled, direction, { source, destination, protocol: packet.protocol, sourcePort: hasPorts(packet.protocol) ? packet.sourcePort ?? 0 : 0, port });
    if (label === 'guarded') return { action: 'drop', table: 'guarded', ruleId: 0 };
    const rule = (compilation.sources.get(key) ?? []).flatMap(({ table }) => (table.metadata.name === label.table ? table.rules : [])).find(({ id }) => id === label.ruleId);
    return { action: label.action, table: label.table === '' ? 'default' : label.table, ruleId: label.ruleId, ...(rule?.policy === undefined ? {} : { policy: rule.policy }) };
  }

  private get applied(): { readonly world: World; readonly compilation: Compilation } {
    if (this.current === undefined) throw new Error('nothing was applied yet');
    return this.current;
  }
}

/** The same number for the same text. */
function counter(first: number): (key: string) => number {
  const given = new Map<string, number>();
  return (key) => {
    const number = given.get(key) ?? first + given.size;
    given.set(key, number);
    return number;
  };
}
