/**
 * Every kind of manifest: as it is written, its API groups, and the name by which its objects are keyed here. Two groups may use
 * one written name for different things; `kind` tells them apart and is unique.
 */
import { POLICY_KINDS } from './policy-objects.js';

export interface KindInfo {
  /** First part of objectKey(). */
  readonly kind: string;
  readonly written: string;
  /** The one of today first; '' is the core group. */
  readonly groups: readonly string[];
  readonly namespaced: boolean;
  /** What users may call it besides `kind`, `written` and `written.group`; lower case. */
  readonly names: readonly string[];
}

export const OWN_GROUP = 'dfw.dev';
const ANTREA = 'crd.antrea.io';
/** Antrea before 1.0. */
const ANTREA_LEGACY = 'security.antrea.tanzu.vmware.com';
const ADMIN = 'policy.networking.k8s.io';

function entry(written: string, groups: readonly string[], namespaced: boolean, names: readonly string[], kind = written): KindInfo {
  return { kind, written, groups, namespaced, names };
}

/** Short names are those of the APIs themselves (kubectl's), where they have one. */
export const KINDS: readonly KindInfo[] = [
  entry('Namespace', [''], false, ['namespaces', 'ns']),
  entry('Pod', [''], true, ['pods', 'po']),
  entry('Node', [''], false, ['nodes', 'no']),
  entry('Service', [''], true, ['services', 'svc']),
  entry('EndpointSlice', ['discovery.k8s.io'], true, ['endpointslices', 'eps']),
  entry('NetworkPolicy', ['networking.k8s.io'], true, ['networkpolicies', 'netpol', 'np']),
  entry('NetworkPolicy', [ANTREA, ANTREA_LEGACY], true, ['networkpolicies', 'netpol', 'np', 'annp', 'antreanetworkpolicies'], 'AntreaNetworkPolicy'),
  entry('Ingress', ['networking.k8s.io'], true, ['ingresses', 'ing']),
  entry('Gateway', ['gateway.networking.k8s.io'], true, ['gateways', 'gtw']),
  entry('ClusterNetworkPolicy', [ADMIN], false, ['clusternetworkpolicies', 'cnp']),
  entry('ClusterNetworkPolicy', [ANTREA, ANTREA_LEGACY], false, ['clusternetworkpolicies', 'acnp', 'antreaclusternetworkpolicies'], 'AntreaClusterNetworkPolicy'),
  entry('AdminNetworkPolicy', [ADMIN], false, ['adminnetworkpolicies', 'anp']),
  entry('BaselineAdminNetworkPolicy', [ADMIN], false, ['baselineadminnetworkpolicies', 'banp']),
  entry('Tier', [ANTREA, ANTREA_LEGACY], false, ['tiers', 'tr']),
  entry('ClusterGroup', [ANTREA], false, ['clustergroups', 'cg']),
  entry('Group', [OWN_GROUP], false, ['groups']),
  entry('Group', [ANTREA], true, ['groups', 'grp', 'antreagroups'], 'AntreaGroup'),
  entry('ExternalEntity', [ANTREA], true, ['externalentities', 'ee']),
  entry('TrafficControl', [ANTREA], false, ['trafficcontrols', 'tc']),
  entry('IDPSPolicy', [ANTREA], false, ['idpspolicies', 'idps']),
  entry('Egress', [ANTREA], false, ['egresses', 'eg']),
  entry('ExternalIPPool', [ANTREA], false, ['externalippools', 'eip']),
  entry('RuleTable', [OWN_GROUP], false, ['ruletables', 'rt']),
  entry('AddressSet', [OWN_GROUP], false, ['addresssets', 'addrsets', 'addrset', 'as']),
  entry('SecurityPolicy', [OWN_GROUP], false, ['securitypolicies', 'sp']),
  entry('VirtualMachine', [OWN_GROUP], false, ['virtualmachines', 'vms', 'vm']),
  entry('Attachment', [OWN_GROUP], false, ['attachments', 'att']),
];

/** Any case, singular, plural or short, or with its group (`networkpolicies.crd.antrea.io`): all that go by this name; empty when none does. */
export function kindsNamed(name: string): readonly KindInfo[] {
  const lower = name.toLowerCase();
  const dot = lower.indexOf('.');
  const [base, group] = dot < 0 ? [lower, undefined] : [lower.slice(0, dot), lower.slice(dot + 1)];
  return KINDS.filter((info) => (group === undefined || info.groups.includes(group))
    && (info.written.toLowerCase() === base || info.kind.toLowerCase() === base || info.names.includes(base)));
}

const POLICIES: ReadonlySet<string> = new Set(Object.keys(POLICY_KINDS));
/** Kubernetes' names for a network policy, which in questions mean policies of every kind. */
const ANY_POLICY: ReadonlySet<string> = new Set(['networkpolicy', 'networkpolicies', 'netpol', 'np']);

/** kindsNamed, for questions: `netpol` and the like mean policies of all kinds. */
export function kindsAskedFor(name: string): readonly KindInfo[] {
  return ANY_POLICY.has(name.toLowerCase()) ? KINDS.filter(({ kind }) => POLICIES.has(kind)) : kindsNamed(name);
}

/** A name that means this kind alone: `Pod`, `AntreaNetworkPolicy`, `NetworkPolicy.networking.k8s.io`. */
export function exactName(info: KindInfo): string {
  return kindsNamed(info.kind).length === 1 ? info.kind : `${info.written}.${info.groups[0] ?? ''}`;
}

/** Tells whether an object's kind is one of those that go by this name; a name that is nobody's is taken for the kind itself. */
export function kindMatcher(name: string): (kind: string) => boolean {
  const named = new Set(kindsNamed(name).map((info) => info.kind));
  return named.size > 0 ? (kind) => named.has(kind) : (kind) => kind.toLowerCase() === name.toLowerCase();
}

/** `crd.antrea.io/v1alpha2` → `crd.antrea.io`; `v1` → ``. */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.lastIndexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}

/**
 * The kind that a document's `apiVersion` and `kind` name, whatever the version. Without an apiVersion our own kinds; where the group
 * says nothing, the only kind of that name.
 */
export function kindOfManifest(apiVersion: string | undefined, kind: string): KindInfo | undefined {
  const group = apiVersion === undefined ? OWN_GROUP : groupOf(apiVersion);
  const named = KINDS.filter((info) => info.written === kind);
  return named.find((info) => info.groups.includes(group)) ?? (named.length === 1 ? named[0] : undefined);
}
