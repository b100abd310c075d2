/** Messages of the connection itself: hello, echo, features, configuration, barrier, bundles (OpenFlow 1.5.1, 7.3, 7.5). */
import { ByteReader, malformed, padded8 } from './bytes.js';
import type { ByteWriter } from './bytes.js';
import { HEADER_LENGTH, MESSAGE, MULTIPART, NICIRA_MESSAGE } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { beginMessage, buildMessage, buildNicira, endMessage } from './message.js';
import { buildMultipart, MULTIPART_BODY } from './multipart.js';
import { putU32 } from './properties.js';

const HELLO_VERSIONS = 1;

/** Says the versions that we speak. The header has the highest. */
export function encodeHello(versions: readonly OpenFlowVersion[]): Buffer {
  return buildMessage(Math.max(...versions), MESSAGE.HELLO, (writer) => {
    writer.u16(HELLO_VERSIONS);
    writer.u16(8);
    writer.u32(versions.reduce((bits, version) => bits | (1 << version), 0));
  });
}

/** The versions that a peer's hello offers: the bits of its bitmap, or, without one, all up to the header's. */
export function readHello(message: Uint8Array): (version: number) => boolean {
  const reader = new ByteReader(message);
  const highest = reader.u8();
  reader.skip(HEADER_LENGTH - 1);
  while (reader.remaining >= 4) {
    const type = reader.u16();
    const length = reader.u16();
    if (length < 4) throw malformed('a part of a hello is too short', { length });
    const body = reader.sub(length - 4);
    reader.skip(Math.min(padded8(length) - length, reader.remaining));
    if (type === HELLO_VERSIONS && body.remaining >= 4) {
      const bits = body.u32();
      return (version) => version < 32 && ((bits >>> version) & 1) === 1;
    }
  }
  return (version) => version <= highest;
}

export function encodeEchoRequest(version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.ECHO_REQUEST);
}

/** With the request's transaction id and data. */
export function encodeEchoReply(request: Uint8Array): Buffer {
  const reply = Buffer.from(request);
  reply[1] = MESSAGE.ECHO_REPLY;
  return reply;
}

export function encodeBarrier(version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.BARRIER_REQUEST);
}

export interface Features {
  readonly datapathId: bigint;
  readonly tables: number;
  /** OFPC_* bits. */
  readonly capabilities: number;
}

export function encodeFeaturesRequest(version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.FEATURES_REQUEST);
}

export function readFeatures(message: Uint8Array): Features {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  const datapathId = reader.u64();
  reader.skip(4);
  const tables = reader.u8();
  reader.skip(3);
  return { datapathId, tables, capabilities: reader.u32() };
}

export interface SwitchConfig {
  /** Fragments: 0 normal, 1 drop, 2 reassemble, 3 "nx-match". */
  readonly flags: number;
  /** Bytes of packets sent for a table miss. On a management connection anything but 0 lets packets come at all. */
  readonly missSendLength: number;
}

export function encodeSetConfig(config: SwitchConfig, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.SET_CONFIG, (writer) => {
    writer.u16(config.flags);
    writer.u16(config.missSendLength);
  });
}

export function encodeGetConfig(version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.GET_CONFIG_REQUEST);
}

export function readConfig(message: Uint8Array): SwitchConfig {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  return { flags: reader.u16(), missSendLength: reader.u16() };
}

/** What the switch tells by itself: bits of reasons. */
export interface AsyncConfig {
  /** 1 << OFPR_*: 0 miss, 1 action, 2 TTL, 3 action set, 4 group, 5 packet-out. */
  readonly packetIn: number;
  /** 1 << 0 add, 1 << 1 delete, 1 << 2 modify. */
  readonly portStatus: number;
  /** 1 << OFPRR_*: 0 idle, 1 hard, 2 delete, 3 group delete, 4 meter delete, 5 eviction. */
  readonly flowRemoved: number;
}

/** Every connection that is not somebody's secondary is "master" here. */
const ASYNC = { PACKET_IN_MASTER: 1, PORT_STATUS_MASTER: 3, FLOW_REMOVED_MASTER: 5 } as const;

export function encodeSetAsync(config: AsyncConfig, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.SET_ASYNC, (writer) => {
    putU32(writer, ASYNC.PACKET_IN_MASTER, config.packetIn);
    putU32(writer, ASYNC.PORT_STATUS_MASTER, config.portStatus);
    putU32(writer, ASYNC.FLOW_REMOVED_MASTER, config.flowRemoved);
  });
}

const PACKET_IN2 = 2;

/** Packets come as NXT_PACKET_IN2, which has userdata and continuation. */
export function encodeSetPacketInFormat(version: OpenFlowVersion): Buffer {
  return buildNicira(version, NICIRA_MESSAGE.SET_PACKET_IN_FORMAT, (writer) => writer.u32(PACKET_IN2));
}

/** Packets of controller actions with this id come to this connection; the default is 0 (and on a management connection none). */
export function encodeSetControllerId(id: number, version: OpenFlowVersion): Buffer {
  return buildNicira(version, NICIRA_MESSAGE.SET_CONTROLLER_ID, (writer) => {
    writer.zeros(6);
    writer.u16(id);
  });
}

export interface TableStats {
  readonly table: number;
  readonly flows: number;
  readonly lookups: bigint;
  readonly matches: bigint;
}

export function buildTableStatsRequest(version: OpenFlowVersion): Buffer {
  return buildMultipart(version, MULTIPART.TABLE);
}

export function readTableStats(message: Uint8Array, use: (stats: TableStats) => void): void {
  const reader = new ByteReader(message, MULTIPART_BODY);
  while (reader.remaining > 0) {
    const table = reader.u8();
    reader.skip(3);
    use({ table, flows: reader.u32(), lookups: reader.u64(), matches: reader.u64() });
  }
}

export const BUNDLE = { OPEN: 0, OPENED: 1, CLOSE: 2, CLOSED: 3, COMMIT: 4, COMMITTED: 5, DISCARD: 6, DISCARDED: 7 } as const;
export const BUNDLE_FLAG = { ATOMIC: 1, ORDERED: 2 } as const;
const BUNDLE_HEADER = HEADER_LENGTH + 8;

export function encodeBundleControl(id: number, type: number, flags: number, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.BUNDLE_CONTROL, (writer) => {
    writer.u32(id);
    writer.u16(type);
    writer.u16(flags);
  });
}

export function readBundleControl(message: Uint8Array): { readonly id: number; readonly type: number } {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  return { id: reader.u32(), type: reader.u16() };
}

/** `message` inside of a bundle; both get the transaction id, by which the switch names it in an error. */
export function writeBundleAdd(writer: ByteWriter, id: number, flags: number, xid: number, message: Uint8Array, version: OpenFlowVersion): void {
  const start = beginMessage(writer, version, MESSAGE.BUNDLE_ADD_MESSAGE);
  writer.patch32(start + 4, xid);
  writer.u32(id);
  writer.u16(0);
  writer.u16(flags);
  writer.put(message);
  writer.patch32(start + BUNDLE_HEADER + 4, xid);
  endMessage(writer, start);
}
