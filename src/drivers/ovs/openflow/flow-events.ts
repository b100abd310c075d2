/** Flows that went or changed: flow-removed and the flow monitor of OpenFlow 1.4 and later (7.4.2, 7.3.5.19). */
import { ByteReader, malformed } from './bytes.js';
import { ALL_TABLES, ANY_GROUP, HEADER_LENGTH, MULTIPART, OF15, PORT } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { MATCH_ALL } from './flow-mod.js';
import { readOxs } from './flow-stats.js';
import { matchLength } from './match.js';
import { buildMultipart, forEachEntry } from './multipart.js';

const REMOVED_REASONS = ['idle', 'hard', 'delete', 'group_delete', 'meter_delete', 'eviction'] as const;
export type RemovedReason = (typeof REMOVED_REASONS)[number] | 'unknown';

export interface FlowRemoved {
  readonly table: number;
  readonly reason: RemovedReason;
  readonly priority: number;
  readonly cookie: bigint;
  readonly match: Uint8Array;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Seconds. */
  readonly duration: number;
}

/** `message` is the whole message. */
export function readFlowRemoved(message: Uint8Array, version: OpenFlowVersion): FlowRemoved {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  if (version === OF15) {
    const table = reader.u8();
    const reason = removedReason(reader.u8());
    const priority = reader.u16();
    reader.skip(4);
    const cookie = reader.u64();
    const match = reader.take(matchLength(message, reader.offset, message.length));
    const { packets, bytes, duration } = readOxs(reader);
    return { table, reason, priority, cookie, match, packets, bytes, duration };
  }
  const cookie = reader.u64();
  const priority = reader.u16();
  const reason = removedReason(reader.u8());
  const table = reader.u8();
  const duration = reader.u32() + reader.u32() / 1e9;
  reader.skip(4);
  const packets = reader.u64();
  const bytes = reader.u64();
  const match = reader.take(matchLength(message, reader.offset, message.length));
  return { table, reason, priority, cookie, match, packets, bytes, duration };
}

function removedReason(number: number): RemovedReason {
  return REMOVED_REASONS[number] ?? 'unknown';
}

/** OFPFMF_*: what a monitor tells. */
export const MONITOR_FLAG = { INITIAL: 1, ADD: 2, REMOVED: 4, MODIFY: 8, INSTRUCTIONS: 16, NO_ABBREV: 32, ONLY_OWN: 64 } as const;

export interface FlowMonitor {
  /** Chosen by the caller, one for each monitor of the connection. */
  readonly id: number;
  /** MONITOR_FLAG bits. */
  readonly flags: number;
  /** Default all. */
  readonly table?: number;
  readonly match?: Uint8Array;
}

export function encodeFlowMonitor(monitor: FlowMonitor, version: OpenFlowVersion): Buffer {
  return monitorRequest(monitor.id, monitor.flags, monitor.table ?? ALL_TABLES, ADD, monitor.match ?? MATCH_ALL, version);
}

export function encodeFlowMonitorDelete(id: number, version: OpenFlowVersion): Buffer {
  return monitorRequest(id, 0, ALL_TABLES, DELETE, MATCH_ALL, version);
}

const ADD = 0;
const DELETE = 2;

function monitorRequest(id: number, flags: number, table: number, command: number, match: Uint8Array, version: OpenFlowVersion): Buffer {
  return buildMultipart(version, MULTIPART.FLOW_MONITOR, (writer) => {
    writer.u32(id);
    writer.u32(PORT.ANY);
    writer.u32(ANY_GROUP);
    writer.u16(flags);
    writer.u8(table);
    writer.u8(command);
    writer.put(match);
  });
}

export type FlowUpdate =
  | {
      readonly event: 'initial' | 'added' | 'removed' | 'modified';
      readonly table: number;
      /** Of removed flows; 'unknown' otherwise. */
      readonly reason: RemovedReason;
      readonly priority: number;
      readonly cookie: bigint;
      readonly match: Uint8Array;
      /** Empty where the monitor did not ask for them. */
      readonly instructions: Uint8Array;
    }
  /** A change that this connection made itself, by its transaction id. */
  | { readonly event: 'own'; readonly xid: number }
  /** The switch could not keep up: changes were lost until 'resumed', after which all flows that changed come again. */
  | { readonly event: 'paused' | 'resumed' };

const EVENT = { INITIAL: 0, ADDED: 1, REMOVED: 2, MODIFIED: 3, ABBREV: 4, PAUSED: 5, RESUMED: 6 } as const;
const FULL_EVENTS = ['initial', 'added', 'removed', 'modified'] as const;
const FULL_HEADER = 24;

/** Calls `use` for each update of one part. */
export function readFlowUpdates(message: Uint8Array, use: (update: FlowUpdate) => void): void {
  forEachEntry(message, 4, 0, (entry) => {
    const length = entry.remaining;
    entry.skip(2);
    const event = entry.u16();
    if (event === EVENT.ABBREV) {
      use({ event: 'own', xid: entry.u32() });
      return;
    }
    if (event === EVENT.PAUSED || event === EVENT.RESUMED) {
      use({ event: event === EVENT.PAUSED ? 'paused' : 'resumed' });
      return;
    }
    const name = FULL_EVENTS[event];
    if (name === undefined || length < FULL_HEADER) throw malformed('a flow update has an unknown event or length', { event, length });
    const table = entry.u8();
    const reason = name === 'removed' ? removedReason(entry.u8()) : unknownReason(entry);
    entry.skip(4);
    const priority = entry.u16();
    entry.skip(4);
    const cookie = entry.u64();
    const match = entry.take(matchLength(message, entry.offset, entry.offset + entry.remaining));
    use({ event: name, table, reason, priority, cookie, match, instructions: entry.rest() });
  });
}

function unknownReason(entry: ByteReader): RemovedReason {
  entry.skip(1);
  return 'unknown';
}
