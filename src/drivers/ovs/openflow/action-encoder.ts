/** Actions to bytes, in the form in which Open vSwitch gives them back (lib/ofp-actions.c). */
import { ACTION, CONTROLLER_PROPERTY, CT_FLAG, HASH_FIELDS, MODULO_N, NAT_FLAG, NAT_RANGE, NO_TABLE, NX_ACTION, REASON_ACTION } from './actions.js';
import type { Action, ConntrackAction, ControllerAction, NatAction } from './actions.js';
import { nicira, standard, whole } from './action-parts.js';
import { ByteWriter, unencodable } from './bytes.js';
import { OF15, PORT, port16, WHOLE_PACKET } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { fieldNamed } from './fields.js';
import type { Field } from './fields.js';
import { writeLearn } from './learn.js';
import { allOnes, checkedSubfield, normalize, nxmNumber, oxmNumber, writeHeader, writeNumber } from './oxm.js';
import type { FieldValue, Subfield } from './oxm.js';
import { beginProperty, endProperty, putProperty, putU16, putU32, putU8 } from './properties.js';

/** A list of actions. E_INVALID when one cannot be said in this version, or a value does not fit. */
export function encodeActions(actions: readonly Action[], version: OpenFlowVersion = OF15): Buffer {
  const writer = new ByteWriter(128);
  writeActions(writer, actions, version);
  return writer.take(16);
}

export function writeActions(writer: ByteWriter, actions: readonly Action[], version: OpenFlowVersion): void {
  for (const action of actions) writeAction(writer, action, version);
}

function writeAction(writer: ByteWriter, action: Action, version: OpenFlowVersion): void {
  switch (action.type) {
    case 'output':
      return standard(writer, ACTION.OUTPUT, () => {
        writer.u32(whole(action.port, 32, 'port'));
        writer.u16(whole(action.maxLength ?? (action.port === PORT.CONTROLLER ? WHOLE_PACKET : 0), 16, 'maxLength'));
        writer.zeros(6);
      });
    case 'group':
      return standard(writer, ACTION.GROUP, () => writer.u32(whole(action.group, 32, 'group')));
    case 'set_field':
      return writeSetField(writer, fieldNamed(action.field), action.value, action.mask, version);
    case 'load':
      return writeLoad(writer, action.target, BigInt(action.value), version);
    case 'move':
      return writeMove(writer, action.source, action.target, version);
    case 'push_vlan':
      return standard(writer, ACTION.PUSH_VLAN, () => {
        writer.u16(whole(action.etherType ?? 0x8100, 16, 'etherType'));
        writer.zeros(2);
      });
    case 'pop_vlan':
      return standard(writer, ACTION.POP_VLAN, () => writer.zeros(4));
    case 'meter':
      if (version !== OF15) throw unencodable('a meter is an instruction before OpenFlow 1.5: it must be the first action of a flow');
      return standard(writer, ACTION.METER, () => writer.u32(whole(action.meter, 32, 'meter')));
    case 'dec_ttl':
      return writeDecTtl(writer, action.controllers ?? [0]);
    case 'unknown':
      return writer.put(action.bytes);
    case 'output_field':
    case 'output_truncated':
    case 'resubmit':
    case 'ct':
    case 'ct_clear':
    case 'nat':
    case 'learn':
    case 'conjunction':
    case 'controller':
    case 'clone':
    case 'note':
    case 'stack_push':
    case 'stack_pop':
    case 'check_packet_larger':
    case 'multipath':
    case 'exit':
      return writeNicira(writer, action, version);
  }
}

type StandardAction = 'output' | 'group' | 'set_field' | 'load' | 'move' | 'push_vlan' | 'pop_vlan' | 'meter' | 'dec_ttl' | 'unknown';

function writeNicira(writer: ByteWriter, action: Exclude<Action, { type: StandardAction }>, version: OpenFlowVersion): void {
  switch (action.type) {
    case 'output_field': {
      const field = checkedSubfield(action.source);
      return nicira(writer, NX_ACTION.OUTPUT_REG, () => {
        writer.u16(range(action.source));
        writeHeader(writer, nxmNumber(field), false, field.bytes);
        writer.u16(whole(action.maxLength ?? WHOLE_PACKET, 16, 'maxLength'));
        writer.zeros(6);
      });
    }
    case 'output_truncated':
      return nicira(writer, NX_ACTION.OUTPUT_TRUNC, () => {
        writer.u16(smallPort(action.port));
        writer.u32(whole(action.maxLength, 32, 'maxLength'));
      });
    case 'resubmit':
      return writeResubmit(writer, action.port ?? PORT.IN_PORT, action.table, action.conntrackTuple ?? false);
    case 'ct':
      return writeConntrack(writer, action, version);
    case 'ct_clear':
      return nicira(writer, NX_ACTION.CT_CLEAR, () => writer.zeros(6));
    case 'nat':
      return writeNat(writer, action);
    case 'learn':
      return writeLearn(writer, action);
    case 'conjunction': {
      const { clause, clauses } = action;
      if (!(clauses >= 2 && clauses <= 64 && clause >= 1 && clause <= clauses)) throw unencodable(`conjunction has no clause ${String(clause)} of ${String(clauses)}`);
      return nicira(writer, NX_ACTION.CONJUNCTION, () => {
        writer.u8(clause - 1);
        writer.u8(clauses);
        writer.u32(whole(action.id, 32, 'id'));
      });
    }
    case 'controller':
      return writeController(writer, action);
    case 'clone':
      return nicira(writer, NX_ACTION.CLONE, () => {
        writer.zeros(6);
        writeActions(writer, action.actions, version);
      });
    case 'note':
      return nicira(writer, NX_ACTION.NOTE, () => writer.put(action.data));
    case 'stack_push':
    case 'stack_pop': {
      const { part } = action;
      const field = checkedSubfield(part);
      return nicira(writer, action.type === 'stack_push' ? NX_ACTION.STACK_PUSH : NX_ACTION.STACK_POP, () => {
        writer.u16(part.offset);
        const start = writer.length;
        writeHeader(writer, nxmNumber(field), false, field.bytes);
        writer.u16(part.bits);
        writer.zeros(12 - (writer.length - start));
      });
    }
    case 'check_packet_larger': {
      const { target } = action;
      const field = checkedSubfield(target);
      if (target.bits !== 1) throw unencodable('check_packet_larger writes one bit');
      return nicira(writer, NX_ACTION.CHECK_PKT_LARGER, () => {
        writer.u16(whole(action.length, 16, 'length'));
        writer.u16(target.offset);
        const start = writer.length;
        writeHeader(writer, nxmNumber(field), false, field.bytes);
        writer.zeros(10 - (writer.length - start));
      });
    }
    case 'multipath': {
      const { target, modulus } = action;
      const field = checkedSubfield(target);
      if (!(Number.isInteger(modulus) && modulus >= 1 && modulus <= 0x1_0000 && modulus <= 2 ** target.bits)) throw unencodable(`multipath: ${String(modulus)} does not fit`);
      return nicira(writer, NX_ACTION.MULTIPATH, () => {
        writer.u16(HASH_FIELDS[action.fields]);
        writer.u16(whole(action.basis ?? 0, 16, 'basis'));
        writer.zeros(2);
        writer.u16(MODULO_N);
        writer.u16(modulus - 1);
        writer.zeros(4 + 2);
        writer.u16(range(target));
        writeHeader(writer, nxmNumber(field), false, field.bytes);
      });
    }
    case 'exit':
      return nicira(writer, NX_ACTION.EXIT, () => writer.zeros(6));
  }
}

/** Before 1.5 a set_field has no mask: parts of a field are loaded, one action a run of bits. */
function writeSetField(writer: ByteWriter, field: Field, value: FieldValue, mask: FieldValue | undefined, version: OpenFlowVersion): void {
  const normal = normalize(field, value, mask);
  if (normal === undefined) return;
  if (version !== OF15 && normal.mask !== undefined) {
    loadRuns(writer, field, BigInt(normal.value), BigInt(normal.mask));
    return;
  }
  standard(writer, ACTION.SET_FIELD, () => {
    writeHeader(writer, oxmNumber(field, version), normal.mask !== undefined, field.bytes);
    writeNumber(writer, normal.value, field.bytes);
    if (normal.mask !== undefined) writeNumber(writer, normal.mask, field.bytes);
  });
}

function writeLoad(writer: ByteWriter, target: Subfield, value: bigint, version: OpenFlowVersion): void {
  const field = checkedSubfield(target);
  const mask = allOnes(target.bits);
  if (value < 0n || value > mask) throw unencodable(`${target.field}: ${String(value)} does not fit into ${String(target.bits)} bits`);
  const shift = BigInt(target.offset);
  if (version === OF15) writeSetField(writer, field, value << shift, target.bits === field.bits ? undefined : mask << shift, version);
  else loadRuns(writer, field, value << shift, mask << shift);
}

const LOAD_BITS = 64;

function loadRuns(writer: ByteWriter, field: Field, value: bigint, mask: bigint): void {
  const total = field.bytes * 8;
  const set = (bit: number): boolean => ((mask >> BigInt(bit)) & 1n) === 1n;
  for (let offset = 0; offset < total; ) {
    if (!set(offset)) {
      offset += 1;
      continue;
    }
    let bits = 1;
    while (bits < LOAD_BITS && offset + bits < total && set(offset + bits)) bits += 1;
    const part = (value >> BigInt(offset)) & allOnes(bits);
    nicira(writer, NX_ACTION.REG_LOAD, () => {
      writer.u16((offset << 6) | (bits - 1));
      writeHeader(writer, nxmNumber(field), false, field.bytes);
      writer.u64(part);
    });
    offset += bits;
  }
}

function writeMove(writer: ByteWriter, source: Subfield, target: Subfield, version: OpenFlowVersion): void {
  const from = checkedSubfield(source);
  const to = checkedSubfield(target);
  if (source.bits !== target.bits) throw unencodable(`move copies ${String(source.bits)} bits to ${String(target.bits)}`);
  const body = (): void => {
    writer.u16(source.bits);
    writer.u16(source.offset);
    writer.u16(target.offset);
  };
  if (version === OF15) {
    standard(writer, ACTION.COPY_FIELD, () => {
      body();
      writer.zeros(2);
      writeHeader(writer, oxmNumber(from, version), false, from.bytes);
      writeHeader(writer, oxmNumber(to, version), false, to.bytes);
    });
    return;
  }
  nicira(writer, NX_ACTION.REG_MOVE, () => {
    body();
    writeHeader(writer, nxmNumber(from), false, from.bytes);
    writeHeader(writer, nxmNumber(to), false, to.bytes);
  });
}

function writeDecTtl(writer: ByteWriter, controllers: readonly number[]): void {
  if (controllers.length === 1 && controllers[0] === 0) {
    standard(writer, ACTION.DEC_NW_TTL, () => writer.zeros(4));
    return;
  }
  nicira(writer, NX_ACTION.DEC_TTL_CNT_IDS, () => {
    writer.u16(controllers.length);
    writer.zeros(4);
    for (const controller of controllers) writer.u16(whole(controller, 16, 'controller'));
  });
}

function writeResubmit(writer: ByteWriter, port: number, table: number | undefined, conntrackTuple: boolean): void {
  const plain = table === undefined && !conntrackTuple;
  nicira(writer, plain ? NX_ACTION.RESUBMIT : conntrackTuple ? NX_ACTION.RESUBMIT_TABLE_CT : NX_ACTION.RESUBMIT_TABLE, () => {
    writer.u16(smallPort(port));
    writer.u8(plain ? 0 : whole(table ?? NO_TABLE, 8, 'table'));
    writer.zeros(3);
  });
}

function writeConntrack(writer: ByteWriter, action: ConntrackAction, version: OpenFlowVersion): void {
  const { zone = 0 } = action;
  nicira(writer, NX_ACTION.CT, () => {
    writer.u16((action.commit === true ? CT_FLAG.COMMIT : 0) | (action.force === true ? CT_FLAG.FORCE : 0));
    if (typeof zone === 'number') {
      writer.u32(0);
      writer.u16(whole(zone, 16, 'zone'));
    } else {
      const field = checkedSubfield(zone);
      if (zone.bits !== 16) throw unencodable('a zone has 16 bits');
      writeHeader(writer, nxmNumber(field), false, field.bytes);
      writer.u16(range(zone));
    }
    writer.u8(whole(action.table ?? NO_TABLE, 8, 'table'));
    writer.zeros(3);
    writer.u16(whole(action.alg ?? 0, 16, 'alg'));
    writeActions(writer, action.actions ?? [], version);
  });
}

function writeNat(writer: ByteWriter, action: NatAction): void {
  const { addresses, ports } = action;
  if (ports !== undefined && addresses === undefined) throw unencodable('nat needs an address where it names ports');
  nicira(writer, NX_ACTION.NAT, () => {
    writer.zeros(2);
    writer.u16(
      (action.direction === 'source' ? NAT_FLAG.SOURCE : 0) | (action.direction === 'destination' ? NAT_FLAG.DESTINATION : 0) |
      (action.persistent === true ? NAT_FLAG.PERSISTENT : 0) | (action.hash === true ? NAT_FLAG.HASH : 0) | (action.random === true ? NAT_FLAG.RANDOM : 0),
    );
    const present = writer.length;
    writer.u16(0);
    let bits = 0;
    if (addresses !== undefined) {
      const [bytes, min, max] = addresses.family === 4 ? [4, NAT_RANGE.IPV4_MIN, NAT_RANGE.IPV4_MAX] : [16, NAT_RANGE.IPV6_MIN, NAT_RANGE.IPV6_MAX];
      const field = fieldNamed(addresses.family === 4 ? 'ip_src' : 'ipv6_src');
      writeNumber(writer, normalize(field, addresses.first, undefined)?.value ?? 0, bytes);
      bits |= min;
      if (addresses.last !== undefined) {
        writeNumber(writer, normalize(field, addresses.last, undefined)?.value ?? 0, bytes);
        bits |= max;
      }
    }
    if (ports !== undefined) {
      writer.u16(whole(ports.first, 16, 'port'));
      bits |= NAT_RANGE.PORT_MIN;
      if (ports.last !== undefined) {
        writer.u16(whole(ports.last, 16, 'port'));
        bits |= NAT_RANGE.PORT_MAX;
      }
    }
    writer.patch16(present, bits);
  });
}

/** Always the newer form, which the switch keeps; properties that have their default are left out, as it does. */
function writeController(writer: ByteWriter, action: ControllerAction): void {
  const { maxLength = WHOLE_PACKET, controllerId = 0, reason = REASON_ACTION, userdata, pause = false, meter = 0 } = action;
  nicira(writer, NX_ACTION.CONTROLLER2, () => {
    writer.zeros(6);
    if (maxLength !== WHOLE_PACKET) putU16(writer, CONTROLLER_PROPERTY.MAX_LENGTH, whole(maxLength, 16, 'maxLength'));
    if (controllerId !== 0) putU16(writer, CONTROLLER_PROPERTY.CONTROLLER_ID, whole(controllerId, 16, 'controllerId'));
    if (reason !== REASON_ACTION) putU8(writer, CONTROLLER_PROPERTY.REASON, whole(reason, 8, 'reason'));
    if (userdata !== undefined && userdata.length > 0) putProperty(writer, CONTROLLER_PROPERTY.USERDATA, userdata);
    if (pause) endProperty(writer, beginProperty(writer, CONTROLLER_PROPERTY.PAUSE));
    if (meter !== 0) putU32(writer, CONTROLLER_PROPERTY.METER, whole(meter, 32, 'meter'));
  });
}

/** Offset and number of bits in 16 bits, as Nicira's actions have them: at most 64 bits. */
function range({ field, offset, bits }: Subfield): number {
  if (bits > LOAD_BITS) throw unencodable(`${field}: at most 64 bits can be used here`);
  return (offset << 6) | (bits - 1);
}

function smallPort(port: number): number {
  const small = port16(port);
  if (small === undefined) throw unencodable(`port ${String(port)} has no 16-bit number`);
  return small;
}
