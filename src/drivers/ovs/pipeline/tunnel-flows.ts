/**
 * What tunnels send is not copied again: where a collector is a workload of the bridge that is mirrored itself, each copy would be copied, as often as the switch lets a packet
 * go round. Only what the host itself sends is meant (the switch sends by its local port): what others send to the same place is mirrored.
 */
import type { TunnelEnds } from '../../../model/tunnel.js';
import { LOCAL_PORT } from './base-flows.js';
import type { Flow, MatchValues } from './flow.js';
import { CATEGORY, cookie, TABLE } from './stages.js';

const UDP = 17;
/** Above all that asks for a copy. */
const PRIORITY = 100;

export function tunnelFlows(tunnels: readonly TunnelEnds[]): Flow[] {
  return tunnels.flatMap(({ remote, protocol, port }): Flow[] => {
    const to: MatchValues = remote.length === 4 ? { eth_type: 0x0800, ip_dst: Number(number(remote)) } : { eth_type: 0x86dd, ipv6_dst: number(remote) };
    const flow = (more: MatchValues): Flow => ({
      table: TABLE.COPY, priority: PRIORITY, cookie: cookie(CATEGORY.diversions, 0), match: { in_port: LOCAL_PORT, ...to, ip_proto: protocol, ...more }, actions: [],
    });
    // Only the first fragment has ports.
    return protocol === UDP && port !== undefined ? [flow({ udp_dst: port }), flow({ ip_frag: { value: 2, mask: 2 } })] : [flow({})];
  });
}

function number(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
