/**
 * A few rules come, go or change, and sets stay: only pairs of peers in the sets that these rules name are painted again, all
 * else is taken over by reference. Equals a compilation from scratch.
 *
 * A profile, or the regions of a pair, that is the same object as before is unchanged: losses.ts and the driver rely on it.
 * What is known of the painting is brought up to date in place: of two compilations only the later may be gone on from.
 */
import {
  localCondition, pairKey, peerCondition, type CompiledSide, type CompiledTable, type LabelInfo, type PaintedProfile, type Profile, type Side,
} from './compiled.js';
import type { FlatChange } from './flat-change.js';
import { appliesIn, meets } from './flat-rules.js';
import { labelOf, PairPainter, type PaintOptions } from './pair-painter.js';
import { isConditional, PeerIndex } from './peer-index.js';
import { isEmpty, listsOf, pairText, portClasses, positionsFor } from './profiles.js';
import { equalSegments, UNDERLYING, type Segments } from './regions.js';
import { sideRules } from './table.js';

/** Undefined when a compilation of the whole table is needed: a rule for every peer, or one that changes which sets matter. */
export function changeRules(before: CompiledTable, change: FlatChange, options: PaintOptions): CompiledTable | undefined {
  const work: Work = {
    before, change, options: { ...options, before },
    labels: new Map(), regions: new Map(before.regions), made: new Map(),
  };
  const sideIn = changeSide('in', work);
  const sideOut = sideIn === undefined ? undefined : changeSide('out', work);
  if (sideIn === undefined || sideOut === undefined) return undefined;
  const { before: { painted } } = work;
  const { wins, gone } = countWins(work);
  const labels = labelsAfter(work, wins, gone);
  for (const [pair, made] of work.made) painted.pairs.set(pair, made);
  return {
    edition: {}, repaint: { base: before.edition, pairs: new Set(work.made.keys()) }, flat: change.flat, declared: before.declared, classes: before.classes, sourcePorts: before.sourcePorts,
    sides: { in: sideIn, out: sideOut },
    // Actions stand in the regions: the same map says that these did not change either.
    regions: work.made.size === 0 && labels === before.labels ? before.regions : work.regions,
    labels,
    painted: { ...painted, wins },
  };
}

interface Work {
  readonly before: CompiledTable;
  readonly change: FlatChange;
  readonly options: PaintOptions;
  /** Labels of what is painted. */
  readonly labels: Map<number, LabelInfo>;
  readonly regions: Map<number, Segments>;
  /** What each pair that was painted again is made of. */
  readonly made: Map<number, Uint32Array>;
}

function changeSide(side: Side, work: Work): CompiledSide | undefined {
  const { before, change: { flat, removed, added } } = work;
  const old = before.sides[side];
  const changed = [...removed, ...added.flatMap((position) => flat.rules[position] ?? [])].filter(({ rule }) => appliesIn(rule.direction, side));
  if (changed.length === 0) return old;
  if (changed.some((rule) => peerCondition(rule, side).any || isConditional(rule, side))) return undefined;
  const { positions, localSets } = sideRules(flat, side);
  if (!equalSets(localSets, old.scope.sets)) return undefined;

  const painter = new PairPainter(side, flat, work.options, work.labels);
  const profiles = new Map(old.profiles);
  for (const [id, profile] of old.profiles) {
    const notes = before.painted.profiles.get(id);
    const touching = notes === undefined ? [] : changed.filter((rule) => meets(localCondition(rule, side), notes.members));
    if (notes === undefined || touching.length === 0) continue;
    const index = new PeerIndex(positionsFor(notes.members, positions, flat, side), flat, side);
    if (!equalSets(index.relevant, notes.relevant)) return undefined;
    const pairs = repaint(profile, notes, index, painter, new Set(touching.flatMap((rule) => peerCondition(rule, side).sets)), work);
    if (pairs === undefined) return undefined;
    profiles.set(id, { ...profile, pairs });
  }
  return { ...old, profiles };
}

/** Paints the pairs of peers in `touched` sets again; the profile's pairs after that, the same object when they are the same. */
function repaint(
  profile: Profile, notes: PaintedProfile, index: PeerIndex, painter: PairPainter, touched: ReadonlySet<number>, work: Work,
): ReadonlyMap<number, number> | undefined {
  const { before: { classes, sourcePorts } } = work;
  let { pairs }: { pairs: ReadonlyMap<number, number> } = profile;
  const ports = portClasses(sourcePorts);
  for (const [classNumber, members] of classes.members) {
    if (!members.some((set) => touched.has(set))) continue;
    const reduced = members.filter((set) => index.relevant.has(set));
    const family = classes.families.get(classNumber) ?? 0;
    for (const port of ports) {
      const lists = listsOf(sourcePorts, port, index);
      const id = notes.pairIds.get(pairText(reduced, family, lists));
      if (id === undefined) return undefined;
      if (!work.made.has(id)) paintAgain(id, index.specific(reduced, family, lists), index, painter, work);
      const key = pairKey(classNumber, port);
      const empty = isEmpty(work.regions.get(id));
      if (empty === !pairs.has(key)) continue;
      const changed = new Map(pairs);
      if (empty) changed.delete(key);
      else changed.set(key, id);
      pairs = changed;
    }
  }
  return pairs;
}

function paintAgain(id: number, specific: Uint32Array, index: PeerIndex, painter: PairPainter, work: Work): void {
  const fresh = painter.paint(index, specific, true);
  const old = work.before.regions.get(id);
  work.regions.set(id, old !== undefined && equalSegments(old, fresh) ? old : fresh);
  work.made.set(id, painter.pairSerials(index, specific, true));
}

/** How many regions each label has after the change (in the map of before), and the labels that have none any more. */
function countWins({ before, regions, made }: Work): { wins: Map<number, number>; gone: readonly number[] } {
  const wins = before.painted.wins ?? new Map<number, number>();
  const touched = new Set<number>();
  const count = (segments: Segments | undefined, by: number): void => {
    for (const id of segments?.winners ?? []) {
      if (id === UNDERLYING) continue;
      wins.set(id, (wins.get(id) ?? 0) + by);
      if (by < 0) touched.add(id);
    }
  };
  if (before.painted.wins === undefined) for (const segments of before.regions.values()) count(segments, 1);
  for (const pair of made.keys()) {
    if (before.regions.get(pair) === regions.get(pair)) continue;
    count(before.regions.get(pair), -1);
    count(regions.get(pair), 1);
  }
  const gone = [...touched].filter((id) => wins.get(id) === 0);
  for (const id of gone) wins.delete(id);
  return { wins, gone };
}

/** Labels that win some region, as rules now say; the same map when nothing about them changed. */
function labelsAfter({ before, change, options, labels: painted }: Work, wins: ReadonlyMap<number, number>, gone: readonly number[]): ReadonlyMap<number, LabelInfo> {
  const changes: LabelInfo[] = [];
  const note = (label: LabelInfo): void => {
    if (wins.has(label.id) && before.labels.get(label.id) !== label) changes.push(label);
  };
  for (const label of painted.values()) note(label);
  // A rule may change what its label says and win where it won before.
  for (const side of ['in', 'out'] as const) {
    for (const position of change.added) note(labelOf(change.flat, position, side, options));
  }
  if (changes.length === 0 && gone.length === 0) return before.labels;
  const labels = new Map(before.labels);
  for (const id of gone) labels.delete(id);
  for (const label of changes) labels.set(label.id, label);
  return labels;
}

function equalSets(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  if (a.size !== b.size) return false;
  for (const value of a) if (!b.has(value)) return false;
  return true;
}
