/** The message of one host flow as bytes, in which only the address and the value change from flow to flow. */
import { key6, type Key6 } from '../../compile/key6.js';
import type { Flow } from './pipeline/flow.js';
import type { HostPattern } from './pipeline/host-flows.js';

const ALL_ONES = 0xffff_ffff;

/**
 * Where the two stand is found by encoding flows that differ in them: the template knows nothing of the form of messages, and what it
 * gives is what `encode` gives, byte by byte.
 */
export class FlowTemplate {
  private readonly bytes: Uint8Array;
  private readonly addressAt: number;
  /** -1: no value in it. */
  private readonly valueAt: number;

  /** `valued`: the value stands in what `encode` makes. Throws TypeError when the pattern is not what it says. */
  constructor(pattern: HostPattern, encode: (flow: Flow) => Uint8Array, valued: boolean) {
    const [zero, ones] = pattern.family === 4 ? [0, ALL_ONES] : [key6(0n, 0n), key6(~0n & 0xffff_ffff_ffff_ffffn, ~0n & 0xffff_ffff_ffff_ffffn)];
    this.bytes = Uint8Array.from(encode(pattern.flow(zero, 0)));
    this.addressAt = difference(this.bytes, encode(pattern.flow(ones, 0)), pattern.family === 4 ? 4 : 16);
    this.valueAt = valued ? difference(this.bytes, encode(pattern.flow(zero, ALL_ONES)), 4) : -1;
  }

  /** The message for this address and value; valid until the next call. */
  fill(address: number | Key6, value: number): Uint8Array {
    const { bytes, addressAt, valueAt } = this;
    if (typeof address === 'number') put32(bytes, addressAt, address);
    else for (let index = 0; index < 16; index += 1) bytes[addressAt + index] = address.charCodeAt(index);
    if (valueAt >= 0) put32(bytes, valueAt, value);
    return bytes;
  }
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Where `a` and `b` differ: in `length` bytes in a row, and nowhere else. */
function difference(a: Uint8Array, b: Uint8Array, length: number): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  const end = a.findLastIndex((byte, index) => byte !== b[index]) + 1;
  if (a.length !== b.length || at < 0 || end - at !== length) throw new TypeError(`flows of a pattern differ in bytes ${at} to ${end} of ${a.length} and ${b.length}, not in ${length}`);
  return at;
}
