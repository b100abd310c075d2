/** Enforcement by nf_tables: rules in tables `inet dfw` and, for ports of Linux bridges, `bridge dfw`; mirrors and layer 2 rules in table `netdev dfw`. */
import type { LabelInfo, Side } from '../compile/compiled.js';
import type { RealmOf } from '../compile/compiler.js';
import type { EffectiveTable } from '../compile/effective.js';
import type { Problem } from '../compile/world.js';
import { NOT_APPLICABLE_ID } from '../compile/label-ids.js';
import type { BridgeDriver } from '../drivers/nftables/bridge-driver.js';
import type { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import { copyRuleOf } from '../drivers/nftables/copy-rules.js';
import { netdevImage, type NetdevImage } from '../drivers/nftables/netdev-layout.js';
import { shortName } from '../drivers/nftables/image.js';
import type { ChainImage } from '../drivers/nftables/image.js';
import { tunnelChains } from '../drivers/nftables/tunnel-layout.js';
import { filterChain } from '../drivers/nftables/pieces.js';
import type { ReturnPath, ReturnPathDriver } from '../drivers/nftables/return-paths.js';
import type { NftablesDriver, Sweep } from '../drivers/nftables/driver.js';
import type { Filter } from '../model/filter.js';
import type { TrafficControlObject } from '../model/objects.js';
import type { FlowTable, Link } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { NO_TRAFFIC, sumTraffic, type CopyCounter, type Enforced, type Enforcement, type TrafficCounter, type Wanted } from './enforcement.js';
import type { MirrorTunnels } from './mirror-tunnels.js';
import { netdevFilters, redirectsOf, resolveMirrors, type ResolvedMirror } from './mirrors.js';
import { BRIDGE_REALM, Placement } from './placement.js';
import { redirectPending } from './redirect-pending.js';
import type { RefusedFrames } from './refused-frames.js';
import type { SpoofGuard } from './spoof-guard.js';
import type { DatapathState } from './status.js';

export interface NftablesEnforcementOptions {
  readonly driver: NftablesDriver;
  readonly bridge: BridgeDriver;
  readonly netdev: NetdevDriver;
  readonly tunnels: Pick<MirrorTunnels, 'ensure' | 'release' | 'cleanup'>;
  /** Answers to what is rejected on bridges; wanted from the first filter on one. */
  readonly answers: Pick<RefusedFrames, 'start' | 'degraded'>;
  readonly flows: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly logGroup: number;
  readonly returns: ReturnPathDriver;
  /** Bit of the packet mark that traffic has which came back. */
  readonly returnedMark: number;
  /** Interfaces whose frames only the IDS engine reads. */
  readonly sensors: readonly string[];
  readonly spoofGuard: SpoofGuard;
  /** NFLOG group of frames that tell addresses. */
  readonly learnGroup: number;
  /** The IDS engine runs and answers. */
  readonly inspecting: () => boolean;
  /** Called when another apply is due: after a sweep, or to try again what an interface that vanished prevented. */
  readonly onDue: () => void;
}

interface Sweeps {
  readonly routed: Sweep | undefined;
  readonly bridged: Sweep | undefined;
}

/** A packet that was judged before a commit may write its label shortly after: sweeping waits this long. */
const SWEEP_DELAY_MS = 30;
const RETRY_MS = 200;
/** Longer than any frame is on its way through a device that inspects it. */
const RETURN_MS = 2_000;

export class NftablesEnforcement implements Enforcement {
  readonly name = 'nftables';
  private sweeping: Promise<void> | undefined;
  private swept: Sweeps | undefined;
  private readonly placement = new Placement();
  private bothLabels: { readonly of: readonly ReadonlyMap<number, LabelInfo>[]; readonly labels: ReadonlyMap<number, LabelInfo> } | undefined;
  private frames: NetdevImage | undefined;
  private framesGeneration = -1;
  /** What table `netdev dfw` was made to be, as text; undefined: to be compared with the kernel. */
  private framesInForce: string | undefined;
  private links: ReadonlyMap<string, Link> = new Map();

  constructor(private readonly options: NftablesEnforcementOptions) {}

  get labels(): ReadonlyMap<number, LabelInfo> {
    const of = [this.options.driver.labels, this.options.bridge.labels];
    const [routed, bridged] = of;
    if (routed === undefined || bridged === undefined || bridged.size === 0) return this.options.driver.labels;
    if (this.bothLabels?.of[0] !== routed || this.bothLabels.of[1] !== bridged) this.bothLabels = { of, labels: new Map([...routed, ...bridged]) };
    return this.bothLabels.labels;
  }

  get settledDown(): boolean {
    return this.sweeping === undefined && this.options.driver.pendingSweep() === undefined && this.options.bridge.pendingSweep() === undefined;
  }

  async readLabels(): Promise<ReadonlyMap<number, string>> {
    return new Map([...(await this.options.driver.readLabels()), ...(await this.options.bridge.readLabels())]);
  }

  realms(filters: readonly Filter[], links: ReadonlyMap<string, Link>): RealmOf {
    this.placement.update(filters.map((filter) => filter.interface), links);
    return (filter) => (this.placement.bridgeOf(filter.interface) === undefined ? undefined : BRIDGE_REALM);
  }

  async apply(wanted: Wanted): Promise<Enforced> {
    this.links = wanted.links;
    const { routed, bridged } = this.placement.split(wanted.target);
    if (routed.bridges !== undefined) this.options.answers.start();
    // One that fails must not keep the other from what it can do.
    const [applied, below] = await Promise.all(await inTurn(() => this.options.driver.apply(routed), () => this.options.bridge.apply(bridged)));
    await this.settle();
    const frames = await this.applyFrames(wanted);
    this.sweepLater();
    return {
      changed: below.changed || applied.changed || frames.changed, elements: below.elements + applied.elements, lost: below.lost + applied.lost,
      mirrors: frames.mirrors, problems: frames.problems,
    };
  }

  settled(): Promise<void> {
    // A transaction is in force when the kernel has answered.
    return Promise.resolve();
  }

  async drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    return (await this.options.driver.drifted(depth)) ?? (await this.options.bridge.drifted(depth)) ?? (await this.framesDrifted());
  }

  /** A table was committed by the agent. Who did that itself knows already. */
  committedElsewhere(generation: number): void {
    this.options.driver.committedElsewhere(generation);
    this.options.bridge.committedElsewhere(generation);
    if (generation === this.framesGeneration + 1) this.framesGeneration = generation;
  }

  /** Hooks on interfaces must be looked at again. */
  linksChanged(): void {
    this.framesInForce = undefined;
  }

  attached(filter: Filter): boolean {
    return this.links.has(filter.interface);
  }

  shut(filter: Filter): string | undefined {
    return this.placement.bridgeOf(filter.interface) === undefined ? undefined : this.options.bridge.refusal;
  }

  readsReplies(filter: Filter): boolean {
    return this.placement.bridgeOf(filter.interface) === undefined;
  }

  /** What `agentctl status` says of bridges. `filtered`: is br_netfilter loaded? */
  state(filtered: boolean): DatapathState {
    const ports = [...this.placement.ports];
    if (ports.length === 0) return { components: [], degraded: [] };
    const { bridge: { refusal }, answers: { degraded: unanswered } } = this.options;
    const bridges = [...new Set(ports.flatMap((name) => this.placement.bridgeOf(name) ?? []))].sort();
    const detail = `${ports.length} filters on ${bridges.join(', ')}${filtered ? '; br_netfilter is loaded, too' : ''}`;
    return {
      components: [{ name: 'linux bridges', state: refusal === undefined ? 'enforced' : 'shut', detail }],
      degraded: [...(refusal === undefined ? [] : [`filters of ${ports.sort().join(', ')}: no rules in force: ${refusal}`]), ...(unanswered === undefined ? [] : [unanswered])],
    };
  }

  async ruleCounters(): Promise<ReadonlyMap<number, TrafficCounter>> {
    return new Map([...(await this.options.driver.ruleCounters()), ...(await this.options.bridge.ruleCounters())]);
  }

  async refused(filter: Filter): Promise<Record<Side, TrafficCounter>> {
    const chains = await (this.placement.bridgeOf(filter.interface) === undefined ? this.options.driver : this.options.bridge).chainCounters();
    const of = (side: Side): TrafficCounter => {
      const [judged = NO_TRAFFIC, accepted = NO_TRAFFIC] = chains.get(filterChain(filter.number, side)) ?? [];
      return { packets: judged.packets - accepted.packets, bytes: judged.bytes - accepted.bytes };
    };
    return { in: of('in'), out: sumTraffic([of('out'), ...(await this.spoofed(filter))]) };
  }

  /** What SpoofGuard dropped reached no rule. */
  private async spoofed({ number }: Filter): Promise<readonly TrafficCounter[]> {
    return this.options.spoofGuard.mode !== 'off' ? ((await this.options.netdev.counters()).get(`spoof_${number}`) ?? []) : [];
  }

  async layer2(filter: Filter): Promise<(table: string, ruleId: number) => Record<Side, TrafficCounter>> {
    const counters = await this.options.netdev.counters();
    const of = (side: Side, table: string, ruleId: number): TrafficCounter =>
      sumTraffic((counters.get(`l2_${filter.number}_${side}`) ?? []).filter(({ comment }) => comment.includes(`layer 2 rule ${table}/${ruleId} of `)));
    return (table, ruleId) => ({ in: of('in', table, ruleId), out: of('out', table, ruleId) });
  }

  async mirrored(control: string): Promise<CopyCounter> {
    const counters = [...(await this.options.netdev.counters()).values()].flat();
    const of = (wanted: (comment: string) => boolean): TrafficCounter => sumTraffic(counters.filter(({ comment }) => wanted(comment)));
    const redirected = `dfw: redirect ${shortName(control)} of `;
    return {
      ...of((comment) => copyRuleOf(control, comment) === 'copied' || comment.startsWith(redirected)), capped: of((comment) => copyRuleOf(control, comment) === 'capped').packets,
    };
  }

  dropped(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Copies of what is sent are made before the rules; of what arrives, behind them: what they refuse never comes to the vNIC. */
  seesRefused(side: Side): boolean {
    return side === 'out';
  }

  async cleanup(): Promise<string[]> {
    await this.sweeping;
    await this.options.driver.cleanup();
    await this.options.bridge.cleanup();
    await this.options.netdev.cleanup();
    await this.options.returns.cleanup(indexes(this.links));
    return ['table inet dfw', 'table bridge dfw', 'table netdev dfw', ...(await this.options.tunnels.cleanup())];
  }

  private async settle(): Promise<void> {
    const { swept } = this;
    if (swept === undefined) return;
    this.swept = undefined;
    if (swept.routed !== undefined) await this.options.driver.settle(swept.routed);
    if (swept.bridged !== undefined) await this.options.bridge.settle(swept.bridged);
  }

  private sweepLater(): void {
    const { options } = this;
    const sweep: Sweeps = { routed: options.driver.pendingSweep(), bridged: options.bridge.pendingSweep() };
    if ((sweep.routed === undefined && sweep.bridged === undefined) || this.sweeping !== undefined) return;
    const ids = new Set([...(sweep.routed?.ids ?? []), ...(sweep.bridged?.ids ?? [])]);
    const known = Uint32Array.from([...this.labels.keys(), NOT_APPLICABLE_ID]);
    this.sweeping = new Promise<void>((resolve) => options.clock.after(SWEEP_DELAY_MS, resolve))
      .then(() => options.flows.sweepLabels({ ids: Uint32Array.from(ids), known }))
      .then(
        ({ scanned, cleared }) => {
          options.log.info('connections.judged_again', { rules: ids.size, scanned, cleared });
          this.swept = sweep;
        },
        // The rules stay on probation: their connections are judged packet by packet until a later sweep succeeds.
        (error: unknown) => options.log.error('connections.sweep_failed', { error: error instanceof Error ? error.message : String(error) }),
      )
      .finally(() => {
        this.sweeping = undefined;
        options.onDue();
      });
  }

  /** Looks at table `netdev dfw` only after somebody committed something. */
  private async framesDrifted(): Promise<string | undefined> {
    const { frames } = this;
    const lost = await this.options.returns.drifted();
    if (lost !== undefined) return lost;
    const generation = await this.options.netdev.generation();
    if (frames === undefined || generation === this.framesGeneration) return undefined;
    this.framesGeneration = generation;
    if (!(await this.options.netdev.differs(frames))) return undefined;
    this.framesInForce = undefined;
    return 'table netdev dfw differs';
  }

  private async applyFrames({ world, compilation, links: before }: Wanted): Promise<{ changed: boolean; mirrors: readonly ResolvedMirror[]; problems: Problem[] }> {
    const { options } = this;
    const targets = world.trafficControls.filter(({ action }) => action === 'Mirror').map(({ target }) => target);
    const tunnels = await options.tunnels.ensure(targets, before);
    const { links } = tunnels;
    const resolve = (): ResolvedMirror[] => resolveMirrors(world, links, options.inspecting(), (control, device, selected) => (control.action === 'Mirror' ? tunnels.problems.get(control.target.name) ?? mirrorPending(control, device)
      : redirectPending(control, selected, { links, bridgeOf: (name) => this.placement.bridgeOf(name), refusal: options.returns.refusal })));
    let mirrors = resolve();
    // The way back is there before anything goes out.
    const ways = await options.returns.apply(returnPaths(world.filters, mirrors, links), indexes(links));
    if (options.returns.refusal !== undefined) mirrors = resolve();
    if (options.returns.leaving) options.clock.after(RETURN_MS, options.onDue);
    const tables = (filter: Filter): readonly EffectiveTable[] => compilation.sources.get(compilation.filterTables.get(filter.name) ?? '') ?? [];
    const filters = netdevFilters(world, tables, mirrors, links, options.spoofGuard, options.learnGroup);
    const sensors = options.sensors.flatMap((name) => links.get(name) ?? []).map(({ name, index }) => ({ interface: name, interfaceIndex: index }));
    const wanted = withChains(netdevImage(filters, sensors, options.logGroup, options.returnedMark), tunnelChains(tunnels.paths));
    const text = JSON.stringify([...wanted.chains.values()].map((chain) => [chain.name, chain.hook, chain.rules.map(({ comment }) => comment)]));
    try {
      const changed = text !== this.framesInForce && (await options.netdev.apply(wanted));
      this.framesInForce = text;
      this.frames = wanted;
      // Nothing is copied there any more.
      await options.tunnels.release(targets, links);
      return { changed: changed || ways, mirrors, problems: [] };
    } catch (error) {
      // An interface may vanish between listing and hooking: its link event brings us back here.
      this.framesInForce = undefined;
      const message = `mirrors, layer 2 rules and SpoofGuard are not up to date: ${error instanceof Error ? error.message : String(error)}`;
      options.log.warn('netdev.failed', { error: message });
      options.clock.after(RETRY_MS, options.onDue);
      return { changed: false, mirrors, problems: [{ object: 'netdev dfw', path: '', message }] };
    }
  }
}

/** Begins the second when the first has ended, whatever became of it. */
async function inTurn<A, B>(first: () => Promise<A>, second: () => Promise<B>): Promise<[Promise<A>, Promise<B>]> {
  const began = first();
  await began.catch(() => undefined);
  return [began, second()];
}

function withChains(image: NetdevImage, more: readonly ChainImage[]): NetdevImage {
  return { ...image, chains: new Map([...image.chains, ...more.map((chain): [string, ChainImage] => [chain.name, chain])]) };
}

const indexes = (links: ReadonlyMap<string, Link>): number[] => [...links.values()].map(({ index }) => index);

/** By the device that frames come back by: whose they are. */
function returnPaths(filters: readonly Filter[], mirrors: readonly ResolvedMirror[], links: ReadonlyMap<string, Link>): ReadonlyMap<number, readonly ReturnPath[]> {
  const paths = new Map<number, ReturnPath[]>();
  for (const filter of filters) {
    const link = links.get(filter.interface);
    for (const side of link === undefined ? [] : (['in', 'out'] as const)) {
      for (const { control, pending } of redirectsOf(mirrors, filter, side)) {
        const device = pending === undefined && control.returnPort !== undefined ? links.get(control.returnPort.name) : undefined;
        if (device === undefined || link === undefined) continue;
        const list = paths.get(device.index) ?? [];
        paths.set(device.index, list);
        list.push({ mac: filter.mac, side, interfaceIndex: link.index });
      }
    }
  }
  return paths;
}

function mirrorPending(control: TrafficControlObject, device: Link | undefined): string | undefined {
  const { name } = control.target;
  if (device === undefined) return `device ${name} does not exist`;
  if (!device.up) return `device ${name} is down`;
  const { refused, direction } = control;
  if (refused === 'copied' && direction !== 'Egress') return 'what rules refuse on its way to a workload is not seen by the nftables datapath: leave spec.refused out, or copy direction Egress only';
  if (refused === 'left-out' && direction !== 'Ingress') return 'the nftables datapath copies what workloads send before the rules judge it: leave spec.refused out, or copy direction Ingress only';
  return undefined;
}
