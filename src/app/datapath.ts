/** One apply: desired objects -> world -> compiled tables -> kernel. The only writer of the datapath. */
import { Compiler, type Compilation, type QuarantineTables, type RealmOf } from '../compile/compiler.js';
import type { LabelInfo } from '../compile/compiled.js';
import type { PolicyEngine } from '../compile/policy/policy-engine.js';
import type { InspectionPorts } from '../compile/inspection.js';
import { WorldState, type Problem, type World } from '../compile/world.js';
import type { Target, TargetFilter } from '../compile/target.js';
import type { Filter } from '../model/filter.js';
import type { Link, LinkSocket } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { DesiredState } from './desired.js';
import type { Egress } from './egress.js';
import type { Enforcement } from './enforcement.js';
import type { StoredFilterNumbers } from './filter-numbers.js';
import type { HeldObjects } from './held-objects.js';
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
  readonly enforcement: Enforcement;
  readonly names: NameLearning;
  readonly links: LinkSocket;
  readonly clock: Clock;
  readonly log: Logger;
  readonly failOpen: boolean;
  readonly quarantine: QuarantineTables;
  /** Gives Egress objects their addresses; undefined: they have those that they name. */
  readonly egress: Pick<Egress, 'change' | 'filtersChanged' | 'problems'> | undefined;
  /** Where the engine of this host is; undefined: it has none. */
  readonly inspection: InspectionPorts | undefined;
  /** Called when another apply is due. */
  readonly onDue: () => void;
}

const RETRY_MS = 200;

export class Datapath {
  private readonly compiler = new Compiler();
  private readonly world: WorldState;
  private seeded = false;
  private realizedState: Realized | undefined;
  private linksStale = true;
  private realms: RealmOf = () => undefined;
  private knownLinks: ReadonlyMap<string, Link> = new Map();

  constructor(private readonly options: DatapathOptions) {
    this.world = new WorldState(options.numbers, options.inspection);
  }

  get realized(): Realized | undefined {
    return this.realizedState;
  }

  get labels(): ReadonlyMap<number, LabelInfo> {
    return this.options.enforcement.labels;
  }

  /** Where the filter is enforced, as the compiler has it. */
  realmOf(filter: Filter): string {
    return this.realms(filter) ?? '';
  }

  get links(): ReadonlyMap<string, Link> {
    return this.knownLinks;
  }

  async apply(reason: string): Promise<{ changed: boolean }> {
    const { options } = this;
    const started = options.clock.monotonic();
    if (!this.seeded) {
      this.compiler.seed(await options.enforcement.readLabels());
      this.seeded = true;
    }
    const desired = options.desired.take();
    const changes = options.egress?.change(desired.changes) ?? desired.changes;
    const world = this.world.update(changes);
    options.policies.setHostAddresses(options.hostAddresses());
    options.policies.update(changes, world.filters);
    options.numbers.retain(new Set(world.filters.map(({ attachment }) => attachment)));
    await options.numbers.save();
    await options.ruleNumbers.save();
    await options.held.save(options.policies.held());
    const links = this.linksStale ? await this.refreshLinks() : this.knownLinks;
    this.realms = options.enforcement.realms(world.filters, links);
    const compilation = this.compiler.compile(world, (filter) => options.policies.tables(filter), options.quarantine, this.realms);
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
    const applied = await options.enforcement.apply({ target, world, compilation, links });
    const names = await this.applyNames(world);

    const changed = applied.changed || names.changed || this.realizedState === undefined;
    const before = this.realizedState;
    const generation = (before?.generation ?? 0) + (changed ? 1 : 0);
    const at = options.clock.now();
    this.realizedState = {
      generation, at: changed ? at : (before?.at ?? at), world, compilation: inForce(compilation, world, options.enforcement), mirrors: applied.mirrors,
      problems: [...desired.problems, ...world.problems, ...options.policies.problems, ...compilation.problems, ...applied.problems, ...names.problems, ...(options.egress?.problems ?? [])],
      tableTimes: new Map([...compilation.tables].map(([key, compiled]) => {
        const known = before?.tableTimes.get(key);
        return [key, known?.compiled === compiled ? known : { generation, at, compiled }];
      })),
    };
    if (before?.world.filters !== world.filters) options.egress?.filtersChanged();
    const ms = Math.round((options.clock.monotonic() - started) * 100) / 100;
    if (changed) {
      options.log.info('apply.done', {
        reason, ms, generation, filters: world.filters.length, tables: compilation.tables.size, elements: applied.elements, rulesJudgedAgain: applied.lost,
      });
    } else options.log.debug('apply.unchanged', { reason, ms });
    return { changed };
  }

  /** True when nothing waits for a sweep: every connection was judged by the rules in force, or will be on its next packet. */
  get settledDown(): boolean {
    return this.options.enforcement.settledDown;
  }

  async drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    return (await this.options.enforcement.drifted(depth)) ?? (await this.options.names.drifted());
  }

  /** Interfaces came, went or changed: hooks on them must be looked at again. */
  linksChanged(): void {
    this.options.enforcement.linksChanged();
    this.linksStale = true;
  }

  async refreshLinks(): Promise<ReadonlyMap<string, Link>> {
    this.linksStale = false;
    this.knownLinks = new Map((await this.options.links.list()).map((link) => [link.name, link]));
    return this.knownLinks;
  }

  async cleanup(): Promise<string[]> {
    const removed = await this.options.enforcement.cleanup();
    return [...removed, ...(await this.options.names.cleanup())];
  }

  private async applyNames(world: Realized['world']): Promise<{ changed: boolean; problems: Problem[] }> {
    const { options } = this;
    const { patterns, filters } = options.policies.fqdnPeers();
    const interfaces = world.filters.filter(({ name }) => filters.has(name)).map((filter) => filter.interface);
    const { changed, problem } = await options.names.apply({ patterns, interfaces });
    const blind = world.filters.filter((filter) => filters.has(filter.name) && !options.enforcement.readsReplies(filter)).map((filter) => filter.interface);
    const unread = blind.length === 0 ? [] : [{ object: 'domain names', path: '', message: `rules of ${blind.sort().join(', ')} name domains, whose addresses are not learned on Linux bridges` }];
    if (problem === undefined) return { changed, problems: unread };
    options.clock.after(RETRY_MS, options.onDue);
    return { changed, problems: [...unread, problem] };
  }
}

/** The compilation without the tables of filters that are shut for a reason: whoever asks is told what happens. */
function inForce(compilation: Compilation, { filters }: World, enforcement: Enforcement): Compilation {
  const shut = new Set(filters.filter((filter) => enforcement.shut(filter) !== undefined).map(({ name }) => name));
  if (shut.size === 0) return compilation;
  return { ...compilation, filterTables: new Map([...compilation.filterTables].filter(([name]) => !shut.has(name))) };
}
