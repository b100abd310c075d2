/** What this host tells others of the workloads attached to it: manifests made of what it enforces by, and nothing else of them. */
import type { Filter } from '../model/filter.js';
import type { DesiredObject, PodObject, VirtualMachineObject, WorkloadReference } from '../model/objects.js';
import { objectKey } from '../model/objects.js';

export interface PublishedWorkload { readonly workload: WorkloadReference; readonly manifest: object }

export interface WorkloadLookup {
  /** The workload's object; `shared`: other hosts read it where this one did. undefined: there is none. */
  (key: string): { readonly object: DesiredObject; readonly shared: boolean } | undefined;
}

/** By filters; workloads that others know anyway are left out, and nodes. */
export function publishedWorkloads(filters: readonly Filter[], lookup: WorkloadLookup): PublishedWorkload[] {
  const byWorkload = new Map<string, Filter[]>();
  for (const filter of filters) {
    const { kind, namespace, name } = filter.workload;
    if (kind === 'Node') continue;
    const key = objectKey({ kind, metadata: kind === 'Pod' ? { name, namespace: namespace ?? 'default' } : { name } });
    byWorkload.set(key, [...(byWorkload.get(key) ?? []), filter]);
  }
  return [...byWorkload].flatMap(([key, own]): PublishedWorkload[] => {
    const [first] = own;
    const found = lookup(key);
    if (first === undefined || found?.shared === true) return [];
    const { workload } = first;
    if (workload.kind === 'Pod') return [{ workload: { ...workload, namespace: workload.namespace ?? 'default' }, manifest: podManifest(workload, own, found?.object.kind === 'Pod' ? found.object : undefined) }];
    return [{ workload, manifest: machineManifest(workload, own, found?.object.kind === 'VirtualMachine' ? found.object : undefined) }];
  });
}

/** What is declared, and what attachments add: addresses in use stand where the declaration has none. */
function machineManifest({ name }: WorkloadReference, filters: readonly Filter[], machine: VirtualMachineObject | undefined): object {
  const nics = new Map((machine?.nics ?? []).map((nic): [string, { name: string; mac?: string; addresses: readonly string[] }] => [nic.name, nic]));
  for (const { vnic, mac, addresses } of filters) {
    const known = nics.get(vnic);
    nics.set(vnic, { name: vnic, ...(mac === '' ? {} : { mac }), addresses: [...new Set([...(known?.addresses ?? []), ...addresses])] });
  }
  return {
    apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name, ...labelsOf(machine) },
    spec: {
      ...(machine?.uuid === undefined ? {} : { uuid: machine.uuid }), ...(machine?.segment === undefined ? {} : { segment: machine.segment }),
      nics: [...nics.values()].map(({ addresses, ...nic }) => ({ ...nic, ...(addresses.length === 0 ? {} : { addresses }) })),
    },
  };
}

const TRANSPORTS: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

function podManifest({ name, namespace }: WorkloadReference, filters: readonly Filter[], pod: PodObject | undefined): object {
  const addresses = [...new Set([...(pod?.addresses ?? []), ...filters.flatMap((filter) => filter.addresses)])];
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: namespace ?? 'default', ...labelsOf(pod) },
    spec: {
      ...(pod?.nodeName === undefined ? {} : { nodeName: pod.nodeName }), ...(pod?.serviceAccount === undefined ? {} : { serviceAccountName: pod.serviceAccount }),
      ...(pod?.hostNetwork === true ? { hostNetwork: true } : {}),
      ...(pod === undefined || pod.ports.length === 0 ? {} : { containers: [{ name: 'c', ports: pod.ports.map((port) => ({ name: port.name, containerPort: port.port, protocol: TRANSPORTS[port.protocol] ?? 'TCP' })) }] }),
    },
    status: { podIPs: addresses.map((ip) => ({ ip })) },
  };
}

function labelsOf(object: DesiredObject | undefined): { readonly labels?: Readonly<Record<string, string>> } {
  const labels = object?.metadata.labels ?? {};
  return Object.keys(labels).length === 0 ? {} : { labels };
}
