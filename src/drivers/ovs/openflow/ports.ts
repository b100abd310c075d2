/** Ports of a bridge (OpenFlow 1.5.1, 7.2.1, 7.3.4.4, 7.4.3). */
import { macText } from '../../../model/mac-text.js';
import { whole } from './action-parts.js';
import { ByteReader, malformed, unencodable } from './bytes.js';
import { HEADER_LENGTH, MESSAGE, MULTIPART, OF15, PORT, port32 } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { buildMessage } from './message.js';
import { buildMultipart, forEachEntry } from './multipart.js';

/** OFPPC_*: what the administrator set. */
export const PORT_CONFIG = { DOWN: 1, NO_RECEIVE: 4, NO_FORWARD: 32, NO_PACKET_IN: 64 } as const;
/** OFPPS_*: what is. */
export const PORT_STATE = { LINK_DOWN: 1, BLOCKED: 2, LIVE: 4 } as const;

export interface Port {
  readonly number: number;
  readonly name: string;
  /** "aa:bb:cc:dd:ee:ff" */
  readonly mac: string;
  readonly config: number;
  readonly state: number;
}

const PORT_LENGTH = 40;
const NAME_LENGTH = 16;

export function buildPortDescRequest(version: OpenFlowVersion): Buffer {
  return buildMultipart(version, MULTIPART.PORT_DESC, (writer) => {
    // Before 1.5 the request has no body.
    if (version !== OF15) return;
    writer.u32(PORT.ANY);
    writer.zeros(4);
  });
}

export function readPortDesc(message: Uint8Array, use: (port: Port) => void): void {
  forEachEntry(message, PORT_LENGTH, 4, (entry) => use(readPort(entry)));
}

/** Of one port. */
export function buildPortStatsRequest(version: OpenFlowVersion, port: number): Buffer {
  return buildMultipart(version, MULTIPART.PORT_STATS, (writer) => {
    writer.u32(port32(port));
    writer.zeros(4);
  });
}

export interface PortStats {
  readonly port: number;
  /** Undefined: the switch does not know. */
  readonly txDropped: bigint | undefined;
}

/** OpenFlow 1.4 and later (1.5.1, 7.3.5.6). */
export function readPortStats(message: Uint8Array, use: (stats: PortStats) => void): void {
  forEachEntry(message, PORT_STATS_LENGTH, 0, (entry) => {
    entry.skip(4);
    const port = entry.u32();
    // Duration, packets and bytes both ways, and what was dropped coming in.
    entry.skip(8 + 5 * 8);
    const txDropped = entry.u64();
    use({ port, txDropped: txDropped === NOT_KNOWN ? undefined : txDropped });
  });
}

const PORT_STATS_LENGTH = 80;
const NOT_KNOWN = 0xffff_ffff_ffff_ffffn;

function readPort(reader: ByteReader): Port {
  const number = reader.u32();
  reader.skip(4);
  const mac = macText(reader.take(6));
  reader.skip(2);
  const bytes = reader.take(NAME_LENGTH);
  const end = bytes.indexOf(0);
  const name = Buffer.from(bytes.subarray(0, end === -1 ? NAME_LENGTH : end)).toString('utf8');
  return { number, name, mac, config: reader.u32(), state: reader.u32() };
}

export interface PortStatus {
  readonly reason: 'add' | 'delete' | 'modify';
  readonly port: Port;
}

const REASONS = ['add', 'delete', 'modify'] as const;

export function readPortStatus(message: Uint8Array): PortStatus {
  const reader = new ByteReader(message);
  reader.skip(HEADER_LENGTH);
  const reason = REASONS[reader.u8()];
  if (reason === undefined) throw malformed('a port changed for an unknown reason');
  reader.skip(7);
  return { reason, port: readPort(reader) };
}

export interface PortMod {
  readonly port: number;
  /** Must be the port's, or the switch refuses. */
  readonly mac: string;
  /** New values of the bits in `mask`. */
  readonly config: number;
  readonly mask: number;
}

export function encodePortMod(mod: PortMod, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.PORT_MOD, (writer) => {
    writer.u32(mod.port);
    writer.zeros(4);
    const mac = mod.mac.split(':');
    if (mac.length !== 6) throw unencodable(`"${mod.mac}" is no hardware address`);
    for (const part of mac) writer.u8(whole(Number.parseInt(part, 16), 8, 'a part of a hardware address'));
    writer.zeros(2);
    writer.u32(mod.config);
    writer.u32(mod.mask);
  });
}
