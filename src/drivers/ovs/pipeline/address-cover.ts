/** Intervals of addresses as prefixes: the smallest list of disjoint ones. */
import { halves6, key6, type Key6 } from '../../../compile/key6.js';

export interface Prefix<T> {
  /** With zeros after its leading bits. */
  readonly address: T;
  readonly bits: number;
}

/** `first`..`last`, inclusive. */
export function prefixes4(first: number, last: number): Prefix<number>[] {
  const prefixes: Prefix<number>[] = [];
  for (let at = first; at <= last;) {
    let size = 1;
    let bits = 32;
    while (bits > 0 && at % (size * 2) === 0 && at + size * 2 - 1 <= last) {
      size *= 2;
      bits -= 1;
    }
    prefixes.push({ address: at, bits });
    at += size;
  }
  return prefixes;
}

/** `first`..`last`, inclusive. */
export function prefixes6(first: Key6, last: Key6): Prefix<Key6>[] {
  const prefixes: Prefix<Key6>[] = [];
  const end = whole(last);
  for (let at = whole(first); at <= end;) {
    let size = 1n;
    let bits = 128;
    while (bits > 0 && at % (size * 2n) === 0n && at + size * 2n - 1n <= end) {
      size *= 2n;
      bits -= 1;
    }
    prefixes.push({ address: key6(at >> 64n, at & 0xffff_ffff_ffff_ffffn), bits });
    at += size;
  }
  return prefixes;
}

function whole(key: Key6): bigint {
  const { high, low } = halves6(key);
  return (high << 64n) | low;
}
