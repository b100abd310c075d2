/**
 * IP protocol and EtherType names. The name printed is the one `vsipioctl getrules` prints where it is known, else the
 * usual short name; further spellings are accepted on input, in any case. Numbers: IANA protocol-numbers and ieee-802-numbers.
 */
import type { Protocol } from './rule.js';

/** [number, printed name, other accepted names]. `esp`/`ah` are printed `ipv6-crypt`/`ipv6-auth` by BSD-derived tools. */
const PROTOCOLS: readonly (readonly [number, string, ...string[]])[] = [
  [0, 'hopopt'], [1, 'icmp', 'icmp4', 'icmpv4'], [2, 'igmp'], [4, 'ipip', 'ipencap', 'ipv4'], [6, 'tcp'], [8, 'egp'], [9, 'igp'], [17, 'udp'], [27, 'rdp'],
  [33, 'dccp'], [41, 'ipv6'], [43, 'ipv6-route'], [44, 'ipv6-frag'], [46, 'rsvp'], [47, 'gre'], [50, 'esp', 'ipv6-crypt'], [51, 'ah', 'ipv6-auth'],
  [58, 'ipv6-icmp', 'icmpv6', 'icmp6'], [59, 'ipv6-nonxt'], [60, 'ipv6-opts'], [88, 'eigrp'], [89, 'ospf', 'ospfigp'], [97, 'etherip'], [103, 'pim'],
  [108, 'ipcomp'], [112, 'vrrp', 'carp'], [115, 'l2tp'], [132, 'sctp'], [135, 'mobility-header'], [136, 'udplite'], [137, 'mpls-in-ip'], [139, 'hip'],
];

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const IPV6_ICMP = 58;
export const SCTP = 132;

const NUMBER_OF: ReadonlyMap<string, number> = new Map(PROTOCOLS.flatMap(([number, ...names]) => names.map((name) => [name, number] as const)));
const NAME_OF: ReadonlyMap<number, string> = new Map(PROTOCOLS.map(([number, name]) => [number, name]));
const WITH_PORTS: ReadonlySet<number> = new Set([TCP, UDP, 33, SCTP, 136]);

/**
 * 'any', a name or a decimal number 0..255 → protocol; undefined for anything else. `ip` is refused: listings of other
 * tools use it for "any", for 0 and for IP-in-IP.
 */
export function protocolFromText(text: string): Protocol | undefined {
  const lower = text.toLowerCase();
  if (lower === 'any') return 'any';
  if (/^(0|[1-9][0-9]{0,2})$/.test(lower)) {
    const number = Number(lower);
    return number <= 255 ? number : undefined;
  }
  return NUMBER_OF.get(lower);
}

/** Name where there is one, else the number in decimal. */
export function protocolToText(protocol: Protocol): string {
  return protocol === 'any' ? 'any' : (NAME_OF.get(protocol) ?? String(protocol));
}

/** Every name protocolFromText accepts, 'any' included; for messages. */
export function protocolNames(): readonly string[] {
  return ['any', ...NUMBER_OF.keys()];
}

/** TCP, UDP, SCTP, DCCP and UDP-Lite. */
export function hasPorts(protocol: Protocol): boolean {
  return protocol !== 'any' && WITH_PORTS.has(protocol);
}

export function isIcmp(protocol: Protocol): boolean {
  return protocol === ICMP || protocol === IPV6_ICMP;
}

const ETHERTYPES: readonly (readonly [number, string, ...string[]])[] = [
  [0x0800, 'ipv4', 'ip', 'inet'], [0x0806, 'arp'], [0x8035, 'rarp'], [0x86dd, 'ipv6', 'ip6', 'inet6'],
];
const ETHERTYPE_NUMBER: ReadonlyMap<string, number> = new Map(ETHERTYPES.flatMap(([number, ...names]) => names.map((name) => [name, number] as const)));
const ETHERTYPE_NAME: ReadonlyMap<number, string> = new Map(ETHERTYPES.map(([number, name]) => [number, name]));

/** Smallest EtherType; lower values are frame lengths (IEEE 802.3). */
export const MIN_ETHERTYPE = 0x0600;

/** 'any', a name, `0x88cc` or a decimal number → EtherType 0x0600..0xffff; undefined for anything else. */
export function ethertypeFromText(text: string): number | 'any' | undefined {
  const lower = text.toLowerCase();
  if (lower === 'any') return 'any';
  const named = ETHERTYPE_NUMBER.get(lower);
  if (named !== undefined) return named;
  if (!/^(0x[0-9a-f]{1,4}|[1-9][0-9]{3,4})$/.test(lower)) return undefined;
  const number = Number(lower);
  return number >= MIN_ETHERTYPE && number <= 0xffff ? number : undefined;
}

/** Name where there is one, else `0x` and four hexadecimal digits. */
export function ethertypeToText(ethertype: number | 'any'): string {
  if (ethertype === 'any') return 'any';
  return ETHERTYPE_NAME.get(ethertype) ?? `0x${ethertype.toString(16).padStart(4, '0')}`;
}
