/** Elements of the maps from addresses: peers to {class, pairs}, local addresses to profiles. */
import type { IntervalClasses } from '../../compile/classes.js';
import { pairKey, type CompiledSide, type CompiledTable, type HostMove } from '../../compile/compiled.js';
import { nextKey6, type Key6 } from '../../compile/key6.js';
import { END, type Block } from './blocks.js';

/** Writes the data of the newest element for a class or profile. */
type PutValue = (block: Block, value: number) => void;
export type PutAddress<K> = (block: Block, address: K, value: number) => void;
export type PutRange<T> = (block: Block, first: T, last: T, value: number) => void;

/** What is not an interval's or a host's own: classes whose data changed though their number did not. */
export type ChangedValues = (value: number) => boolean;
const NONE_CHANGED: ChangedValues = () => false;

/**
 * Pairs of a class at the in and the out side, for local addresses of the default profile and connections whose source port
 * does not matter. 0: such peers decide nothing otherwise than peers in no set (no pair is 0).
 */
export function classPairs({ sides }: CompiledTable): (classNumber: number) => readonly [number, number] {
  const of = ({ profiles, defaultProfile }: CompiledSide): (classNumber: number) => number => {
    const pairs = profiles.get(defaultProfile)?.pairs;
    return (classNumber) => pairs?.get(pairKey(classNumber, 0)) ?? 0;
  };
  const pairIn = of(sides.in);
  const pairOut = of(sides.out);
  const known = new Map<number, readonly [number, number]>();
  return (classNumber) => {
    const found = known.get(classNumber);
    if (found !== undefined) return found;
    const pairs: readonly [number, number] = [pairIn(classNumber), pairOut(classNumber)];
    known.set(classNumber, pairs);
    return pairs;
  };
}

/** Classes of both compilations that have other pairs now. */
export function changedPairs(before: CompiledTable, after: CompiledTable): ChangedValues {
  const old = classPairs(before);
  const fresh = classPairs(after);
  const changed = new Set<number>();
  for (const id of after.classes.members.keys()) {
    const [oldIn, oldOut] = old(id);
    const [freshIn, freshOut] = fresh(id);
    if (oldIn !== freshIn || oldOut !== freshOut) changed.add(id);
  }
  return changed.size === 0 ? NONE_CHANGED : (id) => changed.has(id);
}

export interface AddressWriters {
  readonly host4: PutAddress<number>;
  readonly host6: PutAddress<Key6>;
  readonly range4: PutRange<number>;
  readonly range6: PutRange<Key6>;
}

/** {0, class, pair in, pair out}. */
export function peerWriters(compiled: CompiledTable): AddressWriters {
  const pairs = classPairs(compiled);
  return writers((block, classNumber) => {
    const [pairIn, pairOut] = pairs(classNumber);
    block.dataWord(1, classNumber);
    block.dataWord(2, pairIn);
    block.dataWord(3, pairOut);
  });
}

/** {profile, 0, 0, 0}. */
export const LOCAL_WRITERS: AddressWriters = writers((block, profile) => block.dataWord(0, profile));

function writers(put: PutValue): AddressWriters {
  const host4: PutAddress<number> = (block, address, value) => {
    block.add();
    block.keyWord(0, address);
    put(block, value);
  };
  const host6: PutAddress<Key6> = (block, address, value) => {
    block.add();
    block.keyText(address);
    put(block, value);
  };
  return {
    host4, host6,
    range4: (block, first, last, value) => {
      host4(block, first, value);
      if (last === 0xffffffff) return; // open ended: the interval runs to the last address
      block.add(END);
      block.keyWord(0, last + 1);
    },
    range6: (block, first, last, value) => {
      host6(block, first, value);
      const end = nextKey6(last);
      if (end === undefined) return;
      block.add(END);
      block.keyText(end);
    },
  };
}

export function diffMaps<K>(
  before: ReadonlyMap<K, number> | undefined, after: ReadonlyMap<K, number>, remove: Block, add: Block,
  put: PutAddress<K>, changed: ChangedValues = NONE_CHANGED,
): void {
  if (before === after && changed === NONE_CHANGED) return;
  for (const [key, value] of before ?? []) if (after.get(key) !== value || changed(value)) put(remove, key, value);
  for (const [key, value] of after) if (before?.get(key) !== value || changed(value)) put(add, key, value);
}

export function diffIntervals<T extends number | string>(
  before: IntervalClasses<T> | undefined, after: IntervalClasses<T>, remove: Block, add: Block,
  put: PutRange<T>, changed: ChangedValues = NONE_CHANGED,
): void {
  if (before === after && changed === NONE_CHANGED) return;
  const text = (list: IntervalClasses<T>, index: number): string => `${list.first[index]}\n${list.last[index]}\n${list.classes[index]}`;
  const old = new Set(before?.first.map((_, index) => text(before, index)) ?? []);
  const fresh = new Set(after.first.map((_, index) => text(after, index)));
  const each = (list: IntervalClasses<T> | undefined, other: ReadonlySet<string>, block: Block): void => {
    list?.first.forEach((first, index) => {
      const last = list.last[index];
      const value = list.classes[index] ?? 0;
      if (last !== undefined && (!other.has(text(list, index)) || changed(value))) put(block, first, last, value);
    });
  };
  each(before, fresh, remove);
  each(after, old, add);
}

/** Hosts that went from one class to another. */
export function putMoves<K>(moves: readonly HostMove<K>[], remove: Block, add: Block, put: PutAddress<K>): void {
  for (const { address, from, to } of moves) {
    if (from !== 0) put(remove, address, from);
    if (to !== 0) put(add, address, to);
  }
}
