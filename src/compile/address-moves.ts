/** Which addresses, or source ports, went from one class to another between two compilations; by class, not one by one. */
import { intervalClass, type Family, type IntervalClasses } from './classes.js';
import { nextKey6, type Key6 } from './key6.js';
import type { SourcePortClasses } from './source-ports.js';

/** Some address of that family went from class to class (or from profile to profile); 0 = none. */
export interface Move {
  readonly from: number;
  readonly to: number;
  readonly family: Family;
}

/** Classes, or profiles, of addresses: a host's comes before that of the interval around it. */
export interface AddressMaps {
  readonly hosts4: ReadonlyMap<number, number>;
  readonly hosts6: ReadonlyMap<Key6, number>;
  readonly intervals4: IntervalClasses<number>;
  readonly intervals6: IntervalClasses<Key6>;
}

/** Distinct moves. */
export class Moves {
  private readonly known = new Map<string, Move>();

  add(from: number, to: number, family: Family): void {
    const key = `${from} ${to} ${family}`;
    if (from !== to && !this.known.has(key)) this.known.set(key, { from, to, family });
  }

  get list(): readonly Move[] {
    return [...this.known.values()];
  }
}

export function addressMoves(before: AddressMaps, after: AddressMaps): readonly Move[] {
  const moves = new Moves();
  const four = (from: number, to: number): void => moves.add(from, to, 4);
  const six = (from: number, to: number): void => moves.add(from, to, 6);
  hostMoves(before.hosts4, before.intervals4, after.hosts4, after.intervals4, four);
  hostMoves(before.hosts6, before.intervals6, after.hosts6, after.intervals6, six);
  intervalMoves(before.intervals4, after.intervals4, (address) => (address === 0xffffffff ? undefined : address + 1), four);
  intervalMoves(before.intervals6, after.intervals6, nextKey6, six);
  return moves.list;
}

function hostMoves<T extends number | Key6>(
  before: ReadonlyMap<T, number>, beforeIntervals: IntervalClasses<T>, after: ReadonlyMap<T, number>, afterIntervals: IntervalClasses<T>,
  note: (from: number, to: number) => void,
): void {
  if (before === after && beforeIntervals === afterIntervals) return;
  for (const [address, id] of before) {
    const now = after.get(address);
    if (now !== id) note(id, now ?? intervalClass(afterIntervals, address));
  }
  for (const [address, id] of after) if (!before.has(address)) note(intervalClass(beforeIntervals, address), id);
}

function intervalMoves<T extends number | Key6>(
  before: IntervalClasses<T>, after: IntervalClasses<T>, next: (address: T) => T | undefined, note: (from: number, to: number) => void,
): void {
  if (before === after) return;
  // Every piece between two bounds of either list lies in one class of each: its first address stands for it.
  const points = new Set<T>([...before.first, ...after.first]);
  for (const list of [before, after]) {
    for (const last of list.last) {
      const following = next(last);
      if (following !== undefined) points.add(following);
    }
  }
  for (const point of points) note(intervalClass(before, point), intervalClass(after, point));
}

/** Classes of source ports before and after: every combination that a port has, and that of protocols without ports. */
export function sourcePortPairs(before: SourcePortClasses | undefined, after: SourcePortClasses | undefined): readonly (readonly [from: number, to: number])[] {
  const pairs = new Map<string, readonly [number, number]>([['0 0', [0, 0]]]);
  const points = [...new Set([...(before?.starts ?? []), ...(after?.starts ?? [])])].sort((a, b) => a - b);
  let i = -1;
  let j = -1;
  for (const point of points) {
    if (before?.starts[i + 1] === point) i += 1;
    if (after?.starts[j + 1] === point) j += 1;
    const from = before?.classes[i] ?? 0;
    const to = after?.classes[j] ?? 0;
    pairs.set(`${from} ${to}`, [from, to]);
  }
  return [...pairs.values()];
}
