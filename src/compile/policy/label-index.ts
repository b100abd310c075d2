/**
 * Label selectors, found by the labels that they match: a lookup costs the selectors that share a label with the thing asked
 * for, not all there are. Selectors without any positive requirement are tested every time.
 */
import type { LabelSelector } from '../../model/metadata.js';
import { selectorMatches, type Labels } from '../../model/selector.js';

interface Entry<T> {
  readonly selector: LabelSelector | undefined;
  readonly payload: T;
}

export class LabelIndex<T> {
  /** `key\0value` and `key` -> entries that need it. */
  private readonly byLabel = new Map<string, Set<Entry<T>>>();
  private readonly others = new Set<Entry<T>>();
  private readonly entries = new Map<T, Entry<T>>();

  get size(): number {
    return this.entries.size;
  }

  /** `selector` undefined = matches all. A payload may be added once; again replaces. */
  add(selector: LabelSelector | undefined, payload: T): void {
    this.delete(payload);
    const entry: Entry<T> = { selector, payload };
    this.entries.set(payload, entry);
    const keys = bucketsOf(selector);
    if (keys === undefined) this.others.add(entry);
    else for (const key of keys) getOrAdd(this.byLabel, key, () => new Set<Entry<T>>()).add(entry);
  }

  delete(payload: T): boolean {
    const entry = this.entries.get(payload);
    if (entry === undefined) return false;
    this.entries.delete(payload);
    this.others.delete(entry);
    for (const key of bucketsOf(entry.selector) ?? []) {
      const bucket = this.byLabel.get(key);
      bucket?.delete(entry);
      if (bucket?.size === 0) this.byLabel.delete(key);
    }
    return true;
  }

  /** Calls `found` once for each payload whose selector matches. */
  match(labels: Labels, found: (payload: T) => void): void {
    for (const entry of this.others) test(entry, labels, found);
    if (this.byLabel.size === 0) return;
    for (const key in labels) {
      if (!Object.hasOwn(labels, key)) continue;
      // An entry is in the buckets of one requirement only, so in at most one of the buckets of these labels.
      for (const entry of this.byLabel.get(`${key}\0${labels[key] ?? ''}`) ?? NONE) test(entry, labels, found);
      for (const entry of this.byLabel.get(key) ?? NONE) test(entry, labels, found);
    }
  }

  payloads(): IterableIterator<T> {
    return this.entries.keys();
  }
}

const NONE: ReadonlySet<never> = new Set();

function test<T>(entry: Entry<T>, labels: Labels, found: (payload: T) => void): void {
  if (entry.selector === undefined || selectorMatches(entry.selector, labels)) found(entry.payload);
}

/** The buckets of one requirement that any match must meet; undefined when there is none. */
function bucketsOf(selector: LabelSelector | undefined): readonly string[] | undefined {
  if (selector === undefined) return undefined;
  for (const [key, value] of Object.entries(selector.matchLabels)) return [`${key}\0${value}`];
  const oneOf = selector.matchExpressions.find(({ operator }) => operator === 'In');
  if (oneOf !== undefined) return [...new Set(oneOf.values)].map((value) => `${oneOf.key}\0${value}`);
  const exists = selector.matchExpressions.find(({ operator }) => operator === 'Exists');
  return exists === undefined ? undefined : [exists.key];
}

export function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const fresh = make();
  map.set(key, fresh);
  return fresh;
}
