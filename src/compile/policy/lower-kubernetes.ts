/** networking.k8s.io/v1 NetworkPolicy: rules only allow; being selected for a direction refuses the rest of it. */
import type { NetworkPolicyObject, NetworkPolicyPeer, NetworkPolicyRule } from '../../model/policy-objects.js';
import { podSelection, type Peer, type Policy, type Target } from './ir.js';
import type { LoweringContext } from './lowering-context.js';
import { KUBERNETES } from './order.js';
import { namespaceOf, onlyWay, peerSides, policyOf } from './policy-parts.js';
import { keyRules, type RuleDraft } from './rule-key.js';
import { portServices } from './services.js';

export function networkPolicyTargets(object: NetworkPolicyObject): readonly Target[] {
  return [{ select: { of: 'pods', namespace: namespaceOf(object), podSelector: object.podSelector } }];
}

/** Rules of a direction that `policyTypes` does not name have no effect and are left out. @throws AgentError E_INVALID */
export function lowerNetworkPolicy(object: NetworkPolicyObject, context: LoweringContext): Policy {
  const targets = networkPolicyTargets(object);
  const log = context.loggingAnnotation(namespaceOf(object));
  const isIn = object.policyTypes.includes('Ingress');
  const isOut = object.policyTypes.includes('Egress');
  const draft = (direction: 'in' | 'out', rule: NetworkPolicyRule, path: string): RuleDraft => ({
    rule: {
      ...peerSides(direction, rule.peers.length === 0 ? 'any' : rule.peers.map((peer, index) => peerOf(object, peer, `${path}[${index}]`))),
      action: 'accept', services: rule.ports.length === 0 ? 'any' : portServices(rule.ports), targets, log,
    },
  });
  const drafts = [
    ...(isIn ? object.ingress.map((rule, index) => draft('in', rule, `spec.ingress[${index}].from`)) : []),
    ...(isOut ? object.egress.map((rule, index) => draft('out', rule, `spec.egress[${index}].to`)) : []),
  ];
  return policyOf(object, KUBERNETES, 0, { in: isIn, out: isOut, targets, log }, keyRules(drafts));
}

/** A podSelector alone means the policy's namespace, a namespaceSelector alone all pods there, both together pods that satisfy both. */
function peerOf(object: NetworkPolicyObject, peer: NetworkPolicyPeer, path: string): Peer {
  const ways: Peer[] = [];
  if (peer.ipBlock !== undefined) ways.push({ ipBlock: peer.ipBlock });
  if (peer.podSelector !== undefined || peer.namespaceSelector !== undefined) ways.push({ select: podSelection(peer, namespaceOf(object)) });
  return onlyWay(ways, object, path);
}
