/** networking.k8s.io NetworkPolicy at a filter (https://kubernetes.io/docs/concepts/services-networking/network-policies/). */
import type { NetworkPolicyObject, NetworkPolicyPeer } from '../../src/model/policy-objects.js';
import { allPods, blockEntity, podEntity, podIsSelected, selectedPods, type Entity } from './policy-members.js';
import type { FilterRule } from './policy-rule.js';
import { egressMatches, ingressMatches, type Peers } from './policy-services.js';
import { namespaceOf, ofKind, podOf, type Place, type PolicyWorld } from './policy-world.js';

const POLICY_TYPE = { in: 'Ingress', out: 'Egress' } as const;

/** Policies that isolate the filter's pod in this direction. */
export function isolatingPolicies({ world, filter, direction }: Place): NetworkPolicyObject[] {
  const pod = podOf(filter);
  if (pod === undefined) return [];
  return ofKind(world, 'NetworkPolicy').filter((policy) => {
    return policy.policyTypes.includes(POLICY_TYPE[direction]) && podIsSelected(world, pod, { podSelector: policy.podSelector }, namespaceOf(policy));
  });
}

export function kubernetesRules(place: Place): FilterRule[] {
  const { world, filter, direction } = place;
  return isolatingPolicies(place).flatMap((policy) => {
    const home = namespaceOf(policy);
    const rules = direction === 'in' ? policy.ingress : policy.egress;
    return rules.map((rule, index): FilterRule => {
      const peers: Peers = rule.peers.length === 0 ? undefined : rule.peers.flatMap((peer) => peerEntities(world, peer, home));
      return {
        order: { section: 'kubernetes', rank: 0, priority: 0, name: `K8sNetworkPolicy:${home}/${policy.metadata.name}` },
        policy: { kind: 'NetworkPolicy', group: 'networking.k8s.io', namespace: home, name: policy.metadata.name },
        rule: `${direction === 'in' ? 'ingress' : 'egress'}[${index}]`,
        action: 'accept',
        matches: (packet) => direction === 'in'
          ? ingressMatches(packet, peers, rule.ports, podOf(filter)?.ports ?? [])
          : egressMatches(packet, peers, rule.ports, () => allPods(world).map(podEntity)),
      };
    });
  });
}

function peerEntities(world: PolicyWorld, peer: NetworkPolicyPeer, home: string): Entity[] {
  if (peer.ipBlock !== undefined) return [blockEntity(peer.ipBlock)];
  return selectedPods(world, peer, home).map(podEntity);
}
