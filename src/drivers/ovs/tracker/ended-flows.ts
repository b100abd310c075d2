/** Which connections ended between two dumps: the switch tells nobody. Pure. */
import { PACKED_FLOW as AT, type EndedFlow } from '../../../native/binding.js';
import { isOver } from './tcp-state.js';
import type { TrackerFlows } from './tracker-flows.js';

/**
 * Connections whose label holds one of the ids and that are over now. A TCP connection is over when both ends have closed it or one has
 * reset it, though the tracker keeps it a while longer; anything else when the tracker has it no more. Each is told once.
 *
 * Not seen: a connection whose tuple another one took between the dumps. What is over already in the first dump of all ended before
 * anybody watched.
 */
export function endedBetween(before: TrackerFlows, after: TrackerFlows, ids: ReadonlySet<number>): EndedFlow[] {
  if (ids.size === 0) return [];
  const ended: EndedFlow[] = [];
  /** Of what stood in the dump before: true while it was not over. */
  const known = new Map<number, boolean>();
  for (let index = 0; index < before.length; index += 1) {
    if (before.names(index, ids)) known.set(before.key(index), !isOver(before.word(index, AT.tcpState)));
  }
  for (let index = 0; index < after.length; index += 1) {
    const wasAlive = known.get(after.key(index));
    known.delete(after.key(index));
    if (!after.names(index, ids) || !isOver(after.word(index, AT.tcpState)) || wasAlive === false) continue;
    ended.push(endOf(after, index));
  }
  for (let index = 0; known.size > 0 && index < before.length; index += 1) {
    if (known.get(before.key(index)) !== true) continue;
    known.delete(before.key(index));
    ended.push(endOf(before, index));
  }
  return ended;
}

function endOf(flows: TrackerFlows, index: number): EndedFlow {
  const { ruleIdOut, ruleIdIn, protocol, source, destination, sourcePort, destinationPort, tcpState, packets, bytes } = flows.record(index);
  return { ruleIdOut, ruleIdIn, protocol, source, destination, sourcePort, destinationPort, tcpState, packets, bytes };
}
