/** Elements of a compiled table's data maps: all of them, or what differs from the compilation before. */
import { hostDelta, type CompiledTable, type Profile } from '../../compile/compiled.js';
import type { SourcePortClasses } from '../../compile/source-ports.js';
import { changedPairs, diffIntervals, diffMaps, LOCAL_WRITERS, peerWriters, putMoves } from './address-elements.js';
import { Block, END } from './blocks.js';
import type { SetImage } from './image.js';
import { diffRegions, type BlockChange } from './region-elements.js';
import { splitPairs } from './region-split.js';
import { GUARD_PROFILE, type TableSets } from './table-sets.js';

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
  const blocks = (set: SetImage): BlockChange => ({ remove: new Block(set.keyLength, set.data === 16 ? 16 : 0), add: new Block(set.keyLength, set.data === 16 ? 16 : 0) });
  const note = (set: SetImage, { remove, add }: BlockChange): void => {
    if (remove.count > 0 || add.count > 0) changes.push({ set, remove, add });
  };
  const change = (set: SetImage, fill: (old: CompiledTable | undefined, remove: Block, add: Block) => void): void => {
    const made = blocks(set);
    fill(had(set) ? before : undefined, made.remove, made.add);
    note(set, made);
  };
  const delta = hostDelta(before, after);
  const peers = peerWriters(after);
  if (delta !== undefined) {
    change(sets.hosts[4], (_old, remove, add) => putMoves(delta.hosts4, remove, add, peers.host4));
    change(sets.hosts[6], (_old, remove, add) => putMoves(delta.hosts6, remove, add, peers.host6));
    for (const side of ['in', 'out'] as const) {
      change(sets.locals[side].hosts[4], (_old, remove, add) => putMoves(delta.locals[side].hosts4, remove, add, LOCAL_WRITERS.host4));
      change(sets.locals[side].hosts[6], (_old, remove, add) => putMoves(delta.locals[side].hosts6, remove, add, LOCAL_WRITERS.host6));
    }
    return changes;
  }
  const repaired = before === undefined ? undefined : changedPairs(before, after);
  change(sets.hosts[4], (old, remove, add) => diffMaps(old?.classes.hosts4, after.classes.hosts4, remove, add, peers.host4, repaired));
  change(sets.hosts[6], (old, remove, add) => diffMaps(old?.classes.hosts6, after.classes.hosts6, remove, add, peers.host6, repaired));
  change(sets.intervals[4], (old, remove, add) => diffIntervals(old?.classes.intervals4, after.classes.intervals4, remove, add, peers.range4, repaired));
  change(sets.intervals[6], (old, remove, add) => diffIntervals(old?.classes.intervals6, after.classes.intervals6, remove, add, peers.range6, repaired));
  change(sets.sourcePorts, (old, remove, add) => {
    if (JSON.stringify(old?.sourcePorts?.starts) === JSON.stringify(after.sourcePorts?.starts)
      && JSON.stringify(old?.sourcePorts?.classes) === JSON.stringify(after.sourcePorts?.classes)) return;
    putSourcePorts(remove, old?.sourcePorts);
    putSourcePorts(add, after.sourcePorts);
  });
  for (const side of ['in', 'out'] as const) {
    const names = sets.locals[side];
    const fresh = after.sides[side];
    const { host4, host6, range4, range6 } = LOCAL_WRITERS;
    change(names.hosts[4], (old, remove, add) => diffMaps(old?.sides[side].locals4, fresh.locals4, remove, add, host4));
    change(names.hosts[6], (old, remove, add) => diffMaps(old?.sides[side].locals6, fresh.locals6, remove, add, host6));
    change(names.intervals[4], (old, remove, add) => diffIntervals(old?.sides[side].localIntervals4, fresh.localIntervals4, remove, add, range4));
    change(names.intervals[6], (old, remove, add) => diffIntervals(old?.sides[side].localIntervals6, fresh.localIntervals6, remove, add, range6));
  }
  change(sets.pairs, (old, remove, add) => diffPairs(old, after, remove, add));
  const exact = blocks(sets.exact);
  const ranges = blocks(sets.regions);
  diffRegions(
    before === undefined || !had(sets.regions) ? undefined : { compiled: before, split: splitPairs(before) },
    { compiled: after, split: splitPairs(after) }, exact, ranges,
  );
  note(sets.exact, exact);
  note(sets.regions, ranges);
  return changes;
}

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

const NO_PAIRS: ReadonlyMap<number, number> = new Map();

function diffPairs(before: CompiledTable | undefined, after: CompiledTable, remove: Block, add: Block): void {
  for (const side of ['in', 'out'] as const) {
    const old = before?.sides[side];
    const fresh = after.sides[side];
    const put = (profile: number) => (block: Block, key: number, pair: number): void => putPair(block, key, profile, pair);
    for (const [id, profile] of old?.profiles ?? []) {
      if (!fresh.profiles.has(id)) diffMaps(heldPairs(before, id === old?.defaultProfile, profile), NO_PAIRS, remove, add, put(id));
    }
    for (const [id, profile] of fresh.profiles) {
      diffMaps(heldPairs(before, id === old?.defaultProfile, old?.profiles.get(id)), heldPairs(after, id === fresh.defaultProfile, profile), remove, add, put(id));
    }
    const guard = GUARD_PROFILE[side];
    for (const id of old?.guarded ?? []) if (!fresh.guarded.has(id)) putPair(remove, id, guard, 1);
    for (const id of fresh.guarded) if (old?.guarded.has(id) !== true) putPair(add, id, guard, 1);
  }
}

/** Pairs of the default profile stand beside the peers' classes; only where source ports matter they are looked up. */
function heldPairs(table: CompiledTable | undefined, isDefault: boolean, profile: Profile | undefined): ReadonlyMap<number, number> {
  return profile === undefined || (isDefault && table?.sourcePorts === undefined) ? NO_PAIRS : profile.pairs;
}

/** Key {class, 0, source port class, profile}. */
function putPair(block: Block, key: number, profile: number, pair: number): void {
  block.add();
  block.keyWord(0, key % 0x1_0000_0000);
  block.keyWord(2, Math.floor(key / 0x1_0000_0000));
  block.keyWord(3, profile);
  block.dataWord(1, pair);
}
