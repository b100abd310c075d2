/** The learn action: a flow that the switch makes from the packet (nicira-ext.h, "struct nx_action_learn"). */
import { DEFAULT_PRIORITY, LEARN_FLAG, LEARN_SPEC, NX_ACTION } from './actions.js';
import type { LearnAction, LearnSpec } from './actions.js';
import { nicira, whole } from './action-parts.js';
import { malformed, unencodable } from './bytes.js';
import type { ByteReader, ByteWriter } from './bytes.js';
import { allOnes, bytesToNumber, checkedSubfield, nxmNumber, readFieldHeader, subfield, writeHeader, writeNumber } from './oxm.js';

export function writeLearn(writer: ByteWriter, action: LearnAction): void {
  const { limit = 0, result } = action;
  const second = limit !== 0 || result !== undefined;
  nicira(writer, second ? NX_ACTION.LEARN2 : NX_ACTION.LEARN, () => {
    writer.u16(whole(action.idleTimeout ?? 0, 16, 'idleTimeout'));
    writer.u16(whole(action.hardTimeout ?? 0, 16, 'hardTimeout'));
    writer.u16(whole(action.priority ?? DEFAULT_PRIORITY, 16, 'priority'));
    writer.u64(action.cookie ?? 0n);
    writer.u16(
      (action.sendFlowRemoved === true ? LEARN_FLAG.SEND_FLOW_REMOVED : 0) | (action.deleteLearned === true ? LEARN_FLAG.DELETE_LEARNED : 0) |
      (result === undefined ? 0 : LEARN_FLAG.WRITE_RESULT),
    );
    writer.u8(whole(action.table, 8, 'table'));
    writer.u8(0);
    writer.u16(whole(action.finIdleTimeout ?? 0, 16, 'finIdleTimeout'));
    writer.u16(whole(action.finHardTimeout ?? 0, 16, 'finHardTimeout'));
    if (second) {
      writer.u32(whole(limit, 32, 'limit'));
      writer.u16(result?.offset ?? 0);
      writer.u16(0);
      if (result !== undefined) {
        if (result.bits !== 1) throw unencodable('the result of learn is one bit');
        const field = checkedSubfield(result);
        writeHeader(writer, nxmNumber(field), false, field.bytes);
      }
    }
    for (const spec of action.specs) writeSpec(writer, spec);
  });
}

function writeSpec(writer: ByteWriter, { source, target, bits }: LearnSpec): void {
  if (!Number.isInteger(bits) || bits < 1 || bits > LEARN_SPEC.BITS) throw unencodable(`learn copies 1..1023 bits, not ${String(bits)}`);
  const constant = 'value' in source;
  if (constant && target.kind === 'output') throw unencodable('learn takes the port of an output from a field');
  writer.u16(bits | (constant ? LEARN_SPEC.VALUE : 0) | (target.kind === 'match' ? LEARN_SPEC.MATCH : target.kind === 'load' ? LEARN_SPEC.LOAD : LEARN_SPEC.OUTPUT));
  if (constant) {
    const value = BigInt(source.value);
    if (value < 0n || value > allOnes(bits)) throw unencodable(`learn: ${String(value)} does not fit into ${String(bits)} bits`);
    writeNumber(writer, value, constantBytes(bits));
  } else {
    writePlace(writer, source, bits);
  }
  if (target.kind !== 'output') writePlace(writer, target, bits);
}

function writePlace(writer: ByteWriter, { field: name, offset }: { readonly field: LearnField; readonly offset: number }, bits: number): void {
  const field = checkedSubfield(subfield(name, offset, bits));
  writeHeader(writer, nxmNumber(field), false, field.bytes);
  writer.u16(offset);
}

type LearnField = Parameters<typeof subfield>[0];

/** `reader` stands behind the subtype. */
export function readLearn(reader: ByteReader, second: boolean): LearnAction {
  const idleTimeout = reader.u16();
  const hardTimeout = reader.u16();
  const priority = reader.u16();
  const cookie = reader.u64();
  const flags = reader.u16();
  const table = reader.u8();
  reader.skip(1);
  const finIdleTimeout = reader.u16();
  const finHardTimeout = reader.u16();
  let limit = 0;
  let result: LearnAction['result'];
  if (second) {
    limit = reader.u32();
    const offset = reader.u16();
    reader.skip(2);
    if ((flags & LEARN_FLAG.WRITE_RESULT) !== 0) result = subfield(readFieldHeader(reader).name, offset, 1);
  }
  const specs: LearnSpec[] = [];
  // Padding is fewer than 8 zero bytes; a spec is never 0.
  while (reader.remaining >= 2) {
    const head = reader.u16();
    if (head === 0) break;
    specs.push(readSpec(reader, head));
  }
  return {
    type: 'learn', table, priority, specs,
    ...(idleTimeout === 0 ? {} : { idleTimeout }), ...(hardTimeout === 0 ? {} : { hardTimeout }),
    ...(finIdleTimeout === 0 ? {} : { finIdleTimeout }), ...(finHardTimeout === 0 ? {} : { finHardTimeout }),
    ...(cookie === 0n ? {} : { cookie }), ...(limit === 0 ? {} : { limit }), ...(result === undefined ? {} : { result }),
    ...((flags & LEARN_FLAG.SEND_FLOW_REMOVED) === 0 ? {} : { sendFlowRemoved: true }),
    ...((flags & LEARN_FLAG.DELETE_LEARNED) === 0 ? {} : { deleteLearned: true }),
  };
}

function readSpec(reader: ByteReader, head: number): LearnSpec {
  const bits = head & LEARN_SPEC.BITS;
  const kind = head & LEARN_SPEC.TARGET;
  const constant = (head & LEARN_SPEC.VALUE) !== 0;
  if (bits === 0 || kind === LEARN_SPEC.TARGET || (constant && kind === LEARN_SPEC.OUTPUT)) throw malformed('learn has an impossible part', { head });
  const source = constant ? { value: bytesToNumber(reader.take(constantBytes(bits))) } : readPlace(reader);
  if (kind === LEARN_SPEC.OUTPUT) return { source, target: { kind: 'output' }, bits };
  return { source, target: { kind: kind === LEARN_SPEC.MATCH ? 'match' : 'load', ...readPlace(reader) }, bits };
}

function readPlace(reader: ByteReader): { readonly field: LearnField; readonly offset: number } {
  const field = readFieldHeader(reader).name;
  return { field, offset: reader.u16() };
}

/** Constants come in whole 16-bit words. */
function constantBytes(bits: number): number {
  return Math.ceil(bits / 16) * 2;
}
