/**
 * The text of `dpctl/dump-conntrack -m -s` (ovs-vswitchd(8); written by ct_dpif_format_entry() of lib/ct-dpif.c), read from bytes
 * into packed records without making a string. One line a connection:
 *
 *   tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=...),id=0,zone=7,status=0,timeout=86398,mark=5,labels=0x...,
 *   protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED,...)
 *
 * zone, mark and labels are left out when they are 0. The userspace datapath prints id and status as 0 and has neither counters nor start times
 * (OVS 3.1); the kernel's has packets= and bytes= inside orig and reply and start= behind them.
 */
import { TCP } from '../../../model/protocols.js';
import { ConnectionTable, RECORD_WORDS, TRACKER_TCP_STATES, WORD } from './connection-table.js';

const COMMA = 0x2c;
const CLOSE = 0x29;
const OPEN = 0x28;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;
/** A line has at most some 700 bytes. */
const LONGEST_LINE = 8 * 1024;

type Reader = 'address' | 'high' | 'low' | 'type' | 'code' | 'word' | 'label' | 'state' | 'stateHigh' | 'stateLow' | 'number' | 'time';
interface Field {
  readonly read: Reader;
  /** Word of the record, or place among its numbers. */
  readonly at: number;
}

const PRIME = 31;

/** A number for each word that can stand in a line: words are looked up by it. `seed`: the hash of what stands before. */
function hashOf(text: string, seed = 0): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++) hash = (Math.imul(hash, PRIME) + text.charCodeAt(index)) | 0;
  return hash;
}

const PROTOCOLS: ReadonlyMap<number, number> = new Map(
  ([['icmp', 1], ['igmp', 2], ['tcp', 6], ['udp', 17], ['dccp', 33], ['icmpv6', 58], ['sctp', 132], ['udplite', 136]] as const).map(([name, number]) => [hashOf(name), number]),
);
const STATES: ReadonlyMap<number, number> = new Map(TRACKER_TCP_STATES.map((name, index) => [hashOf(name), index + 1]));

const tupleFields = (group: string, addresses: number, ports: number, numbers: number): readonly (readonly [string, Field])[] => [
  [`${group}src`, { read: 'address', at: addresses }],
  [`${group}dst`, { read: 'address', at: addresses + 4 }],
  [`${group}sport`, { read: 'high', at: ports }],
  [`${group}dport`, { read: 'low', at: ports }],
  [`${group}id`, { read: 'high', at: ports }],
  [`${group}type`, { read: 'type', at: ports }],
  [`${group}code`, { read: 'code', at: ports }],
  [`${group}packets`, { read: 'number', at: numbers }],
  [`${group}bytes`, { read: 'number', at: numbers + 1 }],
];
/** By the hash of group (with its parenthesis) and name. What is not here is skipped. */
const FIELDS: ReadonlyMap<number, Field> = new Map(
  ([
    ...tupleFields('orig(', WORD.originalSource, WORD.originalPorts, 0),
    ...tupleFields('reply(', WORD.replySource, WORD.replyPorts, 2),
    ['protoinfo(state', { read: 'state', at: WORD.tcpState }], // without -m: one for both
    ['protoinfo(state_orig', { read: 'stateHigh', at: WORD.tcpState }],
    ['protoinfo(state_reply', { read: 'stateLow', at: WORD.tcpState }],
    ['zone', { read: 'high', at: WORD.kind }],
    ['timeout', { read: 'word', at: WORD.timeout }],
    ['mark', { read: 'word', at: WORD.mark }],
    ['labels', { read: 'label', at: WORD.label }],
    ['start', { read: 'time', at: 4 }],
  ] as const).map(([name, field]) => [hashOf(name), field]),
);

/** Takes the text in pieces, cut anywhere; end() when there is no more. Lines that cannot be read are counted and left out. */
export class ConnectionDumpParser {
  readonly table = new ConnectionTable();
  private readonly record = new Uint32Array(RECORD_WORDS);
  private readonly numbers = new Float64Array(5);
  private hasNumbers = false;
  private addresses = 0;
  private family = 0;
  private protocol = 0;
  private rest: Uint8Array | undefined;
  private skipping = false;
  private unreadable = 0;

  /** Lines that were no connection. */
  get malformed(): number {
    return this.unreadable;
  }

  push(bytes: Uint8Array): void {
    let begin = 0;
    while (begin < bytes.length) {
      const newline = bytes.indexOf(NEWLINE, begin);
      if (newline === -1) {
        this.keep(bytes.subarray(begin));
        return;
      }
      if (this.skipping) this.skipping = false;
      else if (this.rest === undefined) this.line(bytes, begin, newline);
      else {
        const whole = Buffer.concat([this.rest, bytes.subarray(begin, newline)]);
        this.rest = undefined;
        this.line(whole, 0, whole.length);
      }
      begin = newline + 1;
    }
  }

  /** What was read. A line without an end is taken as whole. */
  end(): ConnectionTable {
    const { rest } = this;
    this.rest = undefined;
    if (rest !== undefined) this.line(rest, 0, rest.length);
    return this.table;
  }

  private keep(part: Uint8Array): void {
    if (this.skipping) return;
    const whole = this.rest === undefined ? Uint8Array.from(part) : Buffer.concat([this.rest, part]);
    this.rest = whole.length > LONGEST_LINE ? undefined : whole;
    if (this.rest !== undefined) return;
    this.skipping = true;
    this.unreadable += 1;
  }

  private line(bytes: Uint8Array, begin: number, end: number): void {
    if (begin === end) return;
    if (this.read(bytes, begin, end)) this.table.append(this.record, this.hasNumbers ? this.numbers : undefined);
    else this.unreadable += 1;
  }

  private read(bytes: Uint8Array, begin: number, end: number): boolean {
    const { record } = this;
    record.fill(0);
    if (this.hasNumbers) this.numbers.fill(0);
    this.hasNumbers = false;
    this.addresses = 0;
    this.family = 0;

    let at = bytes.indexOf(COMMA, begin);
    if (at === -1 || at >= end) return false;
    const protocol = PROTOCOLS.get(hashBytes(bytes, begin, at)) ?? decimal(bytes, begin, at);
    if (!(protocol >= 0 && protocol <= 255)) return false;
    this.protocol = protocol;
    at += 1;

    let group = 0;
    while (at < end) {
      let hash = group;
      let byte = bytes[at] ?? 0;
      while (at < end && byte !== EQUALS && byte !== COMMA && byte !== CLOSE) {
        hash = (Math.imul(hash, PRIME) + byte) | 0;
        at += 1;
        byte = bytes[at] ?? 0;
      }
      if (at < end && byte === EQUALS) {
        at += 1;
        if (bytes[at] === OPEN) {
          group = (Math.imul(hash, PRIME) + OPEN) | 0;
          at += 1;
          continue;
        }
        const from = at;
        byte = bytes[at] ?? 0;
        while (at < end && byte !== COMMA && byte !== CLOSE) {
          at += 1;
          byte = bytes[at] ?? 0;
        }
        const field = FIELDS.get(hash);
        if (field !== undefined && !this.value(field, bytes, from, at)) return false;
      }
      if (at < end && byte === CLOSE) {
        group = 0;
        at += 1;
      }
      at += 1; // the comma
    }
    if (this.addresses !== 4) return false;
    record[WORD.kind] = ((record[WORD.kind] ?? 0) | (protocol << 8) | this.family) >>> 0;
    return true;
  }

  private value({ read, at }: Field, bytes: Uint8Array, begin: number, end: number): boolean {
    const { record } = this;
    if (read === 'address') return this.address(at, bytes, begin, end);
    if (read === 'label') return label(record, at, bytes, begin, end);
    if (read === 'state' || read === 'stateHigh' || read === 'stateLow') {
      // SCTP has states of some of these names.
      const state = this.protocol === TCP ? (STATES.get(hashBytes(bytes, begin, end)) ?? 0) : 0;
      record[at] = (record[at] ?? 0) | (read === 'stateLow' ? 0 : state << 8) | (read === 'stateHigh' ? 0 : state);
      return true;
    }
    if (read === 'time') {
      // The switch prints its local time, which is ours.
      const time = Date.parse(Buffer.from(bytes.subarray(begin, end)).toString('latin1'));
      return !Number.isNaN(time) && this.number(at, time);
    }
    const value = decimal(bytes, begin, end);
    if (value < 0) return false;
    if (read === 'number') return this.number(at, value);
    if (read === 'word') {
      record[at] = value;
      return value <= 0xffff_ffff;
    }
    const shift = read === 'high' ? 16 : read === 'type' ? 8 : 0;
    record[at] = ((record[at] ?? 0) | (value << shift)) >>> 0;
    return value <= (read === 'type' || read === 'code' ? 0xff : 0xffff);
  }

  private number(at: number, value: number): boolean {
    this.numbers[at] = value;
    this.hasNumbers = true;
    return true;
  }

  private address(word: number, bytes: Uint8Array, begin: number, end: number): boolean {
    const four = v4(bytes, begin, end);
    const family = four >= 0 ? 4 : 6;
    if (four >= 0) this.record[word] = four;
    else if (!v6(this.record, word, bytes, begin, end)) return false;
    if (this.addresses > 0 && this.family !== family) return false;
    this.family = family;
    this.addresses += 1;
    return true;
  }
}

function hashBytes(bytes: Uint8Array, begin: number, end: number): number {
  let hash = 0;
  for (let at = begin; at < end; at++) hash = (Math.imul(hash, PRIME) + (bytes[at] ?? 0)) | 0;
  return hash;
}

/** -1 for what is no decimal number of at most 20 digits. */
function decimal(bytes: Uint8Array, begin: number, end: number): number {
  if (begin === end || end - begin > 20) return -1;
  let value = 0;
  for (let at = begin; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** "0x" and at most 32 digits. */
function label(record: Uint32Array, word: number, bytes: Uint8Array, begin: number, end: number): boolean {
  if (bytes[begin] !== 0x30 || bytes[begin + 1] !== 0x78 || end - begin < 3 || end - begin > 34) return false;
  for (let at = end - 1, nibble = 0; at >= begin + 2; at--, nibble++) {
    const digit = hexDigit(bytes[at] ?? 0);
    if (digit < 0) return false;
    const place = word + (nibble >> 3);
    record[place] = ((record[place] ?? 0) | (digit << ((nibble & 7) * 4))) >>> 0;
  }
  return true;
}

/** -1 for what is no dotted address. */
function v4(bytes: Uint8Array, begin: number, end: number): number {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let at = begin; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x2e) {
      if (octet < 0) return -1;
      value = value * 256 + octet;
      octet = -1;
      dots += 1;
    } else {
      const digit = byte - 0x30;
      if (digit < 0 || digit > 9) return -1;
      octet = (octet < 0 ? 0 : octet) * 10 + digit;
      if (octet > 255) return -1;
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1;
}

/** RFC 4291, section 2.2, all three forms. Groups behind "::" are shifted to the end when all are read. */
function v6(record: Uint32Array, word: number, bytes: Uint8Array, begin: number, end: number): boolean {
  const groups: number[] = [];
  let gap = -1;
  let at = begin;
  if (bytes[at] === 0x3a) {
    if (bytes[at + 1] !== 0x3a) return false;
    gap = 0;
    at += 2;
  }
  while (at < end) {
    const from = at;
    let value = 0;
    let digit = hexDigit(bytes[at] ?? 0);
    while (at < end && digit >= 0) {
      value = value * 16 + digit;
      at += 1;
      digit = hexDigit(bytes[at] ?? 0);
    }
    if (bytes[at] === 0x2e && at < end) {
      const tail = v4(bytes, from, end);
      if (tail < 0) return false;
      groups.push(tail >>> 16, tail & 0xffff);
      break;
    }
    if (at === from || at - from > 4) return false;
    groups.push(value);
    if (at === end) break;
    if (bytes[at] !== 0x3a) return false;
    at += 1;
    if (at < end && bytes[at] === 0x3a) {
      if (gap !== -1) return false;
      gap = groups.length;
      at += 1;
    } else if (at === end) return false;
  }
  if (gap === -1 ? groups.length !== 8 : groups.length > 7) return false;
  const shift = 8 - groups.length;
  for (let index = 0; index < 8; index++) {
    const group = gap === -1 || index < gap ? (groups[index] ?? 0) : index < gap + shift ? 0 : (groups[index - shift] ?? 0);
    const place = word + (index >> 1);
    record[place] = ((record[place] ?? 0) | (group << ((index & 1) === 0 ? 16 : 0))) >>> 0;
  }
  return true;
}
