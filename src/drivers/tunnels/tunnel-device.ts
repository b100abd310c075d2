/** Tunnels of TrafficControls as devices of the kernel: kind and attributes (include/uapi/linux/if_link.h, if_tunnel.h). Pure. */
import { v4FromText, v6FromText } from '../../model/address.js';
import type { TrafficTarget } from '../../model/objects.js';

export type TunnelType = Exclude<TrafficTarget['type'], 'device' | 'internal'>;

export interface TunnelDevice {
  /** As the kernel names it. */
  readonly kind: string;
  /** Contents of IFLA_INFO_DATA. */
  readonly data: Uint8Array;
  /** vxlan: where frames go. The device itself has no destination. */
  readonly destination?: { readonly address: Uint8Array; readonly port: number; readonly vni: number };
}

/** What goes to the collector, as its headers say it: by this it is known again. */
export interface TunnelEnds {
  readonly remote: Uint8Array;
  /** IP protocol. */
  readonly protocol: number;
  /** Destination port; undefined: the protocol has none. */
  readonly port: number | undefined;
}

const UDP = 17;
const GRE = 47;
const VXLAN_PORT = 4789; // RFC 7348
const GENEVE_PORT = 6081; // RFC 8926
const TTL = 64;
/** IFLA_VXLAN_*. */
const VXLAN = { id: 1, ttl: 5, learning: 7, port: 15, local6: 17 } as const;
/** IFLA_GENEVE_*. */
const GENEVE = { id: 1, remote: 2, ttl: 3, port: 5, remote6: 7 } as const;
/** IFLA_GRE_*, which erspan has too. */
const GRE_DEVICE = {
  inFlags: 2, outFlags: 3, inKey: 4, outKey: 5, remote: 7, ttl: 8, pathMtuDiscovery: 10, ignoreDontFragment: 19, erspanIndex: 21, erspanVersion: 22, erspanDirection: 23, erspanHardware: 24,
} as const;
const GRE_FLAG = { key: 0x2000, sequence: 0x1000 } as const;

export function isTunnel(target: TrafficTarget): target is TrafficTarget & { readonly type: TunnelType } {
  return target.type !== 'device' && target.type !== 'internal';
}

export function tunnelEnds({ type, options }: TrafficTarget & { readonly type: TunnelType }): TunnelEnds {
  const remote = addressBytes(options['remote_ip'] ?? '');
  if (type === 'gre' || type === 'erspan') return { remote, protocol: GRE, port: undefined };
  return { remote, protocol: UDP, port: number(options['dst_port'], type === 'vxlan' ? VXLAN_PORT : GENEVE_PORT) };
}

/**
 * Undefined, with the reason in words, where the kernel's tunnel would do harm.
 *
 * vxlan: the kernel allows a network id once a port, whatever the destination. So each device has an id of its own, by which nothing comes that anybody wants, and
 * sends by a forwarding entry, which says id and port of the destination.
 *
 * gre, erspan: the outer header never forbids fragments, also where the inner one does: otherwise the kernel would answer the sender that its packets are too large, for the
 * sake of a copy. Over IPv6 it always does.
 */
export function tunnelDevice(target: TrafficTarget & { readonly type: TunnelType }): TunnelDevice | string {
  const { type, name, options } = target;
  const { remote, port = 0 } = tunnelEnds(target);
  const key = number(options['key'], 0);
  const data = new LinkAttributes();
  switch (type) {
    case 'vxlan':
      data.u32(VXLAN.id, ownNetworkId(name)).u8(VXLAN.learning, 0).u8(VXLAN.ttl, TTL).big16(VXLAN.port, port);
      // "Any" of IPv6 makes it a device for IPv6.
      if (remote.length === 16) data.bytes(VXLAN.local6, new Uint8Array(16));
      return { kind: 'vxlan', data: data.finish(), destination: { address: remote, port, vni: key } };
    case 'geneve':
      data.u32(GENEVE.id, key).bytes(remote.length === 4 ? GENEVE.remote : GENEVE.remote6, remote).u8(GENEVE.ttl, TTL).big16(GENEVE.port, port);
      return { kind: 'geneve', data: data.finish() };
    default: {
      if (remote.length !== 4) return `a ${type} tunnel over IPv6 is not supported by the nftables datapath: the kernel would tell workloads that their packets are too large; use vxlan or geneve`;
      const flags = (type === 'erspan' ? GRE_FLAG.sequence | GRE_FLAG.key : 0) | (options['key'] === undefined ? 0 : GRE_FLAG.key);
      data.big16(GRE_DEVICE.inFlags, flags).big16(GRE_DEVICE.outFlags, flags).big32(GRE_DEVICE.inKey, key).big32(GRE_DEVICE.outKey, key)
        .bytes(GRE_DEVICE.remote, remote).u8(GRE_DEVICE.ttl, TTL).u8(GRE_DEVICE.pathMtuDiscovery, 0).u8(GRE_DEVICE.ignoreDontFragment, 1);
      if (type === 'gre') return { kind: 'gretap', data: data.finish() };
      const version = number(options['erspan_ver'], 1);
      data.u8(GRE_DEVICE.erspanVersion, version);
      if (version === 1) data.u32(GRE_DEVICE.erspanIndex, number(options['erspan_idx'], 0));
      else data.u8(GRE_DEVICE.erspanDirection, number(options['erspan_dir'], 0)).u16(GRE_DEVICE.erspanHardware, number(options['erspan_hwid'], 0));
      return { kind: 'erspan', data: data.finish() };
    }
  }
}

/** 24 bits of the name, which is a hash of all that the tunnel is. */
function ownNetworkId(name: string): number {
  return Number.parseInt(name.slice(-6), 16) & 0xff_ff_ff;
}

function addressBytes(text: string): Uint8Array {
  const v4 = v4FromText(text);
  if (v4 !== undefined) return Uint8Array.of(v4 >>> 24, v4 >>> 16, v4 >>> 8, v4);
  const v6 = v6FromText(text);
  if (v6 === undefined) throw new RangeError(`${text} is no address`);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, v6.hi);
  view.setBigUint64(8, v6.lo);
  return bytes;
}

function number(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : Number(text);
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
