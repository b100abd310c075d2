/** Fields of frames as text; the caller has looked that they are there. Addresses are canonical. */
import { macText } from '../../model/mac-text.js';
import { v4ToText, wordsToText, type Words } from '../../model/address-text.js';

export function macAt(view: DataView, at: number): string {
  return macText(new Uint8Array(view.buffer, view.byteOffset + at, 6));
}

export function isGroupMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0 || mac === '00:00:00:00:00:00';
}

/** An address that one host can have, and others can reach: not this-network, loopback, link-local (RFC 3927), multicast and above (RFC 6890). */
export function usable4(value: number): string | undefined {
  const first = value >>> 24;
  const isLocal = first === 0 || first === 127 || first >= 224 || value >>> 16 === 0xa9fe;
  return isLocal ? undefined : v4ToText(value);
}

/** Not unspecified, loopback, mapped IPv4, link-local (fe80::/10), multicast (RFC 4291). */
export function usable6(view: DataView, at: number): string | undefined {
  const words = wordsAt(view, at);
  const [a, b, c] = words;
  const isLocal = (a === 0 && b === 0 && (c === 0 || c === 0xffff)) || a >>> 22 === 0x3fa || a >>> 24 === 0xff;
  return isLocal ? undefined : wordsToText(words);
}

export function v6Text(view: DataView, at: number): string {
  return wordsToText(wordsAt(view, at));
}

function wordsAt(view: DataView, at: number): Words {
  return [view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), view.getUint32(at + 12)];
}
