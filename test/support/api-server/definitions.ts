/** Resources that a server has: the built-in ones, and those that CustomResourceDefinitions add. */
import type { StoredObject } from './storage.js';

export interface Definition {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly status: boolean;
}

function builtIn(apiVersion: string, kind: string, plural: string, namespaced: boolean, status = true): Definition {
  const slash = apiVersion.lastIndexOf('/');
  return { group: slash < 0 ? '' : apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1), kind, plural, namespaced, status };
}

export const BUILT_IN: readonly Definition[] = [
  builtIn('v1', 'Namespace', 'namespaces', false), builtIn('v1', 'Pod', 'pods', true), builtIn('v1', 'Node', 'nodes', false), builtIn('v1', 'Service', 'services', true),
  builtIn('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices', true),
  builtIn('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', true), builtIn('networking.k8s.io/v1', 'Ingress', 'ingresses', true),
  builtIn('coordination.k8s.io/v1', 'Lease', 'leases', true, false),
  builtIn('events.k8s.io/v1', 'Event', 'events', true),
  builtIn('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'customresourcedefinitions', false),
];

export function apiVersionOf({ group, version }: Definition): string {
  return group === '' ? version : `${group}/${version}`;
}

/** One for all versions of one resource. */
export function storageName({ group, plural }: Definition): string {
  return `${group}/${plural}`;
}

/** The versions that a CustomResourceDefinition has served. */
export function definitionsOf(crd: StoredObject): Definition[] {
  const spec = crd['spec'] as {
    group: string; scope: string; names: { kind: string; plural: string }; versions: { name: string; served: boolean; subresources?: { status?: unknown } }[];
  };
  return spec.versions.filter(({ served }) => served).map(({ name, subresources }) => ({
    group: spec.group, version: name, kind: spec.names.kind, plural: spec.names.plural, namespaced: spec.scope === 'Namespaced', status: subresources?.status !== undefined,
  }));
}

/** A definition in the least words. */
export function simpleCrd(apiVersion: string, kind: string, plural: string, namespaced: boolean): StoredObject {
  const [group = '', version = ''] = apiVersion.split('/');
  return {
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${plural}.${group}` },
    spec: { group, scope: namespaced ? 'Namespaced' : 'Cluster', names: { kind, plural }, versions: [{ name: version, served: true, storage: true, subresources: { status: {} } }] },
  };
}
