/**
 * In a large table most packets are decided by hash, at a cost that does not grow with the table: regions of one protocol and
 * port, and blocks of ports that lie in one region. The interval map has all regions but those of one port, and is asked last.
 */
import type { CompiledTable } from '../../compile/compiled.js';
import { SPACE, UNDERLYING, type Segments } from '../../compile/regions.js';

/** Below this many regions (counted with what they leave to others) the interval map is shallow, and one lookup cheaper than two. */
export const MANY_REGIONS = 1024;

/** Ports of a block, as bits that its number leaves out. */
export const BLOCK_BITS = 13;
const BLOCK = 1 << BLOCK_BITS;
/** Protocols that have blocks: TCP, UDP. */
const BLOCK_PROTOCOLS = [6, 17];

export interface SplitRegions {
  /** x and winner of every region that is one x, by turns; ascending. */
  readonly singles: Uint32Array;
  /** First x and winner of every block that lies in one region of `rest`, by turns; ascending. What `singles` has goes first. */
  readonly blocks: Uint32Array;
  /** The painting without singles. What it says at their places is never asked. */
  readonly rest: Segments;
}

const NO_PAIRS: ReadonlySet<number> = new Set();

/**
 * Pairs whose regions are split: those of the default profiles, whose rules look nothing up but the peer's address. Empty for
 * a small table, and where source ports matter. Elsewhere two rules more for each way to a pair would cost the kernel more, at
 * every validation, than they save a packet.
 */
export function splitPairs({ sides, sourcePorts, regions }: CompiledTable): ReadonlySet<number> {
  if (sourcePorts !== undefined) return NO_PAIRS;
  const pairs = new Set<number>();
  let count = 0;
  for (const { profiles, defaultProfile } of [sides.in, sides.out]) {
    const profile = profiles.get(defaultProfile);
    for (const pair of profile === undefined ? [] : [profile.default4, profile.default6, ...profile.pairs.values()]) {
      if (pairs.has(pair)) continue;
      pairs.add(pair);
      count += regions.get(pair)?.starts.length ?? 0;
    }
  }
  return count < MANY_REGIONS ? NO_PAIRS : pairs;
}

/** Each single takes the winner before it (at the start of the space: UNDERLYING), so that what it parted is one region again. */
export function splitRegions({ starts, winners }: Segments): SplitRegions {
  const singles = new Uint32Array(starts.length * 2);
  const restStarts = new Uint32Array(starts.length);
  const restWinners = new Uint32Array(starts.length);
  let found = 0;
  let count = 0;
  for (let i = 0; i < starts.length; i += 1) {
    const start = starts[i] ?? 0;
    let winner = winners[i] ?? UNDERLYING;
    if (winner !== UNDERLYING && (starts[i + 1] ?? SPACE) - start === 1) {
      singles[found] = start;
      singles[found + 1] = winner;
      found += 2;
      winner = restWinners[count - 1] ?? UNDERLYING;
    }
    if (count > 0 && restWinners[count - 1] === winner) continue;
    restStarts[count] = start;
    restWinners[count] = winner;
    count += 1;
  }
  const rest = { starts: restStarts.subarray(0, count), winners: restWinners.subarray(0, count) };
  return { singles: singles.subarray(0, found), blocks: blocks(rest), rest };
}

function blocks({ starts, winners }: Segments): Uint32Array {
  const found: number[] = [];
  for (let i = 0; i < starts.length; i += 1) {
    const winner = winners[i] ?? UNDERLYING;
    const start = starts[i] ?? 0;
    const end = starts[i + 1] ?? SPACE;
    if (winner === UNDERLYING || end - start < BLOCK) continue;
    for (const protocol of BLOCK_PROTOCOLS) {
      const last = Math.min(end, (protocol + 1) << 16);
      const first = Math.max(start, protocol << 16);
      for (let x = Math.ceil(first / BLOCK) * BLOCK; x + BLOCK <= last; x += BLOCK) found.push(x, winner);
    }
  }
  return Uint32Array.from(found);
}
