/** What exists: everything that selectors choose from, kept by what they ask for. Changed by one object at a time. */
import type { DesiredObject, NamespaceObject, NodeObject, PodObject, VirtualMachineObject } from '../../model/objects.js';
import type { LabelSelector } from '../../model/metadata.js';
import type { EgressObject, ExternalEntityObject, ExternalIpPoolObject, GatewayObject, IngressObject, ServiceObject } from '../../model/policy-objects.js';
import { selectorMatches, type Labels } from '../../model/selector.js';
import { getOrAdd } from './label-index.js';
import type { MemberSelector } from './ir.js';

/** Set by the API server on every Namespace. */
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

export type InventoryObject =
  | PodObject | NamespaceObject | NodeObject | VirtualMachineObject | ExternalEntityObject | ServiceObject | IngressObject | GatewayObject
  | EgressObject | ExternalIpPoolObject;
export type InventoryKind = InventoryObject['kind'];
const INVENTORY_KINDS: ReadonlySet<string> = new Set<InventoryKind>([
  'Pod', 'Namespace', 'Node', 'VirtualMachine', 'ExternalEntity', 'Service', 'Ingress', 'Gateway', 'Egress', 'ExternalIPPool',
]);

export function isInventory(object: DesiredObject): object is InventoryObject {
  return INVENTORY_KINDS.has(object.kind);
}

type OfKind<K extends InventoryKind> = Extract<InventoryObject, { readonly kind: K }>;

export class Population {
  private readonly namespaceObjects = new Map<string, NamespaceObject>();
  private readonly podsByNamespace = new Map<string, Map<string, PodObject>>();
  private readonly others = new Map<InventoryKind, Map<string, InventoryObject>>();
  private readonly bareLabels = new Map<string, Labels>();

  set(key: string, object: InventoryObject): void {
    if (object.kind === 'Pod') getOrAdd(this.podsByNamespace, namespaceOf(object), () => new Map<string, PodObject>()).set(object.metadata.name, object);
    else if (object.kind === 'Namespace') this.namespaceObjects.set(object.metadata.name, object);
    else getOrAdd(this.others, object.kind, () => new Map<string, InventoryObject>()).set(key, object);
  }

  delete(key: string, object: InventoryObject): void {
    if (object.kind === 'Pod') {
      const namespace = namespaceOf(object);
      const pods = this.podsByNamespace.get(namespace);
      pods?.delete(object.metadata.name);
      if (pods?.size === 0) this.podsByNamespace.delete(namespace);
    } else if (object.kind === 'Namespace') this.namespaceObjects.delete(object.metadata.name);
    else this.others.get(object.kind)?.delete(key);
  }

  /** Labels of a namespace; of one that has no object, what the API server would give any. */
  namespaceLabels(name: string): Labels {
    return this.namespaceObjects.get(name)?.metadata.labels ?? getOrAdd(this.bareLabels, name, () => ({ [NAMESPACE_NAME_LABEL]: name }));
  }

  hasNamespace(name: string): boolean {
    return this.namespaceObjects.has(name);
  }

  namespace(name: string): NamespaceObject | undefined {
    return this.namespaceObjects.get(name);
  }

  pod(namespace: string, name: string): PodObject | undefined {
    return this.podsByNamespace.get(namespace)?.get(name);
  }

  podsOf(namespace: string): Iterable<PodObject> {
    return this.podsByNamespace.get(namespace)?.values() ?? [];
  }

  /** Objects of one kind, Pods and Namespaces excepted. */
  *all<K extends Exclude<InventoryKind, 'Pod' | 'Namespace'>>(kind: K): Generator<OfKind<K>> {
    for (const object of this.others.get(kind)?.values() ?? []) if (isKind(object, kind)) yield object;
  }

  get<K extends Exclude<InventoryKind, 'Pod' | 'Namespace'>>(kind: K, key: string): OfKind<K> | undefined {
    const object = this.others.get(kind)?.get(key);
    return object !== undefined && isKind(object, kind) ? object : undefined;
  }

  *allPods(): Generator<PodObject> {
    for (const pods of this.podsByNamespace.values()) yield* pods.values();
  }

  *allNamespaces(): Generator<NamespaceObject> {
    yield* this.namespaceObjects.values();
  }

  /** Namespaces that have pods or an object. */
  *namespaceNames(selector: LabelSelector | undefined): Generator<string> {
    const names = new Set([...this.podsByNamespace.keys(), ...this.namespaceObjects.keys()]);
    for (const name of names) if (selector === undefined || selectorMatches(selector, this.namespaceLabels(name))) yield name;
  }

  /** Pods that a selector chooses, whether or not they have addresses. */
  *selectPods(selector: Extract<MemberSelector, { of: 'pods' }>): Generator<PodObject> {
    const namespaces = selector.namespaceSelector === undefined && selector.namespace !== undefined ? [selector.namespace] : this.namespaceNames(selector.namespaceSelector);
    for (const namespace of namespaces) {
      for (const pod of this.podsOf(namespace)) if (podMatches(selector, pod)) yield pod;
    }
  }

  *selectNodes(selector: LabelSelector): Generator<NodeObject> {
    for (const node of this.all('Node')) if (selectorMatches(selector, node.metadata.labels)) yield node;
  }

  *selectEntities(selector: Extract<MemberSelector, { of: 'externalEntities' }>): Generator<ExternalEntityObject> {
    for (const entity of this.all('ExternalEntity')) {
      if (this.inScope(selector, entity.metadata.namespace ?? 'default') && selectorMatches(selector.selector, entity.metadata.labels)) yield entity;
    }
  }

  inScope(scope: { readonly namespace?: string; readonly namespaceSelector?: LabelSelector }, namespace: string): boolean {
    if (scope.namespaceSelector !== undefined) return selectorMatches(scope.namespaceSelector, this.namespaceLabels(namespace));
    return scope.namespace === undefined || scope.namespace === namespace;
  }
}

function isKind<K extends InventoryKind>(object: InventoryObject, kind: K): object is OfKind<K> {
  return object.kind === kind;
}

export function namespaceOf(object: { readonly metadata: { readonly namespace?: string } }): string {
  return object.metadata.namespace ?? 'default';
}

/** What a selector asks of the pod itself; its namespace is the caller's to check. Pods of the node's network are nobody's peers. */
export function podMatches(selector: Extract<MemberSelector, { of: 'pods' }>, pod: PodObject): boolean {
  return pod.hostNetwork !== true
    && (selector.podSelector === undefined || selectorMatches(selector.podSelector, pod.metadata.labels))
    && (selector.serviceAccount === undefined || (pod.serviceAccount ?? 'default') === selector.serviceAccount);
}

