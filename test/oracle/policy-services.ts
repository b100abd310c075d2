/** What a rule asks of a packet besides addresses, and the two ways in which peers and ports go together. */
import type { Entity, NamedPort } from './policy-members.js';
import { hasPorts, type OraclePacket } from './packet.js';

/** One row; `protocol` absent only with a port by name (then it is the pod's). */
export interface ServiceRow {
  readonly protocol?: number;
  readonly port?: number | string;
  readonly endPort?: number;
  readonly sourcePort?: number;
  readonly sourceEndPort?: number;
  readonly icmp?: { readonly type?: number; readonly code?: number };
}

/** Undefined = any. */
export type Peers = readonly Entity[] | undefined;
/** Empty = any protocol and port. */
export type Services = readonly ServiceRow[];

/** Ingress: peers are the source; a port by name is the number that the target itself gives it. */
export function ingressMatches(packet: OraclePacket, peers: Peers, services: Services, own: readonly NamedPort[]): boolean {
  if (services.length > 0 && !services.some((row) => rowMatches(packet, row, own))) return false;
  return peers === undefined || peers.some((peer) => peer.has(packet.source));
}

/** Egress: peers are the destination; a port by name is the number that the very peer gives it. `everyPod`: the peers of "any". */
export function egressMatches(packet: OraclePacket, peers: Peers, services: Services, everyPod: () => readonly Entity[]): boolean {
  if (services.length === 0) return peers === undefined || peers.some((peer) => peer.has(packet.destination));
  return services.some((row) => {
    if (typeof row.port === 'string') {
      return (peers ?? everyPod()).some((peer) => rowMatches(packet, row, peer.ports) && peer.has(packet.destination));
    }
    return rowMatches(packet, row, []) && (peers === undefined || peers.some((peer) => peer.has(packet.destination)));
  });
}

export function rowMatches(packet: OraclePacket, row: ServiceRow, named: readonly NamedPort[]): boolean {
  if (row.protocol !== undefined && packet.protocol !== row.protocol) return false;
  if (packet.protocol === 1 && packet.family !== 4) return false;
  if (packet.protocol === 58 && packet.family !== 6) return false;
  if (row.icmp !== undefined) {
    if (row.icmp.type !== undefined && packet.icmpType !== row.icmp.type) return false;
    if (row.icmp.code !== undefined && packet.icmpCode !== row.icmp.code) return false;
  }
  if (row.sourcePort !== undefined && !within(packet, packet.sourcePort, row.sourcePort, row.sourceEndPort ?? row.sourcePort)) return false;
  if (row.port === undefined) return true;
  if (typeof row.port === 'number') return within(packet, packet.destinationPort, row.port, row.endPort ?? row.port);
  return named.some((port) => port.name === row.port && port.protocol === packet.protocol && within(packet, packet.destinationPort, port.port, port.port));
}

function within(packet: OraclePacket, port: number | undefined, first: number, last: number): boolean {
  return hasPorts(packet.protocol) && port !== undefined && port >= first && port <= last;
}
