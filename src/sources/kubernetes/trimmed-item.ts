/** An object of the API as it is handed on: trimmed, and what is known of it without decoding. Passes between threads as JSON. */
import type { SchemaObject } from 'ajv';
import { fieldsOf } from '../../model/identity.js';
import { KIND_DECODERS } from '../manifests/kinds.js';
import type { WatchedKind } from './resources.js';
import type { Shape } from './json-cut.js';
import { keptShape, trimmer } from './trim.js';
import type { ValuePool } from './value-pool.js';

export interface TrimmedItem {
  readonly name: string;
  readonly namespace?: string;
  /** '' when the server gave none. */
  readonly version: string;
  readonly manifest: unknown;
  /** Of our own kinds. */
  readonly told?: Told;
}

/** What status and Events need. */
export interface Told {
  readonly uid?: string;
  readonly generation: number;
  readonly conditions: readonly unknown[];
}

export interface ItemKind extends Pick<WatchedKind, 'written' | 'own'> { readonly apiVersion: string }

/** What itemTrimmer() looks at. */
export function itemShape({ written, own, apiVersion }: ItemKind): Shape {
  const schema = schemaOf(written, apiVersion);
  // Status and Events need more of our own kinds; all of them have closed schemas, of which nearly everything is kept.
  return own && schema['additionalProperties'] !== false ? 'all' : keptShape(schema);
}

/** Gives undefined for what has no name: nothing can be said about it. */
export function itemTrimmer({ written, own }: Pick<WatchedKind, 'written' | 'own'>, apiVersion: string, pool: ValuePool): (item: unknown) => TrimmedItem | undefined {
  const schema = schemaOf(written, apiVersion);
  const trim = trimmer(apiVersion, written, schema, pool);
  return (item) => {
    const fields = fieldsOf(item);
    const metadata = fieldsOf(fields?.['metadata']);
    const { name, namespace, resourceVersion } = metadata ?? {};
    if (typeof name !== 'string' || name === '') return undefined;
    return {
      name, ...(typeof namespace === 'string' && namespace !== '' ? { namespace } : {}), version: typeof resourceVersion === 'string' ? resourceVersion : '',
      manifest: trim(item), ...(own ? { told: toldOf(metadata, fields?.['status']) } : {}),
    };
  };
}

function schemaOf(written: string, apiVersion: string): SchemaObject {
  return KIND_DECODERS.find(({ kind, apiVersions }) => kind === written && apiVersions.includes(apiVersion))?.schema ?? {};
}

function toldOf(metadata: Readonly<Record<string, unknown>> | undefined, status: unknown): Told {
  const { uid, generation } = metadata ?? {};
  const conditions = fieldsOf(status)?.['conditions'];
  return { ...(typeof uid === 'string' ? { uid } : {}), generation: typeof generation === 'number' ? generation : 0, conditions: Array.isArray(conditions) ? conditions : [] };
}
