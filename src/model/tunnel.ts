/** Tunnels to other hosts as TrafficControls name them: where they lead. */
import { v4FromText, v6FromText } from './address.js';
import type { TrafficTarget } from './objects.js';

export type TunnelType = Exclude<TrafficTarget['type'], 'device' | 'internal'>;
export type TunnelTarget = TrafficTarget & { readonly type: TunnelType };

/** What goes to the collector, as its headers say it: by this it is known again. */
export interface TunnelEnds {
  /** 4 or 16 bytes. */
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

export function isTunnel(target: TrafficTarget): target is TunnelTarget {
  return target.type !== 'device' && target.type !== 'internal';
}

/** Throws RangeError when remote_ip is no address; manifests with such a one are refused. */
export function tunnelEnds(target: TunnelTarget): TunnelEnds {
  const remote = addressBytes(target.options['remote_ip'] ?? '');
  if (target.type === 'gre' || target.type === 'erspan') return { remote, protocol: GRE, port: undefined };
  return { remote, protocol: UDP, port: tunnelOption(target, 'dst_port') ?? (target.type === 'vxlan' ? VXLAN_PORT : GENEVE_PORT) };
}

/** A number among the options; undefined when it is absent. */
export function tunnelOption({ options }: TunnelTarget, name: string): number | undefined {
  const text = options[name];
  return text === undefined ? undefined : Number(text);
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
