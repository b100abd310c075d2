/** What a piece of the nf_tables table shall look like: chains with their rules, and sets with their declaration. Pure values. */
import type { AttributeWriter } from './attributes.js';
import { encode, type Expression } from './expressions.js';
import { DATA_VERDICT, FLAG, MESSAGE, OBJECT, SET_FLAG, TYPE } from './kernel.js';

export interface RuleImage {
  readonly expressions: Uint8Array;
  /** Says what the rule is and carries a hash of its expressions, by which a restarted agent knows it again. */
  readonly comment: string;
}

export interface HookImage {
  readonly hook: number;
  readonly priority: number;
  /** netdev family only. */
  readonly device?: string;
  /** Absent = filter. nat: sees the first packet of each connection. */
  readonly type?: 'nat';
}

export interface ChainImage {
  readonly name: string;
  readonly hook?: HookImage;
  readonly rules: readonly RuleImage[];
}

/** A named limit, in a second. `burst`: packets that may come at once; bytes beyond those of a second that may. */
export interface LimitImage {
  readonly name: string;
  readonly unit: 'packets' | 'bytes';
  readonly rate: number;
  readonly burst: number;
}

/** How many bytes a set's keys and data have, and what nft shall take them for (docs/adr/0005-listable-encoding.md). */
export interface SetImage {
  readonly name: string;
  readonly keyType: number;
  readonly keyLength: number;
  readonly interval: boolean;
  /** 0: a set; 4: a map to IPv4 addresses; 16: a data map; 'verdict': a verdict map. */
  readonly data: 0 | 4 | 16 | 'verdict';
  readonly counter: boolean;
  /** Fixed size: the kernel then picks the faster fixed hash table. 0 = grows. */
  readonly size: number;
  /** Elements go by themselves after this many ms. */
  readonly timeoutMs?: number;
}

/** A name as comments have it, which the kernel limits. */
export function shortName(name: string): string {
  return name.length > 60 ? `${name.slice(0, 57)}...` : name;
}

export function rule(what: string, ...expressions: readonly Expression[]): RuleImage {
  const bytes = encode(expressions);
  return { expressions: bytes, comment: `dfw: ${what} #${bytesHash(bytes)}` };
}

function bytesHash(bytes: Uint8Array): string {
  // FNV-1a, 32 bit: tells rules of one chain apart, nothing more.
  let hash = 0x811c9dc5;
  for (const value of bytes) hash = Math.imul(hash ^ value, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

export function equalChains(a: ChainImage, b: ChainImage): boolean {
  return a.rules.length === b.rules.length && a.rules.every((entry, index) => entry.comment === b.rules[index]?.comment);
}

export interface TableName {
  readonly family: number;
  readonly table: string;
}

export function newTable(writer: AttributeWriter, { family, table }: TableName): void {
  writer.message(MESSAGE.newTable, FLAG.request | FLAG.create, family, () => writer.text(1, table));
}

export function deleteTable(writer: AttributeWriter, { family, table }: TableName): void {
  writer.message(MESSAGE.deleteTable, FLAG.request, family, () => writer.text(1, table));
}

export function newChain(writer: AttributeWriter, { family, table }: TableName, chain: ChainImage): void {
  writer.message(MESSAGE.newChain, FLAG.request | FLAG.create, family, () => {
    writer.text(1, table).text(3, chain.name);
    const hook = chain.hook;
    if (hook === undefined) return;
    writer.nest(4, () => {
      writer.u32(1, hook.hook).u32(2, hook.priority);
      if (hook.device !== undefined) writer.text(3, hook.device);
    });
    writer.u32(5, 1).text(7, hook.type ?? 'filter'); // policy accept: verdicts are the rules'
  });
}

export function deleteChain(writer: AttributeWriter, { family, table }: TableName, name: string): void {
  writer.message(MESSAGE.deleteChain, FLAG.request, family, () => writer.text(1, table).text(3, name));
}

/** Deletes every rule of a chain. */
export function flushChain(writer: AttributeWriter, { family, table }: TableName, name: string): void {
  writer.message(MESSAGE.deleteRule, FLAG.request, family, () => writer.text(1, table).text(2, name));
}

export function appendRules(writer: AttributeWriter, { family, table }: TableName, chain: ChainImage): void {
  for (const { expressions, comment } of chain.rules) {
    writer.message(MESSAGE.newRule, FLAG.request | FLAG.create | FLAG.append, family, () => {
      writer.text(1, table).text(2, chain.name);
      writer.nest(4, () => writer.raw(expressions));
      writer.data(7, userComment(comment, 127));
    });
  }
}

export function newLimit(writer: AttributeWriter, { family, table }: TableName, { name, unit, rate, burst }: LimitImage): void {
  writer.message(MESSAGE.newObject, FLAG.request | FLAG.create, family, () => {
    writer.text(1, table).text(2, name).u32(3, OBJECT.limit);
    writer.nest(4, () => writer.u64(1, BigInt(rate)).u64(2, 1n).u32(3, burst).u32(4, unit === 'packets' ? 0 : 1).u32(5, 0));
  });
}

/** Refused while a rule names it. */
export function deleteLimit(writer: AttributeWriter, { family, table }: TableName, name: string): void {
  writer.message(MESSAGE.deleteObject, FLAG.request, family, () => writer.text(1, table).text(2, name).u32(3, OBJECT.limit));
}

/** nft's comment TLV: type 0, length, text with its zero. */
export function userComment(comment: string, limit: number): Uint8Array {
  const text = new TextEncoder().encode(comment).subarray(0, limit);
  const data = new Uint8Array(text.length + 3);
  data[0] = 0;
  data[1] = text.length + 1;
  data.set(text, 2);
  return data;
}

export function readUserComment(userdata: Uint8Array | undefined): string {
  if (userdata === undefined) return '';
  for (let at = 0; at + 2 <= userdata.length; ) {
    const length = userdata[at + 1] ?? 0;
    if (userdata[at] === 0) return new TextDecoder().decode(userdata.subarray(at + 2, at + 1 + length));
    at += 2 + length;
  }
  return '';
}

export function newSet(writer: AttributeWriter, { family, table }: TableName, set: SetImage, id: number): void {
  const isMap = set.data !== 0;
  writer.message(MESSAGE.newSet, FLAG.request | FLAG.create, family, () => {
    writer.text(1, table).text(2, set.name);
    writer.u32(3, (isMap ? SET_FLAG.map : 0) | (set.interval ? SET_FLAG.interval : 0) | (set.timeoutMs === undefined ? 0 : SET_FLAG.timeout));
    writer.u32(4, set.keyType).u32(5, set.keyLength);
    if (set.data === 'verdict') writer.u32(6, DATA_VERDICT);
    else if (set.data === 16) writer.u32(6, TYPE.ipv6).u32(7, 16);
    else if (set.data === 4) writer.u32(6, TYPE.ipv4).u32(7, 4);
    if (set.size > 0) writer.nest(9, () => writer.u32(1, set.size));
    writer.u32(10, id);
    if (set.timeoutMs !== undefined) writer.u64(11, BigInt(set.timeoutMs));
    writer.data(13, byteOrder(set));
    if (set.counter) writer.nest(17, () => writer.text(1, 'counter').nest(2, () => undefined));
  });
}

export function deleteSet(writer: AttributeWriter, { family, table }: TableName, name: string): void {
  writer.message(MESSAGE.deleteSet, FLAG.request, family, () => writer.text(1, table).text(2, name));
}

/** Deletes every element of a set. */
export function flushSet(writer: AttributeWriter, { family, table }: TableName, name: string): void {
  writer.message(MESSAGE.deleteElements, FLAG.request, family, () => writer.text(1, table).text(2, name));
}

/** Set userdata as nft writes it (NFTNL_UDATA_SET_KEYBYTEORDER 0, DATABYTEORDER 1): without it marks print swapped and interface names empty. */
function byteOrder(set: SetImage): Uint8Array {
  const host = set.keyType === TYPE.mark || set.keyType === TYPE.ifname;
  const key = [0, 4, host ? 1 : 2, 0, 0, 0];
  return Uint8Array.from(set.data === 16 || set.data === 4 ? [...key, 1, 4, 2, 0, 0, 0] : key);
}
