/**
 * Addresses for the oracle: every literal of the model (host, prefix a/n, range a-b, MAC address) becomes one inclusive
 * range of numbers. Written apart from the product's parser on purpose, so that one wrong parser does not agree with itself.
 */
export type AddressKind = 4 | 6 | 'mac';

export interface AddressRange {
  readonly kind: AddressKind;
  readonly first: bigint;
  readonly last: bigint;
}

/** One address as a number with its kind. Throws on anything that is not exactly one address. */
export function parseAddress(text: string): { kind: AddressKind; value: bigint } {
  if (/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) return { kind: 'mac', value: BigInt(`0x${text.replaceAll(':', '')}`) };
  if (text.includes(':')) return { kind: 6, value: parseIpv6(text) };
  return { kind: 4, value: parseIpv4(text) };
}

/** A literal of an address set or of a rule's side. */
export function parseLiteral(text: string): AddressRange {
  const slash = text.indexOf('/');
  if (slash >= 0) {
    const { kind, value } = parseAddress(text.slice(0, slash));
    const width = kind === 4 ? 32 : kind === 6 ? 128 : 48;
    const length = Number(text.slice(slash + 1));
    if (!Number.isInteger(length) || length < 0 || length > width) throw new Error(`prefix length of ${text}`);
    const size = 1n << BigInt(width - length);
    const first = (value / size) * size;
    return { kind, first, last: first + size - 1n };
  }
  const dash = text.indexOf('-');
  if (dash >= 0) {
    const low = parseAddress(text.slice(0, dash));
    const high = parseAddress(text.slice(dash + 1));
    if (low.kind !== high.kind || low.value > high.value) throw new Error(`range ${text}`);
    return { kind: low.kind, first: low.value, last: high.value };
  }
  const { kind, value } = parseAddress(text);
  return { kind, first: value, last: value };
}

export function contains(range: AddressRange, address: string): boolean {
  const { kind, value } = parseAddress(address);
  return kind === range.kind && value >= range.first && value <= range.last;
}

/** The number as text; IPv6 in full groups without leading zeros and without "::" (any parser reads it). */
export function formatAddress(kind: AddressKind, value: bigint): string {
  if (kind === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
  if (kind === 'mac') return [40n, 32n, 24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 255n).toString(16).padStart(2, '0')).join(':');
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((value >> shift) & 0xffffn).toString(16));
  return groups.join(':');
}

/** RFC 5952, as the model holds addresses. */
export function canonical(kind: 4 | 6, value: bigint): string {
  if (kind === 4) return formatAddress(4, value);
  const groups = formatAddress(6, value).split(':');
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at += 1) {
    let length = 0;
    while (groups[at + length] === '0') length += 1;
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

/** A literal as the model holds it. */
export function canonicalLiteral(text: string): string {
  const { kind, first, last } = parseLiteral(text);
  if (kind === 'mac') return text;
  if (first === last) return canonical(kind, first);
  const [, length] = text.split('/');
  return length === undefined ? `${canonical(kind, first)}-${canonical(kind, last)}` : `${canonical(kind, first)}/${length}`;
}

function parseIpv4(text: string): bigint {
  const parts = text.split('.');
  if (parts.length !== 4) throw new Error(`not an IPv4 address: ${text}`);
  let value = 0n;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) throw new Error(`not an IPv4 address: ${text}`);
    value = value * 256n + BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint {
  const halves = text.split('::');
  if (halves.length > 2) throw new Error(`not an IPv6 address: ${text}`);
  const groupsOf = (half: string): bigint[] => {
    if (half === '') return [];
    const groups: bigint[] = [];
    for (const part of half.split(':')) {
      if (part.includes('.')) {
        const v4 = parseIpv4(part);
        groups.push(v4 >> 16n, v4 & 0xffffn);
      } else {
        if (!/^[0-9a-fA-F]{1,4}$/.test(part)) throw new Error(`not an IPv6 address: ${text}`);
        groups.push(BigInt(`0x${part}`));
      }
    }
    return groups;
  };
  const head = groupsOf(halves[0] ?? '');
  const tail = groupsOf(halves[1] ?? '');
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) throw new Error(`not an IPv6 address: ${text}`);
  const groups = [...head, ...Array.from({ length: missing }, () => 0n), ...tail];
  return groups.reduce((value, group) => value * 65_536n + group, 0n);
}
