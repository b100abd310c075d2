/**
 * Compiles the ordered rules of a filter into the classifier that the kernel runs as chained lookups:
 *
 *   local address  -> profile   (which rules can match at this end; most addresses: the default profile)
 *   peer address   -> class     (which sets the peer is in)
 *   class, profile -> pair      (absent: the profile's default pair: a peer in no set that matters here)
 *   pair, protocol, port -> label id of the first matching rule
 *
 * Peer and local: at the `in` side of a filter the peer is the connection's source, at the `out` side its destination.
 */
import { classify, ClassNumbers, intervalClass, type AddressClasses, type IntervalClasses } from './classes.js';
import { localCondition, type CompiledSide, type CompiledTable, type DeclaredAddresses, type LabelInfo, type PaintedProfile, type Side } from './compiled.js';
import { appliesIn, sameSets, type FlatRules } from './flat-rules.js';
import { HashedIds } from './hash.js';
import type { Key6 } from './key6.js';
import { ProfileBuilder, type CompileLimits, type CompileOptions, type SideContext } from './profiles.js';
import type { Segments } from './regions.js';
import { sourcePortClasses } from './source-ports.js';

export function compileTable(flat: FlatRules, declared: DeclaredAddresses, options: CompileOptions): CompiledTable {
  const numbers = new ClassNumbers(flat.setKeys, flat.hasFamily);
  const { before } = options;
  const classes = before !== undefined && sameSets(before.flat, flat) ? before.classes : classify(flat.sets.map(options.ranges), numbers);
  const sourcePorts = sourcePortClasses(flat.sourcePorts);
  const regions = new Map<number, Segments>();
  const labels = new Map<number, LabelInfo>();
  const ids = new HashedIds();
  const painted = { bases: new Map<number, Uint32Array>(), pairs: new Map<number, Uint32Array>(), profiles: new Map<number, PaintedProfile>() };
  const context: SideContext = { flat, classes, sourcePorts, regions, labels, ids, options, declared, painted };
  return {
    edition: {}, flat, declared, classes, sourcePorts, regions, labels, painted,
    sides: { in: compileSide('in', context), out: compileSide('out', context) },
  };
}

/** Positions of the rules that are judged at this side, and the sets that they name at this end. */
export function sideRules(flat: FlatRules, side: Side): { positions: number[]; localSets: Set<number> } {
  const positions: number[] = [];
  const localSets = new Set<number>();
  flat.rules.forEach((rule, position) => {
    if (!appliesIn(rule.rule.direction, side)) return;
    positions.push(position);
    for (const set of localCondition(rule, side).sets) localSets.add(set);
  });
  return { positions, localSets };
}

function compileSide(side: Side, context: SideContext): CompiledSide {
  const { flat, classes, declared, options } = context;
  const { positions, localSets } = sideRules(flat, side);
  const builder = new ProfileBuilder(side, positions, context);
  const defaultProfile = builder.profile([]);
  const locals4 = new Map<number, number>();
  const locals6 = new Map<Key6, number>();
  let localIntervals4: IntervalClasses<number> = { first: [], last: [], classes: [] };
  let localIntervals6: IntervalClasses<Key6> = { first: [], last: [], classes: [] };
  const guarded = new Set<number>();

  const localMembers = new Map<number, readonly number[]>();
  for (const [id, members] of localSets.size === 0 ? [] : classes.members) {
    const reduced = members.filter((set) => localSets.has(set));
    if (reduced.length > 0) localMembers.set(id, reduced);
  }
  const { count, limit } = localCount(localMembers, classes, options);
  const profileOf = (classNumber: number): number | undefined => {
    const members = localMembers.get(classNumber);
    return members === undefined ? undefined : builder.profile(members);
  };
  if (localMembers.size > 0 && count <= limit) {
    for (const [address, id] of classes.hosts4) setDefined(locals4, address, profileOf(id));
    for (const [address, id] of classes.hosts6) setDefined(locals6, address, profileOf(id));
    localIntervals4 = mapIntervals(classes.intervals4, profileOf);
    localIntervals6 = mapIntervals(classes.intervals6, profileOf);
  } else if (localMembers.size > 0) {
    for (const address of declared.v4) setDefined(locals4, address, profileOf(classes.hosts4.get(address) ?? intervalClass(classes.intervals4, address)));
    for (const address of declared.v6) setDefined(locals6, address, profileOf(classes.hosts6.get(address) ?? intervalClass(classes.intervals6, address)));
    for (const id of localMembers.keys()) guarded.add(id);
  }
  const compiled = new Map<number, number>();
  for (const [id, members] of localMembers) setDefined(compiled, id, builder.known(members));
  return {
    side, profiles: builder.profiles, defaultProfile, locals4, locals6, localIntervals4, localIntervals6, guarded, scope: { sets: localSets, profiles: compiled, count, limit },
  };
}

/** How many addresses are in sets that rules name at this end, and up to how many each of them gets its profile. */
function localCount(
  localMembers: ReadonlyMap<number, readonly number[]>, classes: AddressClasses, options: CompileLimits,
): { count: number; limit: number } {
  if (localMembers.size === 0) return { count: 0, limit: Number.MAX_SAFE_INTEGER };
  const profiles = new Set<string>();
  for (const members of localMembers.values()) profiles.add(members.join());
  const fits = profiles.size * Math.max(1, classes.members.size) <= (options.maxCombinations ?? 16_384);
  let count = classes.intervals4.first.length + classes.intervals6.first.length;
  for (const id of classes.hosts4.values()) if (localMembers.has(id)) count += 1;
  for (const id of classes.hosts6.values()) if (localMembers.has(id)) count += 1;
  return { count, limit: fits ? (options.maxLocals ?? 2048) : -1 };
}

function setDefined<K>(map: Map<K, number>, key: K, value: number | undefined): void {
  if (value !== undefined) map.set(key, value);
}

function mapIntervals<T>(intervals: IntervalClasses<T>, profileOf: (id: number) => number | undefined): IntervalClasses<T> {
  const first: T[] = [];
  const last: T[] = [];
  const classes: number[] = [];
  intervals.first.forEach((start, index) => {
    const profile = profileOf(intervals.classes[index] ?? 0);
    const end = intervals.last[index];
    if (profile === undefined || end === undefined) return;
    first.push(start);
    last.push(end);
    classes.push(profile);
  });
  return { first, last, classes };
}

