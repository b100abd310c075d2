/** Matches (OpenFlow 1.5.1, 7.2.3), written in the order and form in which Open vSwitch gives them back. */
import { ByteReader, ByteWriter, malformed, padded8, unencodable } from './bytes.js';
import { OF15 } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { fieldNamed, fieldNumbered, registerIndex, VLAN_PRESENT, wideRegister } from './fields.js';
import type { FieldName } from './fields.js';
import { bytesToNumber, normalize, oxmNumber, readHeader, writeHeader, writeNumber } from './oxm.js';
import type { FieldValue } from './oxm.js';
import { addPrerequisites } from './prerequisites.js';
import type { MatchEntry } from './prerequisites.js';

export interface MatchField {
  readonly field: FieldName;
  readonly value: FieldValue;
  /** Bits that count; all when missing. A mask without bits is the same as no such field. */
  readonly mask?: FieldValue;
}

export interface DecodedMatch {
  /** In the order of the wire; registers by themselves (reg0..15), whatever width they came in. */
  readonly fields: readonly MatchField[];
  /** Fields that we do not know, as they came: header, value and mask. */
  readonly unknown: readonly Uint8Array[];
}

const OXM_MATCH = 1;
const PCP_SHIFT = 13;

/**
 * The whole `struct ofp_match` with its padding. Prerequisites are added where only one is possible; value bits outside of
 * the mask are cleared. A switch that stores the match gives these bytes back, so that equal bytes mean equal matches.
 * E_INVALID: a value that does not fit, a field named twice, fields that contradict each other, a choice that is open.
 */
export function encodeMatch(fields: readonly MatchField[], version: OpenFlowVersion = OF15): Buffer {
  const writer = new ByteWriter(128);
  writeMatch(writer, fields, version);
  return writer.take(16);
}

/** As `encodeMatch`, at the end of `writer`. */
export function writeMatch(writer: ByteWriter, fields: readonly MatchField[], version: OpenFlowVersion): void {
  const entries = entriesOf(fields);
  addPrerequisites(entries);
  const start = writer.length;
  writer.u16(OXM_MATCH);
  writer.u16(0);
  writeEntries(writer, entries, version);
  writer.patch16(start + 2, writer.length - start);
  writer.align8(start);
}

/** Only the fields, without the structure around them and without looking at prerequisites: for metadata of packets. */
export function writeOxmList(writer: ByteWriter, fields: readonly MatchField[], version: OpenFlowVersion): void {
  writeEntries(writer, entriesOf(fields), version);
}

/** Length with padding of the match at `at`. E_PARSE when it is none or does not fit before `end`. */
export function matchLength(bytes: Uint8Array, at: number, end: number): number {
  const reader = new ByteReader(bytes, at, end);
  const type = reader.u16();
  const length = reader.u16();
  const whole = padded8(length);
  if (type !== OXM_MATCH || length < 4 || whole > end - at) throw malformed('a match has a wrong type or length', { type, length });
  return whole;
}

/** E_PARSE when it is not one match, with nothing behind its padding. */
export function decodeMatch(bytes: Uint8Array): DecodedMatch {
  if (matchLength(bytes, 0, bytes.length) !== bytes.length) throw malformed('something follows a match');
  const length = new ByteReader(bytes, 2).u16();
  return decodeOxmList(bytes.subarray(4, length));
}

/** The fields of a match or of a packet's metadata. */
export function decodeOxmList(bytes: Uint8Array): DecodedMatch {
  const fields: MatchField[] = [];
  const unknown: Uint8Array[] = [];
  const reader = new ByteReader(bytes);
  while (reader.remaining > 0) {
    const start = reader.offset;
    const header = readHeader(reader);
    const payload = reader.take(header.length);
    const field = fieldNumbered(header.class, header.number, header.experimenter);
    if (field === undefined) {
      unknown.push(bytes.subarray(start, reader.offset));
      continue;
    }
    if (payload.length !== field.bytes * (header.masked ? 2 : 1)) throw malformed(`${field.name} has a wrong length`, { length: payload.length });
    const wide = wideRegister(field);
    if (wide !== undefined) {
      pushRegisters(fields, wide.first, wide.count, payload, header.masked);
      continue;
    }
    const value = bytesToNumber(payload.subarray(0, field.bytes));
    fields.push(header.masked ? { field: field.name, value, mask: bytesToNumber(payload.subarray(field.bytes)) } : { field: field.name, value });
  }
  return { fields, unknown };
}

function pushRegisters(fields: MatchField[], first: number, count: number, payload: Uint8Array, masked: boolean): void {
  for (let index = 0; index < count; index += 1) {
    const at = index * 4;
    const value = bytesToNumber(payload.subarray(at, at + 4));
    const mask = masked ? bytesToNumber(payload.subarray(count * 4 + at, count * 4 + at + 4)) : 0xffff_ffff;
    if (mask === 0) continue;
    const field = registerName(first + index);
    fields.push(mask === 0xffff_ffff ? { field, value } : { field, value, mask });
  }
}

/** One entry a field; wide registers as 32-bit ones, vlan_tci as the two fields that OXM has for it. */
function entriesOf(fields: readonly MatchField[]): MatchEntry[] {
  const entries: MatchEntry[] = [];
  for (const { field: name, value, mask } of fields) {
    const field = fieldNamed(name);
    if (name === 'in_port_16') throw unencodable('in_port_16 is for actions; match in_port');
    const normal = normalize(field, value, mask);
    if (normal === undefined) continue;
    const wide = wideRegister(field);
    if (wide !== undefined) {
      for (let index = 0; index < wide.count; index += 1) {
        const shift = BigInt((wide.count - 1 - index) * 32);
        const part = word(normal.value, shift);
        const partMask = normal.mask === undefined ? 0xffff_ffff : word(normal.mask, shift);
        if (partMask !== 0) add(entries, { field: fieldNamed(registerName(wide.first + index)), value: part, mask: partMask === 0xffff_ffff ? undefined : partMask });
      }
    } else if (name === 'vlan_tci') {
      addVlanTci(entries, Number(normal.value), Number(normal.mask ?? 0xffff));
    } else if (name === 'tun_flags') {
      // The switch keeps flags that it does not know out of the mask, and so never gives it back without one.
      add(entries, { field, value: normal.value, mask: 1 });
    } else {
      add(entries, { field, ...normal });
    }
  }
  return entries;
}

function add(entries: MatchEntry[], entry: MatchEntry): void {
  if (entries.some(({ field }) => field === entry.field)) throw unencodable(`${entry.field.name} is named twice`);
  entries.push(entry);
}

function addVlanTci(entries: MatchEntry[], value: number, mask: number): void {
  const priorityMask = mask >> PCP_SHIFT;
  if (priorityMask !== 0 && priorityMask !== 7) throw unencodable('the priority bits of vlan_tci can be matched only as a whole');
  const tagMask = mask & 0x1fff;
  const tag = value & 0x1fff;
  if (priorityMask === 7 && (tag & VLAN_PRESENT) === 0) {
    if (value >> PCP_SHIFT !== 0 || tagMask !== 0x1fff) throw unencodable('the priority of vlan_tci needs its present bit');
    // Priority of a packet without tag: says nothing.
  } else if (priorityMask === 7) {
    add(entries, { field: fieldNamed('vlan_pcp'), value: value >> PCP_SHIFT, mask: undefined });
  }
  if (tagMask !== 0) add(entries, { field: fieldNamed('vlan_vid'), value: tag, mask: tagMask === 0x1fff ? undefined : tagMask });
}

function writeEntries(writer: ByteWriter, entries: MatchEntry[], version: OpenFlowVersion): void {
  entries.sort((a, b) => a.field.order - b.field.order);
  const ethernet = entries.some(({ field }) => field.prerequisite !== 'none');
  for (let index = 0; index < entries.length; index += 1) {
    const entry = entries[index];
    if (entry === undefined) continue;
    const { field } = entry;
    const register = registerIndex(field);
    if (field.name === 'packet_type') {
      // Any Ethernet field says so too, and then the switch leaves it out. 1.4 knows only Ethernet.
      if (version === OF15 && !(ethernet && entry.value === 0)) writeEntry(writer, entry, version);
      else if (entry.value !== 0) throw unencodable('packet_type cannot be matched here');
    } else if (register !== undefined && version === OF15) {
      const next = entries[index + 1];
      const pair = (register & 1) === 0 && next !== undefined && registerIndex(next.field) === register + 1 ? next : undefined;
      writeRegisterPair(writer, register, entry, pair);
      if (pair !== undefined) index += 1;
    } else {
      writeEntry(writer, entry, version);
    }
  }
}

/** OpenFlow 1.5 has registers of 64 bits; Open vSwitch writes its own in pairs there. */
function writeRegisterPair(writer: ByteWriter, register: number, entry: MatchEntry, pair: MatchEntry | undefined): void {
  const high = (register & 1) === 0 ? entry : undefined;
  const low = high === undefined ? entry : pair;
  const field = fieldNamed(xregName(register >> 1));
  const highMask = high === undefined ? 0 : Number(high.mask ?? 0xffff_ffff);
  const lowMask = low === undefined ? 0 : Number(low.mask ?? 0xffff_ffff);
  const masked = highMask !== 0xffff_ffff || lowMask !== 0xffff_ffff;
  writeHeader(writer, field.oxm15, masked, 8);
  writer.u32(Number(high?.value ?? 0));
  writer.u32(Number(low?.value ?? 0));
  if (masked) {
    writer.u32(highMask);
    writer.u32(lowMask);
  }
}

function writeEntry(writer: ByteWriter, { field, value, mask }: MatchEntry, version: OpenFlowVersion): void {
  writeHeader(writer, oxmNumber(field, version), mask !== undefined, field.bytes);
  writeNumber(writer, value, field.bytes);
  if (mask !== undefined) writeNumber(writer, mask, field.bytes);
}

function word(value: number | bigint, shift: bigint): number {
  return Number((BigInt(value) >> shift) & 0xffff_ffffn);
}

const REGISTER_NAMES = [
  'reg0', 'reg1', 'reg2', 'reg3', 'reg4', 'reg5', 'reg6', 'reg7', 'reg8', 'reg9', 'reg10', 'reg11', 'reg12', 'reg13', 'reg14', 'reg15',
] as const satisfies readonly FieldName[];
const XREG_NAMES = ['xreg0', 'xreg1', 'xreg2', 'xreg3', 'xreg4', 'xreg5', 'xreg6', 'xreg7'] as const satisfies readonly FieldName[];

export function registerName(index: number): FieldName {
  return REGISTER_NAMES[index] ?? 'reg0';
}

function xregName(index: number): FieldName {
  return XREG_NAMES[index] ?? 'xreg0';
}

