/** A database's schema (RFC 7047, section 3.2), as far as values need it. */
import { AgentError } from '../../../model/errors.js';
import type { AtomType, ColumnType } from './values.js';

export interface DatabaseSchema {
  readonly name: string;
  readonly version: string;
  /** Table → column → type, without _uuid and _version. */
  readonly tables: ReadonlyMap<string, ReadonlyMap<string, ColumnType>>;
}

const ATOM_TYPES: ReadonlySet<unknown> = new Set<AtomType>(['integer', 'real', 'boolean', 'string', 'uuid']);

/** Throws E_PARSE for what is no schema. */
export function parseSchema(json: unknown): DatabaseSchema {
  const schema = record(json, 'the schema');
  const tables = new Map<string, ReadonlyMap<string, ColumnType>>();
  for (const [table, definition] of Object.entries(record(schema['tables'], 'tables'))) {
    const columns = new Map<string, ColumnType>();
    for (const [column, columnJson] of Object.entries(record(record(definition, table)['columns'], table))) {
      columns.set(column, parseType(record(columnJson, column)['type'], `${table}.${column}`));
    }
    tables.set(table, columns);
  }
  return { name: String(schema['name']), version: typeof schema['version'] === 'string' ? schema['version'] : '', tables };
}

function parseType(json: unknown, place: string): ColumnType {
  if (typeof json === 'string') return { key: atomType(json, place), min: 1, max: 1 };
  const type = record(json, place);
  const max = type['max'] ?? 1;
  const min = type['min'] ?? 1;
  if (typeof min !== 'number' || (typeof max !== 'number' && max !== 'unlimited')) throw wrong(place);
  return {
    key: baseType(type['key'], place),
    ...(type['value'] === undefined ? {} : { value: baseType(type['value'], place) }),
    min,
    max: max === 'unlimited' ? Infinity : max,
  };
}

const baseType = (json: unknown, place: string): AtomType => atomType(typeof json === 'string' ? json : record(json, place)['type'], place);

function atomType(json: unknown, place: string): AtomType {
  if (!ATOM_TYPES.has(json)) throw wrong(place);
  return json as AtomType;
}

function record(json: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw wrong(place);
  return json as Readonly<Record<string, unknown>>;
}

const wrong = (place: string): AgentError => new AgentError('E_PARSE', 'the database sent a schema that cannot be read', { object: 'OVSDB', path: place });
