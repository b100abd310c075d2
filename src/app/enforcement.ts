/** What the datapath of the configuration must be able to do for the rest of the agent. One of these is in use; nothing else writes rules. */
import type { Compilation, RealmOf } from '../compile/compiler.js';
import type { LabelInfo, Side } from '../compile/compiled.js';
import type { Target } from '../compile/target.js';
import type { Problem, World } from '../compile/world.js';
import type { Filter } from '../model/filter.js';
import type { Link } from '../native/binding.js';
import type { ResolvedMirror } from './mirrors.js';

export interface Wanted {
  readonly target: Target;
  readonly world: World;
  readonly compilation: Compilation;
  /** Interfaces of the host. */
  readonly links: ReadonlyMap<string, Link>;
}

export interface Enforced {
  readonly changed: boolean;
  /** Elements or flows written. */
  readonly elements: number;
  /** Rules whose connections are judged again. */
  readonly lost: number;
  readonly mirrors: readonly ResolvedMirror[];
  /** What could not be done though the rest is in force. */
  readonly problems: readonly Problem[];
}

export interface TrafficCounter {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface CopyCounter extends TrafficCounter {
  /** Copies that a limit of the TrafficControl did not let pass. */
  readonly capped: bigint;
}

export interface Enforcement {
  readonly name: 'nftables' | 'ovs';
  /** Ids in the labels of connections, and the rules they stand for. */
  readonly labels: ReadonlyMap<number, LabelInfo>;
  /** True when every connection was judged by the rules in force, or will be on its next packet. */
  readonly settledDown: boolean;
  /** Label ids in use, and the keys they were given for: they must keep them. Called once, before the first compilation. */
  readLabels(): Promise<ReadonlyMap<number, string>>;
  /** Where each filter is enforced as its interface is now. Called before every compilation. */
  realms(filters: readonly Filter[], links: ReadonlyMap<string, Link>): RealmOf;
  /**
   * Makes what is wanted true; all or nothing, and nothing is written where it is true. Rejects with AgentError; the old state then
   * stays in force and the next call begins by reading it.
   */
  apply(wanted: Wanted): Promise<Enforced>;
  /** Resolves when no packet is judged by what was in force before the last apply. */
  settled(): Promise<void>;
  /** Has somebody else changed what is ours? The next apply repairs it. */
  drifted(depth: 'structure' | 'all'): Promise<string | undefined>;
  /** Interfaces came, went or changed. */
  linksChanged(): void;
  /** Can the filter see packets now: is its interface there? */
  attached(filter: Filter): boolean;
  /** Why the filter's rules are not in force though it has some; it drops everything then, or nothing by its failure policy. */
  shut(filter: Filter): string | undefined;
  /** Are DNS replies to the filter's vNIC read, for rules that name domains? */
  readsReplies(filter: Filter): boolean;
  /** Packets that each label's rule decided anew (first packets of connections, and each refused packet). */
  ruleCounters(): Promise<ReadonlyMap<number, TrafficCounter>>;
  /** What the filter's rules refused. */
  refused(filter: Filter): Promise<Readonly<Record<Side, TrafficCounter>>>;
  /** Frames that layer 2 rules of the filter decided, by rule table and id. */
  layer2(filter: Filter): Promise<(table: string, ruleId: number) => Readonly<Record<Side, TrafficCounter>>>;
  /** Copies that a TrafficControl of this name made, of all filters, or what it redirected; nothing while it is pending. */
  mirrored(control: string, filters: readonly Filter[]): Promise<CopyCounter>;
  /** Packets that a target of TrafficControls, by name, had no room for, whoever sent them; undefined: only the interface itself counts them. */
  dropped(target: string): Promise<number | undefined>;
  /** Are packets copied that rules refuse, where a TrafficControl does not say? `side`: sent by the workload (out), or on their way to it. */
  seesRefused(side: Side): boolean;
  /** Ends enforcement; returns what was removed, as people name it. */
  cleanup(): Promise<string[]>;
}

export const NO_TRAFFIC: TrafficCounter = { packets: 0n, bytes: 0n };

export function sumTraffic(counters: Iterable<TrafficCounter>): TrafficCounter {
  let packets = 0n;
  let bytes = 0n;
  for (const counter of counters) {
    packets += counter.packets;
    bytes += counter.bytes;
  }
  return { packets, bytes };
}
