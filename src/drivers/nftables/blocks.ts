/** Elements of one set as flat byte arrays, the form in which the addon encodes and dumps them. */
import type { ElementDump, ElementsSegment } from '../../native/binding.js';
import type { SetImage, TableName } from './image.js';

export const END = 1;
export const CATCHALL = 2;

export class Block {
  private keyBytes: Uint8Array;
  private dataBytes: Uint8Array;
  private flagBytes: Uint8Array;
  private used = 0;
  private flagged = false;

  constructor(readonly keyLength: number, readonly dataLength: number, capacity = 16) {
    this.keyBytes = new Uint8Array(capacity * keyLength);
    this.dataBytes = new Uint8Array(capacity * dataLength);
    this.flagBytes = new Uint8Array(capacity);
  }

  get count(): number {
    return this.used;
  }

  /** Adds an element and returns the offset of its key; the caller fills key and value through the word writers. */
  add(flags = 0): number {
    if (this.used === this.flagBytes.length) this.grow();
    if (flags !== 0) this.flagged = true;
    this.flagBytes[this.used] = flags;
    this.used += 1;
    return (this.used - 1) * this.keyLength;
  }

  /** Big-endian word of the newest element's key. */
  keyWord(word: number, value: number): void {
    writeBig(this.keyBytes, (this.used - 1) * this.keyLength + word * 4, value);
  }

  keyByte(offset: number, value: number): void {
    this.keyBytes[(this.used - 1) * this.keyLength + offset] = value;
  }

  keyText(text: string): void {
    const start = (this.used - 1) * this.keyLength;
    for (let i = 0; i < text.length; i += 1) this.keyBytes[start + i] = text.charCodeAt(i);
  }

  dataByte(offset: number, value: number): void {
    this.dataBytes[(this.used - 1) * this.dataLength + offset] = value;
  }

  dataWord(word: number, value: number): void {
    writeBig(this.dataBytes, (this.used - 1) * this.dataLength + word * 4, value);
  }

  /** Host (little) endian, as label ids and marks are. */
  dataHostWord(word: number, value: number): void {
    const at = (this.used - 1) * this.dataLength + word * 4;
    this.dataBytes[at] = value;
    this.dataBytes[at + 1] = value >>> 8;
    this.dataBytes[at + 2] = value >>> 16;
    this.dataBytes[at + 3] = value >>> 24;
  }

  keyHostWord(value: number): void {
    const at = (this.used - 1) * this.keyLength;
    this.keyBytes[at] = value;
    this.keyBytes[at + 1] = value >>> 8;
    this.keyBytes[at + 2] = value >>> 16;
    this.keyBytes[at + 3] = value >>> 24;
  }

  segment(op: 'add' | 'delete', table: TableName, set: string): ElementsSegment {
    const base = { kind: 'elements', op, family: table.family, table: table.table, set, keyLength: this.keyLength } as const;
    const keys = this.keyBytes.subarray(0, this.used * this.keyLength);
    const flags = this.flagged ? { flags: this.flagBytes.subarray(0, this.used) } : {};
    if (op === 'delete' || this.dataLength === 0) return { ...base, keys, dataLength: 0, ...flags };
    return { ...base, keys, dataLength: this.dataLength, data: this.dataBytes.subarray(0, this.used * this.dataLength), ...flags };
  }

  /** Key, flags and data of every element as one string each, for comparison with a dump. */
  fingerprints(): Set<string> {
    return fingerprints(this.used, this.keyLength, this.keyBytes, this.dataLength, this.dataBytes, this.flagBytes);
  }

  private grow(): void {
    this.keyBytes = doubled(this.keyBytes);
    this.dataBytes = doubled(this.dataBytes);
    this.flagBytes = doubled(this.flagBytes);
  }
}

/** True when the kernel's set holds exactly the block's elements. */
export function equalsDump(block: Block, dump: ElementDump, set: SetImage): boolean {
  if (dump.count !== block.count) return false;
  const dataLength = set.data === 'verdict' ? 0 : set.data;
  const have = fingerprints(dump.count, set.keyLength, dump.keys, dataLength, dump.data, dump.flags);
  const want = block.fingerprints();
  if (have.size !== want.size) return false;
  for (const entry of want) if (!have.has(entry)) return false;
  return true;
}

function fingerprints(
  count: number, keyLength: number, keys: Uint8Array, dataLength: number, data: Uint8Array, flags: Uint8Array,
): Set<string> {
  const keyText = Buffer.from(keys.buffer, keys.byteOffset, count * keyLength).toString('latin1');
  const dataText = dataLength === 0 ? '' : Buffer.from(data.buffer, data.byteOffset, count * dataLength).toString('latin1');
  const found = new Set<string>();
  for (let i = 0; i < count; i += 1) {
    const flag = flags[i] ?? 0;
    const value = (flag & END) === 0 ? dataText.slice(i * dataLength, (i + 1) * dataLength) : '';
    found.add(`${flag}${keyText.slice(i * keyLength, (i + 1) * keyLength)}${value}`);
  }
  return found;
}

function writeBig(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function doubled(bytes: Uint8Array): Uint8Array {
  const bigger = new Uint8Array(Math.max(bytes.length * 2, 16));
  bigger.set(bytes);
  return bigger;
}
