/**
 * What tunnels send is not copied again: where a collector is a workload of the bridge that is mirrored itself, each copy would be copied, as often as the switch lets a packet
 * go round. Only what the host itself sends is meant (the switch sends by its local port): what others send to the same place is mirrored. Behind all rules, and behind
 * redirects.
 */
import type { TunnelEnds } from '../../../model/tunnel.js';
import { subfield } from '../openflow/oxm.js';
import { LOCAL_PORT } from './base-flows.js';
import { register, type Flow, type MatchValues, type Step } from './flow.js';
import { LEAVE } from './placement.js';
import { CATEGORY, cookie, REGISTER, TABLE } from './stages.js';

const UDP = 17;
/** Between the ways in that are copied (100) and redirects (150). */
const PRIORITY = 120;

export function tunnelFlows(tunnels: readonly TunnelEnds[], beside: boolean): Flow[] {
  const actions: readonly Step[] = beside ? LEAVE : [{ type: 'output_field', source: subfield(register(REGISTER.port)) }];
  return tunnels.flatMap(({ remote, protocol, port }): Flow[] => {
    const to: MatchValues = remote.length === 4 ? { eth_type: 0x0800, ip_dst: Number(number(remote)) } : { eth_type: 0x86dd, ipv6_dst: number(remote) };
    const match: MatchValues = { in_port: LOCAL_PORT, ...to, ip_proto: protocol };
    const flow = (more: MatchValues): Flow => ({ table: TABLE.OUTPUT, priority: PRIORITY, cookie: cookie(CATEGORY.port, 0), match: { ...match, ...more }, actions });
    // Only the first fragment has ports.
    return protocol === UDP && port !== undefined ? [flow({ udp_dst: port }), flow({ ip_frag: { value: 2, mask: 2 } })] : [flow({})];
  });
}

function number(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
