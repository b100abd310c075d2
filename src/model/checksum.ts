/** The Internet checksum (RFC 1071). */

/** Ones' complement of the ones' complement sum of all parts' 16-bit words; `add` is a number to sum too. An odd part is padded with a zero. */
export function internetChecksum(parts: readonly Uint8Array[], add = 0): number {
  let sum = add;
  for (const part of parts) sum += wordSum(part);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** Of 16-bit big-endian words; an odd last byte is the high one of its word. */
function wordSum(bytes: Uint8Array): number {
  let sum = 0;
  for (const [index, value] of bytes.entries()) sum += index % 2 === 0 ? value << 8 : value;
  return sum;
}
