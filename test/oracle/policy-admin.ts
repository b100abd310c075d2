/** policy.networking.k8s.io: AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy at a filter. */
import type { AdminPeer, AdminPolicyObject, AdminPort, AdminSubject } from '../../src/model/policy-objects.js';
import { addressEntity, allPods, namedEntity, podEntity, podIsSelected, selectedNodes, selectedPods, type Entity } from './policy-members.js';
import type { FilterRule, Section } from './policy-rule.js';
import { egressMatches, ingressMatches, type Peers, type ServiceRow } from './policy-services.js';
import { podOf, type Place, type PolicyFilter, type PolicyWorld } from './policy-world.js';

const ACTIONS = { Allow: 'accept', Drop: 'drop', Pass: 'pass' } as const;

export function adminRules({ world, filter, direction }: Place): FilterRule[] {
  const policies = world.objects.filter((object): object is AdminPolicyObject => {
    return object.kind === 'AdminNetworkPolicy' || object.kind === 'BaselineAdminNetworkPolicy' || object.kind === 'ClusterNetworkPolicy';
  });
  return policies.filter(({ subject }) => subjectSelects(world, subject, filter)).flatMap((policy) => {
    const rules = direction === 'in' ? policy.ingress : policy.egress;
    return rules.map((rule, index): FilterRule => {
      const peers: Peers = rule.peers.length === 0 ? undefined : rule.peers.flatMap((peer) => peerEntities(world, peer));
      const services = rule.ports.map(portRow);
      return {
        order: { ...standing(policy), priority: policy.priority, name: `${policy.kind}:${policy.metadata.name}` },
        policy: { kind: policy.kind, group: 'policy.networking.k8s.io', name: policy.metadata.name },
        rule: rule.name === '' ? `${direction === 'in' ? 'ingress' : 'egress'}[${index}]` : rule.name,
        action: ACTIONS[rule.action],
        matches: (packet) => direction === 'in'
          ? ingressMatches(packet, peers, services, podOf(filter)?.ports ?? [])
          : egressMatches(packet, peers, services, () => allPods(world).map(podEntity)),
      };
    });
  });
}

function standing(policy: AdminPolicyObject): { section: Section; rank: number } {
  if (policy.tier === 'Baseline') return { section: 'baseline', rank: 254 };
  return { section: 'admin', rank: policy.kind === 'ClusterNetworkPolicy' ? 220 : 251 };
}

function subjectSelects(world: PolicyWorld, subject: AdminSubject, filter: PolicyFilter): boolean {
  const pod = podOf(filter);
  if (pod === undefined) return false;
  if (subject.namespaces !== undefined) return podIsSelected(world, pod, { namespaceSelector: subject.namespaces }, undefined);
  return subject.pods !== undefined && podIsSelected(world, pod, subject.pods, undefined);
}

function peerEntities(world: PolicyWorld, peer: AdminPeer): Entity[] {
  if (peer.networks !== undefined) return [addressEntity(peer.networks)];
  if (peer.domainNames !== undefined) return peer.domainNames.map((name) => namedEntity(world, name));
  if (peer.nodes !== undefined) return selectedNodes(world, peer.nodes).map((node) => addressEntity(node.addresses));
  if (peer.namespaces !== undefined) return selectedPods(world, { namespaceSelector: peer.namespaces }, undefined).map(podEntity);
  return peer.pods === undefined ? [] : selectedPods(world, peer.pods, undefined).map(podEntity);
}

function portRow(port: AdminPort): ServiceRow {
  return 'namedPort' in port ? { port: port.namedPort } : port;
}
