/** One apply: desired objects -> world -> compiled tables -> kernel. The only writer of the datapath. */
import { Compiler } from '../compile/compiler.js';
import type { LabelInfo } from '../compile/compiled.js';
import type { EffectiveTable } from '../compile/effective.js';
import type { PolicyEngine } from '../compile/policy/policy-engine.js';
import { WorldState, type Problem } from '../compile/world.js';
import type { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import { netdevImage, type NetdevImage } from '../drivers/nftables/netdev-layout.js';
import type { NftablesDriver } from '../drivers/nftables/driver.js';
import type { Target, TargetFilter } from '../compile/target.js';
import type { Filter } from '../model/filter.js';
import type { FlowTable, Link, LinkSocket } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { DesiredState } from './desired.js';
import type { StoredFilterNumbers } from './filter-numbers.js';
import type { HeldObjects } from './held-objects.js';
import { netdevFilters, resolveMirrors } from './mirrors.js';
import type { NameLearning } from './name-learning.js';
import type { Realized } from './realized.js';
import type { StoredRuleNumbers } from './rule-numbers.js';

export interface DatapathOptions {
  readonly desired: DesiredState;
  readonly numbers: StoredFilterNumbers;
  readonly policies: PolicyEngine;
  readonly ruleNumbers: StoredRuleNumbers;
  readonly held: HeldObjects;
  /** Addresses of the host, of all its interfaces. */
  readonly hostAddresses: () => readonly string[];
  readonly driver: NftablesDriver;
  readonly netdev: NetdevDriver;
  readonly names: NameLearning;
  readonly links: LinkSocket;
  readonly flows: FlowTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly failOpen: boolean;
  readonly logGroup: number;
  /** Interface whose frames only the IDS engine reads; '' = none. */
  readonly sensor: string;
  /** Called after a sweep that must be settled by another apply. */
  readonly onSwept: () => void;
}

/** A packet that was judged before a commit may write its label shortly after: sweeping waits this long. */
const SWEEP_DELAY_MS = 30;

export class Datapath {
  private readonly compiler = new Compiler();
  private readonly world: WorldState;
  private seeded = false;
  private realizedState: Realized | undefined;
  private sweeping: Promise<void> | undefined;
  private swept: Parameters<NftablesDriver['settle']>[0] | undefined;
  private netdevProblem: Problem | undefined;
  private linksStale = true;
  private frames: NetdevImage | undefined;
  private framesGeneration = -1;
  private knownLinks: ReadonlyMap<string, Link> = new Map();
  /** What table `netdev dfw` was made to be, as text; undefined: to be compared with the kernel. */
  private framesInForce: string | undefined;

  constructor(private readonly options: DatapathOptions) {
    this.world = new WorldState(options.numbers);
  }

  get realized(): Realized | undefined {
    return this.realizedState;
  }

  get labels(): ReadonlyMap<number, LabelInfo> {
    return this.options.driver.labels;
  }

  get links(): ReadonlyMap<string, Link> {
    return this.knownLinks;
  }

  async apply(reason: string): Promise<{ changed: boolean }> {
    const { options } = this;
    const started = options.clock.monotonic();
    if (!this.seeded) {
      this.compiler.seed(await options.driver.readLabels());
      this.seeded = true;
    }
    const desired = options.desired.take();
    const world = this.world.update(desired.changes);
    options.policies.setHostAddresses(options.hostAddresses());
    options.policies.update(desired.changes, world.filters);
    await options.numbers.save();
    await options.ruleNumbers.save();
    await options.held.save(options.policies.held());
    const compilation = this.compiler.compile(world, (filter) => options.policies.tables(filter));
    const target: Target = {
      tables: compilation.tables,
      filters: new Map(world.filters.map((filter): [string, TargetFilter] => [
        filter.interface,
        {
          number: filter.number, interface: filter.interface, table: compilation.filterTables.get(filter.name), failOpen: options.failOpen,
          reachesItself: filter.workload.kind === 'Pod',
        },
      ])),
    };
    const applied = await options.driver.apply(target);
    const settled = await this.settle();
    const frames = await this.applyNetdev(world, compilation);
    const names = await this.applyNames(world);

    const changed = applied.changed || frames.changed || names.changed || this.realizedState === undefined;
    const before = this.realizedState;
    const generation = (before?.generation ?? 0) + (changed ? 1 : 0);
    const at = options.clock.now();
    this.realizedState = {
      generation, at: changed ? at : (before?.at ?? at), world, compilation, mirrors: frames.mirrors,
      problems: [...desired.problems, ...world.problems, ...options.policies.problems, ...compilation.problems, ...frames.problems, ...names.problems],
      tableTimes: new Map([...compilation.tables].map(([key, compiled]) => {
        const known = before?.tableTimes.get(key);
        return [key, known?.compiled === compiled ? known : { generation, at, compiled }];
      })),
    };
    this.sweepLater();
    const ms = Math.round((options.clock.monotonic() - started) * 100) / 100;
    if (changed) {
      options.log.info('apply.done', {
        reason, ms, generation, filters: world.filters.length, tables: compilation.tables.size, elements: applied.elements, rulesJudgedAgain: applied.lost,
      });
    } else options.log.debug('apply.unchanged', { reason, ms, settled });
    return { changed };
  }

  /** True when nothing waits for a sweep: every connection was judged by the rules in force, or will be on its next packet. */
  get settledDown(): boolean {
    return this.sweeping === undefined && this.options.driver.pendingSweep() === undefined;
  }

  async drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    return (await this.options.driver.drifted(depth)) ?? (await this.framesDrifted()) ?? (await this.options.names.drifted());
  }

  /** A table that neither driver here owns was committed by the agent. */
  committedElsewhere(generation: number): void {
    this.options.driver.committedElsewhere(generation);
    if (generation === this.framesGeneration + 1) this.framesGeneration = generation;
  }

  /** Looks at table `netdev dfw` only after somebody committed something. */
  private async framesDrifted(): Promise<string | undefined> {
    const { frames } = this;
    const generation = await this.options.netdev.generation();
    if (frames === undefined || generation === this.framesGeneration) return undefined;
    this.framesGeneration = generation;
    if (!(await this.options.netdev.differs(frames))) return undefined;
    this.framesInForce = undefined;
    return 'table netdev dfw differs';
  }

  /** Interfaces came, went or changed: hooks on them must be looked at again. */
  linksChanged(): void {
    this.framesInForce = undefined;
    this.linksStale = true;
  }

  async refreshLinks(): Promise<ReadonlyMap<string, Link>> {
    this.linksStale = false;
    this.knownLinks = new Map((await this.options.links.list()).map((link) => [link.name, link]));
    return this.knownLinks;
  }

  async cleanup(): Promise<string[]> {
    await this.sweeping;
    await this.options.driver.cleanup();
    await this.options.netdev.cleanup();
    await this.options.names.cleanup();
    return ['table inet dfw', 'table netdev dfw', 'table inet dfw_dns'];
  }

  private async settle(): Promise<boolean> {
    const { swept } = this;
    if (swept === undefined) return false;
    this.swept = undefined;
    await this.options.driver.settle(swept);
    return true;
  }

  private sweepLater(): void {
    const { options } = this;
    const sweep = options.driver.pendingSweep();
    if (sweep === undefined || this.sweeping !== undefined) return;
    this.sweeping = new Promise<void>((resolve) => options.clock.after(SWEEP_DELAY_MS, resolve))
      .then(() => options.flows.sweepLabels({ ids: Uint32Array.from(sweep.ids), known: Uint32Array.from(sweep.known) }))
      .then(
        ({ scanned, cleared }) => {
          options.log.info('connections.judged_again', { rules: sweep.ids.size, scanned, cleared });
          this.swept = sweep;
        },
        // The rules stay on probation: their connections are judged packet by packet until a later sweep succeeds.
        (error: unknown) => options.log.error('connections.sweep_failed', { error: error instanceof Error ? error.message : String(error) }),
      )
      .finally(() => {
        this.sweeping = undefined;
        options.onSwept();
      });
  }

  private async applyNetdev(world: Realized['world'], compilation: Realized['compilation']): Promise<{ changed: boolean; mirrors: Realized['mirrors']; problems: Problem[] }> {
    const { options } = this;
    const links = this.linksStale ? await this.refreshLinks() : this.knownLinks;
    const mirrors = resolveMirrors(world, links);
    const tables = (filter: Filter): readonly EffectiveTable[] => compilation.sources.get(compilation.filterTables.get(filter.name) ?? '') ?? [];
    const filters = netdevFilters(world, tables, mirrors, links);
    const sensor = links.get(options.sensor);
    const wanted = netdevImage(
      filters, sensor === undefined ? [] : [{ interface: sensor.name, interfaceIndex: sensor.index }], options.logGroup,
    );
    const text = JSON.stringify([...wanted.chains.values()].map((chain) => [chain.name, chain.hook, chain.rules.map(({ comment }) => comment)]));
    if (text === this.framesInForce) return { changed: false, mirrors, problems: [] };
    try {
      const changed = await options.netdev.apply(wanted);
      this.netdevProblem = undefined;
      this.framesInForce = text;
      this.frames = wanted;
      return { changed, mirrors, problems: [] };
    } catch (error) {
      // An interface may vanish between listing and hooking: its link event brings us back here.
      this.framesInForce = undefined;
      this.netdevProblem = { object: 'netdev dfw', path: '', message: `mirrors and layer 2 rules are not up to date: ${error instanceof Error ? error.message : String(error)}` };
      options.log.warn('netdev.failed', { error: this.netdevProblem.message });
      options.clock.after(200, options.onSwept);
      return { changed: false, mirrors, problems: [this.netdevProblem] };
    }
  }
  private async applyNames(world: Realized['world']): Promise<{ changed: boolean; problems: Problem[] }> {
    const { options } = this;
    const { patterns, filters } = options.policies.fqdnPeers();
    const interfaces = world.filters.filter(({ name }) => filters.has(name)).map((filter) => filter.interface);
    const { changed, problem } = await options.names.apply({ patterns, interfaces });
    if (problem === undefined) return { changed, problems: [] };
    options.clock.after(200, options.onSwept);
    return { changed, problems: [problem] };
  }
}
