/**
 * From desired objects to filters: which interface belongs to which workload, what addresses it has, and which rule tables
 * apply. Pure; references that dangle are reported, never guessed.
 */
import { filterHash, filterName, type Filter } from '../model/filter.js';
import type {
  AddressSetObject, AttachmentObject, DesiredObject, NamespaceObject, PodObject, RuleTableObject, TrafficControlObject, WorkloadReference,
} from '../model/objects.js';
import { objectKey } from '../model/objects.js';
import { selectorMatches } from '../model/selector.js';

export interface Problem {
  readonly object: string;
  readonly path: string;
  readonly message: string;
}

export interface World {
  /** By filter name, in order of number. */
  readonly filters: readonly Filter[];
  readonly addressSets: ReadonlyMap<string, AddressSetObject>;
  readonly trafficControls: readonly TrafficControlObject[];
  readonly pods: ReadonlyMap<string, PodObject>;
  readonly namespaces: ReadonlyMap<string, NamespaceObject>;
  readonly problems: readonly Problem[];
}

/** Gives each attachment its number, the same after restarts. */
export interface FilterNumbers {
  number(attachment: string): number;
}

interface Workload {
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly uuid: string;
}

export function buildWorld(objects: ReadonlyMap<string, DesiredObject>, numbers: FilterNumbers): World {
  const problems: Problem[] = [];
  const attachments: AttachmentObject[] = [];
  const tables: RuleTableObject[] = [];
  const addressSets = new Map<string, AddressSetObject>();
  const trafficControls: TrafficControlObject[] = [];
  const pods = new Map<string, PodObject>();
  const namespaces = new Map<string, NamespaceObject>();
  for (const [key, object] of objects) {
    switch (object.kind) {
      case 'Attachment': attachments.push(object); break;
      case 'RuleTable': tables.push(object); break;
      case 'AddressSet': addressSets.set(object.metadata.name, object); break;
      case 'TrafficControl': trafficControls.push(object); break;
      case 'Pod': pods.set(key, object); break;
      case 'Namespace': namespaces.set(object.metadata.name, object); break;
      default: break;
    }
  }
  tables.sort((a, b) => compareText(a.metadata.name, b.metadata.name));
  attachments.sort((a, b) => compareText(a.metadata.name, b.metadata.name));

  const byInterface = new Map<string, string>();
  const filters: Filter[] = [];
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
    filters.push(buildFilter(attachment, objects, tables, numbers));
  }
  filters.sort((a, b) => a.number - b.number);
  return { filters, addressSets, trafficControls: trafficControls.sort((a, b) => compareText(a.metadata.name, b.metadata.name)), pods, namespaces, problems };
}

function buildFilter(
  attachment: AttachmentObject, objects: ReadonlyMap<string, DesiredObject>, tables: readonly RuleTableObject[], numbers: FilterNumbers,
): Filter {
  const number = numbers.number(attachment.metadata.name);
  const name = filterName(number, attachment.vnic);
  const workload = findWorkload(attachment, objects);
  return {
    number, name, hash: filterHash(name), attachment: attachment.metadata.name, workload: attachment.workload, vnic: attachment.vnic,
    interface: attachment.interface,
    labels: workload?.labels ?? {},
    mac: attachment.mac ?? workload?.mac ?? '',
    addresses: attachment.addresses.length > 0 ? attachment.addresses : (workload?.addresses ?? []),
    uuid: workload?.uuid ?? '',
    tables: tables.filter((table) => applies(table, attachment.workload, workload)),
  };
}

function findWorkload(attachment: AttachmentObject, objects: ReadonlyMap<string, DesiredObject>): Workload | undefined {
  const { kind, namespace, name } = attachment.workload;
  const object = objects.get(objectKey({ kind, metadata: kind === 'Pod' ? { name, namespace: namespace ?? 'default' } : { name } }));
  const labels = object?.metadata.labels ?? {};
  switch (object?.kind) {
    case 'Pod': return { labels, addresses: object.addresses, mac: '', uuid: '' };
    case 'Node': return { labels, addresses: object.addresses, mac: '', uuid: '' };
    case 'VirtualMachine': {
      const nic = object.nics.find((entry) => entry.name === attachment.vnic);
      return { labels, addresses: nic?.addresses ?? [], mac: nic?.mac ?? '', uuid: object.uuid ?? '' };
    }
    default: return undefined;
  }
}

function applies(table: RuleTableObject, reference: WorkloadReference, workload: Workload | undefined): boolean {
  const to = table.appliedTo;
  if (to === undefined) return true;
  if (to.workloads.some((entry) => sameWorkload(entry, reference))) return true;
  // A workload that nobody described has no labels to select it by.
  return to.selector !== undefined && workload !== undefined && selectorMatches(to.selector, workload.labels);
}

export function sameWorkload(a: WorkloadReference, b: WorkloadReference): boolean {
  return a.kind === b.kind && a.name === b.name && (a.kind !== 'Pod' || (a.namespace ?? 'default') === (b.namespace ?? 'default'));
}

/** Code unit order: the same on every host, whatever its locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
