/** Multipart requests and replies (OpenFlow 1.5.1, 7.3.5). Replies come in parts; no entry is cut by them. */
import { ByteReader, malformed } from './bytes.js';
import type { ByteWriter } from './bytes.js';
import { HEADER_LENGTH, MESSAGE } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { buildMessage } from './message.js';

const MORE = 1;
const MULTIPART_HEADER = 8;
/** Where the body of a multipart message begins. */
export const MULTIPART_BODY = HEADER_LENGTH + MULTIPART_HEADER;

export interface MultipartReply {
  readonly type: number;
  readonly more: boolean;
}

export function buildMultipart(version: OpenFlowVersion, type: number, body?: (writer: ByteWriter) => void): Buffer {
  return buildMessage(version, MESSAGE.MULTIPART_REQUEST, (writer) => {
    writer.u16(type);
    writer.u16(0);
    writer.u32(0);
    body?.(writer);
  });
}

/** What kind of reply a whole message is; its entries begin at MULTIPART_BODY. */
export function readMultipart(message: Uint8Array): MultipartReply {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  const type = reader.u16();
  const flags = reader.u16();
  reader.skip(4);
  return { type, more: (flags & MORE) !== 0 };
}

/** Calls `use` with a reader of each entry. Entries begin with their length, `lengthAt` bytes in. */
export function forEachEntry(message: Uint8Array, smallest: number, lengthAt: number, use: (entry: ByteReader) => void): void {
  const reader = new ByteReader(message, MULTIPART_BODY);
  while (reader.remaining > 0) {
    const peek = new ByteReader(message, reader.offset);
    peek.skip(lengthAt);
    const length = peek.u16();
    if (length < smallest) throw malformed('an entry of a reply is too short', { length });
    use(reader.sub(length));
  }
}
