/** Kinds of manifests as agentctl's arguments name them: any case, singular, plural or short. */
import { AgentError } from '../model/errors.js';
import { nearest } from '../model/nearest.js';

export interface KindName {
  readonly kind: string;
  readonly namespaced: boolean;
  /** Further names besides the kind itself, lower case. */
  readonly names: readonly string[];
}

/** The kinds of docs/manifests.md. Where two API groups share a kind, the name means both. */
export const KINDS: readonly KindName[] = [
  { kind: 'Namespace', namespaced: false, names: ['namespaces', 'ns'] },
  { kind: 'Pod', namespaced: true, names: ['pods', 'po'] },
  { kind: 'Node', namespaced: false, names: ['nodes', 'no'] },
  { kind: 'Service', namespaced: true, names: ['services', 'svc'] },
  { kind: 'EndpointSlice', namespaced: true, names: ['endpointslices', 'eps'] },
  { kind: 'NetworkPolicy', namespaced: true, names: ['networkpolicies', 'netpol', 'np'] },
  { kind: 'Ingress', namespaced: true, names: ['ingresses', 'ing'] },
  { kind: 'Gateway', namespaced: true, names: ['gateways', 'gtw'] },
  { kind: 'ClusterNetworkPolicy', namespaced: false, names: ['clusternetworkpolicies', 'cnp', 'acnp'] },
  { kind: 'AdminNetworkPolicy', namespaced: false, names: ['adminnetworkpolicies', 'anp'] },
  { kind: 'BaselineAdminNetworkPolicy', namespaced: false, names: ['baselineadminnetworkpolicies', 'banp'] },
  { kind: 'Tier', namespaced: false, names: ['tiers', 'tr'] },
  { kind: 'ClusterGroup', namespaced: false, names: ['clustergroups', 'cg'] },
  { kind: 'Group', namespaced: true, names: ['groups', 'grp'] },
  { kind: 'ExternalEntity', namespaced: true, names: ['externalentities', 'ee'] },
  { kind: 'TrafficControl', namespaced: false, names: ['trafficcontrols', 'tc'] },
  { kind: 'IDPSPolicy', namespaced: false, names: ['idpspolicies', 'idps'] },
  { kind: 'Egress', namespaced: false, names: ['egresses', 'eg'] },
  { kind: 'ExternalIPPool', namespaced: false, names: ['externalippools', 'eip'] },
  { kind: 'RuleTable', namespaced: false, names: ['ruletables', 'rt'] },
  { kind: 'AddressSet', namespaced: false, names: ['addresssets', 'addrsets', 'addrset', 'as'] },
  { kind: 'SecurityPolicy', namespaced: false, names: ['securitypolicies', 'sp'] },
  { kind: 'VirtualMachine', namespaced: false, names: ['virtualmachines', 'vms', 'vm'] },
  { kind: 'Attachment', namespaced: false, names: ['attachments', 'att'] },
];

/** Throws E_USAGE, with the nearest kind, for a name that is none. */
export function resolveKind(name: string): KindName {
  const lower = name.toLowerCase();
  const found = KINDS.find((entry) => entry.kind.toLowerCase() === lower || entry.names.includes(lower));
  if (found !== undefined) return found;
  const near = nearest(lower, KINDS.flatMap((entry) => [entry.kind.toLowerCase(), ...entry.names]));
  const hint = near === undefined ? `kinds are ${KINDS.map((entry) => entry.kind).join(', ')}` : `did you mean ${near}?`;
  throw new AgentError('E_USAGE', `no such kind ${JSON.stringify(name)}; ${hint}`);
}
