import { Ajv } from 'ajv';
import type { ErrorObject } from 'ajv';
import { TABLES } from '../drivers/ovs/pipeline/placement.js';
import { canonicalMember } from '../model/address.js';
import { describeError } from '../model/errors.js';
import { labelProblem, subdomainProblem } from '../model/names.js';
import { nearest } from '../model/nearest.js';
import { quote } from '../model/quote.js';
import { CONFIG_FORMATS } from './config-formats.js';
import { CONFIG_SCHEMA } from './config-schema.js';
import type { Config, EtcdSourceConfig, SelectorConfig } from './config-schema.js';

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
  // A list whose elements tell by their type what they are.
  const list = error.instancePath.startsWith('/ids/sinks') ? CONFIG_SCHEMA.properties?.['ids']?.properties?.['sinks'] : CONFIG_SCHEMA.properties?.['sources'];
  return (list?.items?.oneOf ?? []).flatMap((branch) => branch.properties?.['type']?.const ?? []);
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
    if (source.type === 'etcd') {
      problems.push(...etcdProblems(source, `sources[${index}]`));
      const other = config.sources.findIndex(({ type }) => type === 'etcd');
      if (other < index) problems.push({ path: `sources[${index}].type`, reason: `is also that of sources[${other}]: one etcd is read, with several endpoints if need be` });
    }
    if (source.type === 'kubernetes') {
      for (const [place, name] of (source.namespaces ?? []).entries()) {
        const reason = labelProblem(name);
        if (reason !== undefined) problems.push({ path: `sources[${index}].namespaces[${place}]`, reason });
      }
    }
    const twin = config.sources.findIndex((other) => JSON.stringify(other) === JSON.stringify(source));
    if (twin < index) problems.push({ path: `sources[${index}]`, reason: `is the same as sources[${twin}]` });
  });
  const nameProblem = config.discovery.node.enabled ? subdomainProblem(config.node) : undefined;
  if (nameProblem !== undefined) problems.push({ path: 'discovery.node.enabled', reason: `Node objects cannot have the name of this host: ${nameProblem}` });
  const { firstTable, nextTable } = config.ovs;
  if (nextTable === 0 && firstTable !== 0) problems.push({ path: 'ovs.firstTable', reason: 'needs ovs.nextTable: others must forward' });
  if (nextTable !== 0 && nextTable >= firstTable && nextTable < firstTable + TABLES) {
    problems.push({ path: 'ovs.nextTable', reason: `is one of the agent's own tables, ${firstTable} to ${firstTable + TABLES - 1}` });
  }
  const { egress } = config;
  if (egress.leases === 'file' && egress.directory === '') problems.push({ path: 'egress.directory', reason: 'is needed with egress.leases file' });
  const { leases } = egress;
  if ((leases === 'etcd' || leases === 'kubernetes') && config.sources.every(({ type }) => type !== leases)) problems.push({ path: 'egress.leases', reason: `needs a source of type ${leases}` });
  egress.exceptCidrs.forEach((member, index) => {
    const reason = memberProblem(member);
    if (reason !== undefined) problems.push({ path: `egress.exceptCidrs[${index}]`, reason });
  });
  const lowest = (egress.markMask & -egress.markMask) >>> 0;
  if (Math.log2(egress.markMask / lowest + 1) % 1 !== 0) problems.push({ path: 'egress.markMask', reason: 'must be bits in a row' });
  if ((config.ids.returnedMark & egress.markMask) !== 0) problems.push({ path: 'egress.markMask', reason: 'has bits of ids.returnedMark' });
  if (config.dns.nflogGroup === config.nflogGroup) problems.push({ path: 'dns.nflogGroup', reason: 'must not be the group nflogGroup names' });
  if ([config.nflogGroup, config.dns.nflogGroup].includes(config.bridge.nflogGroup)) problems.push({ path: 'bridge.nflogGroup', reason: 'must not be the group nflogGroup or dns.nflogGroup names' });
  if (config.cni.interfaces.length > 0 && config.datapath !== 'nftables') problems.push({ path: 'cni.interfaces', reason: 'needs datapath nftables' });
  if ((config.ids.returnedMark & config.egress.markMask) !== 0) problems.push({ path: 'ids.returnedMark', reason: 'has bits of egress.markMask: both are of the same packet mark' });
  problems.push(...alertProblems(config));
  problems.push(...externalProblems(config));
  if (config.ids.bundle === '' && config.ids.bundleChecksum !== '') problems.push({ path: 'ids.bundleChecksum', reason: 'is the checksum of nothing without ids.bundle' });
  const devices = ['tap', 'sensor', 'inlineTap', 'inlineSensor', 'returnTap', 'returnSensor'] as const;
  for (const [index, key] of devices.entries()) {
    const twin = devices.slice(0, index).find((other) => config.ids[other] === config.ids[key]);
    if (twin !== undefined) problems.push({ path: `ids.${key}`, reason: `must not be the device ids.${twin} names` });
  }
  return problems;
}

function etcdProblems({ endpoints, tls, user, passwordFile }: EtcdSourceConfig, at: string): Omit<ConfigProblem, 'origin'>[] {
  const problems: Omit<ConfigProblem, 'origin'>[] = [];
  if (tls !== undefined && !endpoints.some((endpoint) => endpoint.startsWith('https:'))) problems.push({ path: `${at}.tls`, reason: 'needs endpoints that begin with https:' });
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) problems.push({ path: `${at}.tls`, reason: 'needs cert and key, or neither' });
  if ((user === undefined) !== (passwordFile === undefined)) problems.push({ path: at, reason: 'needs user and passwordFile, or neither' });
  return problems;
}

function externalProblems({ ids }: Config): Omit<ConfigProblem, 'origin'>[] {
  const problems: Omit<ConfigProblem, 'origin'>[] = [];
  const { engine, mode, commandSocket, engineDirectory, bundle, endsWithAgent } = ids;
  if (engine !== 'external') {
    if (endsWithAgent) problems.push({ path: 'ids.endsWithAgent', reason: 'is of an external engine: needs ids.engine external' });
    if (engineDirectory !== '') problems.push({ path: 'ids.engineDirectory', reason: 'is of an external engine: needs ids.engine external' });
    return problems;
  }
  if (mode === 'ips' && commandSocket === '') {
    problems.push({ path: 'ids.commandSocket', reason: 'is needed with ids.mode ips and an external engine: nobody would notice that it is gone, and onFailure of policies would not be kept' });
  }
  if (engineDirectory !== '' && commandSocket === '') problems.push({ path: 'ids.commandSocket', reason: 'is needed with ids.engineDirectory: the engine is told there of changed signatures' });
  if (bundle !== '' && engineDirectory === '') problems.push({ path: 'ids.bundle', reason: 'needs ids.engine suricata or ids.engineDirectory: an external engine without it has signatures of its own' });
  return problems;
}

function alertProblems({ ids, audit }: Config): Omit<ConfigProblem, 'origin'>[] {
  const problems: Omit<ConfigProblem, 'origin'>[] = [];
  const names = ids.sinks.map(({ name, type }) => name ?? type);
  ids.sinks.forEach((sink, index) => {
    const at = `ids.sinks[${index}]`;
    const twin = names.indexOf(names[index] ?? '');
    if (twin < index) problems.push({ path: `${at}.name`, reason: `is also the name of ids.sinks[${twin}]: give one of them another` });
    if (sink.type === 'syslog' && sink.tls !== undefined && !sink.address.startsWith('tls:')) problems.push({ path: `${at}.tls`, reason: 'needs an address that begins with tls:' });
    if (sink.type === 'http' && sink.tls !== undefined && !sink.url.startsWith('https:')) problems.push({ path: `${at}.tls`, reason: 'needs a URL that begins with https:' });
    if (sink.type === 'file' && sink.path === audit.path) problems.push({ path: `${at}.path`, reason: 'is the audit log: use {type: audit}' });
    if ((sink.type === 'syslog' || sink.type === 'http') && (sink.tls?.cert === undefined) !== (sink.tls?.key === undefined)) problems.push({ path: `${at}.tls`, reason: 'needs cert and key, or neither' });
    problems.push(...selectorProblems(sink.selector, `${at}.selector`));
  });
  ids.response.forEach(({ signatureIds, severities, except }, index) => {
    const at = `ids.response[${index}]`;
    if (signatureIds === undefined && severities === undefined) problems.push({ path: at, reason: 'needs signatureIds or severities: it would be for every alert' });
    problems.push(...selectorProblems(except, `${at}.except`));
  });
  ids.quarantine.allow.forEach(({ addresses, protocol, ports }, index) => {
    addresses.forEach((address, place) => {
      const reason = memberProblem(address);
      if (reason !== undefined) problems.push({ path: `ids.quarantine.allow[${index}].addresses[${place}]`, reason });
    });
    if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp') problems.push({ path: `ids.quarantine.allow[${index}].ports`, reason: 'needs protocol tcp or udp' });
  });
  return problems;
}

function memberProblem(address: string): string | undefined {
  try {
    canonicalMember(address);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

function selectorProblems(selector: SelectorConfig | undefined, path: string): Omit<ConfigProblem, 'origin'>[] {
  return (selector?.matchExpressions ?? []).flatMap(({ operator, values = [] }, index) => {
    const wanted = operator === 'In' || operator === 'NotIn';
    return wanted === values.length > 0 ? [] : [{ path: `${path}.matchExpressions[${index}].values`, reason: wanted ? `${operator} needs values` : `${operator} takes none` }];
  });
}
