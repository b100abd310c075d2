/**
 * Addresses of an ExternalIPPool. As Antrea counts them: of a prefix the first address is nobody's, of an IPv4 prefix neither is the
 * last; start and end of a range belong to it; of any range the first 65,536 are used. Pure.
 */
import { parseMember, v4FromText, v4ToText, v6FromText, v6ToText } from '../../model/address.js';
import { familyOf } from '../../model/family.js';

/** Addresses in a row, `size` of them (0 or more). */
export interface PoolRange {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly size: number;
}

const RANGE_LIMIT = 65_536n;
const HALF = 64n;
const LOW = (1n << HALF) - 1n;

/** `ranges` as ExternalIpPoolObject has them, in that order. Throws E_INVALID for what is no prefix or range. */
export function poolRanges(ranges: readonly string[]): PoolRange[] {
  return ranges.flatMap((text): PoolRange[] => {
    const member = parseMember(text);
    if (member.family === 'mac') return [];
    const [first, last] = member.family === 4
      ? [BigInt(member.first), BigInt(member.last)] : [(member.firstHi << HALF) | member.firstLo, (member.lastHi << HALF) | member.lastLo];
    const isPrefix = text.includes('/');
    const begin = isPrefix ? first + 1n : first;
    const count = (isPrefix && member.family === 4 ? last - 1n : last) - begin + 1n;
    return [{ family: member.family, first: begin, size: Number(count < 0n ? 0n : count > RANGE_LIMIT ? RANGE_LIMIT : count) }];
  });
}

export function poolTotal(ranges: readonly PoolRange[]): number {
  return ranges.reduce((sum, { size }) => sum + size, 0);
}

/** The address at a place from 0 to poolTotal - 1, canonical; undefined beyond. */
export function poolAddress(ranges: readonly PoolRange[], place: number): string | undefined {
  let left = place;
  for (const { family, first, size } of ranges) {
    if (left < size) return toText(family, first + BigInt(left));
    left -= size;
  }
  return undefined;
}

/** True for an address that the pool gives. */
export function poolHas(ranges: readonly PoolRange[], address: string): boolean {
  const value = toNumber(address);
  return value !== undefined && ranges.some(({ family, first, size }) => family === familyOf(address) && value >= first && value < first + BigInt(size));
}

function toNumber(address: string): bigint | undefined {
  if (familyOf(address) === 4) {
    const value = v4FromText(address);
    return value === undefined ? undefined : BigInt(value);
  }
  const halves = v6FromText(address);
  return halves === undefined ? undefined : (halves.hi << HALF) | halves.lo;
}

function toText(family: 4 | 6, value: bigint): string {
  return family === 4 ? v4ToText(Number(value)) : v6ToText(value >> HALF, value & LOW);
}
