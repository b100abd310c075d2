/**
 * crd.antrea.io ClusterNetworkPolicy and NetworkPolicy. Nobody is isolated by being selected; rules are read in order, and ingress
 * and egress are judged apart. What differs from Antrea is in docs/order.md.
 */
import { AgentError } from '../../model/errors.js';
import { objectKey } from '../../model/objects.js';
import type { AntreaAction, AntreaPeer, AntreaPolicyObject, AntreaRule, AntreaTarget } from '../../model/policy-objects.js';
import { nearest } from '../../model/nearest.js';
import { quote } from '../../model/quote.js';
import { BUILT_IN_TIERS } from '../../model/tiers.js';
import { protocolServices } from './antrea-protocols.js';
import { podSelection, type GroupName, type MemberSelector, type Peer, type Policy, type PolicyRule, type Target } from './ir.js';
import type { LoweringContext } from './lowering-context.js';
import { tierPlace } from './order.js';
import { invalid, namespaceOf, NO_ISOLATION, onlyWay, peerSides, policyOf } from './policy-parts.js';
import { keyRules, type RuleDraft } from './rule-key.js';
import { portServices } from './services.js';

const ACTIONS: Readonly<Record<AntreaAction, PolicyRule['action']>> = { Allow: 'accept', Drop: 'drop', Reject: 'reject', Pass: 'pass' };

/** Of the policy and of all its rules. */
export function antreaTargets(object: AntreaPolicyObject): readonly Target[] {
  return [object.appliedTo, ...[...object.ingress, ...object.egress].map((rule) => rule.appliedTo)].flat().flatMap((target) => targetWays(object, target));
}

/** @throws AgentError E_HELD: unknown tier. E_INVALID: Pass in the baseline tier; what selects nothing; what cannot be enforced here. */
export function lowerAntreaPolicy(object: AntreaPolicyObject, context: LoweringContext): Policy {
  const number = context.tierPriority(object.tier);
  if (number === undefined) throw unknownTier(object);
  const place = tierPlace(object.tier, number);
  const policyTargets = targetsAt(object, object.appliedTo, 'spec.appliedTo');
  const drafts = (direction: 'in' | 'out', rules: readonly AntreaRule[], list: string): RuleDraft[] => rules.flatMap((rule, index) => {
    const path = `${list}[${index}]`;
    if (place.section === 'baseline' && rule.action === 'Pass') throw invalid(object, `${path}.action`, 'Pass in the baseline tier: nothing comes after it');
    const own = rule.appliedTo.length > 0;
    return ruleDrafts(object, direction, rule, own ? targetsAt(object, rule.appliedTo, `${path}.appliedTo`) : policyTargets, own, path);
  });
  return policyOf(object, place, object.priority, NO_ISOLATION, keyRules([
    ...drafts('in', object.ingress, 'spec.ingress'), ...drafts('out', object.egress, 'spec.egress'),
  ]));
}

function unknownTier(object: AntreaPolicyObject): AgentError {
  const near = nearest(object.tier, BUILT_IN_TIERS.keys());
  const hint = near === undefined ? 'make a Tier of this name first' : `did you mean ${quote(near)}?`;
  return new AgentError('E_HELD', `there is no tier ${quote(object.tier)}; ${hint}`, { object: objectKey(object), path: 'spec.tier' });
}

/** Mostly one. IGMP for a certain group is a rule of its own: the group is the destination, whatever the direction. */
function ruleDrafts(object: AntreaPolicyObject, direction: 'in' | 'out', rule: AntreaRule, targets: readonly Target[], ownTargets: boolean, path: string): RuleDraft[] {
  const protocols = protocolServices(rule.protocols);
  if (protocols === undefined) throw invalid(object, `${path}.protocols`, 'an icmpCode without an icmpType cannot be matched');
  const common = {
    name: rule.name, action: ACTIONS[rule.action], targets, log: rule.log, ...(rule.logLabel === undefined ? {} : { tag: rule.logLabel }),
  };
  const sides = peerSides(direction, rulePeers(object, direction, rule, path));
  const services = [...portServices(rule.ports), ...protocols.services];
  const anyService = rule.ports.length === 0 && rule.protocols.length === 0;
  const drafts: RuleDraft[] = [];
  if (anyService || services.length > 0) drafts.push({ name: rule.name, ownTargets, rule: { ...common, ...sides, services: anyService ? 'any' : services } });
  if (protocols.groups !== undefined) {
    const destinations: Peer[] = [{ addresses: protocols.groups.addresses }];
    drafts.push({ name: drafts.length === 0 ? rule.name : `${rule.name}#igmp`, ownTargets, rule: { ...common, ...sides, destinations, services: protocols.groups.services } });
  }
  return drafts;
}

function rulePeers(object: AntreaPolicyObject, direction: 'in' | 'out', rule: AntreaRule, path: string): readonly Peer[] | 'any' {
  if (rule.toServices.length > 0) {
    // Where the host translates Service addresses before the filter sees them, such a rule matches nothing: an Allow then only admits less.
    if (rule.action !== 'Allow') {
      throw invalid(object, `${path}.toServices`, `${rule.action} by Service cannot be relied on here: Service addresses are translated before the filter; use a peer group with a serviceReference`);
    }
    return rule.toServices.map((service) => ({ service }));
  }
  if (rule.peers.length === 0) return 'any';
  const list = `${path}.${direction === 'in' ? 'from' : 'to'}`;
  return rule.peers.map((peer, index) => onlyWay(peerWays(object, peer), object, `${list}[${index}]`));
}

function peerWays(object: AntreaPolicyObject, peer: AntreaPeer): Peer[] {
  const ways: Peer[] = memberWays(object, peer, peer.namespaces !== undefined).map((select) => ({ select }));
  if (peer.namespaces !== undefined) ways.push({ scope: peer.namespaces, ...(peer.podSelector === undefined ? {} : { podSelector: peer.podSelector }) });
  if (peer.ipBlock !== undefined) ways.push({ ipBlock: peer.ipBlock });
  if (peer.group !== undefined) ways.push({ group: groupName(object, peer.group) });
  if (peer.fqdn !== undefined) ways.push({ fqdn: peer.fqdn });
  return ways;
}

function targetsAt(object: AntreaPolicyObject, targets: readonly AntreaTarget[], path: string): Target[] {
  return targets.map((target, index) => {
    if (target.service !== undefined) {
      throw invalid(object, `${path}[${index}].service`, 'appliedTo.service (a NodePort) is not enforced at the interface of a workload; select the workloads instead');
    }
    return onlyWay(targetWays(object, target), object, `${path}[${index}]`);
  });
}

function targetWays(object: AntreaPolicyObject, target: AntreaTarget): Target[] {
  const ways: Target[] = memberWays(object, target, false).map((select) => ({ select }));
  if (target.group !== undefined) ways.push({ group: groupName(object, target.group) });
  return ways;
}

/** `scoped`: a podSelector belongs to `namespaces`. Selectors of a namespaced policy stay in its namespace unless they select namespaces. */
function memberWays(object: AntreaPolicyObject, by: Omit<AntreaTarget, 'group' | 'service'>, scoped: boolean): MemberSelector[] {
  const namespace = object.kind === 'AntreaNetworkPolicy' ? namespaceOf(object) : undefined;
  const { podSelector, namespaceSelector, externalEntitySelector, nodeSelector, serviceAccount } = by;
  const ways: MemberSelector[] = [];
  if (externalEntitySelector !== undefined) {
    const where = namespaceSelector === undefined ? (namespace === undefined ? {} : { namespace }) : { namespaceSelector };
    ways.push({ of: 'externalEntities', ...where, selector: externalEntitySelector });
  }
  const ofPods = (podSelector !== undefined && !scoped) || (namespaceSelector !== undefined && externalEntitySelector === undefined);
  if (ofPods) ways.push(podSelection(by, namespace));
  if (nodeSelector !== undefined) ways.push({ of: 'nodes', nodeSelector });
  if (serviceAccount !== undefined) ways.push({ of: 'pods', namespace: serviceAccount.namespace, serviceAccount: serviceAccount.name });
  return ways;
}

/** Group names of a namespaced policy are of its namespace. */
function groupName(object: AntreaPolicyObject, name: string): GroupName {
  return object.kind === 'AntreaNetworkPolicy' ? { kind: 'AntreaGroup', namespace: namespaceOf(object), name } : { kind: 'ClusterGroup', name };
}
