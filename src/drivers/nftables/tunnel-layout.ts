/**
 * Copies that go into tunnels, in table `netdev dfw`. A mirror copies to one end of a pair of devices; what comes out of the other goes into the tunnel. The pair is there
 * because a copy made at the egress hook still has the route of the packet it was made of: a tunnel that gets it as it is lowers that route's path MTU to its own, and what
 * the copy was made of is refused as too large from then on. Past the pair it has no route.
 */
import type { TunnelEnds } from '../../model/tunnel.js';
import { byte, counter, drop, equal, forward, host32, immediate, mask, meta, notEqual, payload, type Expression } from './expressions.js';
import { rule, type ChainImage, type RuleImage } from './image.js';
import { ETHERTYPE, HOOK, META, PAYLOAD } from './kernel.js';

/** A tunnel that is there. */
export interface TunnelPath {
  /** The device that copies are sent to. */
  readonly name: string;
  /** The other end of the pair. */
  readonly inner: { readonly name: string; readonly index: number };
  readonly tunnel: { readonly name: string; readonly index: number };
  readonly ends: TunnelEnds;
}

const PRIORITY = -200;
const ICMP = { protocol: 1, unreachable: 3, quotedDestination: 24 } as const;
const ICMPV6 = { protocol: 58, unreachable: 1, quotedDestination: 32 } as const;

/**
 * From the pair into the tunnel, but for copies of what tunnels send: where a collector is a workload of the host, or is reached by an interface that is mirrored, each copy
 * would be copied again. And nothing that comes out of a tunnel reaches the host, whoever sent it.
 */
export function tunnelChains(tunnels: readonly TunnelPath[]): ChainImage[] {
  const again = outerPackets(tunnels);
  return tunnels.flatMap(({ name, inner, tunnel }): ChainImage[] => [
    {
      name: `tunnel_${inner.index}`, hook: { hook: HOOK.netdevIngress, priority: PRIORITY, device: inner.name },
      rules: [...again, rule(`copies of ${name} into ${tunnel.name} (${inner.index})`, counter, immediate(0, host32(tunnel.index)), forward(0))],
    },
    {
      name: `tunnel_${tunnel.index}`, hook: { hook: HOOK.netdevIngress, priority: PRIORITY, device: tunnel.name },
      rules: [rule(`not wanted, out of ${tunnel.name} (${tunnel.index})`, counter, drop)],
    },
  ]);
}

/** Drops copies of what tunnels send, and of answers that nobody takes it. */
function outerPackets(tunnels: readonly TunnelPath[]): RuleImage[] {
  return tunnels.flatMap(({ name, ends: { remote, protocol, port } }): RuleImage[] => {
    const isV4 = remote.length === 4;
    const family = [meta(META.protocol, 0), equal(0, big16(isV4 ? ETHERTYPE.ipv4 : ETHERTYPE.ipv6))];
    const toRemote = [...family, ...equalBytes(PAYLOAD.network, isV4 ? 16 : 24, remote), meta(META.l4proto, 0), equal(0, byte(protocol))];
    const icmp = isV4 ? ICMP : ICMPV6;
    return [
      rule(`copies of tunnel ${name}`, ...toRemote, ...(port === undefined ? [] : equalBytes(PAYLOAD.transport, 2, big16(port))), counter, drop),
      // Only the first fragment has ports. IPv6 is not fragmented here: the kernel refuses.
      ...(isV4 && port !== undefined ? [rule(`copies of tunnel ${name}, fragments`, ...toRemote, payload(PAYLOAD.network, 6, 2, 0), mask(0, big16(0x1fff)), notEqual(0, big16(0)), counter, drop)] : []),
      rule(`copies of tunnel ${name}, answers`, ...family, meta(META.l4proto, 0), equal(0, byte(icmp.protocol)), ...equalBytes(PAYLOAD.transport, 0, byte(icmp.unreachable)),
        ...equalBytes(PAYLOAD.transport, icmp.quotedDestination, remote), counter, drop),
    ];
  });
}

function equalBytes(base: number, offset: number, bytes: Uint8Array): Expression[] {
  return [payload(base, offset, bytes.length, 0), equal(0, bytes)];
}

function big16(number: number): Uint8Array {
  return Uint8Array.of(number >>> 8, number);
}
