/**
 * Tables `inet dfw_egress` and `arp dfw_egress`: packets of the pods that Egresses select leave with the Egress' address, and by the node
 * that has it. Pure.
 *
 *   route (prerouting, behind destination translation)
 *     came by the tunnel, from nobody whose address is here -> drop;  to this host, or to the cluster -> untouched
 *     local pod whose address another node has -> mark of that node (policy routing leads into the tunnel); nobody has it -> drop
 *     reply to a translated connection of a pod of another node -> mark of that node
 *   translate (postrouting, nat, before others' masquerading at 100): to the Egress' address; into the tunnel as it is
 *   gate (postrouting, behind it): an Egress' address leaves only while it is in `held` (neighbour advertisements, too: their source is what
 *     they are about), no selected pod's own address leaves, and no more than the bandwidth of its Egress
 *   arrive (input): tunnel packets of nodes only
 *   arp dfw_egress: no ARP in the name of an address that is not held
 *
 * Elements of `held` go by themselves when the lease of their address may end: that is the kernel's clock, whatever becomes of the agent.
 */
import { addressKey } from '../../compile/addresses.js';
import type { Bandwidth } from '../../model/policy-objects.js';
import { hasState } from './base-layout.js';
import { byte, counter, ct, destinationType, drop, equal, host32, inSet, lookup, maskAndFlip, meta, notEqual, notInSet, overBytes, payload, returns, setMeta, sourceNat, verdictMap, accept, type Expression } from './expressions.js';
import { rule, type ChainImage, type RuleImage, type SetImage } from './image.js';
import { interfaceKey } from './interface-key.js';
import { CT, CT_STATE, FAMILY, HOOK, META, PAYLOAD, TYPE } from './kernel.js';

export const EGRESS_TABLE = { family: FAMILY.inet, table: 'dfw_egress' } as const;
export const EGRESS_ARP_TABLE = { family: FAMILY.arp, table: 'dfw_egress' } as const;

type Family = 4 | 6;
const FAMILIES: readonly Family[] = [4, 6];

function sets(family: Family) {
  const keys = { keyType: family === 4 ? TYPE.ipv4 : TYPE.ipv6, keyLength: family === 4 ? 4 : 16, interval: false, data: 0, counter: false, size: 0 } as const;
  return {
    /** Where packets go on as they are. */
    except: { ...keys, name: `except${family}`, interval: true },
    /** Addresses of Egresses. */
    egress: { ...keys, name: `egress${family}` },
    /** Those that this node has the lease of, now. No default: each element comes with its time. */
    held: { ...keys, name: `held${family}`, timeoutMs: 0 },
    /** Pods that Egresses select, which are translated here or sent on from here. */
    pods: { ...keys, name: `pods${family}` },
    /** Pod → address. */
    translate: { ...keys, name: `translate${family}`, data: family === 4 ? 4 : 16 },
    /** Local pod → chain of the node that has its address, or drop. */
    away: { ...keys, name: `away${family}`, data: 'verdict' },
    /** Pod of another node → chain of that node. */
    back: { ...keys, name: `back${family}`, data: 'verdict' },
    /** Addresses that tunnel packets may come from. */
    nodes: { ...keys, name: `nodes${family}` },
  } as const satisfies Record<string, SetImage>;
}
export const EGRESS_SETS = { 4: sets(4), 6: sets(6) } as const;

export interface EgressLayout {
  /** Interface of the tunnel. */
  readonly device: string;
  readonly port: number;
  /** Bits of the packet mark that say the node. */
  readonly mask: number;
  /** Those numbers of nodes that are in use, as they are in the mark. */
  readonly marks: readonly number[];
  /** Address → what may leave with it, of those that this node has. */
  readonly limits: ReadonlyMap<string, Bandwidth>;
}

const PRIORITY = { route: -90, translate: 50, gate: 150, arrive: 0 } as const;
const UDP = 17;
const LOCAL = host32(2); // RTN_LOCAL

export function wayChain(mark: number): string {
  return `to_${(mark >>> 0).toString(16)}`;
}

export function egressChains({ device, port, mask: bits, marks, limits }: EgressLayout): readonly ChainImage[] {
  const tunnel = interfaceKey(device);
  const fromTunnel = [meta(META.iifname, 0), equal(0, tunnel)];
  const notTo = (name: string): readonly Expression[] => [meta(META.oifname, 0), notEqual(0, interfaceKey(name))];
  const original = [ct(CT.direction, 0), equal(0, byte(0))];
  const ways = marks.map((mark): ChainImage => ({
    name: wayChain(mark), rules: [rule('to the node of this mark', meta(META.mark, 0), maskAndFlip(0, host32(~bits), host32(mark)), setMeta(META.mark, 0), accept)],
  }));
  return [
    ...ways,
    { name: 'route', hook: { hook: HOOK.prerouting, priority: PRIORITY.route }, rules: [
      ...each((family, own) => [rule('from the tunnel, and nobody\'s address is here', ...fromTunnel, ...original, ...own, ...notExcepted(family), source(family), notInSet(EGRESS_SETS[family].translate.name, 0), counter, drop)]),
      ...each((family, own) => [
        rule('reply to a pod of another node', ct(CT.direction, 0), equal(0, byte(1)), ...own, ct(family === 4 ? CT.destinationIp : CT.destinationIp6, 0, 1), inSet(EGRESS_SETS[family].egress.name, 0),
          ct(family === 4 ? CT.sourceIp : CT.sourceIp6, 0, 0), verdictMap(EGRESS_SETS[family].back.name, 0)),
      ]),
      rule('went through the tunnel already', ...fromTunnel, returns),
      rule('to this host', destinationType(0), equal(0, LOCAL), returns),
      ...each((family, own) => [rule('to the node that has the address', ...original, ...own, ...notExcepted(family), source(family), verdictMap(EGRESS_SETS[family].away.name, 0))]),
    ] },
    { name: 'translate', hook: { hook: HOOK.postrouting, priority: PRIORITY.translate, type: 'nat' }, rules: [
      ...each((family, own) => [
        rule('into the tunnel as it is', meta(META.oifname, 0), equal(0, tunnel), ...own, source(family), sourceNat(nfproto(family), 0)),
        rule('to the address of the Egress', ...own, ...notExcepted(family), source(family), lookup(EGRESS_SETS[family].translate.name, 0, 0), sourceNat(nfproto(family), 0)),
      ]),
    ] },
    { name: 'gate', hook: { hook: HOOK.postrouting, priority: PRIORITY.gate }, rules: [
      // The tunnel's own packets are routed with the mark of what is in them: it would lead them into the tunnel.
      rule('the mark has done its work', meta(META.oifname, 0), equal(0, tunnel), meta(META.mark, 0), maskAndFlip(0, host32(~bits), host32(0)), setMeta(META.mark, 0)),
      ...each((family, own) => [
        rule('address that another node may have now', ...own, source(family), inSet(EGRESS_SETS[family].egress.name, 0), notInSet(EGRESS_SETS[family].held.name, 0), counter, drop),
        rule('selected, and not translated', ...notTo(device), ...original, ...own, ...notExcepted(family), source(family), inSet(EGRESS_SETS[family].pods.name, 0), counter, drop),
        rule('selected, and of no connection', ...notTo(device), ...hasState(CT_STATE.invalid | CT_STATE.untracked), ...own, ...notExcepted(family), source(family), inSet(EGRESS_SETS[family].pods.name, 0), counter, drop),
      ]),
      ...[...limits].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([address, bandwidth]) => limited(address, bandwidth, device)),
    ] },
    { name: 'arrive', hook: { hook: HOOK.input, priority: PRIORITY.arrive }, rules: [
      ...each((family, own) => [
        rule('tunnel packet of no node', ...own, meta(META.l4proto, 0), equal(0, byte(UDP)), payload(PAYLOAD.transport, 2, 2, 0), equal(0, Uint8Array.of(port >>> 8, port & 0xff)),
          source(family), notInSet(EGRESS_SETS[family].nodes.name, 0), counter, drop),
      ]),
    ] },
  ];
}

/** What is translated to the address, of all its pods together. Into the tunnel nothing is. */
function limited(address: string, { bitsPerSecond, burstBits }: Bandwidth, device: string): RuleImage[] {
  const key = addressKey(address);
  if (key === undefined) return [];
  const bytes = key.family === 4 ? Uint8Array.of(key.key >>> 24, key.key >>> 16, key.key >>> 8, key.key) : Uint8Array.from(key.key, (character) => character.charCodeAt(0));
  const [rate, burst] = [Math.max(1, Math.floor(bitsPerSecond / 8)), Math.floor(burstBits / 8)];
  return [rule(
    'more than the bandwidth of the Egress', meta(META.oifname, 0), notEqual(0, interfaceKey(device)), meta(META.nfproto, 0), equal(0, byte(nfproto(key.family))), source(key.family), equal(0, bytes),
    // The kernel lets pass what goes in a second at once, and this much more.
    overBytes(rate, Math.max(0, burst - rate)), counter, drop,
  )];
}

/** Offsets of RFC 826 for Ethernet and IPv4: sender's protocol address 14, target's 24. */
export function arpChains(): readonly ChainImage[] {
  const about = (what: string, offset: number): RuleImage => rule(
    what, payload(PAYLOAD.network, offset, 4, 0), inSet(EGRESS_SETS[4].egress.name, 0), notInSet(EGRESS_SETS[4].held.name, 0), drop,
  );
  return [
    { name: 'asked', hook: { hook: ARP_HOOK.input, priority: 0 }, rules: [about('asked for an address that another node may have now', 24)] },
    { name: 'said', hook: { hook: ARP_HOOK.output, priority: 0 }, rules: [about('in the name of an address that another node may have now', 14)] },
  ];
}

/** NF_ARP_* of include/uapi/linux/netfilter_arp.h. */
const ARP_HOOK = { input: 0, output: 1 } as const;

function each(make: (family: Family, own: readonly Expression[]) => readonly RuleImage[]): RuleImage[] {
  return FAMILIES.flatMap((family) => make(family, [meta(META.nfproto, 0), equal(0, byte(nfproto(family)))]));
}

function nfproto(family: Family): number {
  return family === 4 ? FAMILY.ipv4 : FAMILY.ipv6;
}

function source(family: Family): Expression {
  return family === 4 ? payload(PAYLOAD.network, 12, 4, 0) : payload(PAYLOAD.network, 8, 16, 0);
}

function notExcepted(family: Family): readonly Expression[] {
  return [family === 4 ? payload(PAYLOAD.network, 16, 4, 0) : payload(PAYLOAD.network, 24, 16, 0), notInSet(EGRESS_SETS[family].except.name, 0)];
}
