/** Whether the rules in force refuse a connection that the connection table does not have, and which of them does: as `agentctl trace` tells it, a few lookups each. */
import { addressKey } from '../compile/addresses.js';
import type { Side } from '../compile/compiled.js';
import { evaluate, type TracePacket } from '../compile/evaluate.js';
import type { ConnectionTuple } from '../drivers/ids/eve-alert.js';
import type { Filter } from '../model/filter.js';
import { hasPorts, isIcmp, protocolFromText } from '../model/protocols.js';
import type { Realized } from './realized.js';

export interface Refusal {
  /** Of the filter whose rule it is. */
  readonly filter: string;
  /** "default": the rule behind all others, or, with rule 0, a filter that has no rules and lets nothing pass. */
  readonly ruleset: string;
  readonly ruleId: number;
}

/** The ends of a connection as filters of this host; undefined: elsewhere. */
export interface JudgedEnds {
  readonly from: Filter | undefined;
  readonly to: Filter | undefined;
}

/** The number of a reply's ICMP type: what a reply is to is not known without its connection. */
const REPLY_TYPES: readonly string[] = ['icmp 0', 'icmp 14', 'icmp 16', 'icmp 18', 'ipv6-icmp 129'];

export class Refusals {
  constructor(private readonly options: { readonly realized: () => Pick<Realized, 'compilation'> | undefined; readonly failOpen: boolean }) {}

  /**
   * The first end that refuses decides. Undefined: they let it pass, or it cannot be told: ICMP whose type is not known, packets that may be answers that a
   * stateless rule admits.
   */
  of(tuple: ConnectionTuple, { from, to }: JudgedEnds): Refusal | undefined {
    const realized = this.options.realized();
    const packet = packetOf(tuple);
    // To itself a workload always gets through.
    if (realized === undefined || packet === undefined || from === to) return undefined;
    const refusal = this.at(realized, from, 'out', packet) ?? this.at(realized, to, 'in', packet);
    return refusal === undefined || this.answers(realized, { from, to }, packet) ? undefined : refusal;
  }

  private at({ compilation }: Pick<Realized, 'compilation'>, filter: Filter | undefined, side: Side, packet: TracePacket): Refusal | undefined {
    if (filter === undefined) return undefined;
    const compiled = compilation.tables.get(compilation.filterTables.get(filter.name) ?? '');
    if (compiled === undefined) return this.options.failOpen ? undefined : { filter: filter.name, ruleset: 'default', ruleId: 0 };
    const label = evaluate(compiled, side, packet);
    if (label === 'guarded') return { filter: filter.name, ruleset: 'undeclared address', ruleId: 0 };
    return label.action === 'accept' ? undefined : { filter: filter.name, ruleset: label.table === '' ? 'default' : label.table, ruleId: label.ruleId };
  }

  /** Does a stateless rule admit the other direction, so that this may be an answer to it? Nobody keeps such connections. */
  private answers({ compilation }: Pick<Realized, 'compilation'>, { from, to }: JudgedEnds, { source, destination, protocol, sourcePort, port }: TracePacket): boolean {
    const back: TracePacket = { source: destination, destination: source, protocol, sourcePort: isIcmp(protocol) ? 0 : port, port: isIcmp(protocol) ? port : sourcePort };
    return ([[to, 'out'], [from, 'in']] as const).some(([filter, side]) => {
      const compiled = filter === undefined ? undefined : compilation.tables.get(compilation.filterTables.get(filter.name) ?? '');
      const label = compiled === undefined ? undefined : evaluate(compiled, side, back);
      return label !== undefined && label !== 'guarded' && label.action === 'accept' && label.stateless;
    });
  }
}

function packetOf({ protocol: text, source, destination, icmp }: ConnectionTuple): TracePacket | undefined {
  const protocol = protocolFromText(text);
  const [from, to] = [addressKey(source.address), addressKey(destination.address)];
  if (protocol === undefined || protocol === 'any' || from === undefined || to?.family !== from.family) return undefined;
  if (isIcmp(protocol)) {
    if (icmp === undefined || REPLY_TYPES.includes(`${text} ${icmp.type}`)) return undefined;
    return { source: from, destination: to, protocol, sourcePort: 0, port: icmp.type * 256 + icmp.code };
  }
  const ports = hasPorts(protocol);
  return { source: from, destination: to, protocol, sourcePort: ports ? source.port : 0, port: ports ? destination.port : 0 };
}
