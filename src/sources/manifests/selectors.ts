/** Label selectors. */
import type { LabelRequirement, LabelSelector } from '../../model/metadata.js';
import { labelKeyProblem, labelValueProblem } from '../../model/names.js';
import { NONE, refuse, refuseIf } from './checks.js';

/** metav1.LabelSelector as the schema lets it through. */
export interface SelectorManifest {
  readonly matchLabels?: Readonly<Record<string, string>> | null;
  readonly matchExpressions?: readonly {
    readonly key: string; readonly operator: LabelRequirement['operator']; readonly values?: readonly string[] | null;
  }[] | null;
}
/** An optional selector of Kubernetes' APIs: null is as good as absent. */
export type OptionalSelector = SelectorManifest | null | undefined;

const NO_LABELS: Readonly<Record<string, string>> = {};
/** What an empty selector becomes; shared. */
export const EVERYTHING: LabelSelector = { matchLabels: NO_LABELS, matchExpressions: NONE };

/**
 * `tags`: keys and values are tags of virtual machines, which have no syntax; else they must be such as Kubernetes' labels can
 * have, because a selector that can never match is a mistake.
 */
export function decodeSelector(selector: SelectorManifest, path: string, syntax: 'kubernetes' | 'tags' = 'kubernetes'): LabelSelector {
  const strict = syntax === 'kubernetes';
  const matchLabels = decodeMatchLabels(selector.matchLabels, path, strict);
  const expressions = selector.matchExpressions ?? NONE;
  if (expressions.length === 0) return matchLabels === NO_LABELS ? EVERYTHING : { matchLabels, matchExpressions: NONE };
  return { matchLabels, matchExpressions: expressions.map((expression, index) => decodeRequirement(expression, `${path}.matchExpressions[${index}]`, strict)) };
}

function decodeMatchLabels(labels: SelectorManifest['matchLabels'], path: string, strict: boolean): Readonly<Record<string, string>> {
  if (labels === undefined || labels === null) return NO_LABELS;
  let empty = true;
  for (const key in labels) {
    empty = false;
    if (!strict) break;
    refuseIf(labelKeyProblem(key), `${path}.matchLabels`);
    refuseIf(labelValueProblem(labels[key] ?? ''), `${path}.matchLabels`);
  }
  return empty ? NO_LABELS : labels;
}

type Expression = NonNullable<SelectorManifest['matchExpressions']>[number];

function decodeRequirement(expression: Expression, path: string, strict: boolean): LabelRequirement {
  const { key, operator } = expression;
  const values = expression.values ?? NONE;
  const wantsValues = operator === 'In' || operator === 'NotIn';
  if (wantsValues !== values.length > 0) {
    throw refuse(`${path}.values`, wantsValues ? `operator ${operator} needs at least one value` : `operator ${operator} takes no values`);
  }
  if (strict) {
    refuseIf(labelKeyProblem(key), `${path}.key`);
    for (const [index, value] of values.entries()) refuseIf(labelValueProblem(value), `${path}.values[${index}]`);
  }
  return { key, operator, values };
}

/** Undefined when it is absent. */
export function decodeOptionalSelector(selector: OptionalSelector, path: string, syntax: 'kubernetes' | 'tags' = 'kubernetes'): LabelSelector | undefined {
  return selector === undefined || selector === null ? undefined : decodeSelector(selector, path, syntax);
}
