/**
 * Regions of one protocol and port go to a hash map, whose lookup costs the same in a table of any size; the rest to the
 * interval map, which is asked only about what the hash map does not have.
 */
import { SPACE, UNDERLYING, type Segments } from '../../compile/regions.js';

/** Below this many such regions the interval map is shallow, and one lookup cheaper than two. */
export const MANY_SINGLES = 1024;

export interface SplitRegions {
  /** x and winner of every single one, by turns; ascending. */
  readonly singles: Uint32Array;
  /** The painting without them. What it says at their places is never asked. */
  readonly rest: Segments;
}

/** A region that is one x, and is not left to the painting under it. */
function isSingle({ starts, winners }: Segments, index: number): boolean {
  return winners[index] !== UNDERLYING && (starts[index + 1] ?? SPACE) - (starts[index] ?? 0) === 1;
}

export function hasManySingles(regions: ReadonlyMap<number, Segments>): boolean {
  let count = 0;
  for (const segments of regions.values()) {
    for (let i = 0; i < segments.starts.length; i += 1) if (isSingle(segments, i)) count += 1;
    if (count >= MANY_SINGLES) return true;
  }
  return false;
}

/** Each single takes the winner before it (at the start of the space: UNDERLYING), so that what it parted is one region again. */
export function splitRegions(segments: Segments): SplitRegions {
  const { starts, winners } = segments;
  const singles = new Uint32Array(starts.length * 2);
  const restStarts = new Uint32Array(starts.length);
  const restWinners = new Uint32Array(starts.length);
  let found = 0;
  let count = 0;
  for (let i = 0; i < starts.length; i += 1) {
    const single = isSingle(segments, i);
    if (single) {
      singles[found] = starts[i] ?? 0;
      singles[found + 1] = winners[i] ?? UNDERLYING;
      found += 2;
    }
    const winner = single ? (restWinners[count - 1] ?? UNDERLYING) : (winners[i] ?? UNDERLYING);
    if (count > 0 && restWinners[count - 1] === winner) continue;
    restStarts[count] = starts[i] ?? 0;
    restWinners[count] = winner;
    count += 1;
  }
  return { singles: singles.subarray(0, found), rest: { starts: restStarts.subarray(0, count), winners: restWinners.subarray(0, count) } };
}
