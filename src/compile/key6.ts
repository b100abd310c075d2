/** IPv6 addresses as 16-character strings of bytes: they are ordered and hashed like the kernel's keys. */
export type Key6 = string;

export function key6(high: bigint, low: bigint): Key6 {
  let text = '';
  for (const half of [high, low]) {
    const top = Number(half >> 32n);
    const bottom = Number(half & 0xffffffffn);
    text += String.fromCharCode(
      top >>> 24, (top >>> 16) & 255, (top >>> 8) & 255, top & 255,
      bottom >>> 24, (bottom >>> 16) & 255, (bottom >>> 8) & 255, bottom & 255,
    );
  }
  return text;
}

export function halves6(key: Key6): { high: bigint; low: bigint } {
  let high = 0n;
  let low = 0n;
  for (let i = 0; i < 8; i += 1) {
    high = (high << 8n) | BigInt(key.charCodeAt(i));
    low = (low << 8n) | BigInt(key.charCodeAt(i + 8));
  }
  return { high, low };
}

/** The address after this one, or undefined after the last of all. */
export function nextKey6(key: Key6): Key6 | undefined {
  const { high, low } = halves6(key);
  if (low !== 0xffffffffffffffffn) return key6(high, low + 1n);
  return high === 0xffffffffffffffffn ? undefined : key6(high + 1n, 0n);
}
