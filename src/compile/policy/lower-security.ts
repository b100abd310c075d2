/** dfw.dev SecurityPolicy: NSX's distributed firewall sections. Rules have both sides; disabled ones are as if they were not there. */
import type { AntreaAction, SecurityEndpoint, SecurityPolicyObject, SecurityRule, SecurityService, SecurityTarget } from '../../model/policy-objects.js';
import type { Peer, Policy, PolicyRule, Service, Target } from './ir.js';
import { categoryPlace } from './order.js';
import { invalid, NO_ISOLATION, onlyWay, policyOf } from './policy-parts.js';
import { keyRules, type RuleDraft } from './rule-key.js';

const ACTIONS: Readonly<Record<AntreaAction, PolicyRule['action']>> = { Allow: 'accept', Drop: 'drop', Reject: 'reject', Pass: 'pass' };
const DIRECTIONS: Readonly<Record<SecurityRule['direction'], PolicyRule['direction']>> = { In: 'in', Out: 'out', InOut: 'inout' };
const EVERYTHING: readonly Target[] = [{ everything: true }];

/** Of the rules in effect; none of a disabled policy. */
export function securityTargets(object: SecurityPolicyObject): readonly Target[] {
  const rules = effectiveRules(object).map(({ rule }) => rule);
  const own = rules.flatMap((rule) => rule.appliedTo.flatMap(targetWays));
  if (!rules.some((rule) => rule.appliedTo.length === 0)) return own;
  return [...(object.appliedTo.length === 0 ? EVERYTHING : object.appliedTo.flatMap(targetWays)), ...own];
}

/** @throws AgentError E_INVALID: category Ethernet; a target or endpoint that selects nothing; ports without a protocol. */
export function lowerSecurityPolicy(object: SecurityPolicyObject): Policy {
  const place = categoryPlace(object.category);
  if (place === undefined) throw invalid(object, 'spec.category', `category ${object.category}: use a RuleTable's layer2Rules`);
  const policyTargets = object.appliedTo.length === 0 ? EVERYTHING : targetsAt(object, object.appliedTo, 'spec.appliedTo');
  const drafts = effectiveRules(object).map(({ rule, index }): RuleDraft => {
    const path = `spec.rules[${index}]`;
    const ownTargets = rule.appliedTo.length > 0;
    const sources = sideOf(object, rule.sources, rule.sourcesExcluded, `${path}.sources`);
    const destinations = sideOf(object, rule.destinations, rule.destinationsExcluded, `${path}.destinations`);
    return {
      ...(rule.name === automaticName(index) ? {} : { name: rule.name }), ownTargets,
      rule: {
        name: rule.name, ...(rule.id === undefined ? {} : { id: rule.id }),
        direction: DIRECTIONS[rule.direction], action: ACTIONS[rule.action],
        sources: sources.peers, sourcesExcluded: sources.excluded, destinations: destinations.peers, destinationsExcluded: destinations.excluded,
        services: servicesOf(object, rule.services, `${path}.services`),
        targets: ownTargets ? targetsAt(object, rule.appliedTo, `${path}.appliedTo`) : policyTargets,
        log: rule.log, ...(rule.tag === undefined ? {} : { tag: rule.tag }),
      },
    };
  });
  return policyOf(object, place, object.sequence, NO_ISOLATION, keyRules(drafts));
}

function effectiveRules(object: SecurityPolicyObject): { readonly rule: SecurityRule; readonly index: number }[] {
  if (object.disabled) return [];
  return object.rules.map((rule, index) => ({ rule, index })).filter(({ rule }) => !rule.disabled);
}

/** The name a rule has where none is written. It says where the rule stands, so a key made of it would not survive reordering. */
function automaticName(index: number): string {
  return `rule-${index + 1}`;
}

/** Empty = any; everything but any is nothing. */
function sideOf(object: SecurityPolicyObject, endpoints: readonly SecurityEndpoint[], excluded: boolean, path: string): { readonly peers: readonly Peer[] | 'any'; readonly excluded: boolean } {
  if (endpoints.length === 0) return { peers: excluded ? [] : 'any', excluded: false };
  return { peers: endpoints.flatMap((endpoint, index) => peersOf(object, endpoint, `${path}[${index}]`)), excluded };
}

/** An endpoint with a group and addresses is either. */
function peersOf(object: SecurityPolicyObject, { group, addresses }: SecurityEndpoint, path: string): Peer[] {
  const peers: Peer[] = [];
  if (group !== undefined) peers.push({ group: { kind: 'Group', name: group } });
  if (addresses !== undefined) peers.push({ addresses });
  if (peers.length === 0) throw invalid(object, path, 'selects nothing; give a group or addresses');
  return peers;
}

function servicesOf(object: SecurityPolicyObject, services: readonly SecurityService[], path: string): readonly Service[] | 'any' {
  const rows: Service[] = [];
  let any = services.length === 0;
  for (const [index, { protocol, ports, sourcePorts, icmp }] of services.entries()) {
    if (protocol !== undefined) rows.push(icmp === undefined ? { protocol, ports, sourcePorts } : { protocol, icmp });
    else if (icmp === undefined && ports.length === 0 && sourcePorts.length === 0) any = true;
    else throw invalid(object, `${path}[${index}]`, 'gives ports or an ICMP type without a protocol');
  }
  return any ? 'any' : rows;
}

function targetsAt(object: SecurityPolicyObject, targets: readonly SecurityTarget[], path: string): Target[] {
  return targets.map((target, index) => onlyWay(targetWays(target), object, `${path}[${index}]`));
}

function targetWays({ group, workload }: SecurityTarget): Target[] {
  const ways: Target[] = [];
  if (group !== undefined) ways.push({ group: { kind: 'Group', name: group } });
  if (workload !== undefined) ways.push({ workload });
  return ways;
}
