/**
 * Protobuf messages (proto3, https://protobuf.dev/programming-guides/encoding) as plain objects, by descriptions that scripts/gen-schema
 * makes of the files in proto/. Interpreted, not generated at start: compiling a serializer takes longer than most messages, and
 * agentctl sends one. The bytes themselves are protobuf.js's Reader and Writer.
 */
import protobuf from 'protobufjs/minimal.js';
import { AgentError } from '../model/errors.js';

export interface FieldDescription { readonly type: string; readonly id: number; readonly rule?: string }
export interface MessageDescription { readonly fields?: Readonly<Record<string, FieldDescription>> }
export interface MessageOptions {
  /** parse() keeps the bytes of fields that the description does not have, and serialize() writes them again; default: they are dropped. */
  readonly keepUnknown?: boolean;
}

type Writer = protobuf.Writer;
type Reader = protobuf.Reader;

interface Scalar {
  readonly wireType: number;
  write(writer: Writer, value: unknown): void;
  read(reader: Reader): unknown;
}
interface Field extends Scalar { readonly name: string; readonly id: number; readonly repeated: boolean }
interface Layout { readonly byNumber: ReadonlyMap<number, Field>; readonly inOrder: readonly Field[] }

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;

/** Where parse() keeps what it does not know. */
const UNKNOWN = Symbol('unknown fields');

/** The scalar types that the schemas use; int64 are numbers, beyond 2^53 the nearest one, uint64 decimal text. */
const SCALARS: Readonly<Record<string, Scalar>> = {
  string: { wireType: LENGTH, write: (writer, value) => void writer.string(String(value)), read: (reader) => reader.string() },
  bytes: { wireType: LENGTH, write: (writer, value) => void writer.bytes(value instanceof Uint8Array ? value : new Uint8Array(0)), read: (reader) => reader.bytes() },
  bool: { wireType: VARINT, write: (writer, value) => void writer.bool(value === true), read: (reader) => reader.bool() },
  uint32: { wireType: VARINT, write: (writer, value) => void writer.uint32(Number(value)), read: (reader) => reader.uint32() },
  int32: { wireType: VARINT, write: (writer, value) => void writer.int32(Number(value)), read: (reader) => reader.int32() },
  uint64: { wireType: VARINT, write: (writer, value) => void writer.uint64(String(value)), read: (reader) => decimal(reader.uint64()) },
  int64: { wireType: VARINT, write: (writer, value) => void writer.int64(Number(value)), read: (reader) => numberOf(reader.int64()) },
  double: { wireType: FIXED64, write: (writer, value) => void writer.double(Number(value)), read: (reader) => reader.double() },
};

/** protobuf.js reads a Long where that package is installed, else a number. */
function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : Number(String(value));
}

function decimal(value: number | { toString(): string }): string {
  return value.toString();
}

/** protobuf.js cuts a text short where its length goes beyond the bytes. */
function checkLength(reader: Reader, end: number): void {
  const { pos } = reader;
  if (reader.uint32() > end - reader.pos) throw new RangeError('a protobuf field goes beyond its message');
  reader.pos = pos;
}

export class Messages {
  readonly #layouts = new Map<string, Layout>();

  /** By name, as they lie in the namespace of a package. Nothing is checked before it is used. */
  constructor(private readonly descriptions: Readonly<Record<string, MessageDescription>>, private readonly options: MessageOptions = {}) {}

  /** The bytes of a message. Fields that are absent, undefined or null are left out, keys that are no fields ignored. Throws E_INTERNAL for a name that is no message. */
  serialize(name: string, value: object): Buffer {
    const writer = protobuf.Writer.create();
    this.#write(this.#layout(name), writer, value);
    const bytes = writer.finish();
    const known = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const unknown: unknown = Reflect.get(value, UNKNOWN);
    return unknown instanceof Uint8Array ? Buffer.concat([known, unknown]) : known;
  }

  /** The fields that are there; of unknown ones see MessageOptions. Throws RangeError or Error for bytes that are no message, E_INTERNAL as above. */
  parse(name: string, bytes: Uint8Array): object {
    const reader = protobuf.Reader.create(bytes);
    return this.#read(this.#layout(name), reader, reader.len);
  }

  #write({ inOrder }: Layout, writer: Writer, value: object): void {
    for (const field of inOrder) {
      const held: unknown = Reflect.get(value, field.name);
      if (held === undefined || held === null) continue;
      for (const one of field.repeated && Array.isArray(held) ? held : [held]) {
        writer.uint32(field.id << 3 | field.wireType);
        field.write(writer, one);
      }
    }
  }

  #read({ byNumber }: Layout, reader: Reader, end: number): object {
    const value: Record<string | symbol, unknown> = {};
    const unknown: Uint8Array[] = [];
    while (reader.pos < end) {
      const began = reader.pos;
      const tag = reader.uint32();
      const field = byNumber.get(tag >>> 3);
      if (field === undefined || field.wireType !== (tag & 7)) {
        reader.skipType(tag & 7);
        if (this.options.keepUnknown === true) unknown.push(reader.buf.slice(began, reader.pos));
        continue;
      }
      if (field.wireType === LENGTH) checkLength(reader, end);
      const one = field.read(reader);
      const earlier = value[field.name];
      if (!field.repeated) value[field.name] = one;
      else if (Array.isArray(earlier)) earlier.push(one);
      else value[field.name] = [one];
    }
    if (reader.pos !== end) throw new RangeError('a protobuf message ends in the middle of a field');
    if (unknown.length > 0) value[UNKNOWN] = Buffer.concat(unknown);
    return value;
  }

  #layout(name: string): Layout {
    const known = this.#layouts.get(name);
    if (known !== undefined) return known;
    const description = Object.hasOwn(this.descriptions, name) ? this.descriptions[name] : undefined;
    if (description?.fields === undefined) throw new AgentError('E_INTERNAL', `no message ${name}`);
    const fields = Object.entries(description.fields).map(([key, { type, id, rule }]): Field => ({
      name: key, id, repeated: rule === 'repeated', ...(SCALARS[type] ?? this.#message(type)),
    }));
    const layout = { byNumber: new Map(fields.map((field) => [field.id, field])), inOrder: fields.toSorted((a, b) => a.id - b.id) };
    this.#layouts.set(name, layout);
    return layout;
  }

  #message(type: string): Scalar {
    return {
      wireType: LENGTH,
      write: (writer, value) => {
        if (this.options.keepUnknown === true) {
          writer.bytes(this.serialize(type, typeof value === 'object' && value !== null ? value : {}));
          return;
        }
        writer.fork();
        if (typeof value === 'object' && value !== null) this.#write(this.#layout(type), writer, value);
        writer.ldelim();
      },
      read: (reader) => {
        const length = reader.uint32();
        return this.#read(this.#layout(type), reader, reader.pos + length);
      },
    };
  }
}

/**
 * The message, with the unknown fields that `previous` (as parse() gave it) has at the same places: in messages of one field, and in those elements of
 * lists that have the same `id`, `name` or `key`, each used once.
 */
export function withUnknownOf(message: object, previous: unknown): object {
  if (typeof previous !== 'object' || previous === null) return message;
  const result: Record<string | symbol, unknown> = { ...message };
  const unknown: unknown = Reflect.get(previous, UNKNOWN);
  if (unknown !== undefined) result[UNKNOWN] = unknown;
  for (const [name, value] of Object.entries(message)) {
    const before: unknown = Reflect.get(previous, name);
    if (Array.isArray(value) && Array.isArray(before)) result[name] = listWithUnknown(value, before);
    else if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)) result[name] = withUnknownOf(value as object, before);
  }
  return result;
}

function listWithUnknown(list: readonly unknown[], previous: readonly unknown[]): unknown[] {
  const left = new Map<string, unknown[]>();
  for (const element of previous) {
    const key = keyOf(element);
    if (key !== undefined) left.set(key, [...(left.get(key) ?? []), element]);
  }
  return list.map((element: unknown) => {
    const before = left.get(keyOf(element) ?? '')?.shift();
    return typeof element === 'object' && element !== null && before !== undefined ? withUnknownOf(element, before) : element;
  });
}

function keyOf(element: unknown): string | undefined {
  if (typeof element !== 'object' || element === null) return undefined;
  const key: unknown = Reflect.get(element, 'id') ?? Reflect.get(element, 'name') ?? Reflect.get(element, 'key');
  return typeof key === 'string' || typeof key === 'number' ? String(key) : undefined;
}
