/**
 * Address classes: two addresses are in one class when no address set of the rule table tells them apart.
 *
 * Hosts (members of one address) and intervals (prefixes, ranges) are kept apart, as the kernel keeps them in a hash map
 * and in an interval map: a host's class counts every set that holds it, by host or by interval; an interval's class counts
 * interval members only, and stands for the addresses in it that are nobody's host.
 */
import { HashedIds } from './hash.js';
import { halves6, key6, nextKey6, type Key6 } from './key6.js';
import type { Ranges } from './ranges.js';

export type Family = 4 | 6;


/** Sorted, disjoint intervals with the class of each; `last` is inclusive. Neighbours of one class are joined. */
export interface IntervalClasses<T> {
  readonly first: readonly T[];
  readonly last: readonly T[];
  readonly classes: readonly number[];
}

export interface AddressClasses {
  readonly hosts4: Map<number, number>;
  readonly hosts6: Map<Key6, number>;
  readonly intervals4: IntervalClasses<number>;
  readonly intervals6: IntervalClasses<Key6>;
  /** How many hosts and intervals each class has. */
  readonly counts: Map<number, number>;
  /** Class number -> indexes of the sets that its addresses are in, ascending. */
  readonly members: ReadonlyMap<number, readonly number[]>;
  /** The other way round, by classKey. */
  readonly byMembers: ReadonlyMap<string, number>;
  /** Class number -> family, where families are split. */
  readonly families: ReadonlyMap<number, Family>;
}

/** `family` where no class holds addresses of both. */
export function classKey(sets: readonly number[], family: Family | undefined): string {
  return family === undefined ? sets.join() : `${family}:${sets.join()}`;
}

/** Numbers for memberships: by content (names of the sets), so that they are the same in every compilation. */
export class ClassNumbers {
  private readonly ids = new HashedIds();
  readonly known = new Map<string, number>();
  readonly members = new Map<number, readonly number[]>();
  /** Family of each class; only with splitFamilies. */
  readonly families = new Map<number, Family>();

  /** `splitFamilies`: no class holds addresses of both families, as rules that are restricted to one need it. */
  constructor(private readonly setKeys: readonly string[], private readonly splitFamilies: boolean) {}

  /** `sets`: ascending indexes, not empty. */
  number(sets: readonly number[], family: Family): number {
    const key = classKey(sets, this.splitFamilies ? family : undefined);
    const found = this.known.get(key);
    if (found !== undefined) return found;
    const names = sets.map((index) => this.setKeys[index] ?? '').sort().join('\n');
    const id = this.ids.id(this.splitFamilies ? `${family}:${names}` : names);
    this.known.set(key, id);
    this.members.set(id, sets);
    if (this.splitFamilies) this.families.set(id, family);
    return id;
  }
}

export function classify(sets: readonly Ranges[], numbers: ClassNumbers): AddressClasses {
  const intervals4 = sweep(numbers, 4, intervalEvents4(sets), (value) => value - 1);
  const intervals6 = sweep(numbers, 6, intervalEvents6(sets), previousKey6);
  const hosts4 = hostClasses4(sets, numbers, intervals4);
  const hosts6 = hostClasses6(sets, numbers, intervals6);
  const counts = new Map<number, number>();
  for (const ids of [hosts4.values(), hosts6.values(), intervals4.classes, intervals6.classes]) {
    for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return {
    hosts4,
    hosts6,
    intervals4,
    intervals6,
    counts,
    members: numbers.members,
    byMembers: numbers.known,
    families: numbers.families,
  };
}

/** Class of an address that is nobody's host: the interval's, or 0 = in no set. */
export function intervalClass<T extends number | string>(intervals: IntervalClasses<T>, address: T): number {
  let low = 0;
  let high = intervals.first.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const first = intervals.first[middle];
    if (first !== undefined && first <= address) low = middle + 1;
    else high = middle;
  }
  const last = intervals.last[low - 1];
  return last !== undefined && address <= last ? (intervals.classes[low - 1] ?? 0) : 0;
}

export function union(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

function hostClasses4(sets: readonly Ranges[], numbers: ClassNumbers, intervals: IntervalClasses<number>): Map<number, number> {
  let count = 0;
  for (const { hosts4 } of sets) count += hosts4.length;
  // address * 2^20 + set index is exact in a double and sorts natively.
  const order = new Float64Array(count);
  let at = 0;
  sets.forEach(({ hosts4 }, index) => {
    for (let i = 0; i < hosts4.length; i += 1) {
      order[at] = (hosts4[i] ?? 0) * 0x100000 + index;
      at += 1;
    }
  });
  order.sort();
  const hosts = new Map<number, number>();
  const single = new Map<number, number>();
  for (let i = 0; i < count; ) {
    const address = Math.floor((order[i] ?? 0) / 0x100000);
    const holders: number[] = [];
    for (; i < count && Math.floor((order[i] ?? 0) / 0x100000) === address; i += 1) holders.push((order[i] ?? 0) % 0x100000);
    const around = intervals.first.length === 0 ? 0 : intervalClass(intervals, address);
    const [only] = holders;
    if (around === 0 && holders.length === 1 && only !== undefined) {
      // Most hosts are in one set: skip the text key.
      let id = single.get(only);
      if (id === undefined) {
        id = numbers.number(holders, 4);
        single.set(only, id);
      }
      hosts.set(address, id);
    } else {
      hosts.set(address, numbers.number(union(holders, numbers.members.get(around) ?? []), 4));
    }
  }
  return hosts;
}

function hostClasses6(sets: readonly Ranges[], numbers: ClassNumbers, intervals: IntervalClasses<Key6>): Map<Key6, number> {
  const holders = new Map<Key6, number[]>();
  sets.forEach(({ hosts6 }, index) => {
    for (const key of hosts6) {
      const list = holders.get(key);
      if (list === undefined) holders.set(key, [index]);
      else list.push(index);
    }
  });
  const hosts = new Map<Key6, number>();
  for (const [address, list] of holders) {
    const around = intervals.first.length === 0 ? 0 : intervalClass(intervals, address);
    hosts.set(address, numbers.number(union(list, numbers.members.get(around) ?? []), 6));
  }
  return hosts;
}

interface Event<T> {
  readonly at: T;
  readonly set: number;
  readonly enters: boolean;
}

function intervalEvents4(sets: readonly Ranges[]): Event<number>[] {
  const events: Event<number>[] = [];
  sets.forEach(({ intervals4 }, set) => {
    for (let i = 0; i < intervals4.length; i += 2) {
      events.push({ at: intervals4[i] ?? 0, set, enters: true }, { at: (intervals4[i + 1] ?? 0) + 1, set, enters: false });
    }
  });
  return events.sort((a, b) => a.at - b.at);
}

/** Sorts after every 16-byte key: the place after ffff:...:ffff. */
const END6 = '\u0100';

function intervalEvents6(sets: readonly Ranges[]): Event<Key6>[] {
  const events: Event<Key6>[] = [];
  sets.forEach(({ intervals6 }, set) => {
    for (let i = 0; i < intervals6.length; i += 2) {
      const first = intervals6[i] ?? '';
      const last = intervals6[i + 1] ?? '';
      events.push({ at: first, set, enters: true }, { at: nextKey6(last) ?? END6, set, enters: false });
    }
  });
  return events.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

function previousKey6(key: Key6): Key6 {
  if (key === END6) return key6(0xffffffffffffffffn, 0xffffffffffffffffn);
  const { high, low } = halves6(key);
  return low === 0n ? key6(high - 1n, 0xffffffffffffffffn) : key6(high, low - 1n);
}

function sweep<T extends number | string>(
  numbers: ClassNumbers, family: Family, events: readonly Event<T>[], before: (value: T) => T,
): IntervalClasses<T> {
  const first: T[] = [];
  const last: T[] = [];
  const classes: number[] = [];
  const inside = new Set<number>();
  for (let i = 0; i < events.length; ) {
    const at = events[i]?.at;
    if (at === undefined) break;
    for (let event = events[i]; event !== undefined && event.at === at; i += 1, event = events[i]) {
      if (event.enters) inside.add(event.set);
      else inside.delete(event.set);
    }
    const end = events[i]?.at;
    if (inside.size === 0 || end === undefined) continue;
    const id = numbers.number([...inside].sort((a, b) => a - b), family);
    const previous = last.length - 1;
    const previousLast = last[previous];
    if (previousLast !== undefined && classes[previous] === id && previousLast === before(at)) last[previous] = before(end);
    else {
      first.push(at);
      last.push(before(end));
      classes.push(id);
    }
  }
  return { first, last, classes };
}
