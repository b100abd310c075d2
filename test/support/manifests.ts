/** Manifests of a world's workloads, and of the seed's rule table. */
import type { World, WorldWorkload } from './netns.js';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: unknown;
  readonly status?: unknown;
}

export function virtualMachine(workload: WorldWorkload, labels: Readonly<Record<string, string>> = {}): Manifest {
  const nic = { name: 'eth0', mac: workload.mac, addresses: [workload.ipv4, workload.ipv6] };
  return { apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name: workload.name, labels }, spec: { nics: [nic] } };
}

export function attachment(workload: WorldWorkload): Manifest {
  return {
    apiVersion: 'dfw.dev/v1',
    kind: 'Attachment',
    metadata: { name: `${workload.name}-eth0` },
    spec: { workload: { kind: 'VirtualMachine', name: workload.name }, vnic: 'eth0', interface: workload.interface },
  };
}

/** A VirtualMachine and an Attachment for every workload of the world. */
export function workloadManifests(world: World): Manifest[] {
  return world.workloads.flatMap((workload) => [virtualMachine(workload), attachment(workload)]);
}

export function ruleTable(name: string, spec: Readonly<Record<string, unknown>>): Manifest {
  return { apiVersion: 'dfw.dev/v1', kind: 'RuleTable', metadata: { name }, spec };
}

/** The Namespace (label ns), and a Pod (label pod: its name) with an Attachment for each workload. */
export function podManifests(namespace: string, workloads: readonly WorldWorkload[]): Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { ns: namespace } } },
    ...workloads.flatMap(({ name, mac, ipv4, ipv6, interface: device }): Manifest[] => [
      {
        apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels: { pod: name } }, spec: { nodeName: 'host-1' },
        status: { phase: 'Running', podIP: ipv4, podIPs: [{ ip: ipv4 }, { ip: ipv6 }] },
      },
      { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: `${name}-eth0` }, spec: { workload: { kind: 'Pod', namespace, name }, vnic: 'eth0', interface: device, mac } },
    ]),
  ];
}
