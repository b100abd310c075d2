/** One dump of the switch's tracker, as the rest of the agent asks about flows. Never changes. */
import { v4FromText, v4ToText, v6Words, wordsToText } from '../../../model/address-text.js';
import { isIcmp } from '../../../model/protocols.js';
import { PACKED_FLOW as AT, PACKED_FLOW_WORDS, type FlowQuery, type FlowRecord, type PackedFlows } from '../../../native/binding.js';
import { WORD, type ConnectionTable } from './connection-table.js';
import { kernelTcpState } from './tcp-state.js';

/** Words of ct_label that name the rules. */
const OUT_WORD = 2;
const IN_WORD = 3;
const NUMBERS = 5;

export class TrackerFlows {
  static readonly EMPTY = new TrackerFlows({ count: 0, words: new Uint32Array(0) }, new Float64Array(0));

  private constructor(
    readonly packed: PackedFlows,
    /** What tells a connection from others, 53 bits of hash: more than its id has. */
    private readonly keys: Float64Array,
  ) {}

  /** Connections of the zone that carry a rule id on either side; others are nobody's flows. */
  static of(connections: ConnectionTable, zone: number): TrackerFlows {
    const ours: number[] = [];
    for (let index = 0; index < connections.length; index += 1) {
      if (connections.zone(index) === zone && (connections.labelWord(index, OUT_WORD) !== 0 || connections.labelWord(index, IN_WORD) !== 0)) ours.push(index);
    }
    const words = new Uint32Array(ours.length * PACKED_FLOW_WORDS);
    const keys = new Float64Array(ours.length);
    const numbers = connections.counted ? new Float64Array(ours.length * NUMBERS) : undefined;
    for (const [place, index] of ours.entries()) {
      keys[place] = pack(connections, index, words, place * PACKED_FLOW_WORDS);
      for (let n = 0; numbers !== undefined && n < NUMBERS; n += 1) numbers[place * NUMBERS + n] = connections.number(index, n);
    }
    return new TrackerFlows({ count: ours.length, words, ...(numbers === undefined ? {} : { numbers }) }, keys);
  }

  get length(): number {
    return this.packed.count;
  }

  get bytes(): number {
    return this.packed.words.byteLength + this.keys.byteLength + (this.packed.numbers?.byteLength ?? 0);
  }

  /** The same connection has the same key in every dump; another one may have it too, once in 2^53 pairs. */
  key(index: number): number {
    return this.keys[index] ?? 0;
  }

  /** Word `at` (PACKED_FLOW.*) of the flow. */
  word(index: number, at: number): number {
    return this.packed.words[index * PACKED_FLOW_WORDS + at] ?? 0;
  }

  /** Whether the label holds one of the ids on either side. */
  names(index: number, ids: ReadonlySet<number>): boolean {
    return ids.has(this.word(index, AT.ruleOut)) || ids.has(this.word(index, AT.ruleIn));
  }

  /** Flows that have an endpoint among the addresses (the destination is who truly answers); one that has both counts for each of them. */
  countByAddress(addresses: readonly string[]): number {
    const wanted = new AddressWords(addresses);
    let count = 0;
    for (let index = 0; index < this.length; index += 1) {
      const source = wanted.has(this, index, AT.source);
      count += Number(source);
      if (wanted.has(this, index, AT.destination) && !(source && this.toItself(index))) count += 1;
    }
    return count;
  }

  /** Flows under each label id. */
  countByRule(): Map<number, number> {
    const counts = new Map<number, number>();
    for (let index = 0; index < this.length; index += 1) {
      const [out, inward] = [this.word(index, AT.ruleOut), this.word(index, AT.ruleIn)];
      if (out !== 0) counts.set(out, (counts.get(out) ?? 0) + 1);
      if (inward !== 0 && inward !== out) counts.set(inward, (counts.get(inward) ?? 0) + 1);
    }
    return counts;
  }

  /** Those that match, in the order of the dump, up to `most`. */
  select({ addresses, ruleIds }: FlowQuery, most: number): number[] {
    const wanted = addresses === undefined ? undefined : new AddressWords(addresses);
    const ids = ruleIds === undefined ? undefined : new Set(ruleIds);
    const found: number[] = [];
    for (let index = 0; index < this.length && found.length < most; index += 1) {
      if (ids !== undefined && !this.names(index, ids)) continue;
      if (wanted === undefined || wanted.has(this, index, AT.source) || wanted.has(this, index, AT.destination)) found.push(index);
    }
    return found;
  }

  record(index: number): FlowRecord {
    const ports = this.word(index, AT.ports);
    const kind = this.word(index, AT.kind);
    const protocol = (kind >>> 8) & 0xff;
    const icmp = isIcmp(protocol);
    const number = (n: number): number => this.packed.numbers?.[index * NUMBERS + n] ?? 0;
    return {
      id: this.word(index, AT.id), family: (kind & 0xff) === 6 ? 6 : 4, protocol,
      source: this.address(index, AT.source), sourcePort: icmp ? 0 : ports >>> 16,
      destination: this.address(index, AT.destination), destinationPort: icmp ? ports & 0xffff : kind >>> 16,
      originalDestination: this.address(index, AT.originalDestination), originalDestinationPort: ports & 0xffff,
      ruleIdOut: this.word(index, AT.ruleOut), ruleIdIn: this.word(index, AT.ruleIn),
      tcpState: this.word(index, AT.tcpState), status: this.word(index, AT.status), timeoutSeconds: this.word(index, AT.timeout), startMs: number(4),
      packets: { original: number(0), reply: number(2) }, bytes: { original: number(1), reply: number(3) },
    };
  }

  private toItself(index: number): boolean {
    for (let n = 0; n < 4; n += 1) if (this.word(index, AT.source + n) !== this.word(index, AT.destination + n)) return false;
    return true;
  }

  private address(index: number, at: number): string {
    const word = (n: number): number => this.word(index, at + n);
    return (this.word(index, AT.kind) & 0xff) === 6 ? wordsToText([word(0), word(1), word(2), word(3)]) : v4ToText(word(0));
  }
}

/** A few addresses, asked for without making text of those in the dump. Text that is no address matches nothing. */
class AddressWords {
  private readonly v4 = new Set<number>();
  private readonly v6 = new Map<number, (readonly [number, number, number, number])[]>();

  constructor(addresses: readonly string[]) {
    for (const address of addresses) {
      const four = v4FromText(address);
      if (four !== undefined) this.v4.add(four);
      const six = four === undefined ? v6Words(address) : undefined;
      if (six !== undefined) this.v6.set(six[3], [...(this.v6.get(six[3]) ?? []), six]);
    }
  }

  has(flows: TrackerFlows, index: number, at: number): boolean {
    if ((flows.word(index, AT.kind) & 0xff) === 4) return this.v4.has(flows.word(index, at));
    const alike = this.v6.get(flows.word(index, at + 3));
    return alike !== undefined && alike.some((words) => words[0] === flows.word(index, at) && words[1] === flows.word(index, at + 1) && words[2] === flows.word(index, at + 2));
  }
}

/** Writes one flow and answers its key. The tracker has no ids: a flow's is a hash of its original tuple and zone, the same after a restart. */
function pack(connections: ConnectionTable, index: number, words: Uint32Array, to: number): number {
  const word = (at: number): number => connections.word(index, at);
  for (let n = 0; n < 4; n += 1) {
    words[to + AT.source + n] = word(WORD.originalSource + n);
    words[to + AT.originalDestination + n] = word(WORD.originalDestination + n);
    words[to + AT.destination + n] = word(WORD.replySource + n);
  }
  words[to + AT.ports] = word(WORD.originalPorts);
  words[to + AT.kind] = (word(WORD.replyPorts) & 0xffff_0000) | (word(WORD.kind) & 0xffff);
  words[to + AT.ruleOut] = connections.labelWord(index, OUT_WORD);
  words[to + AT.ruleIn] = connections.labelWord(index, IN_WORD);
  words[to + AT.timeout] = word(WORD.timeout);
  words[to + AT.tcpState] = kernelTcpState(word(WORD.tcpState));
  let id = 0x811c_9dc5;
  let more = 0x9747_b28c;
  const mix = (value: number): void => {
    id = Math.imul(id ^ value, 0x85eb_ca6b);
    id ^= id >>> 13;
    more = Math.imul(more ^ value, 0xc2b2_ae35);
    more ^= more >>> 15;
  };
  for (let n = 0; n < 8; n += 1) mix(word(WORD.originalSource + n));
  mix(word(WORD.originalPorts));
  mix(word(WORD.kind));
  words[to + AT.id] = id;
  return (id >>> 0) + (more >>> 11) * 2 ** 32;
}
