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
  const sum = folded(wordSum(addresses) + 17 + length + wordSum(copy.subarray(transportOffset)));
  const checksum = ~sum & 0xffff;
  // 0 would say that there is none.
  new DataView(copy.buffer).setUint16(transportOffset + 6, checksum === 0 ? 0xffff : checksum);
  return copy;
}

/** Of 16-bit big-endian words; an odd last byte is the high one of its word. */
function wordSum(bytes: Uint8Array): number {
  let sum = 0;
  for (const [index, value] of bytes.entries()) sum += index % 2 === 0 ? value << 8 : value;
  return sum;
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 0x10000);
  return rest;
}
