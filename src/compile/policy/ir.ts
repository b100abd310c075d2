/**
 * What every policy kind is turned into before anything is selected: one ordered, kind-free form. One file per kind makes it
 * (lower-*.ts); the engine resolves it against what exists. Pure values.
 */
import type { IpBlock, NamespacedName, PolicyKind, PodSelection } from '../../model/policy-objects.js';
import type { LabelSelector } from '../../model/metadata.js';
import type { PolicyReference, PortRange, RuleAction } from '../../model/rule.js';
import type { Section } from '../effective.js';

export { SECTIONS, type Section } from '../effective.js';

/**
 * Where a policy stands: section, then rank (see docs/order.md: one scale for NSX categories and Antrea tiers), then priority,
 * then `name`, which makes the order total and the same on every host.
 */
export interface PolicyOrder {
  readonly section: Section;
  readonly rank: number;
  readonly priority: number;
  readonly name: string;
}

/**
 * Things that have addresses, chosen by what they are. Namespaces: absent = `namespace` (one, by name), or all of the cluster
 * when that is absent too.
 */
export type MemberSelector =
  | { readonly of: 'pods'; readonly namespace?: string; readonly namespaceSelector?: LabelSelector; readonly podSelector?: LabelSelector; readonly serviceAccount?: string }
  | { readonly of: 'nodes'; readonly nodeSelector: LabelSelector }
  | { readonly of: 'externalEntities'; readonly namespace?: string; readonly namespaceSelector?: LabelSelector; readonly selector: LabelSelector };

/** A reference to a named group; `namespace` only for an AntreaGroup. */
export interface GroupName {
  readonly kind: 'ClusterGroup' | 'AntreaGroup' | 'Group';
  readonly namespace?: string;
  readonly name: string;
}

/** Relative to each target: peers in its own Namespace, or in those with equal values for all these labels. */
export type NamespaceScope = { readonly match: 'Self' } | { readonly sameLabels: readonly string[] };

export type Peer =
  | { readonly select: MemberSelector }
  | { readonly scope: NamespaceScope; readonly podSelector?: LabelSelector }
  | { readonly group: GroupName }
  | { readonly ipBlock: IpBlock }
  /** Canonical hosts, prefixes and ranges. */
  | { readonly addresses: readonly string[] }
  | { readonly fqdn: string }
  | { readonly service: NamespacedName };

/** One row of what a rule matches besides addresses. */
export type Service =
  | { readonly protocol: number; readonly ports: readonly PortRange[]; readonly sourcePorts: readonly PortRange[] }
  /** A port by name: the number that pods give it. Without a protocol: that of the pod's port. */
  | { readonly namedPort: string; readonly protocol?: number; readonly sourcePorts: readonly PortRange[] }
  | { readonly protocol: number; readonly icmp: { readonly type: number; readonly code?: number } };

export type Target =
  | { readonly select: MemberSelector }
  | { readonly group: GroupName }
  | { readonly workload: { readonly kind: 'Pod' | 'VirtualMachine' | 'Node'; readonly namespace?: string; readonly name: string } }
  | { readonly everything: true };

export interface PolicyRule {
  /** Stable and unique in the policy: what numeric ids hang on. Survives reordering. */
  readonly key: string;
  /** The name users see; absent where the kind has none. */
  readonly name?: string;
  /** A number that the user chose. */
  readonly id?: number;
  readonly direction: 'in' | 'out' | 'inout';
  readonly action: RuleAction;
  /** 'any', or the union of these; an empty list matches nothing. */
  readonly sources: readonly Peer[] | 'any';
  readonly sourcesExcluded: boolean;
  readonly destinations: readonly Peer[] | 'any';
  readonly destinationsExcluded: boolean;
  readonly services: readonly Service[] | 'any';
  /** Filters that have this rule (a union). */
  readonly targets: readonly Target[];
  readonly log: boolean;
  readonly tag?: string;
}

export interface Policy {
  /** Key of the object it was made of (objectKey). */
  readonly key: string;
  readonly kind: PolicyKind;
  readonly reference: PolicyReference;
  readonly order: PolicyOrder;
  /** Kubernetes: filters that these targets select refuse, in that direction, what no rule of section `kubernetes` allows. */
  readonly isolates: { readonly in: boolean; readonly out: boolean; readonly targets: readonly Target[]; readonly log: boolean };
  /** In order of evaluation. */
  readonly rules: readonly PolicyRule[];
}

/** A Pod's selection as a MemberSelector: absent selectors as the Kubernetes API means them in a peer of `namespace`. */
export function podSelection(selection: PodSelection, namespace: string | undefined): MemberSelector {
  const { podSelector, namespaceSelector } = selection;
  return {
    of: 'pods',
    ...(namespaceSelector === undefined ? (namespace === undefined ? {} : { namespace }) : { namespaceSelector }),
    ...(podSelector === undefined ? {} : { podSelector }),
  };
}
