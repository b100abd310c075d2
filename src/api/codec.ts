/**
 * Codecs between the agent's views and protobuf messages as plain objects (the form schema.ts takes and gives:
 * no defaults, 64-bit integers as numbers). Proto3 leaves out default values and knows no absent lists, while the views
 * tell absent from empty: a codec knows of every field whether it may be absent and restores exactly that.
 * decode() refuses (AgentError E_INVALID, path = the field) what does not fit its type; encode() never fails.
 */
import { AgentError } from '../model/errors.js';

export interface Field<T> {
  readonly presence: 'required';
  encode(value: T): unknown;
  /** `wire` is undefined where the peer left out a default value. */
  decode(wire: unknown, path: string): T;
}
export interface OptionalField<T> {
  readonly presence: 'optional';
  encode(value: T): unknown;
  /** Called only when the field is present. */
  decode(wire: unknown, path: string): T;
}
/** One codec a key: a key that may be absent needs an optional() one, any other must not have one. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? OptionalField<Exclude<T[K], undefined>> : Field<T[K]>;
};

function refuse(path: string, expected: string, wire: unknown): AgentError {
  return new AgentError('E_INVALID', `expected ${expected}, got ${typeof wire}`, { path });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const text: Field<string> = {
  presence: 'required',
  encode: (value) => value,
  decode(wire, path) {
    if (wire === undefined) return '';
    if (typeof wire === 'string') return wire;
    throw refuse(path, 'text', wire);
  },
};

/** Integers up to 2^53 (larger ones lose precision on the wire's 64 bits) or doubles, as the .proto says. */
export const number: Field<number> = {
  presence: 'required',
  encode: (value) => value,
  decode(wire, path) {
    if (wire === undefined) return 0;
    if (typeof wire === 'number') return wire;
    throw refuse(path, 'a number', wire);
  },
};

export const flag: Field<boolean> = {
  presence: 'required',
  encode: (value) => value,
  decode(wire, path) {
    if (wire === undefined) return false;
    if (typeof wire === 'boolean') return wire;
    throw refuse(path, 'a boolean', wire);
  },
};

export const bytes: Field<Uint8Array> = {
  presence: 'required',
  encode: (value) => value,
  decode(wire, path) {
    if (wire === undefined) return new Uint8Array(0);
    if (wire instanceof Uint8Array) return wire;
    throw refuse(path, 'bytes', wire);
  },
};

/** The literal true of a field that is either absent or true. */
export const yes: Field<true> = {
  presence: 'required',
  encode: (value) => value,
  decode(wire, path) {
    if (wire === true) return true;
    throw refuse(path, 'true', wire);
  },
};

export function oneOf<const V extends readonly (string | number)[]>(...values: V): Field<V[number]> {
  return {
    presence: 'required',
    encode: (value) => value,
    decode(wire, path) {
      const found = values.find((value) => value === wire);
      if (found !== undefined) return found;
      throw new AgentError('E_INVALID', `expected one of ${values.join(', ')}, got ${JSON.stringify(wire)}`, { path });
    },
  };
}

export function list<T>(item: Field<T>): Field<T[]> {
  return {
    presence: 'required',
    encode: (values) => values.map((value) => item.encode(value)),
    decode(wire, path) {
      if (wire === undefined) return [];
      if (!Array.isArray(wire)) throw refuse(path, 'a list', wire);
      return wire.map((value: unknown, index) => item.decode(value, `${path}[${index}]`));
    },
  };
}

/** A list of texts in a StringList message, for fields where absent and empty differ. */
export const textList: Field<string[]> = {
  presence: 'required',
  encode: (values) => ({ values }),
  decode(wire, path) {
    if (!isRecord(wire)) throw refuse(path, 'a list', wire);
    return list(text).decode(wire['values'], path);
  },
};

/** Counters by name as a list of pairs: keeps their order. */
export const counts: Field<Record<string, number>> = {
  presence: 'required',
  encode: (value) => Object.entries(value).map(([name, count]) => ({ name, count })),
  decode(wire, path) {
    return Object.fromEntries(list(namedCount).decode(wire, path).map(({ name, count }) => [name, count]));
  },
};

/** Texts by name, in a message of their own: an empty map is not an absent one. */
export const textMap: Field<Record<string, string>> = {
  presence: 'required',
  encode: (value) => ({ labels: Object.entries(value).map(([name, held]) => ({ name, value: held })) }),
  decode(wire, path) {
    const pairs = list(namedText).decode(isRecord(wire) ? wire['labels'] : undefined, path);
    return Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
  },
};

/** Any JSON value as text; a value JSON cannot hold (undefined) is sent as absent and comes back undefined. */
export const json: Field<unknown> = {
  presence: 'required',
  encode: (value) => JSON.stringify(value),
  decode(wire, path) {
    if (wire === undefined) return undefined;
    if (typeof wire !== 'string') throw refuse(path, 'JSON text', wire);
    try {
      const value: unknown = JSON.parse(wire);
      return value;
    } catch (cause) {
      throw new AgentError('E_INVALID', 'expected JSON text', { path, cause });
    }
  },
};

export function optional<T>(field: Field<T>): OptionalField<T> {
  return { presence: 'optional', encode: (value) => field.encode(value), decode: (wire, path) => field.decode(wire, path) };
}

export function message<T extends object>(fields: Fields<T>, names: Partial<Record<keyof T & string, string>> = {}): Field<T> {
  const wireNames: Readonly<Record<string, string | undefined>> = names;
  const entries = Object.entries<Field<unknown> | OptionalField<unknown>>(fields).map(([key, field]) => ({ key, field, wire: wireNames[key] ?? key }));
  return {
    presence: 'required',
    encode(value) {
      const source = new Map<string, unknown>(Object.entries(value));
      const encoded: Record<string, unknown> = {};
      for (const { key, field, wire } of entries) {
        const part = source.get(key);
        if (part !== undefined) encoded[wire] = field.encode(part);
      }
      return encoded;
    },
    decode(wire, path) {
      if (wire !== undefined && !isRecord(wire)) throw refuse(path, 'a message', wire);
      const decoded: Record<string, unknown> = {};
      for (const { key, field, wire: name } of entries) {
        const part = wire?.[name];
        if (field.presence === 'optional' && (part === undefined || part === null)) continue;
        decoded[key] = field.decode(part ?? undefined, path === '' ? key : `${path}.${key}`);
      }
      if (isComplete(decoded, fields)) return decoded;
      throw new AgentError('E_INTERNAL', 'a codec left out a required field', { path });
    },
  };
}

/** Fields<T> holds exactly the keys of T, each with the codec of its type: what they decoded is a T when no required key is missing. */
function isComplete<T extends object>(decoded: Record<string, unknown>, fields: Fields<T>): decoded is Record<string, unknown> & T {
  return Object.entries<Field<unknown> | OptionalField<unknown>>(fields).every(([key, field]) => field.presence === 'optional' || key in decoded);
}

const namedCount: Field<{ name: string; count: number }> = message<{ name: string; count: number }>({ name: text, count: number });
const namedText: Field<{ name: string; value: string }> = message<{ name: string; value: string }>({ name: text, value: text });
