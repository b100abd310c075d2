/**
 * Values of OVSDB columns (RFC 7047, sections 3.2 and 5.1) as plain TypeScript. What a column holds follows from its type:
 * exactly one atom → the atom; at most one → the atom or undefined; any other set → a sorted array without doubles; a map → a
 * Map in order of its keys. UUIDs are strings. Integers beyond 2^53 lose their last digits, as JSON numbers do in JavaScript.
 */
import { AgentError } from '../../../model/errors.js';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Atom = string | number | boolean;
export type AtomType = 'integer' | 'real' | 'boolean' | 'string' | 'uuid';
export type OvsdbValue = Atom | undefined | readonly Atom[] | ReadonlyMap<Atom, Atom>;

export interface ColumnType {
  readonly key: AtomType;
  /** Of a map. */
  readonly value?: AtomType;
  readonly min: number;
  /** Infinity for "unlimited". */
  readonly max: number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const isMap = (type: ColumnType): type is ColumnType & { readonly value: AtomType } => type.value !== undefined;
const isScalar = (type: ColumnType): boolean => type.value === undefined && type.max === 1;

/** Throws E_PARSE for JSON that is no value of this type. Counts other than "at most one" are not checked: the server does that. */
export function decodeValue(type: ColumnType, json: unknown): OvsdbValue {
  if (isMap(type)) return sortedMap(pairsOf(json).map(([key, value]) => [decodeAtom(type.key, key), decodeAtom(type.value, value)]));
  const atoms = elementsOf(json).map((element) => decodeAtom(type.key, element));
  if (!isScalar(type)) return sortedSet(atoms);
  if (atoms.length > 1) throw wrong('at most one value', json);
  if (atoms.length === 0 && type.min > 0) throw wrong('exactly one value', json);
  return atoms[0];
}

/** The inverse of decodeValue. Throws E_INTERNAL for a value of another form. */
export function encodeValue(type: ColumnType, value: OvsdbValue): Json {
  if (value instanceof Map) {
    if (isMap(type)) return ['map', [...(value as ReadonlyMap<Atom, Atom>)].map(([key, item]) => [encodeAtom(type.key, key), encodeAtom(type.value, item)])];
  } else if (!isMap(type)) {
    if (value === undefined) return ['set', []];
    if (Array.isArray(value)) return ['set', (value as readonly Atom[]).map((atom) => encodeAtom(type.key, atom))];
    if (typeof value !== 'object') return encodeAtom(type.key, value);
  }
  throw new AgentError('E_INTERNAL', 'a value that does not fit its column', { object: 'OVSDB' });
}

/** What a column holds that an "initial" or "insert" row update leaves out (ovsdb-server(7), update2). */
export function defaultValue(type: ColumnType): OvsdbValue {
  if (isMap(type)) return new Map();
  if (!isScalar(type)) return type.min === 0 ? [] : [defaultAtom(type.key)];
  return type.min === 0 ? undefined : defaultAtom(type.key);
}

/**
 * The value after a "modify" row update (ovsdb-server(7), update2): columns of at most one element come whole; of other sets
 * the elements that came or went; of maps the pairs that came, went (with the value they had) or changed (with the new value).
 */
export function applyDifference(type: ColumnType, before: OvsdbValue, json: unknown): OvsdbValue {
  const difference = decodeValue(type, json);
  if (type.max === 1) return difference;
  if (difference instanceof Map) {
    const result = new Map(before as ReadonlyMap<Atom, Atom>);
    for (const [key, value] of difference as ReadonlyMap<Atom, Atom>) {
      if (result.get(key) === value) result.delete(key);
      else result.set(key, value);
    }
    return sortedMap([...result]);
  }
  const result = new Set(before as readonly Atom[]);
  for (const atom of difference as readonly Atom[]) if (!result.delete(atom)) result.add(atom);
  return sortedSet([...result]);
}

/** Both decoded for the same column. */
export function sameValue(left: OvsdbValue, right: OvsdbValue): boolean {
  if (left === right) return true;
  if (left instanceof Map && right instanceof Map) {
    const other = right as ReadonlyMap<Atom, Atom>;
    if (left.size !== other.size) return false;
    for (const [key, value] of left as ReadonlyMap<Atom, Atom>) if (other.get(key) !== value) return false;
    return true;
  }
  if (Array.isArray(left) && Array.isArray(right)) return left.length === right.length && left.every((atom, index) => atom === right[index]);
  return false;
}

function decodeAtom(type: AtomType, json: unknown): Atom {
  switch (type) {
    case 'integer':
      if (typeof json === 'number' && Number.isInteger(json)) return json;
      break;
    case 'real':
      if (typeof json === 'number') return json;
      break;
    case 'boolean':
      if (typeof json === 'boolean') return json;
      break;
    case 'string':
      if (typeof json === 'string') return json;
      break;
    case 'uuid':
      if (Array.isArray(json) && json.length === 2 && json[0] === 'uuid' && typeof json[1] === 'string' && UUID.test(json[1])) return json[1];
      break;
  }
  throw wrong(`a value of type ${type}`, json);
}

const encodeAtom = (type: AtomType, atom: Atom): Json => (type === 'uuid' ? ['uuid', String(atom)] : atom);

function defaultAtom(type: AtomType): Atom {
  switch (type) {
    case 'integer':
    case 'real':
      return 0;
    case 'boolean':
      return false;
    case 'string':
      return '';
    case 'uuid':
      return '00000000-0000-0000-0000-000000000000';
  }
}

/** A set of exactly one element may be written as that element. */
function elementsOf(json: unknown): readonly unknown[] {
  if (!Array.isArray(json) || json[0] !== 'set') return [json];
  if (json.length !== 2 || !Array.isArray(json[1])) throw wrong('a set', json);
  return json[1] as readonly unknown[];
}

function pairsOf(json: unknown): readonly (readonly [unknown, unknown])[] {
  if (!Array.isArray(json) || json.length !== 2 || json[0] !== 'map' || !Array.isArray(json[1])) throw wrong('a map', json);
  return (json[1] as readonly unknown[]).map((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrong('a pair', pair);
    return [pair[0], pair[1]] as const;
  });
}

function compareAtoms(left: Atom, right: Atom): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function sortedSet(atoms: readonly Atom[]): readonly Atom[] {
  return atoms.toSorted(compareAtoms).filter((atom, index, all) => index === 0 || atom !== all[index - 1]);
}

function sortedMap(pairs: readonly (readonly [Atom, Atom])[]): ReadonlyMap<Atom, Atom> {
  return new Map(pairs.toSorted(([left], [right]) => compareAtoms(left, right)));
}

function wrong(expected: string, json: unknown): AgentError {
  return new AgentError('E_PARSE', `the database sent ${(JSON.stringify(json) ?? 'nothing').slice(0, 80)} where ${expected} should stand`, { object: 'OVSDB' });
}
