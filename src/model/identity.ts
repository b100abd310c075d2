/** What a parsed document says it is, before (and whether or not) it is valid. */
import { kindOfManifest } from './kinds.js';

export const DEFAULT_NAMESPACE = 'default';

/** `kind` is the one objects are keyed by (KindInfo.kind). */
export interface Identity { readonly kind: string; readonly namespace?: string; readonly name: string }

/**
 * Kind, namespace and name where they are readable, as an accepted document would have them; used to find its earlier version, and
 * to remove it. A kind that nobody knows is taken as written.
 */
export function identityOf(document: unknown): Identity | undefined {
  const { apiVersion, kind, metadata } = fieldsOf(document) ?? {};
  const { name, namespace } = fieldsOf(metadata) ?? {};
  if (typeof kind !== 'string' || typeof name !== 'string') return undefined;
  const info = kindOfManifest(typeof apiVersion === 'string' ? apiVersion : undefined, kind);
  if (info?.namespaced !== true) return { kind: info?.kind ?? kind, name };
  return { kind: info.kind, name, namespace: typeof namespace === 'string' && namespace !== '' ? namespace : DEFAULT_NAMESPACE };
}

/** The value as a mapping; undefined when it is none. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return isMapping(value) ? value : undefined;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
