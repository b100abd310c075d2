/**
 * From policies and what exists to the rule tables of each filter, kept up to date at the cost of what changed. Pure: no I/O, no
 * clock; the same objects give the same answer, whatever came before (numbers of rules excepted: those are given).
 *
 * A policy that cannot be resolved is held: the version of it that was in force stays, or none. A group or tier that policies in
 * force depend on stays as it was until they let go of it.
 */
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import type { DesiredObject, PodObject, RuleTableObject, WorkloadReference } from '../../model/objects.js';
import { objectKey } from '../../model/objects.js';
import type { PolicyObject } from '../../model/policy-objects.js';
import type { EffectiveTable, Section } from '../effective.js';
import type { Filter } from '../../model/filter.js';
import type { Problem } from '../problem.js';
import type { ObjectChange } from '../world.js';
import { GroupStore } from './group-store.js';
import type { Policy } from './ir.js';
import type { PeerLookup } from './endpoint-rules.js';
import { Isolations, neighbourDiscovery, type Isolation } from './isolation.js';
import { lowerPolicy, targetsOf } from './lower.js';
import type { LoweringContext } from './lowering-context.js';
import { MemberSets, type MemberOrigin } from './member-sets.js';
import { compareOrder } from './order.js';
import type { RuleNumbers, Subject } from './policy-table.js';
import { PolicyVariants, type Variant, type VariantOwner } from './policy-variants.js';
import { isNamespace, isPod, isPolicy, isTier, logs } from './object-guards.js';
import { isInventory, namespaceOf, Population, type InventoryObject } from './population.js';
import { TargetIndex, type ResolvedTarget } from './target-index.js';
import { TierStore } from './tier-store.js';

export interface PolicyEngineOptions {
  readonly numbers: RuleNumbers;
  /** Name of the Kubernetes cluster of the sources' objects; undefined = any name means it. */
  readonly cluster?: string;
  /** Addresses that DNS answers gave for a name or a pattern with `*`. */
  readonly namesOf: (pattern: string) => Iterable<string>;
}

/** What the engine says of one policy. */
export interface PolicyState {
  /** The newest version. */
  readonly object: PolicyObject;
  /** The version in force. */
  readonly inForce?: PolicyObject;
  /** `inForce` as far as it has been needed: always that of one that applies here, and of every kind but NetworkPolicy. */
  readonly policy?: Policy;
  /** Why the newest version is not in force. */
  readonly problem?: Problem;
  /** Names of the filters of this host that it applies to. */
  readonly filters: ReadonlySet<string>;
  /** Its rule tables, and who has them. */
  readonly tables: readonly { readonly table: RuleTableObject; readonly filters: ReadonlySet<string> }[];
}

class Entry implements VariantOwner<Entry> {
  /** The newest version. */
  object: PolicyObject;
  /** The version in force. */
  inForce: PolicyObject | undefined;
  lowered: Policy | undefined;
  problem: Problem | undefined;
  targets: readonly ResolvedTarget[] = [];
  /** What the version in force depends on, and what the newest one does where that is another. */
  dependencies: ReadonlySet<string> = new Set();
  /** Those of the version in force. */
  grounds: ReadonlySet<string> = new Set();
  readonly variants = new Map<string, Variant<Entry>>();
  readonly filters = new Set<string>();

  constructor(readonly key: string, object: PolicyObject) {
    this.object = object;
  }
}

/** A filter's place in the engine. */
interface FilterState {
  filter: Filter;
  /** Undefined: policies cannot be chosen for it yet. */
  tables: readonly Variant<Entry>[] | undefined;
  isolation: Isolation;
  /** Policies that apply, also those that give it no rule. */
  entries: ReadonlySet<Entry>;
  /** The answer of tables(), as long as it holds. */
  list: readonly EffectiveTable[] | undefined;
}

export class PolicyEngine {
  private readonly population = new Population();
  private readonly sets = new MemberSets(this.population);
  private readonly tiers = new TierStore();
  private readonly groups: GroupStore;
  private readonly entries = new Map<string, Entry>();
  private readonly dependents = new Map<string, Set<Entry>>();
  private readonly targets: TargetIndex<Entry>;
  private readonly filterStates = new Map<string, FilterState>();
  private readonly lowering: LoweringContext;
  private readonly variants: PolicyVariants<Entry>;
  private readonly isolations = new Isolations();
  private readonly neighbours = neighbourDiscovery();
  private readonly restored = new Map<string, PolicyObject>();
  private readonly problemEntries = new Set<Entry>();
  private hostAddresses = '';
  private securityPolicies = 0;
  private readonly cluster: string | undefined;

  constructor(options: PolicyEngineOptions) {
    this.cluster = options.cluster;
    this.groups = new GroupStore({ population: this.population, cluster: options.cluster });
    this.targets = new TargetIndex(this.population, { population: this.population, cluster: options.cluster });
    this.lowering = {
      tierPriority: (name) => this.tiers.priority(name),
      loggingAnnotation: (namespace) => logs(this.population.namespace(namespace)),
    };
    this.variants = new PolicyVariants({
      sets: this.sets, population: this.population, numbers: options.numbers,
      group: (name) => this.groups.resolve(name, new Set()), namesOf: options.namesOf,
    });
  }

  /** Objects that stay in force though nobody desires them any more, or in an older version: to be kept over a restart. */
  held(): DesiredObject[] {
    const policies = [...this.problemEntries].flatMap(({ object, inForce }) => (inForce !== undefined && inForce !== object ? [inForce] : []));
    return [...policies, ...this.groups.ghosts(), ...this.tiers.ghosts()];
  }

  /** What held() gave before a restart. Before the first update. */
  restore(objects: readonly DesiredObject[]): void {
    for (const object of objects) {
      const key = objectKey(object);
      if (object.kind === 'ClusterGroup' || object.kind === 'AntreaGroup' || object.kind === 'Group') this.groups.restore(key, object);
      else if (object.kind === 'Tier') this.tiers.restore(object);
      else if (isPolicy(object)) this.restored.set(key, object);
    }
  }

  /** Addresses of the host itself: Kubernetes policies never come between a pod and its node. */
  setHostAddresses(addresses: readonly string[]): void {
    const sorted = [...new Set(addresses)].sort();
    if (sorted.join() === this.hostAddresses) return;
    this.hostAddresses = sorted.join();
    this.isolations.setHostAddresses(sorted);
    for (const state of this.filterStates.values()) state.list = undefined;
  }

  /** DNS answers changed. */
  namesChanged(): void {
    this.sets.originsChanged(new Set<MemberOrigin>(['DNS']));
  }

  /** Domain names and patterns of the rules in force, and the filters that have such rules. */
  fqdnPeers(): { readonly patterns: ReadonlySet<string>; readonly filters: ReadonlySet<string> } {
    return this.variants.fqdnPeers();
  }

  /**
   * Takes changes in and brings every filter up to date. `filters`: all of the host; the same object where nothing about one
   * changed. Never throws for what an object says: that becomes a problem. `more`: further calls bring the rest of the same step; what was
   * restored, and deleted groups and tiers that nobody needs yet, wait for the last of them.
   */
  update(changes: readonly ObjectChange[], filters: readonly Filter[], more = false): void {
    const touched = new Set<string>();
    const policies: ObjectChange[] = [];
    const origins = new Set<MemberOrigin>();
    for (const change of changes) {
      const object = change.after ?? change.before;
      if (object === undefined) continue;
      if (isInventory(object)) this.inventory(change, touched, origins);
      else if (isPolicy(object)) policies.push(change);
      else if (object.kind === 'Tier') {
        this.tiers.set(change.key, isTier(change.after) ? change.after : undefined);
        touched.add(`tier ${object.metadata.name}`);
      } else if (object.kind === 'ClusterGroup' || object.kind === 'AntreaGroup' || object.kind === 'Group') {
        this.groups.set(change.key, change.after?.kind === object.kind ? change.after : undefined);
      }
    }
    if (origins.size > 0) this.sets.originsChanged(origins);
    this.groups.settle(touched);

    const dirty = new Set<string>();
    for (const { key, after } of policies) this.setPolicy(key, isPolicy(after) ? after : undefined, dirty);
    this.retry(touched, new Set(policies.map(({ key }) => key)), dirty);
    if (!more) {
      this.restored.clear();
      this.forgetUnused(dirty);
    }
    // Who has an entity's addresses, and which of them a selector means, is no matter of the filter's own objects.
    if ((origins.has('ExternalEntity') || origins.has('Namespace')) && this.targets.choosesEntities) for (const name of this.filterStates.keys()) dirty.add(name);
    this.updateFilters(filters, touched, dirty);
    this.refreshVariants();
  }

  /**
   * Rule tables of a filter in order of evaluation; undefined while its policies cannot be told. The same list as long as nothing about it
   * changed.
   */
  tables(filter: string): readonly EffectiveTable[] | undefined {
    const state = this.filterStates.get(filter);
    if (state?.tables === undefined) return undefined;
    state.list ??= this.list(state.tables, state.isolation);
    return state.list;
  }

  private list(variants: readonly Variant<Entry>[], isolated: Isolation): readonly EffectiveTable[] {
    const isolation = this.isolations.of(isolated);
    const of = (wanted: Section): EffectiveTable[] => variants.flatMap(({ effective }) => ((effective.section ?? 'admin') === wanted ? [effective] : []));
    const kubernetes = isolation === undefined ? of('kubernetes') : [isolation.node, ...of('kubernetes'), ...isolation.deny];
    const all = [...of('admin'), ...kubernetes, ...of('baseline')];
    return all.length === 0 ? all : [this.neighbours, ...all];
  }

  get problems(): Problem[] {
    const policies = [...this.problemEntries].flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
    return [...policies, ...this.groups.problems, ...this.tiers.problems];
  }

  *states(): Generator<PolicyState> {
    for (const entry of this.entries.values()) yield this.stateOf(entry);
  }

  /** By objectKey. */
  state(key: string): PolicyState | undefined {
    const entry = this.entries.get(key);
    return entry === undefined ? undefined : this.stateOf(entry);
  }

  /** The version in force, lowered for this question where it was not before. */
  lowered(key: string): Policy | undefined {
    const entry = this.entries.get(key);
    if (entry?.inForce === undefined) return undefined;
    return entry.lowered ?? lowerPolicy(entry.inForce, this.lowering);
  }

  /** Policies in force that apply to a workload, of this host or not, in order of evaluation. */
  applyingTo(target: Pick<Filter, 'workload' | 'addresses'>): Policy[] {
    const found = [...this.targets.match(target)].flatMap((entry) => this.lowered(entry.key) ?? []);
    return found.sort((a, b) => compareOrder(a.order, b.order));
  }

  /** The pod, if it is known, and how to tell whose peer it is. */
  endpoint(namespace: string, name: string): { readonly pod: PodObject; readonly lookup: PeerLookup } | undefined {
    const pod = this.population.pod(namespace, name);
    if (pod === undefined) return undefined;
    return { pod, lookup: { population: this.population, cluster: this.cluster, group: (group) => this.groups.resolve(group, new Set()) } };
  }

  private stateOf({ object, inForce, lowered, problem, filters, variants }: Entry): PolicyState {
    return {
      object, filters, ...(inForce === undefined ? {} : { inForce }), ...(lowered === undefined ? {} : { policy: lowered }), ...(problem === undefined ? {} : { problem }),
      tables: [...variants.values()].map(({ built, users }) => ({ table: built.table, filters: users })),
    };
  }

  get policyCount(): number {
    return this.entries.size;
  }

  private inventory(change: ObjectChange, touched: Set<string>, origins: Set<MemberOrigin>): void {
    const before = change.before !== undefined && isInventory(change.before) ? change.before : undefined;
    const after = change.after !== undefined && isInventory(change.after) ? change.after : undefined;
    const kind = (after ?? before)?.kind;
    if (kind === undefined) return;
    if (kind === 'Pod') {
      const [old, now] = [isPod(before) ? before : undefined, isPod(after) ? after : undefined];
      const labels = this.population.namespaceLabels(namespaceOf(now ?? old ?? EMPTY));
      this.sets.podChanged(old, now, labels, labels);
      this.store(change.key, before, after);
      return;
    }
    if (kind === 'Namespace') this.namespaceChanged(change.key, before, after, touched);
    else this.store(change.key, before, after);
    origins.add(kind);
    touched.add(change.key);
  }

  private namespaceChanged(key: string, before: InventoryObject | undefined, after: InventoryObject | undefined, touched: Set<string>): void {
    const name = (after ?? before)?.metadata.name ?? '';
    const labels = this.population.namespaceLabels(name);
    this.store(key, before, after);
    const now = this.population.namespaceLabels(name);
    if (JSON.stringify(labels) !== JSON.stringify(now)) {
      for (const pod of this.population.podsOf(name)) this.sets.podChanged(pod, pod, labels, now);
    }
    if (logs(isNamespace(before) ? before : undefined) !== logs(isNamespace(after) ? after : undefined)) touched.add(`logging ${name}`);
  }

  private store(key: string, before: InventoryObject | undefined, after: InventoryObject | undefined): void {
    if (after !== undefined) this.population.set(key, after);
    else if (before !== undefined) this.population.delete(key, before);
  }

  private setPolicy(key: string, object: PolicyObject | undefined, dirty: Set<string>): void {
    const known = this.entries.get(key);
    if (object === undefined) {
      if (known === undefined) return;
      this.withdraw(known, dirty);
      this.entries.delete(key);
      this.problemEntries.delete(known);
      if (known.object.kind === 'SecurityPolicy') this.securityPolicies -= 1;
      return;
    }
    const entry = known ?? new Entry(key, object);
    if (known === undefined) {
      this.entries.set(key, entry);
      if (object.kind === 'SecurityPolicy') this.securityPolicies += 1;
      entry.inForce = undefined;
    }
    entry.object = object;
    const earlier = entry.inForce === undefined ? this.restored.get(key) : undefined;
    // In force first: then a newer version that cannot be resolved is held in favour of it.
    if (earlier !== undefined) this.enforce(entry, earlier, dirty, true);
    this.enforce(entry, object, dirty);
  }

  /** Brings a version of the policy into force; false, with a problem, when it cannot be resolved: what was in force stays. */
  private enforce(entry: Entry, object: PolicyObject, dirty: Set<string>, older = false): boolean {
    const dependencies = new Set<string>();
    let lowered: Policy | undefined;
    let targets: readonly ResolvedTarget[];
    try {
      // NetworkPolicies are many, always resolve, and are lowered when one applies here.
      if (object.kind === 'NetworkPolicy') dependencies.add(`logging ${namespaceOf(object)}`);
      else {
        if (object.kind === 'AntreaClusterNetworkPolicy' || object.kind === 'AntreaNetworkPolicy') dependencies.add(`tier ${object.tier}`);
        lowered = lowerPolicy(object, this.lowering);
        this.checkPeers(lowered, dependencies);
      }
      targets = targetsOf(object).map((target) => this.targets.resolve(target, (name) => this.groups.resolve(name, dependencies)));
    } catch (error) {
      if (!isAgentError(error)) throw error;
      entry.problem = problemOf(entry.key, error, entry.inForce !== undefined);
      this.problemEntries.add(entry);
      // What is in force goes on depending on what it did; what is missing must wake this entry too.
      this.depend(entry, new Set([...entry.grounds, ...dependencies]));
      return false;
    }
    this.withdraw(entry, dirty);
    this.depend(entry, dependencies);
    entry.grounds = dependencies;
    entry.inForce = object;
    entry.lowered = lowered;
    entry.targets = targets;
    if (!older) {
      entry.problem = undefined;
      this.problemEntries.delete(entry);
    }
    this.targets.add(entry, targets);
    for (const name of this.targets.filtersOf(targets, [...this.filterStates.values()].map(({ filter }) => filter))) dirty.add(name);
    return true;
  }

  private checkPeers(policy: Policy, dependencies: Set<string>): void {
    for (const { sources, destinations } of policy.rules) {
      for (const side of [sources, destinations]) {
        if (side === 'any') continue;
        for (const peer of side) {
          if ('group' in peer) this.groups.resolve(peer.group, dependencies);
          // Peers by label of the target's own namespace follow its labels; Services their object.
          if ('service' in peer) dependencies.add(objectKey({ kind: 'Service', metadata: peer.service }));
        }
      }
    }
  }

  private withdraw(entry: Entry, dirty: Set<string>): void {
    this.targets.delete(entry);
    for (const name of entry.filters) dirty.add(name);
    entry.targets = [];
    entry.inForce = undefined;
    entry.lowered = undefined;
    this.depend(entry, new Set());
    entry.grounds = new Set();
    this.variants.releaseAll(entry);
  }

  private depend(entry: Entry, dependencies: ReadonlySet<string>): void {
    for (const key of entry.dependencies) {
      const users = this.dependents.get(key);
      users?.delete(entry);
      if (users?.size === 0) this.dependents.delete(key);
    }
    entry.dependencies = dependencies;
    for (const key of dependencies) {
      const users = this.dependents.get(key);
      if (users === undefined) this.dependents.set(key, new Set([entry]));
      else users.add(entry);
    }
  }

  /**
   * Policies that depend on what changed are resolved again. Those `done` have been, with what is here now; but where the newest version of
   * one is held, the version in force has not.
   */
  private retry(touched: ReadonlySet<string>, done: ReadonlySet<string>, dirty: Set<string>): void {
    const again = new Set<Entry>();
    for (const key of touched) {
      for (const entry of this.dependents.get(key) ?? []) {
        const older = entry.inForce !== undefined && entry.inForce !== entry.object;
        if (older || !done.has(entry.key)) again.add(entry);
      }
    }
    for (const entry of again) {
      const { inForce } = entry;
      // An older version that is in force may depend on what changed as well. First: what the newest waits for must stay known.
      if (inForce !== undefined && inForce !== entry.object) this.enforce(entry, inForce, dirty, true);
      this.enforce(entry, entry.object, dirty);
    }
  }

  /** Lets go of deleted groups and tiers that no policy needs. A group that goes can be what kept another one's new version waiting. */
  private forgetUnused(dirty: Set<string>): void {
    while (this.groups.forgetUnused((key) => (this.dependents.get(key)?.size ?? 0) > 0)) {
      const touched = new Set<string>();
      this.groups.settle(touched);
      this.retry(touched, new Set(), dirty);
    }
    this.tiers.forgetUnused((name) => (this.dependents.get(`tier ${name}`)?.size ?? 0) > 0);
  }

  private updateFilters(filters: readonly Filter[], touched: ReadonlySet<string>, dirty: Set<string>): void {
    const names = new Set(filters.map(({ name }) => name));
    for (const [name, state] of this.filterStates) {
      if (names.has(name)) continue;
      this.leave(state, state.tables ?? [], new Set());
      this.filterStates.delete(name);
    }
    for (const filter of filters) {
      const known = this.filterStates.get(filter.name);
      const state = known ?? { filter, tables: undefined, isolation: NOT_ISOLATED, entries: new Set<Entry>(), list: undefined };
      if (known === undefined) this.filterStates.set(filter.name, state);
      const { kind, namespace } = filter.workload;
      const stale = known === undefined || known.filter !== filter || dirty.has(filter.name)
        || (kind === 'Pod' && touched.has(`Namespace/${namespace ?? 'default'}`))
        || this.governed(filter.workload) !== (known.tables !== undefined);
      state.filter = filter;
      if (stale) this.choose(state);
    }
  }

  /** Which policies apply to the filter, and in which variant. */
  private choose(state: FilterState): void {
    const { filter } = state;
    const before = state.tables ?? [];
    state.list = undefined;
    if (!this.governed(filter.workload)) {
      this.leave(state, before, new Set());
      state.tables = undefined;
      state.isolation = NOT_ISOLATED;
      return;
    }
    const subject = this.subject(filter);
    const chosen: Variant<Entry>[] = [];
    const isolation = { in: false, out: false, log: false };
    const applying = [...this.targets.match(filter)].map((entry) => ({ entry, policy: this.lower(entry) }));
    applying.sort((a, b) => compareOrder(a.policy.order, b.policy.order));
    for (const { entry, policy } of applying) {
      if (policy.isolates.in || policy.isolates.out) {
        isolation.in ||= policy.isolates.in;
        isolation.out ||= policy.isolates.out;
        isolation.log ||= policy.isolates.log;
      }
      entry.filters.add(filter.name);
      const rules = this.rulesFor(policy, filter);
      if (rules.length > 0) chosen.push(this.variants.find(entry, policy, rules, subject));
    }
    for (const variant of chosen) variant.users.add(filter.name);
    const kept = new Set(chosen);
    this.leave(state, before.filter((variant) => !kept.has(variant)), new Set(applying.map(({ entry }) => entry)));
    state.tables = chosen;
    state.isolation = isolation;
  }

  /**
   * Can all policies of a workload be told? A pod's when its Namespace is known, a virtual machine's once there are policies that
   * can select one; before, `failurePolicy` holds.
   */
  private governed({ kind, namespace, name }: WorkloadReference): boolean {
    if (kind === 'Pod') return this.population.pod(namespace ?? 'default', name) !== undefined && this.population.hasNamespace(namespace ?? 'default');
    if (kind === 'Node') return this.population.get('Node', `Node/${name}`) !== undefined && this.entries.size > 0;
    return this.securityPolicies > 0;
  }

  private subject({ workload }: Filter): Subject {
    if (workload.kind !== 'Pod') return { ports: [] };
    const namespace = workload.namespace ?? 'default';
    return { namespace, ports: this.population.pod(namespace, workload.name)?.ports ?? [] };
  }

  private lower(entry: Entry): Policy {
    const { inForce } = entry;
    if (inForce === undefined) throw new AgentError('E_INTERNAL', 'a policy that is not in force applies', { object: entry.key });
    entry.lowered ??= lowerPolicy(inForce, this.lowering);
    return entry.lowered;
  }

  private rulesFor(policy: Policy, filter: Filter): number[] {
    const matches = new Map<unknown, boolean>();
    return policy.rules.flatMap((rule, index) => {
      let applies = matches.get(rule.targets);
      if (applies === undefined) {
        const targets = rule.targets.map((target) => this.targets.resolve(target, (name) => this.groups.resolve(name, new Set())));
        applies = this.targets.matchesAny(targets, filter);
        matches.set(rule.targets, applies);
      }
      return applies ? [index] : [];
    });
  }

  /** The filter no longer has these tables; `still` are the policies that apply from now on. */
  private leave(state: FilterState, variants: readonly Variant<Entry>[], still: ReadonlySet<Entry>): void {
    const { name } = state.filter;
    for (const entry of state.entries) if (!still.has(entry)) entry.filters.delete(name);
    state.entries = still;
    for (const variant of variants) this.variants.leave(variant, name);
  }

  /** Filters whose tables' sets or named ports changed get new lists; all others keep theirs. */
  private refreshVariants(): void {
    const inUse = (): Variant<Entry>[] => [...this.filterStates.values()].flatMap(({ tables }) => tables ?? []);
    for (const [old, now] of this.variants.refresh(inUse, (entry) => this.lower(entry))) {
      for (const name of now.users) {
        const state = this.filterStates.get(name);
        if (state === undefined) continue;
        state.list = undefined;
        if (now !== old) state.tables = state.tables?.map((variant) => (variant === old ? now : variant));
      }
    }
  }
}

function problemOf(key: string, error: AgentError, keeps: boolean): Problem {
  return { object: error.object?.startsWith(key) === true || error.code !== 'E_HELD' ? (error.object ?? key) : key, path: error.path ?? '', message: `held: ${describeError(error)}${keeps ? '; its version before stays in force' : '; it is not in force'}` };
}

const EMPTY = { metadata: {} };
const NOT_ISOLATED: Isolation = { in: false, out: false, log: false };
