/** What is watched: every kind that the decoder reads, as the API server calls it. */
import { OWN_GROUP, groupOf, kindOfManifest } from '../../model/kinds.js';
import { KIND_DECODERS } from '../manifests/kinds.js';

export interface WatchedKind {
  /** First part of objectKey(). */
  readonly kind: string;
  /** As manifests have it. */
  readonly written: string;
  readonly namespaced: boolean;
  /** `group/version`, the one to prefer first. Exactly one of them is watched, though several may be served. */
  readonly apiVersions: readonly string[];
  /** Objects that need not be sent. */
  readonly fieldSelector?: string;
  /** Status and events are written back. */
  readonly own: boolean;
  /** Part of every server: its absence is trouble, not a definition that is not installed. */
  readonly builtIn: boolean;
}

/** A kind as the server has it. */
export interface ServedResource {
  readonly watched: WatchedKind;
  readonly apiVersion: string;
  readonly plural: string;
  /** Has the subresource `status`. */
  readonly hasStatus: boolean;
}

/** Groups of kube-apiserver itself. */
const BUILT_IN: ReadonlySet<string> = new Set(['', 'discovery.k8s.io', 'networking.k8s.io']);
/** Finished pods have given their addresses back. Fields of Pods that can be selected: pkg/apis/core/v1/conversion.go of Kubernetes. */
const FIELD_SELECTORS: Readonly<Record<string, string>> = { Pod: 'status.phase!=Succeeded,status.phase!=Failed' };

export function watchedKinds(): readonly WatchedKind[] {
  return KIND_DECODERS.map(({ kind: written, apiVersions }) => {
    const [newest = ''] = apiVersions;
    const info = kindOfManifest(newest, written);
    const kind = info?.kind ?? written;
    const fieldSelector = FIELD_SELECTORS[kind];
    return {
      kind, written, namespaced: info?.namespaced ?? false, apiVersions, ...(fieldSelector === undefined ? {} : { fieldSelector }),
      own: groupOf(newest) === OWN_GROUP, builtIn: BUILT_IN.has(groupOf(newest)),
    };
  });
}

/** `v1` → `/api/v1`, `dfw.dev/v1` → `/apis/dfw.dev/v1`. */
export function apiPath(apiVersion: string): string {
  return groupOf(apiVersion) === '' ? `/api/${apiVersion}` : `/apis/${apiVersion}`;
}

/** Of all objects of the resource, or those of one namespace. */
export function collectionPath({ apiVersion, plural }: Pick<ServedResource, 'apiVersion' | 'plural'>, namespace?: string): string {
  const base = apiPath(apiVersion);
  return namespace === undefined ? `${base}/${plural}` : `${base}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
}
