/** The objects that policies select: Namespaces, Nodes, Pods with their Attachments, Services; kept, changed and written as manifests. Pure. */
import { HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6 } from './netns.js';
import type { Manifest } from './policies.js';

type Labels = Readonly<Record<string, string>>;

/** Names of the two Nodes: where the agent runs, and the other one (the world's outside). */
export const NODE = 'host-1';
export const OTHER_NODE = 'control-plane';

export interface NamespaceSpec { readonly name: string; readonly labels?: Labels; readonly annotations?: Labels }
export interface PodSpec {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Labels;
  readonly serviceAccount?: string;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly protocol?: string }[];
}
/** Where a pod is in the world. */
export interface PodPlace { readonly netns: string; readonly interface: string; readonly mac: string; readonly ipv4: string; readonly ipv6: string }
export interface ClusterPod extends PodSpec, PodPlace {
  /** "namespace/name". */
  readonly reference: string;
}

const node = (name: string, labels: Labels, ...addresses: readonly string[]): Manifest => ({
  apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
  status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
});

function podManifest(pod: ClusterPod): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod.name, namespace: pod.namespace, labels: pod.labels ?? {} },
    spec: {
      nodeName: NODE, serviceAccountName: pod.serviceAccount ?? 'default', containers: [{ name: 'server', image: 'server', ports: pod.ports ?? [] }],
    },
    status: { phase: 'Running', podIP: pod.ipv4, podIPs: [{ ip: pod.ipv4 }, { ip: pod.ipv6 }] },
  };
}

function attachmentManifest(pod: ClusterPod): Manifest {
  const { namespace, name } = pod;
  return {
    apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: `${namespace}-${name}-eth0` },
    spec: { workload: { kind: 'Pod', namespace, name }, vnic: 'eth0', interface: pod.interface, mac: pod.mac },
  };
}

export class Inventory {
  private namespaces: ReadonlyMap<string, NamespaceSpec>;
  private all: ReadonlyMap<string, ClusterPod>;
  private others: readonly Manifest[] = [];
  private readonly initial: { readonly namespaces: ReadonlyMap<string, NamespaceSpec>; readonly pods: ReadonlyMap<string, ClusterPod> };

  constructor(namespaces: readonly NamespaceSpec[], pods: readonly ClusterPod[]) {
    this.namespaces = new Map(namespaces.map((one) => [one.name, one]));
    this.all = new Map(pods.map((pod) => [pod.reference, pod]));
    this.initial = { namespaces: this.namespaces, pods: this.all };
  }

  get pods(): readonly ClusterPod[] {
    return [...this.all.values()];
  }

  pod(reference: string): ClusterPod {
    const found = this.all.get(reference);
    if (found === undefined) throw new Error(`no pod ${reference} in this cluster`);
    return found;
  }

  setPod(pod: ClusterPod): void {
    this.all = new Map([...this.all, [pod.reference, pod]]);
  }

  /** Takes the place of the Namespace's labels and annotations; a new one is added. */
  setNamespace(namespace: NamespaceSpec): void {
    this.namespaces = new Map([...this.namespaces, [namespace.name, namespace]]);
  }

  /** Services and the like; all of them. */
  setOthers(manifests: readonly Manifest[]): void {
    this.others = manifests;
  }

  /** Back to how it was made; false when it was so already. */
  reset(): boolean {
    if (this.namespaces === this.initial.namespaces && this.all === this.initial.pods && this.others.length === 0) return false;
    this.namespaces = this.initial.namespaces;
    this.all = this.initial.pods;
    this.others = [];
    return true;
  }

  manifests(): Manifest[] {
    return [
      ...[...this.namespaces.values()].map(({ name, labels = {}, annotations = {} }): Manifest => ({
        apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...labels }, annotations },
      })),
      node(NODE, { role: 'worker' }, HOST_IPV4, HOST_IPV6),
      node(OTHER_NODE, { role: 'control-plane' }, OUTSIDE_IPV4, OUTSIDE_IPV6),
      ...this.pods.flatMap((pod) => [podManifest(pod), attachmentManifest(pod)]),
      ...this.others,
    ];
  }
}
