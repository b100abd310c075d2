/** MAC addresses as text. */

/** Six bytes from `at` on, in lower case with colons; the caller has looked that they are there. */
export function macText(bytes: Uint8Array, at = 0): string {
  return Array.from(bytes.subarray(at, at + 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
