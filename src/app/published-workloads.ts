/** What this host tells others of the workloads attached to it, and of itself: manifests made of what it enforces by, and nothing else of them. */
import { CLUSTER_LABEL } from '../compile/policy/criteria.js';
import type { Filter } from '../model/filter.js';
import type { DesiredObject, NodeObject, PodObject, VirtualMachineObject, WorkloadReference } from '../model/objects.js';
import { objectKey } from '../model/objects.js';

export interface PublishedWorkload { readonly workload: WorkloadReference; readonly manifest: object }

export interface WorkloadLookup {
  /** The workload's object; `shared`: other hosts read it where this one did. undefined: there is none. */
  (key: string): { readonly object: DesiredObject; readonly shared: boolean } | undefined;
}

export interface PublishingHost {
  readonly node: string;
  /** Whose objects its sources hold, as the configuration has it; '' = none. */
  readonly cluster: string;
}

/**
 * By filters, and this host's own Node object, if there is one; what others know anyway is left out. Pods and the node say which cluster they are of
 * (CLUSTER_LABEL), if any: other hosts may be of another, or of none.
 */
export function publishedWorkloads(filters: readonly Filter[], { node, cluster }: PublishingHost, lookup: WorkloadLookup): PublishedWorkload[] {
  const byWorkload = new Map<string, Filter[]>();
  for (const filter of filters) {
    const { kind, namespace, name } = filter.workload;
    if (kind === 'Node') continue;
    const key = objectKey({ kind, metadata: kind === 'Pod' ? { name, namespace: namespace ?? 'default' } : { name } });
    byWorkload.set(key, [...(byWorkload.get(key) ?? []), filter]);
  }
  const host = lookup(objectKey({ kind: 'Node', metadata: { name: node } }));
  const itself: PublishedWorkload[] = host?.shared === false && host.object.kind === 'Node' ? [{ workload: { kind: 'Node', name: node }, manifest: nodeManifest(host.object, cluster) }] : [];
  return [...itself, ...[...byWorkload].flatMap(([key, own]): PublishedWorkload[] => {
    const [first] = own;
    const found = lookup(key);
    if (first === undefined || found?.shared === true) return [];
    const { workload } = first;
    if (workload.kind === 'Pod') return [{ workload: { ...workload, namespace: workload.namespace ?? 'default' }, manifest: podManifest(workload, own, found?.object.kind === 'Pod' ? found.object : undefined, cluster) }];
    return [{ workload, manifest: machineManifest(workload, own, found?.object.kind === 'VirtualMachine' ? found.object : undefined) }];
  })];
}

function nodeManifest(node: NodeObject, cluster: string): object {
  const { metadata: { name }, addresses, podCidrs } = node;
  return {
    apiVersion: 'v1', kind: 'Node', metadata: { name, ...labelsOf(node, cluster) }, ...(podCidrs === undefined ? {} : { spec: { podCIDRs: podCidrs } }),
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}

/** What is declared, and what attachments add: addresses in use stand where the declaration has none. */
function machineManifest({ name }: WorkloadReference, filters: readonly Filter[], machine: VirtualMachineObject | undefined): object {
  const nics = new Map((machine?.nics ?? []).map((nic): [string, { name: string; mac?: string; addresses: readonly string[] }] => [nic.name, nic]));
  for (const { vnic, mac, addresses } of filters) {
    const known = nics.get(vnic);
    nics.set(vnic, { name: vnic, ...(mac === '' ? {} : { mac }), addresses: [...new Set([...(known?.addresses ?? []), ...addresses])] });
  }
  return {
    apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name, ...labelsOf(machine, '') },
    spec: {
      ...(machine?.uuid === undefined ? {} : { uuid: machine.uuid }), ...(machine?.segment === undefined ? {} : { segment: machine.segment }),
      nics: [...nics.values()].map(({ addresses, ...nic }) => ({ ...nic, ...(addresses.length === 0 ? {} : { addresses }) })),
    },
  };
}

const TRANSPORTS: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

function podManifest({ name, namespace }: WorkloadReference, filters: readonly Filter[], pod: PodObject | undefined, cluster: string): object {
  const addresses = [...new Set([...(pod?.addresses ?? []), ...filters.flatMap((filter) => filter.addresses)])];
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: namespace ?? 'default', ...labelsOf(pod, cluster) },
    spec: {
      ...(pod?.nodeName === undefined ? {} : { nodeName: pod.nodeName }), ...(pod?.serviceAccount === undefined ? {} : { serviceAccountName: pod.serviceAccount }),
      ...(pod?.hostNetwork === true ? { hostNetwork: true } : {}),
      ...(pod === undefined || pod.ports.length === 0 ? {} : { containers: [{ name: 'c', ports: pod.ports.map((port) => ({ name: port.name, containerPort: port.port, protocol: TRANSPORTS[port.protocol] ?? 'TCP' })) }] }),
    },
    status: { podIPs: addresses.map((ip) => ({ ip })) },
  };
}

function labelsOf(object: DesiredObject | undefined, cluster: string): { readonly labels?: Readonly<Record<string, string>> } {
  const labels = { ...(cluster === '' ? {} : { [CLUSTER_LABEL]: cluster }), ...object?.metadata.labels };
  return Object.keys(labels).length === 0 ? {} : { labels };
}
