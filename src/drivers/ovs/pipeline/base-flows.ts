/** Flows that depend neither on rules nor on ports; see stages.ts. */
import { CT_STATE, type FieldName } from '../openflow/fields.js';
import { subfield } from '../openflow/oxm.js';
import type { Action } from '../openflow/actions.js';
import { flags, goTo, lower, move, pop, push, raise, register, resubmit, set, type Flow, type MatchValues, type Step } from './flow.js';
import { LEAVE } from './placement.js';
import { CATEGORY, cookie, FLAG, LABEL_BITS, REGISTER, SIDE, STAMP_BITS, TABLE, ZONE } from './stages.js';

const REG = {
  flags: register(REGISTER.flags), from: register(REGISTER.from), to: register(REGISTER.to),
  port: register(REGISTER.port), scratch: register(REGISTER.scratch), icmp: register(REGISTER.icmp),
} as const;
const IP = [0x0800, 0x86dd] as const;

function flow(table: number, priority: number, match: MatchValues, ...actions: Step[]): Flow {
  return { table, priority, cookie: cookie(CATEGORY.base, 0), match, actions };
}

/** Which kinds of packet have which fields to exchange. */
interface Kind {
  readonly match: MatchValues;
  readonly exchanged: readonly (readonly [FieldName, FieldName])[];
  readonly icmp?: readonly [type: FieldName, code: FieldName];
}
const KINDS: readonly Kind[] = IP.flatMap((type) => {
  const addresses = type === 0x0800 ? (['ip_src', 'ip_dst'] as const) : (['ipv6_src', 'ipv6_dst'] as const);
  const icmp = type === 0x0800 ? (['icmp_type', 'icmp_code'] as const) : (['icmpv6_type', 'icmpv6_code'] as const);
  return [
    { match: { eth_type: type }, exchanged: [addresses] },
    { match: { eth_type: type, ip_proto: 6 }, exchanged: [addresses, ['tcp_src', 'tcp_dst'] as const] },
    { match: { eth_type: type, ip_proto: 17 }, exchanged: [addresses, ['udp_src', 'udp_dst'] as const] },
    { match: { eth_type: type, ip_proto: 132 }, exchanged: [addresses, ['sctp_src', 'sctp_dst'] as const] },
    { match: { eth_type: type, ip_proto: type === 0x0800 ? 1 : 58 }, exchanged: [addresses], icmp },
  ];
});

/** Exchanges two fields without a register between. */
function exchange([a, b]: readonly [FieldName, FieldName]): Action[] {
  return [push(a), push(b), pop(a), pop(b)];
}

/** A flow for each kind of packet, the general ones below the special ones. */
function perKind(table: number, priority: number, match: MatchValues | ((kind: Kind) => MatchValues), actions: (kind: Kind) => Step[]): Flow[] {
  return KINDS.map((kind) => flow(table, priority + (kind.match.ip_proto === undefined ? 0 : 1), { ...(typeof match === 'function' ? match(kind) : match), ...kind.match }, ...actions(kind)));
}

/** Replies of tracked connections: without that, the switch does not let an action read the connection's tuple. For SCTP see sctp-flows.ts. */
const REPLIES: MatchValues = { ct_state: { value: CT_STATE.TRACKED | CT_STATE.REPLY, mask: CT_STATE.TRACKED | CT_STATE.REPLY } };
const replies = (kind: Kind): MatchValues => (kind.match.ip_proto === 132 ? {} : REPLIES);

/** Headers of a reply as those of the connection; an ICMP reply's type and code are those of the request. */
function turn(kind: Kind): Step[] {
  const [type, code] = kind.icmp ?? [];
  return [
    raise(FLAG.turned), ...kind.exchanged.flatMap(exchange),
    ...(type === undefined || code === undefined ? [] : [
      move(type, subfield(REG.icmp, 0, 8)), move(code, subfield(REG.icmp, 8, 8)), move(subfield('ct_tp_src', 0, 8), type), move(subfield('ct_tp_dst', 0, 8), code),
    ]),
  ];
}

function turnBack(kind: Kind): Step[] {
  const [type, code] = kind.icmp ?? [];
  return [
    lower(FLAG.turned), ...kind.exchanged.flatMap(exchange),
    ...(type === undefined || code === undefined ? [] : [move(subfield(REG.icmp, 0, 8), type), move(subfield(REG.icmp, 8, 8), code)]),
  ];
}

export const EXCHANGE_ENDS: readonly Action[] = [move(REG.from, REG.scratch), move(REG.to, REG.from), move(REG.scratch, REG.to)];

/** Writes the words of the sides that judged. */
function commit(...sides: readonly ('in' | 'out')[]): Action {
  return {
    type: 'ct', commit: true, zone: ZONE,
    actions: sides.flatMap((side) => [
      move(register(side === 'out' ? REGISTER.labelOut : REGISTER.labelIn), subfield('ct_label', LABEL_BITS[side], 32)),
      move(subfield('metadata', STAMP_BITS[side], 32), subfield('ct_label', side === 'out' ? LABEL_BITS.stampOut : LABEL_BITS.stampIn, 32)),
    ]),
  };
}

/** Of connections that match, `before` done first. */
export function commitFlows(priority: number, match: MatchValues, ...before: Step[]): Flow[] {
  return [
    flow(TABLE.COMMIT, priority + 10, { [REG.to]: 0, ...match }, ...before, commit('out'), goTo(TABLE.OUTPUT)),
    flow(TABLE.COMMIT, priority + 10, { [REG.from]: 0, ...match }, ...before, commit('in'), goTo(TABLE.OUTPUT)),
    flow(TABLE.COMMIT, priority, match, ...before, commit('out', 'in'), goTo(TABLE.OUTPUT)),
  ];
}

/** ICMPv6 that conntrack does not track: multicast listeners and neighbour discovery. */
const UNTRACKED_TYPES = [130, 131, 132, 133, 134, 135, 136, 137, 143];

/** ICMP errors: of the host itself, where it refuses or cannot deliver. */
const ERROR_TYPES = { 0x0800: [3, 11, 12], 0x86dd: [1, 2, 3, 4] } as const;

/** Queries, and ports 0, may begin a connection for the kernel's tracker, and are invalid for the switch's own: those are judged by their own headers. */
const QUERY_TYPES = { 0x0800: [8, 13, 15, 17], 0x86dd: [128, 139] } as const;
const PORT_FIELDS = [[6, 'tcp_src'], [6, 'tcp_dst'], [17, 'udp_src'], [17, 'udp_dst']] as const;

export const LOCAL_PORT = 0xfffffffe;

/** `beside`: others forward (placement.ts). They decide who gets what is for many: only its source's filter is asked here. */
export function baseFlows(beside: boolean): Flow[] {
  const flag = (on: number, off = 0): MatchValues => ({ [REG.flags]: flags(on, off) });
  const { TRACKED, INVALID, REPLY, RELATED } = CT_STATE;
  return [
    flow(TABLE.SPOOF, 0, {}, goTo(TABLE.OUT_L2_SOURCE)),
    ...(['out', 'in'] as const).flatMap((side) => [
      flow(SIDE[side].l2Source, 0, {}, goTo(SIDE[side].l2Destination)),
      flow(SIDE[side].l2Destination, 0, {}, goTo(SIDE[side].l2)),
      flow(SIDE[side].l2, 0, {}, goTo(SIDE[side].afterL2)),
    ]),
    flow(TABLE.FORWARD, 100, { eth_dst: { value: 0x0100_0000_0000n, mask: 0x0100_0000_0000n } }, raise(FLAG.flood | FLAG.packet), goTo(TABLE.TRACK)),
    flow(TABLE.FORWARD, 0, {}, resubmit(TABLE.MACS), goTo(TABLE.PORT)),
    ...(beside ? [] : [flow(TABLE.PORT, 10, { [REG.port]: 0 }, raise(FLAG.flood | FLAG.packet), goTo(TABLE.TRACK))]),
    flow(TABLE.PORT, 0, {}, goTo(TABLE.IN_L2_SOURCE)),

    ...IP.map((type) => flow(TABLE.TRACK, 400, { ...flag(FLAG.copy), eth_type: type }, goTo(TABLE.IN_FILTER))),
    ...IP.map((type) => flow(TABLE.TRACK, 390, { ...flag(FLAG.flood, FLAG.copy), eth_type: type }, goTo(TABLE.OUT_FILTER))),
    flow(TABLE.TRACK, 450, flag(FLAG.returned), goTo(TABLE.OUTPUT)),
    flow(TABLE.TRACK, 300, { [REG.from]: 0, [REG.to]: 0 }, goTo(TABLE.OUTPUT)),
    ...IP.flatMap((type) => ERROR_TYPES[type].map((icmp) => flow(
      TABLE.TRACK, 290, { in_port: LOCAL_PORT, eth_type: type, ip_proto: type === 0x0800 ? 1 : 58, [type === 0x0800 ? 'icmp_type' : 'icmpv6_type']: icmp }, goTo(TABLE.OUTPUT),
    ))),
    ...UNTRACKED_TYPES.map((type) => flow(TABLE.TRACK, 280, { eth_type: 0x86dd, ip_proto: 58, icmpv6_type: type }, raise(FLAG.packet), goTo(TABLE.OUT_FILTER))),
    ...IP.map((type) => flow(TABLE.TRACK, 200, { eth_type: type }, { type: 'ct', zone: ZONE, table: TABLE.STATE })),
    flow(TABLE.TRACK, 0, {}, goTo(TABLE.OUTPUT)),

    flow(TABLE.STATE, 100, { ct_state: { value: TRACKED | INVALID, mask: TRACKED | INVALID } }),
    ...IP.flatMap((type) => QUERY_TYPES[type].map((icmp) => flow(
      TABLE.STATE, 110, {
        ct_state: { value: TRACKED | INVALID, mask: TRACKED | INVALID }, eth_type: type, ip_proto: type === 0x0800 ? 1 : 58, [type === 0x0800 ? 'icmp_type' : 'icmpv6_type']: icmp,
      }, raise(FLAG.packet), goTo(TABLE.OUT_FILTER),
    ))),
    ...IP.flatMap((type) => PORT_FIELDS.map(([protocol, field]) => flow(
      TABLE.STATE, 110, { ct_state: { value: TRACKED | INVALID, mask: TRACKED | INVALID }, eth_type: type, ip_proto: protocol, [field]: 0 }, raise(FLAG.packet), goTo(TABLE.OUT_FILTER),
    ))),
    flow(TABLE.STATE, 50, { ct_state: { value: TRACKED | REPLY, mask: TRACKED | REPLY } }, ...EXCHANGE_ENDS, raise(FLAG.reply), goTo(TABLE.LIVE_OUT)),
    flow(TABLE.STATE, 0, {}, goTo(TABLE.LIVE_OUT)),
    flow(TABLE.LIVE_OUT, 100, { [REG.from]: 0 }, goTo(TABLE.LIVE_IN)),
    flow(TABLE.LIVE_OUT, 0, {}, goTo(TABLE.STATELESS_OUT)),
    flow(TABLE.LIVE_IN, 100, { [REG.to]: 0 }, goTo(TABLE.OUTPUT)),
    flow(TABLE.LIVE_IN, 0, {}, goTo(TABLE.STATELESS_OUT)),
    flow(TABLE.STATELESS_OUT, 0, {}, goTo(TABLE.STATELESS_IN)),
    flow(TABLE.STATELESS_IN, 0, {}, goTo(TABLE.ORIENT)),

    // An ICMP error of a connection that must be judged again first: its next packet does that.
    flow(TABLE.ORIENT, 200, { ct_state: { value: TRACKED | RELATED, mask: TRACKED | RELATED } }),
    // Both filters, or the only one, admitted the connection by a stateless rule: the reply stands for itself.
    flow(TABLE.ORIENT, 150, flag(FLAG.statelessOut | FLAG.statelessIn), ...EXCHANGE_ENDS, lower(FLAG.reply), raise(FLAG.packet), goTo(TABLE.OUT_FILTER)),
    flow(TABLE.ORIENT, 140, { ...flag(FLAG.statelessOut), [REG.to]: 0 }, ...EXCHANGE_ENDS, lower(FLAG.reply), raise(FLAG.packet), goTo(TABLE.OUT_FILTER)),
    flow(TABLE.ORIENT, 140, { ...flag(FLAG.statelessIn), [REG.from]: 0 }, ...EXCHANGE_ENDS, lower(FLAG.reply), raise(FLAG.packet), goTo(TABLE.OUT_FILTER)),
    // One of them: the other judges the connection first.
    ...perKind(TABLE.ORIENT, 120, (kind) => ({ ...replies(kind), ...flag(FLAG.statelessOut) }), (kind) => [...turn(kind), raise(FLAG.skipOut | FLAG.again | FLAG.packet), goTo(TABLE.OUT_FILTER)]),
    ...perKind(TABLE.ORIENT, 110, (kind) => ({ ...replies(kind), ...flag(FLAG.statelessIn) }), (kind) => [...turn(kind), raise(FLAG.skipIn | FLAG.again | FLAG.packet), goTo(TABLE.OUT_FILTER)]),
    ...perKind(TABLE.ORIENT, 50, (kind) => ({ ...replies(kind), ...flag(FLAG.reply) }), (kind) => [...turn(kind), goTo(TABLE.OUT_FILTER)]),
    flow(TABLE.ORIENT, 0, {}, goTo(TABLE.OUT_FILTER)),

    flow(TABLE.OUT_FILTER, 200, flag(FLAG.skipOut), goTo(TABLE.IN_FILTER)),
    flow(TABLE.IN_FILTER, 200, flag(FLAG.skipIn), goTo(TABLE.RESTORE)),
    ...(['out', 'in'] as const).flatMap((side) => [
      flow(SIDE[side].filter, 0, {}, goTo(SIDE[side].after)),
      flow(SIDE[side].peer, 0, {}, set(REGISTER.class, 0), goTo(SIDE[side].sourcePort)),
      flow(SIDE[side].sourcePort, 0, {}, set(REGISTER.sourcePortClass, 0), goTo(SIDE[side].pair)),
      flow(SIDE[side].region, 0, {}, goTo(SIDE[side].standard)),
      flow(SIDE[side].accepted, 0, {}, goTo(SIDE[side].after)),
    ]),

    // The connection's other end has judged. Now the end with the stateless rule, by the packet's own headers: its destination's filter ...
    ...perKind(TABLE.RESTORE, 120, flag(FLAG.again | FLAG.skipOut), (kind) => [
      ...turnBack(kind), ...EXCHANGE_ENDS, lower(FLAG.again | FLAG.reply | FLAG.skipOut), resubmit(TABLE.IN_FILTER),
    ]),
    // ... or its source's.
    ...perKind(TABLE.RESTORE, 120, flag(FLAG.again | FLAG.skipIn), (kind) => [
      ...turnBack(kind), ...EXCHANGE_ENDS, lower(FLAG.again | FLAG.reply), resubmit(TABLE.OUT_FILTER),
    ]),
    ...perKind(TABLE.RESTORE, 50, flag(FLAG.turned), (kind) => [...turnBack(kind), goTo(TABLE.COMMIT)]),
    flow(TABLE.RESTORE, 0, {}, goTo(TABLE.COMMIT)),

    flow(TABLE.COMMIT, 90, flag(FLAG.packet), goTo(TABLE.OUTPUT)),
    ...IP.flatMap((type) => commitFlows(70, { eth_type: type })),

    ...(beside ? [flow(TABLE.OUTPUT, 170, flag(FLAG.returned), ...LEAVE), flow(TABLE.OUTPUT, 0, {}, ...LEAVE)] : [
      flow(TABLE.OUTPUT, 200, flag(FLAG.flood, FLAG.copy), raise(FLAG.copy), goTo(TABLE.FLOOD)),
      flow(TABLE.OUTPUT, 170, flag(FLAG.returned, FLAG.flood), { type: 'output_field', source: subfield(REG.port) }),
      flow(TABLE.OUTPUT, 165, flag(FLAG.returned | FLAG.copy), { type: 'output_field', source: subfield(REG.port) }),
      flow(TABLE.OUTPUT, 0, {}, { type: 'output_field', source: subfield(REG.port) }),
    ]),

    ...perKind(TABLE.REFUSE, 50, flag(FLAG.turned), (kind) => [...turnBack(kind), goTo(TABLE.REPORT)]),
    flow(TABLE.REFUSE, 0, {}, goTo(TABLE.REPORT)),
  ];
}
