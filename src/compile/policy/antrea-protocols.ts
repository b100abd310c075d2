/** `protocols` of Antrea rules as rows of what a rule matches. */
import type { AntreaProtocol } from '../../model/policy-objects.js';
import { ICMP, IPV6_ICMP } from '../../model/protocols.js';
import type { Service } from './ir.js';

const IGMP = 2;

export interface ProtocolServices {
  readonly services: readonly Service[];
  /** IGMP messages for certain multicast groups, by destination address. */
  readonly groups?: { readonly addresses: readonly string[]; readonly services: readonly Service[] };
}

/**
 * ICMP is that of both families, and so is a type: Antrea compares the number with the ICMPv6 type of an IPv6 packet, where it means
 * something else. IGMP types are not told apart: a packet classifier sees a protocol without ports. Undefined for an ICMP code without
 * a type.
 */
export function protocolServices(protocols: readonly AntreaProtocol[]): ProtocolServices | undefined {
  const services = new Map<string, Service>();
  const addresses = new Set<string>();
  const add = (service: Service): void => void services.set(JSON.stringify(service), service);
  for (const protocol of protocols) {
    if ('igmp' in protocol) {
      if (protocol.igmp.groupAddress === undefined) add(whole(IGMP));
      else addresses.add(protocol.igmp.groupAddress);
      continue;
    }
    const { type, code } = protocol.icmp;
    if (type === undefined && code !== undefined) return undefined;
    for (const family of [ICMP, IPV6_ICMP]) add(type === undefined ? whole(family) : { protocol: family, icmp: { type, ...(code === undefined ? {} : { code }) } });
  }
  return {
    services: [...services.values()],
    ...(addresses.size === 0 ? {} : { groups: { addresses: [...addresses], services: [whole(IGMP)] } }),
  };
}

function whole(protocol: number): Service {
  return { protocol, ports: [], sourcePorts: [] };
}
