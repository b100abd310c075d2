/**
 * Netlink attributes (include/uapi/linux/netlink.h): length u16, type u16 in host order, payload padded to 4 bytes.
 * Only little-endian hosts are supported (x86-64, arm64): the addon refuses to load elsewhere.
 */
const NESTED = 0x8000;
const encoder = new TextEncoder();
const ASCII = /^[ -~]*$/;

export class AttributeWriter {
  private bytes = new Uint8Array(1024);
  private view = new DataView(this.bytes.buffer);
  private used = 0;

  get length(): number {
    return this.used;
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.used);
  }

  raw(data: Uint8Array): this {
    this.reserve(data.length);
    this.bytes.set(data, this.used);
    this.used += data.length;
    return this.pad();
  }

  u8(type: number, value: number): this {
    this.head(type, 1);
    this.view.setUint8(this.used, value);
    this.used += 1;
    return this.pad();
  }

  /** nf_tables numbers are big endian. */
  u16(type: number, value: number): this {
    this.head(type, 2);
    this.view.setUint16(this.used, value);
    this.used += 2;
    return this.pad();
  }

  u32(type: number, value: number): this {
    this.head(type, 4);
    this.view.setUint32(this.used, value >>> 0);
    this.used += 4;
    return this;
  }

  u64(type: number, value: bigint): this {
    this.head(type, 8);
    this.view.setBigUint64(this.used, value);
    this.used += 8;
    return this;
  }

  data(type: number, value: Uint8Array): this {
    this.head(type, value.length);
    this.bytes.set(value, this.used);
    this.used += value.length;
    return this.pad();
  }

  /** Zero-terminated, as nf_tables names are. */
  text(type: number, value: string): this {
    // Names are short and ASCII: calls of the encoder were a third of what chains cost.
    if (!ASCII.test(value)) return this.data(type, encoder.encode(`${value}\0`));
    this.head(type, value.length + 1);
    for (let i = 0; i < value.length; i += 1) this.bytes[this.used + i] = value.charCodeAt(i);
    this.bytes[this.used + value.length] = 0;
    this.used += value.length + 1;
    return this.pad();
  }

  nest(type: number, body: (writer: this) => void): this {
    const start = this.used;
    this.head(type | NESTED, 0);
    body(this);
    this.view.setUint16(start, this.used - start, true);
    return this;
  }

  /** A complete netlink message: header (sequence 0, filled in later), nfgenmsg, attributes. */
  message(type: number, flags: number, family: number, body: (writer: this) => void): this {
    const start = this.used;
    this.reserve(20);
    this.view.setUint16(start + 4, type, true);
    this.view.setUint16(start + 6, flags, true);
    this.view.setUint32(start + 8, 0, true);
    this.view.setUint32(start + 12, 0, true);
    this.view.setUint8(start + 16, family);
    this.view.setUint8(start + 17, 0);
    this.view.setUint16(start + 18, 0);
    this.used += 20;
    body(this);
    this.view.setUint32(start, this.used - start, true);
    return this;
  }

  private head(type: number, payload: number): void {
    this.reserve(payload + 8);
    this.view.setUint16(this.used, payload + 4, true);
    this.view.setUint16(this.used + 2, type, true);
    this.used += 4;
  }

  private pad(): this {
    while (this.used % 4 !== 0) {
      this.bytes[this.used] = 0;
      this.used += 1;
    }
    return this;
  }

  private reserve(more: number): void {
    if (this.used + more + 4 <= this.bytes.length) return;
    const bigger = new Uint8Array(Math.max(this.bytes.length * 2, this.used + more + 4));
    bigger.set(this.bytes.subarray(0, this.used));
    this.bytes = bigger;
    this.view = new DataView(bigger.buffer);
  }
}

export interface Attribute {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** Attributes of a payload; a malformed tail ends the list. */
export function attributes(payload: Uint8Array): Attribute[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const found: Attribute[] = [];
  for (let at = 0; at + 4 <= payload.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > payload.length) break;
    found.push({ type: view.getUint16(at + 2, true) & 0x3fff, payload: payload.subarray(at + 4, at + length) });
    at += (length + 3) & ~3;
  }
  return found;
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly family: number;
  readonly attributes: ReadonlyMap<number, Uint8Array>;
}

/** Messages laid back to back, as dumps and monitors deliver them. */
export function messages(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Message[] = [];
  for (let at = 0; at + 20 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < 20 || at + length > bytes.length) break;
    const list = attributes(bytes.subarray(at + 20, at + length));
    found.push({
      type: view.getUint16(at + 4, true) & 0xff,
      flags: view.getUint16(at + 6, true),
      family: bytes[at + 16] ?? 0,
      attributes: new Map(list.map(({ type, payload }) => [type, payload])),
    });
    at += (length + 3) & ~3;
  }
  return found;
}

export function readText(payload: Uint8Array | undefined): string {
  if (payload === undefined) return '';
  const end = payload.indexOf(0);
  return new TextDecoder().decode(end < 0 ? payload : payload.subarray(0, end));
}

export function readU32(payload: Uint8Array | undefined): number {
  return payload === undefined || payload.length < 4 ? 0 : new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0);
}
