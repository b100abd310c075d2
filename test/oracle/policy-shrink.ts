/** Makes a failing set of objects small: objects, then rules, peers and ports go as long as it still fails. */
import type { DesiredObject } from '../../src/model/objects.js';
import { isPolicy } from './policy-world.js';

/** Lists that may lose elements, wherever they are in an object; an empty list of some of them would mean something else. */
const LISTS = ['ingress', 'egress', 'rules', 'criteria', 'childGroups', 'groups', 'ipBlocks', 'except', 'peers', 'ports', 'services', 'protocols', 'sources', 'destinations', 'appliedTo', 'matchExpressions', 'workloads', 'addresses'];

export function shrinkObjects(objects: readonly DesiredObject[], fails: (smaller: readonly DesiredObject[]) => boolean): readonly DesiredObject[] {
  const search = shrinking(objects);
  let step = search.next();
  while (step.done !== true) {
    let failed: boolean;
    try {
      failed = fails(step.value);
    } catch {
      failed = false; // no longer a world that can be asked about
    }
    step = search.next(failed);
  }
  return step.value;
}

/** The same where looking takes long: at most `tries` looks. */
export async function shrinkObjectsAsync(
  objects: readonly DesiredObject[], fails: (smaller: readonly DesiredObject[]) => Promise<boolean>, tries: number,
): Promise<readonly DesiredObject[]> {
  const search = shrinking(objects);
  let step = search.next();
  for (let left = tries; step.done !== true; left -= 1) step = search.next(left > 0 && (await fails(step.value).catch(() => false)));
  return step.value;
}

/** Yields smaller lists and is told which of them fail; returns the smallest that does. Halves, quarters, ... single objects, then their parts. */
function* shrinking(objects: readonly DesiredObject[]): Generator<readonly DesiredObject[], readonly DesiredObject[], boolean> {
  let best = objects;
  for (let size = Math.ceil(objects.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < best.length; ) {
      const smaller = best.toSpliced(start, size);
      if (yield smaller) best = smaller;
      else start += size;
    }
  }
  for (let again = true; again; ) {
    again = false;
    for (const object of best) {
      for (const part of smallerOnes(object)) {
        const smaller = best.map((one) => (one === object ? part : one));
        if (!(yield smaller)) continue;
        best = smaller;
        again = true;
        break;
      }
      if (again) break;
    }
  }
  return best;
}

/** The object with one element less, in one of its lists. */
function smallerOnes<T>(value: T): T[] {
  const found: T[] = [];
  const visit = (inner: unknown, rebuild: (replaced: unknown) => T): void => {
    if (Array.isArray(inner)) {
      inner.forEach((element: unknown, index) => visit(element, (replaced) => rebuild(inner.with(index, replaced))));
    } else if (typeof inner === 'object' && inner !== null) {
      for (const [key, member] of Object.entries(inner)) {
        const put = (replaced: unknown): T => rebuild({ ...inner, [key]: replaced });
        if (Array.isArray(member) && LISTS.includes(key)) member.forEach((_, index) => found.push(put(member.toSpliced(index, 1))));
        visit(member, put);
      }
    }
  };
  visit(value, (replaced) => replaced as T);
  return found;
}

/** Policies and groups first, for failure messages. */
export function describeObjects(objects: readonly DesiredObject[]): string {
  const ordered = [...objects.filter(isPolicy), ...objects.filter((object) => !isPolicy(object))];
  return ordered.map((object) => JSON.stringify(object)).join('\n');
}
