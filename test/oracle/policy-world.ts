/**
 * What the policy oracle looks at: the desired objects themselves, searched from end to end every time they are asked for.
 * Shares no code with the compiler.
 */
import type { LabelSelector } from '../../src/model/metadata.js';
import type { AttachmentObject, DesiredObject, NodeObject, PodObject, VirtualMachineObject, WorkloadReference } from '../../src/model/objects.js';
import type { PolicyObject } from '../../src/model/policy-objects.js';

export interface PolicyWorld {
  readonly objects: readonly DesiredObject[];
  /** The Node of this host. */
  readonly node: string;
  /** The KubernetesCluster that groups may name. */
  readonly cluster: string;
  /** What a filter does that nothing can be told about; default closed. */
  readonly failurePolicy?: 'closed' | 'open';
  /** What FQDNs resolved to, by lower case name; absent = nothing yet. */
  readonly names?: ReadonlyMap<string, readonly string[]>;
}

export type Labels = Readonly<Record<string, string>>;
export type WorkloadObject = PodObject | VirtualMachineObject | NodeObject;

/** One attachment and what stands behind it. `object`: absent when nobody described the workload. */
export interface PolicyFilter {
  readonly name: string;
  readonly workload: WorkloadReference;
  readonly object: WorkloadObject | undefined;
}

/** A filter that rules are looked up for, in one direction. */
export interface Place {
  readonly world: PolicyWorld;
  readonly filter: PolicyFilter;
  readonly direction: 'in' | 'out';
}

export function ofKind<K extends DesiredObject['kind']>(world: PolicyWorld, kind: K): Extract<DesiredObject, { readonly kind: K }>[] {
  return world.objects.filter((object): object is Extract<DesiredObject, { readonly kind: K }> => object.kind === kind);
}

export function filterNamed(world: PolicyWorld, attachment: string): PolicyFilter {
  const found = ofKind(world, 'Attachment').find((candidate) => candidate.metadata.name === attachment);
  if (found === undefined) throw new Error(`the oracle was asked about an attachment that is not there: ${attachment}`);
  return { name: attachment, workload: found.workload, object: workloadOf(world, found) };
}

function workloadOf(world: PolicyWorld, { workload }: AttachmentObject): WorkloadObject | undefined {
  switch (workload.kind) {
    case 'Pod': return ofKind(world, 'Pod').find((pod) => pod.metadata.name === workload.name && pod.metadata.namespace === (workload.namespace ?? 'default'));
    case 'VirtualMachine': return ofKind(world, 'VirtualMachine').find((machine) => machine.metadata.name === workload.name);
    case 'Node': return ofKind(world, 'Node').find((node) => node.metadata.name === workload.name);
  }
}

/** The pod behind a filter as policies see it; undefined for everything that pod selectors never select. */
export function podOf(filter: PolicyFilter): PodObject | undefined {
  return filter.object?.kind === 'Pod' && filter.object.hostNetwork !== true ? filter.object : undefined;
}

export function namespaceOf(object: { readonly metadata: { readonly namespace?: string } }): string {
  return object.metadata.namespace ?? 'default';
}

/** Of a namespace that nobody described: what the API server would give it. */
export function namespaceLabels(world: PolicyWorld, namespace: string): Labels {
  return ofKind(world, 'Namespace').find((object) => object.metadata.name === namespace)?.metadata.labels ?? { 'kubernetes.io/metadata.name': namespace };
}

export function selects(selector: LabelSelector, labels: Labels): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels)) {
    if (labels[key] !== value) return false;
  }
  for (const { key, operator, values } of selector.matchExpressions) {
    const value = labels[key];
    if (operator === 'Exists' && value === undefined) return false;
    if (operator === 'DoesNotExist' && value !== undefined) return false;
    if (operator === 'In' && (value === undefined || !values.includes(value))) return false;
    if (operator === 'NotIn' && value !== undefined && values.includes(value)) return false;
  }
  return true;
}

export function selectsWorkload(reference: WorkloadReference, other: WorkloadReference): boolean {
  if (reference.kind !== other.kind || reference.name !== other.name) return false;
  return reference.kind !== 'Pod' || (reference.namespace ?? 'default') === (other.namespace ?? 'default');
}

export function isPolicy(object: DesiredObject): object is PolicyObject {
  return ['NetworkPolicy', 'AntreaClusterNetworkPolicy', 'AntreaNetworkPolicy', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy', 'SecurityPolicy'].includes(object.kind);
}
