/** Instructions of a flow (OpenFlow 1.5.1, 7.2.4), in the order of Open vSwitch. */
import { decodeActions } from './action-decoder.js';
import { writeActions } from './action-encoder.js';
import { INSTRUCTION } from './actions.js';
import type { Action, Instructions } from './actions.js';
import { whole } from './action-parts.js';
import { ByteReader, ByteWriter, malformed, unencodable } from './bytes.js';
import { OF14, OF15 } from './constants.js';
import type { OpenFlowVersion } from './constants.js';

/** Empty for a flow that drops. A meter at the front of `apply` becomes an instruction in 1.4. E_INVALID as `encodeActions`. */
export function encodeInstructions(instructions: Instructions, version: OpenFlowVersion = OF15): Buffer {
  const writer = new ByteWriter(256);
  writeInstructions(writer, instructions, version);
  return writer.take(16);
}

export function writeInstructions(writer: ByteWriter, instructions: Instructions, version: OpenFlowVersion): void {
  const { clear = false, write, metadata, goto } = instructions;
  let apply = instructions.apply ?? [];
  const first = apply[0];
  if (version === OF14 && first?.type === 'meter') {
    writer.u16(INSTRUCTION.METER);
    writer.u16(8);
    writer.u32(whole(first.meter, 32, 'meter'));
    apply = apply.slice(1);
  }
  if (apply.length > 0) actionList(writer, INSTRUCTION.APPLY, apply, version);
  if (clear) {
    writer.u16(INSTRUCTION.CLEAR);
    writer.u16(8);
    writer.zeros(4);
  }
  if (write !== undefined && write.length > 0) actionList(writer, INSTRUCTION.WRITE, write, version);
  if (metadata !== undefined && metadata.mask !== 0n) {
    writer.u16(INSTRUCTION.METADATA);
    writer.u16(24);
    writer.zeros(4);
    writer.u64(metadata.value & metadata.mask);
    writer.u64(metadata.mask);
  }
  if (goto !== undefined) {
    writer.u16(INSTRUCTION.GOTO);
    writer.u16(8);
    writer.u8(whole(goto, 8, 'goto'));
    writer.zeros(3);
  }
}

function actionList(writer: ByteWriter, type: number, actions: readonly Action[], version: OpenFlowVersion): void {
  const start = writer.length;
  writer.u16(type);
  writer.u16(0);
  writer.zeros(4);
  writeActions(writer, actions, version);
  const length = writer.length - start;
  if (length > 0xffff) throw unencodable('the actions of a flow are longer than 65535 bytes');
  writer.patch16(start + 2, length);
}

/** E_PARSE when lengths do not fit, an instruction comes twice or we do not know it: nothing may be lost silently. */
export function decodeInstructions(bytes: Uint8Array): Instructions {
  const reader = new ByteReader(bytes);
  const seen = new Set<number>();
  let meter: Action | undefined;
  let apply: Action[] | undefined;
  let rest: Omit<Instructions, 'apply'> = {};
  while (reader.remaining > 0) {
    const type = reader.u16();
    const length = reader.u16();
    if (length < 8 || length % 8 !== 0) throw malformed('an instruction has a wrong length', { type, length });
    if (seen.has(type)) throw malformed('an instruction comes twice', { type });
    seen.add(type);
    const body = reader.sub(length - 4);
    if (type === INSTRUCTION.METER) {
      meter = { type: 'meter', meter: body.u32() };
    } else if (type === INSTRUCTION.APPLY || type === INSTRUCTION.WRITE) {
      body.skip(4);
      const actions = decodeActions(body.rest());
      if (type === INSTRUCTION.APPLY) apply = actions;
      else rest = { ...rest, write: actions };
    } else if (type === INSTRUCTION.CLEAR) {
      rest = { ...rest, clear: true };
    } else if (type === INSTRUCTION.METADATA) {
      body.skip(4);
      const value = body.u64();
      rest = { ...rest, metadata: { value, mask: body.u64() } };
    } else if (type === INSTRUCTION.GOTO) {
      rest = { ...rest, goto: body.u8() };
    } else {
      throw malformed('a flow has an unknown instruction', { type });
    }
  }
  if (meter === undefined && apply === undefined) return rest;
  return { apply: meter === undefined ? (apply ?? []) : [meter, ...(apply ?? [])], ...rest };
}
