/** What encoders of actions share. */
import { ACTION } from './actions.js';
import { unencodable } from './bytes.js';
import type { ByteWriter } from './bytes.js';
import { VENDOR } from './constants.js';

/** A header, what `body` writes, and zeros up to a multiple of 8. */
export function standard(writer: ByteWriter, type: number, body: () => void): void {
  const start = writer.length;
  writer.u16(type);
  writer.u16(0);
  body();
  finish(writer, start);
}

/** The same for an action of Nicira's. */
export function nicira(writer: ByteWriter, subtype: number, body: () => void): void {
  const start = writer.length;
  writer.u16(ACTION.EXPERIMENTER);
  writer.u16(0);
  writer.u32(VENDOR.NICIRA);
  writer.u16(subtype);
  body();
  finish(writer, start);
}

function finish(writer: ByteWriter, start: number): void {
  writer.align8(start);
  const length = writer.length - start;
  if (length > 0xffff) throw unencodable('an action is longer than 65535 bytes');
  writer.patch16(start + 2, length);
}

/** The value when it is a whole number of that many bits, else E_INVALID. */
export function whole(value: number, bits: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) throw unencodable(`${what} has ${String(bits)} bits: ${String(value)} does not fit`);
  return value;
}
