import { v4ToText, wordsToText } from '../../../model/address-text.js';
import { isIcmp } from '../../../model/protocols.js';

/** enum ct_dpif_tcp_state of Open vSwitch, in its order (lib/ct-dpif.h); a state is stored as its place here + 1. */
export const TRACKER_TCP_STATES = ['CLOSED', 'LISTEN', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'CLOSE_WAIT', 'FIN_WAIT_1', 'CLOSING', 'LAST_ACK', 'FIN_WAIT_2', 'TIME_WAIT'] as const;
export type TrackerTcpState = (typeof TRACKER_TCP_STATES)[number];

export interface TrackedTuple {
  readonly source: string;
  readonly destination: string;
  /** ICMP: the id. */
  readonly sourcePort: number;
  /** ICMP: type * 256 + code. */
  readonly destinationPort: number;
}

/** One connection as an object, for few of them. */
export interface TrackedConnection {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly zone: number;
  readonly original: TrackedTuple;
  /** As the other end's packets are seen: after address translation the source is who truly answers. */
  readonly reply: TrackedTuple;
  readonly mark: number;
  /** ct_label, 128 bits. */
  readonly label: bigint;
  /** Of each direction's sender; only TCP has them. */
  readonly tcpState?: { readonly original: TrackerTcpState; readonly reply: TrackerTcpState };
  readonly timeoutSeconds: number;
  /** Absent where the tracker does not count: the userspace datapath does not. */
  readonly counters?: { readonly original: { readonly packets: number; readonly bytes: number }; readonly reply: { readonly packets: number; readonly bytes: number } };
  /** When it began, ms since 1970; 0 where the tracker does not know: the userspace datapath does not. */
  readonly startMs: number;
}

/** Words of a record. Addresses most significant word first, IPv4 in the first word; label least significant word first. */
export const WORD = {
  originalSource: 0,
  originalDestination: 4,
  replySource: 8,
  replyDestination: 12,
  /** source port << 16 | destination port */
  originalPorts: 16,
  replyPorts: 17,
  /** zone << 16 | protocol << 8 | family (4 or 6) */
  kind: 18,
  /** original << 8 | reply, each 0 or place in TRACKER_TCP_STATES + 1 */
  tcpState: 19,
  timeout: 20,
  mark: 21,
  label: 22,
} as const;
export const RECORD_WORDS = 26;

const FIRST_CAPACITY = 1_024;

/** Connections as packed numbers: 104 bytes each, and 40 more when they are counted. Filled once by a parser, then only read. */
export class ConnectionTable {
  private words = new Uint32Array(FIRST_CAPACITY * RECORD_WORDS);
  /** original packets, bytes, reply packets, bytes, start; 5 values a record. */
  private numbers: Float64Array | undefined;
  private used = 0;

  get length(): number {
    return this.used;
  }

  get bytes(): number {
    return this.words.byteLength + (this.numbers?.byteLength ?? 0);
  }

  /** Word `word` (WORD.*) of the connection. */
  word(index: number, word: number): number {
    return this.words[index * RECORD_WORDS + word] ?? 0;
  }

  /** Bits 32n..32n+31 of ct_label. */
  labelWord(index: number, n: number): number {
    return this.word(index, WORD.label + n);
  }

  /** Whether any connection has counters or a start. */
  get counted(): boolean {
    return this.numbers !== undefined;
  }

  /** Packets and bytes of the original direction (0, 1), of the reply (2, 3), and the start in ms (4); 0 where it is not counted. */
  number(index: number, n: number): number {
    return this.numbers?.[index * 5 + n] ?? 0;
  }

  family(index: number): 4 | 6 {
    return (this.word(index, WORD.kind) & 0xff) === 6 ? 6 : 4;
  }

  protocol(index: number): number {
    return (this.word(index, WORD.kind) >>> 8) & 0xff;
  }

  zone(index: number): number {
    return this.word(index, WORD.kind) >>> 16;
  }

  /** Canonical text of the address that begins at `word`. */
  address(index: number, word: number): string {
    const at = index * RECORD_WORDS + word;
    const { words } = this;
    return this.family(index) === 4 ? v4ToText(words[at] ?? 0) : wordsToText([words[at] ?? 0, words[at + 1] ?? 0, words[at + 2] ?? 0, words[at + 3] ?? 0]);
  }

  /** Undefined when there is none of this number. */
  connection(index: number): TrackedConnection | undefined {
    if (index < 0 || index >= this.used) return undefined;
    const state = this.word(index, WORD.tcpState);
    const original = TRACKER_TCP_STATES[(state >>> 8) - 1];
    const reply = TRACKER_TCP_STATES[(state & 0xff) - 1];
    const label = [3, 2, 1, 0].reduce((value, n) => (value << 32n) | BigInt(this.labelWord(index, n)), 0n);
    const number = (n: number): number => this.number(index, n);
    const counted = this.counted && (number(0) > 0 || number(2) > 0);
    return {
      family: this.family(index),
      protocol: this.protocol(index),
      zone: this.zone(index),
      original: this.tuple(index, WORD.originalSource, WORD.originalPorts),
      reply: this.tuple(index, WORD.replySource, WORD.replyPorts),
      mark: this.word(index, WORD.mark),
      label,
      ...(original === undefined || reply === undefined ? {} : { tcpState: { original, reply } }),
      timeoutSeconds: this.word(index, WORD.timeout),
      ...(counted ? { counters: { original: { packets: number(0), bytes: number(1) }, reply: { packets: number(2), bytes: number(3) } } } : {}),
      startMs: number(4),
    };
  }

  /** Adds a copy of the record (RECORD_WORDS words) and, where there are any, of its five numbers. */
  append(record: Uint32Array, numbers?: Float64Array): void {
    const at = this.used * RECORD_WORDS;
    if (at === this.words.length) this.grow();
    this.words.set(record, at);
    if (numbers !== undefined) {
      this.numbers ??= new Float64Array((this.words.length / RECORD_WORDS) * 5);
      this.numbers.set(numbers, this.used * 5);
    }
    this.used += 1;
  }

  private tuple(index: number, addresses: number, ports: number): TrackedTuple {
    const word = this.word(index, ports);
    return { source: this.address(index, addresses), destination: this.address(index, addresses + 4), sourcePort: word >>> 16, destinationPort: word & 0xffff };
  }

  private grow(): void {
    const words = new Uint32Array(this.words.length * 2);
    words.set(this.words);
    this.words = words;
    if (this.numbers === undefined) return;
    const numbers = new Float64Array(this.numbers.length * 2);
    numbers.set(this.numbers);
    this.numbers = numbers;
  }
}

/** The connection's original tuple as dpctl/flush-conntrack takes it (ovs-vswitchd(8)). */
export function tupleText({ family, protocol, original }: TrackedConnection): string {
  const { source, destination, sourcePort, destinationPort } = original;
  const network = family === 4 ? `ct_nw_src=${source},ct_nw_dst=${destination}` : `ct_ipv6_src=${source},ct_ipv6_dst=${destination}`;
  const transport = isIcmp(protocol) ? `icmp_type=${destinationPort >>> 8},icmp_code=${destinationPort & 0xff},icmp_id=${sourcePort}` : `ct_tp_src=${sourcePort},ct_tp_dst=${destinationPort}`;
  return `${network},ct_nw_proto=${protocol},${transport}`;
}
