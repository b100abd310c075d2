/** A slow model of flow tables: the flow of the highest priority that matches decides. Only what the rule tables' stages need. */
import type { Side } from '../../../../src/compile/compiled.js';
import { key6 } from '../../../../src/compile/key6.js';
import type { Flow, FlowSink, MatchValues } from '../../../../src/drivers/ovs/pipeline/flow.js';
import { REGISTER, SIDE } from '../../../../src/drivers/ovs/pipeline/stages.js';
import { v4FromText, v6FromText } from '../../../../src/model/address.js';
import type { OraclePacket } from '../../../oracle/packet.js';

const text = (value: unknown): string => JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item));

export class FlowSwitch {
  private readonly flows = new Map<string, Flow>();

  get size(): number {
    return this.flows.size;
  }

  /** One bundle: removals, then additions. */
  change(make: (sink: FlowSink) => void): void {
    const removed: Flow[] = [];
    const added: Flow[] = [];
    make({ add: (flow) => void added.push(flow), remove: (flow) => void removed.push(flow) });
    for (const flow of removed) {
      if (!this.flows.delete(keyOf(flow))) throw new Error(`removed, but never there: ${text(flow)}`);
    }
    for (const flow of added) this.flows.set(keyOf(flow), flow);
  }

  differences(other: FlowSwitch): string[] {
    const mine = new Map([...this.flows].map(([key, flow]) => [key, text([flow.cookie, flow.actions])]));
    const theirs = new Map([...other.flows].map(([key, flow]) => [key, text([flow.cookie, flow.actions])]));
    return [
      ...[...mine].filter(([key, value]) => theirs.get(key) !== value).map(([key, value]) => `only here: ${key} ${value}`),
      ...[...theirs].filter(([key]) => !mine.has(key)).map(([key, value]) => `missing: ${key} ${value}`),
    ];
  }

  /** The label that the side's tables come to. */
  judge(side: Side, table: number, packet: OraclePacket): number | 'refused' {
    const fields = fieldsOf(packet);
    fields.set(`reg${side === 'out' ? REGISTER.fromRules : REGISTER.toRules}`, BigInt(table));
    const stage = SIDE[side];
    // What stands there for all rule tables (base-flows.ts).
    const otherwise = new Map<number, () => number>([
      [stage.peer, () => (fields.set(`reg${REGISTER.class}`, 0n), stage.sourcePort)],
      [stage.sourcePort, () => (fields.set(`reg${REGISTER.sourcePortClass}`, 0n), stage.pair)],
      [stage.region, () => stage.standard],
    ]);
    for (let at: number = stage.local, steps = 0; steps < 20; steps += 1) {
      if (at === stage.verdict) return Number(fields.get(`reg${REGISTER.label}`));
      const flow = this.lookup(at, fields);
      const missed = otherwise.get(at);
      if (flow === undefined) {
        if (missed === undefined) throw new Error(`table ${at} has no flow for ${text(packet)}`);
        at = missed();
        continue;
      }
      let next: number | undefined;
      for (const action of flow.actions) {
        if (action.type === 'goto') next = action.table;
        else if (action.type === 'set_field') fields.set(action.field, BigInt(action.value as number));
      }
      if (next === undefined) return 'refused';
      at = next;
    }
    throw new Error('the tables do not end');
  }

  private lookup(table: number, fields: ReadonlyMap<string, bigint>): Flow | undefined {
    let best: Flow | undefined;
    for (const flow of this.flows.values()) {
      if (flow.table !== table || (best !== undefined && best.priority >= flow.priority) || !matches(flow.match, fields)) continue;
      best = flow;
    }
    return best;
  }
}

function keyOf({ table, priority, match }: Flow): string {
  return `${table} ${priority} ${text(Object.entries(match).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}

function matches(match: MatchValues, fields: ReadonlyMap<string, bigint>): boolean {
  return Object.entries(match).every(([name, wanted]) => {
    const value = fields.get(name);
    if (value === undefined) return false;
    if (typeof wanted === 'number' || typeof wanted === 'bigint') return value === BigInt(wanted);
    if ('mask' in wanted) return (value & BigInt(wanted.mask)) === BigInt(wanted.value);
    const size = typeof wanted.address === 'string' ? 128 : (wanted.of ?? 32);
    return value >> BigInt(size - wanted.bits) === whole(wanted.address) >> BigInt(size - wanted.bits);
  });
}

function whole(address: number | string): bigint {
  if (typeof address === 'number') return BigInt(address);
  let value = 0n;
  for (let i = 0; i < 16; i += 1) value = (value << 8n) | BigInt(address.charCodeAt(i));
  return value;
}

function fieldsOf(packet: OraclePacket): Map<string, bigint> {
  const isIpv4 = packet.family === 4;
  const address = (literal: string): bigint => {
    if (isIpv4) return BigInt(v4FromText(literal) ?? 0);
    const halves = v6FromText(literal);
    if (halves === undefined) throw new Error(`no address: ${literal}`);
    return whole(key6(halves.hi, halves.lo));
  };
  const fields = new Map<string, bigint>([
    ['eth_type', isIpv4 ? 0x0800n : 0x86ddn], ['ip_proto', BigInt(packet.protocol)],
    [isIpv4 ? 'ip_src' : 'ipv6_src', address(packet.source)], [isIpv4 ? 'ip_dst' : 'ipv6_dst', address(packet.destination)],
  ]);
  const ports = new Map([[6, 'tcp'], [17, 'udp'], [132, 'sctp']]).get(packet.protocol);
  if (ports !== undefined) {
    fields.set(`${ports}_src`, BigInt(packet.sourcePort ?? 0));
    fields.set(`${ports}_dst`, BigInt(packet.destinationPort ?? 0));
  }
  if (packet.icmpType !== undefined) {
    fields.set(packet.protocol === 1 ? 'icmp_type' : 'icmpv6_type', BigInt(packet.icmpType));
    fields.set(packet.protocol === 1 ? 'icmp_code' : 'icmpv6_code', BigInt(packet.icmpCode ?? 0));
  }
  return fields;
}
