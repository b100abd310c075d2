/**
 * policy.networking.k8s.io: AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1), ClusterNetworkPolicy (v1alpha2). Nobody is
 * isolated by being selected; rules are read in order.
 */
import type { AdminPeer, AdminPolicyObject, AdminPort, AdminRule, AdminSubject } from '../../model/policy-objects.js';
import type { MemberSelector, Peer, Policy, PolicyRule, Service, Target } from './ir.js';
import { adminPlace } from './order.js';
import { invalid, NO_ISOLATION, onlyWay, peerSides, policyOf } from './policy-parts.js';
import { keyRules, type RuleDraft } from './rule-key.js';
import { portServices } from './services.js';

const ACTIONS: Readonly<Record<AdminRule['action'], PolicyRule['action']>> = { Allow: 'accept', Drop: 'drop', Pass: 'pass' };

/** None where the subject says nothing, which lowering refuses. */
export function adminTargets({ subject }: AdminPolicyObject): readonly Target[] {
  return subjectSelectors(subject).map((select) => ({ select }));
}

/** @throws AgentError E_INVALID: no subject, a peer that selects nothing, Pass in a BaselineAdminNetworkPolicy. */
export function lowerAdminPolicy(object: AdminPolicyObject): Policy {
  const targets = [onlyWay(adminTargets(object), object, 'spec.subject')];
  const draft = (direction: 'in' | 'out', rule: AdminRule, path: string): RuleDraft => {
    if (object.kind === 'BaselineAdminNetworkPolicy' && rule.action === 'Pass') {
      throw invalid(object, `${path}.action`, 'a BaselineAdminNetworkPolicy has no Pass: nothing comes after it');
    }
    return {
      ...(rule.name === '' ? {} : { name: rule.name }),
      rule: {
        ...(rule.name === '' ? {} : { name: rule.name }),
        ...peerSides(direction, rulePeers(object, rule, `${path}.${direction === 'in' ? 'from' : 'to'}`)),
        action: ACTIONS[rule.action], services: rule.ports.length === 0 ? 'any' : adminServices(rule.ports), targets, log: false,
      },
    };
  };
  const drafts = [
    ...object.ingress.map((rule, index) => draft('in', rule, `spec.ingress[${index}]`)),
    ...object.egress.map((rule, index) => draft('out', rule, `spec.egress[${index}]`)),
  ];
  return policyOf(object, adminPlace(object), object.priority, NO_ISOLATION, keyRules(drafts));
}

/** The API wants at least one peer, and one that implementations do not know to fail closed: none of both is guessed. */
function rulePeers(object: AdminPolicyObject, rule: AdminRule, path: string): Peer[] {
  if (rule.peers.length === 0) throw invalid(object, path, 'names no peers; to mean all addresses give the networks 0.0.0.0/0 and ::/0');
  return rule.peers.flatMap((peer, index) => onlyWay(peerWays(peer), object, `${path}[${index}]`));
}

/** Each way to select as the peers that it stands for. */
function peerWays(peer: AdminPeer): Peer[][] {
  const ways: Peer[][] = subjectSelectors(peer).map((select) => [{ select }]);
  if (peer.nodes !== undefined) ways.push([{ select: { of: 'nodes', nodeSelector: peer.nodes } }]);
  if (peer.networks !== undefined) ways.push([{ addresses: peer.networks }]);
  if (peer.domainNames !== undefined) ways.push(peer.domainNames.map((fqdn) => ({ fqdn })));
  return ways;
}

function subjectSelectors({ namespaces, pods }: AdminSubject): MemberSelector[] {
  const selectors: MemberSelector[] = [];
  if (namespaces !== undefined) selectors.push({ of: 'pods', namespaceSelector: namespaces });
  if (pods !== undefined) selectors.push({ of: 'pods', ...pods });
  return selectors;
}

function adminServices(ports: readonly AdminPort[]): Service[] {
  const named = new Set(ports.flatMap((port) => ('namedPort' in port ? [port.namedPort] : [])));
  return [
    ...portServices(ports.flatMap((port) => ('namedPort' in port ? [] : [port]))),
    ...[...named].map((namedPort) => ({ namedPort, sourcePorts: [] })),
  ];
}
