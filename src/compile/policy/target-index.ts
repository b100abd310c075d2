/** What policies are applied to, and which of them apply to a filter. */
import type { LabelSelector } from '../../model/metadata.js';
import type { Filter } from '../../model/filter.js';
import type { WorkloadReference } from '../../model/objects.js';
import { selectorMatches } from '../../model/selector.js';
import { objectMeets, podMeets, type CriteriaContext, type GroupElement } from './criteria.js';
import type { GroupName, MemberSelector, Target } from './ir.js';
import type { ResolvedGroup } from './named-groups.js';
import { podMatches, type Population } from './population.js';
import { ScopeIndex, type Scope } from './scope-index.js';

/** A target whose group, if it names one, has been looked up. */
export interface ResolvedTarget {
  readonly selectors: readonly MemberSelector[];
  readonly elements: readonly GroupElement[];
  readonly workloads: readonly WorkloadReference[];
  readonly everything: boolean;
}

const NOTHING: ResolvedTarget = { selectors: [], elements: [], workloads: [], everything: false };

type PodSelector = Extract<MemberSelector, { of: 'pods' }>;

/** One pod selector of an owner. */
interface Row<T> {
  readonly owner: T;
  readonly selector: PodSelector;
}

/** What of a filter targets are matched with. */
type FilterTarget = Pick<Filter, 'workload' | 'addresses'>;

export class TargetIndex<T> {
  private readonly pods = new ScopeIndex<Row<T>>();
  private readonly rows = new Map<T, Row<T>[]>();
  /** Owners with targets that are not chosen by pod selectors alone: tested for every filter. */
  private readonly others = new Map<T, readonly ResolvedTarget[]>();

  constructor(private readonly population: Population, private readonly context: CriteriaContext) {}

  resolve(target: Target, group: (name: GroupName) => ResolvedGroup): ResolvedTarget {
    if ('select' in target) return { ...NOTHING, selectors: [target.select] };
    if ('workload' in target) return { ...NOTHING, workloads: [target.workload] };
    if ('everything' in target) return { ...NOTHING, everything: true };
    const { selectors, elements, workloads } = group(target.group);
    return { selectors, elements, workloads, everything: false };
  }

  add(owner: T, targets: readonly ResolvedTarget[]): void {
    const rows: Row<T>[] = [];
    const rest: ResolvedTarget[] = [];
    for (const target of targets) {
      for (const selector of target.selectors) if (selector.of === 'pods') rows.push({ owner, selector });
      const selectors = target.selectors.filter(({ of }) => of !== 'pods');
      if (selectors.length + target.elements.length + target.workloads.length > 0 || target.everything) rest.push({ ...target, selectors });
    }
    for (const row of rows) this.pods.add(scopeOf(row.selector), podSelectorOf(row.selector), row);
    if (rows.length > 0) this.rows.set(owner, rows);
    if (rest.length > 0) this.others.set(owner, rest);
  }

  delete(owner: T): void {
    for (const row of this.rows.get(owner) ?? []) this.pods.delete(scopeOf(row.selector), row);
    this.rows.delete(owner);
    this.others.delete(owner);
  }

  /** Whether any target is chosen by external entities: by what other objects than the filter's own say. */
  get choosesEntities(): boolean {
    for (const targets of this.others.values()) if (targets.some(({ selectors }) => selectors.some(({ of }) => of === 'externalEntities'))) return true;
    return false;
  }

  /** Owners that apply to a filter, each once. */
  match(filter: FilterTarget): Set<T> {
    const found = new Set<T>();
    const { kind, name } = filter.workload;
    if (kind === 'Pod') {
      const namespace = filter.workload.namespace ?? 'default';
      const pod = this.population.pod(namespace, name);
      if (pod !== undefined) {
        this.pods.match(namespace, this.population.namespaceLabels(namespace), pod.metadata.labels, ({ owner, selector }) => {
          if (podMatches(selector, pod)) found.add(owner);
        });
      }
    }
    for (const [owner, targets] of this.others) if (!found.has(owner) && this.matchesAny(targets, filter)) found.add(owner);
    return found;
  }

  filtersOf(targets: readonly ResolvedTarget[], filters: readonly Filter[]): string[] {
    return filters.filter((filter) => this.matchesAny(targets, filter)).map(({ name }) => name);
  }

  matchesAny(targets: readonly ResolvedTarget[], filter: FilterTarget): boolean {
    return targets.some((target) => target.everything || this.matches(target, filter));
  }

  private matches(target: ResolvedTarget, filter: FilterTarget): boolean {
    const { workload } = filter;
    if (target.workloads.some((entry) => sameWorkload(entry, workload))) return true;
    if (target.selectors.some((selector) => this.selects(selector, filter))) return true;
    return target.elements.some((element) => this.meets(element, workload));
  }

  private selects(selector: MemberSelector, { workload, addresses }: FilterTarget): boolean {
    switch (selector.of) {
      case 'pods': {
        if (workload.kind !== 'Pod') return false;
        const namespace = workload.namespace ?? 'default';
        if (!this.population.inScope(selector, namespace)) return false;
        const pod = this.population.pod(namespace, workload.name);
        return pod !== undefined && podMatches(selector, pod);
      }
      case 'nodes': {
        const node = workload.kind === 'Node' ? this.population.get('Node', `Node/${workload.name}`) : undefined;
        return node !== undefined && selectorMatches(selector.nodeSelector, node.metadata.labels);
      }
      case 'externalEntities': {
        // An entity describes what has its addresses.
        for (const entity of this.population.selectEntities(selector)) if (entity.addresses.some((address) => addresses.includes(address))) return true;
        return false;
      }
    }
  }

  private meets(element: GroupElement, { kind, namespace = 'default', name }: WorkloadReference): boolean {
    switch (kind) {
      case 'Pod': {
        const pod = this.population.pod(namespace, name);
        return pod !== undefined && podMeets(element, pod, this.population.namespaceLabels(namespace), this.context);
      }
      case 'Node': {
        const node = this.population.get('Node', `Node/${name}`);
        return node !== undefined && objectMeets(element, 'KubernetesNode', node, this.context);
      }
      case 'VirtualMachine': {
        const machine = this.population.get('VirtualMachine', `VirtualMachine/${name}`);
        return machine !== undefined && objectMeets(element, 'VirtualMachine', machine, this.context);
      }
    }
  }
}

function scopeOf(selector: PodSelector): Scope {
  return selector;
}

function podSelectorOf(selector: PodSelector): LabelSelector | undefined {
  return selector.podSelector;
}

function sameWorkload(a: WorkloadReference, b: WorkloadReference): boolean {
  return a.kind === b.kind && a.name === b.name && (a.kind !== 'Pod' || (a.namespace ?? 'default') === (b.namespace ?? 'default'));
}
