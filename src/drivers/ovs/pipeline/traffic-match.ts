/** Traffic matches as flows' matches: alternatives. */
import type { TrafficMatch } from '../../../model/objects.js';
import type { FieldName } from '../openflow/fields.js';
import { prefixes4 } from './address-cover.js';
import type { MatchValues } from './flow.js';

const PORT_FIELDS: Readonly<Record<number, readonly FieldName[]>> = { 6: ['tcp_src', 'tcp_dst'], 17: ['udp_src', 'udp_dst'], 132: ['sctp_src', 'sctp_dst'] };
/** ICMPv6 and ICMP are of one family only. */
const TYPES: Readonly<Record<number, readonly number[]>> = { 1: [0x0800], 58: [0x86dd] };

/** Undefined: one alternative, which is everything. */
export function matchVariants(match: readonly TrafficMatch[] | undefined): MatchValues[] {
  if (match === undefined) return [{}];
  return match.flatMap(({ protocol, ports }) => (TYPES[protocol] ?? [0x0800, 0x86dd]).flatMap((type): MatchValues[] => {
    const mine: MatchValues = { eth_type: type, ip_proto: protocol };
    if (ports.length === 0) return [mine];
    const blocks = ports.flatMap(({ first, last }) => prefixes4(first, last));
    return (PORT_FIELDS[protocol] ?? []).flatMap((field) => blocks.map(({ address, bits }): MatchValues => (bits === 16 ? mine : { ...mine, [field]: { address, bits: bits - 16, of: 16 } })));
  }));
}
