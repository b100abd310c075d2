/**
 * SpoofGuard: a port with a filter sends from the MAC and IP addresses that are declared for it, and claims no others by ARP and neighbour
 * discovery. What is not declared is not checked, unless addresses are learned: then nothing else passes.
 */
import { v4FromText, v6FromText } from '../../../model/address.js';
import { goTo, type Flow, type MatchValues, type Step } from './flow.js';
import { macNumber } from './layer2-flows.js';
import { CATEGORY, cookie, TABLE } from './stages.js';

export interface GuardedPort {
  /** The filter's. */
  readonly number: number;
  readonly port: number;
  /** '' = not declared. */
  readonly mac: string;
  /** Canonical hosts; empty = not declared. */
  readonly addresses: readonly string[];
  /** Only these, be there none yet. */
  readonly strict: boolean;
  /** Done with what passes, before it goes on. */
  readonly passed: readonly Step[];
}

const ARP = 0x0806;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
/** fe80::/10 (RFC 4291, 2.5.6): every IPv6 interface has one that it makes itself. */
const LINK_LOCAL = { value: 0xfe80n << 112n, mask: 0xffc0n << 112n };
const UNSPECIFIED = 0;

export function spoofFlows({ number, port, mac, addresses, strict, passed }: GuardedPort): Flow[] {
  const own: MatchValues = { in_port: port, ...(mac === '' ? {} : { eth_src: macNumber(mac) }) };
  const flow = (priority: number, match: MatchValues, pass: boolean): Flow => ({
    table: TABLE.SPOOF, priority, cookie: cookie(CATEGORY.filter, number), match, actions: pass ? [...passed, goTo(TABLE.OUT_L2_SOURCE)] : [],
  });
  const pass = (match: MatchValues, priority = 140): Flow => flow(priority, { ...own, ...match }, true);
  const refuse = (match: MatchValues, priority = 120): Flow => flow(priority, { ...own, ...match }, false);
  const any = [pass({}, 110), ...(mac === '' ? [] : [flow(100, { in_port: port }, false)])];
  if (addresses.length === 0 && !strict) return any;

  const four = addresses.flatMap((address) => v4FromText(address) ?? []);
  const six = [LINK_LOCAL, ...addresses.flatMap((address) => {
    const parts = v6FromText(address);
    return parts === undefined ? [] : [(parts.hi << 64n) | parts.lo];
  })];
  const claims: MatchValues = mac === '' ? {} : { arp_sha: macNumber(mac) };
  return [
    ...any,
    ...[ARP, IPV4, IPV6].map((type) => refuse({ eth_type: type })),
    // A probe has no sender yet (RFC 5227), nor has who asks for an address by DHCP, or tests one of his own (RFC 4862).
    ...[UNSPECIFIED, ...four].map((address) => pass({ eth_type: ARP, ...claims, arp_spa: address })),
    ...four.map((address) => pass({ eth_type: IPV4, ip_src: address })),
    pass({ eth_type: IPV4, ip_src: UNSPECIFIED, ip_proto: 17, udp_dst: 67 }),
    ...six.map((address) => pass({ eth_type: IPV6, ipv6_src: address })),
    pass({ eth_type: IPV6, ipv6_src: 0n, ip_proto: 58 }),
    // Advertisements: of its own addresses only, and from one of them.
    refuse({ eth_type: IPV6, ip_proto: 58, icmpv6_type: 136 }, 150),
    ...six.flatMap((source) => six.map((target) => pass({ eth_type: IPV6, ip_proto: 58, icmpv6_type: 136, ipv6_src: source, nd_target: target }, 160))),
  ];
}
