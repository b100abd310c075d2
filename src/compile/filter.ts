/** One filter from its attachment, the workload it is about, and the host's rule tables. */
import { filterHash, filterName, type Filter } from '../model/filter.js';
import type { AttachmentObject, DesiredObject, RuleTableObject, WorkloadReference } from '../model/objects.js';
import { selectorMatches } from '../model/selector.js';

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

export function buildFilter(
  attachment: AttachmentObject, object: DesiredObject | undefined, tables: readonly RuleTableObject[], numbers: FilterNumbers,
): Filter {
  const number = numbers.number(attachment.metadata.name);
  const name = filterName(number, attachment.vnic);
  const workload = workloadOf(attachment, object);
  return {
    number, name, hash: filterHash(name), attachment: attachment.metadata.name, workload: attachment.workload, vnic: attachment.vnic,
    interface: attachment.interface,
    labels: workload?.labels ?? {},
    mac: attachment.mac ?? workload?.mac ?? '',
    addresses: attachment.addresses.length > 0 ? attachment.addresses : (workload?.addresses ?? []),
    uuid: workload?.uuid ?? '',
    tables: tables.filter((table) => applies(table, attachment.workload, workload)),
    ...(attachment.early === true ? { early: true } : {}),
  };
}

function workloadOf(attachment: AttachmentObject, object: DesiredObject | undefined): Workload | undefined {
  if (object?.kind === 'Pod' || object?.kind === 'Node') return { labels: object.metadata.labels, addresses: object.addresses, mac: '', uuid: '' };
  if (object?.kind !== 'VirtualMachine') return undefined;
  const nic = object.nics.find((entry) => entry.name === attachment.vnic);
  return { labels: object.metadata.labels, addresses: nic?.addresses ?? [], mac: nic?.mac ?? '', uuid: object.uuid ?? '' };
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
