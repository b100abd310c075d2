/**
 * The packet probe: crafted first packets from anywhere in a world, and what the network did with them. One helper
 * process serves the whole world; a batch of a hundred packets takes about 30-60 ms.
 */
import { fileURLToPath } from 'node:url';
import type { OraclePacket } from '../../oracle/packet.js';
import { endpointOf, HOST, neighbourOf, OUTSIDE, type Endpoint } from '../../oracle/plan.js';
import { PROBE_TTL, type World } from '../netns.js';
import { PATIENCE } from '../patience.js';
import { LineProcess } from './line-process.js';

export interface ProbePacket extends OraclePacket {
  readonly from: Endpoint;
  /** TCP flags byte; default SYN. */
  readonly tcpFlags?: number;
}

export interface ProbeResult {
  /** Endpoints that received it, past their filters. */
  readonly delivered: readonly Endpoint[];
  /** Resets ("rst") and ICMP errors ("icmp-3-13", "icmpv6-1-1") that answer it, and who got them. */
  readonly replies: readonly { readonly kind: string; readonly at: Endpoint }[];
  /** The kernel's answer when it refused to send (EPERM: dropped in the host's own output hook). */
  readonly error?: string;
}

export type Observation = 'delivered' | 'refused' | 'silent';

/** Delivered wins: what the destination itself answers afterwards does not matter. */
export function observation(result: ProbeResult): Observation {
  if (result.delivered.length > 0) return 'delivered';
  return result.replies.length > 0 ? 'refused' : 'silent';
}

export interface Probe {
  /** Answers in the order of the packets. Packets of one batch must not share a connection (generate.ts: connectionKey). */
  readonly send: (packets: readonly ProbePacket[], settleMs?: number) => Promise<ProbeResult[]>;
  /**
   * The same for packets that were in the batch before, under the same rules: what comes late of that one counts. A refusal that was on its way when a
   * connection's first packet went out again ends the connection, and the refusal of the second packet then belongs to none.
   */
  readonly sendAgain: (packets: readonly ProbePacket[], settleMs?: number) => Promise<ProbeResult[]>;
}

/** Serves the workloads that the world has now; closed with the world. */
export async function startProbe(world: World): Promise<Probe> {
  const link = (name: string, netns: string, mac: string, gateway: string): Record<string, string> => ({ name, netns, kind: 'link', interface: 'eth0', mac, gateway });
  const helper = new LineProcess('/usr/bin/python3', [fileURLToPath(new URL('probe.py', import.meta.url))]);
  world.cleanup.defer('probe', () => helper.stop());
  await helper.start({
    ttl: PROBE_TTL,
    endpoints: [
      { name: HOST, netns: world.host, kind: 'host' },
      ...world.workloads.map((workload) => link(workload.name, workload.netns, workload.mac, workload.hostMac)),
      ...(world.outside === undefined ? [] : [link(OUTSIDE, world.outside, '02:dd:ff:00:00:02', '02:dd:ff:00:00:01')]),
    ],
  });
  const send = async (packets: readonly ProbePacket[], settleMs: number, again: boolean): Promise<ProbeResult[]> => {
    const addressed = packets.map((packet) => {
      const workload = world.workloads.find(({ name }) => name === packet.from);
      return workload === undefined ? packet : { ...packet, nextHop: neighbourOf(world.plan, workload, endpointOf(world.plan, packet.destination)) };
    });
    const answer = await helper.request<{ results: ProbeResult[] }>({ packets: addressed, settleMs: settleMs * PATIENCE, again });
    return answer.results;
  };
  return {
    send: (packets, settleMs = 25) => send(packets, settleMs, false),
    sendAgain: (packets, settleMs = 25) => send(packets, settleMs, true),
  };
}
