/** Names, namespaces, labels and references to other objects. */
import type { ObjectMeta, WorkloadReference } from '../../model/objects.js';
import type { NamespacedName } from '../../model/policy-objects.js';
import type { ManifestMeta, WorkloadManifest } from './own-manifests.js';
import { DEFAULT_NAMESPACE } from '../../model/identity.js';
import { labelProblem, nsxNameProblem, subdomainProblem } from '../../model/names.js';
import { refuse, refuseIf, type Draft } from './checks.js';
import { joinPath } from './schema-errors.js';

const NO_LABELS: Readonly<Record<string, string>> = {};
/** Antrea's switch for the log of Kubernetes' policies in a Namespace. */
const LOGGING_ANNOTATION = 'networkpolicy.antrea.io/enable-logging';

/** Metadata of our own kinds. */
export function decodeMeta(metadata: ManifestMeta, nameProblem: (name: string) => string | undefined): ObjectMeta {
  refuseIf(nameProblem(metadata.name), 'metadata.name');
  const meta: Draft<ObjectMeta> = { name: metadata.name, labels: metadata.labels ?? NO_LABELS };
  const logging = metadata.annotations?.[LOGGING_ANNOTATION];
  if (logging !== undefined) meta.annotations = { [LOGGING_ANNOTATION]: logging };
  return meta;
}

/** Metadata of namespaced kinds: `default` where none is given. */
export function decodeNamespacedMeta(metadata: ManifestMeta): ObjectMeta {
  const meta: Draft<ObjectMeta> = decodeMeta(metadata, subdomainProblem);
  meta.namespace = decodeNamespace(metadata.namespace, 'metadata.namespace');
  return meta;
}

/** Metadata of cluster-scoped kinds that a reader could take for namespaced ones: a namespace would be without effect, so it is refused. */
export function decodeClusterMeta(metadata: ManifestMeta): ObjectMeta {
  const { namespace } = metadata;
  if (namespace !== undefined && namespace !== null && namespace !== '') {
    throw refuse('metadata.namespace', 'this kind belongs to the whole cluster and has no namespace; leave it out');
  }
  return decodeMeta(metadata, subdomainProblem);
}

/** `default` where none is given. */
export function decodeNamespace(namespace: string | null | undefined, path: string): string {
  if (namespace === undefined || namespace === null || namespace === '') return DEFAULT_NAMESPACE;
  refuseIf(labelProblem(namespace), path);
  return namespace;
}

export function decodeNamespacedName({ namespace, name }: NamespacedName, path: string): NamespacedName {
  refuseIf(labelProblem(namespace), `${path}.namespace`);
  refuseIf(subdomainProblem(name), `${path}.name`);
  return { namespace, name };
}

export function decodeWorkload(workload: WorkloadManifest, path: string): WorkloadReference {
  const { kind, name } = workload;
  refuseIf(kind === 'VirtualMachine' ? nsxNameProblem(name) : subdomainProblem(name), joinPath(path, 'name'));
  if (kind === 'Pod') return { kind, namespace: decodeNamespace(workload.namespace, joinPath(path, 'namespace')), name };
  if (workload.namespace !== undefined) throw refuse(joinPath(path, 'namespace'), `a ${kind} has no namespace; leave it out`);
  return { kind, name };
}
