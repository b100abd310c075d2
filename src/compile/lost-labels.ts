/** Which rules' connections must be judged again when one target follows another. */
import { losses } from './losses.js';
import type { Target } from './target.js';

/**
 * Labels that decided some packet before and do not decide it any more: those that lost something inside their table, and all of a
 * table that a filter had and has no more. May name too many, never too few; also labels that keep no connections.
 */
export function lostLabels(before: Target, after: Target): Set<number> {
  const lost = new Set<number>();
  const loseAll = (key: string | undefined): void => {
    for (const id of key === undefined ? [] : (before.tables.get(key)?.labels.keys() ?? [])) lost.add(id);
  };
  for (const [key, compiled] of before.tables) {
    const now = after.tables.get(key);
    if (now === undefined) loseAll(key);
    else for (const id of losses(compiled, now)) lost.add(id);
  }
  for (const [name, filter] of before.filters) {
    const now = after.filters.get(name);
    if (now !== undefined && now.table !== filter.table) loseAll(filter.table);
  }
  return lost;
}
