import { configKeys } from './config-keys.js';
import type { ConfigKey } from './config-keys.js';
import type { ConfigSchema } from './config-schema.js';

/** docs/config.md, made from the schema; scripts/gen-config-doc writes it and a test compares. */
export function renderConfigDoc(): string {
  const keys = configKeys();
  return [
    '<!-- Made by scripts/gen-config-doc from src/app/config-schema.ts; edit there. -->',
    '# Configuration of dfw-agent',
    '',
    '`dfw-agent --config FILE`; without the option (or the variable `DFW_CONFIG`) the file is `/etc/dfw-agent/agent.yaml`, and then it may be absent.',
    'Every key below can also be given as an option or as an environment variable. The order, key by key: **option, environment variable, file, default**.',
    'Lists are given as YAML in one word: `--sources \'[{type: file, path: /srv/manifests}]\'`. An empty environment variable counts as not set.',
    '',
    '`dfw-agent --check-config` reads everything, prints every problem at once (place, key, reason) and exits 0 or 2. Unknown keys and options are',
    'refused with the nearest known name. `HUP` reads the configuration again; a refused one changes nothing.',
    '',
    '| key | option | variable | value | default | meaning |',
    '|---|---|---|---|---|---|',
    ...keys.map(row),
    '',
    '## The defaults as a file',
    '',
    '```yaml',
    ...yamlOf(keys),
    '```',
    '',
  ].join('\n');
}

function row({ path, flag, variable, schema }: ConfigKey): string {
  const cells = [code(path.join('.')), code(flag), code(variable), valuesOf(schema), schema.default === undefined ? '' : code(JSON.stringify(schema.default)), schema.description ?? ''];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function valuesOf(schema: ConfigSchema): string {
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  if (schema.minimum !== undefined && schema.maximum !== undefined) return `${schema.minimum} to ${schema.maximum}`;
  return schema.format ?? schema.type;
}

function yamlOf(keys: readonly ConfigKey[]): string[] {
  const lines: string[] = [];
  let groups: readonly string[] = [];
  for (const { path, schema } of keys) {
    const parents = path.slice(0, -1);
    const indent = '  '.repeat(parents.length);
    const value = JSON.stringify(schema.default);
    let shared = 0;
    while (shared < parents.length && groups[shared] === parents[shared]) shared += 1;
    for (let depth = shared; depth < parents.length; depth += 1) lines.push(`${'  '.repeat(depth)}${parents[depth] ?? ''}:`);
    lines.push(value === undefined ? `# ${path.join('.')}: the host name` : `${indent}${path.at(-1) ?? ''}: ${value}`);
    groups = parents;
  }
  return lines;
}
