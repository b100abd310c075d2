/** Namespace, Pod and Node manifests → objects. Up to a hundred thousand of them: nothing is copied that can be shared. */
import type { NamespaceObject, NodeObject, PodObject } from '../../model/objects.js';
import type { ContainerManifest, NamespaceManifest, NodeManifest, PodManifest } from './kubernetes-manifests.js';
import { labelProblem, subdomainProblem } from '../../model/names.js';
import { decodeHost, decodeHosts, decodePrefix } from './addresses.js';
import { NONE, refuseIf, type Draft } from './checks.js';
import { decodeMeta, decodeNamespacedMeta } from './metadata.js';
import { PROTOCOL_NUMBERS } from './ports.js';

/** Set by the API server on every namespace, whatever the manifest says; a manifest on disk may not carry it yet. */
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

export function decodeNamespaceObject(manifest: NamespaceManifest): NamespaceObject {
  const metadata = decodeMeta(manifest.metadata, (name) => labelProblem(name, 'name'));
  if (metadata.labels[NAMESPACE_NAME_LABEL] === metadata.name) return { kind: 'Namespace', metadata };
  return { kind: 'Namespace', metadata: { ...metadata, labels: { ...metadata.labels, [NAMESPACE_NAME_LABEL]: metadata.name } } };
}

export function decodePod(manifest: PodManifest): PodObject {
  const { spec, status } = manifest;
  const metadata = decodeNamespacedMeta(manifest.metadata);
  const pod: Draft<PodObject> = { kind: 'Pod', metadata, addresses: podAddresses(status), ports: podPorts(spec) };
  if (spec === undefined || spec === null) return pod;
  if (typeof spec.nodeName === 'string' && spec.nodeName !== '') pod.nodeName = spec.nodeName;
  // The second is the deprecated name of the first.
  const account = spec.serviceAccountName ?? spec.serviceAccount;
  if (typeof account === 'string' && account !== '' && account !== 'default') {
    refuseIf(subdomainProblem(account, 'service account'), 'spec.serviceAccountName');
    pod.serviceAccount = account;
  }
  if (spec.hostNetwork === true) {
    pod.hostNetwork = true;
    pod.addresses = NONE;
  }
  return pod;
}

function podAddresses(status: PodManifest['status']): readonly string[] {
  // A finished pod has given its address back.
  if (status === undefined || status === null || status.phase === 'Succeeded' || status.phase === 'Failed') return NONE;
  const { podIP, podIPs } = status;
  if (podIPs !== undefined && podIPs !== null && podIPs.length > 0) return decodeHosts(podIPs.map(({ ip }) => ip), 'status.podIPs');
  return podIP === undefined || podIP === null || podIP === '' ? NONE : [decodeHost(podIP, 'status.podIP')];
}

function podPorts(spec: PodManifest['spec']): PodObject['ports'] {
  const ports: PodObject['ports'][number][] = [];
  addPorts(ports, spec?.containers);
  // Sidecars: init containers that stay.
  addPorts(ports, spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always'));
  return ports.length === 0 ? NONE : ports;
}

function addPorts(ports: PodObject['ports'][number][], containers: readonly ContainerManifest[] | null | undefined): void {
  for (const container of containers ?? NONE) {
    for (const { name, containerPort, protocol } of container.ports ?? NONE) {
      if (name !== undefined && name !== null && name !== '') ports.push({ name, protocol: PROTOCOL_NUMBERS[protocol ?? 'TCP'], port: containerPort });
    }
  }
}

export function decodeNode(manifest: NodeManifest): NodeObject {
  const addresses = (manifest.status?.addresses ?? NONE).filter(({ type }) => type === 'InternalIP' || type === 'ExternalIP').map(({ address }) => address);
  const node: Draft<NodeObject> = { kind: 'Node', metadata: decodeMeta(manifest.metadata, subdomainProblem), addresses: decodeHosts(addresses, 'status.addresses') };
  const single = manifest.spec?.podCIDR ?? '';
  const ranges = manifest.spec?.podCIDRs ?? (single === '' ? NONE : [single]);
  if (ranges.length > 0) node.podCidrs = ranges.map((range, index) => decodePrefix(range, `spec.podCIDRs[${index}]`));
  return node;
}
