/** Source port classes: ports that no rule's source port list tells apart. Only tables with source-port rules have them. */
import type { PortRange } from '../model/rule.js';
import { hash32 } from '../model/text-hash.js';

export interface SourcePortClasses {
  /** Interval i covers starts[i] .. starts[i+1]-1; class 0 = in no list. */
  readonly starts: readonly number[];
  readonly classes: readonly number[];
  /** Class -> indexes of the lists its ports are in. */
  readonly members: ReadonlyMap<number, readonly number[]>;
}

/** Undefined when there are no lists. Class numbers (1..2^20-1) are content hashes. */
export function sourcePortClasses(lists: readonly (readonly PortRange[])[]): SourcePortClasses | undefined {
  if (lists.length === 0) return undefined;
  const bounds = new Set<number>([0]);
  for (const list of lists) for (const { first, last } of list) bounds.add(first).add(last + 1);
  const starts = [...bounds].filter((start) => start <= 0xffff).sort((a, b) => a - b);
  const members = new Map<number, readonly number[]>();
  const known = new Map<string, number>();
  const classes = starts.map((port) => {
    const inside = lists.flatMap((list, index) => (list.some(({ first, last }) => first <= port && port <= last) ? [index] : []));
    if (inside.length === 0) return 0;
    const key = inside.join();
    const found = known.get(key);
    if (found !== undefined) return found;
    const text = inside.map((index) => JSON.stringify(lists[index])).sort().join();
    let id = hash32(text) & 0xfffff;
    while (id === 0 || members.has(id)) id = (id + 1) & 0xfffff;
    known.set(key, id);
    members.set(id, inside);
    return id;
  });
  return { starts, classes, members };
}

/** Class of one port. */
export function sourcePortClass(classes: SourcePortClasses, port: number): number {
  let found = 0;
  classes.starts.forEach((start, index) => {
    if (start <= port) found = classes.classes[index] ?? 0;
  });
  return found;
}
