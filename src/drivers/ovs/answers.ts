/**
 * What a rule with action reject answers: a reset to TCP (RFC 9293, 3.10.7.1), "administratively prohibited" to the rest (RFC 1812
 * section 5.2.7.1, RFC 4443 section 3.1), from the address that was asked for. No answer where none may be given (RFC 1122 section 3.2.2, RFC 4443
 * section 2.4): to resets, ICMP errors, later fragments, what went to many, or came from no single host.
 */
import { internetChecksum } from '../../model/checksum.js';
import { decodePacket, ETHERTYPE_IPV4, ETHERTYPE_IPV6, type PacketHeaders } from '../../model/packet-headers.js';

const ETHERNET = 14;
const VLAN = 4;
const TCP = 6;
const ICMP = 1;
const IPV6_ICMP = 58;
const REDIRECT6 = 137;
const RST = 0x04;
const ACK = 0x10;
const TTL = 64;
/** Of the packet answered: its IP header and 8 bytes at least; all of it that was reported, within what hosts must take. */
const LONGEST_QUOTE = { 4: 548, 6: 1232 } as const;

/** An Ethernet frame for whoever sent `frame`, which may be cut; `fullLength`: of the frame before. Undefined: no answer. */
export function answerTo(frame: Uint8Array, fullLength: number): Uint8Array | undefined {
  if (frame.length < ETHERNET + VLAN) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const tagged = view.getUint16(12) === 0x8100;
  const network = tagged ? ETHERNET + VLAN : ETHERNET;
  const ethertype = view.getUint16(network - 2);
  const packet = frame.subarray(network);
  // Sent to many, or from an address that is no host's.
  if (((frame[0] ?? 1) & 1) === 1 || ((frame[6] ?? 1) & 1) === 1) return undefined;
  const headers = decodePacket(ethertype, packet);
  const answer = answerable(headers, packet) ? reply(headers, packet, fullLength - network) : undefined;
  if (answer === undefined) return undefined;
  const made = new Uint8Array(network + answer.length);
  made.set(frame.subarray(6, 12), 0);
  made.set(frame.subarray(0, 6), 6);
  made.set(frame.subarray(12, network), 12);
  made.set(answer, network);
  return made;
}

function answerable({ ethertype, protocol, laterFragment, transportOffset, icmpType }: PacketHeaders, packet: Uint8Array): boolean {
  if ((ethertype !== ETHERTYPE_IPV4 && ethertype !== ETHERTYPE_IPV6) || protocol === undefined || transportOffset === undefined || laterFragment) return false;
  const isIpv4 = ethertype === ETHERTYPE_IPV4;
  const [source, destination] = addressesOf(packet, isIpv4);
  if (source.length < (isIpv4 ? 4 : 16) || !isHost(source, isIpv4) || !isHost(destination, isIpv4)) return false;
  if (isIpv4 && protocol === ICMP) return icmpType !== undefined && ![3, 4, 5, 11, 12].includes(icmpType);
  // Errors are below 128; a redirect is none, and must not be answered either.
  return isIpv4 || protocol !== IPV6_ICMP || (icmpType !== undefined && icmpType >= 128 && icmpType !== REDIRECT6);
}

function addressesOf(packet: Uint8Array, isIpv4: boolean): readonly [Uint8Array, Uint8Array] {
  return isIpv4 ? [packet.subarray(12, 16), packet.subarray(16, 20)] : [packet.subarray(8, 24), packet.subarray(24, 40)];
}

/** Not multicast, not unspecified, not the broadcast address. */
function isHost(address: Uint8Array, isIpv4: boolean): boolean {
  const first = address[0] ?? 0;
  if (address.every((byte) => byte === 0)) return false;
  return isIpv4 ? first < 224 && first !== 0 : first !== 0xff;
}

function reply(headers: PacketHeaders, packet: Uint8Array, length: number): Uint8Array | undefined {
  const isIpv4 = headers.ethertype === ETHERTYPE_IPV4;
  const [source, destination] = addressesOf(packet, isIpv4);
  if (headers.protocol === TCP) {
    const segment = reset(packet, headers.transportOffset ?? 0, length);
    return segment === undefined ? undefined : wrap(isIpv4, TCP, destination, source, segment, 16);
  }
  const quote = packet.subarray(0, LONGEST_QUOTE[isIpv4 ? 4 : 6]);
  const message = new Uint8Array(8 + quote.length);
  message[0] = isIpv4 ? 3 : 1;
  message[1] = isIpv4 ? 13 : 1;
  message.set(quote, 8);
  return wrap(isIpv4, isIpv4 ? ICMP : IPV6_ICMP, destination, source, message, 2);
}

/** The segment of a reset, its checksum still 0. Undefined: it is answered by nothing, or was cut too short. */
function reset(packet: Uint8Array, at: number, length: number): Uint8Array | undefined {
  if (packet.length < at + 20) return undefined;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const flags = view.getUint8(at + 13);
  if ((flags & RST) !== 0) return undefined;
  const segment = new Uint8Array(20);
  const out = new DataView(segment.buffer);
  out.setUint16(0, view.getUint16(at + 2));
  out.setUint16(2, view.getUint16(at));
  if ((flags & ACK) !== 0) out.setUint32(4, view.getUint32(at + 8));
  else {
    // SYN and FIN count as a byte each.
    const payload = Math.max(0, length - at - (view.getUint8(at + 12) >>> 4) * 4);
    out.setUint32(8, (view.getUint32(at + 4) + payload + (flags & 1) + ((flags >>> 1) & 1)) >>> 0);
  }
  out.setUint8(12, 5 << 4);
  out.setUint8(13, (flags & ACK) !== 0 ? RST : RST | ACK);
  return segment;
}

/** The payload behind an IP header, with its checksum at `checksumAt`. */
function wrap(isIpv4: boolean, protocol: number, source: Uint8Array, destination: Uint8Array, payload: Uint8Array, checksumAt: number): Uint8Array {
  const header = isIpv4 ? 20 : 40;
  const packet = new Uint8Array(header + payload.length);
  const view = new DataView(packet.buffer);
  if (isIpv4) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    packet[8] = TTL;
    packet[9] = protocol;
    packet.set(source, 12);
    packet.set(destination, 16);
    view.setUint16(10, internetChecksum([packet.subarray(0, header)]));
  } else {
    packet[0] = 0x60;
    view.setUint16(4, payload.length);
    packet[6] = protocol;
    packet[7] = TTL;
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  packet.set(payload, header);
  // ICMP for IPv4 has no pseudo header.
  const pseudo = isIpv4 && protocol === ICMP ? 0 : protocol + payload.length;
  view.setUint16(header + checksumAt, internetChecksum(pseudo === 0 ? [payload] : [source, destination, payload], pseudo));
  return packet;
}
