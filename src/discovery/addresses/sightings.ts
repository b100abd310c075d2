/**
 * What a frame says about who has which address: ARP (RFC 826, 5227), IPv6 neighbour discovery (RFC 4861), and the conversations of DHCP
 * (dhcp4.ts, dhcp6.ts). Whoever sends a frame may put anything into it: what is cut, fragmented or does not fit together says nothing. Nothing
 * here throws. Checksums are not looked at: frames of virtual machines are seen before they are filled in.
 */
import { v4ToText } from '../../model/address-text.js';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../model/packet-headers.js';
import { IPV6_ICMP, UDP } from '../../model/protocols.js';
import { dhcp4Sighting } from './dhcp4.js';
import { dhcp6Sighting } from './dhcp6.js';
import type { Sighting } from './sighting.js';
import { isGroupMac, macAt, usable4, usable6, v6Text } from './frame-fields.js';

/** A frame that a workload sent, or that is on its way to it. */
export interface SeenFrame {
  /** The workload's. */
  readonly interface: string;
  readonly sent: boolean;
  readonly ethertype: number;
  /** From the network header on. */
  readonly payload: Uint8Array;
  /** Source of the Ethernet header, lower case with colons; '' = not known. */
  readonly mac: string;
}

/** Undefined: it says nothing. Answers are believed of frames to the workload only, everything else of frames from it. */
export function sightingOf({ sent, ethertype, payload, mac }: Pick<SeenFrame, 'sent' | 'ethertype' | 'payload' | 'mac'>): Sighting | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (ethertype === ETHERTYPE_ARP) return sent ? arpClaim(view, mac) : undefined;
  if (ethertype === ETHERTYPE_IPV4) return ipv4Sighting(view, sent, mac);
  if (ethertype === ETHERTYPE_IPV6) return ipv6Sighting(view, sent, mac);
  return undefined;
}

const ARP_LENGTH = 28;
/** Ethernet, IPv4, 6, 4. */
const ARP_HEAD = [0x0001, 0x0800, 0x0604];

/** The sender of a request, of an answer, of an announcement. A probe has none (RFC 5227, 2.1.1). */
function arpClaim(view: DataView, mac: string): Sighting | undefined {
  if (view.byteLength < ARP_LENGTH || ARP_HEAD.some((word, index) => view.getUint16(2 * index) !== word)) return undefined;
  const operation = view.getUint16(6);
  const sender = macAt(view, 8);
  if ((operation !== 1 && operation !== 2) || isGroupMac(sender) || (mac !== '' && mac !== sender)) return undefined;
  const address = usable4(view.getUint32(14));
  return address === undefined ? undefined : { kind: 'claim', by: 'arp', address, mac: sender };
}

const IPV4_HEADER = 20;
const UDP_HEADER = 8;
const [DHCP_SERVER, DHCP_CLIENT] = [67, 68];

function ipv4Sighting(view: DataView, sent: boolean, mac: string): Sighting | undefined {
  if (view.byteLength < IPV4_HEADER || view.getUint8(0) >>> 4 !== 4) return undefined;
  const header = (view.getUint8(0) & 0x0f) * 4;
  // More fragments, or a later one.
  if (header < IPV4_HEADER || (view.getUint16(6) & 0x3fff) !== 0 || view.getUint8(9) !== UDP) return undefined;
  const end = Math.min(view.byteLength, view.getUint16(2));
  const message = datagram(view, header, end, sent ? [DHCP_CLIENT, DHCP_SERVER] : [DHCP_SERVER, DHCP_CLIENT]);
  return message === undefined ? undefined : dhcp4Sighting(message, { sent, mac, source: v4ToText(view.getUint32(12)) });
}

const IPV6_HEADER = 40;
const [DHCP6_CLIENT, DHCP6_SERVER] = [546, 547];

/** Neighbour discovery and DHCPv6 come without extension headers; what has some says nothing (RFC 6980 forbids fragments). */
function ipv6Sighting(view: DataView, sent: boolean, mac: string): Sighting | undefined {
  if (view.byteLength < IPV6_HEADER || view.getUint8(0) >>> 4 !== 6) return undefined;
  const end = Math.min(view.byteLength, IPV6_HEADER + view.getUint16(4));
  const next = view.getUint8(6);
  if (next === IPV6_ICMP) return sent ? neighbourClaim(view, end, mac) : undefined;
  if (next !== UDP) return undefined;
  const message = datagram(view, IPV6_HEADER, end, sent ? [DHCP6_CLIENT, DHCP6_SERVER] : [DHCP6_SERVER, DHCP6_CLIENT]);
  return message === undefined ? undefined : dhcp6Sighting(message, { sent, mac, source: v6Text(view, 8) });
}

const [SOLICITATION, ADVERTISEMENT] = [135, 136];
/** With the target's address (RFC 4861, 4.3 and 4.4). */
const NEIGHBOUR_LENGTH = 24;
const [SOURCE_LINK_LAYER, TARGET_LINK_LAYER] = [1, 2];

/** Who solicits has the source address; who advertises has the target. Who tests an address of his own (RFC 4862) has none yet. */
function neighbourClaim(view: DataView, end: number, mac: string): Sighting | undefined {
  if (end - IPV6_HEADER < NEIGHBOUR_LENGTH || view.getUint8(7) !== 255 || view.getUint8(IPV6_HEADER + 1) !== 0) return undefined;
  const type = view.getUint8(IPV6_HEADER);
  if (type !== SOLICITATION && type !== ADVERTISEMENT) return undefined;
  const option = type === SOLICITATION ? SOURCE_LINK_LAYER : TARGET_LINK_LAYER;
  const told = linkLayer(view, IPV6_HEADER + NEIGHBOUR_LENGTH, end, option);
  if (told === BROKEN || (told !== undefined && (isGroupMac(told) || (mac !== '' && told !== mac)))) return undefined;
  const address = usable6(view, type === SOLICITATION ? 8 : IPV6_HEADER + 8);
  return address === undefined ? undefined : { kind: 'claim', by: 'nd', address, mac: told ?? mac };
}

/** Of options that go past the end. */
const BROKEN = '';

function linkLayer(view: DataView, begin: number, end: number, wanted: number): string | undefined {
  for (let at = begin; at + 2 <= end;) {
    const length = view.getUint8(at + 1) * 8;
    if (length === 0 || at + length > end) return BROKEN;
    if (view.getUint8(at) === wanted) return macAt(view, at + 2);
    at += length;
  }
  return undefined;
}

/** What a UDP datagram of these ports holds. */
function datagram(view: DataView, at: number, end: number, [from, to]: readonly [number, number] | readonly number[]): DataView | undefined {
  if (end - at < UDP_HEADER || view.getUint16(at) !== from || view.getUint16(at + 2) !== to) return undefined;
  const length = view.getUint16(at + 4);
  if (length < UDP_HEADER || at + length > end) return undefined;
  return new DataView(view.buffer, view.byteOffset + at + UDP_HEADER, length - UDP_HEADER);
}
