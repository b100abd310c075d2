/** Elements of the two maps that hold a table's regions: {pair, protocol, port} to {label id, action}. */
import { repaintedPairs, type CompiledTable } from '../../compile/compiled.js';
import { equalSegments, SPACE, UNDERLYING, type Segments } from '../../compile/regions.js';
import { END, type Block } from './blocks.js';
import { splitRegions, type NumberSegments } from './region-split.js';
import { LEVEL } from './table-sets.js';
import { ACTION, actionCode } from './verdicts.js';

export interface BlockChange {
  readonly remove: Block;
  readonly add: Block;
}

/** One compilation's regions, and the pairs that have single ports and blocks in the hash map. */
export interface HeldRegions {
  readonly compiled: CompiledTable;
  readonly split: ReadonlySet<number>;
}

/** `before` undefined: neither map holds anything. */
export function diffRegions(before: HeldRegions | undefined, after: HeldRegions, exact: BlockChange, ranges: BlockChange): void {
  const old = before?.compiled;
  const resplit = (pair: number): boolean => before !== undefined && before.split.has(pair) !== after.split.has(pair);
  if (old?.regions === after.compiled.regions && before?.split.size === after.split.size) return;
  // The action stands in the regions: a rule whose action changed is rewritten in all of its own.
  const changed = new Set<number>();
  for (const [id, label] of old?.labels === after.compiled.labels ? [] : after.compiled.labels) {
    const known = old?.labels.get(id);
    if (known !== undefined && actionCode(known) !== actionCode(label)) changed.add(id);
  }
  const alike = (a: Segments, b: Segments): boolean => equalSegments(a, b) && !(changed.size > 0 && a.winners.some((winner) => changed.has(winner)));
  const change = new RegionChange(exact, ranges, changed, (id) => codeOf(old, id), (id) => codeOf(after.compiled, id));
  // Where few pairs were painted again, all others are as they were.
  const repainted = changed.size > 0 || before?.split.size !== after.split.size ? undefined : repaintedPairs(old, after.compiled);
  for (const [pair, segments] of entriesOf(old?.regions, repainted)) {
    const now = after.compiled.regions.get(pair);
    const had = { segments, split: before?.split.has(pair) ?? false };
    if (now === undefined) change.pair(pair, had, undefined);
    else if (resplit(pair) || !alike(segments, now)) change.pair(pair, had, { segments: now, split: after.split.has(pair) });
  }
  for (const [pair, segments] of entriesOf(after.compiled.regions, repainted)) {
    if (old?.regions.has(pair) !== true) change.pair(pair, undefined, { segments, split: after.split.has(pair) });
  }
}

function entriesOf<V>(map: ReadonlyMap<number, V> | undefined, only: ReadonlySet<number> | undefined): Iterable<readonly [number, V]> {
  if (map === undefined || only === undefined) return map ?? [];
  return [...only].flatMap((key) => {
    const value = map.get(key);
    return value === undefined ? [] : [[key, value] as const];
  });
}

function codeOf(table: CompiledTable | undefined, id: number): number {
  const label = table?.labels.get(id);
  return label === undefined ? ACTION.drop : actionCode(label);
}

interface PairRegions {
  readonly segments: Segments;
  readonly split: boolean;
}

interface HeldPair {
  readonly singles: readonly number[];
  readonly blocks: readonly number[];
  readonly rest?: NumberSegments;
}

const NONE: readonly number[] = [];

class RegionChange {
  constructor(
    private readonly exact: BlockChange,
    private readonly ranges: BlockChange,
    /** Label ids whose action changed. */
    private readonly changed: ReadonlySet<number>,
    private readonly oldCode: (id: number) => number,
    private readonly newCode: (id: number) => number,
  ) {}

  pair(pair: number, before: PairRegions | undefined, after: PairRegions | undefined): void {
    const old = held(before);
    const fresh = held(after);
    for (const [part, level] of [['singles', LEVEL.port], ['blocks', LEVEL.block]] as const) {
      this.hashed(this.exact.remove, pair, level, old[part], this.oldCode, fresh[part]);
      this.hashed(this.exact.add, pair, level, fresh[part], this.newCode, old[part]);
    }
    if (old.rest !== undefined) this.rest(this.ranges.remove, pair, old.rest, this.oldCode, fresh.rest);
    if (fresh.rest !== undefined) this.rest(this.ranges.add, pair, fresh.rest, this.newCode, old.rest);
  }

  /** Elements of the hash map, but for those that `except` has alike. */
  private hashed(block: Block, pair: number, level: number, list: readonly number[], code: (id: number) => number, except: readonly number[]): void {
    let other = 0;
    for (let i = 0; i < list.length; i += 2) {
      const x = list[i] ?? 0;
      const winner = list[i + 1] ?? UNDERLYING;
      while (other < except.length && (except[other] ?? 0) < x) other += 2;
      if (except[other] === x && except[other + 1] === winner && !this.changed.has(winner)) continue;
      block.add();
      regionKey(block, pair, x);
      block.keyWord(3, level);
      block.dataHostWord(1, winner);
      block.dataHostWord(3, code(winner));
    }
  }

  /** The regions, but for those that `except` has alike (same bounds, same winner, same action). */
  private rest(block: Block, pair: number, segments: NumberSegments, code: (id: number) => number, except: NumberSegments | undefined): void {
    let other = 0;
    for (let i = 0; i < segments.starts.length; i += 1) {
      const first = segments.starts[i] ?? 0;
      const end = segments.starts[i + 1] ?? SPACE;
      const winner = segments.winners[i] ?? UNDERLYING;
      if (winner === UNDERLYING) continue; // the default pair's regions decide
      if (except !== undefined && !this.changed.has(winner)) {
        while (other + 1 < except.starts.length && (except.starts[other] ?? 0) < first) other += 1;
        if (except.starts[other] === first && (except.starts[other + 1] ?? SPACE) === end && except.winners[other] === winner) continue;
      }
      block.add();
      regionKey(block, pair, first);
      block.dataHostWord(1, winner);
      block.dataHostWord(3, code(winner));
      block.add(END);
      if (end < SPACE) regionKey(block, pair, end);
      else {
        // One past protocol 255, port 65535: greater than every key of this pair, smaller than any of the next.
        regionKey(block, pair, SPACE - 1);
        block.keyByte(10, 1);
      }
    }
  }
}

function held(regions: PairRegions | undefined): HeldPair {
  if (regions === undefined) return { singles: NONE, blocks: NONE };
  return regions.split ? splitRegions(regions.segments) : { singles: NONE, blocks: NONE, rest: regions.segments };
}

/** {pair, protocol 0 0 0, port 0 0, 0}. In the interval map the last word is covered whole by every region, so it doesn't count. */
function regionKey(block: Block, pair: number, x: number): void {
  block.keyWord(0, pair);
  block.keyByte(4, x >>> 16);
  block.keyByte(8, x >>> 8);
  block.keyByte(9, x);
}
