/** What a compilation is: values that the kernel driver programs and that `trace` walks. */
import type { Action } from '../model/rule.js';
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

export function localCondition(rule: FlatRule, side: Side): SideCondition {
  return side === 'in' ? rule.destination : rule.source;
}

export function peerCondition(rule: FlatRule, side: Side): SideCondition {
  return side === 'in' ? rule.source : rule.destination;
}

/** Stands for "IPv6 peer in no set" where families must be told apart: no class hashes to it (HashedIds would have to collide; 1 in 4 billion). */
export const CLASS_NONE_6 = 0xffffffff;

