/** What a change of hosts means for the profiles of local addresses: see set-change.ts. */
import { intervalClass, type IntervalClasses } from './classes.js';
import type { CompiledSide, CompiledTable, HostMove, HostMoves, Side } from './compiled.js';
import { comesOrGoes } from './host-moves.js';
import type { Key6 } from './key6.js';

export interface LocalChange {
  /** Between profiles. */
  readonly moves: HostMoves;
  /** LocalScope.count after the change. */
  readonly count: number;
}

/** Undefined when a fresh compilation is needed. `moves` are between classes; class numbers mean the same before and after. */
export function changeLocals(compiled: CompiledTable, side: Side, { hosts4, hosts6 }: HostMoves): LocalChange | undefined {
  const before = compiled.sides[side];
  const { scope } = before;
  const count = scope.count + localHosts(before, hosts4) + localHosts(before, hosts6);
  if ((count <= scope.limit) !== (scope.count <= scope.limit)) return undefined;
  const { declared } = compiled;
  const moves4 = localMoves(before, hosts4, before.locals4, before.localIntervals4, declared.v4);
  const moves6 = localMoves(before, hosts6, before.locals6, before.localIntervals6, declared.v6);
  if (moves4 === undefined || moves6 === undefined) return undefined;
  if (comesOrGoes(before.locals4, moves4) || comesOrGoes(before.locals6, moves6)) return undefined;
  if (before.guarded.size > 0 && !sameProfiles(before, moves4, moves6)) return undefined;
  return { moves: { hosts4: moves4, hosts6: moves6 }, count };
}

/** Is the class in a set that rules name at this end? */
function isLocal({ guarded, scope }: CompiledSide, classNumber: number): boolean {
  return scope.profiles.has(classNumber) || guarded.has(classNumber);
}

function localHosts(side: CompiledSide, moves: readonly HostMove<unknown>[]): number {
  return moves.reduce((sum, { from, to }) => sum + (isLocal(side, to) ? 1 : 0) - (isLocal(side, from) ? 1 : 0), 0);
}

function localMoves<K extends number | string>(
  side: CompiledSide, moves: readonly HostMove<K>[], locals: ReadonlyMap<K, number>, intervals: IntervalClasses<K>, declared: ReadonlySet<K>,
): HostMove<K>[] | undefined {
  const found: HostMove<K>[] = [];
  const onlyDeclared = side.guarded.size > 0;
  for (const { address, to, around } of moves) {
    if (onlyDeclared && !declared.has(address)) continue;
    // A declared address has its profile by itself, wherever its class comes from; else intervals are maps of their own.
    const classNumber = onlyDeclared ? to || around : to;
    const profile = side.scope.profiles.get(classNumber);
    if (profile === undefined && isLocal(side, classNumber)) return undefined;
    const from = locals.get(address) ?? 0;
    if (from !== (profile ?? 0)) found.push({ address, from, to: profile ?? 0, around: intervalClass(intervals, address) });
  }
  return found;
}

/** Are the profiles in use after the moves those that are compiled? Only where declared addresses alone have profiles, so that these are few. */
function sameProfiles(side: CompiledSide, moves4: readonly HostMove<number>[], moves6: readonly HostMove<Key6>[]): boolean {
  if (moves4.length === 0 && moves6.length === 0) return true;
  const used = new Set([side.defaultProfile]);
  const note = <K>(locals: ReadonlyMap<K, number>, moves: readonly HostMove<K>[]): void => {
    const moved = new Set(moves.map(({ address }) => address));
    for (const [address, profile] of locals) if (!moved.has(address)) used.add(profile);
    for (const { to } of moves) if (to !== 0) used.add(to);
  };
  note(side.locals4, moves4);
  note(side.locals6, moves6);
  return used.size === side.profiles.size;
}
