/** An ipBlock as address set members: the prefix less what is excepted, as few ranges. */
import { parseMember, rangeToText, type V4Range, type V6Range } from '../../model/address.js';
import type { IpBlock } from '../../model/policy-objects.js';

/** Sorted canonical members. An exception of the other family, or outside of the block, takes nothing away. */
export function ipBlockMembers({ cidr, except }: IpBlock): string[] {
  if (except.length === 0) return [cidr];
  const whole = parseMember(cidr);
  if (whole.family === 'mac') return [];
  const [first, last] = bounds(whole);
  const holes = except.flatMap((text): [bigint, bigint][] => {
    const hole = parseMember(text);
    return hole.family === whole.family ? [bounds(hole)] : [];
  }).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const left: [bigint, bigint][] = [];
  let at = first;
  for (const [from, to] of holes) {
    if (to < at || from > last) continue;
    if (from > at) left.push([at, from - 1n]);
    at = to + 1n;
  }
  if (at <= last) left.push([at, last]);
  return left.map(([from, to]) => rangeToText(whole.family === 4 ? range4(from, to) : range6(from, to)));
}

function bounds(range: V4Range | V6Range): [bigint, bigint] {
  if (range.family === 4) return [BigInt(range.first), BigInt(range.last)];
  return [(range.firstHi << 64n) | range.firstLo, (range.lastHi << 64n) | range.lastLo];
}

function range4(first: bigint, last: bigint): V4Range {
  return { family: 4, first: Number(first), last: Number(last) };
}

const LOW = 0xffff_ffff_ffff_ffffn;

function range6(first: bigint, last: bigint): V6Range {
  return { family: 6, firstHi: first >> 64n, firstLo: first & LOW, lastHi: last >> 64n, lastLo: last & LOW };
}
