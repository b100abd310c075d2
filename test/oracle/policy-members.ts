/** Peers as entities: anything that has addresses, and for pods and external entities their named ports. */
import type { LabelSelector } from '../../src/model/metadata.js';
import type { NodeObject, PodObject } from '../../src/model/objects.js';
import type { ExternalEntityObject, IpBlock, PodSelection, ServiceReference } from '../../src/model/policy-objects.js';
import { contains, parseAddress, parseLiteral } from './addresses.js';
import { namespaceLabels, namespaceOf, ofKind, selects, type PolicyWorld } from './policy-world.js';

export interface NamedPort { readonly name: string; readonly protocol: number; readonly port: number }

export interface Entity {
  has(address: string): boolean;
  readonly ports: readonly NamedPort[];
}

export function addressEntity(addresses: readonly string[], ports: readonly NamedPort[] = []): Entity {
  const ranges = addresses.map(parseLiteral);
  return {
    has: (address) => {
      const { kind, value } = parseAddress(address);
      return ranges.some((range) => range.kind === kind && value >= range.first && value <= range.last);
    },
    ports,
  };
}

export function blockEntity({ cidr, except }: IpBlock): Entity {
  const [block, holes] = [parseLiteral(cidr), except.map(parseLiteral)];
  return { has: (address) => contains(block, address) && !holes.some((hole) => contains(hole, address)), ports: [] };
}

export function podEntity(pod: PodObject): Entity {
  return addressEntity(pod.addresses, pod.ports);
}

/** Pods that policies can mean: those of the host's own network are none. */
export function allPods(world: PolicyWorld): PodObject[] {
  return ofKind(world, 'Pod').filter((pod) => pod.hostNetwork !== true);
}

/** `home`: the namespace that a selection without namespaceSelector is about; undefined = all. */
export function podIsSelected(world: PolicyWorld, pod: PodObject, selection: PodSelection, home: string | undefined): boolean {
  const namespace = namespaceOf(pod);
  if (selection.namespaceSelector !== undefined) {
    if (!selects(selection.namespaceSelector, namespaceLabels(world, namespace))) return false;
  } else if (home !== undefined && namespace !== home) return false;
  return selection.podSelector === undefined || selects(selection.podSelector, pod.metadata.labels);
}

export function selectedPods(world: PolicyWorld, selection: PodSelection, home: string | undefined): PodObject[] {
  return allPods(world).filter((pod) => podIsSelected(world, pod, selection, home));
}

export function podHasAccount(pod: PodObject, account: { readonly namespace: string; readonly name: string }): boolean {
  return namespaceOf(pod) === account.namespace && (pod.serviceAccount ?? 'default') === account.name;
}

export function selectedNodes(world: PolicyWorld, selector: LabelSelector): NodeObject[] {
  return ofKind(world, 'Node').filter((node) => selects(selector, node.metadata.labels));
}

export function selectedExternalEntities(world: PolicyWorld, selector: LabelSelector, namespaceSelector: LabelSelector | undefined, home: string | undefined): ExternalEntityObject[] {
  return ofKind(world, 'ExternalEntity').filter((entity) => {
    const namespace = namespaceOf(entity);
    if (namespaceSelector !== undefined) {
      if (!selects(namespaceSelector, namespaceLabels(world, namespace))) return false;
    } else if (home !== undefined && namespace !== home) return false;
    return selects(selector, entity.metadata.labels);
  });
}

/** Pods behind a Service; none without a selector, or without the Service. */
export function podsOfService(world: PolicyWorld, reference: ServiceReference): PodObject[] {
  const service = ofKind(world, 'Service').find((candidate) => candidate.metadata.name === reference.name && namespaceOf(candidate) === reference.namespace);
  const selector = service?.selector;
  if (selector === undefined) return [];
  return allPods(world).filter((pod) => namespaceOf(pod) === reference.namespace && selects(selector, pod.metadata.labels));
}

/** Addresses of names as they resolved; `*` stands for any text. */
export function namedEntity(world: PolicyWorld, fqdn: string): Entity {
  const pattern = new RegExp(`^${fqdn.toLowerCase().split('*').map((part) => part.replaceAll(/[.?+^$()[\]{}|\\]/g, '\\$&')).join('.*')}$`);
  return addressEntity([...(world.names ?? [])].flatMap(([name, addresses]) => (pattern.test(name) ? addresses : [])));
}
