/**
 * The part of table `inet dfw` that does not depend on rules: hooks, dispatch by vNIC, and what is common to all filters.
 *
 *   dfw_forward / dfw_input / dfw_output
 *     both label words name rules in force -> accept            (established traffic: one rule)
 *     vNIC involved -> workload (from a vNIC to anywhere), to_workload, from_workload (where the other side can be none)
 *       a pod to itself through its own Service -> accept
 *       invalid -> drop; untracked (neighbour discovery, ...) -> judged by its own headers
 *       source's filter (vnic_out), then destination's filter (vnic_in); replies go to the same filters as the original
 *       sides without a filter get the not-applicable id
 *
 * Accepting at a filter is RETURN; dropping and rejecting are final.
 */
import { NOT_APPLICABLE_ID } from '../../compile/label-ids.js';
import {
  accept, atMost, big32, byte, counter, ct, drop, equal, goTo, host32, immediate, inSet, mask, meta, notEqual, notInSet, payload, rejectProhibited,
  rejectReset, returns, routedBack, setCt, verdictMap, type Expression,
} from './expressions.js';
import { rule, type ChainImage, type SetImage } from './image.js';
import { CT, CT_STATE, CT_STATUS, FAMILY, HOOK, META, PAYLOAD, TYPE } from './kernel.js';

export const TABLE = { family: FAMILY.inet, table: 'dfw' } as const;

/** Room for two ids (in, out) of each of the 120,000 rules a host may have. A fixed size gets the kernel's fastest hash. */
const ID_CAPACITY = 262_144;

export const SETS = {
  vnics: set('vnics', TYPE.ifname, 16, 0),
  vnicIn: set('vnic_in', TYPE.ifname, 16, 'verdict'),
  vnicOut: set('vnic_out', TYPE.ifname, 16, 'verdict'),
  packetIn: set('packet_in', TYPE.ifname, 16, 'verdict'),
  packetOut: set('packet_out', TYPE.ifname, 16, 'verdict'),
  /** Rules that connections may go on under. */
  live: { ...set('live', TYPE.mark, 4, 0), size: ID_CAPACITY },
  /** Every label id, with its rule in the comment and a count of what it decided. */
  ids: { ...set('ids', TYPE.mark, 4, 0), counter: true },
  /** Ids of stateless rules. */
  stateless: set('stateless', TYPE.mark, 4, 0),
  /**
   * Action code -> verdict. Small on purpose: the kernel walks these maps for every rule that looks into them, whenever a
   * transaction adds a rule or a verdict.
   */
  verdicts: set('verdicts', TYPE.mark, 4, 'verdict'),
  packetVerdicts: set('packet_verdicts', TYPE.mark, 4, 'verdict'),
  /** Input and output interface of what a pod sends to itself through a Service. */
  hairpins: set('hairpins', TYPE.twoIfnames, 32, 0),
  portProtocols: set('port_protocols', TYPE.protocol, 1, 0),
  icmpProtocols: set('icmp_protocols', TYPE.protocol, 1, 0),
} as const satisfies Record<string, SetImage>;

/** Protocols whose destination port is at offset 2 of the transport header: TCP, UDP, DCCP, SCTP, UDP-Lite. */
export const PORT_PROTOCOLS = [6, 17, 33, 132, 136];
export const ICMP_PROTOCOLS = [1, 58];

function set(name: string, keyType: number, keyLength: number, data: 0 | 'verdict'): SetImage {
  return { name, keyType, keyLength, interval: false, data, counter: false, size: 0 };
}

/** First of the four registers that a label is loaded into where it is to be changed. */
export const LABEL = 8;
/** Register of the label word that the stage writes: word 2 = out, word 3 = in. */
export const LABEL_REGISTER = { out: LABEL + 2, in: LABEL + 3 } as const;
/** Where the action code lands: the last word of a region's data. */
export const ACTION_REGISTER = { out: LABEL + 4, in: LABEL + 5 } as const;

export const CHAIN = {
  closed: 'closed', open: 'opened', reject: 'refuse', guard: 'undeclared', stateless: 'stateless_reply',
} as const;

const established = rule(
  'connections whose rules are in force; see agentctl getflows',
  meta(META.mark, 2), meta(META.mark, 3), ct(CT.labels, 0), inSet(SETS.live.name, 2), inSet(SETS.live.name, 3), accept,
);

function hook(name: string, number: number, ...rules: ChainImage['rules']): ChainImage {
  return { name, hook: { hook: number, priority: 0 }, rules: [established, ...rules] };
}

function stage(key: number, map: SetImage, what: string): ChainImage['rules'][number] {
  return rule(what, meta(key, 0), verdictMap(map.name, 0));
}

/** Where `interfaceKey`, if given, names no vNIC: that side's word gets the not-applicable id. */
function notFiltered(side: 'in' | 'out', interfaceKey?: number): ChainImage['rules'][number] {
  return rule(
    `no filter on the ${side === 'in' ? "destination's" : "source's"} side`,
    ...(interfaceKey === undefined ? [] : [meta(interfaceKey, 0), notInSet(SETS.vnics.name, 0)]),
    ct(CT.labels, LABEL), immediate(LABEL_REGISTER[side], host32(NOT_APPLICABLE_ID)), setCt(CT.labels, LABEL),
  );
}

const notNew = [
  rule('no connection: invalid, or not tracked by conntrack', ...hasState(CT_STATE.invalid | CT_STATE.untracked), goTo('untracked')),
  rule('the other direction', ct(CT.direction, 0), equal(0, byte(1)), goTo('replies')),
];

/**
 * A pod reaches itself through its own Service, whatever its policies say (Kubernetes: a pod cannot block access to itself). Such packets
 * have a translated destination and go out where they came in. With a source elsewhere (a forged one) they would make a connection whose
 * other direction is another pod's reply: the route back must lead to the same interface. No label: whatever else might come of the
 * connection is judged. Most packets go no further than the first comparison.
 */
const hairpin = rule(
  'a pod to itself, through a Service', ct(CT.status, 0), mask(0, host32(CT_STATUS.destinationNat)), notEqual(0, big32(0)),
  meta(META.iifname, 0), meta(META.oifname, 4), inSet(SETS.hairpins.name, 0), routedBack(0), equal(0, host32(1)), accept,
);

function hasState(bits: number): readonly Expression[] {
  return [ct(CT.state, 0), mask(0, host32(bits)), notEqual(0, big32(0))];
}

/** Replies go to the same filters as the original packets; not those of connections whose label word names a stateless rule. */
function replyStage(word: 2 | 3, key: number, map: SetImage, what: string): ChainImage['rules'][number] {
  return rule(what, meta(META.mark, word), ct(CT.labels, 0), notInSet(SETS.stateless.name, word), meta(key, 0), verdictMap(map.name, 0));
}

/** A stateless rule admits only the direction it matches: packets of the other direction are judged by their own headers. */
function statelessReply(word: 2 | 3, key: number, map: SetImage, what: string): ChainImage['rules'][number] {
  return rule(what, meta(META.mark, word), ct(CT.labels, 0), inSet(SETS.stateless.name, word), meta(key, 0), verdictMap(map.name, 0));
}

/** ICMP errors that this host sends to a workload: destination unreachable, time exceeded, parameter problem; for IPv6 types 1 to 4. */
function hostError(protocol: number, type: Expression): ChainImage['rules'][number] {
  return rule('ICMP error of this host', meta(META.oifname, 0), inSet(SETS.vnics.name, 0), meta(META.l4proto, 0), equal(0, byte(protocol)), payload(PAYLOAD.transport, 0, 1, 0), type, accept);
}

export const BASE_CHAINS: readonly ChainImage[] = [
  {
    name: CHAIN.reject,
    rules: [
      rule('reset for TCP', meta(META.l4proto, 0), equal(0, byte(6)), rejectReset),
      rule('administratively prohibited for the rest', rejectProhibited),
    ],
  },
  { name: CHAIN.closed, rules: [rule('filter without a table in force, failClosed', counter, drop)] },
  { name: CHAIN.open, rules: [rule('filter without a table in force, failOpen', counter, returns)] },
  { name: CHAIN.guard, rules: [rule('local address that no attachment declares', counter, drop)] },
  {
    name: CHAIN.stateless,
    rules: [
      rule('reply that no stateless rule was asked about', ct(CT.direction, 0), equal(0, byte(1)), counter, drop),
      rule('judged packet by packet', returns),
    ],
  },
  {
    name: 'untracked',
    rules: [
      rule('state-mismatch', ...hasState(CT_STATE.invalid), counter, drop),
      rule("source's filter by packet", meta(META.iifname, 0), verdictMap(SETS.packetOut.name, 0)),
      rule("destination's filter by packet", meta(META.oifname, 0), verdictMap(SETS.packetIn.name, 0)),
    ],
  },
  {
    name: 'replies',
    rules: [
      statelessReply(2, META.oifname, SETS.packetIn, "reply to a stateless rule: source's filter"),
      replyStage(2, META.oifname, SETS.vnicOut, "reply: source's filter"),
      statelessReply(3, META.iifname, SETS.packetOut, "reply to a stateless rule: destination's filter"),
      replyStage(3, META.iifname, SETS.vnicIn, "reply: destination's filter"),
      notFiltered('out', META.oifname),
      notFiltered('in', META.iifname),
    ],
  },
  // The ways of a new connection: as few rules as can be, each by where it comes from and goes to.
  {
    name: 'workload',
    rules: [
      hairpin,
      ...notNew,
      stage(META.iifname, SETS.vnicOut, "source's filter"),
      stage(META.oifname, SETS.vnicIn, "destination's filter"),
      notFiltered('in', META.oifname),
    ],
  },
  {
    name: 'to_workload',
    rules: [...notNew, notFiltered('out'), stage(META.oifname, SETS.vnicIn, "destination's filter")],
  },
  {
    name: 'from_workload',
    rules: [...notNew, notFiltered('in'), stage(META.iifname, SETS.vnicOut, "source's filter")],
  },
  hook(
    'dfw_forward', HOOK.forward,
    rule('from a workload', meta(META.iifname, 0), inSet(SETS.vnics.name, 0), goTo('workload')),
    rule('to a workload', meta(META.oifname, 0), inSet(SETS.vnics.name, 0), goTo('to_workload')),
  ),
  hook('dfw_input', HOOK.input, rule('from a workload to this host', meta(META.iifname, 0), inSet(SETS.vnics.name, 0), goTo('from_workload'))),
  hook(
    'dfw_output', HOOK.output,
    // Resets and ICMP errors that this host itself answers with, among them those of our own rejects.
    rule('answers of this host', meta(META.oifname, 0), inSet(SETS.vnics.name, 0), ...hasState(CT_STATE.related), accept),
    // An error about a connection that was refused at its first packet belongs to no connection.
    ...[3, 11, 12].map((type) => hostError(1, equal(0, byte(type)))),
    hostError(58, atMost(0, byte(4))),
    rule('from this host to a workload', meta(META.oifname, 0), inSet(SETS.vnics.name, 0), goTo('to_workload')),
  ),
];
