/** Changes of flows as messages for one bundle: removals first, then additions. */
import type { Key6 } from '../../compile/key6.js';
import { FlowTemplate } from './flow-template.js';
import type { OpenFlowVersion } from './openflow/constants.js';
import { encodeFlowMod } from './openflow/flow-mod.js';
import { encodeInstructions } from './openflow/instructions.js';
import { encodeMatch } from './openflow/match.js';
import { instructions, matchFields, type Flow } from './pipeline/flow.js';
import type { HostPattern, HostSink } from './pipeline/host-flows.js';
import { placed, wireTable, type Placement } from './pipeline/placement.js';

/** Hosts of one pattern, one after the other; they become messages when they are sent. */
interface HostRun {
  readonly pattern: HostPattern;
  readonly template: FlowTemplate;
  readonly addresses: (number | Key6)[];
  readonly values: number[];
}

type Encode = (flow: Flow) => Uint8Array;

export class FlowBundle implements HostSink {
  private readonly removals: Changes;
  private readonly additions: Changes;

  constructor(version: OpenFlowVersion, place: Placement) {
    this.additions = new Changes((flow) => encodeAddition(placed(flow, place), version), true);
    this.removals = new Changes((flow) => encodeRemoval({ ...flow, table: wireTable(flow.table, place) }, version), false);
  }

  get size(): number {
    return this.removals.size + this.additions.size;
  }

  add(flow: Flow): void {
    this.additions.flow(flow);
  }

  remove(flow: Flow): void {
    this.removals.flow(flow);
  }

  addHost(pattern: HostPattern, address: number | Key6, value: number): void {
    this.additions.host(pattern, address, value);
  }

  removeHost(pattern: HostPattern, address: number | Key6): void {
    this.removals.host(pattern, address, 0);
  }

  /** As many as `size`. Each is valid only until the next is asked for. */
  *messages(): Generator<Uint8Array, void, undefined> {
    yield* this.removals.messages();
    yield* this.additions.messages();
  }
}

class Changes {
  size = 0;
  private readonly parts: (Uint8Array | HostRun)[] = [];
  private readonly templates = new Map<HostPattern, FlowTemplate>();
  private last: HostRun | undefined;

  /** `valued`: what `encode` makes has the flow's actions. */
  constructor(
    private readonly encode: Encode,
    private readonly valued: boolean,
  ) {}

  flow(flow: Flow): void {
    this.parts.push(this.encode(flow));
    this.last = undefined;
    this.size += 1;
  }

  host(pattern: HostPattern, address: number | Key6, value: number): void {
    const run = this.last?.pattern === pattern ? this.last : this.begin(pattern);
    run.addresses.push(address);
    run.values.push(value);
    this.size += 1;
  }

  *messages(): Generator<Uint8Array, void, undefined> {
    for (const part of this.parts) {
      if (part instanceof Uint8Array) {
        yield part;
        continue;
      }
      const { template, addresses, values } = part;
      for (let index = 0; index < addresses.length; index += 1) yield template.fill(addresses[index] ?? 0, values[index] ?? 0);
    }
  }

  private begin(pattern: HostPattern): HostRun {
    let template = this.templates.get(pattern);
    if (template === undefined) {
      template = new FlowTemplate(pattern, this.encode, this.valued && pattern.valued);
      this.templates.set(pattern, template);
    }
    this.last = { pattern, template, addresses: [], values: [] };
    this.parts.push(this.last);
    return this.last;
  }
}

function encodeAddition(flow: Flow, version: OpenFlowVersion): Uint8Array {
  return encodeFlowMod({
    command: 'add', table: flow.table, priority: flow.priority, cookie: flow.cookie,
    match: encodeMatch(matchFields(flow.match), version), instructions: encodeInstructions(instructions(flow.actions), version),
  }, version);
}

function encodeRemoval(flow: Flow, version: OpenFlowVersion): Uint8Array {
  return encodeFlowMod({ command: 'delete_strict', table: flow.table, priority: flow.priority, match: encodeMatch(matchFields(flow.match), version) }, version);
}
