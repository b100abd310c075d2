/** Kubernetes label selectors (metav1.LabelSelector): every label and every requirement must hold; an empty one matches all. */
import type { LabelRequirement, LabelSelector } from './objects.js';

export type Labels = Readonly<Record<string, string>>;

/** True when `labels` satisfy the selector. NotIn and DoesNotExist also hold for an absent key, as in Kubernetes. */
export function selectorMatches(selector: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(selector.matchLabels).every(([key, value]) => labelOf(labels, key) === value) &&
    selector.matchExpressions.every((requirement) => requirementHolds(requirement, labels))
  );
}

export function selectorIsEmpty(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels).length === 0 && selector.matchExpressions.length === 0;
}

function requirementHolds(requirement: LabelRequirement, labels: Labels): boolean {
  const value = labelOf(labels, requirement.key);
  switch (requirement.operator) {
    case 'In': return value !== undefined && requirement.values.includes(value);
    case 'NotIn': return value === undefined || !requirement.values.includes(value);
    case 'Exists': return value !== undefined;
    case 'DoesNotExist': return value === undefined;
  }
}

/** Own keys only: a label named `constructor` must not find Object's. */
function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
