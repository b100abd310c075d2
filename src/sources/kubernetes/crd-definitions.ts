/**
 * CustomResourceDefinitions of our own kinds, made from the schemas that the decoder checks. deploy/crds/ holds them as files
 * (scripts/gen-crds writes them, a test compares). Structural schemas: kubernetes.io/docs, "Extend the Kubernetes API with
 * CustomResourceDefinitions", "Specifying a structural schema".
 */
import type { SchemaObject } from 'ajv';
import { AgentError } from '../../model/errors.js';
import { KINDS, OWN_GROUP, groupOf } from '../../model/kinds.js';
import { KIND_DECODERS } from '../manifests/kinds.js';
import { SHARED_SCHEMAS } from '../manifests/schema-parts.js';

type Schema = Readonly<Record<string, unknown>>;

export interface CustomResourceDefinition {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: 'Cluster' | 'Namespaced';
    readonly names: { readonly kind: string; readonly listKind: string; readonly plural: string; readonly singular: string; readonly shortNames: readonly string[]; readonly categories: readonly string[] };
    readonly versions: readonly { readonly name: string; readonly served: boolean; readonly storage: boolean; readonly schema: { readonly openAPIV3Schema: Schema }; readonly [field: string]: unknown }[];
  };
}

/** metav1.Condition. */
const CONDITION: Schema = {
  type: 'object', required: ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
  properties: {
    type: { type: 'string', maxLength: 316 }, status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
    observedGeneration: { type: 'integer', format: 'int64', minimum: 0 }, lastTransitionTime: { type: 'string', format: 'date-time' },
    reason: { type: 'string', maxLength: 1024 }, message: { type: 'string', maxLength: 32768 },
  },
};
const STATUS: Schema = {
  type: 'object',
  properties: { conditions: { type: 'array', items: CONDITION, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] } },
};
const COLUMNS = [
  { name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
  { name: 'Reason', type: 'string', priority: 1, jsonPath: '.status.conditions[?(@.type=="Accepted")].message' },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
];

/** One for each kind of dfw.dev, in the order of the decoder. */
export function ownDefinitions(): readonly CustomResourceDefinition[] {
  return KIND_DECODERS.filter(({ apiVersions: [version = ''] }) => groupOf(version) === OWN_GROUP).map(({ kind, apiVersions, schema }) => {
    const info = KINDS.find((each) => each.written === kind && each.groups.includes(OWN_GROUP));
    const [plural = '', ...others] = info?.names ?? [];
    const { spec, ...rest } = fieldsOf(schema, 'properties');
    if (info === undefined || spec === undefined) throw new AgentError('E_INTERNAL', `the kind ${kind} has no schema of its spec`);
    const required = listOf(schema['required']).filter((name) => name !== 'metadata');
    return {
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${plural}.${OWN_GROUP}` },
      spec: {
        group: OWN_GROUP, scope: info.namespaced ? 'Namespaced' : 'Cluster',
        names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), shortNames: others.filter((name) => name !== kind.toLowerCase()), categories: ['dfw'] },
        versions: apiVersions.map((apiVersion, index) => ({
          name: apiVersion.slice(OWN_GROUP.length + 1), served: true, storage: index === 0, subresources: { status: {} }, additionalPrinterColumns: COLUMNS,
          schema: {
            openAPIV3Schema: {
              type: 'object', ...(required.length === 0 ? {} : { required }),
              properties: { apiVersion: structural(rest['apiVersion']), kind: structural(rest['kind']), metadata: { type: 'object' }, spec: structural(spec), status: STATUS },
            },
          },
        })),
      },
    };
  });
}

/** What the decoder's schemas say, in the words that a structural schema may have. Fields it does not name are dropped by the server. */
function structural(value: unknown): Schema {
  const schema = resolved(value);
  const { type, enum: values, minimum, maximum, items, required }: Readonly<Record<string, unknown>> = schema;
  if (Array.isArray(type)) {
    const types = listOf(type).sort((a, b) => (a < b ? -1 : 1)).join();
    if (types !== 'integer,string') throw new AgentError('E_INTERNAL', `no structural schema has the types ${types}`);
    return { 'x-kubernetes-int-or-string': true };
  }
  if (type === 'array') return { type, items: items === undefined ? { type: 'string' } : structural(items) };
  if (type !== 'object') return { type, ...(values === undefined ? {} : { enum: values }), ...(minimum === undefined ? {} : { minimum }), ...(maximum === undefined ? {} : { maximum }) };
  const properties: unknown = schema['properties'];
  if (properties === undefined) return { type, additionalProperties: structural(schema['additionalProperties']) };
  const names = listOf(required);
  return {
    type, ...(names.length === 0 ? {} : { required: names }),
    properties: Object.fromEntries(Object.entries(fieldsOf(schema, 'properties')).map(([name, part]) => [name, structural(part)])),
  };
}

/** References are not allowed: what they name takes their place. */
function resolved(value: unknown): SchemaObject {
  const schema = asSchema(value);
  const reference: unknown = schema['$ref'];
  if (typeof reference !== 'string') return schema;
  const [, name = ''] = /^shared#\/\$defs\/(\w+)$/.exec(reference) ?? [];
  return asSchema(fieldsOf(SHARED_SCHEMAS, '$defs')[name]);
}

function fieldsOf(schema: SchemaObject, name: string): Readonly<Record<string, unknown>> {
  return asSchema(schema[name]);
}

function asSchema(value: unknown): SchemaObject {
  if (typeof value !== 'object' || value === null) throw new AgentError('E_INTERNAL', 'not a schema');
  return value;
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
