/**
 * What Kubernetes' API says of its objects, for files that nobody applies in a test: fields, their types, and which are required. Taken
 * from the models of Kubernetes' own client library, which are generated from the API's OpenAPI description (its version is in their heads).
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as client from '@kubernetes/client-node';

interface Attribute { readonly baseName: string; readonly name: string; readonly type: string; readonly format: string }
interface Model { readonly attributeTypeMap: readonly Attribute[] }
type Fields = Readonly<Record<string, unknown>>;

const MODELS = join(dirname(createRequire(import.meta.url).resolve('@kubernetes/client-node')), 'gen/models');
const models = new Map<string, Model | undefined>();
const required = new Map<string, ReadonlySet<string>>();

/** One line a fault; none: the API server would take it, as far as types go. */
export function schemaProblems(document: unknown): string[] {
  const { apiVersion, kind } = fieldsOf(document) ?? {};
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return ['no object'];
  const type = `${versionName(apiVersion.split('/').at(-1) ?? '')}${kind}`;
  return model(type) === undefined ? [`the API has no ${apiVersion} ${kind}`] : problemsOf(document, type, kind);
}

function problemsOf(value: unknown, type: string, path: string): string[] {
  const item = /^Array<(.*)>$/.exec(type)?.[1];
  if (item !== undefined) return Array.isArray(value) ? value.flatMap((each: unknown, index) => problemsOf(each, item, `${path}[${index}]`)) : [`${path}: no list`];
  const entry = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  const known = model(type);
  if (entry === undefined && known === undefined) return isPlain(value, type) ? [] : [`${path}: ${JSON.stringify(value)} is no ${type}`];
  const fields = fieldsOf(value);
  if (fields === undefined) return [`${path}: no mapping`];
  if (known === undefined) return Object.entries(fields).flatMap(([name, each]) => problemsOf(each, entry ?? '', `${path}.${name}`));
  const attributes = new Map(known.attributeTypeMap.map((attribute) => [attribute.baseName, attribute]));
  return [
    ...[...requiredOf(type)].filter((name) => fields[attributeNamed(known, name)] === undefined).map((name) => `${path}.${name}: is required`),
    ...Object.entries(fields).flatMap(([name, each]) => {
      const attribute = attributes.get(name);
      if (attribute === undefined) return [`${path}.${name}: no such field`];
      if (attribute.format.startsWith('int') && !Number.isInteger(each)) return [`${path}.${name}: ${JSON.stringify(each)} is no integer`];
      return problemsOf(each, attribute.type, `${path}.${name}`);
    }),
  ];
}

function isPlain(value: unknown, type: string): boolean {
  if (type === 'any') return true;
  if (type === 'IntOrString') return typeof value === 'string' || Number.isInteger(value);
  if (type === 'Date') return typeof value === 'string' && !Number.isNaN(Date.parse(value));
  return typeof value === type;
}

function model(type: string): Model | undefined {
  if (!models.has(type)) models.set(type, modelOf(Reflect.get(client, type)));
  return models.get(type);
}

function modelOf(found: unknown): Model | undefined {
  return typeof found === 'function' && 'attributeTypeMap' in found && Array.isArray(found.attributeTypeMap) ? { attributeTypeMap: found.attributeTypeMap as Attribute[] } : undefined;
}

/** In the library's types, fields that are not optional. */
function requiredOf(type: string): ReadonlySet<string> {
  const known = required.get(type);
  if (known !== undefined) return known;
  const names = new Set([...readFileSync(join(MODELS, `${type}.d.ts`), 'utf8').matchAll(/^ {4}'(\w+)': /gm)].map(([, name = '']) => name));
  required.set(type, names);
  return names;
}

const attributeNamed = ({ attributeTypeMap }: Model, name: string): string => attributeTypeMap.find((attribute) => attribute.name === name)?.baseName ?? name;
/** v1beta1: V1beta1. */
const versionName = (version: string): string => `V${version.slice(1)}`;
const fieldsOf = (value: unknown): Fields | undefined => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined);
