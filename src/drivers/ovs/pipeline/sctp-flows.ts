/**
 * SCTP on the userspace datapath, whose tracker (3.1) knows no SCTP ports: to it, all packets between two hosts are of one connection. So it
 * is asked for whole packets (it puts fragments together) and its opinion is not: the switch learns from each admitted packet what its replies
 * look like, ports and all. Every packet is judged by the rules in force, replies as their association; nothing learned admits anything.
 */
import type { Action } from '../openflow/actions.js';
import { commitFlows, EXCHANGE_ENDS } from './base-flows.js';
import { flags, goTo, register, resubmit, type Flow, type MatchValues, type Step } from './flow.js';
import { CATEGORY, cookie, FLAG, REGISTER, TABLE } from './stages.js';

const SCTP = 132;
/** In cookies of what is learned: no port has this number. */
const ASSOCIATIONS = 0x1_0000;
/** Longer than the pause between two heartbeats (RFC 9260, 8.3: 30 s and the timeout). */
const IDLE_SECONDS = 210;
/** Who fills the table only loses replies of his further associations ... and of others': it must be large. */
const MOST_ASSOCIATIONS = 100_000;

const FAMILIES = [
  { type: 0x0800, source: 'ip_src', destination: 'ip_dst', bits: 32 },
  { type: 0x86dd, source: 'ipv6_src', destination: 'ipv6_dst', bits: 128 },
] as const;

export function sctpFlows(): Flow[] {
  const reply = { [register(REGISTER.flags)]: flags(FLAG.reply) };
  const first = { [register(REGISTER.flags)]: flags(0, FLAG.reply | FLAG.packet) };
  return FAMILIES.flatMap((family) => {
    const flow = (table: number, priority: number, match: MatchValues, ...actions: Step[]): Flow => ({
      table, priority, cookie: cookie(CATEGORY.base, 0), match: { ...match, eth_type: family.type, ip_proto: SCTP }, actions,
    });
    return [
      flow(TABLE.STATE, 130, {}, resubmit(TABLE.SCTP), goTo(TABLE.LIVE_OUT)),
      flow(TABLE.LIVE_OUT, 210, reply, ...EXCHANGE_ENDS, goTo(TABLE.STATELESS_OUT)),
      flow(TABLE.LIVE_OUT, 200, {}, goTo(TABLE.STATELESS_OUT)),
      // The tracker's label may be that of another association.
      flow(TABLE.STATELESS_OUT, 100, {}, goTo(TABLE.STATELESS_IN)),
      flow(TABLE.STATELESS_IN, 100, {}, goTo(TABLE.ORIENT)),
      ...commitFlows(75, { ...first, eth_type: family.type, ip_proto: SCTP }, learn(family)),
    ];
  });
}

/** What a reply to this packet looks like, and the rules that admitted what it replies to. */
function learn({ type, source, destination, bits }: (typeof FAMILIES)[number]): Action {
  const exact = (field: 'eth_type' | 'ip_proto', value: number, width: number) => ({ source: { value }, target: { kind: 'match', field, offset: 0 }, bits: width } as const);
  const from = <F extends typeof source | typeof destination | 'sctp_src' | 'sctp_dst'>(of: F, field: F, width: number) => (
    { source: { field: of, offset: 0 }, target: { kind: 'match', field, offset: 0 }, bits: width } as const
  );
  const keep = (number: number) => ({ source: { field: register(number), offset: 0 }, target: { kind: 'load', field: register(number), offset: 0 }, bits: 32 } as const);
  return {
    type: 'learn', table: TABLE.SCTP, idleTimeout: IDLE_SECONDS, priority: 50, cookie: cookie(CATEGORY.learned, ASSOCIATIONS), limit: MOST_ASSOCIATIONS,
    specs: [
      exact('eth_type', type, 16), exact('ip_proto', SCTP, 8),
      from<typeof source | typeof destination>(destination, source, bits), from<typeof source | typeof destination>(source, destination, bits),
      from<'sctp_src' | 'sctp_dst'>('sctp_dst', 'sctp_src', 16), from<'sctp_src' | 'sctp_dst'>('sctp_src', 'sctp_dst', 16),
      { source: { value: FLAG.reply }, target: { kind: 'load', field: register(REGISTER.flags), offset: 0 }, bits: 1 },
      keep(REGISTER.labelOut), keep(REGISTER.labelIn),
    ],
  };
}
