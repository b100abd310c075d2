/** networking.k8s.io/v1 NetworkPolicy manifests → objects, defaults and refusals as the API server has them. */
import type { NetworkPolicyObject, NetworkPolicyPeer, NetworkPolicyRule } from '../../model/policy-objects.js';
import type { NetworkPolicyManifest, NetworkPolicyPeerManifest, NetworkPolicyRuleManifest } from './kubernetes-manifests.js';
import { decodeIpBlock } from './addresses.js';
import { NONE, checkPolicyRules, refuse, type Draft } from './checks.js';
import { decodeNamespacedMeta } from './metadata.js';
import { decodePolicyPort } from './ports.js';
import { decodeSelector } from './selectors.js';

const INGRESS: readonly 'Ingress'[] = ['Ingress'];
const EGRESS: readonly 'Egress'[] = ['Egress'];
const BOTH: readonly ('Ingress' | 'Egress')[] = ['Ingress', 'Egress'];

export function decodeNetworkPolicy(manifest: NetworkPolicyManifest): NetworkPolicyObject {
  const { podSelector } = manifest.spec;
  const ingress = manifest.spec.ingress ?? NONE;
  const egress = manifest.spec.egress ?? NONE;
  const metadata = decodeNamespacedMeta(manifest.metadata);
  if (podSelector === undefined || podSelector === null) {
    throw refuse('spec.podSelector', 'is empty; write {} to select every pod of the namespace');
  }
  checkPolicyRules(ingress.length + egress.length);
  return {
    kind: 'NetworkPolicy',
    metadata,
    podSelector: decodeSelector(podSelector, 'spec.podSelector'),
    policyTypes: policyTypes(manifest.spec.policyTypes ?? NONE, egress.length > 0),
    ingress: decodeRules(ingress, 'ingress', 'from'),
    egress: decodeRules(egress, 'egress', 'to'),
  };
}

function policyTypes(types: readonly ('Ingress' | 'Egress')[], hasEgress: boolean): readonly ('Ingress' | 'Egress')[] {
  if (types.length === 0) return hasEgress ? BOTH : INGRESS;
  if (!types.includes('Egress')) return INGRESS;
  return types.includes('Ingress') ? BOTH : EGRESS;
}

function decodeRules(rules: readonly NetworkPolicyRuleManifest[], direction: 'ingress' | 'egress', side: 'from' | 'to'): readonly NetworkPolicyRule[] {
  if (rules.length === 0) return NONE;
  return rules.map((rule, index) => {
    const path = `spec.${direction}[${index}]`;
    const peers = rule[side] ?? NONE;
    const ports = rule.ports ?? NONE;
    return {
      peers: peers.length === 0 ? NONE : peers.map((peer, place) => decodePeer(peer, `${path}.${side}[${place}]`)),
      ports: ports.length === 0 ? NONE : ports.map((port, place) => decodePolicyPort(port, `${path}.ports[${place}]`)),
    };
  });
}

function decodePeer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeerManifest, path: string): NetworkPolicyPeer {
  const peer: Draft<NetworkPolicyPeer> = {};
  if (podSelector !== undefined && podSelector !== null) peer.podSelector = decodeSelector(podSelector, `${path}.podSelector`);
  if (namespaceSelector !== undefined && namespaceSelector !== null) peer.namespaceSelector = decodeSelector(namespaceSelector, `${path}.namespaceSelector`);
  const selects = peer.podSelector !== undefined || peer.namespaceSelector !== undefined;
  if (ipBlock !== undefined && ipBlock !== null) {
    if (selects) throw refuse(path, 'ipBlock cannot be combined with a selector; make them two entries');
    return { ipBlock: decodeIpBlock(ipBlock, `${path}.ipBlock`) };
  }
  if (!selects) throw refuse(path, 'is empty; give podSelector, namespaceSelector or ipBlock');
  return peer;
}
