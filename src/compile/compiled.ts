/** What a compilation is: values that the kernel driver programs and that `trace` walks. */
import type { Action } from '../model/rule.js';
import { hash32 } from '../model/text-hash.js';
import type { AddressClasses, IntervalClasses } from './classes.js';
import type { FlatRule, FlatRules, SideCondition } from './flat-rules.js';
import type { Key6 } from './key6.js';
import { overlay, type Segments } from './regions.js';
import type { SourcePortClasses } from './source-ports.js';

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
  readonly locals4: Map<number, number>;
  readonly locals6: Map<Key6, number>;
  readonly localIntervals4: IntervalClasses<number>;
  readonly localIntervals6: IntervalClasses<Key6>;
  /**
   * Classes whose addresses need a profile that was not compiled, because the table is too large to compile all of them
   * and no local filter declares such an address. Packets that use one as their local address are refused.
   */
  readonly guarded: ReadonlySet<number>;
  readonly scope: LocalScope;
}

/** How addresses of this end came to their profiles: what a change of hosts needs to go on from here. */
export interface LocalScope {
  /** Sets that rules name at this end. */
  readonly sets: ReadonlySet<number>;
  /** Class -> profile, where that profile is compiled; classes in no set that rules name at this end are not listed. */
  readonly profiles: ReadonlyMap<number, number>;
  /** Addresses in such sets: hosts, and intervals one each. */
  readonly count: number;
  /** Up to this count each of them has a profile; above it only those that attachments declare. */
  readonly limit: number;
}

/** A host that went from one class to another; 0 = no host any more (or not before): the interval around it decides. */
export interface HostMove<K> {
  readonly address: K;
  readonly from: number;
  readonly to: number;
  /** Class of the interval around it, 0 = none. */
  readonly around: number;
}

export interface HostMoves {
  readonly hosts4: readonly HostMove<number>[];
  readonly hosts6: readonly HostMove<Key6>[];
}

export interface HostDelta extends HostMoves {
  /** Edition of the compilation that this follows. Not that compilation: each would keep all its predecessors. */
  readonly base: object;
  /** The same of the maps from local addresses to profiles: `from`, `to` and `around` are profiles. */
  readonly locals: Readonly<Record<Side, HostMoves>>;
}

/** Regions that were painted again; those of every other pair are the same objects as in the base. */
export interface Repaint {
  /** Edition of the compilation that this follows. */
  readonly base: object;
  readonly pairs: ReadonlySet<number>;
}

export interface CompiledTable {
  /** Equal for the same compilation only. */
  readonly edition: object;
  /** Present when this differs from its base by these hosts only; their maps are then shared with it (see set-change.ts). */
  readonly delta?: HostDelta;
  /** Present when this differs from its base by rules that touch few pairs (see rule-change.ts). */
  readonly repaint?: Repaint;
  readonly flat: FlatRules;
  /** Addresses that attachments of its filters declare. */
  readonly declared: DeclaredAddresses;
  readonly classes: AddressClasses;
  readonly sourcePorts: SourcePortClasses | undefined;
  readonly sides: Readonly<Record<Side, CompiledSide>>;
  readonly regions: ReadonlyMap<number, Segments>;
  readonly labels: ReadonlyMap<number, LabelInfo>;
  readonly painted: PaintedRules;
}

export interface PaintedProfile {
  /** Sets that its local addresses are in, of those that rules name at this end. */
  readonly members: readonly number[];
  /** Sets that its rules ask for of the peer. */
  readonly relevant: ReadonlySet<number>;
  /** All its pairs, those that decide nothing of their own too; by pairText. */
  readonly pairIds: ReadonlyMap<string, number>;
}

/** What each painting was made of, as rule serials: equal lists give equal regions. Empty where serials were not asked for. */
export interface PaintedRules {
  readonly profiles: ReadonlyMap<number, PaintedProfile>;
  /** Label -> how many regions it has; counted when first needed. */
  readonly wins?: Map<number, number>;
  /** Profile -> its rules that match every peer, in order. */
  readonly bases: ReadonlyMap<number, Uint32Array>;
  /** Pair -> its other rules in order, each with the number of base rules before it. */
  readonly pairs: Map<number, Uint32Array>;
}

export interface DeclaredAddresses {
  readonly v4: ReadonlySet<number>;
  readonly v6: ReadonlySet<Key6>;
}

/** What came to `after` since `before`, when that is hosts and nothing else. */
export function hostDelta(before: CompiledTable | undefined, after: CompiledTable): HostDelta | undefined {
  return before !== undefined && after.delta?.base === before.edition ? after.delta : undefined;
}

/** The pairs whose regions may differ between the two; undefined = any. */
export function repaintedPairs(before: CompiledTable | undefined, after: CompiledTable): ReadonlySet<number> | undefined {
  return before !== undefined && after.repaint?.base === before.edition ? after.repaint.pairs : undefined;
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

/** What an nf_tables element can carry beside its key (plan.ts writes it there, and the next start reads it back whole). */
const LABEL_KEY_LENGTH = 120;

/** Equal for the same rule and side, else different; long names end in hashes. */
export function labelKey(table: string, ruleId: number, side: Side): string {
  const key = `${table}/${ruleId} ${side}`;
  if (key.length <= LABEL_KEY_LENGTH) return key;
  return `${key.slice(0, LABEL_KEY_LENGTH - 18)}~${hash32(key).toString(16)}~${hash32(key, 1).toString(16)}`;
}

export function localCondition(rule: FlatRule, side: Side): SideCondition {
  return side === 'in' ? rule.destination : rule.source;
}

export function peerCondition(rule: FlatRule, side: Side): SideCondition {
  return side === 'in' ? rule.source : rule.destination;
}

/** Stands for "IPv6 peer in no set" where families must be told apart: no class hashes to it (HashedIds would have to collide; 1 in 4 billion). */
export const CLASS_NONE_6 = 0xffffffff;

