/**
 * From desired objects to filters: which interface belongs to which workload, what addresses it has, and which rule tables
 * apply. Pure; references that dangle are reported, never guessed.
 */
import type { Filter } from '../model/filter.js';
import { buildFilter, type FilterNumbers } from './filter.js';
import { inspectionControls, type InspectionPorts } from './inspection.js';
import type {
  AddressSetObject, AttachmentObject, DesiredObject, IdpsPolicyObject, NamespaceObject, PodObject, RuleTableObject, TrafficControlObject, WorkloadReference,
} from '../model/objects.js';
import { objectKey } from '../model/objects.js';
import type { Problem } from './problem.js';

export { sameWorkload, type FilterNumbers } from './filter.js';
export type { Problem } from './problem.js';

export interface World {
  /** By filter name, in order of number. */
  readonly filters: readonly Filter[];
  readonly addressSets: ReadonlyMap<string, AddressSetObject>;
  /** Declared, and made for IDPSPolicies; by name. */
  readonly trafficControls: readonly TrafficControlObject[];
  /** Those in force on this host, by name. */
  readonly idpsPolicies: readonly IdpsPolicyObject[];
  readonly pods: ReadonlyMap<string, PodObject>;
  readonly namespaces: ReadonlyMap<string, NamespaceObject>;
  readonly problems: readonly Problem[];
}

/**
 * The world, kept up to date at the cost of what changed. Filters, and everything else that did not change, stay the same
 * objects from one world to the next; `pods` and `namespaces` are live.
 */
export class WorldState {
  private readonly objects = new Map<string, DesiredObject>();
  private readonly attachments = new Map<string, AttachmentObject>();
  private readonly tables = new Map<string, RuleTableObject>();
  private readonly addressSets = new Map<string, AddressSetObject>();
  private readonly trafficControls = new Map<string, TrafficControlObject>();
  private readonly idpsPolicies = new Map<string, IdpsPolicyObject>();
  private readonly pods = new Map<string, PodObject>();
  private readonly namespaces = new Map<string, NamespaceObject>();
  /** Keys of the objects that filters are made of. */
  private workloads = new Set<string>();
  private filters = new Map<string, BuiltFilter>();
  private world: World | undefined;

  private filterProblems: readonly Problem[] = [];

  /** `inspection`: where the engine of this host is; undefined: it has none. */
  constructor(private readonly numbers: FilterNumbers, private readonly inspection?: InspectionPorts) {}

  update(changes: readonly ObjectChange[]): World {
    let rebuild = this.world === undefined;
    let refilter = rebuild;
    for (const { key, before, after } of changes) {
      for (const object of [before, after]) {
        if (object === undefined) continue;
        const { kind } = object;
        refilter ||= kind === 'Attachment' || kind === 'RuleTable' || this.workloads.has(key);
        rebuild ||= refilter || kind === 'AddressSet' || kind === 'TrafficControl' || kind === 'IDPSPolicy';
      }
      if (before !== undefined) this.drop(key, before);
      if (after !== undefined) this.put(key, after);
    }
    if (this.world !== undefined && !rebuild) return this.world;
    const byName = (a: { metadata: { name: string } }, b: { metadata: { name: string } }): number => compareText(a.metadata.name, b.metadata.name);
    const filters = refilter || this.world === undefined ? this.buildFilters() : this.world.filters;
    const inspected = inspectionControls([...this.idpsPolicies.values()].sort(byName), this.trafficControls, this.inspection);
    this.world = {
      filters, problems: [...this.filterProblems, ...inspected.problems], addressSets: new Map(this.addressSets), pods: this.pods, namespaces: this.namespaces,
      trafficControls: [...this.trafficControls.values(), ...inspected.controls].sort(byName), idpsPolicies: inspected.inForce,
    };
    return this.world;
  }

  private put(key: string, object: DesiredObject): void {
    this.objects.set(key, object);
    if (object.kind === 'Attachment') this.attachments.set(key, object);
    else if (object.kind === 'RuleTable') this.tables.set(key, object);
    else if (object.kind === 'AddressSet') this.addressSets.set(object.metadata.name, object);
    else if (object.kind === 'TrafficControl') this.trafficControls.set(key, object);
    else if (object.kind === 'IDPSPolicy') this.idpsPolicies.set(key, object);
    else if (object.kind === 'Pod') this.pods.set(key, object);
    else if (object.kind === 'Namespace') this.namespaces.set(object.metadata.name, object);
  }

  private drop(key: string, object: DesiredObject): void {
    this.objects.delete(key);
    this.attachments.delete(key);
    this.tables.delete(key);
    this.trafficControls.delete(key);
    this.idpsPolicies.delete(key);
    this.pods.delete(key);
    if (object.kind === 'AddressSet') this.addressSets.delete(object.metadata.name);
    if (object.kind === 'Namespace') this.namespaces.delete(object.metadata.name);
  }

  private buildFilters(): readonly Filter[] {
    const problems: Problem[] = [];
    const tables = [...this.tables.values()].sort((a, b) => compareText(a.metadata.name, b.metadata.name));
    const attachments = [...this.attachments.values()].sort((a, b) => compareText(a.metadata.name, b.metadata.name));
    const byInterface = new Map<string, string>();
    const built = new Map<string, BuiltFilter>();
    this.workloads = new Set(attachments.map(({ workload }) => workloadKey(workload)));
    for (const attachment of attachments) {
      const owner = byInterface.get(attachment.interface);
      if (owner !== undefined) {
        problems.push({
          object: objectKey(attachment), path: 'spec.interface',
          message: `interface ${attachment.interface} already belongs to Attachment/${owner}; this one is not in force`,
        });
        continue;
      }
      byInterface.set(attachment.interface, attachment.metadata.name);
      built.set(attachment.metadata.name, this.filter(attachment, tables));
    }
    this.filters = built;
    this.filterProblems = problems;
    return [...built.values()].map(({ filter }) => filter).sort((a, b) => a.number - b.number);
  }

  private filter(attachment: AttachmentObject, tables: readonly RuleTableObject[]): BuiltFilter {
    const object = this.objects.get(workloadKey(attachment.workload));
    const known = this.filters.get(attachment.metadata.name);
    const filter = buildFilter(attachment, object, tables, this.numbers);
    const same = known !== undefined && known.attachment === attachment && known.object === object
      && known.filter.tables.length === filter.tables.length && filter.tables.every((table, index) => table === known.filter.tables[index]);
    return same ? known : { attachment, object, filter };
  }
}

interface BuiltFilter {
  readonly attachment: AttachmentObject;
  readonly object: DesiredObject | undefined;
  readonly filter: Filter;
}

/** One object that came (no `before`), went (no `after`) or changed. */
export interface ObjectChange {
  readonly key: string;
  readonly before?: DesiredObject;
  readonly after?: DesiredObject;
}

/** The world of these objects. */
export function buildWorld(objects: ReadonlyMap<string, DesiredObject>, numbers: FilterNumbers): World {
  return new WorldState(numbers).update([...objects].map(([key, after]) => ({ key, after })));
}

function workloadKey({ kind, namespace, name }: WorkloadReference): string {
  return objectKey({ kind, metadata: kind === 'Pod' ? { name, namespace: namespace ?? 'default' } : { name } });
}

/** Code unit order: the same on every host, whatever its locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
