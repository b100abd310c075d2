/** fieldSelector and labelSelector, as far as lists and watches of tests use them. */
import type { StoredObject } from './storage.js';

export type Selector = (object: StoredObject) => boolean;

export function selectorOf(query: URLSearchParams, namespace: string | undefined): Selector {
  const fields = terms(query.get('fieldSelector')).map(({ key, not, value }) => (object: StoredObject) => (fieldOf(object, key) === value) !== not);
  const labels = terms(query.get('labelSelector')).map(({ key, not, value }) => (object: StoredObject) => ((object.metadata.labels?.[key] ?? '') === value) !== not);
  const inNamespace: Selector = (object) => namespace === undefined || object.metadata.namespace === namespace;
  return (object) => inNamespace(object) && fields.every((test) => test(object)) && labels.every((test) => test(object));
}

function terms(text: string | null): { key: string; not: boolean; value: string }[] {
  return (text ?? '').split(',').filter((part) => part !== '').map((part) => {
    const match = /^([^!=]+)(!=|==?)(.*)$/.exec(part);
    if (match === null) throw new Error(`unsupported selector ${part}`);
    return { key: match[1] ?? '', not: match[2] === '!=', value: match[3] ?? '' };
  });
}

function fieldOf(object: StoredObject, path: string): string {
  let at: unknown = object;
  for (const step of path.split('.')) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[step] : undefined;
  return typeof at === 'string' ? at : '';
}
