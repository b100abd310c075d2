/**
 * What an inspecting program of this host answers in the name of the other end (Suricata's action reject): were it to go round, it would be dropped
 * with the rest of its flow. It comes from the host, and carries nothing: resets, and errors of ICMP.
 */
import { LOCAL_PORT } from './base-flows.js';
import { register, type MatchValues } from './flow.js';
import { REGISTER } from './stages.js';

/** RFC 9293, section 3.1. */
const TCP_RESET = 4;

/** As matches of what goes to the port. Resets are not tracked: the userspace tracker takes those for invalid that do not end a connection exactly where it stands. */
export function answers(port: number): { readonly resets: readonly MatchValues[]; readonly errors: readonly MatchValues[] } {
  const mine: MatchValues = { in_port: LOCAL_PORT, [register(REGISTER.port)]: port };
  return {
    resets: [0x0800, 0x86dd].map((type): MatchValues => ({ ...mine, eth_type: type, ip_proto: 6, tcp_flags: { value: TCP_RESET, mask: TCP_RESET } })),
    errors: [{ ...mine, eth_type: 0x0800, ip_proto: 1, icmp_type: 3 }, { ...mine, eth_type: 0x86dd, ip_proto: 58, icmpv6_type: 1 }],
  };
}
