/** Groups by name: what their members are, and which objects that depends on. */
import { AgentError } from '../../model/errors.js';
import { objectKey } from '../../model/objects.js';
import type { AntreaGroupObject, GroupObject, IpBlock, NamespacedName } from '../../model/policy-objects.js';
import type { WorkloadReference } from '../../model/objects.js';
import { elementParts, elementProblem, type CriteriaContext, type GroupElement } from './criteria.js';
import { podSelection, type GroupName, type MemberSelector } from './ir.js';
import { ipBlockMembers } from './ip-block.js';
import type { Part } from './member-sets.js';
import { memberSelectorKey } from './selector-key.js';

export type NamedGroup = AntreaGroupObject | GroupObject;

/** What a group's name stands for. */
export interface ResolvedGroup {
  /** Address set content. */
  readonly parts: readonly Part[];
  /** Workloads, for appliedTo. Addresses alone select no workload. */
  readonly selectors: readonly MemberSelector[];
  readonly elements: readonly GroupElement[];
  readonly workloads: readonly WorkloadReference[];
  /** Keys of the objects this was read from, present or not. */
  readonly dependencies: readonly string[];
}

export function groupKey({ kind, namespace, name }: GroupName): string {
  return objectKey({ kind, metadata: namespace === undefined ? { name } : { name, namespace } });
}

/** Groups of groups: Antrea allows one level; our own kind this many. */
const ANTREA_DEPTH = 1;
const OWN_DEPTH = 4;

export interface GroupLookup extends CriteriaContext {
  group(key: string): NamedGroup | undefined;
}

/**
 * @throws AgentError E_HELD when the group, or one inside of it, does not exist or is nested too deep or in a circle. `dependencies` collects
 * the keys looked at, also then: a change of one of them is the time to ask again.
 */
export function resolveGroup(name: GroupName, lookup: GroupLookup, dependencies: Set<string>): ResolvedGroup {
  const found: Collected = { parts: [], selectors: [], elements: [], workloads: [] };
  collect(name, lookup, found, dependencies, []);
  return { ...found, dependencies: [...dependencies] };
}

interface Collected {
  readonly parts: Part[];
  readonly selectors: MemberSelector[];
  readonly elements: GroupElement[];
  readonly workloads: WorkloadReference[];
}

function collect(name: GroupName, lookup: GroupLookup, found: Collected, dependencies: Set<string>, path: readonly string[]): void {
  const key = groupKey(name);
  dependencies.add(key);
  if (path.includes(key)) throw held(key, `is a member of itself: ${[...path, key].join(' > ')}`);
  const depth = name.kind === 'Group' ? OWN_DEPTH : ANTREA_DEPTH;
  if (path.length > depth) throw held(key, `is nested too deep (${[...path, key].join(' > ')}); ${depth} level${depth === 1 ? '' : 's'} of groups in groups are allowed`);
  const group = lookup.group(key);
  if (group === undefined) throw held(key, path.length === 0 ? 'does not exist' : `does not exist (member of ${path.at(-1) ?? ''})`);
  const inner = [...path, key];
  if (group.kind === 'Group') collectOwn(group, lookup, found, dependencies, inner);
  else collectAntrea(group, lookup, found, dependencies, inner);
}

function collectOwn(group: GroupObject, lookup: GroupLookup, found: Collected, dependencies: Set<string>, path: readonly string[]): void {
  for (const [index, element] of group.criteria.entries()) {
    const problem = elementProblem(element);
    if (problem !== undefined) throw held(objectKey(group), `spec.criteria[${index}] ${problem}`);
    found.elements.push(element);
    found.parts.push(...elementParts(element, lookup));
  }
  if (group.addresses.length > 0) found.parts.push({ addresses: group.addresses });
  for (const workload of group.workloads) {
    found.workloads.push(workload);
    found.parts.push(workloadPart(workload, lookup));
  }
  for (const child of group.groups) collect({ kind: 'Group', name: child }, lookup, found, dependencies, path);
}

function collectAntrea(group: AntreaGroupObject, lookup: GroupLookup, found: Collected, dependencies: Set<string>, path: readonly string[]): void {
  const { namespace } = group.metadata;
  const select = (selector: MemberSelector): void => {
    found.selectors.push(selector);
    found.parts.push(selectorPart(selector, lookup));
  };
  // Beside an externalEntitySelector it says where the entities are.
  if (group.selection !== undefined && group.externalEntitySelector === undefined) select(podSelection(group.selection, namespace));
  if (group.nodeSelector !== undefined) select({ of: 'nodes', nodeSelector: group.nodeSelector });
  if (group.externalEntitySelector !== undefined) {
    const scope = group.selection?.namespaceSelector === undefined ? (namespace === undefined ? {} : { namespace }) : { namespaceSelector: group.selection.namespaceSelector };
    select({ of: 'externalEntities', selector: group.externalEntitySelector, ...scope });
  }
  if (group.ipBlocks.length > 0) found.parts.push(ipBlocksPart(group.ipBlocks));
  if (group.service !== undefined) {
    const selector = serviceSelection(group.service, lookup, dependencies);
    if (selector !== undefined) select(selector);
  }
  for (const child of group.childGroups) {
    collect({ kind: group.kind, name: child, ...(namespace === undefined ? {} : { namespace }) }, lookup, found, dependencies, path);
  }
}

/** Pods that a Service selects; undefined when it does not exist or selects none: then it has no members, as in Antrea. */
function serviceSelection({ namespace, name }: NamespacedName, lookup: GroupLookup, dependencies: Set<string>): MemberSelector | undefined {
  const key = objectKey({ kind: 'Service', metadata: { namespace, name } });
  dependencies.add(key);
  const service = lookup.population.get('Service', key);
  return service?.selector === undefined ? undefined : { of: 'pods', namespace, podSelector: service.selector };
}

export function selectorPart(selector: MemberSelector, { population }: CriteriaContext): Part {
  switch (selector.of) {
    case 'pods': return { pods: selector };
    case 'nodes': {
      const { nodeSelector } = selector;
      return { computed: () => addresses(population.selectNodes(nodeSelector)), dependsOn: ['Node'], text: memberSelectorKey(selector) };
    }
    case 'externalEntities': return { computed: () => addresses(population.selectEntities(selector)), dependsOn: ['ExternalEntity', 'Namespace'], text: memberSelectorKey(selector) };
  }
}

export function ipBlocksPart(blocks: readonly IpBlock[]): Part {
  return { addresses: blocks.flatMap(ipBlockMembers) };
}

function workloadPart(workload: WorkloadReference, { population }: CriteriaContext): Part {
  const { kind, name } = workload;
  if (kind === 'Pod') {
    const namespace = workload.namespace ?? 'default';
    return { podsWhere: (pod) => pod.metadata.name === name && (pod.metadata.namespace ?? 'default') === namespace, text: `pod ${namespace}/${name}` };
  }
  const computed = (): Iterable<string> => {
    if (kind === 'Node') return population.get('Node', `Node/${name}`)?.addresses ?? [];
    return (population.get('VirtualMachine', `VirtualMachine/${name}`)?.nics ?? []).flatMap((nic) => nic.addresses);
  };
  return { computed, dependsOn: [kind], text: `${kind} ${name}` };
}

function* addresses(objects: Iterable<{ readonly addresses: readonly string[] }>): Generator<string> {
  for (const object of objects) yield* object.addresses;
}

function held(key: string, message: string): AgentError {
  return new AgentError('E_HELD', `${key} ${message}`, { object: key, retryable: true });
}
