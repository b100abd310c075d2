/** OXM and NXM: headers and values of fields, in matches and in actions (OpenFlow 1.5.1, 7.2.3; nicira-ext.h). */
import { malformed, readU32, unencodable } from './bytes.js';
import type { ByteReader, ByteWriter } from './bytes.js';
import { OF14 } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { fieldNamed, fieldNumbered } from './fields.js';
import type { Field, FieldName, OxmNumber } from './fields.js';

/** Numbers for fields of any width (whole, not negative); bytes for exactly the field's length. Decoding gives a number up to 32 bits, else a bigint. */
export type FieldValue = number | bigint | Uint8Array;

/** Some bits of a field: `bits` of them, the lowest is bit `offset` (0 = least significant). */
export interface Subfield {
  readonly field: FieldName;
  readonly offset: number;
  readonly bits: number;
}

/** A part of a field; without a range the whole field. */
export function subfield(field: FieldName, offset = 0, bits: number = fieldNamed(field).bits - offset): Subfield {
  return { field, offset, bits };
}

/** Value and mask, brought into one form: numbers up to 32 bits, else bigints; no mask when all bits count. */
export interface Masked {
  readonly value: number | bigint;
  readonly mask: number | bigint | undefined;
}

export interface OxmHeader {
  readonly class: number;
  readonly number: number;
  readonly experimenter: number;
  readonly masked: boolean;
  /** Bytes of value and mask. */
  readonly length: number;
}

const EXPERIMENTER_CLASS = 0xffff;

export function oxmNumber(field: Field, version: OpenFlowVersion): OxmNumber {
  return version === OF14 ? field.oxm14 : field.oxm15;
}

/** The number that Nicira's actions use: the old one where there is one. */
export function nxmNumber(field: Field): OxmNumber {
  return field.nxm ?? field.oxm15;
}

export function writeHeader(writer: ByteWriter, number: OxmNumber, masked: boolean, valueBytes: number): void {
  const payload = masked ? valueBytes * 2 : valueBytes;
  const experimenter = number.experimenter;
  writer.u16(number.class);
  writer.u8((number.field << 1) | (masked ? 1 : 0));
  writer.u8(experimenter === undefined ? payload : payload + 4);
  if (experimenter !== undefined) writer.u32(experimenter);
}

export function readHeader(reader: ByteReader): OxmHeader {
  const oxmClass = reader.u16();
  const fieldAndMask = reader.u8();
  const length = reader.u8();
  const header = { class: oxmClass, number: fieldAndMask >> 1, masked: (fieldAndMask & 1) === 1 };
  if (oxmClass !== EXPERIMENTER_CLASS) return { ...header, experimenter: 0, length };
  if (length < 4) throw malformed('an experimenter field is too short');
  return { ...header, experimenter: reader.u32(), length: length - 4 };
}

/** The field of a header without value, as actions have it. E_PARSE for fields that we do not know. */
export function readFieldHeader(reader: ByteReader): Field {
  const header = readHeader(reader);
  const field = fieldNumbered(header.class, header.number, header.experimenter);
  if (field === undefined) throw malformed('an action names an unknown field', { class: header.class, field: header.number });
  if (header.length !== field.bytes || header.masked) throw malformed(`an action names ${field.name} with a wrong length`, { length: header.length });
  return field;
}

/** E_INVALID when the range is not inside of the field or names no bits. */
export function checkedSubfield(part: Subfield): Field {
  const field = fieldNamed(part.field);
  const { offset, bits } = part;
  if (!Number.isInteger(offset) || !Number.isInteger(bits) || offset < 0 || bits < 1 || offset + bits > field.bytes * 8) {
    throw unencodable(`${part.field} has no bits ${String(offset)}..${String(offset + bits - 1)}`);
  }
  return field;
}

/** Undefined when the mask has no bits: the field then says nothing. E_INVALID when value or mask do not fit. */
export function normalize(field: Field, value: FieldValue, mask: FieldValue | undefined): Masked | undefined {
  if (field.bits <= 32) {
    const number = asNumber(field, value);
    if (mask === undefined) return { value: number, mask: undefined };
    const bits = asNumber(field, mask);
    if (bits === 0) return undefined;
    const all = field.bits === 32 ? 0xffff_ffff : (1 << field.bits) - 1;
    return { value: (number & bits) >>> 0, mask: bits === all ? undefined : checkedMask(field, bits) };
  }
  const number = asBigint(field, value);
  if (mask === undefined) return { value: number, mask: undefined };
  const bits = asBigint(field, mask);
  if (bits === 0n) return undefined;
  return { value: number & bits, mask: bits === allOnes(field.bits) ? undefined : checkedMask(field, bits) };
}

export function allOnes(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

/** Both must fit; numbers are what `normalize` gave. */
export function writeNumber(writer: ByteWriter, value: number | bigint, bytes: number): void {
  if (typeof value === 'number') {
    if (bytes === 4) writer.u32(value);
    else if (bytes === 2) writer.u16(value);
    else if (bytes === 1) writer.u8(value);
    else writeBig(writer, BigInt(value), bytes);
  } else {
    writeBig(writer, value, bytes);
  }
}

function writeBig(writer: ByteWriter, value: bigint, bytes: number): void {
  let left = bytes;
  for (; left % 4 !== 0; left -= 1) writer.u8(Number((value >> BigInt((left - 1) * 8)) & 0xffn));
  for (; left > 0; left -= 4) writer.u32(Number((value >> BigInt((left - 4) * 8)) & 0xffff_ffffn));
}

/** A number up to 4 bytes, else a bigint. */
export function readNumber(reader: ByteReader, bytes: number): number | bigint {
  return bytesToNumber(reader.take(bytes));
}

export function bytesToNumber(bytes: Uint8Array): number | bigint {
  if (bytes.length <= 4) {
    let number = 0;
    for (const byte of bytes) number = ((number << 8) | byte) >>> 0;
    return number;
  }
  let big = 0n;
  let at = 0;
  for (; (bytes.length - at) % 4 !== 0; at += 1) big = (big << 8n) | BigInt(bytes[at] ?? 0);
  for (; at < bytes.length; at += 4) big = (big << 32n) | BigInt(readU32(bytes, at));
  return big;
}

function checkedMask<T extends number | bigint>(field: Field, mask: T): T {
  if (!field.maskable) throw unencodable(`${field.name} can be matched only as a whole`);
  return mask;
}

function asNumber(field: Field, value: FieldValue): number {
  const number = typeof value === 'number' ? value : Number(typeof value === 'bigint' ? value : bytesToNumber(checkedBytes(field, value)));
  if (!Number.isInteger(number) || number < 0 || number >= 2 ** field.bits) throw outOfRange(field, value);
  return number;
}

function asBigint(field: Field, value: FieldValue): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw outOfRange(field, value);
  const number = typeof value === 'bigint' ? value : BigInt(typeof value === 'number' ? value : bytesToNumber(checkedBytes(field, value)));
  if (number < 0n || number >> BigInt(field.bits) !== 0n) throw outOfRange(field, value);
  return number;
}

function checkedBytes(field: Field, value: Uint8Array): Uint8Array {
  if (value.length !== field.bytes) throw outOfRange(field, value);
  return value;
}

function outOfRange(field: Field, value: FieldValue): Error {
  const shown = value instanceof Uint8Array ? `${String(value.length)} bytes` : String(value);
  return unencodable(`${field.name} has ${String(field.bits)} bits: ${shown} does not fit`);
}
