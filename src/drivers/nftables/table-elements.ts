/** Elements of a compiled table's data maps: all of them, or what differs from the compilation before. */
import type { IntervalClasses } from '../../compile/classes.js';
import { nextKey6, type Key6 } from '../../compile/key6.js';
import { equalSegments, SPACE, UNDERLYING, type Segments } from '../../compile/regions.js';
import type { SourcePortClasses } from '../../compile/source-ports.js';
import type { CompiledTable, HostMove } from '../../compile/compiled.js';
import { Block, END } from './blocks.js';
import type { SetImage } from './image.js';
import { GUARD_PROFILE, type TableSets } from './table-layout.js';
import { ACTION, actionCode } from './verdicts.js';

export interface ElementChange {
  readonly set: SetImage;
  readonly remove: Block;
  readonly add: Block;
}

/**
 * Changes from `before` (undefined = nothing in the kernel) to `after`; only sets that change are listed. `had` tells which
 * sets the kernel has: a set that the former compilation had no use for was not made, and gets all its elements now.
 */
export function elementChanges(sets: TableSets, before: CompiledTable | undefined, after: CompiledTable, had: (set: SetImage) => boolean): ElementChange[] {
  const changes: ElementChange[] = [];
  const change = (set: SetImage, fill: (old: CompiledTable | undefined, remove: Block, add: Block) => void): void => {
    const remove = new Block(set.keyLength, set.data === 16 ? 16 : 0);
    const add = new Block(set.keyLength, set.data === 16 ? 16 : 0);
    fill(had(set) ? before : undefined, remove, add);
    if (remove.count > 0 || add.count > 0) changes.push({ set, remove, add });
  };
  const { delta } = after;
  if (delta !== undefined && delta.base === before) {
    change(sets.hosts[4], (_old, remove, add) => putMoves(delta.hosts4, remove, add, putHost4));
    change(sets.hosts[6], (_old, remove, add) => putMoves(delta.hosts6, remove, add, putHost6));
    return changes;
  }
  change(sets.hosts[4], (old, remove, add) => diffMaps(old?.classes.hosts4, after.classes.hosts4, remove, add, putHost4));
  change(sets.hosts[6], (old, remove, add) => diffMaps(old?.classes.hosts6, after.classes.hosts6, remove, add, putHost6));
  change(sets.intervals[4], (old, remove, add) => diffIntervals(old?.classes.intervals4, after.classes.intervals4, remove, add, putInterval4));
  change(sets.intervals[6], (old, remove, add) => diffIntervals(old?.classes.intervals6, after.classes.intervals6, remove, add, putInterval6));
  change(sets.sourcePorts, (old, remove, add) => {
    if (JSON.stringify(old?.sourcePorts?.starts) === JSON.stringify(after.sourcePorts?.starts)
      && JSON.stringify(old?.sourcePorts?.classes) === JSON.stringify(after.sourcePorts?.classes)) return;
    putSourcePorts(remove, old?.sourcePorts);
    putSourcePorts(add, after.sourcePorts);
  });
  for (const side of ['in', 'out'] as const) {
    const names = sets.locals[side];
    const fresh = after.sides[side];
    change(names.hosts[4], (old, remove, add) => diffMaps(old?.sides[side].locals4, fresh.locals4, remove, add, putLocal4));
    change(names.hosts[6], (old, remove, add) => diffMaps(old?.sides[side].locals6, fresh.locals6, remove, add, putLocal6));
    change(names.intervals[4], (old, remove, add) => diffIntervals(old?.sides[side].localIntervals4, fresh.localIntervals4, remove, add, putLocalInterval4));
    change(names.intervals[6], (old, remove, add) => diffIntervals(old?.sides[side].localIntervals6, fresh.localIntervals6, remove, add, putLocalInterval6));
  }
  change(sets.pairs, (old, remove, add) => diffPairs(old, after, remove, add));
  change(sets.regions, (old, remove, add) => diffRegions(old, after, remove, add));
  return changes;
}

function diffMaps<K>(
  before: ReadonlyMap<K, number> | undefined, after: ReadonlyMap<K, number>, remove: Block, add: Block,
  put: (block: Block, key: K, value: number) => void,
): void {
  if (before === after) return;
  for (const [key, value] of before ?? []) if (after.get(key) !== value) put(remove, key, value);
  for (const [key, value] of after) if (before?.get(key) !== value) put(add, key, value);
}

function putMoves<K>(moves: readonly HostMove<K>[], remove: Block, add: Block, put: (block: Block, key: K, value: number) => void): void {
  for (const { address, from, to } of moves) {
    if (from !== 0) put(remove, address, from);
    if (to !== 0) put(add, address, to);
  }
}

/** Word of the data in which a value stands: classes go one register past the lookup's, profiles into the lookup's own. */
const CLASS_WORD = 1;
const PROFILE_WORD = 0;

function putAddress4(word: number): (block: Block, address: number, value: number) => void {
  return (block, address, value) => {
    block.add();
    block.keyWord(0, address);
    block.dataWord(word, value);
  };
}

function putAddress6(word: number): (block: Block, address: Key6, value: number) => void {
  return (block, address, value) => {
    block.add();
    block.keyText(address);
    block.dataWord(word, value);
  };
}

const putHost4 = putAddress4(CLASS_WORD);
const putHost6 = putAddress6(CLASS_WORD);
const putLocal4 = putAddress4(PROFILE_WORD);
const putLocal6 = putAddress6(PROFILE_WORD);

function diffIntervals<T extends number | string>(
  before: IntervalClasses<T> | undefined, after: IntervalClasses<T>, remove: Block, add: Block,
  put: (block: Block, first: T, last: T, value: number) => void,
): void {
  if (before === after) return;
  const text = (list: IntervalClasses<T>, index: number): string => `${list.first[index]}\n${list.last[index]}\n${list.classes[index]}`;
  const old = new Set(before?.first.map((_, index) => text(before, index)) ?? []);
  const fresh = new Set(after.first.map((_, index) => text(after, index)));
  const each = (list: IntervalClasses<T> | undefined, other: ReadonlySet<string>, block: Block): void => {
    list?.first.forEach((first, index) => {
      const last = list.last[index];
      if (last !== undefined && !other.has(text(list, index))) put(block, first, last, list.classes[index] ?? 0);
    });
  };
  each(before, fresh, remove);
  each(after, old, add);
}

function putRange4(put: (block: Block, address: number, value: number) => void): (block: Block, first: number, last: number, value: number) => void {
  return (block, first, last, value) => {
    put(block, first, value);
    if (last === 0xffffffff) return; // open ended: the interval runs to the last address
    block.add(END);
    block.keyWord(0, last + 1);
  };
}

function putRange6(put: (block: Block, address: Key6, value: number) => void): (block: Block, first: Key6, last: Key6, value: number) => void {
  return (block, first, last, value) => {
    put(block, first, value);
    const end = nextKey6(last);
    if (end === undefined) return;
    block.add(END);
    block.keyText(end);
  };
}

const putInterval4 = putRange4(putHost4);
const putInterval6 = putRange6(putHost6);
const putLocalInterval4 = putRange4(putLocal4);
const putLocalInterval6 = putRange6(putLocal6);

function putSourcePorts(block: Block, classes: SourcePortClasses | undefined): void {
  if (classes === undefined) return;
  classes.starts.forEach((start, index) => {
    block.add();
    block.keyByte(0, start >>> 8);
    block.keyByte(1, start);
    block.dataWord(1, classes.classes[index] ?? 0);
    const next = classes.starts[index + 1];
    if (next === undefined) return;
    block.add(END);
    block.keyByte(0, next >>> 8);
    block.keyByte(1, next);
  });
}

function diffPairs(before: CompiledTable | undefined, after: CompiledTable, remove: Block, add: Block): void {
  for (const side of ['in', 'out'] as const) {
    const old = before?.sides[side];
    const fresh = after.sides[side];
    const put = (profile: number) => (block: Block, key: number, pair: number): void => putPair(block, key, profile, pair);
    for (const [id, profile] of old?.profiles ?? []) {
      if (!fresh.profiles.has(id)) diffMaps(profile.pairs, new Map(), remove, add, put(id));
    }
    for (const [id, profile] of fresh.profiles) diffMaps(old?.profiles.get(id)?.pairs, profile.pairs, remove, add, put(id));
    const guard = GUARD_PROFILE[side];
    for (const id of old?.guarded ?? []) if (!fresh.guarded.has(id)) putPair(remove, id, guard, 1);
    for (const id of fresh.guarded) if (old?.guarded.has(id) !== true) putPair(add, id, guard, 1);
  }
}

/** Key {class, 0, source port class, profile}. */
function putPair(block: Block, key: number, profile: number, pair: number): void {
  block.add();
  block.keyWord(0, key % 0x1_0000_0000);
  block.keyWord(2, Math.floor(key / 0x1_0000_0000));
  block.keyWord(3, profile);
  block.dataWord(1, pair);
}

function diffRegions(before: CompiledTable | undefined, after: CompiledTable, remove: Block, add: Block): void {
  if (before?.regions === after.regions) return;
  // The action stands in the regions: a rule whose action changed is rewritten in all of its own.
  const changed = new Set<number>();
  for (const [id, label] of after.labels) {
    const old = before?.labels.get(id);
    if (old !== undefined && actionCode(old) !== actionCode(label)) changed.add(id);
  }
  const touched = (segments: Segments): boolean => changed.size > 0 && segments.winners.some((winner) => changed.has(winner));
  const oldCode = (id: number): number => codeOf(before, id);
  const newCode = (id: number): number => codeOf(after, id);
  for (const [pair, segments] of before?.regions ?? []) {
    const now = after.regions.get(pair);
    if (now === undefined) putRegions(remove, pair, segments, oldCode, undefined, changed);
    else if (touched(segments) || !equalSegments(segments, now)) putRegions(remove, pair, segments, oldCode, now, changed);
  }
  for (const [pair, segments] of after.regions) {
    const old = before?.regions.get(pair);
    if (old === undefined) putRegions(add, pair, segments, newCode, undefined, changed);
    else if (touched(segments) || !equalSegments(segments, old)) putRegions(add, pair, segments, newCode, old, changed);
  }
}

function codeOf(table: CompiledTable | undefined, id: number): number {
  const label = table?.labels.get(id);
  return label === undefined ? ACTION.drop : actionCode(label);
}

/** The pair's regions, but for those that `except` has alike (same bounds, same winner, same action). */
function putRegions(
  block: Block, pair: number, segments: Segments, code: (id: number) => number, except: Segments | undefined, changed: ReadonlySet<number>,
): void {
  let other = 0;
  for (let i = 0; i < segments.starts.length; i += 1) {
    const first = segments.starts[i] ?? 0;
    const end = segments.starts[i + 1] ?? SPACE;
    const winner = segments.winners[i] ?? UNDERLYING;
    if (winner === UNDERLYING) continue; // the default pair's regions decide
    if (except !== undefined && !changed.has(winner)) {
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

/** {pair, protocol 0 0 0, port 0 0, 0}: the last word is covered whole by every region, so it doesn't count. */
function regionKey(block: Block, pair: number, x: number): void {
  block.keyWord(0, pair);
  block.keyByte(4, x >>> 16);
  block.keyByte(8, x >>> 8);
  block.keyByte(9, x);
}

