/** crd.antrea.io ClusterNetworkPolicy and NetworkPolicy at a filter, and the groups that they name. */
import type { AntreaGroupObject, AntreaPeer, AntreaPolicyObject, AntreaRule, AntreaTarget } from '../../src/model/policy-objects.js';
import type { OraclePacket } from './packet.js';
import {
  addressEntity, allPods, blockEntity, namedEntity, podEntity, podHasAccount, podIsSelected, podsOfService, selectedExternalEntities, selectedNodes, selectedPods, type Entity,
} from './policy-members.js';
import type { FilterRule } from './policy-rule.js';
import { egressMatches, ingressMatches, type Peers, type ServiceRow } from './policy-services.js';
import { namespaceLabels, namespaceOf, ofKind, podOf, selects, type Place, type PolicyFilter, type PolicyWorld } from './policy-world.js';

const TIERS: Readonly<Record<string, number>> = { emergency: 50, securityops: 100, networkops: 150, platform: 200, application: 250, baseline: 253 };
const ACTIONS = { Allow: 'accept', Drop: 'drop', Reject: 'reject', Pass: 'pass' } as const;

function policies(world: PolicyWorld): AntreaPolicyObject[] {
  return world.objects.filter((object): object is AntreaPolicyObject => object.kind === 'AntreaClusterNetworkPolicy' || object.kind === 'AntreaNetworkPolicy');
}

function tierNumber(world: PolicyWorld, tier: string): number | undefined {
  return ofKind(world, 'Tier').find((object) => object.metadata.name === tier)?.priority ?? TIERS[tier];
}

/** Undefined for a cluster policy. */
function homeOf(policy: AntreaPolicyObject): string | undefined {
  return policy.kind === 'AntreaNetworkPolicy' ? namespaceOf(policy) : undefined;
}

/** A policy whose tier or group does not exist does not act. */
export function antreaPolicyIsHeld(world: PolicyWorld, policy: AntreaPolicyObject): boolean {
  const rules = [...policy.ingress, ...policy.egress];
  const names = [...policy.appliedTo, ...rules.flatMap((rule) => [...rule.peers, ...rule.appliedTo])].flatMap(({ group }) => group ?? []);
  return tierNumber(world, policy.tier) === undefined || names.some((name) => !groupIsWhole(world, findGroup(world, name, homeOf(policy))));
}

function groupIsWhole(world: PolicyWorld, group: AntreaGroupObject | undefined): boolean {
  if (group === undefined) return false;
  return group.childGroups.every((name) => groupIsWhole(world, findGroup(world, name, groupHome(group))));
}

export function antreaRules(place: Place): FilterRule[] {
  const { world, filter, direction } = place;
  return policies(world).flatMap((policy) => {
    const rank = tierNumber(world, policy.tier);
    if (rank === undefined || antreaPolicyIsHeld(world, policy)) return [];
    const home = homeOf(policy);
    const cluster = home === undefined;
    const order = {
      section: rank >= 253 ? 'baseline' as const : 'admin' as const, rank, priority: policy.priority,
      name: cluster ? `AntreaClusterNetworkPolicy:${policy.metadata.name}` : `AntreaNetworkPolicy:${home}/${policy.metadata.name}`,
    };
    const name = { kind: cluster ? 'ClusterNetworkPolicy' : 'NetworkPolicy', group: 'crd.antrea.io', ...(cluster ? {} : { namespace: home }), name: policy.metadata.name };
    const rules = direction === 'in' ? policy.ingress : policy.egress;
    return rules.flatMap((rule): FilterRule[] => {
      const targets = rule.appliedTo.length > 0 ? rule.appliedTo : policy.appliedTo;
      if (!targets.some((target) => targetSelects(world, target, home, filter))) return [];
      return [{ order, policy: name, rule: rule.name, action: ACTIONS[rule.action], matches: matcher(place, rule, home) }];
    });
  });
}

function matcher({ world, filter, direction }: Place, rule: AntreaRule, home: string | undefined): (packet: OraclePacket) => boolean {
  if (rule.toServices.length > 0) return (packet) => rule.toServices.some((reference) => goesToService(world, reference, packet));
  const peers: Peers = rule.peers.length === 0 ? undefined : rule.peers.flatMap((peer) => peerEntities(world, peer, home, filter));
  const services = [...rule.ports, ...rule.protocols.flatMap(protocolRows)];
  return (packet) => {
    const igmp = rule.protocols.some((protocol) => 'igmp' in protocol && protocol.igmp.groupAddress !== undefined && packet.protocol === 2 && packet.destination !== protocol.igmp.groupAddress);
    if (igmp) return false;
    return direction === 'in'
      ? ingressMatches(packet, peers, services, podOf(filter)?.ports ?? [])
      : egressMatches(packet, peers, services, () => allPods(world).map(podEntity));
  };
}

/** Antrea's icmp numbers are those of ICMPv6 when the packet is IPv6. */
function protocolRows(protocol: AntreaRule['protocols'][number]): ServiceRow[] {
  if ('igmp' in protocol) return [{ protocol: 2 }];
  return [{ protocol: 1, icmp: protocol.icmp }, { protocol: 58, icmp: protocol.icmp }];
}

/** By its cluster address and one of its own ports; pods behind it are not meant. */
function goesToService(world: PolicyWorld, reference: { readonly namespace: string; readonly name: string }, packet: OraclePacket): boolean {
  const service = ofKind(world, 'Service').find((candidate) => candidate.metadata.name === reference.name && namespaceOf(candidate) === reference.namespace);
  if (service === undefined || !addressEntity(service.clusterIps).has(packet.destination)) return false;
  return service.ports.some((port) => port.protocol === packet.protocol && port.port === packet.destinationPort);
}

function peerEntities(world: PolicyWorld, peer: AntreaPeer, home: string | undefined, filter: PolicyFilter): Entity[] {
  if (peer.ipBlock !== undefined) return [blockEntity(peer.ipBlock)];
  if (peer.fqdn !== undefined) return [namedEntity(world, peer.fqdn)];
  if (peer.group !== undefined) {
    const group = findGroup(world, peer.group, home);
    return group === undefined ? [] : groupEntities(world, group);
  }
  const { serviceAccount, namespaces } = peer;
  if (serviceAccount !== undefined) return allPods(world).filter((pod) => podHasAccount(pod, serviceAccount)).map(podEntity);
  if (peer.nodeSelector !== undefined) return selectedNodes(world, peer.nodeSelector).map((node) => addressEntity(node.addresses));
  if (peer.externalEntitySelector !== undefined) {
    return selectedExternalEntities(world, peer.externalEntitySelector, peer.namespaceSelector, home).map((entity) => addressEntity(entity.addresses, entity.ports));
  }
  if (namespaces !== undefined) return scopedPods(world, namespaces, peer, filter);
  return selectedPods(world, peer, home).map(podEntity);
}

/** Seen from the filter's own pod: a workload without a Namespace has no peers of this sort. */
function scopedPods(world: PolicyWorld, scope: NonNullable<AntreaPeer['namespaces']>, peer: AntreaPeer, filter: PolicyFilter): Entity[] {
  const target = podOf(filter);
  if (target === undefined) return [];
  const own = namespaceLabels(world, namespaceOf(target));
  return allPods(world).filter((pod) => {
    if (peer.podSelector !== undefined && !selects(peer.podSelector, pod.metadata.labels)) return false;
    if ('match' in scope) return namespaceOf(pod) === namespaceOf(target);
    const theirs = namespaceLabels(world, namespaceOf(pod));
    return scope.sameLabels.every((key) => own[key] !== undefined && own[key] === theirs[key]);
  }).map(podEntity);
}

function targetSelects(world: PolicyWorld, target: AntreaTarget, home: string | undefined, filter: PolicyFilter): boolean {
  if (target.group !== undefined) {
    const group = findGroup(world, target.group, home);
    return group !== undefined && groupSelects(world, group, filter);
  }
  if (target.nodeSelector !== undefined) return filter.object?.kind === 'Node' && selects(target.nodeSelector, filter.object.metadata.labels);
  // External entities have no filter of their own, and NodePorts are none of a filter's.
  if (target.externalEntitySelector !== undefined || target.service !== undefined) return false;
  const pod = podOf(filter);
  if (pod === undefined) return false;
  return target.serviceAccount === undefined ? podIsSelected(world, pod, target, home) : podHasAccount(pod, target.serviceAccount);
}

function findGroup(world: PolicyWorld, name: string, home: string | undefined): AntreaGroupObject | undefined {
  return world.objects.find((object): object is AntreaGroupObject => {
    if (object.kind !== 'ClusterGroup' && object.kind !== 'AntreaGroup') return false;
    return object.metadata.name === name && (home === undefined ? object.kind === 'ClusterGroup' : object.kind === 'AntreaGroup' && namespaceOf(object) === home);
  });
}

function groupHome(group: AntreaGroupObject): string | undefined {
  return group.kind === 'AntreaGroup' ? namespaceOf(group) : undefined;
}

function groupEntities(world: PolicyWorld, group: AntreaGroupObject): Entity[] {
  const home = groupHome(group);
  const own: Entity[] = group.ipBlocks.map(blockEntity);
  if (group.nodeSelector !== undefined) own.push(...selectedNodes(world, group.nodeSelector).map((node) => addressEntity(node.addresses)));
  if (group.service !== undefined) own.push(...podsOfService(world, group.service).map(podEntity));
  if (group.externalEntitySelector !== undefined) {
    own.push(...selectedExternalEntities(world, group.externalEntitySelector, group.selection?.namespaceSelector, home).map((entity) => addressEntity(entity.addresses, entity.ports)));
  } else if (group.selection !== undefined) own.push(...selectedPods(world, group.selection, home).map(podEntity));
  return [...own, ...children(world, group).flatMap((child) => groupEntities(world, child))];
}

/** As appliedTo a group means workloads: its ipBlocks have no effect. */
function groupSelects(world: PolicyWorld, group: AntreaGroupObject, filter: PolicyFilter): boolean {
  if (children(world, group).some((child) => groupSelects(world, child, filter))) return true;
  if (group.nodeSelector !== undefined) return filter.object?.kind === 'Node' && selects(group.nodeSelector, filter.object.metadata.labels);
  const pod = podOf(filter);
  if (pod === undefined) return false;
  if (group.service !== undefined) return podsOfService(world, group.service).includes(pod);
  return group.externalEntitySelector === undefined && group.selection !== undefined && podIsSelected(world, pod, group.selection, groupHome(group));
}

function children(world: PolicyWorld, group: AntreaGroupObject): AntreaGroupObject[] {
  return group.childGroups.flatMap((name) => findGroup(world, name, groupHome(group)) ?? []);
}
