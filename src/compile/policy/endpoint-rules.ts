/** Which rules name a pod as a peer: by selector, scope or group. Addresses and names name nobody, "any" peer means nobody in particular. */
import type { PodObject } from '../../model/objects.js';
import { podMeets, type CriteriaContext } from './criteria.js';
import type { GroupName, Peer, Policy, PolicyRule } from './ir.js';
import type { ResolvedGroup } from './named-groups.js';
import { namespaceOf, podMatches, type Population } from './population.js';
import type { MemberSelector } from './ir.js';

export interface PeerLookup extends CriteriaContext {
  readonly population: Population;
  readonly group: (name: GroupName) => ResolvedGroup;
}

export interface NamingRule {
  readonly policy: Policy;
  readonly rule: PolicyRule;
  /** Where the pod stands: `in` = among the sources of a rule for incoming connections. */
  readonly direction: 'in' | 'out';
  /** Among the policy's rules of this direction, from 0. */
  readonly index: number;
}

/** In order of evaluation; a rule of both directions that names the pod on both sides comes twice. */
export function rulesNaming(policy: Policy, pod: PodObject, lookup: PeerLookup): NamingRule[] {
  const found: NamingRule[] = [];
  const next = { in: 0, out: 0 };
  for (const rule of policy.rules) {
    for (const direction of ['in', 'out'] as const) {
      if (rule.direction !== direction && rule.direction !== 'inout') continue;
      const index = next[direction];
      next[direction] += 1;
      const peers = direction === 'in' ? rule.sources : rule.destinations;
      const excluded = direction === 'in' ? rule.sourcesExcluded : rule.destinationsExcluded;
      if (peers !== 'any' && !excluded && peers.some((peer) => names(peer, pod, lookup))) found.push({ policy, rule, direction, index });
    }
  }
  return found;
}

function names(peer: Peer, pod: PodObject, lookup: PeerLookup): boolean {
  if ('select' in peer) return selects(peer.select, pod, lookup.population);
  const labels = lookup.population.namespaceLabels(namespaceOf(pod));
  if ('scope' in peer) {
    // The pod is a peer of those targets that are in its own namespace, or in one alike.
    const inScope = 'match' in peer.scope || peer.scope.sameLabels.every((key) => labels[key] !== undefined);
    return inScope && podMatches({ of: 'pods', ...(peer.podSelector === undefined ? {} : { podSelector: peer.podSelector }) }, pod);
  }
  if (!('group' in peer)) return false;
  const { selectors, elements, workloads } = lookup.group(peer.group);
  return selectors.some((selector) => selects(selector, pod, lookup.population))
    || elements.some((element) => podMeets(element, pod, labels, lookup))
    || workloads.some(({ kind, namespace, name }) => kind === 'Pod' && name === pod.metadata.name && (namespace ?? 'default') === namespaceOf(pod));
}

function selects(selector: MemberSelector, pod: PodObject, population: Population): boolean {
  return selector.of === 'pods' && population.inScope(selector, namespaceOf(pod)) && podMatches(selector, pod);
}
