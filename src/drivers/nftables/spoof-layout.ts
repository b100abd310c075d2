/**
 * SpoofGuard: a vNIC sends from the MAC and IP addresses that are declared for it, and claims no others by ARP and neighbour discovery. What is not
 * declared is not checked, unless addresses are learned: then nothing else passes. The same answers as those of drivers/ovs/pipeline/spoof-flows.ts, as rules at the ingress of its interface, before all else.
 */
import { v4FromText, v6FromText } from '../../model/address.js';
import { accept, big32, byte, counter, drop, equal, mask, meta, notEqual, payload, type Expression } from './expressions.js';
import { rule, type ChainImage, type RuleImage } from './image.js';
import { HOOK, META, PAYLOAD } from './kernel.js';

export interface Guarded {
  /** The filter's. */
  readonly number: number;
  readonly interface: string;
  readonly interfaceIndex: number;
  /** '' = not declared. */
  readonly mac: string;
  /** Canonical hosts; empty = not declared. */
  readonly addresses: readonly string[];
  /** Only these, be there none yet. */
  readonly strict?: true;
}

/** Before copies: what somebody pretends to be is nobody's traffic. */
const PRIORITY = -300;
const UDP = 17;
const ICMPV6 = 58;
const ADVERTISEMENT = 136;
/** Ethernet and IPv4, with addresses of 6 and 4 bytes (RFC 826). */
const ARP_HEAD = Uint8Array.of(0, 1, 8, 0, 6, 4);
const DHCP_SERVER = Uint8Array.of(0, 67);
/** fe80::/10 (RFC 4291, 2.5.6): every IPv6 interface has one that it makes itself. */
const LINK_LOCAL = wide(0xfe80n << 112n);
const LINK_LOCAL_MASK = wide(0xffc0n << 112n);

const ethertype = (type: number): Expression[] => [meta(META.protocol, 0), equal(0, Uint8Array.of(type >>> 8, type & 0xff))];
const ARP = ethertype(0x0806);
const IPV4 = ethertype(0x0800);
const IPV6 = ethertype(0x86dd);
const protocol = (number: number): Expression[] => [meta(META.l4proto, 0), equal(0, byte(number))];
const source4 = payload(PAYLOAD.network, 12, 4, 0);
const source6 = payload(PAYLOAD.network, 8, 16, 0);
/** Behind the ICMPv6 header and its reserved word (RFC 4861, 4.4). */
const target6 = payload(PAYLOAD.transport, 8, 16, 0);

/** Undefined when nothing is declared. */
export function spoofChain({ number, interface: device, interfaceIndex, mac, addresses, strict }: Guarded): ChainImage | undefined {
  const checked = addresses.length > 0 || strict === true;
  if (mac === '' && !checked) return undefined;
  const of = `of ${device} (${interfaceIndex})`;
  const pass = (what: string, ...match: readonly Expression[]): RuleImage => rule(`${what}, ${of}`, ...match, accept);
  const refuse = (what: string, ...match: readonly Expression[]): RuleImage => rule(`not declared: ${what} ${of}`, ...match, counter, drop);
  const own = Uint8Array.from(mac === '' ? [] : mac.split(':'), (part) => Number.parseInt(part, 16));
  const rules = mac === '' ? [] : [refuse('MAC address', payload(PAYLOAD.link, 6, 6, 0), notEqual(0, own))];
  if (checked) {
    const four = addresses.flatMap((address) => v4FromText(address) ?? []).map(big32);
    const six = addresses.flatMap((address) => {
      const parts = v6FromText(address);
      return parts === undefined ? [] : [wide((parts.hi << 64n) | parts.lo)];
    });
    rules.push(...arpRules(four, own, pass, refuse), ...fourRules(four, pass, refuse), ...sixRules(six, pass, refuse));
  }
  return { name: `spoof_${number}`, hook: { hook: HOOK.netdevIngress, priority: PRIORITY, device }, rules };
}

type MakeRule = (what: string, ...match: readonly Expression[]) => RuleImage;

/** A probe has no sender yet (RFC 5227). */
function arpRules(four: readonly Uint8Array[], own: Uint8Array, pass: MakeRule, refuse: MakeRule): RuleImage[] {
  return [
    refuse('ARP of another kind', ...ARP, payload(PAYLOAD.network, 0, 6, 0), notEqual(0, ARP_HEAD)),
    ...(own.length === 0 ? [] : [refuse('MAC address in ARP', ...ARP, payload(PAYLOAD.network, 8, 6, 0), notEqual(0, own))]),
    ...[new Uint8Array(4), ...four].map((address) => pass('ARP', ...ARP, payload(PAYLOAD.network, 14, 4, 0), equal(0, address))),
    refuse('address in ARP', ...ARP),
  ];
}

/** Who asks for an address by DHCP has none yet. */
function fourRules(four: readonly Uint8Array[], pass: MakeRule, refuse: MakeRule): RuleImage[] {
  return [
    ...four.map((address) => pass('IPv4', ...IPV4, source4, equal(0, address))),
    pass('DHCP', ...IPV4, source4, equal(0, new Uint8Array(4)), ...protocol(UDP), payload(PAYLOAD.transport, 2, 2, 0), equal(0, DHCP_SERVER)),
    refuse('IPv4 address', ...IPV4),
  ];
}

/** Who tests an address of his own has none yet (RFC 4862). Advertisements are of own addresses only, and from one of them. */
function sixRules(six: readonly Uint8Array[], pass: MakeRule, refuse: MakeRule): RuleImage[] {
  const none = new Uint8Array(16);
  const advertisement = [...IPV6, ...protocol(ICMPV6), payload(PAYLOAD.transport, 0, 1, 0), equal(0, byte(ADVERTISEMENT))];
  return [
    refuse('advertised address', ...advertisement, ...six.flatMap((address) => [target6, notEqual(0, address)]), target6, mask(0, LINK_LOCAL_MASK), notEqual(0, LINK_LOCAL)),
    refuse('advertisement from no address', ...advertisement, source6, equal(0, none)),
    ...six.map((address) => pass('IPv6', ...IPV6, source6, equal(0, address))),
    pass('IPv6, link-local', ...IPV6, source6, mask(0, LINK_LOCAL_MASK), equal(0, LINK_LOCAL)),
    pass('IPv6, no address yet', ...IPV6, source6, equal(0, none), ...protocol(ICMPV6)),
    refuse('IPv6 address', ...IPV6),
  ];
}

/** 16 bytes, most significant first. */
function wide(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, index) => Number((value >> BigInt(8 * (15 - index))) & 0xffn));
}
