/** Namespace, Pod, Node, VirtualMachine, Attachment and TrafficControl manifests → objects. */
import type { AttachmentObject, NamespaceObject, NodeObject, PodObject, TrafficControlObject, VirtualMachineObject } from '../../model/objects.js';
import type { AttachmentManifest, NamespaceManifest, NodeManifest, PodManifest, TargetPortManifest, TrafficControlManifest, VirtualMachineManifest } from './manifests.js';
import { interfaceProblem, labelProblem, nsxNameProblem, subdomainProblem } from '../../model/names.js';
import { SCTP, TCP, UDP } from '../../model/protocols.js';
import { quote } from '../../model/quote.js';
import { decodeHosts, decodeMac, decodeMeta, decodeNamespacedMeta, decodeSelector, decodeWorkload, refuse, refuseIf } from './decode-common.js';

/** Set by the API server on every namespace; a manifest on disk may not carry it yet. */
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

export function decodeNamespace(manifest: NamespaceManifest): NamespaceObject {
  const metadata = decodeMeta(manifest.metadata, (name) => labelProblem(name, 'name'));
  return { kind: 'Namespace', metadata: { ...metadata, labels: { [NAMESPACE_NAME_LABEL]: metadata.name, ...metadata.labels } } };
}

const PROTOCOLS = { TCP, UDP, SCTP } as const;

export function decodePod(manifest: PodManifest): PodObject {
  const { spec = {}, status = {} } = manifest;
  // A finished pod has given its address back.
  const finished = status.phase === 'Succeeded' || status.phase === 'Failed';
  const podIPs = status.podIPs ?? [];
  const addresses = podIPs.length > 0
    ? decodeHosts(podIPs.map(({ ip }) => ip), 'status.podIPs')
    : decodeHosts(status.podIP === undefined || status.podIP === '' ? [] : [status.podIP], 'status.podIP');
  const ports = (spec.containers ?? []).flatMap((container) => container.ports ?? [])
    .flatMap(({ name, containerPort, protocol }) => (name === undefined ? [] : [{ name, protocol: PROTOCOLS[protocol ?? 'TCP'], port: containerPort }]));
  return {
    kind: 'Pod',
    metadata: decodeNamespacedMeta(manifest.metadata),
    ...(spec.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
    addresses: finished ? [] : addresses,
    ports,
  };
}

export function decodeNode(manifest: NodeManifest): NodeObject {
  const addresses = (manifest.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP' || type === 'ExternalIP').map(({ address }) => address);
  return { kind: 'Node', metadata: decodeMeta(manifest.metadata, subdomainProblem), addresses: decodeHosts(addresses, 'status.addresses') };
}

export function decodeVirtualMachine(manifest: VirtualMachineManifest): VirtualMachineObject {
  const { uuid, segment, nics = [] } = manifest.spec ?? {};
  const seen = new Set<string>();
  return {
    kind: 'VirtualMachine',
    metadata: decodeMeta(manifest.metadata, nsxNameProblem),
    ...(uuid === undefined ? {} : { uuid }),
    ...(segment === undefined ? {} : { segment }),
    nics: nics.map(({ name, mac, addresses }, index) => {
      const path = `spec.nics[${index}]`;
      refuseIf(vnicProblem(name), `${path}.name`);
      if (seen.has(name)) throw refuse(`${path}.name`, `two vNICs are named ${name}`);
      seen.add(name);
      return { name, ...(mac === undefined ? {} : { mac: decodeMac(mac, `${path}.mac`) }), addresses: decodeHosts(addresses, `${path}.addresses`) };
    }),
  };
}

/** vNIC names become part of filter names (`nic-3-eth0-dfw.2`) and of `namespace/pod/vnic` arguments. */
function vnicProblem(name: string): string | undefined {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) ? undefined
    : `the vNIC name ${quote(name)} may hold only letters, digits and . _ - and at most 63 characters`;
}

export function decodeAttachment(manifest: AttachmentManifest): AttachmentObject {
  const { spec } = manifest;
  const { vnic = 'eth0', mac } = spec;
  refuseIf(vnicProblem(vnic), 'spec.vnic');
  refuseIf(interfaceProblem(spec.interface), 'spec.interface');
  return {
    kind: 'Attachment',
    metadata: decodeMeta(manifest.metadata, nsxNameProblem),
    workload: decodeWorkload(spec.workload, 'spec.workload'),
    vnic,
    interface: spec.interface,
    ...(mac === undefined ? {} : { mac: decodeMac(mac, 'spec.mac') }),
    addresses: decodeHosts(spec.addresses, 'spec.addresses'),
  };
}

export function decodeTrafficControl(manifest: TrafficControlManifest): TrafficControlObject {
  const { appliedTo, direction, action, targetPort, returnPort } = manifest.spec;
  if (action === 'Redirect' && returnPort === undefined) throw refuse('spec.returnPort', 'action Redirect needs a returnPort');
  if (action === 'Mirror' && returnPort !== undefined) throw refuse('spec.returnPort', 'action Mirror takes no returnPort');
  if (returnPort !== undefined) deviceOf(returnPort, 'spec.returnPort');
  const { podSelector, namespaceSelector } = appliedTo;
  return {
    kind: 'TrafficControl',
    metadata: decodeMeta(manifest.metadata, subdomainProblem),
    appliedTo: {
      ...(podSelector === undefined ? {} : { podSelector: decodeSelector(podSelector, 'spec.appliedTo.podSelector') }),
      ...(namespaceSelector === undefined ? {} : { namespaceSelector: decodeSelector(namespaceSelector, 'spec.appliedTo.namespaceSelector') }),
    },
    direction,
    action,
    targetDevice: deviceOf(targetPort, 'spec.targetPort'),
  };
}

function deviceOf(port: TargetPortManifest, path: string): string {
  const [kind, ...others] = Object.keys(port);
  if (kind === undefined || others.length > 0) throw refuse(path, 'give exactly one of device and ovsInternal');
  const named = port.device ?? port.ovsInternal;
  if (named === undefined) {
    throw refuse(`${path}.${kind}`, `a tunnel (${kind}) is not supported by this version yet; use device or ovsInternal`);
  }
  refuseIf(interfaceProblem(named.name), `${path}.${kind}.name`);
  return named.name;
}
