/** An object of the API as it is handed on: trimmed, and what is known of it without decoding. Passes between threads as JSON. */
import { fieldsOf } from '../../model/identity.js';
import { KIND_DECODERS } from '../manifests/kinds.js';
import type { WatchedKind } from './resources.js';
import { trimmer } from './trim.js';
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

/** Gives undefined for what has no name: nothing can be said about it. */
export function itemTrimmer({ written, own }: Pick<WatchedKind, 'written' | 'own'>, apiVersion: string, pool: ValuePool): (item: unknown) => TrimmedItem | undefined {
  const schema = KIND_DECODERS.find(({ kind, apiVersions }) => kind === written && apiVersions.includes(apiVersion))?.schema ?? {};
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

function toldOf(metadata: Readonly<Record<string, unknown>> | undefined, status: unknown): Told {
  const { uid, generation } = metadata ?? {};
  const conditions = fieldsOf(status)?.['conditions'];
  return { ...(typeof uid === 'string' ? { uid } : {}), generation: typeof generation === 'number' ? generation : 0, conditions: Array.isArray(conditions) ? conditions : [] };
}
