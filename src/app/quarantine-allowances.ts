import type { QuarantineAllowance } from '../compile/quarantine.js';
import { canonicalMember } from '../model/address.js';
import { ICMP, IPV6_ICMP, TCP, UDP } from '../model/protocols.js';
import type { QuarantineAllowConfig } from './config-schema.js';

const PROTOCOLS = { tcp: [TCP], udp: [UDP], icmp: [ICMP, IPV6_ICMP] } as const;

/** `ids.quarantine.allow` as the compiler takes it. @throws AgentError E_PARSE for an address that is none: the configuration was checked. */
export function allowancesOf(allow: readonly QuarantineAllowConfig[]): QuarantineAllowance[] {
  return allow.map(({ addresses, protocol, ports = [] }) => ({
    addresses: addresses.map(canonicalMember),
    protocols: protocol === undefined ? [] : PROTOCOLS[protocol],
    ports: [...new Set(ports)].sort((a, b) => a - b).map((port) => ({ first: port, last: port })),
  }));
}
