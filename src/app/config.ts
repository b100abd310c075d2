import { hostname } from 'node:os';
import { LineCounter, parse, parseDocument } from 'yaml';
import { AgentError, describeError } from '../model/errors.js';
import { DEFAULT_CONFIG_FILE, parseCommandLine } from './command-line.js';
import { findProblems } from './config-checks.js';
import type { ConfigProblem } from './config-checks.js';
import { configKeys } from './config-keys.js';
import type { ConfigKey } from './config-keys.js';
import type { Config } from './config-schema.js';

export type { Config, SourceConfig } from './config-schema.js';

export interface ConfigInput {
  /** Arguments after the script's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whole text of a file, undefined when there is none; throws when it cannot be read. */
  readonly readFile: (path: string) => string | undefined;
  /** Default of `node`; the operating system's when omitted. */
  readonly hostname?: () => string;
}

interface Layer { readonly value: unknown; readonly origin: (path: readonly string[]) => string }
type Tree = Record<string, unknown>;

/**
 * The configuration in force: option, else environment variable, else file, else default, key by key.
 * Throws AgentError E_CONFIG naming every problem at once (context.problems: {path, reason, origin}[]): unknown keys and options with
 * the nearest known one, wrong values, a named file that is absent or no YAML. Only `readFile` (and the default of `hostname`) reach outside.
 * Environment variables that start with DFW_ and are no key are not looked at: Kubernetes and others set such.
 */
export function loadConfig(input: ConfigInput): Config {
  const line = parseCommandLine(input.argv);
  const problems: ConfigProblem[] = line.problems.map((reason) => ({ path: '', reason, origin: 'command line' }));
  const named = line.configFile ?? nonEmpty(input.env['DFW_CONFIG']);
  const file = readLayer(named ?? DEFAULT_CONFIG_FILE, named !== undefined, input.readFile, problems);
  const keys = configKeys();
  const environment = textLayer(keys, (key) => nonEmpty(input.env[key.variable]), (key) => key.variable, problems);
  const options = textLayer(keys, (key) => line.values.get(key.flag), (key) => key.flag, problems);

  const name = input.hostname ?? hostname;
  const layers = [{ value: { node: name() }, origin: () => 'host name' }, file, environment, options];
  const merged = layers.reduce<unknown>((below, layer) => merge(below, layer.value), {});
  const result = findProblems(merged);
  problems.push(...result.problems.map(({ path, reason }) => ({ path, reason, origin: originOf(path, layers) })));
  if (result.config === undefined || problems.length > 0) throw refusal(problems);
  return result.config;
}

function refusal(problems: readonly ConfigProblem[]): AgentError {
  const lines = problems.map(({ path, reason, origin }) => `  ${[origin, path].filter((part) => part !== '').join(': ')}: ${reason}`);
  return new AgentError('E_CONFIG', `the configuration is refused (${problems.length} problem${problems.length === 1 ? '' : 's'}):\n${lines.join('\n')}`, {
    context: { problems },
  });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** The file as a layer; a file that was asked for must exist, the default one need not. */
function readLayer(path: string, required: boolean, readFile: ConfigInput['readFile'], problems: ConfigProblem[]): Layer {
  const none: Layer = { value: {}, origin: () => path };
  let text: string | undefined;
  try {
    text = readFile(path);
  } catch (error) {
    problems.push({ path: '', reason: `cannot be read: ${describeError(error)}`, origin: path });
    return none;
  }
  if (text === undefined) {
    if (required) problems.push({ path: '', reason: 'there is no such file', origin: path });
    return none;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  for (const error of document.errors) problems.push({ path: '', reason: error.message, origin: `${path}:${lines.linePos(error.pos[0]).line}` });
  if (document.errors.length > 0) return none;
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 }); // throws at an alias of nothing, and at more aliases than that
  } catch (error) {
    problems.push({ path: '', reason: describeError(error), origin: path });
    return none;
  }
  if (value !== null && !isTree(value)) {
    problems.push({ path: '', reason: 'must be a mapping of keys to values', origin: path });
    return none;
  }
  const lineOf = (at: readonly string[]): number | undefined => {
    for (let depth = at.length; depth > 0; depth--) {
      const node = document.getIn(at.slice(0, depth).map((part) => (/^\d+$/.test(part) ? Number(part) : part)), true);
      if (hasRange(node)) return lines.linePos(node.range[0]).line;
    }
    return undefined;
  };
  return { value: value ?? {}, origin: (at) => [path, lineOf(at)].filter((part) => part !== undefined).join(':') };
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}

/** Values given as text: numbers, booleans and lists are read as what the schema wants; what cannot be is left for validation. */
function textLayer(keys: readonly ConfigKey[], textOf: (key: ConfigKey) => string | undefined, nameOf: (key: ConfigKey) => string, problems: ConfigProblem[]): Layer {
  const value: Tree = {};
  const names = new Map<string, string>();
  for (const key of keys) {
    const text = textOf(key);
    if (text === undefined) continue;
    names.set(key.path.join('.'), nameOf(key));
    try {
      put(value, key.path, key.schema.type === 'string' ? text : parse(text));
    } catch (error) {
      problems.push({ path: '', reason: `is no YAML: ${describeError(error)}`, origin: nameOf(key) });
    }
  }
  return { value, origin: (at) => [...names].find(([path]) => at.join('.') === path || at.join('.').startsWith(`${path}.`))?.[1] ?? '' };
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path;
  if (name === undefined) return;
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  const child = tree[name];
  const below: Tree = isTree(child) ? child : {};
  tree[name] = below;
  put(below, rest, value);
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Mappings are merged key by key; anything else above replaces what is below. */
function merge(below: unknown, above: unknown): unknown {
  if (!isTree(below) || !isTree(above)) return above;
  const result: Tree = { ...below };
  for (const [name, value] of Object.entries(above)) result[name] = name in below ? merge(below[name], value) : value;
  return result;
}

/** The highest layer that holds a value at the path, or on the way to it. */
function originOf(path: string, layers: readonly Layer[]): string {
  const parts = path === '' ? [] : path.split(/\.|\[|\]\.?/).filter((part) => part !== '');
  for (let depth = parts.length; depth > 0; depth--) {
    const holder = layers.findLast((layer) => holds(layer.value, parts.slice(0, depth)));
    if (holder !== undefined) return holder.origin(parts);
  }
  return '';
}

function holds(value: unknown, path: readonly string[]): boolean {
  let at: unknown = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return false;
    at = Reflect.get(at, part);
  }
  return true;
}
