/**
 * Traffic that goes through a device which inspects it: sent to one device behind the layer 2 rules, it comes back by another (return-paths.ts) as if it had
 * not been away. What the workload sends (`out`) goes round before the rules of table `inet dfw`, what it gets (`in`) behind them.
 */
import type { TrafficMatch } from '../../model/objects.js';
import { accept, byte, counter, drop, equal, forward, host32, immediate, mask, meta, notEqual, payload, type Expression } from './expressions.js';
import { rule, shortName, type RuleImage } from './image.js';
import { META, PAYLOAD } from './kernel.js';
import { trafficMatches } from './traffic-match.js';

export interface RedirectTarget {
  readonly name: string;
  /** Interface index of the device that gets the traffic. */
  readonly deviceIndex: number;
  /** Absent: everything. */
  readonly match?: readonly TrafficMatch[];
}

export interface Redirected {
  readonly interface: string;
  readonly interfaceIndex: number;
  /** The workload's. Frames are told apart by it when they come back. */
  readonly mac: string;
}

const SOURCE_OFFSET = 6;

/** Frames that came back: they have been judged here already. For the beginning of a chain. */
export function returnedRule(mark: number, filter: Redirected): RuleImage {
  const bits = host32(mark);
  return rule(`came back, of (${filter.interfaceIndex})`, meta(META.mark, 0), mask(0, bits), equal(0, bits), accept);
}

/** The first that matches. Frames of another source address are dropped: they would come back as somebody else's. */
export function redirectRules(targets: readonly RedirectTarget[], side: 'in' | 'out', mark: number, filter: Redirected): RuleImage[] {
  const address = Uint8Array.from(filter.mac.split(':'), (part) => Number.parseInt(part, 16));
  const load = payload(PAYLOAD.link, side === 'out' ? SOURCE_OFFSET : 0, 6, 0);
  const of = `of ${filter.interface} (${filter.interfaceIndex})`;
  return [returnedRule(mark, filter), ...(side === 'in' ? answerRules(filter) : []), ...targets.flatMap((target) => trafficMatches(target.match).flatMap(({ text, expressions }) => [
    ...(side === 'out' ? [rule(`foreign source ${of}${text}, not ${filter.mac}`, ...expressions, load, notEqual(0, address), counter, drop)] : []),
    rule(`redirect ${shortName(target.name)} ${of} to (${target.deviceIndex})${text}${side === 'in' ? ` for ${filter.mac}` : ''}`, ...expressions, ...(side === 'in' ? [load, equal(0, address)] : []), counter, immediate(0, host32(target.deviceIndex)), forward(0)),
  ]))];
}

/**
 * What an inspecting program of this host answers in the name of the other end (Suricata's action reject): were it to go round, it would be dropped
 * with the rest of its flow. Only what comes from a program's socket, and carries nothing: resets, and errors of ICMP.
 */
function answerRules(filter: Redirected): RuleImage[] {
  const program = [meta(META.skuid, 1), notEqual(1, host32(0xffff_ffff))];
  const reset = [payload(PAYLOAD.transport, TCP_FLAGS, 1, 0), mask(0, byte(TCP_RESET)), notEqual(0, byte(0))];
  const unreachable = (type: number): Expression[] => [payload(PAYLOAD.transport, 0, 1, 0), equal(0, byte(type))];
  return ([['tcp', 6, reset], ['icmp', 1, unreachable(3)], ['icmpv6', 58, unreachable(1)]] as const).map(([name, protocol, match]) =>
    rule(`answer of a program, ${name}, to (${filter.interfaceIndex})`, meta(META.l4proto, 0), equal(0, byte(protocol)), ...match, ...program, counter, accept));
}

/** RFC 9293, section 3.1. */
const TCP_FLAGS = 13;
const TCP_RESET = 4;

export function redirectChain(filter: number, side: 'in' | 'out'): string {
  return `redirect_${filter}_${side}`;
}
