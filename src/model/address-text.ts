/**
 * One address as text and as numbers: IPv4 ↔ unsigned 32-bit, IPv6 ↔ two unsigned 64-bit halves or four 32-bit words,
 * MAC canonical. Canonical text: dotted quad without leading zeros, IPv6 as RFC 5952 writes it, MAC in lower case with
 * colons. Readers return undefined for other text.
 */
import ipaddr from 'ipaddr.js';
import { AgentError } from './errors.js';
import { quote } from './quote.js';

const MAX_U32 = 0xffff_ffff;
const MASK_32 = 0xffff_ffffn;

export interface V6Halves { readonly hi: bigint; readonly lo: bigint }

// ---- IPv4 -------------------------------------------------------------------------------------------------------

/** The address written between `start` and `end` (exclusive) of `text`, or -1. Four decimal parts, no leading zeros. */
export function v4At(text: string, start: number, end: number): number {
  let value = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c >= 48 && c <= 57) {
      if (digits === 3 || (digits === 1 && part === 0)) return -1;
      part = part * 10 + (c - 48);
      digits++;
    } else if (c === 46) {
      if (digits === 0 || part > 255 || dots === 3) return -1;
      value = value * 256 + part;
      part = 0;
      digits = 0;
      dots++;
    } else {
      return -1;
    }
  }
  return dots === 3 && digits > 0 && part <= 255 ? value * 256 + part : -1;
}

/** Dotted quad → number; undefined when `text` is anything else. */
export function v4FromText(text: string): number | undefined {
  const value = v4At(text, 0, text.length);
  return value < 0 ? undefined : value;
}

export function v4ToText(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** Netmask of a prefix length 0..32 as a number. */
export function v4Mask(length: number): number {
  return length === 0 ? 0 : (MAX_U32 << (32 - length)) >>> 0;
}

// ---- IPv6 -------------------------------------------------------------------------------------------------------

/** Four 32-bit words, most significant first. */
export type Words = readonly [number, number, number, number];

/**
 * Reads up to eight groups of hexadecimal digits between colons, one `::` among them; undefined for anything else
 * (the rare dotted tail goes through ipaddr.js).
 */
function plainV6(text: string): Words | undefined {
  const groups: number[] = [];
  let gap = -1; // groups before the `::`
  let group = 0;
  let digits = 0;
  const end = text.length;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  for (; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === 58) {
      if (digits === 0) return undefined;
      groups.push(group);
      group = 0;
      digits = 0;
      if (text.charCodeAt(i + 1) === 58) {
        if (gap >= 0) return undefined;
        gap = groups.length;
        i++;
      } else if (i + 1 === end) {
        return undefined;
      }
    } else {
      const value = c >= 48 && c <= 57 ? c - 48 : c >= 97 && c <= 102 ? c - 87 : c >= 65 && c <= 70 ? c - 55 : -1;
      if (value < 0 || digits === 4) return undefined;
      group = group * 16 + value;
      digits++;
    }
  }
  if (digits > 0) groups.push(group);
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return undefined;
  const shift = 8 - groups.length;
  const at = (index: number): number => (gap < 0 || index < gap ? groups[index] : index < gap + shift ? 0 : groups[index - shift]) ?? 0;
  return [at(0) * 65536 + at(1), at(2) * 65536 + at(3), at(4) * 65536 + at(5), at(6) * 65536 + at(7)];
}

export function v6Words(text: string): Words | undefined {
  const plain = plainV6(text);
  if (plain !== undefined) return plain;
  // A zone (`fe80::1%eth0`) is a property of one host's interface, never of a rule. Without a dot there is nothing more to try.
  if (!text.includes('.') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = ipaddr.IPv6.parse(text).parts;
  return [a * 65536 + b, c * 65536 + d, e * 65536 + f, g * 65536 + h];
}

export function halves(words: Words): V6Halves {
  return { hi: (BigInt(words[0]) << 32n) | BigInt(words[1]), lo: (BigInt(words[2]) << 32n) | BigInt(words[3]) };
}

function wordsOf(hi: bigint, lo: bigint): Words {
  return [Number(hi >> 32n), Number(hi & MASK_32), Number(lo >> 32n), Number(lo & MASK_32)];
}

/** RFC 5952 section 4: lower case, no leading zeros, `::` for the first of the longest runs of two or more zero groups. */
export function wordsToText(words: Words): string {
  const group = (index: number): number => {
    const word = words[index >> 1] ?? 0;
    return (index & 1) === 0 ? word >>> 16 : word & 0xffff;
  };
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && group(i + run) === 0) run++;
    if (run > length) {
      start = i;
      length = run;
    }
    i += run;
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === start) {
      text += '::';
      i += length - 1;
    } else {
      text += text === '' || text.endsWith(':') ? group(i).toString(16) : `:${group(i).toString(16)}`;
    }
  }
  return text;
}

export function compareWords(a: Words, b: Words): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];
}

export function isMapped(words: Words): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

/** First and last address of the prefix that holds `words`. */
export function v6Prefix(words: Words, length: number): readonly [Words, Words] {
  const mask = (index: number): number => v4Mask(Math.min(32, Math.max(0, length - 32 * index)));
  const first = (index: 0 | 1 | 2 | 3): number => (words[index] & mask(index)) >>> 0;
  const last = (index: 0 | 1 | 2 | 3): number => (words[index] | ~mask(index)) >>> 0;
  return [[first(0), first(1), first(2), first(3)], [last(0), last(1), last(2), last(3)]];
}

/** IPv6 text → two unsigned 64-bit halves; undefined when `text` is anything else (a zone included). */
export function v6FromText(text: string): V6Halves | undefined {
  const words = v6Words(text);
  return words === undefined ? undefined : halves(words);
}

/** RFC 5952 text. */
export function v6ToText(hi: bigint, lo: bigint): string {
  return wordsToText(wordsOf(hi, lo));
}

// ---- MAC --------------------------------------------------------------------------------------------------------

export const MAC = /^(?:[0-9a-fA-F]{2}([:-]))(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}$/;

/** Lower case with colons; accepts hyphens and upper case. */
export function canonicalMac(text: string): string {
  if (!MAC.test(text)) {
    throw new AgentError('E_INVALID', `${quote(text)} is not a MAC address; write six hexadecimal pairs, as 0a:58:0a:62:00:02`);
  }
  return text.toLowerCase().replaceAll('-', ':');
}

export function isMac(text: string): boolean {
  return MAC.test(text);
}
