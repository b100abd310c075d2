/** The header that every message has, and messages that are only a header and bytes. */
import { ByteWriter, malformed, readU32, unencodable } from './bytes.js';
import type { OpenFlowVersion } from './constants.js';
import { HEADER_LENGTH, LARGEST_MESSAGE, MESSAGE, VENDOR } from './constants.js';

/** One message as it came. The bytes share memory with what was read from the socket: copy what must live long. */
export interface Message {
  readonly version: number;
  readonly type: number;
  readonly xid: number;
  /** All of it, header included. */
  readonly bytes: Uint8Array;
}

/** `bytes` is one whole message. */
export function readMessage(bytes: Uint8Array): Message {
  if (bytes.length < HEADER_LENGTH) throw malformed('a message is shorter than its header', { length: bytes.length });
  return { version: bytes[0] ?? 0, type: bytes[1] ?? 0, xid: readU32(bytes, 4), bytes };
}

/** Begins a message with transaction id 0, which the connection fills in; `endMessage` with what this returns ends it. */
export function beginMessage(writer: ByteWriter, version: number, type: number): number {
  const start = writer.length;
  writer.u8(version);
  writer.u8(type);
  writer.u16(0);
  writer.u32(0);
  return start;
}

/** E_INVALID when it is too long for one message. */
export function endMessage(writer: ByteWriter, start: number): void {
  const length = writer.length - start;
  if (length > LARGEST_MESSAGE) {
    writer.truncate(start);
    throw unencodable(`a message of ${String(length)} bytes is longer than OpenFlow allows (65535)`);
  }
  writer.patch16(start + 2, length);
}

/** One message as bytes of its own; its transaction id is 0. */
export function buildMessage(version: number, type: number, body?: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter(64);
  const start = beginMessage(writer, version, type);
  body?.(writer);
  endMessage(writer, start);
  return writer.take(16);
}

export function buildNicira(version: OpenFlowVersion, subtype: number, body: (writer: ByteWriter) => void): Buffer {
  return buildMessage(version, MESSAGE.EXPERIMENTER, (writer) => {
    writer.u32(VENDOR.NICIRA);
    writer.u32(subtype);
    body(writer);
  });
}

export function setXid(message: Uint8Array, xid: number): void {
  message[4] = xid >>> 24;
  message[5] = xid >>> 16;
  message[6] = xid >>> 8;
  message[7] = xid;
}
