/** Moves of addresses in a map, laid over it in place: see set-change.ts. */
import type { HostMove } from './compiled.js';

export function applyMoves<K>(map: Map<K, number>, moves: readonly HostMove<K>[]): void {
  for (const { address, to } of moves) {
    if (to === 0) map.delete(address);
    else map.set(address, to);
  }
}

/** True when a map that was empty gets elements, or one that had some is empty: the kernel has a set only while it has elements. */
export function comesOrGoes(map: ReadonlyMap<unknown, number>, moves: readonly HostMove<unknown>[]): boolean {
  const size = moves.reduce((sum, { from, to }) => sum + (from === 0 ? 1 : 0) - (to === 0 ? 1 : 0), map.size);
  return (size === 0) !== (map.size === 0);
}
