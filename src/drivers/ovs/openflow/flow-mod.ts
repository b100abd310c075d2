/** Changes of flows (OpenFlow 1.5.1, 7.3.4.2). Matches and instructions come as bytes, made once and compared as bytes. */
import { whole } from './action-parts.js';
import { DEFAULT_PRIORITY } from './actions.js';
import type { ByteWriter } from './bytes.js';
import { ALL_TABLES, ANY_GROUP, MESSAGE, NO_BUFFER, PORT } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { beginMessage, buildMessage, endMessage } from './message.js';

export type FlowCommand = 'add' | 'modify' | 'modify_strict' | 'delete' | 'delete_strict';

const COMMAND: Readonly<Record<FlowCommand, number>> = { add: 0, modify: 1, modify_strict: 2, delete: 3, delete_strict: 4 };

/** OFPFF_* */
export const FLOW_FLAG = { SEND_REMOVED: 1, CHECK_OVERLAP: 2, RESET_COUNTS: 4, NO_PACKET_COUNTS: 8, NO_BYTE_COUNTS: 16 } as const;

/** A match of everything. */
export const MATCH_ALL: Uint8Array = Buffer.from('0001000400000000', 'hex');
const NOTHING = new Uint8Array(0);

export interface FlowMod {
  readonly command: FlowCommand;
  /** 0..253; 255 (ALL_TABLES) with delete. */
  readonly table: number;
  /** Default 32768. Counts in add and in the strict commands. */
  readonly priority?: number;
  /** Of the new flow with add; with the others, flows are restricted to it by `cookieMask`. */
  readonly cookie?: bigint;
  /** Default 0: any cookie. Nothing with add. */
  readonly cookieMask?: bigint;
  /** Seconds; 0 (default): never. */
  readonly idleTimeout?: number;
  readonly hardTimeout?: number;
  readonly importance?: number;
  readonly flags?: number;
  /** With delete: only flows that have such an output. */
  readonly outPort?: number;
  readonly outGroup?: number;
  /** From `encodeMatch`; default everything. */
  readonly match?: Uint8Array;
  /** From `encodeInstructions`; default none: drop. */
  readonly instructions?: Uint8Array;
}

export function encodeFlowMod(mod: FlowMod, version: OpenFlowVersion): Buffer {
  return buildMessage(version, MESSAGE.FLOW_MOD, (writer) => writeBody(writer, mod));
}

/** At the end of `writer`, with transaction id 0: for many flows in one buffer. E_INVALID when it is too long. */
export function writeFlowMod(writer: ByteWriter, mod: FlowMod, version: OpenFlowVersion): void {
  const start = beginMessage(writer, version, MESSAGE.FLOW_MOD);
  writeBody(writer, mod);
  endMessage(writer, start);
}

function writeBody(writer: ByteWriter, mod: FlowMod): void {
  writer.u64(mod.cookie ?? 0n);
  writer.u64(mod.cookieMask ?? 0n);
  writer.u8(whole(mod.table, 8, 'table'));
  writer.u8(COMMAND[mod.command]);
  writer.u16(whole(mod.idleTimeout ?? 0, 16, 'idleTimeout'));
  writer.u16(whole(mod.hardTimeout ?? 0, 16, 'hardTimeout'));
  writer.u16(whole(mod.priority ?? DEFAULT_PRIORITY, 16, 'priority'));
  writer.u32(NO_BUFFER);
  writer.u32(mod.outPort ?? PORT.ANY);
  writer.u32(mod.outGroup ?? ANY_GROUP);
  writer.u16(mod.flags ?? 0);
  writer.u16(whole(mod.importance ?? 0, 16, 'importance'));
  writer.put(mod.match ?? MATCH_ALL);
  writer.put(mod.instructions ?? NOTHING);
}

/** Deletes all flows whose cookie has these bits. */
export function deleteByCookie(cookie: bigint, mask: bigint): FlowMod {
  return { command: 'delete', table: ALL_TABLES, cookie, cookieMask: mask };
}
