/** Random policies of every kind, valid ones only, with few names so that things repeat. */
import fc, { type Arbitrary } from 'fast-check';
import type {
  AdminPeer, AdminPolicyObject, AdminRule, AntreaPeer, AntreaPolicyObject, AntreaProtocol, AntreaRule, NetworkPolicyObject, NetworkPolicyPeer, PodSelection, PolicyObject,
  PolicyPort, SecurityPolicyObject, SecurityRule, SecurityTarget,
} from '../../../../src/model/policy-objects.js';
import { labels } from './objects.js';

const selector = fc.dictionary(fc.constantFrom('app', 'env'), fc.constantFrom('a', 'b'), { maxKeys: 2, noNullPrototype: true }).map(labels);
const name = fc.constantFrom('a', 'b', 'c');
const selection: Arbitrary<PodSelection> = fc.oneof(
  fc.record({ podSelector: selector }), fc.record({ namespaceSelector: selector }), fc.record({ podSelector: selector, namespaceSelector: selector }),
);
const ipBlock = fc.record({ cidr: fc.constantFrom('10.0.0.0/8', 'fd00::/8'), except: fc.subarray(['10.1.0.0/16', '10.2.0.0/16']) });
const few = <T>(one: Arbitrary<T>): Arbitrary<T[]> => fc.array(one, { maxLength: 3 });
const number = fc.integer({ min: 1, max: 9 });

export const port: Arbitrary<PolicyPort> = fc.record({
  protocol: fc.constantFrom(6, 17), port: fc.option(fc.oneof(number, name), { nil: undefined }), size: fc.option(number, { nil: undefined }), sourcePort: fc.option(number, { nil: undefined }), sourceSize: fc.option(number, { nil: undefined }),
}).map(({ protocol, port: at, size, sourcePort, sourceSize }) => ({
  protocol, ...(at === undefined ? {} : { port: at }), ...(typeof at === 'number' && size !== undefined ? { endPort: at + size } : {}),
  ...(sourcePort === undefined ? {} : { sourcePort }), ...(sourcePort !== undefined && sourceSize !== undefined ? { sourceEndPort: sourcePort + sourceSize } : {}),
}));

const metadata = (namespaced: boolean): Arbitrary<PolicyObject['metadata']> =>
  fc.record({ name, namespace: name }).map((names) => ({ name: names.name, labels: {}, ...(namespaced ? { namespace: names.namespace } : {}) }));

const kubernetesPeer: Arbitrary<NetworkPolicyPeer> = fc.oneof(selection, fc.record({ ipBlock }));
const kubernetesRules = few(fc.record({ peers: few(kubernetesPeer), ports: few(port) }));
export const networkPolicy: Arbitrary<NetworkPolicyObject> = fc.record({
  kind: fc.constant('NetworkPolicy' as const), metadata: metadata(true), podSelector: selector, policyTypes: fc.subarray(['Ingress' as const, 'Egress' as const]), ingress: kubernetesRules, egress: kubernetesRules,
});

const namespacedName = fc.record({ namespace: name, name });
const member = fc.oneof(selection, fc.record({ nodeSelector: selector }), fc.record({ externalEntitySelector: selector }), fc.record({ group: name }), fc.record({ serviceAccount: namespacedName }));
const antreaPeer: Arbitrary<AntreaPeer> = fc.oneof(
  member, fc.record({ ipBlock }), fc.record({ fqdn: name }), fc.record({ namespaces: fc.constant({ match: 'Self' as const }) }), fc.record({ namespaces: fc.record({ sameLabels: fc.subarray(['x', 'y']) }), podSelector: selector }),
);
const protocol: Arbitrary<AntreaProtocol> = fc.oneof(
  fc.record({ icmp: fc.oneof(fc.constant({}), fc.record({ type: number }), fc.record({ type: number, code: number })) }),
  fc.record({ igmp: fc.oneof(fc.constant({}), fc.record({ groupAddress: fc.constantFrom('224.0.0.1', '225.1.2.3') })) }),
);
const antreaRule: Arbitrary<AntreaRule> = fc.record({
  name, action: fc.constantFrom('Allow' as const, 'Drop' as const, 'Reject' as const), peers: few(antreaPeer), ports: few(port), protocols: few(protocol), toServices: fc.constant([]), appliedTo: few(member), log: fc.boolean(),
});
const antreaPolicy: Arbitrary<AntreaPolicyObject> = fc.constantFrom('AntreaClusterNetworkPolicy' as const, 'AntreaNetworkPolicy' as const).chain((kind) => fc.record({
  kind: fc.constant(kind), metadata: metadata(kind === 'AntreaNetworkPolicy'), tier: fc.constantFrom('emergency', 'application', 'baseline'), priority: number, appliedTo: few(member),
  rules: fc.uniqueArray(antreaRule, { selector: (rule) => rule.name, maxLength: 3 }), turn: fc.nat(3),
})).map(({ rules, turn, ...rest }) => ({ ...rest, ingress: rules.slice(turn), egress: rules.slice(0, turn) }));

const adminPeer: Arbitrary<AdminPeer> = fc.oneof(
  fc.record({ namespaces: selector }), fc.record({ pods: fc.record({ namespaceSelector: selector, podSelector: selector }) }), fc.record({ nodes: selector }),
  fc.record({ networks: fc.subarray(['10.0.0.0/8', '::/0'], { minLength: 1 }) }), fc.record({ domainNames: fc.subarray(['a.example', '*.b.example'], { minLength: 1 }) }),
);
const adminRules: Arbitrary<AdminRule[]> = few(fc.record({
  name: fc.constantFrom('', 'a', 'a#2', 'b'), action: fc.constantFrom('Allow' as const, 'Drop' as const), peers: fc.array(adminPeer, { minLength: 1, maxLength: 2 }), ports: few(fc.oneof(port, fc.record({ namedPort: name }))),
}));
const adminPolicy: Arbitrary<AdminPolicyObject> = fc.record({
  kind: fc.constantFrom('AdminNetworkPolicy' as const, 'ClusterNetworkPolicy' as const), metadata: metadata(false), tier: fc.constant('Admin' as const), priority: number,
  subject: fc.record({ namespaces: selector }), ingress: adminRules, egress: adminRules,
});

const securityTarget: Arbitrary<SecurityTarget> = fc.oneof(fc.record({ group: name }), fc.record({ workload: fc.record({ kind: fc.constant('VirtualMachine' as const), name }) }));
const endpoints = few(fc.oneof(fc.record({ group: name }), fc.record({ addresses: fc.constantFrom(['10.0.0.1'], ['10.0.0.0/8', '::1']) })));
const ranges = fc.constantFrom([], [{ first: 1, last: 2 }]);
const securityRule: Arbitrary<Omit<SecurityRule, 'name'>> = fc.record({
  sources: endpoints, sourcesExcluded: fc.boolean(), destinations: endpoints, destinationsExcluded: fc.boolean(),
  services: few(fc.record({ protocol: fc.constantFrom(6, 17), ports: ranges, sourcePorts: ranges })), action: fc.constantFrom('Allow' as const, 'Drop' as const), direction: fc.constantFrom('In' as const, 'Out' as const, 'InOut' as const),
  log: fc.boolean(), disabled: fc.boolean(), appliedTo: few(securityTarget),
});
const securityPolicy: Arbitrary<SecurityPolicyObject> = fc.record({
  kind: fc.constant('SecurityPolicy' as const), metadata: metadata(false), category: fc.constantFrom('Emergency' as const, 'Application' as const), sequence: number, disabled: fc.boolean(), appliedTo: few(securityTarget),
  rules: few(securityRule).chain((rules) => fc.tuple(...rules.map((rule, index) => fc.boolean().map((named) => ({ ...rule, name: named ? `n${index}` : `rule-${index + 1}` }))))),
});

export const policy: Arbitrary<PolicyObject> = fc.oneof(networkPolicy, antreaPolicy, adminPolicy, securityPolicy);
