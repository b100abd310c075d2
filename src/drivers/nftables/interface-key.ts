/** 16 bytes, zero padded: an interface name as the kernel keys it. */
export function interfaceKey(name: string): Uint8Array {
  const key = new Uint8Array(16);
  key.set(new TextEncoder().encode(name).subarray(0, 15));
  return key;
}
