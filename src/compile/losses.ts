/**
 * Which rules lost something from one compilation to the next: some packet that a rule decided before is now decided by
 * another, or refused undecided. Connections that such a rule admitted must be judged again. May name too many, never too few.
 */
import { addressMoves, Moves, sourcePortPairs, type AddressMaps, type Move } from './address-moves.js';
import type { Family } from './classes.js';
import {
  CLASS_NONE_6, completeRegions, hostDelta, pairKey, repaintedPairs, type CompiledSide, type CompiledTable, type HostDelta, type HostMoves, type Profile, type Side,
} from './compiled.js';
import { SPACE, type Segments } from './regions.js';

/** Above this many distinct moves of addresses between classes, every rule is taken to have lost. */
const MAX_MOVES = 4096;

/** Label ids of `before` that lost packets in `after`. */
export function losses(before: CompiledTable, after: CompiledTable): Set<number> {
  const lost = new Set<number>();
  if (before === after) return lost;
  const delta = hostDelta(before, after);
  const moves = delta === undefined ? addressMoves(before.classes, after.classes) : deltaMoves(delta);
  for (const side of ['in', 'out'] as const) {
    const compare = new SideLosses(before, after, side, moves, delta, lost);
    if (moves.length > MAX_MOVES) compare.everything();
    else compare.run();
  }
  return lost;
}

class SideLosses {
  private readonly old: CompiledSide;
  private readonly fresh: CompiledSide;
  private readonly compared = new Set<string>();
  private readonly ports: readonly (readonly [from: number, to: number])[];
  private readonly families: readonly Family[];

  constructor(
    private readonly before: CompiledTable,
    private readonly after: CompiledTable,
    private readonly side: Side,
    private readonly moves: readonly Move[],
    private readonly delta: HostDelta | undefined,
    private readonly lost: Set<number>,
  ) {
    this.old = before.sides[side];
    this.fresh = after.sides[side];
    this.ports = sourcePortPairs(before.sourcePorts, after.sourcePorts);
    this.families = before.flat.hasFamily || after.flat.hasFamily ? [4, 6] : [4];
  }

  /** Whatever any rule decided. */
  everything(): void {
    for (const profile of this.old.profiles.values()) this.lose(profile);
  }

  run(): void {
    const { old, fresh } = this;
    for (const [id, profile] of old.profiles) {
      const now = fresh.profiles.get(id);
      // Addresses of this end that stayed in their profile.
      if (now !== undefined) this.compareProfiles(profile, now);
    }
    for (const [from, to] of this.localMoves()) {
      const profile = old.profiles.get(from);
      const now = fresh.profiles.get(to);
      if (profile === undefined) continue;
      // Where only declared addresses have profiles, another one that lost its own is refused now.
      if (now === undefined || (this.delta === undefined && fresh.guarded.size > 0 && to === fresh.defaultProfile)) this.lose(profile);
      else this.compareProfiles(profile, now);
    }
    const standard = old.profiles.get(old.defaultProfile);
    if (standard !== undefined && this.refusesMore()) this.lose(standard);
  }

  private lose(profile: Profile): void {
    for (const pair of new Set([profile.default4, profile.default6, ...profile.pairs.values()])) {
      for (const winner of this.before.regions.get(pair)?.winners ?? []) this.lost.add(winner);
    }
  }

  /** Distinct (old profile, new profile) of addresses of this end that have another now. */
  private localMoves(): readonly (readonly [from: number, to: number])[] {
    const { old, fresh } = this;
    const moves = this.delta === undefined
      ? addressMoves(localMaps(old), localMaps(fresh))
      : deltaMoves(this.delta.locals[this.side]);
    return moves.map(({ from, to }) => [from || old.defaultProfile, to || fresh.defaultProfile] as const).filter(([from, to]) => from !== to);
  }

  /**
   * Did an address come into a set at this end whose addresses are refused unless an attachment declares them? Nobody says
   * that no workload uses it, so that the default profile may have admitted its connections.
   */
  private refusesMore(): boolean {
    const { old, fresh, delta, after: { declared } } = this;
    if (fresh.guarded.size === 0) return false;
    const comesIn = (from: number, to: number): boolean => fresh.guarded.has(to) && !old.guarded.has(from);
    if (delta === undefined) return this.moves.some(({ from, to }) => comesIn(from, to)) || [...fresh.guarded].some((id) => !old.guarded.has(id));
    return delta.hosts4.some(({ address, from, to, around }) => comesIn(from || around, to || around) && !declared.v4.has(address))
      || delta.hosts6.some(({ address, from, to, around }) => comesIn(from || around, to || around) && !declared.v6.has(address));
  }

  /** What `old` decided for addresses of this end that have `now`. */
  private compareProfiles(old: Profile, now: Profile): void {
    const { before, after } = this;
    const sameDefault = old.layered === now.layered && before.regions.get(old.default4) === after.regions.get(now.default4);
    const compare = (from: number, to: number): void => {
      // The same pair with the same regions over the same default: nothing to complete and compare.
      if (from === to && sameDefault && before.regions.get(from) === after.regions.get(to)) return;
      const key = `${from} ${to}`;
      if (this.compared.has(key)) return;
      this.compared.add(key);
      const a = completeRegions(before, old, from);
      const b = completeRegions(after, now, to);
      if (a !== undefined && b !== undefined) compareSegments(a, b, this.lost);
    };
    const comparePeers = (from: number, to: number, families: readonly Family[]): void => {
      for (const [portBefore, portNow] of this.ports) {
        for (const family of families) compare(pairOf(old, from, portBefore, family), pairOf(now, to, portNow, family));
      }
    };
    // The same object has the same pairs with the same regions (rule-change.ts, set-change.ts).
    if (old !== now) {
      compare(old.default4, now.default4);
      compare(old.default6, now.default6);
      for (const id of classesOf(old, now, repaintedPairs(before, after))) comparePeers(id, id, this.families);
    }
    for (const { from, to, family } of this.moves) comparePeers(from, to, [family]);
  }
}

/** Classes that either profile has pairs of, and none; with `only`, those of these pairs where the two are one profile. */
function classesOf(old: Profile, now: Profile, only: ReadonlySet<number> | undefined): Set<number> {
  const classes = new Set([0]);
  for (const { pairs } of [old, now]) {
    for (const [key, pair] of pairs) if (only === undefined || old.id !== now.id || only.has(pair)) classes.add(key % 0x1_0000_0000);
  }
  classes.delete(CLASS_NONE_6);
  return classes;
}

/** The pair that the lookups find for a peer of this class; 0 = in no set. */
function pairOf(profile: Profile, classNumber: number, port: number, family: Family): number {
  const none = family === 6 && profile.default4 !== profile.default6 ? CLASS_NONE_6 : 0;
  return (classNumber === 0 ? undefined : profile.pairs.get(pairKey(classNumber, port)))
    ?? profile.pairs.get(pairKey(none, port))
    ?? (family === 6 ? profile.default6 : profile.default4);
}

function compareSegments(a: Segments, b: Segments, lost: Set<number>): void {
  if (a === b) return;
  let i = 0;
  let j = 0;
  while (i < a.starts.length && j < b.starts.length) {
    const winner = a.winners[i] ?? 0;
    if (winner !== b.winners[j]) lost.add(winner);
    const endA = a.starts[i + 1] ?? SPACE;
    const endB = b.starts[j + 1] ?? SPACE;
    if (endA <= endB) i += 1;
    if (endB <= endA) j += 1;
  }
}

function localMaps({ locals4, locals6, localIntervals4, localIntervals6 }: CompiledSide): AddressMaps {
  return { hosts4: locals4, hosts6: locals6, intervals4: localIntervals4, intervals6: localIntervals6 };
}

function deltaMoves({ hosts4, hosts6 }: HostMoves): readonly Move[] {
  const moves = new Moves();
  for (const { from, to, around } of hosts4) moves.add(from || around, to || around, 4);
  for (const { from, to, around } of hosts6) moves.add(from || around, to || around, 6);
  return moves.list;
}
