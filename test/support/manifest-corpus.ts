/** One manifest of every kind, with every field that its spec can have (in a combination that is accepted): what property tests mutate. */
const selector = { matchLabels: { app: 'web', 'example.com/tier': 'a' }, matchExpressions: [{ key: 'x', operator: 'In', values: ['a', 'b'] }, { key: 'y', operator: 'Exists' }] };
const ports = [{ protocol: 'TCP', port: 80, endPort: 90 }, { protocol: 'UDP', port: 'dns' }];
const ipBlock = { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] };
const named = { name: 'sa', namespace: 'ns' };
const metadata = { name: 'default', labels: { a: 'b' } };
const workload = { kind: 'Pod', namespace: 'shop', name: 'web' };

const antreaSpec = (target: object, peers: readonly object[]): object => ({
  tier: 'securityops', priority: 5.5, appliedTo: [target],
  ingress: [{ action: 'Allow', name: 'in', enableLogging: true, logLabel: 'x', from: peers, ports: [{ ...ports[0], sourcePort: 5, sourceEndPort: 6 }], protocols: [{ icmp: { icmpType: 3, icmpCode: 1 } }] }],
  egress: [
    { action: 'Drop', to: [{ fqdn: '*.example.com' }, ...peers] }, { action: 'Reject', toServices: [{ ...named, scope: 'Cluster' }] },
    { action: 'Allow', protocols: [{ igmp: { igmpType: 0x16, groupAddress: '224.1.1.1' } }] },
  ],
});
const antreaPeers = [{ podSelector: selector, namespaceSelector: selector }, { ipBlock }, { group: 'g' }, { externalEntitySelector: selector }, { nodeSelector: selector }];
const adminPods = { pods: { namespaceSelector: selector, podSelector: selector } };
const adminPorts = { ports: [{ portNumber: { protocol: 'TCP', port: 80 } }, { portRange: { protocol: 'UDP', start: 5, end: 9 } }] };
const adminProtocols = {
  protocols: [{ tcp: { destinationPort: { number: 80 } } }, { udp: { destinationPort: { range: { start: 5, end: 9 } } } }, { sctp: { destinationPort: { number: 7 } } }],
};
const adminRules = (match: object, allow: string): object => ({
  ingress: [{ name: 'a', action: allow, from: [{ namespaces: selector }, adminPods], ...match }],
  egress: [{ name: 'b', action: 'Deny', to: [{ nodes: selector }, { networks: ['10.0.0.0/8', 'fd00::/8'] }, adminPods], ...match }],
});

export interface CorpusEntry {
  readonly manifest: Readonly<Record<string, unknown>>;
  /** True when an unknown field in the spec must be refused. */
  readonly closed: boolean;
}

function entry(apiVersion: string, kind: string, spec: object, closed = true, more: object = {}): CorpusEntry {
  return { manifest: { apiVersion, kind, metadata, spec, ...more }, closed };
}

export const CORPUS: readonly CorpusEntry[] = [
  entry('networking.k8s.io/v1', 'NetworkPolicy', {
    podSelector: selector, policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: selector, namespaceSelector: selector }, { ipBlock }], ports }], egress: [{ to: [{ podSelector: selector }], ports }],
  }),
  entry('crd.antrea.io/v1beta1', 'Tier', { priority: 10, description: 'x' }),
  entry('crd.antrea.io/v1beta1', 'ClusterNetworkPolicy', antreaSpec(
    { podSelector: selector, namespaceSelector: selector }, [...antreaPeers, { serviceAccount: named }, { namespaces: { sameLabels: ['a'] }, podSelector: selector, scope: 'Cluster' }],
  )),
  entry('crd.antrea.io/v1beta1', 'NetworkPolicy', antreaSpec({ podSelector: selector }, antreaPeers)),
  entry('crd.antrea.io/v1beta1', 'ClusterGroup', { ipBlocks: [ipBlock] }),
  entry('crd.antrea.io/v1beta1', 'Group', { podSelector: selector, namespaceSelector: selector }),
  entry('crd.antrea.io/v1alpha2', 'ExternalEntity', { endpoints: [{ ip: '192.0.2.1', name: 'a' }], ports: [{ name: 'db', protocol: 'TCP', port: 5 }], externalNode: 'n' }),
  entry('crd.antrea.io/v1beta1', 'Egress', { appliedTo: { podSelector: selector, namespaceSelector: selector }, egressIP: '192.0.2.1', externalIPPool: 'p' }),
  entry('crd.antrea.io/v1beta1', 'ExternalIPPool', { ipRanges: [{ cidr: '192.0.2.0/24' }, { start: '192.0.2.1', end: '192.0.2.9' }], nodeSelector: selector }),
  entry('crd.antrea.io/v1alpha2', 'TrafficControl', { appliedTo: { podSelector: selector }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'tap0' } } }),
  entry('crd.antrea.io/v1alpha1', 'IDPSPolicy', {
    appliedTo: { podSelector: selector, vmSelector: selector }, mode: 'prevent', onFailure: 'block', direction: 'Both',
    signatures: { severities: [1], categories: ['bad-unknown'], sids: [7], disabledSids: [8], overrides: [{ sid: 9, action: 'drop' }] },
  }),
  entry('policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy', { priority: 5, subject: adminPods, ...adminRules(adminPorts, 'Allow') }),
  entry('policy.networking.k8s.io/v1alpha1', 'BaselineAdminNetworkPolicy', { subject: { namespaces: selector }, ...adminRules(adminPorts, 'Allow') }),
  entry('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', { tier: 'Admin', priority: 5, subject: adminPods, ...adminRules(adminProtocols, 'Accept') }),
  entry('dfw.dev/v1', 'SecurityPolicy', {
    category: 'Emergency', sequence: 5, disabled: false, appliedTo: [{ group: 'a' }, { workload }],
    rules: [{
      name: 'r', id: 7, sources: [{ group: 'a' }, { addresses: ['10.0.0.1'] }], sourcesExcluded: true, destinations: [{ group: 'b' }], destinationsExcluded: false,
      services: [{ protocol: 'TCP', ports: ['80'], sourcePorts: ['5-6'] }, { protocol: 'ICMP', icmpType: 8, icmpCode: 0 }],
      action: 'Allow', direction: 'In', logged: true, tag: 'x', disabled: false, appliedTo: [{ workload }],
    }],
  }),
  entry('dfw.dev/v1', 'Group', {
    criteria: [{ all: [{ object: 'Pod', key: 'Label', operator: 'Equals', value: 'a=b' }, { object: 'Pod', key: 'Name', operator: 'In', values: ['a'] }] }],
    addresses: ['10.0.0.1'], workloads: [workload], groups: ['other'],
  }),
  entry('dfw.dev/v1', 'RuleTable', {
    appliedTo: { workloads: [workload], selector }, addressSets: [{ name: 'a', addresses: ['10.0.0.1'] }],
    rules: [{ id: 1, direction: 'in', family: 'inet', protocol: 'tcp', source: { not: true, addressSets: ['a'] }, ports: ['80'], action: 'accept', log: true, tag: 'x', stateless: true }],
    layer2Rules: [{ id: 2, ethertype: 'arp', action: 'drop' }],
  }),
  entry('dfw.dev/v1', 'AddressSet', { addresses: ['10.0.0.1'] }),
  entry('dfw.dev/v1', 'VirtualMachine', { uuid: 'u', segment: 's', nics: [{ name: 'eth0', mac: '00:50:56:00:00:01', addresses: ['10.0.0.1'] }] }),
  entry('dfw.dev/v1', 'Attachment', { workload, vnic: 'eth0', interface: 'veth0', mac: '00:50:56:00:00:01', addresses: ['10.0.0.1'] }),
  entry('v1', 'Namespace', {}, false),
  entry('v1', 'Pod', {
    nodeName: 'n', serviceAccountName: 'sa', hostNetwork: false, containers: [{ ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }] }],
    initContainers: [{ restartPolicy: 'Always', ports: [{ name: 'x', containerPort: 81 }] }],
  }, false, { status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }] } }),
  entry('v1', 'Node', {}, false, { status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] } }),
  entry('v1', 'Service', {
    type: 'LoadBalancer', clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1'], externalIPs: ['192.0.2.1'], selector: { a: 'b' }, ports: [{ name: 'a', protocol: 'TCP', port: 80, targetPort: 'x', nodePort: 5 }],
  }, false, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } }),
  entry('discovery.k8s.io/v1', 'EndpointSlice', {}, false, { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }] }),
  entry('networking.k8s.io/v1', 'Ingress', {}, false, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } }),
  entry('gateway.networking.k8s.io/v1', 'Gateway', { addresses: [{ type: 'IPAddress', value: '192.0.2.1' }] }, false, { status: { addresses: [{ value: '192.0.2.1' }] } }),
];
