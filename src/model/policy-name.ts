/** How policies are called in listings: the kind as Antrea names it, and the object: `K8sNetworkPolicy:default/web`. */
import { POLICY_KINDS, type PolicyKind } from './policy-objects.js';
import type { PolicyReference } from './rule.js';

/** Unique among all policies. */
export function policyName(kind: PolicyKind, { namespace, name }: { readonly namespace?: string; readonly name: string }): string {
  return prefixed(POLICY_KINDS[kind].prefix, namespace, name);
}

/** As policyName, of a reference; a kind that is none of ours stands for itself. */
export function referenceName({ kind, group, namespace, name }: PolicyReference): string {
  const known = Object.values(POLICY_KINDS).find((entry) => entry.kind === kind && entry.group === group);
  return prefixed(known?.prefix ?? kind, namespace, name);
}

/** `AntreaClusterNetworkPolicy:acnp1 allow-web`; the policy alone where its rules have no names. */
export function policyRuleName(reference: PolicyReference): string {
  return reference.rule === undefined ? referenceName(reference) : `${referenceName(reference)} ${reference.rule}`;
}

function prefixed(prefix: string, namespace: string | undefined, name: string): string {
  return namespace === undefined ? `${prefix}:${name}` : `${prefix}:${namespace}/${name}`;
}
