/**
 * The pipeline: tables, registers, and what they mean. A packet goes from lower to higher tables; MACS, REPLIES, SCTP, COPY and the two Refuse
 * tables are asked by resubmit.
 *
 *   CLASSIFY   in_port -> the source's filter (FROM); copies (COPY) of what a mirrored workload sends, and of what tells its addresses (learn-flows.ts);
 *              dropped: ports not known yet
 *   SPOOF      SpoofGuard, where it is on (spoof-flows.ts); learns where addresses are
 *   OUT_L2_*   layer 2 rules of the source's filter: classes of both MAC addresses, then the verdict
 *   FORWARD    the port to send to (MACS), or every port: such packets are judged by their own headers, first by the source's filter,
 *              then (FLOOD) a copy for each port by that port's
 *   PORT       that port -> the destination's filter (TO); copies of what a mirrored workload would get
 *   IN_L2_*    layer 2 rules of the destination's filter
 *   TRACK      what has no connection goes on by its own headers; the rest through conntrack, in our zone
 *   STATE      invalid: dropped; replies: FROM and TO change places, so that FROM is always the filter of the connection's source
 *              (SCTP on a datapath whose tracker knows no ports of it: a reply is what is in table SCTP, learned at COMMIT)
 *   LIVE_*     the label names a rule in force, with its stamp: nothing more to ask on this side
 *   STATELESS_* (replies) the label names a stateless rule, which admits one direction only
 *   ORIENT     headers of replies are turned round, so that they are judged as the connection is; not those to stateless rules
 *   OUT_*      the source's filter judges: its rule table, local address -> profile, peer -> class, source port -> class, all three -> pair,
 *   IN_*       the destination's filter judges; pair, protocol and port -> label; label -> verdict
 *   RESTORE    headers as they were; COMMIT writes the label of the sides that judged; OUTPUT (copies without what rules refuse; DNS replies by way of
 *              REPLIES: dns-flows.ts)
 *
 * A packet that is routed by the host comes through here twice, in the same connection; each time only one side is a filter of this
 * bridge, and only that side's half of the label is asked and written.
 */
export const TABLE = {
  CLASSIFY: 0, SPOOF: 1, OUT_L2_SOURCE: 2, OUT_L2_DESTINATION: 3, OUT_L2: 4, FORWARD: 5, PORT: 6, IN_L2_SOURCE: 7, IN_L2_DESTINATION: 8, IN_L2: 9,
  TRACK: 10, STATE: 11, LIVE_OUT: 12, LIVE_IN: 13, STATELESS_OUT: 14, STATELESS_IN: 15, ORIENT: 16,
  OUT_FILTER: 17, OUT_LOCAL: 18, OUT_PEER: 19, OUT_SOURCE_PORT: 20, OUT_PAIR: 21, OUT_REGION: 22, OUT_DEFAULT: 23, OUT_VERDICT: 24, OUT_ACCEPTED: 25,
  IN_FILTER: 26, IN_LOCAL: 27, IN_PEER: 28, IN_SOURCE_PORT: 29, IN_PAIR: 30, IN_REGION: 31, IN_DEFAULT: 32, IN_VERDICT: 33, IN_ACCEPTED: 34,
  RESTORE: 35, COMMIT: 36, OUTPUT: 37, FLOOD: 38, REFUSE: 39, REPORT: 40, MACS: 41, REPLIES: 42, SCTP: 43, COPY: 44,
} as const;

export type TableName = keyof typeof TABLE;

/** One side's tables. */
export const SIDE = {
  out: {
    filter: TABLE.OUT_FILTER, local: TABLE.OUT_LOCAL, peer: TABLE.OUT_PEER, sourcePort: TABLE.OUT_SOURCE_PORT, pair: TABLE.OUT_PAIR, region: TABLE.OUT_REGION,
    standard: TABLE.OUT_DEFAULT, verdict: TABLE.OUT_VERDICT, accepted: TABLE.OUT_ACCEPTED, after: TABLE.IN_FILTER,
    live: TABLE.LIVE_OUT, afterLive: TABLE.LIVE_IN, stateless: TABLE.STATELESS_OUT, afterStateless: TABLE.STATELESS_IN,
    l2Source: TABLE.OUT_L2_SOURCE, l2Destination: TABLE.OUT_L2_DESTINATION, l2: TABLE.OUT_L2, afterL2: TABLE.FORWARD,
  },
  in: {
    filter: TABLE.IN_FILTER, local: TABLE.IN_LOCAL, peer: TABLE.IN_PEER, sourcePort: TABLE.IN_SOURCE_PORT, pair: TABLE.IN_PAIR, region: TABLE.IN_REGION,
    standard: TABLE.IN_DEFAULT, verdict: TABLE.IN_VERDICT, accepted: TABLE.IN_ACCEPTED, after: TABLE.RESTORE,
    live: TABLE.LIVE_IN, afterLive: TABLE.OUTPUT, stateless: TABLE.STATELESS_IN, afterStateless: TABLE.ORIENT,
    l2Source: TABLE.IN_L2_SOURCE, l2Destination: TABLE.IN_L2_DESTINATION, l2: TABLE.IN_L2, afterL2: TABLE.TRACK,
  },
} as const;

/** Registers. Numbers of filters and rule tables are never 0: 0 = there is none. */
export const REGISTER = {
  /** Bits of FLAG. */
  flags: 0,
  /** Number of the filter of the connection's source; and, while it judges, of its rule table. */
  from: 1,
  fromRules: 2,
  /** The same of the connection's destination. */
  to: 3,
  toRules: 4,
  /** Port to send to; 0 = not known. */
  port: 5,
  profile: 6,
  class: 7,
  sourcePortClass: 8,
  pair: 9,
  defaultPair: 10,
  /** Label id of the rule that decided last. */
  label: 11,
  /** Words of the connection's label, as this packet's judgement has them. */
  labelOut: 12,
  labelIn: 13,
  /** Type and code of an ICMP reply while its headers are turned round. */
  icmp: 14,
  scratch: 15,
} as const;

/** Stamps of the two labels, while a packet is judged: halves of the metadata field. */
export const STAMP_BITS = { out: 0, in: 32 } as const;

export const FLAG = {
  /** The packet belongs to a connection's other direction: FROM and TO are exchanged. */
  reply: 1,
  /** Its headers are turned round. */
  turned: 2,
  /** Judged by its own headers, nothing to commit: there is no connection, or a stateless rule admitted it. */
  packet: 4,
  /** Report the packet to the agent: for the log. */
  log: 8,
  /** Report the packet to the agent: to answer it with a reset or an ICMP error. */
  reject: 16,
  /** Goes to every port. */
  flood: 32,
  /** One of its copies: the source's filter has judged it. */
  copy: 64,
  /** Replies: the rule that admitted the connection at its source's (destination's) filter is stateless. */
  statelessOut: 128,
  statelessIn: 256,
  /** Only the destination's (source's) filter judges the packet as it is now ... */
  skipOut: 512,
  skipIn: 1024,
  /** ... and the other one, by the packet's own headers, once more. */
  again: 2048,
  /** What is reported was decided by a layer 2 rule: the label register has its layer2Id. */
  layer2: 4096,
  /** Came back from where it was redirected to: all rules have decided. */
  returned: 8192,
  /** A DNS reply that the agent has been shown. */
  replySeen: 16384,
  /** Copies that are made behind the rules are made: of what the sender's filter has them for, and of what the receiver's has. */
  copiedOut: 32768,
  copiedIn: 65536,
  /** A DHCP answer that the agent has been shown (learn-flows.ts). */
  addressSeen: 131072,
} as const;

/**
 * The connection's label (ct_label): words 2 and 3 name the rules as on nftables, words 0 and 1 hold their stamps. A rule that lost
 * something gets another stamp: connections that have the old one are judged again on their next packet.
 */
export const LABEL_BITS = { stampOut: 0, stampIn: 32, out: 64, in: 96 } as const;

/** conntrack zone of all bridges: the host's own connections (zone 0) are others. */
export const ZONE = 57_207;

/** Categories of flows, in their cookies. */
export const CATEGORY = { base: 1, port: 2, filter: 3, addresses: 4, regions: 5, labels: 6, layer2: 7, learned: 8, replies: 9, diversions: 10 } as const;
export type Category = (typeof CATEGORY)[keyof typeof CATEGORY];

/** The first 16 bits of all our cookies. */
export const COOKIE_MAGIC = 0xdf77n;
export const COOKIE_MASK = 0xffff_0000_0000_0000n;

/** magic(16) | category(8) | 0(8) | object(32). */
export function cookie(category: Category, object: number): bigint {
  return (COOKIE_MAGIC << 48n) | (BigInt(category) << 40n) | BigInt(object >>> 0);
}
