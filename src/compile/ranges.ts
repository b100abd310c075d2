/** Members of an address set as the compiler wants them: single hosts apart from intervals. */
import { buildRangeSet, containsV4, containsV6, v4FromText, v6FromText } from '../model/address.js';
import { halves6, key6, type Key6 } from './key6.js';

/** Hosts are sorted, distinct, and in no interval of the same set; intervals are sorted, disjoint, inclusive. */
export interface Ranges {
  readonly hosts4: Uint32Array;
  /** first, last pairs. */
  readonly intervals4: Uint32Array;
  readonly hosts6: readonly Key6[];
  /** first, last pairs. */
  readonly intervals6: readonly Key6[];
}

/** `members`: canonical texts (model/address.ts); MAC members are no addresses and are left out. */
export function memberRanges(members: readonly string[]): Ranges {
  const four = new Float64Array(members.length);
  let fours = 0;
  const six: Key6[] = [];
  const wide: string[] = [];
  for (const member of members) {
    const address = v4FromText(member);
    if (address !== undefined) {
      four[fours] = address;
      fours += 1;
      continue;
    }
    const long = member.includes('/') || member.includes('-') ? undefined : v6FromText(member);
    if (long !== undefined) six.push(key6(long.hi, long.lo));
    else wide.push(member);
  }
  const set = buildRangeSet(wide);
  const intervals6: Key6[] = [];
  for (let i = 0; i < set.v6.length; i += 2) intervals6.push(key6(set.v6[i] ?? 0n, set.v6[i + 1] ?? 0n));
  const outside4 = set.v4.length === 0 ? () => true : (address: number) => !containsV4(set.v4, address);
  const outside6 = (key: Key6): boolean => {
    if (set.v6.length === 0) return true;
    const { high, low } = halves6(key);
    return !containsV6(set.v6, high, low);
  };
  return {
    hosts4: Uint32Array.from(distinct(four.subarray(0, fours).sort()).filter(outside4)),
    intervals4: set.v4,
    hosts6: [...new Set(six)].sort().filter(outside6),
    intervals6,
  };
}

function distinct(sorted: Float64Array): Float64Array {
  return sorted.filter((value, index) => index === 0 || value !== sorted[index - 1]);
}
