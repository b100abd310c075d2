/**
 * Family inet: the hooks and the dispatch by vNIC, for what the host routes, sends and receives.
 *
 *   dfw_forward / dfw_input / dfw_output
 *     both label words name rules in force -> accept            (established traffic: one rule)
 *     vNIC involved -> workload (from a vNIC to anywhere), to_workload, from_workload (where the other side can be none)
 *       a pod to itself through its own Service -> accept
 *       invalid -> drop; untracked (neighbour discovery, ...) -> judged by its own headers
 *       source's filter (vnic_out), then destination's filter (vnic_in); replies go to the same filters as the original
 *       sides without a filter get the not-applicable id, but for those behind a Linux bridge (bridge-layout.ts)
 *
 * Accepting at a filter is RETURN; dropping and rejecting are final.
 */
import { NOT_APPLICABLE_ID } from '../../compile/label-ids.js';
import { CHAIN, COMMON_CHAINS, hasState, LABEL, LABEL_REGISTER, nameSet, NOT_NEW, REPLY_STAGES, SETS, stage } from './base-layout.js';
import type { Dialect } from './dialect.js';
import {
  accept, atMost, big32, byte, ct, equal, goTo, host32, immediate, inSet, mask, meta, notEqual, notInSet, payload, rejectProhibited,
  rejectReset, routedBack, setCt, type Expression,
} from './expressions.js';
import { rule, type ChainImage } from './image.js';
import { CT, CT_STATE, CT_STATUS, FAMILY, HOOK, META, PAYLOAD, TYPE } from './kernel.js';
import { interfaceKey } from './interface-key.js';

const OWN_SETS = {
  /** Input and output interface of what a pod sends to itself through a Service. */
  hairpins: { ...nameSet('hairpins'), keyType: TYPE.twoIfnames, keyLength: 32 },
  /** Linux bridges with ports that have filters: who is behind them is judged in family bridge. */
  bridges: nameSet('bridges'),
} as const;

const established = rule(
  'connections whose rules are in force; see agentctl getflows',
  meta(META.mark, 2), meta(META.mark, 3), ct(CT.labels, 0), inSet(SETS.live.name, 2), inSet(SETS.live.name, 3), accept,
);

function hook(name: string, number: number, ...rules: ChainImage['rules']): ChainImage {
  return { name, hook: { hook: number, priority: 0 }, rules: [established, ...rules] };
}

/**
 * Where `ifname`, if given, names no vNIC: that side's word gets the not-applicable id, unless it has another. Who is behind a Linux bridge
 * is judged there, and has written the word when the packet comes from there; `ahead`: the packet goes there first.
 */
function notFiltered(side: 'in' | 'out', ifname?: number, ahead = false): ChainImage['rules'][number] {
  const word = LABEL_REGISTER[side];
  return rule(
    `no filter on the ${side === 'in' ? "destination's" : "source's"} side`,
    ...(ifname === undefined ? [] : [meta(ifname, 0), notInSet(SETS.vnics.name, 0)]),
    ...(ahead ? [notInSet(OWN_SETS.bridges.name, 0)] : []),
    meta(META.mark, word), ct(CT.labels, LABEL), equal(word, host32(0)), immediate(word, host32(NOT_APPLICABLE_ID)), setCt(CT.labels, LABEL),
  );
}

/**
 * A pod reaches itself through its own Service, whatever its policies say (Kubernetes: a pod cannot block access to itself). Such packets
 * have a translated destination and go out where they came in. With a source elsewhere (a forged one) they would make a connection whose
 * other direction is another pod's reply: the route back must lead to the same interface. No label: whatever else might come of the
 * connection is judged. Most packets go no further than the first comparison.
 */
const hairpin = rule(
  'a pod to itself, through a Service', ct(CT.status, 0), mask(0, host32(CT_STATUS.destinationNat)), notEqual(0, big32(0)),
  meta(META.iifname, 0), meta(META.oifname, 4), inSet(OWN_SETS.hairpins.name, 0), routedBack(0), equal(0, host32(1)), accept,
);

/** ICMP errors that this host sends to a workload: destination unreachable, time exceeded, parameter problem; for IPv6 types 1 to 4. */
function hostError(protocol: number, type: Expression): ChainImage['rules'][number] {
  return rule('ICMP error of this host', meta(META.oifname, 0), inSet(SETS.vnics.name, 0), meta(META.l4proto, 0), equal(0, byte(protocol)), payload(PAYLOAD.transport, 0, 1, 0), type, accept);
}

const CHAINS: readonly ChainImage[] = [
  {
    name: CHAIN.reject,
    rules: [
      rule('reset for TCP', meta(META.l4proto, 0), equal(0, byte(6)), rejectReset),
      rule('administratively prohibited for the rest', rejectProhibited),
    ],
  },
  ...COMMON_CHAINS,
  {
    name: 'replies',
    rules: [
      ...REPLY_STAGES,
      notFiltered('out', META.oifname),
      notFiltered('in', META.iifname),
    ],
  },
  // The ways of a new connection: as few rules as can be, each by where it comes from and goes to.
  {
    name: 'workload',
    rules: [
      hairpin,
      ...NOT_NEW,
      stage(META.iifname, SETS.vnicOut, "source's filter"),
      stage(META.oifname, SETS.vnicIn, "destination's filter"),
      notFiltered('in', META.oifname, true),
    ],
  },
  {
    name: 'to_workload',
    rules: [...NOT_NEW, notFiltered('out'), stage(META.oifname, SETS.vnicIn, "destination's filter")],
  },
  {
    name: 'from_workload',
    rules: [...NOT_NEW, notFiltered('in'), stage(META.iifname, SETS.vnicOut, "source's filter")],
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

export const INET: Dialect = {
  name: { family: FAMILY.inet, table: 'dfw' },
  title: 'inet dfw',
  sets: [...Object.values(SETS), ...Object.values(OWN_SETS)],
  chains: CHAINS,
  memberSets: [
    {
      set: OWN_SETS.hairpins,
      members: ({ filters }) => new Set([...filters.values()].filter(({ table, reachesItself }) => table !== undefined && reachesItself).map((filter) => filter.interface)),
      put: (block, member) => {
        const key = interfaceKey(member);
        for (const start of [0, key.length]) key.forEach((value, offset) => block.keyByte(start + offset, value));
      },
    },
    { set: OWN_SETS.bridges, members: ({ bridges }) => bridges ?? new Set(), put: (block, member) => block.keyText(member) },
  ],
  isFamily: (family, register) => [meta(META.nfproto, register), equal(register, byte(family === 4 ? FAMILY.ipv4 : FAMILY.ipv6))],
  connectionProtocol: (register) => meta(META.l4proto, register),
  firstPacket: hasState(CT_STATE.new | CT_STATE.untracked),
};
