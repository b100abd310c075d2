import { parseArgs } from 'node:util';
import { nearest } from '../model/nearest.js';
import { quote } from '../model/quote.js';
import { configKeys } from './config-keys.js';
import type { ConfigKey } from './config-keys.js';

export const DEFAULT_CONFIG_FILE = '/etc/dfw-agent/agent.yaml';

export interface CommandLine {
  readonly command: 'run' | 'check-config' | 'help' | 'version';
  /** --config; undefined when not given. */
  readonly configFile: string | undefined;
  /** Text given for keys, by flag; a flag given twice keeps its last value. */
  readonly values: ReadonlyMap<string, string>;
  /** Every mistake of the command line, each a sentence. */
  readonly problems: readonly string[];
}

const COMMANDS = new Map<string, CommandLine['command']>([['check-config', 'check-config'], ['help', 'help'], ['version', 'version']]);

/** Reads the daemon's arguments (without node and script). Never throws: mistakes are in `problems`. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const keys = new Map(configKeys().map((key) => [key.flag.slice(2), key]));
  const known = ['config', ...COMMANDS.keys(), ...keys.keys()];
  const values = new Map<string, string>();
  const problems: string[] = [];
  let command: CommandLine['command'] = 'run';
  let configFile: string | undefined;

  const { tokens } = parseArgs({ args: [...argv], strict: false, tokens: true, options: optionsOf(known) });
  let unknownAt = Number.NEGATIVE_INFINITY;
  for (const token of tokens) {
    // A word after an unknown option is most likely its value.
    if (token.kind === 'positional' && token.index !== unknownAt + 1) problems.push(`unexpected argument ${quote(token.value)}`);
    if (token.kind !== 'option') continue;
    if (!known.includes(token.name)) unknownAt = token.index;
    const wanted = COMMANDS.get(token.name);
    if (wanted !== undefined && token.value === undefined) command = wanted;
    else if (wanted !== undefined) problems.push(`${token.rawName} takes no value`);
    else if (!known.includes(token.name)) problems.push(unknownFlag(token.rawName, known));
    else if (token.name === 'config') configFile = token.value ?? configFile;
    else values.set(`--${token.name}`, token.value ?? impliedValue(keys.get(token.name)));
    if (token.value === undefined && needsValue(token.name, keys)) problems.push(`${token.rawName} needs a value`);
  }
  return { command, configFile, values, problems };
}

function optionsOf(known: readonly string[]): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const name of known) options[name] = { type: COMMANDS.has(name) ? 'boolean' : 'string' };
  options['help'] = { type: 'boolean', short: 'h' };
  return options;
}

/** `--ids-enabled` alone means true. */
function impliedValue(key: ConfigKey | undefined): string {
  return key?.schema.type === 'boolean' ? 'true' : '';
}

function needsValue(name: string, keys: ReadonlyMap<string, ConfigKey>): boolean {
  const key = keys.get(name);
  return name === 'config' || (key !== undefined && key.schema.type !== 'boolean');
}

function unknownFlag(flag: string, known: readonly string[]): string {
  const near = nearest(flag.replace(/^-+/, ''), known);
  return `unknown option ${quote(flag)}${near === undefined ? '' : `; did you mean --${near}?`}`;
}

/** The text of --help. */
export function commandLineHelp(): string {
  const rows = configKeys().map(({ flag, variable, schema }) => `  ${flag.padEnd(26)} ${variable.padEnd(28)} ${schema.enum?.join(' | ') ?? schema.type}`);
  return [
    'dfw-agent: the distributed firewall of this host, in the foreground; log lines (JSON) on standard output.',
    '',
    'Usage: dfw-agent [--config FILE] [--KEY VALUE]...',
    '',
    `  --config FILE              configuration file; default ${DEFAULT_CONFIG_FILE}, which may be absent (variable DFW_CONFIG)`,
    '  --check-config             validate the configuration and exit: 0 good, 2 refused',
    '  --version                  print the version and exit',
    '  -h, --help                 this text',
    '',
    'Every key of the file is also an option and an environment variable; an option wins over the variable, the variable over',
    'the file. Lists are written as YAML: --sources \'[{type: file, path: /etc/dfw-agent/manifests}]\'. See docs/config.md.',
    '',
    ...rows,
    '',
    'Signals: TERM, INT stop (the datapath goes on enforcing); HUP reads the configuration again; USR1 opens log files again.',
    'Exit codes: 0 stopped; 1 failed; 2 configuration or usage refused.',
    '',
  ].join('\n');
}
