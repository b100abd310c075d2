/**
 * Which node an address belongs to: rendezvous hashing (Thaler and Ravishankar 1998). Every node gives the address a score, the highest
 * has it. So every host that knows the same nodes gives the same answer, a node that goes moves its own addresses only, and one that comes
 * takes only what becomes its own.
 */
import { hash32 } from '../../model/text-hash.js';
import { compareText } from '../world.js';

/** Undefined when there is no node. The order of `nodes` does not matter. */
export function ownerOf(address: string, nodes: Iterable<string>): string | undefined {
  let best: { readonly node: string; readonly score: number } | undefined;
  for (const node of nodes) {
    const score = hash32(address, hash32(node));
    if (best === undefined || score > best.score || (score === best.score && compareText(node, best.node) < 0)) best = { node, score };
  }
  return best?.node;
}
