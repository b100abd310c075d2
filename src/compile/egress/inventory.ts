/** Egresses, their pools, the pods that they select, and the nodes: kept up to date at the cost of what changed. Pure. */
import type { NodeObject, PodObject } from '../../model/objects.js';
import type { EgressObject, ExternalIpPoolObject } from '../../model/policy-objects.js';
import { familyOf } from '../../model/family.js';
import { selectorMatches } from '../../model/selector.js';
import { isInventory, namespaceOf, Population } from '../policy/population.js';
import { compareText, type ObjectChange } from '../world.js';
import { allocate, type Allocation } from './allocation.js';

/** A pod that leaves with an Egress' address. */
export interface SelectedPod {
  readonly pod: PodObject;
  readonly egress: string;
  /** Of the Egress. */
  readonly address: string;
  /** Of the pod, of that family. */
  readonly from: readonly string[];
}

export interface EgressSelection {
  /** By name. */
  readonly egresses: readonly EgressObject[];
  readonly pools: readonly ExternalIpPoolObject[];
  readonly nodes: readonly NodeObject[];
  readonly allocation: Allocation;
  readonly pods: readonly SelectedPod[];
  /** Egress → how many of its pods leave with another Egress' address, which comes first by name. */
  readonly taken: ReadonlyMap<string, number>;
}

const RELEVANT: ReadonlySet<string> = new Set(['Egress', 'ExternalIPPool', 'Node', 'Namespace', 'Pod']);

export class EgressInventory {
  private readonly population = new Population();
  private readonly egresses = new Map<string, EgressObject>();
  private readonly pools = new Map<string, ExternalIpPoolObject>();
  /** Egress name → the pods that it selects. */
  private readonly selected = new Map<string, Set<PodObject>>();
  private given: ReadonlyMap<string, string>;
  private known: EgressSelection | undefined;

  /** `given`: addresses that Egresses had before. */
  constructor(given: ReadonlyMap<string, string> = new Map()) {
    this.given = given;
  }

  /** True when there is anything to do at all. */
  get inUse(): boolean {
    return this.egresses.size > 0;
  }

  /**
   * Takes up what changed and returns it with the address in every Egress that a pool gave one, as groups want it; and the Egresses
   * besides whose address changed for a reason of others.
   */
  update(changes: readonly ObjectChange[]): readonly ObjectChange[] {
    const before = this.selection.allocation.addresses;
    let touched = false;
    for (const change of changes) touched = this.take(change) || touched;
    if (!touched) return changes;
    this.known = undefined;
    const { addresses } = this.selection.allocation;
    const done = new Set(changes.map(({ key }) => key));
    const rewritten = changes.map((change) => ({
      key: change.key,
      ...(change.before === undefined ? {} : { before: withAddress(change.before, before) }),
      ...(change.after === undefined ? {} : { after: withAddress(change.after, addresses) }),
    }));
    const others = [...this.egresses].flatMap(([key, object]): ObjectChange[] => {
      const { name } = object.metadata;
      return done.has(key) || before.get(name) === addresses.get(name) ? [] : [{ key, before: withAddress(object, before), after: withAddress(object, addresses) }];
    });
    return [...rewritten, ...others];
  }

  get selection(): EgressSelection {
    this.known ??= this.select();
    return this.known;
  }

  private take({ key, before, after }: ObjectChange): boolean {
    const object = after ?? before;
    if (object === undefined || !isInventory(object)) return false;
    if (!RELEVANT.has(object.kind)) return false;
    if (before !== undefined && isInventory(before)) this.population.delete(key, before);
    if (after !== undefined && isInventory(after)) this.population.set(key, after);
    const { kind, metadata: { name } } = object;
    if (kind === 'Pod') return this.place(before?.kind === 'Pod' ? before : undefined, after?.kind === 'Pod' ? after : undefined);
    if (kind === 'Namespace') {
      let changed = false;
      for (const pod of this.population.podsOf(name)) changed = this.place(pod, pod) || changed;
      return changed;
    }
    if (kind === 'ExternalIPPool') {
      if (after?.kind === 'ExternalIPPool') this.pools.set(key, after);
      else this.pools.delete(key);
    } else if (kind === 'Egress') {
      this.selected.delete(name);
      if (after?.kind === 'Egress') {
        this.egresses.set(key, after);
        this.selected.set(name, new Set([...this.population.allPods()].filter((pod) => this.selects(after, pod))));
      } else this.egresses.delete(key);
    }
    return true;
  }

  /** True when that made a difference. */
  private place(before: PodObject | undefined, after: PodObject | undefined): boolean {
    let changed = false;
    for (const egress of this.egresses.values()) {
      const pods = this.selected.get(egress.metadata.name);
      const had = before !== undefined && pods?.delete(before) === true;
      const has = after !== undefined && this.selects(egress, after);
      if (has) pods?.add(after);
      changed ||= had !== has || (had && before !== after);
    }
    return changed;
  }

  /** As Antrea: both selectors must match, none selects nothing; pods of the node's network are not its. */
  private selects({ appliedTo: { podSelector, namespaceSelector } }: EgressObject, pod: PodObject): boolean {
    if (podSelector === undefined && namespaceSelector === undefined) return false;
    return pod.hostNetwork !== true && (podSelector === undefined || selectorMatches(podSelector, pod.metadata.labels))
      && (namespaceSelector === undefined || selectorMatches(namespaceSelector, this.population.namespaceLabels(namespaceOf(pod))));
  }

  private select(): EgressSelection {
    const egresses = [...this.egresses.values()].sort((a, b) => compareText(a.metadata.name, b.metadata.name));
    const pools = [...this.pools.values()];
    const allocation = allocate(egresses, pools, this.given);
    // What an Egress was given it keeps when it comes back soon: a file that is replaced is away for a moment.
    this.given = new Map([...this.given, ...allocation.addresses]);
    const pods: SelectedPod[] = [];
    const taken = new Map<string, number>();
    const owned: Record<4 | 6, Set<PodObject>> = { 4: new Set(), 6: new Set() };
    for (const { metadata: { name } } of egresses) {
      const address = allocation.addresses.get(name);
      if (address === undefined) continue;
      const family = familyOf(address);
      for (const pod of this.selected.get(name) ?? []) {
        const from = pod.addresses.filter((one) => familyOf(one) === family);
        if (owned[family].has(pod)) taken.set(name, (taken.get(name) ?? 0) + 1);
        else if (from.length > 0) {
          owned[family].add(pod);
          pods.push({ pod, egress: name, address, from });
        }
      }
    }
    return { egresses, pools, allocation, pods, taken, nodes: [...this.population.all('Node')] };
  }
}

function withAddress<T extends { readonly kind: string; readonly metadata: { readonly name: string } }>(object: T, addresses: ReadonlyMap<string, string>): T {
  const address = object.kind === 'Egress' ? addresses.get(object.metadata.name) : undefined;
  return address === undefined ? object : { ...object, egressIp: address };
}
