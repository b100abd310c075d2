/**
 * Policy kinds and the objects they select, as validated from manifests. Plain immutable values: apiVersions and defaults are
 * already resolved, addresses and prefixes canonical, references by name and possibly dangling.
 *
 * Two API groups use one kind name for different things: `kind` is then the prefixed name by which objects are keyed here
 * (AntreaNetworkPolicy), and `POLICY_KINDS` tells what users wrote.
 */
import type { LabelSelector, ObjectMeta } from './metadata.js';

/** `except` is inside of `cidr`. Canonical members of address sets: host bits cleared, a prefix of full length written as the host. */
export interface IpBlock { readonly cidr: string; readonly except: readonly string[] }

/** Pods (or other namespaced things): absent and empty differ, as in Kubernetes. */
export interface PodSelection {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
}

/** `protocol`: IANA number of TCP, UDP or SCTP. No port = every port. `endPort` only with a numeric port. */
export interface PolicyPort {
  readonly protocol: number;
  readonly port?: number | string;
  readonly endPort?: number;
  readonly sourcePort?: number;
  readonly sourceEndPort?: number;
}

// networking.k8s.io/v1
export interface NetworkPolicyPeer extends PodSelection { readonly ipBlock?: IpBlock }
export interface NetworkPolicyRule {
  /** Empty = any peer. */
  readonly peers: readonly NetworkPolicyPeer[];
  /** Empty = any protocol and port. */
  readonly ports: readonly PolicyPort[];
}
export interface NetworkPolicyObject {
  readonly kind: 'NetworkPolicy';
  /** Namespaced. */
  readonly metadata: ObjectMeta;
  readonly podSelector: LabelSelector;
  /** Defaulted: Ingress always when absent, Egress when there are egress rules. A rule list of a type that is not here has no effect. */
  readonly policyTypes: readonly ('Ingress' | 'Egress')[];
  readonly ingress: readonly NetworkPolicyRule[];
  readonly egress: readonly NetworkPolicyRule[];
}

// crd.antrea.io
export interface NamespacedName { readonly namespace: string; readonly name: string }
export interface TierObject { readonly kind: 'Tier'; readonly metadata: ObjectMeta; readonly priority: number; readonly description: string }
export type AntreaAction = 'Allow' | 'Drop' | 'Reject' | 'Pass';
export interface AntreaTarget extends PodSelection {
  readonly externalEntitySelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
  /** ClusterGroup of a cluster policy; Group in the policy's namespace of a namespaced one. */
  readonly group?: string;
  readonly serviceAccount?: NamespacedName;
  readonly service?: NamespacedName;
}
export interface AntreaPeer extends PodSelection {
  readonly ipBlock?: IpBlock;
  readonly externalEntitySelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
  readonly group?: string;
  readonly serviceAccount?: NamespacedName;
  /** Lower case; may hold `*`. Egress only. */
  readonly fqdn?: string;
  /** Cluster policies only. */
  readonly namespaces?: { readonly match: 'Self' } | { readonly sameLabels: readonly string[] };
}
export type AntreaProtocol =
  | { readonly icmp: { readonly type?: number; readonly code?: number } }
  | { readonly igmp: { readonly type?: number; readonly groupAddress?: string } };
export interface AntreaRule {
  /** As written, or Antrea's automatic form; unique in the policy. */
  readonly name: string;
  readonly action: AntreaAction;
  /** Empty = any. */
  readonly peers: readonly AntreaPeer[];
  /** ports and protocols both empty = any. */
  readonly ports: readonly PolicyPort[];
  readonly protocols: readonly AntreaProtocol[];
  /** Egress only; then no peers and no ports. */
  readonly toServices: readonly NamespacedName[];
  /** Of this rule alone; empty = the policy's. */
  readonly appliedTo: readonly AntreaTarget[];
  readonly log: boolean;
  readonly logLabel?: string;
}
export interface AntreaPolicyObject {
  readonly kind: 'AntreaClusterNetworkPolicy' | 'AntreaNetworkPolicy';
  readonly metadata: ObjectMeta;
  /** `application` where none is written. Lower case. */
  readonly tier: string;
  /** 1..10000, may have a fraction; lower first. */
  readonly priority: number;
  /** Empty = every rule has its own. */
  readonly appliedTo: readonly AntreaTarget[];
  readonly ingress: readonly AntreaRule[];
  readonly egress: readonly AntreaRule[];
}
export interface ServiceReference { readonly namespace: string; readonly name: string }
/**
 * Exactly one of the ways to select is used; podSelector and namespaceSelector count as one. Beside an externalEntitySelector
 * `selection` holds a namespaceSelector alone: the namespaces of the entities.
 */
export interface AntreaGroupObject {
  readonly kind: 'ClusterGroup' | 'AntreaGroup';
  readonly metadata: ObjectMeta;
  readonly selection?: PodSelection;
  readonly externalEntitySelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
  readonly ipBlocks: readonly IpBlock[];
  readonly service?: ServiceReference;
  readonly childGroups: readonly string[];
}
export interface ExternalEntityObject {
  readonly kind: 'ExternalEntity';
  readonly metadata: ObjectMeta;
  readonly addresses: readonly string[];
  readonly ports: readonly { readonly name: string; readonly protocol: number; readonly port: number }[];
}
export interface EgressObject {
  readonly kind: 'Egress';
  readonly metadata: ObjectMeta;
  readonly appliedTo: PodSelection;
  /** Canonical host; absent while a pool has given none. */
  readonly egressIp?: string;
  /** Nobody asked for `egressIp`: its status says that the pool gave it. */
  readonly isGiven?: true;
  readonly externalIpPool?: string;
  /** Of what leaves with its address. */
  readonly bandwidth?: Bandwidth;
}
/** `burst` is what may go at once, at least what goes in a second. */
export interface Bandwidth { readonly bitsPerSecond: number; readonly burstBits: number }
export interface ExternalIpPoolObject {
  readonly kind: 'ExternalIPPool';
  readonly metadata: ObjectMeta;
  /** Prefixes and ranges a-b. */
  readonly ranges: readonly string[];
  readonly nodeSelector: LabelSelector;
  /** Its addresses are of a network of their own (spec.subnetInfo). */
  readonly ownSubnet?: true;
}

// policy.networking.k8s.io: AdminNetworkPolicy, BaselineAdminNetworkPolicy (v1alpha1), ClusterNetworkPolicy (v1alpha2)
/** `namespaces` = all pods of these namespaces; `pods` = these pods there. Exactly one. */
export interface AdminSubject {
  readonly namespaces?: LabelSelector;
  readonly pods?: { readonly namespaceSelector: LabelSelector; readonly podSelector: LabelSelector };
}
export interface AdminPeer extends AdminSubject {
  readonly nodes?: LabelSelector;
  readonly networks?: readonly string[];
  readonly domainNames?: readonly string[];
}
/** A named port has no protocol of its own: it is the one the pod's port has. */
export type AdminPort = PolicyPort | { readonly namedPort: string };
export interface AdminRule {
  /** As written; else empty. */
  readonly name: string;
  readonly action: 'Allow' | 'Drop' | 'Pass';
  readonly peers: readonly AdminPeer[];
  /** Empty = any protocol and port. */
  readonly ports: readonly AdminPort[];
}
export interface AdminPolicyObject {
  readonly kind: 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy' | 'ClusterNetworkPolicy';
  readonly metadata: ObjectMeta;
  readonly tier: 'Admin' | 'Baseline';
  /** 0..1000, lower first; 0 for a BaselineAdminNetworkPolicy. */
  readonly priority: number;
  readonly subject: AdminSubject;
  readonly ingress: readonly AdminRule[];
  readonly egress: readonly AdminRule[];
}

// dfw.dev/v1
export type SecurityCategory = 'Ethernet' | 'Emergency' | 'Infrastructure' | 'Environment' | 'Application';
export interface SecurityEndpoint {
  readonly group?: string;
  /** Canonical members: host, prefix, range. */
  readonly addresses?: readonly string[];
}
/** No protocol = any. ICMP has type and code instead of ports. `protocol`: IANA number. */
export interface SecurityService {
  readonly protocol?: number;
  readonly ports: readonly { readonly first: number; readonly last: number }[];
  readonly sourcePorts: readonly { readonly first: number; readonly last: number }[];
  readonly icmp?: { readonly type: number; readonly code?: number };
}
export interface SecurityRule {
  /** Unique in the policy; `rule-N` (1-based) where none is written. */
  readonly name: string;
  /** The number users see, where they chose one. */
  readonly id?: number;
  /** Empty = any. */
  readonly sources: readonly SecurityEndpoint[];
  readonly sourcesExcluded: boolean;
  readonly destinations: readonly SecurityEndpoint[];
  readonly destinationsExcluded: boolean;
  /** Empty = any. */
  readonly services: readonly SecurityService[];
  readonly action: AntreaAction;
  readonly direction: 'In' | 'Out' | 'InOut';
  readonly log: boolean;
  readonly tag?: string;
  readonly disabled: boolean;
  /** Instead of the policy's; empty = the policy's. */
  readonly appliedTo: readonly SecurityTarget[];
}
export interface SecurityTarget { readonly group?: string; readonly workload?: { readonly kind: 'Pod' | 'VirtualMachine' | 'Node'; readonly namespace?: string; readonly name: string } }
export interface SecurityPolicyObject {
  readonly kind: 'SecurityPolicy';
  readonly metadata: ObjectMeta;
  readonly category: SecurityCategory;
  /** Lower first; 0 where none is written. */
  readonly sequence: number;
  readonly disabled: boolean;
  /** Empty = every filter. */
  readonly appliedTo: readonly SecurityTarget[];
  readonly rules: readonly SecurityRule[];
}
export const GROUP_OBJECTS = [
  'KubernetesCluster', 'KubernetesNamespace', 'KubernetesNode', 'KubernetesService', 'KubernetesIngress', 'KubernetesGateway',
  'AntreaEgress', 'AntreaIPPool', 'Pod', 'VirtualMachine', 'Segment',
] as const;
export type GroupObjectType = (typeof GROUP_OBJECTS)[number];
export interface GroupExpression {
  readonly object: GroupObjectType;
  readonly key: 'Name' | 'Tag' | 'Label';
  readonly operator: 'Equals' | 'NotEquals' | 'In' | 'NotIn' | 'Contains' | 'StartsWith' | 'EndsWith' | 'Exists';
  /** One for all but In and NotIn; of Tag and Label: `key` or `key=value` (see docs/groups.md). Empty for Exists without one. */
  readonly values: readonly string[];
}
/** What a criterion means is in docs/groups.md. */
export interface GroupObject {
  readonly kind: 'Group';
  readonly metadata: ObjectMeta;
  /** Elements are OR-ed, the expressions inside one AND-ed. */
  readonly criteria: readonly (readonly GroupExpression[])[];
  /** Static members, canonical. */
  readonly addresses: readonly string[];
  readonly workloads: readonly { readonly kind: 'Pod' | 'VirtualMachine' | 'Node'; readonly namespace?: string; readonly name: string }[];
  /** Groups whose members are members too. */
  readonly groups: readonly string[];
}

// core and others that groups select
export interface ServiceObject {
  readonly kind: 'Service';
  readonly metadata: ObjectMeta;
  /** Canonical; empty for headless ones. */
  readonly clusterIps: readonly string[];
  readonly externalIps: readonly string[];
  /** Of the load balancer. */
  readonly ingressIps: readonly string[];
  /** Absent = the Service selects nothing. */
  readonly selector?: LabelSelector;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly ports: readonly { readonly name?: string; readonly protocol: number; readonly port: number; readonly targetPort?: number | string; readonly nodePort?: number }[];
}
export interface EndpointSliceObject {
  readonly kind: 'EndpointSlice';
  readonly metadata: ObjectMeta;
  readonly service?: string;
  readonly addresses: readonly string[];
}
/** `addresses`: of status.loadBalancer.ingress. */
export interface IngressObject { readonly kind: 'Ingress'; readonly metadata: ObjectMeta; readonly addresses: readonly string[] }
/** `addresses`: of status.addresses, else spec.addresses. */
export interface GatewayObject { readonly kind: 'Gateway'; readonly metadata: ObjectMeta; readonly addresses: readonly string[] }

export type PolicyObject = NetworkPolicyObject | AntreaPolicyObject | AdminPolicyObject | SecurityPolicyObject;
export type PolicyInputObject =
  | PolicyObject | TierObject | AntreaGroupObject | ExternalEntityObject | EgressObject | ExternalIpPoolObject | GroupObject
  | ServiceObject | EndpointSliceObject | IngressObject | GatewayObject;
export type PolicyKind = PolicyObject['kind'];

/** What users call each policy kind: as written in manifests, its API group, and the prefix of its rule tables (Antrea's names where Antrea has one). */
export const POLICY_KINDS: Readonly<Record<PolicyKind, { readonly kind: string; readonly group: string; readonly prefix: string }>> = {
  NetworkPolicy: { kind: 'NetworkPolicy', group: 'networking.k8s.io', prefix: 'K8sNetworkPolicy' },
  AntreaClusterNetworkPolicy: { kind: 'ClusterNetworkPolicy', group: 'crd.antrea.io', prefix: 'AntreaClusterNetworkPolicy' },
  AntreaNetworkPolicy: { kind: 'NetworkPolicy', group: 'crd.antrea.io', prefix: 'AntreaNetworkPolicy' },
  AdminNetworkPolicy: { kind: 'AdminNetworkPolicy', group: 'policy.networking.k8s.io', prefix: 'AdminNetworkPolicy' },
  BaselineAdminNetworkPolicy: { kind: 'BaselineAdminNetworkPolicy', group: 'policy.networking.k8s.io', prefix: 'BaselineAdminNetworkPolicy' },
  ClusterNetworkPolicy: { kind: 'ClusterNetworkPolicy', group: 'policy.networking.k8s.io', prefix: 'ClusterNetworkPolicy' },
  SecurityPolicy: { kind: 'SecurityPolicy', group: 'dfw.dev', prefix: 'SecurityPolicy' },
};
