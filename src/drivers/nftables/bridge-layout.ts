/**
 * Family bridge: the hooks and the dispatch by vNIC, for vNICs that are ports of a Linux bridge. What goes from one port to another reaches no
 * hook of family inet; what the host itself sends to or takes from the bridge is judged here too, at the port.
 *
 *   dfw_forward (port to port) / dfw_input (port to the host) / dfw_output (the host to a port)
 *     vNIC involved -> judged
 *       neither IPv4 nor IPv6 -> accept; dropped where the vNIC's filter has no table in force
 *       invalid -> drop; untracked (neighbour discovery, ...) -> judged by its own headers
 *       source's filter (vnic_out), then destination's filter (vnic_in); replies go to the same filters as the original
 *
 * Unlike in family inet no packet is spared the rules because of what its connection's label says: a bridge forwards by MAC address, and nothing
 * ties an IP address to a port, so what one port's filter admitted may come to another (docs/adr/0012-linux-bridges.md). Both directions are judged
 * by the connection's tuple, which gives the same answer; labels only tell people which rule it was.
 *
 * GUARD is the same table where no filter on a bridge has rules: it needs no connection tracking, which other users of the host's bridges
 * would notice and some kernels lack.
 */
import type { Target } from '../../compile/target.js';
import { CHAIN, COMMON_CHAINS, hasState, nameSet, NOT_NEW, REPLY_STAGES, SETS, stage } from './base-layout.js';
import type { Dialect } from './dialect.js';
import {
  accept, atMost, byte, counter, ct, drop, equal, goTo, host32, inSet, limit, log, meta, payload, type Expression,
} from './expressions.js';
import { rule, type ChainImage } from './image.js';
import { CT, CT_STATE, ETHERTYPE, FAMILY, HOOK, META, PAYLOAD } from './kernel.js';

const NAME = { family: FAMILY.bridge, table: 'dfw' } as const;

/** vNICs whose filter drops everything. */
const SHUT = nameSet('shut');

/** Prefix of what goes to the answers' NFLOG group. */
export const REFUSED_PREFIX = 'dfw refused';
/** Enough for what an ICMP error quotes (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 ask for more, as much as fits), and every header. */
export const REFUSED_SNAP_LENGTH = 600;
const ANSWER_RATE = 1000;
const ANSWER_BURST = 2000;
/** That of the bridge's own filter table: behind address translation of the bridge, before br_netfilter's hook. */
const PRIORITY = -200;

function hook(name: string, number: number, ...rules: ChainImage['rules']): ChainImage {
  return { name, hook: { hook: number, priority: PRIORITY }, rules };
}

function isFamily(family: 4 | 6, register: number): readonly Expression[] {
  const ethertype = family === 4 ? ETHERTYPE.ipv4 : ETHERTYPE.ipv6;
  return [meta(META.protocol, register), equal(register, Uint8Array.of(ethertype >>> 8, ethertype & 0xff))];
}

const from = [meta(META.iifname, 0), inSet(SETS.vnics.name, 0)];
const to = [meta(META.oifname, 0), inSet(SETS.vnics.name, 0)];

/**
 * ICMP errors about what the host did not route on: destination unreachable, time exceeded, parameter problem; for IPv6 types 1 to 4. About a
 * connection's first packet they belong to none. Where an error comes from cannot be told here: those that the host routes pass, too.
 */
function hostError(protocol: number, type: Expression): ChainImage['rules'][number] {
  return rule('ICMP error out of the host', ...to, ...hasState(CT_STATE.invalid), meta(META.l4proto, 0), equal(0, byte(protocol)), payload(PAYLOAD.transport, 0, 1, 0), type, accept);
}

function chains(answerGroup: number): readonly ChainImage[] {
  return [
    {
      // The kernel can reject in the bridge's input hook only. The agent answers (app/refused-frames.ts); when it does not run, this is a drop.
      name: CHAIN.reject,
      rules: [
        rule('refused, to be answered', limit(ANSWER_RATE, ANSWER_BURST), log(answerGroup, REFUSED_PREFIX, REFUSED_SNAP_LENGTH)),
        rule('refused', counter, drop),
      ],
    },
    ...COMMON_CHAINS,
    { name: 'replies', rules: [...REPLY_STAGES] },
    {
      name: 'connections',
      rules: [...NOT_NEW, stage(META.iifname, SETS.vnicOut, "source's filter"), stage(META.oifname, SETS.vnicIn, "destination's filter")],
    },
    {
      name: 'judged',
      rules: [
        rule('IPv4; see agentctl getrules', ...isFamily(4, 0), goTo('connections')),
        rule('IPv6; see agentctl getrules', ...isFamily(6, 0), goTo('connections')),
        ...shut,
      ],
    },
    hook('dfw_forward', HOOK.forward, rule('from a workload', ...from, goTo('judged')), rule('to a workload', ...to, goTo('judged'))),
    hook('dfw_input', HOOK.input, rule('from a workload to this host', ...from, goTo('judged'))),
    hook(
      'dfw_output', HOOK.output,
      ...[3, 11, 12].map((type) => hostError(1, equal(0, byte(type)))),
      hostError(58, atMost(0, byte(4))),
      rule('from this host to a workload', ...to, goTo('judged')),
    ),
  ];
}

const shut = [
  rule('from a filter without a table in force', meta(META.iifname, 0), inSet(SHUT.name, 0), counter, drop),
  rule('to a filter without a table in force', meta(META.oifname, 0), inSet(SHUT.name, 0), counter, drop),
];

const GUARD_CHAINS: readonly ChainImage[] = [
  // Verdict maps name them; no packet gets there.
  { name: CHAIN.reject, rules: [rule('refused', counter, drop)] },
  { name: CHAIN.closed, rules: [rule('filter without a table in force, failClosed', counter, drop)] },
  { name: CHAIN.open, rules: [] },
  { name: CHAIN.guard, rules: [] },
  { name: CHAIN.stateless, rules: [] },
  hook('dfw_forward', HOOK.forward, ...shut),
  hook('dfw_input', HOOK.input, ...shut),
  hook('dfw_output', HOOK.output, ...shut),
];

function shutMembers({ filters }: Target): ReadonlySet<string> {
  return new Set([...filters.values()].filter(({ table, failOpen }) => table === undefined && !failOpen).map((filter) => filter.interface));
}

/** `answerGroup`: NFLOG group of refused frames. */
export function bridgeDialect(answerGroup: number): Dialect {
  return {
    name: NAME, title: 'bridge dfw', sets: [...Object.values(SETS), SHUT], chains: chains(answerGroup),
    memberSets: [{ set: SHUT, members: shutMembers, put: (block, member) => block.keyText(member) }],
    isFamily,
    connectionProtocol: (register) => ct(CT.protocol, register),
    // Every packet is judged, so "new" alone would log each packet of a stream that nobody answers.
    firstPacket: [ct(CT.direction, 0), equal(0, byte(0)), ct(CT.packets, 0, 0), equal(0, new Uint8Array([...host32(1), ...host32(0)]))],
  };
}

/** For targets in which no filter has a table. */
export const GUARD: Dialect = { ...bridgeDialect(0), title: 'bridge dfw (guard)', chains: GUARD_CHAINS };
