/**
 * What the tables of both families have in common: the sets that do not depend on rules, names of chains, and where a label's words lie in
 * registers. The hooks and chains are in inet-layout.ts and bridge-layout.ts.
 */
import { big32, byte, ct, counter, drop, equal, goTo, inSet, mask, meta, notEqual, notInSet, returns, verdictMap, host32, type Expression } from './expressions.js';
import { rule, type ChainImage, type SetImage } from './image.js';
import { CT, CT_STATE, META, TYPE } from './kernel.js';

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
  portProtocols: set('port_protocols', TYPE.protocol, 1, 0),
  icmpProtocols: set('icmp_protocols', TYPE.protocol, 1, 0),
} as const satisfies Record<string, SetImage>;

/** Protocols whose destination port is at offset 2 of the transport header: TCP, UDP, DCCP, SCTP, UDP-Lite. */
export const PORT_PROTOCOLS = [6, 17, 33, 132, 136];
export const ICMP_PROTOCOLS = [1, 58];

/** Interface names as elements. */
export function nameSet(name: string): SetImage {
  return set(name, TYPE.ifname, 16, 0);
}

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

/** Chains that every family has. */
export const COMMON_CHAINS: readonly ChainImage[] = [
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
];

/** Replies to connections: to the same filters as the original packets. */
export const REPLY_STAGES = [
  statelessReply(2, META.oifname, SETS.packetIn, "reply to a stateless rule: source's filter"),
  replyStage(2, META.oifname, SETS.vnicOut, "reply: source's filter"),
  statelessReply(3, META.iifname, SETS.packetOut, "reply to a stateless rule: destination's filter"),
  replyStage(3, META.iifname, SETS.vnicIn, "reply: destination's filter"),
];

export const NOT_NEW = [
  rule('no connection: invalid, or not tracked by conntrack', ...hasState(CT_STATE.invalid | CT_STATE.untracked), goTo('untracked')),
  rule('the other direction', ct(CT.direction, 0), equal(0, byte(1)), goTo('replies')),
];

export function stage(key: number, map: SetImage, what: string): ChainImage['rules'][number] {
  return rule(what, meta(key, 0), verdictMap(map.name, 0));
}

export function hasState(bits: number): readonly Expression[] {
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
