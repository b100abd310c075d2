/**
 * Which rules lost something from one compilation to the next: some packet that a rule decided before is now decided by
 * another. Connections that such a rule admitted must be judged again. May name too many, never too few.
 */
import { intervalClass, type AddressClasses, type IntervalClasses } from './classes.js';
import { nextKey6, type Key6 } from './key6.js';
import { SPACE, type Segments } from './regions.js';
import { completeRegions, pairKey, type CompiledSide, type CompiledTable, type HostDelta, type Profile } from './compiled.js';

/** Above this many distinct moves of addresses between classes, every rule is taken to have lost. */
const MAX_MOVES = 4096;

/** Label ids of `before` that lost packets in `after`. */
export function losses(before: CompiledTable, after: CompiledTable): Set<number> {
  const lost = new Set<number>();
  if (before === after) return lost;
  const moves = after.delta?.base === before ? deltaMoves(after.delta) : classMoves(before.classes, after.classes);
  for (const side of ['in', 'out'] as const) {
    const old = before.sides[side];
    const fresh = after.sides[side];
    for (const [id, profile] of old.profiles) {
      const now = fresh.profiles.get(id);
      if (now === undefined || moves === undefined) loseProfile(profile, before, lost);
      else compareProfile(profile, before, now, after, moves, lost);
    }
    // An address of this end that changed its profile: what the old one admitted is judged again.
    for (const id of movedProfiles(old, fresh)) {
      const profile = old.profiles.get(id);
      if (profile !== undefined) loseProfile(profile, before, lost);
    }
  }
  return lost;
}

function loseProfile(profile: Profile, table: CompiledTable, lost: Set<number>): void {
  for (const pair of new Set([profile.default4, profile.default6, ...profile.pairs.values()])) {
    for (const winner of table.regions.get(pair)?.winners ?? []) lost.add(winner);
  }
}

type Move = readonly [from: number, to: number];

function compareProfile(
  old: Profile, before: CompiledTable, now: Profile, after: CompiledTable, moves: readonly Move[], lost: Set<number>,
): void {
  const compared = new Set<string>();
  const sameDefault = before.regions.get(old.default4) === after.regions.get(now.default4);
  const compare = (from: number, to: number): void => {
    const key = `${from} ${to}`;
    if (compared.has(key)) return;
    compared.add(key);
    // The same pair with the same regions over the same default: nothing to complete and compare.
    if (from === to && sameDefault && before.regions.get(from) === after.regions.get(to)) return;
    const a = completeRegions(before, old, from);
    const b = completeRegions(after, now, to);
    if (a !== undefined && b !== undefined) compareSegments(a, b, lost);
  };
  const pairOf = (profile: Profile, key: number, family6: boolean): number =>
    profile.pairs.get(key) ?? profile.pairs.get(Math.floor(key / 0x1_0000_0000) * 0x1_0000_0000) ?? (family6 ? profile.default6 : profile.default4);
  compare(old.default4, now.default4);
  compare(old.default6, now.default6);
  for (const key of new Set([...old.pairs.keys(), ...now.pairs.keys()])) {
    compare(pairOf(old, key, false), pairOf(now, key, false));
    compare(pairOf(old, key, true), pairOf(now, key, true));
  }
  const ports = new Set([0, ...(before.sourcePorts?.classes ?? []), ...(after.sourcePorts?.classes ?? [])]);
  for (const [from, to] of moves) {
    for (const port of ports) {
      for (const family6 of [false, true]) compare(pairOf(old, pairKey(from, port), family6), pairOf(now, pairKey(to, port), family6));
    }
  }
}

function compareSegments(a: Segments, b: Segments, lost: Set<number>): void {
  if (a === b) return;
  let j = 0;
  for (let i = 0; i < a.starts.length; i += 1) {
    const winner = a.winners[i] ?? 0;
    const end = a.starts[i + 1] ?? SPACE;
    const start = a.starts[i] ?? 0;
    while (j > 0 && (b.starts[j] ?? 0) > start) j -= 1;
    while (j + 1 < b.starts.length && (b.starts[j + 1] ?? SPACE) <= start) j += 1;
    for (let k = j; k < b.starts.length && (b.starts[k] ?? SPACE) < end; k += 1) {
      if (b.winners[k] !== winner) {
        lost.add(winner);
        break;
      }
    }
  }
}

function deltaMoves(delta: HostDelta): readonly Move[] {
  const moves = new Map<string, Move>();
  for (const { from, to, around } of [...delta.hosts4, ...delta.hosts6]) moves.set(`${from || around} ${to || around}`, [from || around, to || around]);
  return [...moves.values()];
}

/** Distinct (old class, new class) of addresses whose class changed; undefined when there are too many. */
function classMoves(before: AddressClasses, after: AddressClasses): readonly Move[] | undefined {
  const moves = new Map<string, Move>();
  const note = (from: number, to: number): void => {
    if (from !== to) moves.set(`${from} ${to}`, [from, to]);
  };
  hostMoves(before.hosts4, before.intervals4, after.hosts4, after.intervals4, note);
  hostMoves(before.hosts6, before.intervals6, after.hosts6, after.intervals6, note);
  intervalMoves(before.intervals4, after.intervals4, (address) => (address === 0xffffffff ? undefined : address + 1), note);
  intervalMoves(before.intervals6, after.intervals6, nextKey6, note);
  return moves.size > MAX_MOVES ? undefined : [...moves.values()];
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

function movedProfiles(old: CompiledSide, fresh: CompiledSide): Set<number> {
  const moved = new Set<number>();
  const maps = <K extends number | Key6>(a: ReadonlyMap<K, number>, around: IntervalClasses<K>, b: ReadonlyMap<K, number>): void => {
    for (const [address, profile] of a) if (b.get(address) !== profile) moved.add(profile);
    for (const address of b.keys()) if (!a.has(address)) moved.add(intervalClass(around, address) || old.defaultProfile);
  };
  maps(old.locals4, old.localIntervals4, fresh.locals4);
  maps(old.locals6, old.localIntervals6, fresh.locals6);
  const text = (list: IntervalClasses<unknown>): string => JSON.stringify([list.first, list.last, list.classes]);
  if (text(old.localIntervals4) !== text(fresh.localIntervals4) || text(old.localIntervals6) !== text(fresh.localIntervals6)) {
    for (const id of old.profiles.keys()) moved.add(id);
  }
  return moved;
}
