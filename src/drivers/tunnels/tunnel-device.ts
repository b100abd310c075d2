/** Tunnels of TrafficControls as devices of the kernel: kind and attributes (include/uapi/linux/if_link.h, if_tunnel.h). Pure. */
import { tunnelEnds, tunnelOption, type TunnelTarget } from '../../model/tunnel.js';

export interface TunnelDevice {
  /** As the kernel names it. */
  readonly kind: string;
  /** Contents of IFLA_INFO_DATA. */
  readonly data: Uint8Array;
  /** vxlan: where frames go. The device itself has no destination. */
  readonly destination?: { readonly address: Uint8Array; readonly port: number; readonly vni: number };
}

const TTL = 64;
/** IFLA_VXLAN_*. */
const VXLAN = { id: 1, ttl: 5, learning: 7, port: 15, local6: 17 } as const;
/** IFLA_GENEVE_*. */
const GENEVE = { id: 1, remote: 2, ttl: 3, port: 5, remote6: 7 } as const;
/** IFLA_GRE_*, which erspan has too. */
const GRE = {
  inFlags: 2, outFlags: 3, inKey: 4, outKey: 5, remote: 7, ttl: 8, pathMtuDiscovery: 10, ignoreDontFragment: 19, erspanIndex: 21, erspanVersion: 22, erspanDirection: 23, erspanHardware: 24,
} as const;
const GRE_FLAG = { key: 0x2000, sequence: 0x1000 } as const;

/** The reason in words, where the kernel's tunnel would do harm. */
export function tunnelDevice(target: TunnelTarget): TunnelDevice | string {
  if (target.type === 'vxlan') return vxlan(target);
  if (target.type === 'geneve') return geneve(target);
  if (tunnelEnds(target).remote.length !== 4) {
    return `a ${target.type} tunnel over IPv6 is not supported by the nftables datapath, whose kernel would tell workloads that their packets are too large: use vxlan or geneve`;
  }
  return target.type === 'gre' ? { kind: 'gretap', data: greData(target, 0).finish() } : erspan(target);
}

/**
 * The kernel allows a network id once a port, whatever the destination. So each device has an id of its own, by which nothing comes that anybody wants, and sends by a
 * forwarding entry, which says id and port of the destination.
 */
function vxlan(target: TunnelTarget): TunnelDevice {
  const { remote, port = 0 } = tunnelEnds(target);
  const data = new LinkAttributes().u32(VXLAN.id, ownNetworkId(target.name)).u8(VXLAN.learning, 0).u8(VXLAN.ttl, TTL).big16(VXLAN.port, port);
  // "Any" of IPv6 makes it a device for IPv6.
  if (remote.length === 16) data.bytes(VXLAN.local6, new Uint8Array(16));
  return { kind: 'vxlan', data: data.finish(), destination: { address: remote, port, vni: tunnelOption(target, 'key') ?? 0 } };
}

function geneve(target: TunnelTarget): TunnelDevice {
  const { remote, port = 0 } = tunnelEnds(target);
  const data = new LinkAttributes().u32(GENEVE.id, tunnelOption(target, 'key') ?? 0).bytes(remote.length === 4 ? GENEVE.remote : GENEVE.remote6, remote)
    .u8(GENEVE.ttl, TTL).big16(GENEVE.port, port);
  return { kind: 'geneve', data: data.finish() };
}

function erspan(target: TunnelTarget): TunnelDevice {
  const version = tunnelOption(target, 'erspan_ver') ?? 1;
  // Session and sequence are always in its header.
  const data = greData(target, GRE_FLAG.sequence | GRE_FLAG.key).u8(GRE.erspanVersion, version);
  if (version === 1) data.u32(GRE.erspanIndex, tunnelOption(target, 'erspan_idx') ?? 0);
  else data.u8(GRE.erspanDirection, tunnelOption(target, 'erspan_dir') ?? 0).u16(GRE.erspanHardware, tunnelOption(target, 'erspan_hwid') ?? 0);
  return { kind: 'erspan', data: data.finish() };
}

/** The outer header never forbids fragments, also where the inner one does: otherwise the kernel answers the sender that its packets are too large, for the sake of a copy. */
function greData(target: TunnelTarget, always: number): LinkAttributes {
  const key = tunnelOption(target, 'key');
  const flags = always | (key === undefined ? 0 : GRE_FLAG.key);
  return new LinkAttributes().big16(GRE.inFlags, flags).big16(GRE.outFlags, flags).big32(GRE.inKey, key ?? 0).big32(GRE.outKey, key ?? 0)
    .bytes(GRE.remote, tunnelEnds(target).remote).u8(GRE.ttl, TTL).u8(GRE.pathMtuDiscovery, 0).u8(GRE.ignoreDontFragment, 1);
}

/** 24 bits of the name, which is a hash of all that the tunnel is. */
function ownNetworkId(name: string): number {
  return Number.parseInt(name.slice(-6), 16) & 0xff_ff_ff;
}

/** Attributes of rtnetlink: numbers in host order but where a protocol's own are meant. Little-endian hosts, as the addon. */
class LinkAttributes {
  private readonly parts: Uint8Array[] = [];

  bytes(type: number, value: Uint8Array): this {
    const attribute = new Uint8Array(4 + ((value.length + 3) & ~3));
    const view = new DataView(attribute.buffer);
    view.setUint16(0, 4 + value.length, true);
    view.setUint16(2, type, true);
    attribute.set(value, 4);
    this.parts.push(attribute);
    return this;
  }
  u8(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value));
  }
  u16(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value, value >>> 8));
  }
  u32(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }
  big16(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value >>> 8, value));
  }
  big32(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }
  finish(): Uint8Array {
    const whole = new Uint8Array(this.parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
