/**
 * Canonical texts of selectors: equal texts select the same things, and selectors that mean the same in obvious ways (order,
 * repetition, `In` with one value, an absent and an empty selector) have equal texts. Meant for sharing what they select.
 * Label selectors read as `kubectl get -l` takes them; a word with any other character than those of label values is a JSON string.
 */
import type { LabelRequirement, LabelSelector } from '../../model/metadata.js';
import type { MemberSelector } from './ir.js';

const ALL = '*';
const PLAIN = /^[A-Za-z0-9._/-]+$/;

/** `*` for one that matches everything; absent is empty. */
export function selectorKey(selector: LabelSelector | undefined): string {
  if (selector === undefined) return ALL;
  const terms = new Set(Object.entries(selector.matchLabels).map(([key, value]) => `${word(key)}=${word(value)}`));
  for (const requirement of selector.matchExpressions) terms.add(requirementKey(requirement));
  return terms.size === 0 ? ALL : sorted(terms).join(',');
}

export function memberSelectorKey(selector: MemberSelector): string {
  switch (selector.of) {
    case 'pods': {
      const account = selector.serviceAccount === undefined ? '' : ` serviceAccount ${word(selector.serviceAccount)}`;
      return `pods in ${scopeKey(selector)} ${selectorKey(selector.podSelector)}${account}`;
    }
    case 'nodes': return `nodes ${selectorKey(selector.nodeSelector)}`;
    case 'externalEntities': return `externalEntities in ${scopeKey(selector)} ${selectorKey(selector.selector)}`;
  }
}

function scopeKey({ namespace, namespaceSelector }: { readonly namespace?: string; readonly namespaceSelector?: LabelSelector }): string {
  if (namespaceSelector === undefined) return namespace === undefined ? ALL : word(namespace);
  const key = selectorKey(namespaceSelector);
  return key === ALL ? ALL : `{${key}}`;
}

function requirementKey({ key, operator, values }: LabelRequirement): string {
  const distinct = new Set(values.map(word));
  switch (operator) {
    case 'In': return distinct.size === 1 ? `${word(key)}=${[...distinct].join()}` : `${word(key)} in (${sorted(distinct).join()})`;
    case 'NotIn': return `${word(key)} notin (${sorted(distinct).join()})`;
    case 'Exists': return word(key);
    case 'DoesNotExist': return `!${word(key)}`;
  }
}

/** By UTF-16 code units: the same on every host. */
function sorted(texts: Iterable<string>): string[] {
  return [...texts].sort();
}

/** A JSON string begins and ends with a quote, so no two lists of words give one text. */
function word(text: string): string {
  return PLAIN.test(text) ? text : JSON.stringify(text);
}
