/**
 * In a large table most packets are decided by hash, at a cost that does not grow with the table: regions of one protocol and
 * port, and blocks of ports that lie in one region. The interval map has all regions but those of one port, and is asked last.
 */
import type { CompiledSide, CompiledTable } from '../../compile/compiled.js';
import { SPACE, UNDERLYING, type Segments } from '../../compile/regions.js';

/** Below this many regions (counted with what they leave to others) the interval map is shallow, and one lookup cheaper than two. */
export const MANY_REGIONS = 1024;

/** Ports of a block, as bits that its number leaves out. */
export const BLOCK_BITS = 13;
const BLOCK = 1 << BLOCK_BITS;
/** Protocols that have blocks: TCP, UDP. */
const BLOCK_PROTOCOLS = [6, 17];

/** Segments, in whatever holds numbers: thousands of small typed arrays cost more than what they hold. */
export interface NumberSegments {
  readonly starts: ArrayLike<number>;
  readonly winners: ArrayLike<number>;
}

export interface SplitRegions {
  /** x and winner of every region that is one x, by turns; ascending. */
  readonly singles: readonly number[];
  /** First x and winner of every block that lies in one region of `rest`, by turns; ascending. What `singles` has goes first. */
  readonly blocks: readonly number[];
  /** The painting without singles. What it says at their places is never asked. */
  readonly rest: NumberSegments;
}

/**
 * Are regions split? Only those of the default profiles, whose rules look nothing up but the peer's address; not in a small
 * table, nor where source ports matter. Elsewhere two rules more for each way to a pair would cost the kernel more, at every
 * validation, than they save a packet.
 */
export function hasSplit({ sides, sourcePorts, regions }: CompiledTable): boolean {
  if (sourcePorts !== undefined) return false;
  let count = 0;
  for (const side of [sides.in, sides.out]) {
    for (const pair of defaultPairs(side)) {
      count += regions.get(pair)?.starts.length ?? 0;
      if (count >= MANY_REGIONS) return true;
    }
  }
  return false;
}

/** Pairs whose regions are split. */
export function splitPairs(compiled: CompiledTable): ReadonlySet<number> {
  const { sides } = compiled;
  return new Set(hasSplit(compiled) ? [...defaultPairs(sides.in), ...defaultPairs(sides.out)] : []);
}

/** With repetitions: classes may share a pair. */
function* defaultPairs({ profiles, defaultProfile }: CompiledSide): Generator<number> {
  const profile = profiles.get(defaultProfile);
  if (profile === undefined) return;
  yield profile.default4;
  yield profile.default6;
  yield* profile.pairs.values();
}

/** Each single takes the winner before it (at the start of the space: UNDERLYING), so that what it parted is one region again. */
export function splitRegions({ starts, winners }: Segments): SplitRegions {
  const singles: number[] = [];
  const restStarts: number[] = [];
  const restWinners: number[] = [];
  let last = UNDERLYING;
  for (let i = 0; i < starts.length; i += 1) {
    const start = starts[i] ?? 0;
    let winner = winners[i] ?? UNDERLYING;
    if (winner !== UNDERLYING && (starts[i + 1] ?? SPACE) - start === 1) {
      singles.push(start, winner);
      winner = last;
    }
    if (restStarts.length > 0 && winner === last) continue;
    restStarts.push(start);
    restWinners.push(winner);
    last = winner;
  }
  return { singles, blocks: blocks(restStarts, restWinners), rest: { starts: restStarts, winners: restWinners } };
}

function blocks(starts: readonly number[], winners: readonly number[]): number[] {
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
  return found;
}
