/**
 * Copies: a packet's copy is another packet, so nothing that becomes of it (a meter that drops it) touches the original. A device gets one copy of a packet: its
 * requests are asked in turn (model/copying.ts), each by a flow of table COPY, which the scratch register leads to by what is left to ask.
 */
import { inTurn, takesAll, type CopyRequest } from '../../../model/copying.js';
import { hash32 } from '../../../model/text-hash.js';
import type { Action } from '../openflow/actions.js';
import { subfield } from '../openflow/oxm.js';
import { register, resubmit, set, type Flow, type MatchValues, type Step } from './flow.js';
import { CATEGORY, cookie, REGISTER, TABLE } from './stages.js';
import { matchVariants } from './traffic-match.js';

export interface PortCopy extends CopyRequest {
  readonly port: number;
  /** Packets that rules refuse are not for it: it is asked behind the rules. */
  readonly behindRules?: boolean;
  /** Meters of its limit. */
  readonly meters?: readonly number[];
}

/** Before the rules, or behind them. */
export type CopyStage = 'before' | 'behind';

/** A request, and whether it has been asked before: then the packet is its no more, copied or capped. */
interface Turn {
  readonly request: PortCopy;
  readonly asked: boolean;
}

/** What makes the copies that are due at this stage; none: nothing. Copies to the port itself would never end. */
export function copySteps(requests: readonly PortCopy[], own: number, stage: CopyStage): Step[] {
  return turnsOf(requests, own, stage).flatMap((turns): Step[] => {
    const steps = ask(turns);
    // What is drawn is forgotten with the clone.
    return turns.some(({ request: { sampling } }) => sampling !== undefined) ? [{ type: 'clone', actions: steps }] : steps;
  });
}

/** The flows of COPY that they need, for either stage. Filters that copy alike share them. */
export function copyFlows(requests: readonly PortCopy[], own: number): Flow[] {
  return (['before', 'behind'] as const).flatMap((stage) => turnsOf(requests, own, stage)).flatMap((turns) => turns.flatMap((_, index) => turnFlows(turns.slice(index))));
}

function turnsOf(requests: readonly PortCopy[], own: number, stage: CopyStage): Turn[][] {
  const devices = new Map<number, PortCopy[]>();
  for (const request of requests) if (request.port !== own) devices.set(request.port, [...(devices.get(request.port) ?? []), request]);
  return [...devices.values()].flatMap((all): Turn[][] => {
    const before = inTurn(all.filter(({ behindRules }) => behindRules !== true));
    const behind = inTurn(all.filter(({ behindRules }) => behindRules === true));
    if (stage === 'before') return before.length === 0 ? [] : [before.map((request) => ({ request, asked: false }))];
    if (behind.length === 0 || before.some((request) => takesAll(request))) return [];
    return [[...before.map((request) => ({ request, asked: true })), ...behind.map((request) => ({ request, asked: false }))]];
  });
}

function ask(turns: readonly Turn[]): [Extract<Step, { type: 'set_field' }>, Extract<Step, { type: 'resubmit' }>] | [] {
  if (turns.length === 0) return [];
  return [{ type: 'set_field', field: register(REGISTER.scratch), value: turnId(turns) }, { type: 'resubmit', table: TABLE.COPY }];
}

/** Of the first of these; what it does not take is asked of the rest. */
function turnFlows(turns: readonly Turn[]): Flow[] {
  const [turn, ...rest] = turns;
  if (turn === undefined) return [];
  const { request: { control, port, match, sampling, meters = [] }, asked } = turn;
  const id = { [register(REGISTER.scratch)]: turnId(turns) };
  const flow = (priority: number, matched: MatchValues, object: number, ...actions: Step[]): Flow => ({
    table: TABLE.COPY, priority, cookie: cookie(CATEGORY.diversions, object), match: matched, actions,
  });
  // A meter stands in the clone itself: the switch looks no further to see whether a clone needs a packet of its own, and a meter drops what it is of.
  const output: Action[] = [...meters.map((meter): Action => ({ type: 'meter', meter })), { type: 'output', port }];
  const take = (priority: number, matched: MatchValues): Flow => (asked
    ? flow(priority, matched, NOBODY)
    : flow(priority, matched, diversionObject(control), ...(meters.length === 0 ? output : [{ type: 'clone', actions: output } as const])));
  const others = rest.length === 0 ? [] : [flow(40, id, NOBODY, ...ask(rest))];
  const variants = matchVariants(match);
  if (sampling === undefined) return [...variants.map((variant) => take(50, { ...id, ...variant })), ...others];
  const drawn = { [register(REGISTER.scratch)]: hash32(JSON.stringify(['drawn', turns])) >>> 0 };
  const draw: Step[] = [
    { type: 'multipath', fields: 'symmetric_l3l4+udp', modulus: sampling, target: subfield(register(SAMPLE), 0, 17) },
    set(REGISTER.scratch, drawn[register(REGISTER.scratch)] ?? 0), resubmit(TABLE.COPY),
  ];
  // What is no IP is of no connection. Fragments do not say which they are of, but the first: all are copied, so that no connection has holes.
  const ofIp = variants.flatMap((variant) => (variant.eth_type === undefined ? [0x0800, 0x86dd].map((type): MatchValues => ({ ...variant, eth_type: type })) : [variant]));
  return [
    ...ofIp.flatMap((variant) => [take(60, { ...id, ...variant, ip_frag: { value: 1, mask: 1 } }), flow(50, { ...id, ...variant }, NOBODY, ...draw)]),
    take(50, { ...drawn, [register(SAMPLE)]: 0 }),
    ...(rest.length === 0 ? [] : [flow(40, drawn, NOBODY, ...ask(rest))]),
    ...others,
  ];
}

function turnId(turns: readonly Turn[]): number {
  return hash32(JSON.stringify(turns)) >>> 0;
}

/** Holds the number that was drawn, within the clone that asks. */
const SAMPLE = REGISTER.profile;

/** In cookies of flows that take nothing. */
const NOBODY = 0;

/** Stands in cookies for a TrafficControl: what its flows took is counted by it. */
export function diversionObject(control: string): number {
  const number = hash32(control) >>> 0;
  return number === NOBODY ? 1 : number;
}
