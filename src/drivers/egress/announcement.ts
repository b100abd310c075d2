/** Frames that tell the neighbours who has an address now: gratuitous ARP (RFC 5227 section 2.3), unsolicited neighbour advertisements (RFC 4861 section 7.2.6). */
import { v4FromText, v6FromText } from '../../model/address.js';
import { internetChecksum } from '../../model/checksum.js';

const ETHERTYPE = { arp: 0x0806, ipv6: 0x86dd } as const;
/** All nodes of the link: ff02::1 and its Ethernet address. */
const ALL_NODES = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC = [0x33, 0x33, 0, 0, 0, 1];
const NEIGHBOUR_ADVERTISEMENT = 136;
/** Not a router's, unasked, takes the place of what is known. */
const OVERRIDE = 0x20;
const [ICMPV6, HOP_LIMIT] = [58, 255];

/** Undefined for what is no address, or an interface without a MAC address. */
export function announcement(address: string, mac: string): Uint8Array | undefined {
  const station = mac.split(':').map((part) => Number.parseInt(part, 16));
  if (station.length !== 6 || station.some((value) => Number.isNaN(value))) return undefined;
  const four = v4FromText(address);
  if (four !== undefined) {
    const ip = [four >>> 24, (four >>> 16) & 255, (four >>> 8) & 255, four & 255];
    const broadcast = [255, 255, 255, 255, 255, 255];
    // A request about itself: hosts take both forms, and switches learn from either.
    return Uint8Array.from([...broadcast, ...station, ...word(ETHERTYPE.arp), ...word(1), ...word(0x0800), 6, 4, ...word(1), ...station, ...ip, 0, 0, 0, 0, 0, 0, ...ip]);
  }
  const six = v6FromText(address);
  if (six === undefined) return undefined;
  const ip = [six.hi, six.lo].flatMap((half) => Array.from({ length: 8 }, (_, index) => Number((half >> BigInt(56 - 8 * index)) & 0xffn)));
  // Type, code, checksum, flags and reserved, target, option 2 (target link-layer address).
  const body = [NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0, ...ip, 2, 1, ...station];
  const sum = internetChecksum([Uint8Array.from([...ip, ...ALL_NODES, 0, 0, ...word(body.length), 0, 0, 0, ICMPV6, ...body])]);
  body[2] = sum >>> 8;
  body[3] = sum & 0xff;
  return Uint8Array.from([
    ...ALL_NODES_MAC, ...station, ...word(ETHERTYPE.ipv6), 0x60, 0, 0, 0, ...word(body.length), ICMPV6, HOP_LIMIT, ...ip, ...ALL_NODES, ...body,
  ]);
}

function word(value: number): [number, number] {
  return [value >>> 8, value & 0xff];
}
