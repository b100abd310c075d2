import type { RawSegment } from '../../src/native/binding.js';

/** The few nf_tables messages the contract tests need, encoded apart from the product (linux/netfilter/nf_tables.h). */
export const NFPROTO_INET = 1;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const SET_INTERVAL = 4;
export const SET_MAP = 8;

const NEWTABLE = 0;
const DELTABLE = 2;
const NEWCHAIN = 3;
const NEWSET = 9;

export function attribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}
export const text = (type: number, value: string): Buffer => attribute(type, Buffer.from(`${value}\0`));
export function u32(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return attribute(type, bytes);
}
export const nest = (type: number, ...parts: Buffer[]): Buffer => attribute(type | 0x8000, Buffer.concat(parts));

export function message(type: number, flags: number, family: number, ...attributes: Buffer[]): Buffer {
  const body = Buffer.concat(attributes);
  const header = Buffer.alloc(20);
  header.writeUInt32LE(20 + body.length, 0);
  header.writeUInt16LE((10 << 8) | type, 4);
  header.writeUInt16LE(1 | flags, 6);
  header[16] = family;
  return Buffer.concat([header, body]);
}
export const raw = (...messages: Buffer[]): RawSegment => ({ kind: 'raw', bytes: new Uint8Array(Buffer.concat(messages)) });

export const newTable = (table: string, flags = NLM_F_CREATE): Buffer => message(NEWTABLE, flags, NFPROTO_INET, text(1, table));
export const deleteTable = (table: string): Buffer => message(DELTABLE, 0, NFPROTO_INET, text(1, table));
export const newChain = (table: string, chain: string, flags = NLM_F_CREATE): Buffer =>
  message(NEWCHAIN, flags, NFPROTO_INET, text(1, table), text(3, chain));

export interface NewSet {
  readonly table: string;
  readonly set: string;
  readonly id: number;
  readonly flags?: number;
  readonly keyType: number;
  readonly keyLength: number;
  readonly dataType?: number;
  readonly dataLength?: number;
  readonly counter?: boolean;
}
export function newSet(set: NewSet): Buffer {
  const parts = [text(1, set.table), text(2, set.set), u32(3, set.flags ?? 0), u32(4, set.keyType), u32(5, set.keyLength), u32(10, set.id)];
  if (set.dataType !== undefined) parts.push(u32(6, set.dataType));
  if (set.dataLength !== undefined) parts.push(u32(7, set.dataLength));
  if (set.counter === true) parts.push(nest(17, text(1, 'counter'), nest(2)));
  return message(NEWSET, NLM_F_CREATE, NFPROTO_INET, ...parts);
}

/** The message types in a run of netlink messages, without the subsystem. */
export function messageTypes(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const types: number[] = [];
  for (let offset = 0; offset < bytes.byteLength; offset += (view.getUint32(offset, true) + 3) & ~3) types.push(view.getUint16(offset + 4, true) & 0xff);
  return types;
}
