/** Headers of a packet that the kernel copied to us, as far as the copied bytes go. Sources: RFC 791, 8200, 4302, 9293, 768, 9260, 792, 4443, 826. */
import { v4ToText, wordsToText } from './address-text.js';
import { ICMP, IPV6_ICMP, SCTP, TCP, UDP } from './protocols.js';

export interface PacketHeaders {
  /** 0x0800 | 0x86dd: IP; anything else as it came. */
  readonly ethertype: number;
  /** IP protocol number behind all extension headers; undefined when it is not IP or the copy ends before it. */
  readonly protocol: number | undefined;
  /** Dotted or RFC 5952 text; ARP: sender and target. undefined when unknown. */
  readonly source: string | undefined;
  readonly destination: string | undefined;
  /** TCP, UDP, SCTP; undefined for others, for later fragments and cut copies. */
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  /** TCP flags octet; undefined when not TCP or cut. */
  readonly tcpFlags: number | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
  /** A fragment other than the first: it has no transport header. */
  readonly laterFragment: boolean;
  /** Where the transport header begins; undefined where there is none. May lie behind the copy's end. */
  readonly transportOffset: number | undefined;
}

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_ARP = 0x0806;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;

const NOTHING: Omit<PacketHeaders, 'ethertype'> = {
  protocol: undefined,
  source: undefined,
  destination: undefined,
  sourcePort: undefined,
  destinationPort: undefined,
  tcpFlags: undefined,
  icmpType: undefined,
  icmpCode: undefined,
  laterFragment: false,
  transportOffset: undefined,
};

/** Decodes from the network header on. Never throws: what is cut or broken is undefined. */
export function decodePacket(ethertype: number, payload: Uint8Array): PacketHeaders {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (ethertype === ETHERTYPE_IPV4) return decodeIPv4(view);
  if (ethertype === ETHERTYPE_IPV6) return decodeIPv6(view);
  if (ethertype === ETHERTYPE_ARP) return decodeArp(view);
  return { ethertype, ...NOTHING };
}

function decodeIPv4(view: DataView): PacketHeaders {
  const nothing = { ethertype: ETHERTYPE_IPV4, ...NOTHING };
  if (view.byteLength < 20 || view.getUint8(0) >> 4 !== 4) return nothing;
  const headerLength = (view.getUint8(0) & 0x0f) * 4;
  const addresses = { ...nothing, source: ipv4Text(view, 12), destination: ipv4Text(view, 16) };
  if (headerLength < 20) return addresses;
  const protocol = view.getUint8(9);
  if ((view.getUint16(6) & 0x1fff) !== 0) return { ...addresses, protocol, laterFragment: true };
  return { ...addresses, protocol, transportOffset: headerLength, ...decodeTransport(protocol, view, headerLength) };
}

function decodeIPv6(view: DataView): PacketHeaders {
  const nothing = { ethertype: ETHERTYPE_IPV6, ...NOTHING };
  if (view.byteLength < 40 || view.getUint8(0) >> 4 !== 6) return nothing;
  const addresses = { ...nothing, source: ipv6Text(view, 8), destination: ipv6Text(view, 24) };
  let next = view.getUint8(6);
  let offset = 40;
  // Each turn moves at least 8 bytes on, so the copy's length bounds the loop.
  for (;;) {
    if (!EXTENSION_HEADERS.has(next)) return { ...addresses, protocol: next, transportOffset: offset, ...decodeTransport(next, view, offset) };
    if (view.byteLength < offset + 8) return addresses;
    const following = view.getUint8(offset);
    if (next === FRAGMENT && (view.getUint16(offset + 2) & 0xfff8) !== 0) return { ...addresses, protocol: following, laterFragment: true };
    offset += extensionLength(next, view.getUint8(offset + 1));
    next = following;
  }
}

const EXTENSION_HEADERS: ReadonlySet<number> = new Set([HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY]);

/** The authentication header counts in 4-byte units without the first two, the others in 8-byte units without the first. */
function extensionLength(header: number, lengthField: number): number {
  if (header === FRAGMENT) return 8;
  return header === AUTHENTICATION ? (lengthField + 2) * 4 : (lengthField + 1) * 8;
}

function decodeTransport(protocol: number, view: DataView, offset: number): Partial<PacketHeaders> {
  const available = view.byteLength - offset;
  switch (protocol) {
    case TCP:
      return { ...ports(view, offset), ...(available >= 14 ? { tcpFlags: view.getUint8(offset + 13) } : {}) };
    case UDP:
    case SCTP:
      return ports(view, offset);
    case ICMP:
    case IPV6_ICMP:
      return available >= 2 ? { icmpType: view.getUint8(offset), icmpCode: view.getUint8(offset + 1) } : {};
    default:
      return {};
  }
}

function ports(view: DataView, offset: number): Partial<PacketHeaders> {
  if (view.byteLength < offset + 4) return {};
  return { sourcePort: view.getUint16(offset), destinationPort: view.getUint16(offset + 2) };
}

/** Only Ethernet/IPv4 ARP has addresses to show. */
function decodeArp(view: DataView): PacketHeaders {
  const nothing = { ethertype: ETHERTYPE_ARP, ...NOTHING };
  const isIPv4 = view.byteLength >= 28 && view.getUint16(2) === ETHERTYPE_IPV4 && view.getUint8(4) === 6 && view.getUint8(5) === 4;
  return isIPv4 ? { ...nothing, source: ipv4Text(view, 14), destination: ipv4Text(view, 24) } : nothing;
}

function ipv4Text(view: DataView, offset: number): string {
  return v4ToText(view.getUint32(offset));
}

function ipv6Text(view: DataView, offset: number): string {
  return wordsToText([view.getUint32(offset), view.getUint32(offset + 4), view.getUint32(offset + 8), view.getUint32(offset + 12)]);
}
