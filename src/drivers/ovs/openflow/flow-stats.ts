/** Reading flows back: OFPMP_FLOW_DESC of 1.5, OFPMP_FLOW of 1.4, and sums of them (OpenFlow 1.5.1, 7.3.5.2..4; 1.4.1, A.3.5.2). */
import { ByteReader, malformed, padded8, readU16, readU64 } from './bytes.js';
import type { ByteWriter } from './bytes.js';
import { ALL_TABLES, ANY_GROUP, MULTIPART, OF15, PORT } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { MATCH_ALL } from './flow-mod.js';
import { buildMultipart, MULTIPART_BODY } from './multipart.js';

export interface FlowFilter {
  /** Default all. */
  readonly table?: number;
  readonly cookie?: bigint;
  /** Default 0: any cookie. */
  readonly cookieMask?: bigint;
  /** Flows whose match is this or narrower; default all. */
  readonly match?: Uint8Array;
  readonly outPort?: number;
  readonly outGroup?: number;
}

export interface FlowCounters {
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Since it was added, in seconds. */
  readonly duration: number;
}

const DESC_HEADER = 24;
const STATS_HEADER_14 = 48;
/** OXS class of OpenFlow and its fields. */
const OXS_CLASS = 0x8002;
const OXS = { DURATION: 0, FLOW_COUNT: 3, PACKETS: 4, BYTES: 5 } as const;

/**
 * One flow of a dump. The object is the same for every flow of the dump: take from it what is needed before returning.
 * Slices share memory with the message that brought them, some 64 KiB: copy those that live long.
 */
export class FlowEntry {
  #message: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #matchAt = 0;
  #matchEnd = 0;
  #statsEnd = 0;

  /** Tables are counted from `firstTable`. */
  constructor(private readonly version: OpenFlowVersion, private readonly firstTable = 0) {}

  get table(): number {
    return (this.#message[this.#start + (this.version === OF15 ? 4 : 2)] ?? 0) - this.firstTable;
  }

  get priority(): number {
    return readU16(this.#message, this.#start + (this.version === OF15 ? 6 : 12));
  }

  get idleTimeout(): number {
    return readU16(this.#message, this.#start + (this.version === OF15 ? 8 : 14));
  }

  get hardTimeout(): number {
    return readU16(this.#message, this.#start + (this.version === OF15 ? 10 : 16));
  }

  get flags(): number {
    return readU16(this.#message, this.#start + (this.version === OF15 ? 12 : 18));
  }

  get importance(): number {
    return readU16(this.#message, this.#start + (this.version === OF15 ? 14 : 20));
  }

  get cookie(): bigint {
    return readU64(this.#message, this.#start + (this.version === OF15 ? 16 : 24));
  }

  /** The bytes that `encodeMatch` makes. */
  get match(): Uint8Array {
    return this.#message.subarray(this.#matchAt, this.#matchEnd);
  }

  /** The bytes that `encodeInstructions` makes. */
  get instructions(): Uint8Array {
    return this.#message.subarray(this.#statsEnd, this.#end);
  }

  get counters(): FlowCounters {
    if (this.version === OF15) return readOxs(new ByteReader(this.#message, this.#matchEnd, this.#statsEnd));
    const reader = new ByteReader(this.#message, this.#start + 4, this.#end);
    const duration = reader.u32() + reader.u32() / 1e9;
    return { duration, packets: readU64(this.#message, this.#start + 32), bytes: readU64(this.#message, this.#start + 40) };
  }

  /** Calls `use` for each flow of one part of the reply. E_PARSE when lengths do not fit. */
  forEach(message: Uint8Array, use: (flow: FlowEntry) => void): void {
    const header = this.version === OF15 ? DESC_HEADER : STATS_HEADER_14;
    this.#message = message;
    for (let at = MULTIPART_BODY; at < message.length; at = this.#end) {
      const end = at + readU16(message, at);
      if (end > message.length || end - at < header + 8) throw malformed('a flow has a wrong length', { length: end - at });
      this.#start = at;
      this.#end = end;
      this.#matchAt = at + header;
      this.#matchEnd = this.#matchAt + this.#paddedLength(this.#matchAt + 2, end);
      this.#statsEnd = this.version === OF15 ? this.#matchEnd + this.#paddedLength(this.#matchEnd + 2, end) : this.#matchEnd;
      if (this.#statsEnd > end) throw malformed('a flow is longer than its entry');
      use(this);
    }
  }

  /** A match or a block of statistics: its length stands at `at`, two bytes in. */
  #paddedLength(at: number, end: number): number {
    const length = readU16(this.#message, at);
    const whole = padded8(length);
    if (at + 2 > end || length < 4 || at - 2 + whole > end) throw malformed('a flow has a wrong match or statistics', { length });
    return whole;
  }
}

export function buildFlowRequest(version: OpenFlowVersion, filter: FlowFilter): Buffer {
  return buildMultipart(version, MULTIPART.FLOW, (writer) => writeFilter(writer, filter));
}

export function buildAggregateRequest(version: OpenFlowVersion, filter: FlowFilter): Buffer {
  return buildMultipart(version, MULTIPART.AGGREGATE, (writer) => writeFilter(writer, filter));
}

function writeFilter(writer: ByteWriter, filter: FlowFilter): void {
  writer.u8(filter.table ?? ALL_TABLES);
  writer.zeros(3);
  writer.u32(filter.outPort ?? PORT.ANY);
  writer.u32(filter.outGroup ?? ANY_GROUP);
  writer.zeros(4);
  writer.u64(filter.cookie ?? 0n);
  writer.u64(filter.cookieMask ?? 0n);
  writer.put(filter.match ?? MATCH_ALL);
}

export interface Aggregate {
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly flows: number;
}

/** `message` is the whole reply. */
export function readAggregate(message: Uint8Array, version: OpenFlowVersion): Aggregate {
  const reader = new ByteReader(message, MULTIPART_BODY);
  if (version === OF15) return readOxs(reader);
  const packets = reader.u64();
  const bytes = reader.u64();
  return { packets, bytes, flows: reader.u32() };
}

/** OXS statistics: 2 bytes reserved, 2 bytes length, then fields with headers as in OXM. */
export function readOxs(reader: ByteReader): FlowCounters & Aggregate {
  let duration = 0;
  let packets = 0n;
  let bytes = 0n;
  let flows = 0;
  reader.skip(2);
  const length = reader.u16();
  if (length < 4) throw malformed('statistics have a wrong length', { length });
  const block = reader.sub(length - 4);
  reader.skip(Math.min(padded8(length) - length, reader.remaining));
  while (block.remaining > 0) {
    const oxsClass = block.u16();
    const field = block.u8() >> 1;
    const payload = block.sub(block.u8());
    if (oxsClass !== OXS_CLASS) continue;
    if (field === OXS.DURATION) duration = payload.u32() + payload.u32() / 1e9;
    else if (field === OXS.PACKETS) packets = payload.u64();
    else if (field === OXS.BYTES) bytes = payload.u64();
    else if (field === OXS.FLOW_COUNT) flows = payload.u32();
  }
  return { duration, packets, bytes, flows };
}
