/** Flows that bind filters to ports of the bridge: who sends, who gets, what is copied. */
import { v4FromText, v6FromText } from '../../../model/address.js';
import type { Action } from '../openflow/actions.js';
import { PORT } from '../openflow/constants.js';
import { answers } from './answer-flows.js';
import { LOCAL_PORT } from './base-flows.js';
import { copyFlows, copySteps, diversionObject, type PortCopy } from './copy-flows.js';
import { flags, goTo, raise, register, resubmit, set, type Flow, type MatchValues, type Step } from './flow.js';
import { macNumber } from './layer2-flows.js';
import type { TrafficMatch } from '../../../model/objects.js';
import { matchVariants } from './traffic-match.js';
import { learnFlows } from './learn-flows.js';
import { spoofFlows } from './spoof-flows.js';
import { CATEGORY, cookie, FLAG, REGISTER, SIDE, TABLE } from './stages.js';

/** A port of the bridge, as frames are forwarded to it. */
export interface BridgePort {
  /** 1..0xfeff, or LOCAL (0xfffe). */
  readonly number: number;
  /** Gets broadcasts, and what is for addresses that nobody knows unless its own is declared. False for taps and the like. */
  readonly floods: boolean;
  /** Its address is declared: what is for unknown addresses is not for it, and none of its business. */
  readonly declared: boolean;
}

/** A filter whose port exists. */
export interface PortFilter {
  /** The filter's stable number, not 0. */
  readonly number: number;
  readonly port: number;
  /** '' = to be learned. */
  readonly mac: string;
  /** Canonical hosts: beside others, a filter without a declared MAC address is found by them. */
  readonly addresses: readonly string[];
  /** Addresses that it may send from: SpoofGuard; undefined: off. */
  readonly guard: readonly string[] | undefined;
  /** Only from these, be there none. */
  readonly strict?: true;
  /** Who is shown what tells addresses of its workload; absent: nobody. */
  readonly learnedBy?: number;
  /** See baseFlows. */
  readonly beside: boolean;
  /** Number of its rule table; 0: none in force. */
  readonly rules: number;
  readonly failOpen: boolean;
  /** Copies of what the workload sends (out), and of what is for it (in). */
  readonly mirrors: Readonly<Record<'in' | 'out', readonly PortCopy[]>>;
  /** Where what the workload sends (out), or would get (in), goes instead, once the rules have let it pass; port 0: nowhere. The first that matches. */
  readonly redirects: Readonly<Record<'in' | 'out', readonly PortDiversion[]>>;
}

export interface PortDiversion {
  /** The TrafficControl. */
  readonly control: string;
  readonly port: number;
  /** Absent: all traffic. */
  readonly match?: readonly TrafficMatch[];
}

export const LOCAL = 0xfffe;
/** Of Ethernet addresses: to many. */
const GROUP_BIT = 0x0100_0000_0000n;

export function filterFlows(filter: PortFilter): Flow[] {
  const { number, port, mac, rules } = filter;
  const flow = (table: number, priority: number, match: MatchValues, ...actions: Step[]): Flow => ({
    table, priority, cookie: cookie(CATEGORY.filter, number), match, actions,
  });
  const binding = (side: 'in' | 'out'): Flow[] => {
    const stage = SIDE[side];
    const match = { [register(side === 'out' ? REGISTER.from : REGISTER.to)]: number };
    // Which table judges is told here and not before conntrack: a packet may see one state of the flows before and the next one after it,
    // and the former's table may be gone by then. Judged less accepted = refused: both are counted here.
    const judge = rules !== 0 ? [set(side === 'out' ? REGISTER.fromRules : REGISTER.toRules, rules), goTo(stage.local)] : filter.failOpen ? [set(side === 'out' ? REGISTER.labelOut : REGISTER.labelIn, 0), goTo(stage.accepted)] : [];
    return [flow(stage.filter, 100, match, ...judge), flow(stage.accepted, 100, match, goTo(stage.after))];
  };
  const onward = [...copySteps(filter.mirrors.out, port, 'before'), set(REGISTER.from, number), goTo(TABLE.SPOOF)];
  return [
    flow(TABLE.CLASSIFY, 100, { in_port: port }, ...onward),
    ...(filter.learnedBy === undefined ? [] : learnFlows({ number, port, controller: filter.learnedBy, onward })),
    ...arrivals(filter, flow),
    ...binding('out'), ...binding('in'),
    ...copiesBehindRules(filter, flow),
    ...redirects(filter, flow),
    ...copyFlows(filter.mirrors.out, port), ...copyFlows(filter.mirrors.in, port),
    // An address that is declared is nobody else's, and need not be learned.
    ...(filter.guard === undefined ? (mac === '' ? [] : [flow(TABLE.SPOOF, 100, { in_port: port }, goTo(TABLE.OUT_L2_SOURCE))])
      : spoofFlows({ number, port, mac, addresses: filter.guard, strict: filter.strict === true, passed: mac === '' && !filter.beside ? [learn(port)] : [] })),
    ...(mac === '' ? [] : [
      flow(TABLE.MACS, 100, { eth_dst: macNumber(mac) }, set(REGISTER.port, port)),
    ]),
    ...(filter.beside && mac === '' ? filter.addresses.map((address) => flow(TABLE.MACS, 40, destination(address), set(REGISTER.port, port))) : []),
  ];
}

function destination(address: string): MatchValues {
  const four = v4FromText(address);
  if (four !== undefined) return { eth_type: 0x0800, ip_dst: four };
  const { hi = 0n, lo = 0n } = v6FromText(address) ?? {};
  return { eth_type: 0x86dd, ipv6_dst: (hi << 64n) | lo };
}

/** Beside others: what their controllers send to be treated as a packet. */
export function controllerFlows(): Flow[] {
  return [{ table: TABLE.CLASSIFY, priority: 50, cookie: cookie(CATEGORY.port, 0), match: { in_port: PORT.CONTROLLER }, actions: [goTo(TABLE.SPOOF)] }];
}

type FlowOf = (table: number, priority: number, match: MatchValues, ...actions: Step[]) => Flow;

/** What is for the port, before any rule has judged it. Copied is not what comes back from where it was redirected, which was before; nor what would go back to where it comes from. */
function arrivals({ number, port, mirrors }: PortFilter, flow: FlowOf): Flow[] {
  const match = { [register(REGISTER.port)]: port };
  const enter = [set(REGISTER.to, number), goTo(TABLE.IN_L2_SOURCE)];
  const copies = copySteps(mirrors.in, port, 'before');
  return [
    ...(copies.length === 0 ? [] : [
      flow(TABLE.PORT, 120, { ...match, in_port: port }, ...enter),
      flow(TABLE.PORT, 110, { ...match, [register(REGISTER.flags)]: flags(FLAG.returned) }, ...enter),
    ]),
    flow(TABLE.PORT, 100, match, ...copies, ...enter),
  ];
}

/** Once for each packet: before it goes to many, is redirected, or is a DNS reply that the agent holds (dns-flows.ts). */
function copiesBehindRules({ port, mirrors }: PortFilter, flow: FlowOf): Flow[] {
  const once = (priority: number, match: MatchValues, flag: number, steps: readonly Step[]): Flow =>
    flow(TABLE.OUTPUT, priority, { ...match, [register(REGISTER.flags)]: flags(0, flag | FLAG.returned | FLAG.replySeen) }, ...steps, raise(flag), resubmit(TABLE.OUTPUT));
  const sent = copySteps(mirrors.out, port, 'behind');
  const arriving = copySteps(mirrors.in, port, 'behind');
  const here = { [register(REGISTER.port)]: port };
  return [
    ...(sent.length === 0 ? [] : [once(320, { in_port: port }, FLAG.copiedOut, sent)]),
    ...(arriving.length === 0 ? [] : [once(311, { ...here, in_port: port }, FLAG.copiedIn, []), once(310, here, FLAG.copiedIn, arriving)]),
  ];
}

function redirects({ redirects: to, port }: PortFilter, flow: FlowOf): Flow[] {
  const output = ({ port: target }: PortDiversion): Action[] => (target === 0 ? [] : [{ type: 'output', port: target }]);
  const side = (base: number, mine: MatchValues, diversions: readonly PortDiversion[]): Flow[] => diversions.slice(0, MOST_REDIRECTS).flatMap((diversion, index) =>
    matchVariants(diversion.match).map((match): Flow => ({
      table: TABLE.OUTPUT, priority: base - index, cookie: cookie(CATEGORY.diversions, diversionObject(diversion.control)), match: { ...mine, ...match }, actions: output(diversion),
    })));
  const { resets, errors } = to.in.length === 0 ? { resets: [], errors: [] } : answers(port);
  const told = [
    ...resets.map((match) => flow(TABLE.TRACK, 290, match, goTo(TABLE.OUTPUT))),
    ...[...resets, ...errors].map((match) => flow(TABLE.OUTPUT, ANSWERS_PRIORITY, match, { type: 'output', port })),
  ];
  return [...told, ...side(160, { in_port: port }, to.out), ...side(150, { [register(REGISTER.port)]: port }, to.in)];
}

/** Above what goes to a port and is redirected. */
const ANSWERS_PRIORITY = 155;
/** Priorities between those of the two directions. */
const MOST_REDIRECTS = 10;

/** The host's own address on the bridge need not be learned: what goes there begins a connection from the first packet on. */
export function localFlows(mac: string | undefined): Flow[] {
  if (mac === undefined || mac === '') return [];
  return [{ table: TABLE.MACS, priority: 90, cookie: cookie(CATEGORY.port, LOCAL), match: { eth_dst: macNumber(mac) }, actions: [set(REGISTER.port, LOCAL)] }];
}

/** Ports by which redirected traffic comes back: it goes on to where it was going. */
export function returnFlows(ports: readonly number[]): Flow[] {
  return ports.map((port) => ({
    table: TABLE.CLASSIFY, priority: 110, cookie: cookie(CATEGORY.port, port), match: { in_port: port }, actions: [raise(FLAG.returned), goTo(TABLE.FORWARD)],
  }));
}

/**
 * Learns which addresses are behind each port, for each VLAN, until they have been silent for five minutes; of a port that went they
 * are forgotten by the cookie, which has its number. Not beside others, who route: a source address there does not tell where it is.
 */
export function learningFlows(ports: readonly BridgePort[]): Flow[] {
  const flow = (priority: number, object: number, match: MatchValues): Flow => ({
    table: TABLE.SPOOF, priority, cookie: cookie(CATEGORY.port, object), match, actions: [learn(object), goTo(TABLE.OUT_L2_SOURCE)],
  });
  // Where all filters let everything pass, so do ports that nobody has looked at yet.
  return [flow(10, UNKNOWN_PORT, {}), ...ports.map(({ number }) => flow(50, number, { in_port: number === LOCAL ? LOCAL_PORT : number }))];
}

function learn(object: number): Action {
  return {
    type: 'learn', table: TABLE.MACS, idleTimeout: 300, priority: 50, cookie: cookie(CATEGORY.learned, object),
    specs: [
      { source: { field: 'vlan_tci', offset: 0 }, target: { kind: 'match', field: 'vlan_tci', offset: 0 }, bits: 12 },
      { source: { field: 'eth_src', offset: 0 }, target: { kind: 'match', field: 'eth_dst', offset: 0 }, bits: 48 },
      { source: { field: 'in_port_16', offset: 0 }, target: { kind: 'load', field: register(REGISTER.port), offset: 0 }, bits: 16 },
    ],
  };
}

/** Stands in cookies for ports that are not known yet. */
export const UNKNOWN_PORT = 0;

/**
 * Frames of ports that are known and have no filter. What comes from a port that nobody has looked at yet is dropped, for it may be a
 * filter's a moment later; and as its address is not learned, nothing goes there. Unless all filters would let it pass.
 */
export function knownPortFlows(ports: readonly BridgePort[], failOpen: boolean): Flow[] {
  const pass = (priority: number, number: number, match: MatchValues): Flow => ({
    table: TABLE.CLASSIFY, priority, cookie: cookie(CATEGORY.port, number), match, actions: [goTo(TABLE.SPOOF)],
  });
  return [...ports.map(({ number }) => pass(50, number, { in_port: number === LOCAL ? LOCAL_PORT : number })), ...(failOpen ? [pass(0, 0, {})] : [])];
}

/** What is for every port, or for an unknown address, as a copy for each; the switch sends nothing back to where it came from. */
export function floodFlows(ports: readonly BridgePort[]): Flow[] {
  const toEach = (priority: number, match: MatchValues, to: readonly BridgePort[]): Flow => ({
    table: TABLE.FLOOD, priority, cookie: cookie(CATEGORY.port, 0), match,
    actions: to.map(({ number }) => number).sort((a, b) => a - b).map((number): Action => ({
      type: 'clone', actions: [{ type: 'set_field', field: register(REGISTER.port), value: number }, resubmit(TABLE.PORT)],
    })),
  });
  const flooded = ports.filter(({ floods }) => floods);
  return [toEach(10, { eth_dst: { value: GROUP_BIT, mask: GROUP_BIT } }, flooded), toEach(0, {}, flooded.filter(({ declared }) => !declared))];
}

/** Ports by whose traffic reports are limited one by one, so that none takes the others' share. */
export function reportFlows(ports: readonly BridgePort[], controller: number): Flow[] {
  const report = (meter: number): Action => ({ type: 'controller', maxLength: REPORT_LENGTH, controllerId: controller, meter });
  return [
    { table: TABLE.REPORT, priority: 0, cookie: cookie(CATEGORY.port, 0), match: {}, actions: [report(OTHER_METER)] },
    ...ports.filter(({ number }) => number !== LOCAL).map(({ number }): Flow => ({
      table: TABLE.REPORT, priority: 100, cookie: cookie(CATEGORY.port, number), match: { in_port: number }, actions: [report(number)],
    })),
  ];
}

/** Enough of a packet for every header that the log shows and that an answer needs. */
const REPORT_LENGTH = 256;
/** Meter of reports from ports without one of their own. */
export const OTHER_METER = 0xff00;
