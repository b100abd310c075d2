/**
 * Members of address sets (hosts, prefixes `a/n`, ranges `a-b`, MAC addresses) and sets of addresses as compact ranges.
 * Canonical text is that of address-text.ts; a full-length prefix and a range of one address are written as the host.
 *
 * Everything here refuses with AgentError E_INVALID and a message that names the right spelling where there is one.
 */
import {
  MAC, canonicalMac, compareWords, halves, isMapped, v4At, v4Mask, v4ToText, v6FromText, v6Prefix, v6ToText, v6Words, wordsToText, type Words,
} from './address-text.js';
import { AgentError } from './errors.js';
import { quote } from './quote.js';

export { canonicalMac, isMac, v4FromText, v4ToText, v6FromText, v6ToText, type V6Halves } from './address-text.js';

/** Inclusive interval of IPv4 addresses as unsigned 32-bit numbers. */
export interface V4Range { readonly family: 4; readonly first: number; readonly last: number }
/** Inclusive interval of IPv6 addresses, each as two unsigned 64-bit halves. */
export interface V6Range {
  readonly family: 6;
  readonly firstHi: bigint;
  readonly firstLo: bigint;
  readonly lastHi: bigint;
  readonly lastLo: bigint;
}
export interface MacMember { readonly family: 'mac'; readonly text: string }
export type Member = V4Range | V6Range | MacMember;

const MASK_64 = 0xffff_ffff_ffff_ffffn;

function invalid(message: string): AgentError {
  return new AgentError('E_INVALID', message);
}

// ---- Members ----------------------------------------------------------------------------------------------------

interface V6Words { readonly first: Words; readonly last: Words }

function prefixLength(text: string, max: number, member: string): number {
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text) || Number(text) > max) {
    throw invalid(`${quote(member)}: the prefix length must be a number from 0 to ${max}`);
  }
  return Number(text);
}

function notAnAddress(text: string): AgentError {
  if (text.includes('%')) {
    return invalid(`${quote(text)}: an address with a zone (%interface) cannot be used in a rule; leave the zone out`);
  }
  return invalid(`${quote(text)} is not an address; write a host (10.0.0.1, fd00::1), a prefix (10.0.0.0/24) or a range (10.0.0.1-10.0.0.9)`);
}

function refuseMapped(words: Words, member: string, suffix = ''): void {
  if (isMapped(words)) throw invalid(`${quote(member)} is an IPv4-mapped IPv6 address; write ${v4ToText(words[3])}${suffix}`);
}

function v6Member(text: string): V6Words {
  const slash = text.indexOf('/');
  if (slash >= 0) {
    const words = v6Words(text.slice(0, slash));
    if (words === undefined) throw notAnAddress(text);
    const length = prefixLength(text.slice(slash + 1), 128, text);
    refuseMapped(words, text, length > 96 ? `/${length - 96}` : '');
    const [first, last] = v6Prefix(words, length);
    if (compareWords(first, words) !== 0) throw hostBits(text, wordsToText(first), wordsToText(words), length);
    return { first, last };
  }
  const dash = text.indexOf('-');
  if (dash >= 0) {
    const first = v6Words(text.slice(0, dash));
    const last = v6Words(text.slice(dash + 1));
    if (first === undefined || last === undefined) throw notAnAddress(text);
    refuseMapped(first, text);
    refuseMapped(last, text);
    if (compareWords(first, last) > 0) throw backwards(text);
    return { first, last };
  }
  const words = v6Words(text);
  if (words === undefined) throw notAnAddress(text);
  refuseMapped(words, text);
  return { first: words, last: words };
}

function hostBits(member: string, network: string, host: string, length: number): AgentError {
  return invalid(`${quote(member)} has host bits set; write ${network}/${length} for the network or ${host} for the host alone`);
}

function backwards(member: string): AgentError {
  return invalid(`${quote(member)}: the range ends before it begins`);
}

/**
 * Called for every member, up to a million times: reports IPv4 members as two numbers and IPv6 ones as words,
 * so that nothing is allocated for a plain IPv4 host.
 */
interface MemberVisitor {
  v4(first: number, last: number): void;
  v6(first: Words, last: Words): void;
  mac(text: string): void;
}

function visitMember(text: string, visitor: MemberVisitor): void {
  const host = v4At(text, 0, text.length);
  if (host >= 0) {
    visitor.v4(host, host);
    return;
  }
  const slash = text.indexOf('/');
  const dash = text.indexOf('-');
  if (slash >= 0 && dash >= 0) throw notAnAddress(text);
  const cut = slash >= 0 ? slash : dash;
  const head = cut < 0 ? -1 : v4At(text, 0, cut);
  if (head >= 0 && slash >= 0) {
    const length = prefixLength(text.slice(slash + 1), 32, text);
    const mask = v4Mask(length);
    const first = (head & mask) >>> 0;
    if (first !== head) throw hostBits(text, v4ToText(first), v4ToText(head), length);
    visitor.v4(first, (head | ~mask) >>> 0);
  } else if (head >= 0) {
    const last = v4At(text, cut + 1, text.length);
    if (last < 0) throw notAnAddress(text);
    if (last < head) throw backwards(text);
    visitor.v4(head, last);
  } else if (MAC.test(text)) {
    visitor.mac(canonicalMac(text));
  } else {
    const { first, last } = v6Member(text);
    visitor.v6(first, last);
  }
}

/** Parses a host, prefix, range or MAC address. */
export function parseMember(text: string): Member {
  const found: Member[] = [];
  visitMember(text, {
    v4: (first, last) => found.push({ family: 4, first, last }),
    v6: (first, last) => {
      const a = halves(first);
      const b = halves(last);
      found.push({ family: 6, firstHi: a.hi, firstLo: a.lo, lastHi: b.hi, lastLo: b.lo });
    },
    mac: (mac) => found.push({ family: 'mac', text: mac }),
  });
  const member = found[0];
  if (member === undefined) throw new AgentError('E_INTERNAL', `no member read from ${quote(text)}`);
  return member;
}

/** Prefix length of an interval of 2^k addresses beginning at a multiple of 2^k, else undefined. `bits` = 32 or 128. */
function alignedLength(first: bigint, last: bigint, bits: number): number | undefined {
  const size = last - first + 1n;
  if ((size & (size - 1n)) !== 0n || first % size !== 0n) return undefined;
  return bits - (size.toString(2).length - 1);
}

/** Canonical text of a member as written: a range stays a range, a prefix a prefix. See the head of this file. */
export function canonicalMember(text: string): string {
  if (v4At(text, 0, text.length) >= 0) return text;
  const member = parseMember(text);
  if (member.family === 'mac') return member.text;
  const slash = text.indexOf('/');
  if (member.family === 4) {
    const first = v4ToText(member.first);
    if (member.first === member.last) return first;
    return slash >= 0 ? `${first}${text.slice(slash)}` : `${first}-${v4ToText(member.last)}`;
  }
  const first = v6ToText(member.firstHi, member.firstLo);
  if (member.firstHi === member.lastHi && member.firstLo === member.lastLo) return first;
  return slash >= 0 ? `${first}${text.slice(slash)}` : `${first}-${v6ToText(member.lastHi, member.lastLo)}`;
}

/** Canonical text of one host address; refuses prefixes, ranges and MAC addresses. */
export function canonicalHost(text: string): string {
  if (v4At(text, 0, text.length) >= 0) return text;
  const words = v6Words(text);
  if (words === undefined) throw invalid(`${quote(text)} is not an IP address (a single host such as 10.0.0.1 or fd00::1 is wanted)`);
  refuseMapped(words, text);
  return wordsToText(words);
}

/** Text of an interval: host, prefix where the interval is one, else range. */
export function rangeToText(range: V4Range | V6Range): string {
  if (range.family === 4) {
    const first = v4ToText(range.first);
    if (range.first === range.last) return first;
    const length = alignedLength(BigInt(range.first), BigInt(range.last), 32);
    return length === undefined ? `${first}-${v4ToText(range.last)}` : `${first}/${length}`;
  }
  const first = v6ToText(range.firstHi, range.firstLo);
  if (range.firstHi === range.lastHi && range.firstLo === range.lastLo) return first;
  const length = alignedLength((range.firstHi << 64n) | range.firstLo, (range.lastHi << 64n) | range.lastLo, 128);
  return length === undefined ? `${first}-${v6ToText(range.lastHi, range.lastLo)}` : `${first}/${length}`;
}

/** Order of members in listings: IPv4, IPv6, MAC; each by first, then last address. Texts are canonical. */
export function compareMembers(a: string, b: string): number {
  return compareParsed(parseMember(a), parseMember(b));
}

const FAMILY_ORDER = { 4: 0, 6: 1, mac: 2 } as const;

function compareParsed(a: Member, b: Member): number {
  if (a.family === 4 && b.family === 4) return a.first - b.first || a.last - b.last;
  if (a.family === 6 && b.family === 6) {
    return compareBig(a.firstHi, b.firstHi) || compareBig(a.firstLo, b.firstLo) || compareBig(a.lastHi, b.lastHi) || compareBig(a.lastLo, b.lastLo);
  }
  if (a.family === 'mac' && b.family === 'mac') return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
  return FAMILY_ORDER[a.family] - FAMILY_ORDER[b.family];
}

function compareBig(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The members, sorted as compareMembers orders them, without duplicates. Parses each member once; hosts of IPv4 alone are fast. */
export function sortMembers(members: readonly string[]): string[] {
  const hosts = new Uint32Array(members.length);
  let count = 0;
  for (const member of members) {
    const host = v4At(member, 0, member.length);
    if (host < 0) break;
    hosts[count++] = host;
  }
  if (count === members.length) return Array.from(hosts.sort().filter((host, index) => index === 0 || host !== hosts[index - 1]), v4ToText);
  const keyed = members.map((text) => ({ text, parsed: parseMember(text) }));
  keyed.sort((a, b) => compareParsed(a.parsed, b.parsed));
  return keyed.map((entry) => entry.text).filter((text, index, all) => index === 0 || text !== all[index - 1]);
}

// ---- Range sets -------------------------------------------------------------------------------------------------

/**
 * The addresses of a set, compact: `v4` holds (first, last) pairs, `v6` (firstHi, firstLo, lastHi, lastLo) quads, both
 * sorted, disjoint and merged where adjacent; `macs` sorted, unique, canonical.
 */
export interface RangeSet {
  readonly v4: Uint32Array;
  readonly v6: BigUint64Array;
  readonly macs: readonly string[];
}

const EMPTY: readonly string[] = [];

/** Where the more significant half of a 64-bit number lies in a Uint32Array view of it: 1 on little-endian machines. */
const UPPER = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0;
const LOWER = 1 - UPPER;

/** Growing array of 32-bit words. */
class WordBuffer {
  #words: Uint32Array<ArrayBuffer>;
  length = 0;

  constructor(capacity: number) {
    this.#words = new Uint32Array(capacity);
  }

  /** Makes room for `count` more words and returns the array to write them to, at `length`. */
  reserve(count: number): Uint32Array<ArrayBuffer> {
    if (this.length + count > this.#words.length) {
      const grown = new Uint32Array(Math.max(64, 2 * this.#words.length, this.length + count));
      grown.set(this.#words.subarray(0, this.length));
      this.#words = grown;
    }
    return this.#words;
  }

  /** The words written, in a buffer of their own. */
  finish(): Uint32Array<ArrayBuffer> {
    return this.#words.slice(0, this.length);
  }
}

/**
 * Builds the set of all addresses of `members` (host, prefix, range, MAC texts; overlaps and duplicates allowed).
 * Throws E_INVALID at the first member that is none of them. O(n log n); an empty input gives an empty set.
 */
export function buildRangeSet(members: readonly string[]): RangeSet {
  const v4 = new WordBuffer(2 * members.length);
  const v6 = new WordBuffer(0);
  const macs: string[] = [];
  const visitor: MemberVisitor = {
    v4: (first, last) => {
      const words = v4.reserve(2);
      words[v4.length + UPPER] = first;
      words[v4.length + LOWER] = last;
      v4.length += 2;
    },
    v6: (first, last) => {
      const words = v6.reserve(8);
      writeV6(words, v6.length, first);
      writeV6(words, v6.length + 4, last);
      v6.length += 8;
    },
    mac: (text) => macs.push(text),
  };
  for (const member of members) visitMember(member, visitor);
  return { v4: mergeV4(v4.finish()), v6: mergeV6(v6.finish()), macs: macs.length === 0 ? EMPTY : [...new Set(macs)].sort() };
}

/** The union of several sets. */
export function unionRangeSets(sets: readonly RangeSet[]): RangeSet {
  const only = sets[0];
  if (sets.length === 1 && only !== undefined) return only;
  const v4 = new Uint32Array(sets.reduce((sum, set) => sum + set.v4.length, 0));
  const v6 = new BigUint64Array(sets.reduce((sum, set) => sum + set.v6.length, 0));
  let at4 = 0;
  let at6 = 0;
  const macs = new Set<string>();
  for (const set of sets) {
    for (let i = 0; i < set.v4.length; i += 2) {
      v4[at4 + i + UPPER] = set.v4[i] ?? 0;
      v4[at4 + i + LOWER] = set.v4[i + 1] ?? 0;
    }
    v6.set(set.v6, at6);
    at4 += set.v4.length;
    at6 += set.v6.length;
    for (const mac of set.macs) macs.add(mac);
  }
  return { v4: mergeV4(v4), v6: mergeV6(new Uint32Array(v6.buffer)), macs: macs.size === 0 ? EMPTY : [...macs].sort() };
}

/** Writes 128 bits as two 64-bit halves in machine order, the more significant half first. */
function writeV6(target: Uint32Array, at: number, words: Words): void {
  target[at + UPPER] = words[0];
  target[at + LOWER] = words[1];
  target[at + 2 + UPPER] = words[2];
  target[at + 2 + LOWER] = words[3];
}

/** Sorts and merges intervals packed as 64-bit numbers (first in the upper half): the sort is then the engine's native one. */
function mergeV4(packed: Uint32Array<ArrayBuffer>): Uint32Array {
  new BigUint64Array(packed.buffer, 0, packed.length / 2).sort();
  let out = 0;
  for (let i = 0; i < packed.length; i += 2) {
    const first = packed[i + UPPER] ?? 0;
    const last = packed[i + LOWER] ?? 0;
    const previousLast = out === 0 ? -2 : (packed[out - 1] ?? 0);
    if (first <= previousLast + 1) {
      if (last > previousLast) packed[out - 1] = last;
    } else {
      packed[out] = first;
      packed[out + 1] = last;
      out += 2;
    }
  }
  return packed.slice(0, out);
}

function mergeV6(packed: Uint32Array<ArrayBuffer>): BigUint64Array {
  const count = packed.length / 8;
  if (count === 0) return new BigUint64Array(0);
  const word = (index: number): number => packed[index] ?? 0;
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  order.sort((a, b) => {
    const x = 8 * a;
    const y = 8 * b;
    return (
      word(x + UPPER) - word(y + UPPER) || word(x + LOWER) - word(y + LOWER) ||
      word(x + 2 + UPPER) - word(y + 2 + UPPER) || word(x + 2 + LOWER) - word(y + 2 + LOWER)
    );
  });
  const quads = new BigUint64Array(packed.buffer);
  const merged = new BigUint64Array(4 * count);
  let previousHi = 0n;
  let previousLo = 0n;
  let out = 0;
  for (const index of order) {
    const firstHi = quads[4 * index] ?? 0n;
    const firstLo = quads[4 * index + 1] ?? 0n;
    const lastHi = quads[4 * index + 2] ?? 0n;
    const lastLo = quads[4 * index + 3] ?? 0n;
    if (out > 0 && beginsWithin(firstHi, firstLo, previousHi, previousLo)) {
      if (lastHi > previousHi || (lastHi === previousHi && lastLo > previousLo)) {
        merged[out - 2] = lastHi;
        merged[out - 1] = lastLo;
        previousHi = lastHi;
        previousLo = lastLo;
      }
    } else {
      merged[out] = firstHi;
      merged[out + 1] = firstLo;
      merged[out + 2] = lastHi;
      merged[out + 3] = lastLo;
      previousHi = lastHi;
      previousLo = lastLo;
      out += 4;
    }
  }
  return merged.slice(0, out);
}

/** True when `first` is at most one past `last`. */
function beginsWithin(firstHi: bigint, firstLo: bigint, lastHi: bigint, lastLo: bigint): boolean {
  if (firstHi === lastHi) return firstLo <= lastLo + 1n;
  return firstHi < lastHi || (firstLo === 0n && lastLo === MASK_64 && firstHi === lastHi + 1n);
}

/** Whether a host address (IPv4, IPv6) or a MAC address belongs to the set. Throws E_INVALID for other text. */
export function rangeSetContains(set: RangeSet, address: string): boolean {
  const v4 = v4At(address, 0, address.length);
  if (v4 >= 0) return containsV4(set.v4, v4);
  if (MAC.test(address)) return set.macs.includes(canonicalMac(address));
  const v6 = v6FromText(address);
  if (v6 === undefined) throw notAnAddress(address);
  return containsV6(set.v6, v6.hi, v6.lo);
}

export function containsV4(ranges: Uint32Array, address: number): boolean {
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[2 * middle + 1] ?? 0) < address) low = middle + 1;
    else high = middle;
  }
  return 2 * low < ranges.length && (ranges[2 * low] ?? 0) <= address;
}

export function containsV6(ranges: BigUint64Array, hi: bigint, lo: bigint): boolean {
  const atMost = (index: number): boolean => {
    const rangeHi = ranges[index] ?? 0n;
    return rangeHi < hi || (rangeHi === hi && (ranges[index + 1] ?? 0n) <= lo);
  };
  let low = 0;
  let high = ranges.length / 4;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const lastHi = ranges[4 * middle + 2] ?? 0n;
    const ends = lastHi < hi || (lastHi === hi && (ranges[4 * middle + 3] ?? 0n) < lo);
    if (ends) low = middle + 1;
    else high = middle;
  }
  return 4 * low < ranges.length && atMost(4 * low);
}

export function rangeSetIsEmpty(set: RangeSet): boolean {
  return set.v4.length === 0 && set.v6.length === 0 && set.macs.length === 0;
}
