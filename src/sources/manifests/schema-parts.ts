/**
 * Parts of the JSON schemas. Schemas hold shapes only: what addresses, ports and names mean is checked by the decoders, which
 * read large lists themselves.
 *
 * `maybe` and `list` also take null, which Kubernetes' API takes for "absent"; our own kinds do not.
 */
import type { SchemaObject } from 'ajv';

export const STRING = { type: 'string' };
export const BOOLEAN = { type: 'boolean' };
export const STRINGS = { type: 'array', items: STRING };
export const BYTE = { type: 'integer', minimum: 0, maximum: 255 };
export const PORT_NUMBER = { type: 'integer', minimum: 1, maximum: 65_535 };

/** An object that holds the given fields and no others. */
export function closed(properties: Readonly<Record<string, SchemaObject>>, required: readonly string[] = []): SchemaObject {
  return { type: 'object', properties, required: [...required], additionalProperties: false };
}

/** An object whose other fields are ignored. */
export function open(properties: Readonly<Record<string, SchemaObject>>, required: readonly string[] = []): SchemaObject {
  return { type: 'object', properties, required: [...required] };
}

export function oneOf(...values: readonly string[]): SchemaObject {
  return { type: 'string', enum: [...values] };
}

/** The same, or null. */
export function maybe(schema: SchemaObject): SchemaObject {
  const { type, enum: values } = schema;
  return { ...schema, type: [type, 'null'].flat(), ...(Array.isArray(values) ? { enum: [...values.map(String), null] } : {}) };
}

/** An array, or null. */
export function list(items: SchemaObject): SchemaObject {
  return { type: ['array', 'null'], items };
}

export const OPTIONAL_STRING = maybe(STRING);

/** What an API server adds to any object's metadata; accepted, without effect. */
const SERVER_SIDE = {
  annotations: {}, uid: {}, resourceVersion: {}, generation: {}, creationTimestamp: {}, managedFields: {}, ownerReferences: {}, finalizers: {}, selfLink: {},
};
const LABELS = { type: 'object', additionalProperties: STRING };
const OWN_META = closed({ name: STRING, labels: maybe(LABELS), ...SERVER_SIDE }, ['name']);
/** Open, as Kubernetes' own metadata is. */
export const KUBERNETES_META = open({
  name: STRING, namespace: OPTIONAL_STRING, labels: maybe(LABELS),
  annotations: maybe(open({ 'networkpolicy.antrea.io/enable-logging': STRING })),
}, ['name']);

const OPERATOR = oneOf('In', 'NotIn', 'Exists', 'DoesNotExist');

const IP_BLOCK_SCHEMA = closed({ cidr: STRING, except: maybe(STRINGS) }, ['cidr']);

/**
 * Compiled once and referred to from many places. `selector`: metav1.LabelSelector or null; `ownSelector`: one of ours, without nulls.
 */
export const SHARED_SCHEMAS: SchemaObject = {
  $id: 'shared',
  $defs: {
    ownSelector: closed({ matchLabels: LABELS, matchExpressions: { type: 'array', items: closed({ key: STRING, operator: OPERATOR, values: STRINGS }, ['key', 'operator']) } }),
    selector: maybe(closed({
      matchLabels: maybe(LABELS), matchExpressions: list(closed({ key: STRING, operator: OPERATOR, values: maybe(STRINGS) }, ['key', 'operator'])),
    })),
    ipBlock: IP_BLOCK_SCHEMA,
    optionalIpBlock: maybe(IP_BLOCK_SCHEMA),
  },
};

function shared(name: string): SchemaObject {
  return { $ref: `shared#/$defs/${name}` };
}
/** A part that the manifest's own schema defines (the `parts` of `governed`): compiled once, however often it is named. */
export function part(name: string): SchemaObject {
  return { $ref: `#/$defs/${name}` };
}
export const SELECTOR = shared('selector');
export const OWN_SELECTOR = shared('ownSelector');
export const IP_BLOCK = shared('ipBlock');
export const OPTIONAL_IP_BLOCK = shared('optionalIpBlock');

/** A manifest of ours: nothing unknown anywhere. */
export function own(spec: SchemaObject, specRequired = true): SchemaObject {
  return closed({ apiVersion: STRING, kind: STRING, metadata: OWN_META, spec, status: {} }, specRequired ? ['metadata', 'spec'] : ['metadata']);
}

/** A manifest whose spec is known and whose metadata and status are open: policies, groups and the like of Kubernetes' and Antrea's APIs. */
export function governed(spec: SchemaObject, parts: Readonly<Record<string, SchemaObject>> = {}, status: SchemaObject = {}): SchemaObject {
  return { ...closed({ apiVersion: STRING, kind: STRING, metadata: KUBERNETES_META, spec, status }, ['metadata', 'spec']), $defs: parts };
}

/** A manifest of which only some fields are looked at: what Kubernetes itself runs on. */
export function inventory(properties: Readonly<Record<string, SchemaObject>>, required: readonly string[] = []): SchemaObject {
  return open({ metadata: KUBERNETES_META, ...properties }, ['metadata', ...required]);
}
