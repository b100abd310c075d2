import { CONFIG_SCHEMA } from './config-schema.js';
import type { ConfigSchema } from './config-schema.js';

/** One settable key: a leaf of the schema, with the names it has in each place. */
export interface ConfigKey {
  /** ["api", "socket"] */
  readonly path: readonly string[];
  /** "--api-socket" */
  readonly flag: string;
  /** "DFW_API_SOCKET" */
  readonly variable: string;
  readonly schema: ConfigSchema;
}

/** Every settable key in the order of the schema. Lists (sources) are one key; their text is YAML. */
export function configKeys(): ConfigKey[] {
  return leaves(CONFIG_SCHEMA, []);
}

function leaves(schema: ConfigSchema, path: readonly string[]): ConfigKey[] {
  if (schema.properties !== undefined) return Object.entries(schema.properties).flatMap(([name, child]) => leaves(child, [...path, name]));
  const words = path.flatMap((name) => name.split(/(?<=[a-z0-9])(?=[A-Z])/)).map((word) => word.toLowerCase());
  return [{ path, flag: `--${words.join('-')}`, variable: `DFW_${words.join('_').toUpperCase()}`, schema }];
}
