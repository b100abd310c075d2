/**
 * Group criteria (NSX generic groups): an element is a conjunction about one object and what contains it; a group is the union of
 * its elements. Meaning: docs/groups.md. Pure functions over the population.
 */
import type { GroupExpression, GroupObjectType } from '../../model/policy-objects.js';
import type { ObjectMeta } from '../../model/metadata.js';
import type { PodObject } from '../../model/objects.js';
import type { Labels } from '../../model/selector.js';
import type { Part } from './member-sets.js';
import { namespaceOf, type InventoryKind, type Population } from './population.js';

const CONTAINERS: ReadonlySet<GroupObjectType> = new Set(['KubernetesCluster', 'KubernetesNamespace', 'Segment']);
const NAMESPACED: ReadonlySet<GroupObjectType> = new Set(['Pod', 'KubernetesService', 'KubernetesIngress', 'KubernetesGateway']);
/** On an object: the cluster that it belongs to, where that is not the agent's `cluster`. */
export const CLUSTER_LABEL = 'dfw.dev/cluster';

export type GroupElement = readonly GroupExpression[];

/** Object types whose addresses an element selects: those it names, or those inside of the containers it names. */
export function memberTypes(element: GroupElement): readonly GroupObjectType[] {
  const named = new Set(element.map(({ object }) => object).filter((type) => !CONTAINERS.has(type)));
  if (named.size > 0) return [...named];
  if (element.some(({ object }) => object === 'Segment')) return ['VirtualMachine'];
  return element.some(({ object }) => object === 'KubernetesNamespace') ? ['Pod'] : ['Pod', 'KubernetesNode'];
}

/** Why no object can meet the element; undefined when some could. */
export function elementProblem(element: GroupElement): string | undefined {
  if (element.length === 0) return 'has no expression';
  const types = new Set(element.map(({ object }) => object).filter((type) => !CONTAINERS.has(type)));
  if (types.size > 1) return `asks of one object to be ${[...types].join(' and ')}; use one element for each`;
  const [type] = types;
  const has = (container: GroupObjectType): boolean => element.some(({ object }) => object === container);
  if (has('Segment') && (has('KubernetesCluster') || has('KubernetesNamespace'))) return 'Segment holds virtual machines, not Kubernetes objects';
  if (type !== undefined && has('KubernetesNamespace') && !NAMESPACED.has(type)) return `a ${type} is in no KubernetesNamespace`;
  if (type !== undefined && has('Segment') && type !== 'VirtualMachine') return `a ${type} is in no Segment`;
  if (type === 'VirtualMachine' && has('KubernetesCluster')) return 'a VirtualMachine is in no KubernetesCluster';
  return undefined;
}

export interface CriteriaContext {
  readonly population: Population;
  /** Name of the cluster whose objects the sources hold; undefined = it has none: every name is taken to mean it. */
  readonly cluster: string | undefined;
}

/** The element's members as parts of an address set. */
export function elementParts(element: GroupElement, context: CriteriaContext): Part[] {
  const text = JSON.stringify(element);
  return memberTypes(element).map((type): Part => {
    if (type === 'Pod') return { podsWhere: (pod, labels) => podMeets(element, pod, labels, context), text };
    const kind = KIND_OF[type];
    return { computed: () => addressesOf(type, element, context), dependsOn: kind === undefined ? [] : [kind, 'Namespace'], text: `${type} ${text}` };
  });
}

const KIND_OF: Readonly<Partial<Record<GroupObjectType, Exclude<InventoryKind, 'Pod' | 'Namespace'>>>> = {
  KubernetesNode: 'Node', KubernetesService: 'Service', KubernetesIngress: 'Ingress', KubernetesGateway: 'Gateway', AntreaEgress: 'Egress',
  AntreaIPPool: 'ExternalIPPool', VirtualMachine: 'VirtualMachine',
};

export function podMeets(element: GroupElement, pod: PodObject, namespaceLabels: Labels, context: CriteriaContext): boolean {
  return memberTypes(element).includes('Pod') && element.every((expression) => {
    if (expression.object === 'Pod') return about(expression, pod.metadata);
    return inContainer(expression, pod.metadata, { name: namespaceOf(pod), labels: namespaceLabels }, context);
  });
}

/** A node, virtual machine or other object that is no pod. `segment`: of a virtual machine. */
export function objectMeets(
  element: GroupElement, type: GroupObjectType, object: { readonly metadata: ObjectMeta; readonly segment?: string }, context: CriteriaContext,
): boolean {
  const { metadata } = object;
  return memberTypes(element).includes(type) && element.every((expression) => {
    if (expression.object === type) return about(expression, metadata);
    if (expression.object === 'Segment') return object.segment !== undefined && about(expression, { name: object.segment, labels: {} });
    const namespace = metadata.namespace ?? 'default';
    return inContainer(expression, metadata, { name: namespace, labels: context.population.namespaceLabels(namespace) }, context);
  });
}

function* addressesOf(type: GroupObjectType, element: GroupElement, context: CriteriaContext): Generator<string> {
  const kind = KIND_OF[type];
  if (kind === undefined) return;
  for (const object of context.population.all(kind)) {
    if (!objectMeets(element, type, object, context)) continue;
    switch (object.kind) {
      case 'Node':
      case 'ExternalEntity':
      case 'Ingress':
      case 'Gateway': yield* object.addresses; break;
      case 'VirtualMachine': for (const nic of object.nics) yield* nic.addresses; break;
      case 'Service': yield* [...object.clusterIps, ...object.externalIps, ...object.ingressIps]; break;
      case 'Egress': if (object.egressIp !== undefined) yield object.egressIp; break;
      case 'ExternalIPPool': yield* object.ranges; break;
    }
  }
}

function inContainer(
  expression: GroupExpression, metadata: ObjectMeta, namespace: Pick<ObjectMeta, 'name' | 'labels'>, { cluster }: CriteriaContext,
): boolean {
  if (expression.object === 'KubernetesNamespace') return about(expression, namespace);
  if (expression.object !== 'KubernetesCluster') return false;
  const name = metadata.labels[CLUSTER_LABEL] ?? cluster;
  return name === undefined ? expression.key === 'Name' : about(expression, { name, labels: {} });
}

/** Does one thing meet one expression? Tags are labels; a tag or label is written `key`, `key=value`, or (Contains and such) a part of the value. */
function about(expression: GroupExpression, { name, labels }: Pick<ObjectMeta, 'name' | 'labels'>): boolean {
  const { key, operator, values } = expression;
  if (key === 'Name') return compare(operator, name, values);
  const pairs = Object.entries(labels).map(([label, value]) => (value === '' ? label : `${label}=${value}`));
  if (operator === 'Exists') return values.length === 0 ? pairs.length > 0 : values.some((wanted) => Object.hasOwn(labels, wanted));
  const positive = (text: string): boolean => pairs.some((pair) => compare(POSITIVE[operator] ?? operator, pair, [text]));
  const any = values.some(positive);
  return operator === 'NotEquals' || operator === 'NotIn' ? !any : any;
}

const POSITIVE: Readonly<Partial<Record<GroupExpression['operator'], GroupExpression['operator']>>> = { NotEquals: 'Equals', NotIn: 'In' };

function compare(operator: GroupExpression['operator'], text: string, values: readonly string[]): boolean {
  switch (operator) {
    case 'Equals':
    case 'In': return values.includes(text);
    case 'NotEquals':
    case 'NotIn': return !values.includes(text);
    case 'Contains': return values.some((value) => text.includes(value));
    case 'StartsWith': return values.some((value) => text.startsWith(value));
    case 'EndsWith': return values.some((value) => text.endsWith(value));
    case 'Exists': return true;
  }
}
