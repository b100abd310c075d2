/**
 * dfw.dev Group. A criterion is a list of expressions; they hold together for one entity, each about the entity itself or about
 * where it is (its Namespace, cluster, segment). The entities meant are those of the most particular object named.
 */
import type { DesiredObject } from '../../src/model/objects.js';
import type { GroupExpression, GroupObject, GroupObjectType } from '../../src/model/policy-objects.js';
import { addressEntity, allPods, podEntity, type Entity } from './policy-members.js';
import { namespaceLabels, namespaceOf, ofKind, podOf, selectsWorkload, type Labels, type PolicyFilter, type PolicyWorld, type WorkloadObject } from './policy-world.js';

interface Candidate {
  readonly type: GroupObjectType;
  /** Of every object type that may be asked about it. */
  readonly facts: Partial<Record<GroupObjectType, { readonly name: string; readonly labels: Labels }>>;
  readonly entity: Entity;
  readonly workload?: WorkloadObject;
}

function findGroup(world: PolicyWorld, name: string): GroupObject | undefined {
  return ofKind(world, 'Group').find((group) => group.metadata.name === name);
}

/** False when it, or a group inside of it, does not exist. */
export function groupIsWhole(world: PolicyWorld, name: string): boolean {
  const group = findGroup(world, name);
  return group !== undefined && group.groups.every((inner) => groupIsWhole(world, inner));
}

export function groupEntities(world: PolicyWorld, name: string): Entity[] {
  const group = findGroup(world, name);
  if (group === undefined) return [];
  return [
    addressEntity(group.addresses),
    ...candidates(world).filter((candidate) => isMember(group, candidate)).map(({ entity }) => entity),
    ...group.groups.flatMap((inner) => groupEntities(world, inner)),
  ];
}

/** Whether the filter's workload is a member; addresses are nobody's. */
export function groupHas(world: PolicyWorld, name: string, filter: PolicyFilter): boolean {
  const group = findGroup(world, name);
  if (group === undefined) return false;
  if (group.workloads.some((reference) => selectsWorkload(reference, filter.workload))) return true;
  if (group.groups.some((inner) => groupHas(world, inner, filter))) return true;
  if (filter.object?.kind === 'Pod' && podOf(filter) === undefined) return false;
  return candidates(world).some((candidate) => candidate.workload !== undefined && candidate.workload === filter.object && isMember(group, candidate));
}

function isMember(group: GroupObject, candidate: Candidate): boolean {
  const { workload } = candidate;
  if (workload !== undefined && group.workloads.some((reference) => selectsWorkload(reference, { kind: workload.kind, name: workload.metadata.name, ...(workload.kind === 'Pod' ? { namespace: namespaceOf(workload) } : {}) }))) return true;
  return group.criteria.some((criterion) => {
    return meantTypes(criterion).includes(candidate.type) && criterion.every((expression) => holds(expression, candidate));
  });
}

/** The things named; else what the places named hold: a segment its machines, a Namespace its pods, a cluster its pods and nodes. */
function meantTypes(criterion: readonly GroupExpression[]): GroupObjectType[] {
  const objects = criterion.map(({ object }) => object);
  const things = objects.filter((object) => object !== 'KubernetesCluster' && object !== 'KubernetesNamespace' && object !== 'Segment');
  if (things.length > 0) return things;
  if (objects.includes('Segment')) return ['VirtualMachine'];
  return objects.includes('KubernetesNamespace') ? ['Pod'] : ['Pod', 'KubernetesNode'];
}

function holds({ object, key, operator, values }: GroupExpression, candidate: Candidate): boolean {
  const fact = candidate.facts[object];
  if (fact === undefined) return false;
  if (key === 'Name') return operator === 'Exists' || compares(operator, [fact.name], values);
  if (operator === 'Exists') return values.length === 0 ? Object.keys(fact.labels).length > 0 : values.some((label) => fact.labels[label] !== undefined);
  // A tag is a label, read as `key=value`, or `key` where the value is empty.
  return compares(operator, Object.entries(fact.labels).map(([label, value]) => (value === '' ? label : `${label}=${value}`)), values);
}

/** One of the texts with one of the values; for the negations none with any. */
function compares(operator: GroupExpression['operator'], texts: readonly string[], values: readonly string[]): boolean {
  const some = (test: (text: string, value: string) => boolean): boolean => texts.some((text) => values.some((value) => test(text, value)));
  switch (operator) {
    case 'Equals':
    case 'In': return some((text, value) => text === value);
    case 'NotEquals':
    case 'NotIn': return !some((text, value) => text === value);
    case 'Contains': return some((text, value) => text.includes(value));
    case 'StartsWith': return some((text, value) => text.startsWith(value));
    case 'EndsWith': return some((text, value) => text.endsWith(value));
    case 'Exists': return texts.length > 0;
  }
}

function candidates(world: PolicyWorld): Candidate[] {
  const cluster = { name: world.cluster, labels: {} };
  const about = (object: DesiredObject): { name: string; labels: Labels } => ({ name: object.metadata.name, labels: object.metadata.labels });
  const namespaced = (object: DesiredObject): Candidate['facts'] => {
    const namespace = namespaceOf(object);
    return { KubernetesCluster: cluster, KubernetesNamespace: { name: namespace, labels: namespaceLabels(world, namespace) } };
  };
  return [
    ...allPods(world).map((pod): Candidate => ({ type: 'Pod', facts: { ...namespaced(pod), Pod: about(pod) }, entity: podEntity(pod), workload: pod })),
    ...ofKind(world, 'Node').map((node): Candidate => {
      return { type: 'KubernetesNode', facts: { KubernetesCluster: cluster, KubernetesNode: about(node) }, entity: addressEntity(node.addresses), workload: node };
    }),
    ...ofKind(world, 'VirtualMachine').map((machine): Candidate => ({
      type: 'VirtualMachine',
      facts: { VirtualMachine: about(machine), ...(machine.segment === undefined ? {} : { Segment: { name: machine.segment, labels: {} } }) },
      entity: addressEntity(machine.nics.flatMap((nic) => nic.addresses)),
      workload: machine,
    })),
    ...ofKind(world, 'Service').map((service): Candidate => {
      const addresses = [...service.clusterIps, ...service.externalIps, ...service.ingressIps];
      return { type: 'KubernetesService', facts: { ...namespaced(service), KubernetesService: about(service) }, entity: addressEntity(addresses) };
    }),
    ...ofKind(world, 'Ingress').map((ingress): Candidate => {
      return { type: 'KubernetesIngress', facts: { ...namespaced(ingress), KubernetesIngress: about(ingress) }, entity: addressEntity(ingress.addresses) };
    }),
    ...ofKind(world, 'Gateway').map((gateway): Candidate => {
      return { type: 'KubernetesGateway', facts: { ...namespaced(gateway), KubernetesGateway: about(gateway) }, entity: addressEntity(gateway.addresses) };
    }),
    ...ofKind(world, 'Egress').map((egress): Candidate => {
      const addresses = egress.egressIp === undefined ? [] : [egress.egressIp];
      return { type: 'AntreaEgress', facts: { KubernetesCluster: cluster, AntreaEgress: about(egress) }, entity: addressEntity(addresses) };
    }),
    ...ofKind(world, 'ExternalIPPool').map((pool): Candidate => {
      return { type: 'AntreaIPPool', facts: { KubernetesCluster: cluster, AntreaIPPool: about(pool) }, entity: addressEntity(pool.ranges) };
    }),
  ];
}
