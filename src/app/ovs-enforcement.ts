/** Enforcement by Open vSwitch: everything is flows of one bridge. */
import type { LabelInfo, Side } from '../compile/compiled.js';
import type { RealmOf } from '../compile/compiler.js';
import type { EffectiveTable } from '../compile/effective.js';
import { compareText, type Problem } from '../compile/world.js';
import { layer2Bindings } from '../compile/layer2.js';
import { describeError } from '../model/errors.js';
import type { Link } from '../native/binding.js';
import type { OwnPort, OwnPorts } from '../drivers/ovs/own-ports.js';
import type { OvsDriver } from '../drivers/ovs/driver.js';
import type { RestoreWait } from '../drivers/ovs/restore-wait.js';
import type { BridgeConnection } from '../drivers/ovs/session.js';
import { LIMITED_CONTROLS } from '../drivers/ovs/copy-meters.js';
import { OF15 } from '../drivers/ovs/openflow/constants.js';
import { NOWHERE, type CopyTarget, type Diversion, type FrameFilter, type OvsTarget } from '../drivers/ovs/target.js';
import { copyRequest } from '../model/copying.js';
import type { Filter } from '../model/filter.js';
import type { TrafficControlObject } from '../model/objects.js';
import { isTunnel, tunnelEnds } from '../model/tunnel.js';
import { NO_TRAFFIC, type CopyCounter, type Enforced, type Enforcement, type TrafficCounter, type Wanted } from './enforcement.js';
import type { HostStack } from './host-stack.js';
import { guardOf, type SpoofGuard } from './spoof-guard.js';
import { copiesOf, matchOf, redirectsOf, resolveMirrors, type ResolvedMirror } from './mirrors.js';

export interface OvsEnforcementOptions {
  readonly driver: OvsDriver;
  readonly bridge: BridgeConnection;
  readonly bridgeName: string;
  readonly ports: Pick<OwnPorts, 'ensure'>;
  readonly hostStack: Pick<HostStack, 'keep' | 'distrust' | 'cleanup'>;
  readonly restoreWait: Pick<RestoreWait, 'complete'>;
  /** Of the bridge; undefined while it is not known. */
  readonly datapathType: () => string | undefined;
  /** Devices that lead to the IDS engine and back: ports of the bridge. */
  readonly taps: readonly string[];
  /** The IDS engine runs and answers. */
  readonly inspecting: () => boolean;
  readonly spoofGuard: SpoofGuard;
  /** Others forward on the bridge. */
  readonly beside: boolean;
  readonly bringUp: (interfaceName: string) => Promise<void>;
  /** What somebody else had done to our flows is put right. */
  readonly onRepaired: (flows: number) => void;
}

export class OvsEnforcement implements Enforcement {
  readonly name = 'ovs';
  /** Stamps make connections obey by themselves: nothing is ever swept. */
  readonly settledDown = true;
  private mirrors: readonly ResolvedMirror[] = [];
  /** Somebody else changed flows of ours since the last apply. */
  private meddled = false;

  constructor(private readonly options: OvsEnforcementOptions) {}

  get labels(): ReadonlyMap<number, LabelInfo> {
    return this.options.driver.labels;
  }

  /** Flows of ours are not what they were: the next apply compares all of them and repairs what differs. */
  distrust(): void {
    this.meddled = true;
    this.options.driver.distrust();
  }

  readLabels(): Promise<ReadonlyMap<number, string>> {
    return this.options.driver.readLabels();
  }

  async apply({ target, world, compilation, links }: Wanted): Promise<Enforced> {
    const { bridge, bridgeName, driver } = this.options;
    const problems: Problem[] = [];
    const made = await this.makePorts(world.trafficControls, links, problems);
    const kept = await this.options.hostStack.keep(
      world.filters.flatMap((filter) => (bridge.has(filter.interface) ? (links.get(filter.interface) ?? []) : [])), this.options.datapathType(),
    );
    const limited = world.trafficControls.filter(({ rateLimit }) => rateLimit !== undefined).map(({ metadata }) => metadata.name).sort(compareText);
    this.mirrors = resolveMirrors(world, links, this.options.inspecting(), (control) => this.pending(control, limited));
    const active = this.mirrors.filter(({ pending }) => pending === undefined);
    const tables = (filter: Filter): readonly EffectiveTable[] => compilation.sources.get(compilation.filterTables.get(filter.name) ?? '') ?? [];
    const wanted: OvsTarget = {
      ...target,
      frames: new Map(world.filters.map((filter): [string, FrameFilter] => [filter.interface, {
        mac: filter.mac, addresses: this.options.beside ? filter.addresses : [], guard: undefined, ...guardOf(this.options.spoofGuard, filter), ...(this.options.spoofGuard.learns(filter) ? { learns: true as const } : {}), layer2: layer2Bindings(tables(filter)), mirrors: targetsOf(active, filter), redirects: diversionsOf(this.mirrors, filter),
      }])),
      taps: new Set([...this.options.taps, ...world.trafficControls.flatMap(({ target: to, returnPort }) => [to.name, ...(returnPort === undefined ? [] : [returnPort.name])])]),
      tunnels: [...new Map(active.flatMap(({ control: { target: to } }) => (isTunnel(to) ? [[to.name, tunnelEnds(to)] as const] : []))).values()],
      returns: new Set(active.flatMap(({ control: { returnPort } }) => (returnPort === undefined ? [] : [returnPort.name]))),
    };
    const { meddled } = this;
    this.meddled = false;
    const applied = await driver.apply(wanted).catch((error: unknown) => {
      this.meddled ||= meddled;
      throw error;
    });
    await this.options.restoreWait.complete().catch((error: unknown) => problems.push({ object: bridgeName, path: '', message: `the switch waits for its flows (flow-restore-wait), and cannot be told that they are there: ${describeError(error)}` }));
    if (meddled && applied.changed) this.options.onRepaired(applied.elements);
    for (const { attachment, mac, addresses } of this.options.beside ? world.filters : []) {
      if (mac === '' && addresses.length === 0) problems.push({ object: `Attachment/${attachment}`, path: 'spec.mac', message: 'neither a MAC address nor an address is known: what is for it is not judged' });
    }
    if (world.filters.length > 0 && world.filters.every((filter) => !bridge.has(filter.interface))) {
      problems.push({ object: bridgeName, path: '', message: `none of the interfaces of its ${world.filters.length} filters is a port of bridge ${bridgeName}` });
    }
    return { ...applied, changed: applied.changed || made || kept, mirrors: this.mirrors, problems };
  }

  settled(): Promise<void> {
    return this.options.driver.settled();
  }

  drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    // Changes by others come as events; the comparison is for what events missed.
    return depth === 'all' ? this.options.driver.drifted() : Promise.resolve(undefined);
  }

  linksChanged(): void {
    // Ports are the switch's to tell; a device may be another by the same name.
    this.options.hostStack.distrust();
  }

  realms(): RealmOf {
    return () => undefined;
  }

  shut(): undefined {
    return undefined;
  }

  readsReplies(): boolean {
    return true;
  }

  attached(filter: Filter): boolean {
    return this.options.bridge.has(filter.interface);
  }

  ruleCounters(): Promise<ReadonlyMap<number, TrafficCounter>> {
    return this.options.driver.ruleCounters();
  }

  async refused(filter: Filter): Promise<Record<Side, TrafficCounter>> {
    const counters = (await this.options.driver.filterCounters()).get(filter.number);
    const of = (side: Side): TrafficCounter => {
      const { judged, accepted } = counters?.[side] ?? { judged: NO_TRAFFIC, accepted: NO_TRAFFIC };
      return { packets: judged.packets - accepted.packets, bytes: judged.bytes - accepted.bytes };
    };
    return { in: of('in'), out: of('out') };
  }

  async layer2(filter: Filter): Promise<(table: string, ruleId: number) => Record<Side, TrafficCounter>> {
    const counters = await this.options.driver.layer2Counters(filter.number);
    return (table, ruleId) => ({ in: counters.get(`in ${table}/${ruleId}`) ?? NO_TRAFFIC, out: counters.get(`out ${table}/${ruleId}`) ?? NO_TRAFFIC });
  }

  async mirrored(control: string): Promise<CopyCounter> {
    const mirror = this.mirrors.find(({ control: { metadata } }) => metadata.name === control);
    if (mirror === undefined || mirror.pending !== undefined) return { ...NO_TRAFFIC, capped: 0n };
    return this.options.driver.diverted(control);
  }

  /** The switch's count of the port; it has what the device dropped, too. */
  async dropped(target: string): Promise<number | undefined> {
    const dropped = await this.options.driver.dropped(target).catch(() => undefined);
    return dropped === undefined ? undefined : Number(dropped);
  }

  /** Unless a TrafficControl says otherwise, copies are made before the rules. */
  seesRefused(): boolean {
    return true;
  }

  async cleanup(): Promise<string[]> {
    const { ports, driver, bridgeName, hostStack } = this.options;
    await driver.cleanup();
    await hostStack.cleanup();
    const removed = await ports.ensure([]);
    return [...(removed ? [`ports of the agent on bridge ${bridgeName}`] : []), `flows of bridge ${this.options.bridgeName}`];
  }

  /** Ports for copies and redirected traffic. What cannot be made leaves the rest as it is. */
  private async makePorts(controls: readonly TrafficControlObject[], links: ReadonlyMap<string, Link>, problems: Problem[]): Promise<boolean> {
    const { ports, bringUp, taps } = this.options;
    const wanted = new Map(controls.flatMap(({ target, returnPort }) => [target, ...(returnPort === undefined ? [] : [returnPort])]).map((port) => [port.name, port]));
    for (const tap of taps) if (!wanted.has(tap)) wanted.set(tap, { type: 'device', name: tap, options: {} });
    try {
      const changed = await ports.ensure([...wanted.values()].flatMap((port): OwnPort[] => {
        const link = links.get(port.name);
        if (port.type === 'device') return link === undefined ? [] : [{ name: port.name, type: '', options: {} }];
        // A device that somebody made under that name is what is meant: a pair that leads to the IDS engine.
        const exists = port.type === 'internal' && link !== undefined && link.kind === 'veth';
        return [{ name: port.name, type: exists ? '' : port.type, options: port.options }];
      }));
      for (const { type, name } of wanted.values()) if (type === 'internal' && links.get(name)?.up === false) await bringUp(name);
      return changed;
    } catch (error) {
      problems.push({ object: this.options.bridgeName, path: '', message: `ports for TrafficControls: ${describeError(error)}` });
      return false;
    }
  }

  private pending(control: TrafficControlObject, limited: readonly string[]): string | undefined {
    const { bridge, bridgeName } = this.options;
    if (limited.indexOf(control.metadata.name) >= LIMITED_CONTROLS) return `more than ${LIMITED_CONTROLS} TrafficControls have a rateLimit`;
    if (control.rateLimit !== undefined && bridge.session().version !== OF15) return 'rateLimit needs a switch with OpenFlow 1.5';
    for (const port of [control.target, ...(control.returnPort === undefined ? [] : [control.returnPort])]) {
      if (!bridge.has(port.name)) return `${port.type === 'device' ? 'device ' : ''}${port.name} is no port of bridge ${bridgeName}`;
    }
    return undefined;
  }
}

function targetsOf(active: readonly ResolvedMirror[], filter: Filter): FrameFilter['mirrors'] {
  const of = (side: Side): CopyTarget[] => copiesOf(active, filter, side).map((control) => ({
    ...copyRequest(control), port: control.target.name, ...(control.refused === 'left-out' ? { behindRules: true } : {}),
  }));
  return { in: of('in'), out: of('out') };
}

/** What is blocked goes before all. */
function diversionsOf(mirrors: readonly ResolvedMirror[], filter: Filter): FrameFilter['redirects'] {
  const of = (side: Side): Diversion[] => {
    const mine = redirectsOf(mirrors, filter, side);
    return [
      ...mine.filter(({ blocked }) => blocked).map(({ control }) => diversion(control, NOWHERE)),
      ...mine.filter(({ pending }) => pending === undefined).map(({ control }) => diversion(control, control.target.name)),
    ];
  };
  return { in: of('in'), out: of('out') };
}

function diversion(control: TrafficControlObject, port: string): Diversion {
  return { control: control.metadata.name, port, ...matchOf(control) };
}
