import { Ajv } from 'ajv';
import type { ErrorObject } from 'ajv';
import { TABLES } from '../drivers/ovs/pipeline/placement.js';
import { nearest } from '../model/nearest.js';
import { quote } from '../model/quote.js';
import { CONFIG_FORMATS } from './config-formats.js';
import { CONFIG_SCHEMA } from './config-schema.js';
import type { Config } from './config-schema.js';

export interface ConfigProblem {
  /** "sources[0].path", or "" when it is about the whole. */
  readonly path: string;
  readonly reason: string;
  /** Where the value came from: "agent.yaml:12", "DFW_API_SOCKET", "--api-socket", "command line". */
  readonly origin: string;
}
export interface CheckResult {
  /** With the defaults filled in; undefined when there is a problem. */
  readonly config: Config | undefined;
  readonly problems: readonly Omit<ConfigProblem, 'origin'>[];
}

/** Validates a merged configuration against the schema, then across keys. All problems at once; `value` is not changed. */
export function findProblems(value: unknown): CheckResult {
  const ajv = new Ajv({ allErrors: true, useDefaults: true, discriminator: true, strict: true, strictRequired: false, verbose: true });
  for (const [name, { accepts }] of Object.entries(CONFIG_FORMATS)) ajv.addFormat(name, accepts);
  const validate = ajv.compile<Config>(CONFIG_SCHEMA);
  const config: unknown = structuredClone(value);
  if (!validate(config)) return { config: undefined, problems: (validate.errors ?? []).map(problemOf) };
  const problems = acrossKeys(config);
  return { config: problems.length === 0 ? config : undefined, problems };
}

function problemOf(error: ErrorObject): Omit<ConfigProblem, 'origin'> {
  const path = dotted(error.instancePath);
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(error.params['additionalProperty']);
      const near = nearest(name, keysAt(error));
      return { path: path === '' ? name : `${path}.${name}`, reason: `unknown key${near === undefined ? '' : `; did you mean ${near}?`}` };
    }
    case 'enum':
    case 'const':
      return { path, reason: `must be one of: ${allowedValues(error).join(', ')}` };
    case 'discriminator':
      return { path: `${path}.${String(error.params['tag'])}`, reason: `must be one of: ${allowedValues(error).join(', ')}` };
    case 'format':
      return { path, reason: formatReason(String(error.params['format'])) };
    case 'required':
      return { path, reason: `needs the key ${quote(String(error.params['missingProperty']))}` };
    default:
      return { path, reason: error.message ?? error.keyword };
  }
}

function formatReason(name: string): string {
  return Object.entries(CONFIG_FORMATS).find(([format]) => format === name)?.[1].reason ?? `must match the format ${name}`;
}

function allowedValues(error: ErrorObject): readonly string[] {
  const values: unknown = error.params['allowedValues'];
  if (Array.isArray(values)) return values.map(String);
  return (CONFIG_SCHEMA.properties?.['sources']?.items?.oneOf ?? []).flatMap((branch) => branch.properties?.['type']?.const ?? []);
}

/** "/sources/0/path" -> "sources[0].path" */
function dotted(pointer: string): string {
  return pointer.split('/').slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`), '');
}

/** The keys that the object with an unknown key may have. */
function keysAt(error: ErrorObject): string[] {
  const parent: unknown = error.parentSchema;
  const properties: unknown = typeof parent === 'object' && parent !== null && 'properties' in parent ? parent.properties : undefined;
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
}

/** What no single key shows. Settings of the format that this version cannot do are refused here, never ignored. */
function acrossKeys(config: Config): Omit<ConfigProblem, 'origin'>[] {
  const problems: Omit<ConfigProblem, 'origin'>[] = [];
  config.sources.forEach((source, index) => {
    if (source.type !== 'file') problems.push({ path: `sources[${index}].type`, reason: `${source.type} is not in this version; it reads files` });
    const twin = config.sources.findIndex((other) => JSON.stringify(other) === JSON.stringify(source));
    if (twin < index) problems.push({ path: `sources[${index}]`, reason: `is the same as sources[${twin}]` });
  });
  const { firstTable, nextTable } = config.ovs;
  if (nextTable === 0 && firstTable !== 0) problems.push({ path: 'ovs.firstTable', reason: 'needs ovs.nextTable: others must forward' });
  if (nextTable !== 0 && nextTable >= firstTable && nextTable < firstTable + TABLES) {
    problems.push({ path: 'ovs.nextTable', reason: `is one of the agent's own tables, ${firstTable} to ${firstTable + TABLES - 1}` });
  }
  if (config.dns.nflogGroup === config.nflogGroup) problems.push({ path: 'dns.nflogGroup', reason: 'must not be the group nflogGroup names' });
  if ([config.nflogGroup, config.dns.nflogGroup].includes(config.bridge.nflogGroup)) problems.push({ path: 'bridge.nflogGroup', reason: 'must not be the group nflogGroup or dns.nflogGroup names' });
  if (config.ids.mode === 'ips') problems.push({ path: 'ids.mode', reason: 'ips is not in this version; it inspects copies (ids)' });
  if (config.ids.tap === config.ids.sensor) problems.push({ path: 'ids.sensor', reason: 'must not be the device ids.tap names' });
  return problems;
}
