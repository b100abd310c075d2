/** Type-length-value properties, as OpenFlow 1.4 brought them: 2 bytes type, 2 bytes length without padding, padded to 8. */
import { malformed, padded8, unencodable } from './bytes.js';
import type { ByteReader, ByteWriter } from './bytes.js';

/** Begins a property; `endProperty` with what this returns ends it. */
export function beginProperty(writer: ByteWriter, type: number): number {
  const start = writer.length;
  writer.u16(type);
  writer.u16(0);
  return start;
}

export function endProperty(writer: ByteWriter, start: number): void {
  const length = writer.length - start;
  if (length > 0xffff) throw unencodable('a property is longer than 65535 bytes');
  writer.patch16(start + 2, length);
  writer.align8(start);
}

export function putProperty(writer: ByteWriter, type: number, payload: Uint8Array): void {
  const start = beginProperty(writer, type);
  writer.put(payload);
  endProperty(writer, start);
}

export function putU16(writer: ByteWriter, type: number, value: number): void {
  const start = beginProperty(writer, type);
  writer.u16(value);
  endProperty(writer, start);
}

export function putU32(writer: ByteWriter, type: number, value: number): void {
  const start = beginProperty(writer, type);
  writer.u32(value);
  endProperty(writer, start);
}

/** 8-byte values are aligned: four zeros stand before them. */
export function putU64(writer: ByteWriter, type: number, value: bigint): void {
  const start = beginProperty(writer, type);
  writer.zeros(4);
  writer.u64(value);
  endProperty(writer, start);
}

/** Calls back for each property with its payload. E_PARSE when lengths do not fit. The last may lack its padding. */
export function forEachProperty(reader: ByteReader, use: (type: number, payload: ByteReader) => void): void {
  while (reader.remaining > 0) {
    const type = reader.u16();
    const length = reader.u16();
    if (length < 4) throw malformed('a property is shorter than its header', { type, length });
    use(type, reader.sub(length - 4));
    reader.skip(Math.min(padded8(length) - length, reader.remaining));
  }
}
