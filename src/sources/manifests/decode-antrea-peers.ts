/** Whom an Antrea policy applies to, and whom its rules name. */
import type { AntreaPeer, AntreaTarget } from '../../model/policy-objects.js';
import type { AntreaPeerManifest, AntreaTargetManifest } from './antrea-manifests.js';
import { domainPatternProblem, labelKeyProblem, subdomainProblem } from '../../model/names.js';
import { decodeIpBlock } from './addresses.js';
import { NONE, exactlyOne, fieldsPresent, refuse, refuseIf, type Draft } from './checks.js';
import { decodeNamespacedName } from './metadata.js';
import { decodeOptionalSelector } from './selectors.js';

/** A policy of the cluster, or of one namespace: then it cannot reach for others. */
export interface PolicyScope { readonly namespace: string | undefined }

export function scopeOf(namespace: string | undefined): PolicyScope {
  return { namespace };
}

const TARGET_FIELDS = ['podSelector', 'namespaceSelector', 'externalEntitySelector', 'nodeSelector', 'group', 'serviceAccount', 'service'] as const;
const PEER_FIELDS = [
  'podSelector', 'namespaceSelector', 'externalEntitySelector', 'nodeSelector', 'ipBlock', 'group', 'serviceAccount', 'fqdn', 'namespaces',
] as const;
/** Fields that stand alone. */
const ALONE: ReadonlySet<string> = new Set(['nodeSelector', 'ipBlock', 'group', 'serviceAccount', 'service', 'fqdn']);

export function decodeTargets(targets: readonly AntreaTargetManifest[] | null | undefined, path: string, scope: PolicyScope): readonly AntreaTarget[] {
  if (targets === undefined || targets === null || targets.length === 0) return NONE;
  return targets.map((target, index) => decodeTarget(target, `${path}[${index}]`, scope));
}

function decodeTarget(manifest: AntreaTargetManifest, path: string, scope: PolicyScope): AntreaTarget {
  const present = fieldsPresent(manifest, TARGET_FIELDS);
  checkCombination(present, path);
  if (present.includes('service')) {
    throw refuse(`${path}.service`, 'a policy that applies to a Service (its NodePort) is not supported by this version; apply it to the pods behind the Service');
  }
  if (scope.namespace !== undefined) {
    for (const field of ['namespaceSelector', 'nodeSelector', 'serviceAccount'] as const) {
      if (present.includes(field)) throw refuse(`${path}.${field}`, `a NetworkPolicy applies to its own namespace only, so its appliedTo has no ${field}; use a ClusterNetworkPolicy`);
    }
  }
  return decodeSelections(manifest, path);
}

export function decodePeers(
  peers: readonly AntreaPeerManifest[] | null | undefined, path: string, direction: 'ingress' | 'egress', scope: PolicyScope,
): readonly AntreaPeer[] {
  if (peers === undefined || peers === null || peers.length === 0) return NONE;
  return peers.map((peer, index) => decodePeer(peer, `${path}[${index}]`, direction, scope));
}

function decodePeer(manifest: AntreaPeerManifest, path: string, direction: 'ingress' | 'egress', scope: PolicyScope): AntreaPeer {
  const present = fieldsPresent(manifest, PEER_FIELDS);
  if (manifest.scope === 'ClusterSet') throw refuse(`${path}.scope`, 'peers in other clusters (ClusterSet) are not supported by this version');
  checkCombination(present, path);
  if (scope.namespace !== undefined) {
    for (const field of ['namespaces', 'serviceAccount'] as const) {
      if (present.includes(field)) throw refuse(`${path}.${field}`, `a NetworkPolicy has no ${field} in its peers; use a ClusterNetworkPolicy`);
    }
  }
  const peer: Draft<AntreaPeer> = decodeSelections(manifest, path);
  const { ipBlock, fqdn, namespaces } = manifest;
  if (ipBlock !== undefined && ipBlock !== null) peer.ipBlock = decodeIpBlock(ipBlock, `${path}.ipBlock`);
  if (fqdn !== undefined && fqdn !== null) {
    if (direction === 'ingress') throw refuse(`${path}.fqdn`, 'only egress rules can name domains: addresses of clients have no name that could be trusted');
    const name = fqdn.toLowerCase().replace(/\.$/, '');
    refuseIf(domainPatternProblem(name), `${path}.fqdn`);
    peer.fqdn = name;
  }
  if (namespaces !== undefined && namespaces !== null) peer.namespaces = decodeNamespaces(namespaces, `${path}.namespaces`);
  return peer;
}

function decodeNamespaces(manifest: NonNullable<AntreaPeerManifest['namespaces']>, path: string): NonNullable<AntreaPeer['namespaces']> {
  exactlyOne(manifest, ['match', 'sameLabels'], path);
  const { sameLabels } = manifest;
  if (sameLabels === undefined || sameLabels === null) return { match: 'Self' };
  if (sameLabels.length === 0) throw refuse(`${path}.sameLabels`, 'is empty; give at least one label key');
  for (const [index, key] of sameLabels.entries()) refuseIf(labelKeyProblem(key), `${path}.sameLabels[${index}]`);
  return { sameLabels };
}

type Selections = Pick<AntreaTarget, 'podSelector' | 'namespaceSelector' | 'externalEntitySelector' | 'nodeSelector' | 'group' | 'serviceAccount'>;

/** What targets and peers have in common. */
function decodeSelections(manifest: Pick<AntreaTargetManifest, keyof Selections>, path: string): Draft<Selections> {
  const result: Draft<Selections> = {};
  for (const field of ['podSelector', 'namespaceSelector', 'externalEntitySelector', 'nodeSelector'] as const) {
    const selector = decodeOptionalSelector(manifest[field], `${path}.${field}`);
    if (selector !== undefined) result[field] = selector;
  }
  const { group, serviceAccount } = manifest;
  if (group !== undefined && group !== null) {
    refuseIf(subdomainProblem(group, 'group name'), `${path}.group`);
    result.group = group;
  }
  if (serviceAccount !== undefined && serviceAccount !== null) result.serviceAccount = decodeNamespacedName(serviceAccount, `${path}.serviceAccount`);
  return result;
}

function checkCombination(present: readonly string[], path: string): void {
  if (present.length === 0) throw refuse(path, 'is empty; say what it selects ({} as a podSelector is every pod)');
  const alone = present.find((field) => ALONE.has(field));
  const other = present.find((field) => field !== alone);
  if (alone !== undefined && other !== undefined) throw refuse(`${path}.${alone}`, `cannot be combined with ${other}; make them two entries`);
  refusePair(present, 'namespaces', 'namespaceSelector', path);
  refusePair(present, 'namespaces', 'externalEntitySelector', path);
  refusePair(present, 'externalEntitySelector', 'podSelector', path);
}

function refusePair(present: readonly string[], one: string, other: string, path: string): void {
  if (present.includes(one) && present.includes(other)) throw refuse(`${path}.${one}`, `cannot be combined with ${other}`);
}
