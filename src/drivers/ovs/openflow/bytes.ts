/** Reading and writing numbers in network byte order. Everything in OpenFlow is big endian. */
import { AgentError } from '../../../model/errors.js';

/** What a switch sent that cannot be: too short, a length that does not fit, an unknown form. Not retryable. */
export function malformed(what: string, context: Readonly<Record<string, unknown>> = {}): AgentError {
  return new AgentError('E_PARSE', `malformed OpenFlow: ${what}`, { object: 'openflow', context });
}

/** What a caller asked for that OpenFlow cannot express. Not retryable. */
export function unencodable(what: string, path?: string): AgentError {
  return new AgentError('E_INVALID', what, { object: 'openflow', ...(path === undefined ? {} : { path }) });
}

const FIRST_CAPACITY = 4096;

/**
 * A buffer that grows. Every byte handed out was written, so nothing of the heap leaks into messages. `reset()` keeps the
 * memory: one writer serves any number of messages without allocating.
 */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = FIRST_CAPACITY) {
    this.#bytes = Buffer.allocUnsafe(Math.max(16, capacity));
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  /** Forgets what was written after `length`. */
  truncate(length: number): void {
    if (length < this.#length) this.#length = length;
  }

  u8(value: number): void {
    const at = this.#grow(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    const at = this.#grow(2);
    this.patch16(at, value);
  }

  u32(value: number): void {
    const at = this.#grow(4);
    this.patch32(at, value);
  }

  u64(value: bigint): void {
    this.u32(Number((value >> 32n) & 0xffff_ffffn));
    this.u32(Number(value & 0xffff_ffffn));
  }

  put(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  zeros(count: number): void {
    if (count <= 0) return;
    const at = this.#grow(count);
    this.#bytes.fill(0, at, at + count);
  }

  /** Zeros until what was written since `start` is a multiple of 8. */
  align8(start: number): void {
    this.zeros(-(this.#length - start) & 7);
  }

  patch16(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value >>> 8;
    bytes[at + 1] = value;
  }

  patch32(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
  }

  /** A copy of what was written; the writer may be used again. */
  copy(): Buffer {
    return Buffer.from(this.view());
  }

  /** What was written, without copying: valid until the next write or reset. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, for keeps; the writer goes on with new memory of the given size. */
  take(nextCapacity = FIRST_CAPACITY): Buffer {
    const taken = this.view();
    this.#bytes = Buffer.allocUnsafe(Math.max(16, nextCapacity));
    this.#length = 0;
    return taken;
  }

  #grow(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    this.#length = needed;
    return at;
  }
}

/** Reads from a part of a buffer and throws E_PARSE at its end. It never copies; what `take` returns shares the memory. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    if (start < 0 || end > bytes.length || start > end) throw malformed('a part reaches beyond its message');
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  /** Offset in the buffer that was given. */
  get offset(): number {
    return this.#at;
  }

  u8(): number {
    return this.#bytes[this.#advance(1)] ?? 0;
  }

  u16(): number {
    const at = this.#advance(2);
    return ((this.#bytes[at] ?? 0) << 8) | (this.#bytes[at + 1] ?? 0);
  }

  u32(): number {
    return readU32(this.#bytes, this.#advance(4));
  }

  u64(): bigint {
    const at = this.#advance(8);
    return readU64(this.#bytes, at);
  }

  /** The next four bytes, which stay. */
  peekU32(): number {
    const at = this.#advance(4);
    this.#at = at;
    return readU32(this.#bytes, at);
  }

  skip(count: number): void {
    this.#advance(count);
  }

  take(count: number): Uint8Array {
    const at = this.#advance(count);
    return this.#bytes.subarray(at, at + count);
  }

  rest(): Uint8Array {
    return this.take(this.remaining);
  }

  /** A reader of the next `count` bytes, which this one skips. */
  sub(count: number): ByteReader {
    const at = this.#advance(count);
    return new ByteReader(this.#bytes, at, at + count);
  }

  #advance(count: number): number {
    const at = this.#at;
    if (count < 0 || at + count > this.#end) throw malformed('it ends too early', { wanted: count, left: this.#end - at });
    this.#at = at + count;
    return at;
  }
}

/** For places where the caller has checked the length: bytes beyond the end count as 0. */
export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}

export function readU64(bytes: Uint8Array, at: number): bigint {
  const high = readU32(bytes, at);
  const low = readU32(bytes, at + 4);
  return high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low);
}

/** The next multiple of 8. */
export function padded8(length: number): number {
  return (length + 7) & ~7;
}
