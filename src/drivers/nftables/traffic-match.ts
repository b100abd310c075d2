/** Traffic matches in table `netdev dfw`: alternatives, one rule each. */
import type { TrafficMatch } from '../../model/objects.js';
import { portRangeToText } from '../../model/rule-check.js';
import { protocolToText } from '../../model/protocols.js';
import { atLeast, atMost, byte, equal, meta, payload, type Expression } from './expressions.js';
import { META, PAYLOAD } from './kernel.js';

export interface MatchAlternative {
  /** For comments, which tell rules apart. */
  readonly text: string;
  readonly expressions: readonly Expression[];
}

/** Undefined: one alternative, which is everything. A packet may match several. */
export function trafficMatches(match: readonly TrafficMatch[] | undefined): MatchAlternative[] {
  if (match === undefined) return [{ text: '', expressions: [] }];
  return match.flatMap(({ protocol, ports }): MatchAlternative[] => {
    const name = protocolToText(protocol);
    const mine = [meta(META.l4proto, 0), equal(0, byte(protocol))];
    if (ports.length === 0) return [{ text: ` ${name}`, expressions: mine }];
    return ports.flatMap((range) => (['sport', 'dport'] as const).map((end): MatchAlternative => {
      const { first, last } = range;
      const bounds = first === last ? [equal(0, port(first))] : [atLeast(0, port(first)), atMost(0, port(last))];
      return { text: ` ${name} ${end} ${portRangeToText(range)}`, expressions: [...mine, payload(PAYLOAD.transport, end === 'sport' ? 0 : 2, 2, 0), ...bounds] };
    }));
  });
}

function port(number: number): Uint8Array {
  return Uint8Array.of(number >>> 8, number & 0xff);
}
