/**
 * Objects of the API, cut down to what is used of them as soon as they are parsed: of what Kubernetes runs on the fields that its schema
 * names, of everything else what a person would have written (and its status). A Pod of 8 kB becomes one of a few hundred bytes.
 */
import type { SchemaObject } from 'ajv';
import { fieldsOf } from '../../model/identity.js';
import type { PodObject } from '../../model/objects.js';
import { PROTOCOL_NUMBERS } from '../manifests/ports.js';
import { objectShape, type Shape } from './json-cut.js';
import type { ValuePool } from './value-pool.js';

type Trim = (value: unknown) => unknown;

/** Applied by kubectl, and as large as the object itself. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** Of metadata, what is kept for kinds whose whole spec is. */
const META = ['name', 'namespace', 'uid', 'generation', 'labels'] as const;

/** `schema`: the decoder's, whose parts (`$defs`) are not followed: kinds that have such are kept whole. */
export function trimmer(apiVersion: string, kind: string, schema: SchemaObject, pool: ValuePool): Trim {
  if (schema['additionalProperties'] !== false) {
    const prune = pruner(schema, pool);
    return (value) => {
      const fields = fieldsOf(prune(value));
      return fields === undefined ? value : { apiVersion, kind, ...fields };
    };
  }
  return (value) => {
    const fields = fieldsOf(value);
    if (fields === undefined) return value;
    const { apiVersion: _version, kind: _kind, metadata, ...rest } = fields;
    return { apiVersion, kind, metadata: trimMeta(metadata, pool), ...rest };
  };
}

/** What trimmer() and itemTrimmer() look at: cutting a document to it before it is parsed changes nothing of what they give. */
export function keptShape(schema: SchemaObject): Shape {
  if (schema['additionalProperties'] === false) {
    return objectShape({ metadata: objectShape({ managedFields: 'none', annotations: objectShape({ [LAST_APPLIED]: 'none' }, 'all') }, 'all') }, 'all');
  }
  const { metadata, ...others } = (schema['properties'] ?? {}) as Readonly<Record<string, SchemaObject>>;
  const named = Object.entries(others).map(([name, part]): readonly [string, Shape] => [name, partShape(part)]);
  const ofMeta = Object.entries((metadata?.['properties'] ?? {}) as Readonly<Record<string, SchemaObject>>).map(([name, part]): readonly [string, Shape] => [name, partShape(part)]);
  return objectShape({ metadata: objectShape({ ...Object.fromEntries(ofMeta), name: 'all', namespace: 'all', resourceVersion: 'all' }), ...Object.fromEntries(named) });
}

/** As pruner() does. */
function partShape(schema: SchemaObject): Shape {
  const { properties, items } = schema as { properties?: Record<string, SchemaObject>; items?: SchemaObject };
  if (properties !== undefined) return objectShape(Object.fromEntries(Object.entries(properties).map(([name, part]) => [name, partShape(part)])));
  return items === undefined ? 'all' : { items: partShape(items) };
}

function trimMeta(metadata: unknown, pool: ValuePool): unknown {
  const fields = fieldsOf(metadata);
  if (fields === undefined) return metadata;
  const result: Record<string, unknown> = {};
  for (const name of META) if (fields[name] !== undefined) result[name] = fields[name];
  if (typeof result['namespace'] === 'string') result['namespace'] = pool.text(result['namespace']);
  const labels = fieldsOf(result['labels']);
  if (labels !== undefined) result['labels'] = pool.value(labels);
  const { [LAST_APPLIED]: _, ...annotations } = fieldsOf(fields['annotations']) ?? {};
  if (Object.keys(annotations).length > 0) result['annotations'] = annotations;
  return result;
}

/** Keeps what the schema names; values of other types than it says go through unchanged, for the decoder to refuse. */
function pruner(schema: SchemaObject, pool: ValuePool): Trim {
  const { properties, items, additionalProperties } = schema as { properties?: Record<string, SchemaObject>; items?: SchemaObject; additionalProperties?: unknown };
  if (properties !== undefined) {
    const parts = Object.entries(properties).map(([name, part]): readonly [string, Trim] => [name, pruner(part, pool)]);
    return (value) => {
      const fields = fieldsOf(value);
      if (fields === undefined) return value;
      const result: Record<string, unknown> = {};
      for (const [name, prune] of parts) if (fields[name] !== undefined) result[name] = prune(fields[name]);
      return result;
    };
  }
  if (items !== undefined) {
    const prune = pruner(items, pool);
    return (value) => (Array.isArray(value) ? value.map((each) => prune(each)) : value);
  }
  if (additionalProperties !== undefined) {
    return (value) => {
      const fields = fieldsOf(value);
      return fields === undefined ? value : pool.value(fields);
    };
  }
  return (value) => (typeof value === 'string' ? pool.text(value) : value);
}

const PROTOCOL_NAMES = new Map<number, string>(Object.entries(PROTOCOL_NUMBERS).map(([name, number]) => [number, name]));

/** The same Pod; what it has in common with others is one value. */
export function sharedPod(pod: PodObject, pool: ValuePool): PodObject {
  const { metadata: { name, namespace, labels, annotations }, nodeName } = pod;
  return {
    ...pod,
    metadata: { name, ...(namespace === undefined ? {} : { namespace: pool.text(namespace) }), labels: pool.value(labels), ...(annotations === undefined ? {} : { annotations: pool.value(annotations) }) },
    ...(nodeName === undefined ? {} : { nodeName: pool.text(nodeName) }),
    ports: pod.ports.length === 0 ? pod.ports : pool.value(pod.ports),
  };
}

/** The manifest that decodes to this Pod: of a hundred thousand of them none is kept beside the object. */
export function podManifest(pod: PodObject): unknown {
  const { nodeName, serviceAccount, hostNetwork, addresses, ports, metadata } = pod;
  const { name, namespace, labels, annotations } = metadata;
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name, namespace, ...(Object.keys(labels).length === 0 ? {} : { labels }), ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
      ...(hostNetwork === undefined ? {} : { hostNetwork }),
      ...(ports.length === 0 ? {} : { containers: [{ ports: ports.map((port) => ({ name: port.name, containerPort: port.port, protocol: PROTOCOL_NAMES.get(port.protocol) })) }] }),
    },
    ...(addresses.length === 0 ? {} : { status: { podIPs: addresses.map((ip) => ({ ip })) } }),
  };
}
