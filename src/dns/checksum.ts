import { internetChecksum } from '../model/checksum.js';

/**
 * The datagram with its UDP checksum in place: a copy of what is on its way to an interface that fills it in itself has none
 * yet. Without what stands behind the packet. Sources: RFC 768, RFC 8200 section 8.1, RFC 1071.
 */
export function withUdpChecksum(packet: Uint8Array, isIpv4: boolean, transportOffset: number): Uint8Array {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const length = view.getUint16(transportOffset + 4);
  const copy = packet.slice(0, transportOffset + length);
  copy.fill(0, transportOffset + 6, transportOffset + 8);
  // The pseudo header: addresses, protocol and length.
  const addresses = isIpv4 ? copy.subarray(12, 20) : copy.subarray(8, 40);
  const checksum = internetChecksum([addresses, copy.subarray(transportOffset)], 17 + length);
  // 0 would say that there is none.
  new DataView(copy.buffer).setUint16(transportOffset + 6, checksum === 0 ? 0xffff : checksum);
  return copy;
}
