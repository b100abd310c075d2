/** Generated objects as users write them, each in the newest apiVersion of its kind. */
import type { LabelSelector } from '../../src/model/metadata.js';
import type { DesiredObject, PodObject } from '../../src/model/objects.js';
import type { AdminPeer, AdminPolicyObject, AdminPort, AntreaGroupObject, AntreaPeer, AntreaPolicyObject, AntreaRule, AntreaTarget, IpBlock, NetworkPolicyObject, PolicyPort } from '../../src/model/policy-objects.js';
import { tableContent } from './manifest.js';
import { groupDocument, securityPolicyDocument } from './policy-security-manifest.js';

export type Document = Readonly<Record<string, unknown>>;

export const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

export function document(object: DesiredObject): Document {
  const of = (apiVersion: string, kind: string, rest: Document): Document => ({ apiVersion, kind, metadata: metadataOf(object), ...rest });
  switch (object.kind) {
    case 'Namespace': return of('v1', 'Namespace', {});
    case 'Pod': return of('v1', 'Pod', podDocument(object));
    case 'Node': return of('v1', 'Node', { status: { addresses: object.addresses.map((address) => ({ type: 'InternalIP', address })) } });
    case 'Service': return of('v1', 'Service', {
      spec: {
        type: object.type, clusterIP: object.clusterIps[0], clusterIPs: object.clusterIps, externalIPs: object.externalIps,
        ...(object.selector === undefined ? {} : { selector: object.selector.matchLabels }),
        ports: object.ports.map((port) => ({ ...port, protocol: PROTOCOL_NAMES[port.protocol] })),
      },
    });
    case 'VirtualMachine': return of('dfw.dev/v1', object.kind, { spec: { segment: object.segment, nics: object.nics } });
    case 'Attachment': return of('dfw.dev/v1', object.kind, { spec: { workload: object.workload, vnic: object.vnic, interface: object.interface, mac: object.mac } });
    case 'ExternalEntity': return of('crd.antrea.io/v1alpha2', object.kind, { spec: { endpoints: object.addresses.map((ip) => ({ ip })) } });
    case 'Tier': return of('crd.antrea.io/v1beta1', object.kind, { spec: { priority: object.priority, description: object.description } });
    case 'ClusterGroup': return of('crd.antrea.io/v1beta1', 'ClusterGroup', { spec: antreaGroup(object) });
    case 'AntreaGroup': return of('crd.antrea.io/v1beta1', 'Group', { spec: antreaGroup(object) });
    case 'NetworkPolicy': return of('networking.k8s.io/v1', object.kind, { spec: networkPolicy(object) });
    case 'AntreaClusterNetworkPolicy': return of('crd.antrea.io/v1beta1', 'ClusterNetworkPolicy', { spec: antreaPolicy(object) });
    case 'AntreaNetworkPolicy': return of('crd.antrea.io/v1beta1', 'NetworkPolicy', { spec: antreaPolicy(object) });
    case 'AdminNetworkPolicy':
    case 'BaselineAdminNetworkPolicy': return of('policy.networking.k8s.io/v1alpha1', object.kind, { spec: adminPolicy(object) });
    case 'ClusterNetworkPolicy': return of('policy.networking.k8s.io/v1alpha2', object.kind, { spec: clusterNetworkPolicy(object) });
    case 'SecurityPolicy': return of('dfw.dev/v1', object.kind, { spec: securityPolicyDocument(object) });
    case 'Group': return of('dfw.dev/v1', object.kind, { spec: groupDocument(object) });
    case 'RuleTable': return of('dfw.dev/v1', object.kind, {
      spec: { ...tableContent(object), ...(object.appliedTo === undefined ? {} : { appliedTo: { workloads: object.appliedTo.workloads } }) },
    });
    case 'AddressSet':
    case 'TrafficControl':
    case 'IDPSPolicy':
    case 'EndpointSlice':
    case 'Ingress':
    case 'Gateway':
    case 'Egress':
    case 'ExternalIPPool': throw new Error(`no generator makes objects of kind ${object.kind}`);
  }
}

/** Pods that policies must not see, at addresses of those that they do: finished ones, and one of the host's own network. */
export function noise(objects: readonly DesiredObject[]): Document[] {
  const pods = objects.filter((object): object is PodObject => object.kind === 'Pod' && object.addresses.length > 0);
  return pods.slice(0, 3).map((pod, index) => ({
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name: `noise-${index}`, namespace: ['x', 'y', 'z'][index], labels: { app: 'web', team: 'a', pod: 'a' } },
    spec: index === 2 ? { hostNetwork: true } : {},
    status: { phase: ['Succeeded', 'Failed', 'Running'][index], podIPs: pod.addresses.map((ip) => ({ ip })) },
  }));
}

function metadataOf({ metadata: { name, namespace, labels } }: DesiredObject): Document {
  return { name, ...(namespace === undefined ? {} : { namespace }), ...(Object.keys(labels).length === 0 ? {} : { labels }) };
}

function podDocument(pod: PodObject): Document {
  return {
    spec: {
      nodeName: pod.nodeName,
      ...(pod.serviceAccount === undefined ? {} : { serviceAccountName: pod.serviceAccount }),
      // One container for each: names are unique in a container only.
      containers: pod.ports.map(({ name, protocol, port }, index) => ({ name: `c${index}`, ports: [{ name, protocol: PROTOCOL_NAMES[protocol], containerPort: port }] })),
    },
    status: { phase: 'Running', ...(pod.addresses.length === 0 ? {} : { podIP: pod.addresses[0], podIPs: pod.addresses.map((ip) => ({ ip })) }) },
  };
}

export function selectorDocument({ matchLabels, matchExpressions }: LabelSelector): Document {
  return {
    ...(Object.keys(matchLabels).length === 0 ? {} : { matchLabels }),
    ...(matchExpressions.length === 0 ? {} : { matchExpressions: matchExpressions.map(({ key, operator, values }) => ({ key, operator, ...(values.length === 0 ? {} : { values }) })) }),
  };
}

/** The named selectors of an object, where it has them. */
function selectors(object: Readonly<Partial<Record<(typeof SELECTORS)[number], LabelSelector>>>): Document {
  return Object.fromEntries(SELECTORS.flatMap((key) => {
    const selector = object[key];
    return selector === undefined ? [] : [[key, selectorDocument(selector)] as const];
  }));
}
const SELECTORS = ['podSelector', 'namespaceSelector', 'externalEntitySelector', 'nodeSelector'] as const;

function blockDocument({ cidr, except }: IpBlock): Document {
  return { cidr: asPrefix(cidr), ...(except.length === 0 ? {} : { except: except.map(asPrefix) }) };
}

function asPrefix(text: string): string {
  return text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
}

function portDocument(port: PolicyPort): Document {
  return { ...port, protocol: PROTOCOL_NAMES[port.protocol] };
}

function some(key: string, list: readonly unknown[]): Document {
  return list.length === 0 ? {} : { [key]: list };
}

function networkPolicy(policy: NetworkPolicyObject): Document {
  const rules = (list: NetworkPolicyObject['ingress'], side: string): Document[] => list.map((rule) => ({
    ...some(side, rule.peers.map((peer) => (peer.ipBlock === undefined ? selectors(peer) : { ipBlock: blockDocument(peer.ipBlock) }))), ...some('ports', rule.ports.map(portDocument)),
  }));
  return {
    podSelector: selectorDocument(policy.podSelector), policyTypes: policy.policyTypes,
    ...some('ingress', rules(policy.ingress, 'from')), ...some('egress', rules(policy.egress, 'to')),
  };
}

function antreaPolicy(policy: AntreaPolicyObject): Document {
  return {
    ...(policy.tier === 'application' ? {} : { tier: policy.tier }), priority: policy.priority, ...some('appliedTo', policy.appliedTo.map(targetDocument)),
    ...some('ingress', policy.ingress.map((rule) => antreaRule(rule, 'from'))), ...some('egress', policy.egress.map((rule) => antreaRule(rule, 'to'))),
  };
}

function antreaRule(rule: AntreaRule, side: string): Document {
  return {
    name: rule.name, action: rule.action, ...(rule.log ? { enableLogging: true } : {}),
    ...some(side, rule.peers.map(antreaPeer)), ...some('ports', rule.ports.map(portDocument)), ...some('toServices', rule.toServices), ...some('appliedTo', rule.appliedTo.map(targetDocument)),
    ...some('protocols', rule.protocols.map((protocol) => {
      if ('igmp' in protocol) throw new Error('no generator makes IGMP rules');
      const { type, code } = protocol.icmp;
      return { icmp: { ...(type === undefined ? {} : { icmpType: type }), ...(code === undefined ? {} : { icmpCode: code }) } };
    })),
  };
}

function antreaPeer(peer: AntreaPeer): Document {
  return {
    ...selectors(peer),
    ...(peer.ipBlock === undefined ? {} : { ipBlock: blockDocument(peer.ipBlock) }),
    ...(peer.group === undefined ? {} : { group: peer.group }),
    ...(peer.serviceAccount === undefined ? {} : { serviceAccount: peer.serviceAccount }),
    ...(peer.namespaces === undefined ? {} : { namespaces: peer.namespaces }),
  };
}

function targetDocument(target: AntreaTarget): Document {
  return {
    ...selectors(target),
    ...(target.group === undefined ? {} : { group: target.group }), ...(target.serviceAccount === undefined ? {} : { serviceAccount: target.serviceAccount }),
  };
}

function antreaGroup(group: AntreaGroupObject): Document {
  return {
    ...selectors({ ...group, ...group.selection }),
    ...some('ipBlocks', group.ipBlocks.map(blockDocument)), ...some('childGroups', group.childGroups),
    ...(group.service === undefined ? {} : { serviceReference: group.service }),
  };
}

function adminSubject({ namespaces, pods }: Pick<AdminPeer, 'namespaces' | 'pods'>): Document {
  if (namespaces !== undefined) return { namespaces: selectorDocument(namespaces) };
  if (pods === undefined) return {};
  return { pods: { namespaceSelector: selectorDocument(pods.namespaceSelector), podSelector: selectorDocument(pods.podSelector) } };
}

function adminPeer(peer: AdminPeer): Document {
  if (peer.nodes !== undefined) return { nodes: selectorDocument(peer.nodes) };
  if (peer.networks !== undefined) return { networks: peer.networks.map(asPrefix) };
  return adminSubject(peer);
}

function adminPolicy(policy: AdminPolicyObject): Document {
  const port = (one: AdminPort): Document => {
    if ('namedPort' in one) return { namedPort: one.namedPort };
    const protocol = PROTOCOL_NAMES[one.protocol];
    return one.endPort === undefined ? { portNumber: { protocol, port: one.port } } : { portRange: { protocol, start: one.port, end: one.endPort } };
  };
  const rules = (list: AdminPolicyObject['ingress'], side: string): Document[] => list.map((rule) => ({
    ...(rule.name === '' ? {} : { name: rule.name }), action: rule.action === 'Drop' ? 'Deny' : rule.action, [side]: rule.peers.map(adminPeer), ...some('ports', rule.ports.map(port)),
  }));
  return {
    ...(policy.kind === 'BaselineAdminNetworkPolicy' ? {} : { priority: policy.priority }), subject: adminSubject(policy.subject),
    ...some('ingress', rules(policy.ingress, 'from')), ...some('egress', rules(policy.egress, 'to')),
  };
}

function clusterNetworkPolicy(policy: AdminPolicyObject): Document {
  const protocol = (one: AdminPort): Document => {
    if ('namedPort' in one) return { destinationNamedPort: one.namedPort };
    const destinationPort = one.endPort === undefined ? { number: one.port } : { range: { start: one.port, end: one.endPort } };
    return { [(PROTOCOL_NAMES[one.protocol] ?? '').toLowerCase()]: { destinationPort } };
  };
  const actions = { Allow: 'Accept', Drop: 'Deny', Pass: 'Pass' };
  const rules = (list: AdminPolicyObject['ingress'], side: string): Document[] => list.map((rule) => ({
    ...(rule.name === '' ? {} : { name: rule.name }), action: actions[rule.action], [side]: rule.peers.map(adminPeer), ...some('protocols', rule.ports.map(protocol)),
  }));
  return {
    tier: policy.tier, priority: policy.priority, subject: adminSubject(policy.subject),
    ...some('ingress', rules(policy.ingress, 'from')), ...some('egress', rules(policy.egress, 'to')),
  };
}
