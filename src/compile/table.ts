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
import type { Action } from '../model/rule.js';
import { classify, ClassNumbers, intervalClass, type AddressClasses, type IntervalClasses } from './classes.js';
import type { Key6 } from './key6.js';
import { appliesIn, meets, type FlatRule, type FlatRules, type SideCondition } from './flat-rules.js';
import { HashedIds } from './hash.js';
import { merge, NOBODY, overlay, paint, sparse, translate, UNDERLYING, type Segments } from './regions.js';
import type { RuleSerials } from './rule-serials.js';
import { sourcePortClasses, type SourcePortClasses } from './source-ports.js';

export type Side = 'in' | 'out';

/** What a label id stands for. ruleId 0 of table "" is the default rule at the end of all tables. */
export interface LabelInfo {
  readonly id: number;
  readonly key: string;
  readonly table: string;
  readonly ruleId: number;
  readonly side: Side;
  readonly action: Action;
  readonly log: boolean;
  readonly stateless: boolean;
  readonly tag?: string;
}

/** Pairs and defaults of the addresses at this end that the rules treat alike. */
export interface Profile {
  readonly id: number;
  /**
   * Regions of the pairs of known peers hold only what such peers decide otherwise than peers in no set; the rest (winner
   * UNDERLYING) is left to the default pair, which every lookup comes to last. Not where a rule is negated or restricted to a
   * family or source port: there a peer may lack what its surroundings have.
   */
  readonly layered: boolean;
  /** Pair of a peer that is in no set that matters, by the packet's family. Equal unless rules are restricted to a family. */
  readonly default4: number;
  readonly default6: number;
  /** pairKey(class, source port class) -> pair. */
  readonly pairs: ReadonlyMap<number, number>;
}

export interface CompiledSide {
  readonly side: Side;
  readonly profiles: ReadonlyMap<number, Profile>;
  /** Profile of local addresses in no set that matters. */
  readonly defaultProfile: number;
  readonly locals4: ReadonlyMap<number, number>;
  readonly locals6: ReadonlyMap<Key6, number>;
  readonly localIntervals4: IntervalClasses<number>;
  readonly localIntervals6: IntervalClasses<Key6>;
  /**
   * Classes whose addresses need a profile that was not compiled, because the table is too large to compile all of them
   * and no local filter declares such an address. Packets that use one as their local address are refused.
   */
  readonly guarded: ReadonlySet<number>;
}

/** A host that went from one class to another; 0 = no host any more (or not before): the interval around it decides. */
export interface HostMove<K> {
  readonly address: K;
  readonly from: number;
  readonly to: number;
  /** Class of the interval around it, 0 = none. */
  readonly around: number;
}

export interface HostDelta {
  readonly base: CompiledTable;
  readonly hosts4: readonly HostMove<number>[];
  readonly hosts6: readonly HostMove<Key6>[];
}

export interface CompiledTable {
  /** Present when this differs from `base` by these hosts only; the host maps are then shared with it (see set-change.ts). */
  readonly delta?: HostDelta;
  readonly flat: FlatRules;
  readonly classes: AddressClasses;
  readonly sourcePorts: SourcePortClasses | undefined;
  readonly sides: Readonly<Record<Side, CompiledSide>>;
  readonly regions: ReadonlyMap<number, Segments>;
  readonly labels: ReadonlyMap<number, LabelInfo>;
  readonly painted: PaintedRules;
}

/** What each painting was made of, as rule serials: equal lists give equal regions. Empty where serials were not asked for. */
export interface PaintedRules {
  /** Profile -> its rules that match every peer, in order. */
  readonly bases: ReadonlyMap<number, Uint32Array>;
  /** Pair -> its other rules in order, each with the number of base rules before it. */
  readonly pairs: ReadonlyMap<number, Uint32Array>;
}

export interface LocalAddresses {
  readonly v4: readonly number[];
  readonly v6: readonly Key6[];
}

export interface CompileOptions {
  /** Gives label ids to keys. */
  readonly labelId: (key: string) => number;
  /** A compilation whose address classes hold still where it was made of the very same sets. */
  readonly before?: CompiledTable | undefined;
  /** Numbers that are equal for rules that paint alike; without them every region is painted anew. */
  readonly serials?: RuleSerials;
  /** Above this many local addresses, or this many profile x class combinations, only declared addresses get a profile. */
  readonly maxLocals?: number;
  readonly maxCombinations?: number;
}

/** The regions of a pair of this profile, complete. */
export function completeRegions(table: CompiledTable, profile: Profile, pair: number): Segments | undefined {
  const regions = table.regions.get(pair);
  const under = table.regions.get(profile.default4);
  return regions === undefined || under === undefined || !profile.layered || pair === profile.default4 ? regions : overlay(regions, under);
}

export function pairKey(classNumber: number, sourcePortClass: number): number {
  return sourcePortClass * 0x1_0000_0000 + classNumber;
}

export function labelKey(table: string, ruleId: number, side: Side): string {
  return `${table}/${ruleId} ${side}`;
}

function sameSets(a: FlatRules, b: FlatRules): boolean {
  return a.hasFamily === b.hasFamily && a.sets.length === b.sets.length
    && b.sets.every((ranges, index) => ranges === a.sets[index] && b.setKeys[index] === a.setKeys[index]);
}

export function compileTable(flat: FlatRules, locals: LocalAddresses, options: CompileOptions): CompiledTable {
  const numbers = new ClassNumbers(flat.setKeys, flat.hasFamily);
  const { before } = options;
  const classes = before !== undefined && sameSets(before.flat, flat) ? before.classes : classify(flat.sets, numbers);
  const sourcePorts = sourcePortClasses(flat.sourcePorts);
  const regions = new Map<number, Segments>();
  const labels = new Map<number, LabelInfo>();
  const ids = new HashedIds();
  const painted = { bases: new Map<number, Uint32Array>(), pairs: new Map<number, Uint32Array>() };
  const context: SideContext = { flat, classes, sourcePorts, regions, labels, ids, options, locals, painted };
  return { flat, classes, sourcePorts, regions, labels, painted, sides: { in: compileSide('in', context), out: compileSide('out', context) } };
}

interface SideContext {
  readonly flat: FlatRules;
  readonly classes: AddressClasses;
  readonly sourcePorts: SourcePortClasses | undefined;
  readonly regions: Map<number, Segments>;
  readonly labels: Map<number, LabelInfo>;
  readonly ids: HashedIds;
  readonly options: CompileOptions;
  readonly locals: LocalAddresses;
  readonly painted: { readonly bases: Map<number, Uint32Array>; readonly pairs: Map<number, Uint32Array> };
}

function compileSide(side: Side, context: SideContext): CompiledSide {
  const { flat, classes, options } = context;
  const positions: number[] = [];
  const localSets = new Set<number>();
  flat.rules.forEach((rule, position) => {
    if (!appliesIn(rule.rule.direction, side)) return;
    positions.push(position);
    for (const set of localCondition(rule, side).sets) localSets.add(set);
  });

  const builder = new ProfileBuilder(side, positions, context);
  const defaultProfile = builder.profile([]);
  const locals4 = new Map<number, number>();
  const locals6 = new Map<Key6, number>();
  let localIntervals4: IntervalClasses<number> = { first: [], last: [], classes: [] };
  let localIntervals6: IntervalClasses<Key6> = { first: [], last: [], classes: [] };
  const guarded = new Set<number>();

  if (localSets.size > 0) {
    const localMembers = new Map<number, readonly number[]>();
    for (const [id, members] of classes.members) {
      const reduced = members.filter((set) => localSets.has(set));
      if (reduced.length > 0) localMembers.set(id, reduced);
    }
    const profileOf = (classNumber: number): number | undefined => {
      const members = localMembers.get(classNumber);
      return members === undefined ? undefined : builder.profile(members);
    };
    if (isSmall(localMembers, context, options)) {
      for (const [address, id] of classes.hosts4) setDefined(locals4, address, profileOf(id));
      for (const [address, id] of classes.hosts6) setDefined(locals6, address, profileOf(id));
      localIntervals4 = mapIntervals(classes.intervals4, profileOf);
      localIntervals6 = mapIntervals(classes.intervals6, profileOf);
    } else {
      for (const address of context.locals.v4) {
        setDefined(locals4, address, profileOf(classes.hosts4.get(address) ?? intervalClass(classes.intervals4, address)));
      }
      for (const address of context.locals.v6) {
        setDefined(locals6, address, profileOf(classes.hosts6.get(address) ?? intervalClass(classes.intervals6, address)));
      }
      for (const id of localMembers.keys()) guarded.add(id);
    }
  }
  return { side, profiles: builder.profiles, defaultProfile, locals4, locals6, localIntervals4, localIntervals6, guarded };
}

function isSmall(localMembers: ReadonlyMap<number, readonly number[]>, { classes }: SideContext, options: CompileOptions): boolean {
  const maxLocals = options.maxLocals ?? 2048;
  const profiles = new Set<string>();
  for (const members of localMembers.values()) profiles.add(members.join());
  if (profiles.size * Math.max(1, classes.members.size) > (options.maxCombinations ?? 16_384)) return false;
  let count = classes.intervals4.first.length + classes.intervals6.first.length;
  for (const id of classes.hosts4.values()) if (localMembers.has(id)) count += 1;
  for (const id of classes.hosts6.values()) if (localMembers.has(id)) count += 1;
  return count <= maxLocals;
}

export function localCondition(rule: FlatRule, side: Side): SideCondition {
  return side === 'in' ? rule.destination : rule.source;
}

export function peerCondition(rule: FlatRule, side: Side): SideCondition {
  return side === 'in' ? rule.source : rule.destination;
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

/** Compiles profiles on demand; profiles and pairs are numbered by content. */
class ProfileBuilder {
  readonly profiles = new Map<number, Profile>();
  private readonly byMembers = new Map<string, number>();
  /** By position of the rule: a label wins many regions, its key is made once. */
  private readonly labelIds = new Map<number, number>();

  constructor(
    private readonly side: Side,
    private readonly positions: readonly number[],
    private readonly context: SideContext,
  ) {}

  /** `members`: ascending indexes of the sets the local address is in, of those that matter here. */
  profile(members: readonly number[]): number {
    const key = members.join();
    const known = this.byMembers.get(key);
    if (known !== undefined) return known;
    const { flat, ids } = this.context;
    const id = ids.id(`profile ${this.side} ${names(flat, members)}`);
    this.byMembers.set(key, id);
    const positions = this.positions.filter((position) => {
      const rule = flat.rules[position];
      return rule !== undefined && meets(localCondition(rule, this.side), members);
    });
    this.profiles.set(id, this.compile(id, positions));
    return id;
  }

  private compile(id: number, positions: readonly number[]): Profile {
    const { flat, classes, sourcePorts } = this.context;
    const index = new PeerIndex(positions, flat, this.side);
    const base = this.sameBase(id, index);
    const families: readonly (0 | 4 | 6)[] = flat.hasFamily ? [4, 6] : [0];
    const pairOf = this.pairs(id, index, base);

    const [first = 0, second = first] = families;
    const default4 = pairOf([], first, 0);
    const default6 = pairOf([], second, 0);
    const pairs = new Map<number, number>();
    const portClasses = sourcePorts === undefined ? [0] : [0, ...sourcePorts.members.keys()];
    for (const [classNumber, members] of classes.members) {
      const reduced = members.filter((set) => index.relevant.has(set));
      if (reduced.length === 0) continue;
      const family = classes.families.get(classNumber) ?? 0;
      for (const port of portClasses) {
        const pair = pairOf(reduced, family, port);
        if (!isEmpty(this.context.regions.get(pair))) pairs.set(pairKey(classNumber, port), pair);
      }
    }
    // Peers in no set, where their pair cannot be a constant: class 0, told apart by family only where rules do.
    for (const port of portClasses) {
      for (const family of families) pairs.set(pairKey(family === 6 ? CLASS_NONE_6 : 0, port), pairOf([], family, port));
    }
    return { id, layered: index.layered, default4, default6, pairs };
  }

  /** Notes the profile's base rules; true when the compilation before had the same. */
  private sameBase(profile: number, index: PeerIndex): boolean {
    const { options, painted } = this.context;
    if (options.serials === undefined) return false;
    const serials = this.serials(index.anyone);
    painted.bases.set(profile, serials);
    return equalWords(options.before?.painted.bases.get(profile), serials);
  }

  private serials(positions: ArrayLike<number>): Uint32Array {
    const { flat, options } = this.context;
    return Uint32Array.from(positions, (position) => {
      const rule = flat.rules[position];
      return rule === undefined ? 0 : (options.serials?.serial(rule, flat.intervals[position] ?? new Uint32Array(0)) ?? 0);
    });
  }

  private pairs(profile: number, index: PeerIndex, sameBase: boolean): (members: readonly number[], family: 0 | 4 | 6, port: number) => number {
    const { flat, ids, regions, sourcePorts } = this.context;
    const known = new Map<string, number>();
    return (members, family, port) => {
      const lists = (sourcePorts?.members.get(port) ?? []).filter((list) => index.sourcePorts.has(list));
      const key = `${members.join()}|${family}|${lists.join()}`;
      const found = known.get(key);
      if (found !== undefined) return found;
      const text = lists.map((list) => JSON.stringify(flat.sourcePorts[list])).sort().join();
      const id = ids.id(`pair ${profile} ${names(flat, members)} ${family} ${text}`);
      known.set(key, id);
      regions.set(id, this.paintPair(id, index, members, family, lists, sameBase));
      return id;
    };
  }

  private paintPair(id: number, index: PeerIndex, members: readonly number[], family: 0 | 4 | 6, lists: readonly number[], sameBase: boolean): Segments {
    const { flat, options, painted } = this.context;
    const specific = index.specific(members, family, lists);
    if (options.serials !== undefined) {
      const serials = this.serials(specific);
      const ranks = index.ranks(specific);
      const made = new Uint32Array(serials.length * 2 + 1);
      made[0] = members.length > 0 && index.layered ? 1 : 0;
      made.set(serials, 1);
      made.set(ranks, serials.length + 1);
      painted.pairs.set(id, made);
      const before = sameBase ? options.before?.regions.get(id) : undefined;
      if (before !== undefined && equalWords(options.before?.painted.pairs.get(id), made)) {
        this.keepLabels(before);
        return before;
      }
    }
    const base = index.base(flat);
    const label = (winner: number): number => this.label(winner);
    if (members.length > 0 && index.layered) return sparse(paint(specific, flat.intervals), base, label);
    return translate(specific.length === 0 ? base : merge(base, paint(specific, flat.intervals)), label);
  }

  /** Labels of regions that are taken over. */
  private keepLabels(regions: Segments): void {
    for (const id of regions.winners) {
      if (id === UNDERLYING || this.context.labels.has(id)) continue;
      const position = this.positionOf(id);
      if (position !== undefined) this.label(position);
    }
  }

  private byLabel: Map<number, number> | undefined;

  /** Position of (one of) the rules behind a label id. */
  private positionOf(id: number): number | undefined {
    this.byLabel ??= new Map([...this.positions, NOBODY].map((position) => [this.labelIdOf(position), position]));
    return this.byLabel.get(id);
  }

  private labelIdOf(position: number): number {
    const rule = position === NOBODY ? undefined : this.context.flat.rules[position];
    return this.context.options.labelId(labelKey(rule?.table ?? '', rule?.rule.id ?? 0, this.side));
  }

  private label(position: number): number {
    const known = this.labelIds.get(position);
    if (known !== undefined) return known;
    const id = this.makeLabel(position);
    this.labelIds.set(position, id);
    return id;
  }

  private makeLabel(position: number): number {
    const { flat, labels, options } = this.context;
    const rule = position === NOBODY ? undefined : flat.rules[position];
    const table = rule?.table ?? '';
    const ruleId = rule?.rule.id ?? 0;
    const key = labelKey(table, ruleId, this.side);
    const id = options.labelId(key);
    if (!labels.has(id)) {
      const fresh: LabelInfo = {
        id, key, table, ruleId, side: this.side,
        action: rule?.rule.action ?? 'accept',
        log: rule?.rule.log ?? false,
        stateless: rule?.rule.stateless ?? false,
        ...(rule?.rule.tag === undefined ? {} : { tag: rule.rule.tag }),
      };
      const old = options.before?.labels.get(id);
      // The same object where nothing changed: comparing labels is then comparing references.
      labels.set(id, old !== undefined && sameLabel(old, fresh) ? old : fresh);
    }
    return id;
  }
}

/** A peer that decides nothing otherwise than peers in no set. */
function isEmpty(regions: Segments | undefined): boolean {
  return regions !== undefined && regions.winners.length === 1 && regions.winners[0] === UNDERLYING;
}

/** Stands for "IPv6 peer in no set" where families must be told apart: no class hashes to it (HashedIds would have to collide; 1 in 4 billion). */
export const CLASS_NONE_6 = 0xffffffff;

function sameLabel(a: LabelInfo, b: LabelInfo): boolean {
  return a.key === b.key && a.action === b.action && a.log === b.log && a.stateless === b.stateless && a.tag === b.tag;
}

function equalWords(a: Uint32Array | undefined, b: Uint32Array): boolean {
  return a !== undefined && a.length === b.length && a.every((word, index) => word === b[index]);
}

function names(flat: FlatRules, members: readonly number[]): string {
  return members.map((set) => flat.setKeys[set] ?? '').sort().join('\n');
}

/** Positions of a profile's rules by what they ask of the peer. */
class PeerIndex {
  /** Sets some rule asks for. */
  readonly relevant = new Set<number>();
  /** Source port lists some rule asks for. */
  readonly sourcePorts = new Set<number>();
  readonly anyone: number[] = [];
  private readonly bySet = new Map<number, number[]>();
  /** Negated, family-restricted or source-port rules: tested one by one. */
  private readonly conditional: number[] = [];
  private painted: Segments | undefined;

  constructor(positions: readonly number[], private readonly flat: FlatRules, private readonly side: Side) {
    for (const position of positions) {
      const rule = flat.rules[position];
      if (rule === undefined) continue;
      const peer = peerCondition(rule, side);
      for (const set of peer.sets) this.relevant.add(set);
      if (rule.sourcePorts >= 0) this.sourcePorts.add(rule.sourcePorts);
      if (peer.not || rule.rule.family !== undefined || rule.sourcePorts >= 0) this.conditional.push(position);
      else if (peer.any) this.anyone.push(position);
      else for (const set of peer.sets) this.list(set).push(position);
    }
  }

  get layered(): boolean {
    return this.conditional.length === 0;
  }

  /** The rules that match every peer, painted once. */
  base(flat: FlatRules): Segments {
    this.painted ??= paint(this.anyone, flat.intervals);
    return this.painted;
  }

  /** For each position, how many rules that match every peer come before it. */
  ranks(positions: Uint32Array): Uint32Array {
    let rank = 0;
    return positions.map((position) => {
      while (rank < this.anyone.length && (this.anyone[rank] ?? 0) < position) rank += 1;
      return rank;
    });
  }

  /** Ascending positions of the other rules that match this peer. */
  specific(members: readonly number[], family: 0 | 4 | 6, lists: readonly number[]): Uint32Array {
    const found: number[] = [];
    for (const set of members) for (const position of this.bySet.get(set) ?? []) found.push(position);
    for (const position of this.conditional) {
      const rule = this.flat.rules[position];
      if (rule === undefined) continue;
      if (rule.rule.family !== undefined && rule.rule.family !== family) continue;
      if (rule.sourcePorts >= 0 && !lists.includes(rule.sourcePorts)) continue;
      if (meets(peerCondition(rule, this.side), members)) found.push(position);
    }
    return Uint32Array.from(found).sort();
  }

  private list(set: number): number[] {
    const known = this.bySet.get(set);
    if (known !== undefined) return known;
    const fresh: number[] = [];
    this.bySet.set(set, fresh);
    return fresh;
  }
}
