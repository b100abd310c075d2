/** dfw.dev SecurityPolicy at a filter: rules look at both ends of a packet, whichever way it goes. */
import type { SecurityEndpoint, SecurityPolicyObject, SecurityRule, SecurityService, SecurityTarget } from '../../src/model/policy-objects.js';
import { groupEntities, groupHas, groupIsWhole } from './policy-groups.js';
import { addressEntity, type Entity } from './policy-members.js';
import { hasPorts, type OraclePacket } from './packet.js';
import type { FilterRule } from './policy-rule.js';
import { ofKind, selectsWorkload, type Place, type PolicyFilter, type PolicyWorld } from './policy-world.js';

/** The ranks of categories among Antrea's tiers; Ethernet rules are about frames, which this oracle does not see. */
const RANKS: Readonly<Record<SecurityPolicyObject['category'], number | undefined>> = {
  Ethernet: undefined, Emergency: -1, Infrastructure: 99.3, Environment: 99.6, Application: 249.9,
};
const ACTIONS = { Allow: 'accept', Drop: 'drop', Reject: 'reject', Pass: 'pass' } as const;

/** A policy that names an unknown group does not act. What is disabled is as if it were not there. */
export function securityPolicyIsHeld(world: PolicyWorld, policy: SecurityPolicyObject): boolean {
  const rules = policy.disabled ? [] : policy.rules.filter(({ disabled }) => !disabled);
  if (rules.length === 0) return false;
  const uses = [...policy.appliedTo, ...rules.flatMap((rule) => [...rule.appliedTo, ...rule.sources, ...rule.destinations])];
  return uses.some(({ group }) => group !== undefined && !groupIsWhole(world, group));
}

export function securityRules({ world, filter, direction }: Place): FilterRule[] {
  return ofKind(world, 'SecurityPolicy').flatMap((policy) => {
    const rank = RANKS[policy.category];
    if (policy.disabled || rank === undefined || securityPolicyIsHeld(world, policy)) return [];
    return policy.rules.flatMap((rule): FilterRule[] => {
      if (rule.disabled || !applies(world, rule.appliedTo.length > 0 ? rule.appliedTo : policy.appliedTo, filter)) return [];
      if (rule.direction !== 'InOut' && rule.direction !== (direction === 'in' ? 'In' : 'Out')) return [];
      return [{
        order: { section: 'admin', rank, priority: policy.sequence, name: `SecurityPolicy:${policy.metadata.name}` },
        policy: { kind: 'SecurityPolicy', group: 'dfw.dev', name: policy.metadata.name },
        rule: rule.name,
        action: ACTIONS[rule.action],
        matches: matcher(world, rule),
      }];
    });
  });
}

/** An empty list of targets is every filter. */
function applies(world: PolicyWorld, targets: readonly SecurityTarget[], filter: PolicyFilter): boolean {
  if (targets.length === 0) return true;
  return targets.some((target) => {
    if (target.workload !== undefined && selectsWorkload(target.workload, filter.workload)) return true;
    return target.group !== undefined && groupHas(world, target.group, filter);
  });
}

function matcher(world: PolicyWorld, rule: SecurityRule): (packet: OraclePacket) => boolean {
  const source = side(world, rule.sources, rule.sourcesExcluded);
  const destination = side(world, rule.destinations, rule.destinationsExcluded);
  return (packet) => {
    if (rule.services.length > 0 && !rule.services.some((service) => serviceMatches(service, packet))) return false;
    return source(packet.source) && destination(packet.destination);
  };
}

function side(world: PolicyWorld, endpoints: readonly SecurityEndpoint[], excluded: boolean): (address: string) => boolean {
  if (endpoints.length === 0) return () => true;
  const entities = endpoints.flatMap((endpoint): Entity[] => [
    ...(endpoint.group === undefined ? [] : groupEntities(world, endpoint.group)),
    ...(endpoint.addresses === undefined ? [] : [addressEntity(endpoint.addresses)]),
  ]);
  return (address) => entities.some((entity) => entity.has(address)) !== excluded;
}

function serviceMatches(service: SecurityService, packet: OraclePacket): boolean {
  if (service.protocol !== undefined && service.protocol !== packet.protocol) return false;
  if (packet.protocol === 1 && packet.family !== 4) return false;
  if (packet.protocol === 58 && packet.family !== 6) return false;
  if (service.icmp !== undefined) {
    if (packet.icmpType !== service.icmp.type) return false;
    if (service.icmp.code !== undefined && packet.icmpCode !== service.icmp.code) return false;
  }
  return portMatches(service.ports, packet, packet.destinationPort) && portMatches(service.sourcePorts, packet, packet.sourcePort);
}

function portMatches(ranges: SecurityService['ports'], packet: OraclePacket, port: number | undefined): boolean {
  if (ranges.length === 0) return true;
  return hasPorts(packet.protocol) && port !== undefined && ranges.some(({ first, last }) => port >= first && port <= last);
}
