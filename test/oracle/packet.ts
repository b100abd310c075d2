/** A first packet of a connection, as the oracle and the probe see it. */
export interface OraclePacket {
  readonly family: 4 | 6;
  /** IP protocol number. */
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  /** Only for protocols with ports. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Only for icmp (1) and ipv6-icmp (58). */
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

/** The Ethernet header of the packet on the link of one vNIC. */
export interface Frame {
  readonly ethertype: number;
  readonly sourceMac: string;
  readonly destinationMac: string;
}

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const PROTOCOL = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, esp: 50, icmpv6: 58, sctp: 132, udplite: 136 } as const;

/** Protocols whose header starts with two 16-bit ports. */
export function hasPorts(protocol: number): boolean {
  return protocol === 6 || protocol === 17 || protocol === 132 || protocol === 136 || protocol === 33;
}

/** For failure messages. */
export function describePacket(packet: OraclePacket): string {
  const end = (address: string, port: number | undefined): string => (port === undefined ? address : `[${address}]:${port}`);
  const icmp = packet.icmpType === undefined ? '' : ` type ${packet.icmpType} code ${packet.icmpCode ?? 0}`;
  return `proto ${packet.protocol} ${end(packet.source, packet.sourcePort)} -> ${end(packet.destination, packet.destinationPort)}${icmp}`;
}
