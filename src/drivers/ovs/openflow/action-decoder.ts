/** Bytes to actions. What we do not know, or know in another form, comes back as `unknown`: a foreign flow is not an error. */
import { ACTION, CONTROLLER_PROPERTY, CT_FLAG, HASH_FIELDS, MODULO_N, NAT_FLAG, NAT_RANGE, NO_TABLE, NX_ACTION, REASON_ACTION } from './actions.js';
import type { Action, ConntrackAction, ControllerAction, MultipathAction, NatAction } from './actions.js';
import { ByteReader, malformed } from './bytes.js';
import { PORT, port32, VENDOR, WHOLE_PACKET } from './constants.js';
import { fieldNumbered } from './fields.js';
import { readLearn } from './learn.js';
import { bytesToNumber, readFieldHeader, readHeader, readNumber, subfield } from './oxm.js';
import type { Subfield } from './oxm.js';
import { forEachProperty } from './properties.js';

/** Actions may hold actions; nobody writes more levels than this. */
const DEEPEST = 16;
const HEADER = 4;
const NICIRA_HEADER = 10;

/** E_PARSE when lengths do not fit, or nested deeper than 16 levels. */
export function decodeActions(bytes: Uint8Array): Action[] {
  return readActions(new ByteReader(bytes), 0);
}

function readActions(reader: ByteReader, depth: number): Action[] {
  if (depth > DEEPEST) throw malformed('actions are nested too deep');
  const actions: Action[] = [];
  while (reader.remaining > 0) {
    const type = reader.u16();
    const length = reader.u16();
    if (length < 8 || length % 8 !== 0) throw malformed('an action has a wrong length', { type, length });
    const body = reader.take(length - HEADER);
    actions.push(readAction(type, body, depth) ?? { type: 'unknown', bytes: withHeader(type, length, body) });
  }
  return actions;
}

/** A copy: the body alone does not say where its header is. */
function withHeader(type: number, length: number, body: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(length, 2);
  bytes.set(body, HEADER);
  return bytes;
}

function readAction(type: number, body: Uint8Array, depth: number): Action | undefined {
  const reader = new ByteReader(body);
  switch (type) {
    case ACTION.OUTPUT: {
      const port = reader.u32();
      const maxLength = reader.u16();
      return { type: 'output', port, ...(maxLength === (port === PORT.CONTROLLER ? WHOLE_PACKET : 0) ? {} : { maxLength }) };
    }
    case ACTION.GROUP:
      return { type: 'group', group: reader.u32() };
    case ACTION.METER:
      return { type: 'meter', meter: reader.u32() };
    case ACTION.PUSH_VLAN:
      return { type: 'push_vlan', etherType: reader.u16() };
    case ACTION.POP_VLAN:
      return { type: 'pop_vlan' };
    case ACTION.DEC_NW_TTL:
      return { type: 'dec_ttl' };
    case ACTION.SET_FIELD:
      return readSetField(reader);
    case ACTION.COPY_FIELD:
      return readMove(reader, 2);
    case ACTION.EXPERIMENTER:
      return readNicira(reader, depth);
    default:
      return undefined;
  }
}

function readSetField(reader: ByteReader): Action | undefined {
  const header = readHeader(reader);
  const field = fieldNumbered(header.class, header.number, header.experimenter);
  const payload = reader.take(header.length);
  if (field === undefined) return undefined;
  if (payload.length !== field.bytes * (header.masked ? 2 : 1)) throw malformed(`set_field of ${field.name} has a wrong length`);
  const value = bytesToNumber(payload.subarray(0, field.bytes));
  return { type: 'set_field', field: field.name, value, ...(header.masked ? { mask: bytesToNumber(payload.subarray(field.bytes)) } : {}) };
}

/** `padding` bytes stand before the fields. Undefined when one of them is unknown. */
function readMove(reader: ByteReader, padding: number): Action | undefined {
  const bits = reader.u16();
  const from = reader.u16();
  const to = reader.u16();
  reader.skip(padding);
  const source = knownField(reader);
  const target = knownField(reader);
  return source === undefined || target === undefined ? undefined : { type: 'move', source: subfield(source, from, bits), target: subfield(target, to, bits) };
}

function knownField(reader: ByteReader): Subfield['field'] | undefined {
  const header = readHeader(reader);
  return fieldNumbered(header.class, header.number, header.experimenter)?.name;
}

function readNicira(reader: ByteReader, depth: number): Action | undefined {
  if (reader.u32() !== VENDOR.NICIRA) return undefined;
  const subtype = reader.u16();
  switch (subtype) {
    case NX_ACTION.RESUBMIT:
      return resubmit(port32(reader.u16()), undefined, false);
    case NX_ACTION.RESUBMIT_TABLE:
    case NX_ACTION.RESUBMIT_TABLE_CT: {
      const port = port32(reader.u16());
      return resubmit(port, reader.u8(), subtype === NX_ACTION.RESUBMIT_TABLE_CT);
    }
    case NX_ACTION.REG_MOVE:
      return readMove(reader, 0);
    case NX_ACTION.REG_LOAD: {
      const range = reader.u16();
      const field = knownField(reader);
      return field === undefined ? undefined : { type: 'load', target: ranged(field, range), value: reader.u64() };
    }
    case NX_ACTION.NOTE:
      return { type: 'note', data: reader.rest() };
    case NX_ACTION.OUTPUT_REG: {
      const range = reader.u16();
      const field = knownField(reader);
      const maxLength = reader.u16();
      return field === undefined ? undefined : { type: 'output_field', source: ranged(field, range), ...(maxLength === WHOLE_PACKET ? {} : { maxLength }) };
    }
    case NX_ACTION.OUTPUT_TRUNC: {
      const port = port32(reader.u16());
      return { type: 'output_truncated', port, maxLength: reader.u32() };
    }
    case NX_ACTION.LEARN:
    case NX_ACTION.LEARN2:
      return readLearn(reader, subtype === NX_ACTION.LEARN2);
    case NX_ACTION.EXIT:
      return { type: 'exit' };
    case NX_ACTION.CONTROLLER: {
      const maxLength = reader.u16();
      const controllerId = reader.u16();
      return controller({ maxLength, controllerId, reason: reader.u8() });
    }
    case NX_ACTION.CONTROLLER2:
      reader.skip(16 - NICIRA_HEADER);
      return readController(reader);
    case NX_ACTION.DEC_TTL_CNT_IDS: {
      const count = reader.u16();
      reader.skip(4);
      if (count * 2 > reader.remaining) throw malformed('dec_ttl names more controllers than it has');
      return { type: 'dec_ttl', controllers: Array.from({ length: count }, () => reader.u16()) };
    }
    case NX_ACTION.STACK_PUSH:
    case NX_ACTION.STACK_POP: {
      const offset = reader.u16();
      const field = knownField(reader);
      return field === undefined ? undefined : { type: subtype === NX_ACTION.STACK_PUSH ? 'stack_push' : 'stack_pop', part: subfield(field, offset, reader.u16()) };
    }
    case NX_ACTION.CONJUNCTION: {
      const clause = reader.u8() + 1;
      const clauses = reader.u8();
      return { type: 'conjunction', id: reader.u32(), clause, clauses };
    }
    case NX_ACTION.CT:
      return readConntrack(reader, depth);
    case NX_ACTION.CT_CLEAR:
      return { type: 'ct_clear' };
    case NX_ACTION.NAT:
      return readNat(reader);
    case NX_ACTION.CLONE:
      reader.skip(16 - NICIRA_HEADER);
      return { type: 'clone', actions: readActions(reader, depth + 1) };
    case NX_ACTION.CHECK_PKT_LARGER: {
      const length = reader.u16();
      const offset = reader.u16();
      const field = knownField(reader);
      return field === undefined ? undefined : { type: 'check_packet_larger', length, target: subfield(field, offset, 1) };
    }
    case NX_ACTION.MULTIPATH:
      return readMultipath(reader);
    default:
      return undefined;
  }
}

/** Undefined where it hashes other fields, or in another way. */
function readMultipath(reader: ByteReader): MultipathAction | undefined {
  const number = reader.u16();
  const basis = reader.u16();
  reader.skip(2);
  const algorithm = reader.u16();
  const modulus = reader.u16() + 1;
  const argument = reader.u32();
  reader.skip(2);
  const bits = reader.u16();
  const field = knownField(reader);
  const [fields] = (Object.keys(HASH_FIELDS) as (keyof typeof HASH_FIELDS)[]).filter((name) => HASH_FIELDS[name] === number);
  if (fields === undefined || field === undefined || algorithm !== MODULO_N || argument !== 0) return undefined;
  return { type: 'multipath', fields, ...(basis === 0 ? {} : { basis }), modulus, target: ranged(field, bits) };
}

function resubmit(port: number, table: number | undefined, conntrackTuple: boolean): Action {
  return { type: 'resubmit', ...(port === PORT.IN_PORT ? {} : { port }), ...(table === undefined ? {} : { table }), ...(conntrackTuple ? { conntrackTuple } : {}) };
}

/** Offset and number of bits, as Nicira's actions pack them. */
function ranged(field: Subfield['field'], range: number): Subfield {
  return subfield(field, range >> 6, (range & 63) + 1);
}

function readController(reader: ByteReader): ControllerAction {
  let maxLength = WHOLE_PACKET;
  let controllerId = 0;
  let reason = REASON_ACTION;
  let userdata: Uint8Array | undefined;
  let pause = false;
  let meter = 0;
  forEachProperty(reader, (type, payload) => {
    if (type === CONTROLLER_PROPERTY.MAX_LENGTH) maxLength = payload.u16();
    else if (type === CONTROLLER_PROPERTY.CONTROLLER_ID) controllerId = payload.u16();
    else if (type === CONTROLLER_PROPERTY.REASON) reason = payload.u8();
    else if (type === CONTROLLER_PROPERTY.USERDATA) userdata = payload.rest();
    else if (type === CONTROLLER_PROPERTY.PAUSE) pause = true;
    else if (type === CONTROLLER_PROPERTY.METER) meter = payload.u32();
  });
  return { ...controller({ maxLength, controllerId, reason }), ...(userdata === undefined ? {} : { userdata }), ...(pause ? { pause } : {}), ...(meter === 0 ? {} : { meter }) };
}

function controller({ maxLength, controllerId, reason }: { readonly maxLength: number; readonly controllerId: number; readonly reason: number }): ControllerAction {
  return {
    type: 'controller', ...(maxLength === WHOLE_PACKET ? {} : { maxLength }), ...(controllerId === 0 ? {} : { controllerId }),
    ...(reason === REASON_ACTION ? {} : { reason }),
  };
}

function readConntrack(reader: ByteReader, depth: number): ConntrackAction {
  const flags = reader.u16();
  const source = reader.sub(4);
  const zoneOrRange = reader.u16();
  const table = reader.u8();
  reader.skip(3);
  const alg = reader.u16();
  const zone = source.peekU32() === 0 ? zoneOrRange : ranged(readFieldHeader(source).name, zoneOrRange);
  const actions = readActions(reader, depth + 1);
  return {
    type: 'ct',
    ...((flags & CT_FLAG.COMMIT) === 0 ? {} : { commit: true }),
    ...((flags & CT_FLAG.FORCE) === 0 ? {} : { force: true }),
    ...(zone === 0 ? {} : { zone }), ...(table === NO_TABLE ? {} : { table }), ...(alg === 0 ? {} : { alg }), ...(actions.length === 0 ? {} : { actions }),
  };
}

function readNat(reader: ByteReader): NatAction {
  reader.skip(2);
  const flags = reader.u16();
  const present = reader.u16();
  const has = (bit: number): boolean => (present & bit) !== 0;
  let addresses: NatAction['addresses'];
  if (has(NAT_RANGE.IPV4_MIN) || has(NAT_RANGE.IPV6_MIN)) {
    const family = has(NAT_RANGE.IPV4_MIN) ? 4 : 6;
    const bytes = family === 4 ? 4 : 16;
    const first = readNumber(reader, bytes);
    addresses = has(family === 4 ? NAT_RANGE.IPV4_MAX : NAT_RANGE.IPV6_MAX) ? { family, first, last: readNumber(reader, bytes) } : { family, first };
  }
  let ports: NatAction['ports'];
  if (has(NAT_RANGE.PORT_MIN)) {
    const first = reader.u16();
    ports = has(NAT_RANGE.PORT_MAX) ? { first, last: reader.u16() } : { first };
  }
  return {
    type: 'nat',
    ...((flags & NAT_FLAG.SOURCE) === 0 ? {} : { direction: 'source' }),
    ...((flags & NAT_FLAG.DESTINATION) === 0 ? {} : { direction: 'destination' }),
    ...((flags & NAT_FLAG.PERSISTENT) === 0 ? {} : { persistent: true }),
    ...((flags & NAT_FLAG.HASH) === 0 ? {} : { hash: true }),
    ...((flags & NAT_FLAG.RANDOM) === 0 ? {} : { random: true }),
    ...(addresses === undefined ? {} : { addresses }), ...(ports === undefined ? {} : { ports }),
  };
}
