/** Packets as a pcapng file (draft-ietf-opsawg-pcapng-03: sections 4.1 section header, 4.2 interface, 4.3 enhanced packet, 3.5 options). Pure. */
export interface CapturedPacket {
  /** ns since 1970. */
  readonly timeNs: bigint;
  /** Bytes that it had; `frame` may be cut. */
  readonly length: number;
  /** From the Ethernet header. */
  readonly frame: Uint8Array;
  readonly comment?: string;
}
export interface PcapngHeader {
  readonly interface: string;
  readonly comment: string;
  /** Program that wrote it. */
  readonly application: string;
}

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
const OPTION = { end: 0, comment: 1, userApplication: 4, interfaceName: 2, timeResolution: 9 } as const;
/** An option's length is two bytes. */
const LONGEST_TEXT = 60_000;

/** Begins the file: one section of unknown length with one interface, times in ns. */
export function pcapngHeader({ interface: name, comment, application }: PcapngHeader): Uint8Array {
  const section = new Uint8Array(16);
  const view = new DataView(section.buffer);
  view.setUint32(0, BYTE_ORDER, true);
  view.setUint16(4, 1, true);
  view.setBigInt64(8, -1n, true);
  const description = new Uint8Array(8);
  const descriptionView = new DataView(description.buffer);
  descriptionView.setUint16(0, LINKTYPE_ETHERNET, true);
  return joined([
    block(SECTION_HEADER, section, [textOption(OPTION.comment, comment), textOption(OPTION.userApplication, application)]),
    block(INTERFACE, description, [textOption(OPTION.interfaceName, name), option(OPTION.timeResolution, Uint8Array.of(9))]),
  ]);
}

export function pcapngPacket({ timeNs, length, frame, comment }: CapturedPacket): Uint8Array {
  const body = new Uint8Array(20 + padded(frame.length));
  const view = new DataView(body.buffer);
  view.setUint32(4, Number((timeNs >> 32n) & 0xffff_ffffn), true);
  view.setUint32(8, Number(timeNs & 0xffff_ffffn), true);
  view.setUint32(12, frame.length, true);
  view.setUint32(16, length, true);
  body.set(frame, 20);
  return block(ENHANCED_PACKET, body, comment === undefined ? [] : [textOption(OPTION.comment, comment)]);
}

function block(type: number, body: Uint8Array, options: readonly Uint8Array[]): Uint8Array {
  const all = options.length === 0 ? [] : [...options, option(OPTION.end, new Uint8Array(0))];
  const length = 12 + body.length + all.reduce((sum, { length: size }) => sum + size, 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  bytes.set(body, 8);
  let at = 8 + body.length;
  for (const each of all) {
    bytes.set(each, at);
    at += each.length;
  }
  view.setUint32(at, length, true);
  return bytes;
}

function textOption(code: number, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  let end = Math.min(bytes.length, LONGEST_TEXT);
  // Not in the middle of a character: bytes 10xxxxxx go on with one.
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return option(code, bytes.subarray(0, end));
}

function option(code: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + padded(value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  bytes.set(value, 4);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
