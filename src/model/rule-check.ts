/**
 * What holds between the parts of a rule and between the rules of a table, whatever text they came from. A problem names
 * the part ("ports", "source.addresses[2]") and the reason; undefined means fine.
 */
import type { Layer2Rule, PortRange, Rule } from './rule.js';
import { ICMP, IPV6_ICMP, hasPorts, isIcmp, protocolToText } from './protocols.js';

export interface RuleProblem {
  readonly path: string;
  readonly message: string;
}

export function ruleProblem(rule: Rule): RuleProblem | undefined {
  const protocol = protocolToText(rule.protocol);
  for (const path of ['ports', 'sourcePorts'] as const) {
    if (rule[path].length > 0 && !hasPorts(rule.protocol)) {
      return { path, message: `protocol ${protocol} has no ports; use tcp, udp, sctp, dccp or udplite, or leave the ports out` };
    }
  }
  if (rule.icmp !== undefined && !isIcmp(rule.protocol)) {
    return { path: 'icmp', message: `protocol ${protocol} has no ICMP type; use icmp or ipv6-icmp` };
  }
  if ((rule.protocol === ICMP && rule.family === 6) || (rule.protocol === IPV6_ICMP && rule.family === 4)) {
    return { path: 'family', message: `protocol ${protocol} does not exist in family ${rule.family === 4 ? 'inet' : 'inet6'}` };
  }
  return undefined;
}

/** The first two lines that share an id and may not. `first` and `second` are indexes into `rules`. */
export interface IdProblem {
  readonly first: number;
  readonly second: number;
  readonly message: string;
}

type Identified = Pick<Rule | Layer2Rule, 'id' | 'action' | 'log' | 'tag' | 'direction'> & { readonly stateless?: boolean };

/** NSX prints one rule as several adjacent lines; they share the id and differ only in what they match. */
export function idProblem(rules: readonly Identified[]): IdProblem | undefined {
  const lastLine = new Map<number, number>();
  for (const [second, rule] of rules.entries()) {
    const first = lastLine.get(rule.id);
    lastLine.set(rule.id, second);
    const earlier = first === undefined ? undefined : rules[first];
    if (first === undefined || earlier === undefined) continue;
    if (first !== second - 1) {
      return { first, second, message: `rule id ${rule.id} is used twice; only adjacent lines of one rule may share an id` };
    }
    const differing = (['action', 'log', 'tag', 'direction', 'stateless'] as const).find((key) => earlier[key] !== rule[key]);
    if (differing !== undefined) return { first, second, message: `two lines share the rule id ${rule.id} but differ in ${differing}` };
  }
  return undefined;
}

/** A single port "22" or a range "8000-8100"; undefined for other text or a range that ends before it begins. */
export function portRangeFromText(text: string): PortRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first <= last && last <= 65_535 ? { first, last } : undefined;
}

export function portRangeToText(range: PortRange): string {
  return range.first === range.last ? String(range.first) : `${range.first}-${range.last}`;
}

/** Sorted, with overlapping ranges merged; ranges that only touch stay apart, as they were written. */
export function normalizePorts(ranges: readonly PortRange[]): PortRange[] {
  const sorted = ranges.toSorted((a, b) => a.first - b.first || a.last - b.last);
  const out: PortRange[] = [];
  for (const range of sorted) {
    const previous = out.at(-1);
    if (previous !== undefined && range.first <= previous.last) out[out.length - 1] = { first: previous.first, last: Math.max(previous.last, range.last) };
    else out.push(range);
  }
  return out;
}
