/** Enforcement by Open vSwitch: everything is flows of one bridge. */
import type { LabelInfo, Side } from '../compile/compiled.js';
import type { EffectiveTable } from '../compile/effective.js';
import { compareText } from '../compile/world.js';
import type { OvsDriver } from '../drivers/ovs/driver.js';
import type { BridgeConnection } from '../drivers/ovs/session.js';
import type { FrameFilter, OvsTarget } from '../drivers/ovs/target.js';
import type { Filter } from '../model/filter.js';
import type { TrafficControlObject } from '../model/objects.js';
import { NO_TRAFFIC, sumTraffic, type Enforced, type Enforcement, type TrafficCounter, type Wanted } from './enforcement.js';
import { layer2Of, resolveMirrors, sidesOf, type ResolvedMirror } from './mirrors.js';

export interface OvsEnforcementOptions {
  readonly driver: OvsDriver;
  readonly bridge: BridgeConnection;
  readonly bridgeName: string;
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
    this.mirrors = resolveMirrors(world, links, (control) => this.pending(control));
    const tables = (filter: Filter): readonly EffectiveTable[] => compilation.sources.get(compilation.filterTables.get(filter.name) ?? '') ?? [];
    const wanted: OvsTarget = {
      ...target,
      frames: new Map(world.filters.map((filter): [string, FrameFilter] => [filter.interface, { mac: filter.mac, layer2: layer2Of(tables(filter)), mirrors: this.targetsOf(filter) }])),
      taps: new Set(this.mirrors.map(({ control }) => control.targetDevice)),
    };
    const { meddled } = this;
    this.meddled = false;
    const applied = await driver.apply(wanted).catch((error: unknown) => {
      this.meddled ||= meddled;
      throw error;
    });
    if (meddled && applied.changed) this.options.onRepaired(applied.elements);
    const absent = world.filters.filter((filter) => !bridge.has(filter.interface));
    return {
      ...applied, mirrors: this.mirrors,
      problems: absent.length < world.filters.length || absent.length === 0 ? [] : [{ object: bridgeName, path: '', message: `none of the interfaces of its ${absent.length} filters is a port of bridge ${bridgeName}` }],
    };
  }

  settled(): Promise<void> {
    return this.options.driver.settled();
  }

  drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    // Changes by others come as events; the comparison is for what events missed.
    return depth === 'all' ? this.options.driver.drifted() : Promise.resolve(undefined);
  }

  linksChanged(): void {
    // Ports are the switch's to tell.
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

  async mirrored(control: string, filters: readonly Filter[]): Promise<TrafficCounter> {
    const mirror = this.mirrors.find(({ control: { metadata } }) => metadata.name === control);
    if (mirror?.pending !== undefined || mirror === undefined) return NO_TRAFFIC;
    const counters = await this.options.driver.portCounters();
    const sides = sidesOf(mirror.control);
    return sumTraffic(filters.flatMap(({ number }) => sides.map((side) => counters.get(number)?.[side] ?? NO_TRAFFIC)));
  }

  async cleanup(): Promise<string[]> {
    await this.options.driver.cleanup();
    return [`flows of bridge ${this.options.bridgeName}`];
  }

  private targetsOf(filter: Filter): Record<Side, string[]> {
    const of = (side: Side): string[] => this.mirrors
      .filter(({ control, filters, pending }) => pending === undefined && filters.includes(filter) && sidesOf(control).includes(side))
      .map(({ control }) => control.targetDevice).sort(compareText);
    return { in: [...new Set(of('in'))], out: [...new Set(of('out'))] };
  }

  private pending(control: TrafficControlObject): string | undefined {
    const { bridge, bridgeName } = this.options;
    if (control.action !== 'Mirror') return `action ${control.action} is not supported by this version`;
    return bridge.has(control.targetDevice) ? undefined : `device ${control.targetDevice} is no port of bridge ${bridgeName}`;
  }
}
