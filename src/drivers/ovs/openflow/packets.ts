/** Packets to and from the switch: NXT_PACKET_IN2, resume (nicira-ext.h) and packet-out (OpenFlow 1.5.1, 7.3.6). */
import { writeActions } from './action-encoder.js';
import type { Action } from './actions.js';
import { ByteReader, malformed, unencodable } from './bytes.js';
import { HEADER_LENGTH, MESSAGE, NICIRA_MESSAGE, NO_BUFFER, OF15 } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { decodeOxmList, writeMatch } from './match.js';
import type { DecodedMatch, MatchField } from './match.js';
import { buildMessage, buildNicira } from './message.js';
import { beginProperty, endProperty, forEachProperty, putProperty, putU32, putU64 } from './properties.js';

const PACKET_IN = { PACKET: 0, FULL_LENGTH: 1, TABLE: 3, COOKIE: 4, REASON: 5, METADATA: 6, USERDATA: 7, CONTINUATION: 8 } as const;

export interface PacketIn {
  /** Possibly cut; see `fullLength`. Shares memory with what was read from the socket. */
  readonly packet: Uint8Array;
  readonly fullLength: number;
  readonly table: number;
  /** Of the flow that sent it; undefined where no flow did. */
  readonly cookie: bigint | undefined;
  /** OFPR_* */
  readonly reason: number;
  /** in_port, registers, ct_* ... as they were when it was sent. */
  readonly metadata: DecodedMatch;
  /** The same as it came, for a resume. */
  readonly metadataBytes: Uint8Array;
  readonly userdata: Uint8Array;
  /** What the switch needs to go on with a paused packet. */
  readonly continuation: Uint8Array | undefined;
}

const NONE = new Uint8Array(0);

/** `message` is the whole message. E_PARSE when it has no packet or lengths do not fit; properties we do not know are skipped. */
export function readPacketIn2(message: Uint8Array): PacketIn {
  let packet: Uint8Array | undefined;
  let fullLength = 0;
  let table = 0;
  let cookie: bigint | undefined;
  let reason = 0;
  let metadataBytes: Uint8Array = NONE;
  let userdata: Uint8Array = NONE;
  let continuation: Uint8Array | undefined;
  forEachProperty(new ByteReader(message, HEADER_LENGTH + 8), (type, payload) => {
    switch (type) {
      case PACKET_IN.PACKET:
        packet = payload.rest();
        break;
      case PACKET_IN.FULL_LENGTH:
        fullLength = payload.u32();
        break;
      case PACKET_IN.TABLE:
        table = payload.u8();
        break;
      case PACKET_IN.COOKIE:
        payload.skip(4);
        cookie = payload.u64();
        break;
      case PACKET_IN.REASON:
        reason = payload.u8();
        break;
      case PACKET_IN.METADATA:
        metadataBytes = payload.rest();
        break;
      case PACKET_IN.USERDATA:
        userdata = payload.rest();
        break;
      case PACKET_IN.CONTINUATION:
        payload.skip(4);
        continuation = payload.rest();
        break;
      default:
        break;
    }
  });
  if (packet === undefined) throw malformed('a packet-in has no packet');
  return { packet, fullLength: Math.max(fullLength, packet.length), table, cookie, reason, metadata: decodeOxmList(metadataBytes), metadataBytes, userdata, continuation };
}

/** Lets a paused packet go on where it stopped, unchanged. E_INVALID when it was not paused. */
export function encodeResume(paused: PacketIn, version: OpenFlowVersion): Buffer {
  const { continuation } = paused;
  if (continuation === undefined) throw unencodable('only a paused packet can be resumed');
  return buildNicira(version, NICIRA_MESSAGE.RESUME, (writer) => {
    putProperty(writer, PACKET_IN.PACKET, paused.packet);
    if (paused.fullLength !== paused.packet.length) putU32(writer, PACKET_IN.FULL_LENGTH, paused.fullLength);
    const table = beginProperty(writer, PACKET_IN.TABLE);
    writer.u8(paused.table);
    endProperty(writer, table);
    if (paused.cookie !== undefined) putU64(writer, PACKET_IN.COOKIE, paused.cookie);
    const reason = beginProperty(writer, PACKET_IN.REASON);
    writer.u8(paused.reason);
    endProperty(writer, reason);
    putProperty(writer, PACKET_IN.METADATA, paused.metadataBytes);
    const start = beginProperty(writer, PACKET_IN.CONTINUATION);
    writer.zeros(4);
    writer.put(continuation);
    endProperty(writer, start);
  });
}

export interface PacketOut {
  readonly packet: Uint8Array;
  /** What the packet looks to have come from; PORT.CONTROLLER and PORT.LOCAL are possible. */
  readonly inPort: number;
  /** Registers, metadata, tunnel fields that it starts with. Only in 1.5; E_INVALID before. */
  readonly pipeline?: readonly MatchField[];
  readonly actions: readonly Action[];
}

export function encodePacketOut(out: PacketOut, version: OpenFlowVersion): Buffer {
  const pipeline = out.pipeline ?? [];
  if (version !== OF15 && pipeline.length > 0) throw unencodable('packet-out has pipeline fields only in OpenFlow 1.5');
  return buildMessage(version, MESSAGE.PACKET_OUT, (writer) => {
    writer.u32(NO_BUFFER);
    if (version !== OF15) writer.u32(out.inPort);
    const lengthAt = writer.length;
    writer.u16(0);
    writer.zeros(version === OF15 ? 2 : 6);
    if (version === OF15) writeMatch(writer, [{ field: 'in_port', value: out.inPort }, ...pipeline], version);
    const start = writer.length;
    writeActions(writer, out.actions, version);
    const length = writer.length - start;
    if (length > 0xffff) throw unencodable('the actions of a packet-out are longer than a message');
    writer.patch16(lengthAt, length);
    writer.put(out.packet);
  });
}
