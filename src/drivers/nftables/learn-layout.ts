/**
 * Frames that say which addresses a vNIC has, copied for the agent (NFLOG), as rules at its interface in table `netdev dfw`: ARP, neighbour
 * discovery and DHCP questions that it sends, before SpoofGuard; DHCP answers that reach it, behind all rules. The frames themselves go on. The limits
 * are those of one interface: none takes another's share.
 */
import { byte, equal, limit, log, meta, payload, type Expression } from './expressions.js';
import { rule, type ChainImage, type RuleImage } from './image.js';
import { HOOK, META, PAYLOAD } from './kernel.js';

export interface Learning {
  /** The filter's. */
  readonly number: number;
  readonly interface: string;
  readonly interfaceIndex: number;
}

/** How a copy says which way its frame goes: from the workload, or to it. */
export const LEARN_PREFIX = { sent: 'dfw address sent', arrives: 'dfw address arrives' } as const;
/** Longest frame that is read whole: a DHCP message fits any Ethernet. */
export const LEARN_SNAP_LENGTH = 1_600;

/** Before SpoofGuard: what it refuses may be what an address is learned from. */
const SENT_PRIORITY = -310;
/** Behind layer 2 rules, and before the way to who inspects the traffic: what comes back from there passes no chain. */
const ARRIVES_PRIORITY = -75;
/** Of frames a second, of each kind. */
const RATE = 20;
const BURST = 40;

const ethertype = (type: number): Expression[] => [meta(META.protocol, 0), equal(0, Uint8Array.of(type >>> 8, type & 0xff))];
const [ARP, IPV4, IPV6] = [ethertype(0x0806), ethertype(0x0800), ethertype(0x86dd)];
const protocol = (number: number): Expression[] => [meta(META.l4proto, 0), equal(0, byte(number))];
const [UDP, ICMPV6] = [protocol(17), protocol(58)];
const type6 = (type: number): Expression[] => [...IPV6, ...ICMPV6, payload(PAYLOAD.transport, 0, 1, 0), equal(0, byte(type))];
const ports = (from: number, to: number): Expression[] => [...UDP, ...port(0, from), ...port(2, to)];

function port(offset: number, number: number): Expression[] {
  return [payload(PAYLOAD.transport, offset, 2, 0), equal(0, Uint8Array.of(number >>> 8, number & 0xff))];
}

export function learnChains({ number, interface: device, interfaceIndex }: Learning, group: number): ChainImage[] {
  const copy = (prefix: string) => (what: string, ...match: readonly Expression[]): RuleImage =>
    rule(`${what} to group ${group}, of ${device} (${interfaceIndex})`, ...match, limit(RATE, BURST), log(group, prefix, LEARN_SNAP_LENGTH));
  const sent = copy(LEARN_PREFIX.sent);
  const arrives = copy(LEARN_PREFIX.arrives);
  return [
    {
      name: `learn_${number}_out`, hook: { hook: HOOK.netdevIngress, priority: SENT_PRIORITY, device }, rules: [
        sent('ARP', ...ARP), sent('neighbour solicitations', ...type6(135)), sent('neighbour advertisements', ...type6(136)),
        sent('DHCP questions', ...IPV4, ...ports(68, 67)), sent('DHCPv6 questions', ...IPV6, ...ports(546, 547)),
      ],
    },
    {
      name: `learn_${number}_in`, hook: { hook: HOOK.netdevEgress, priority: ARRIVES_PRIORITY, device }, rules: [
        arrives('DHCP answers', ...IPV4, ...ports(67, 68)), arrives('DHCPv6 answers', ...IPV6, ...ports(547, 546)),
      ],
    },
  ];
}
