/**
 * The objects of a source that changes all the time: one map, changed in place, and for each published revision a view of it that knows
 * which keys changed since an earlier one. A change costs what changed, however many objects there are.
 */
import type { DesiredObject } from '../model/objects.js';

/** Keys remembered; who asks about something older compares everything. */
const LOG_KEYS = 200_000;

/**
 * All objects as they are now. A new one for each published change, so that identity tells of changes; an older view shows what is now, too.
 */
export class ObjectView implements ReadonlyMap<string, DesiredObject> {
  constructor(private readonly store: ObjectStore, private readonly objects: ReadonlyMap<string, DesiredObject>, readonly revision: number) {}

  /** Keys that changed between the view and this one, possibly more than once; undefined: that cannot be told. */
  changedSince(earlier: ReadonlyMap<string, DesiredObject>): Iterable<string> | undefined {
    return earlier instanceof ObjectView && earlier.store === this.store ? this.store.changedAfter(earlier.revision) : undefined;
  }

  get size(): number { return this.objects.size; }
  get(key: string): DesiredObject | undefined { return this.objects.get(key); }
  has(key: string): boolean { return this.objects.has(key); }
  keys(): MapIterator<string> { return this.objects.keys(); }
  values(): MapIterator<DesiredObject> { return this.objects.values(); }
  entries(): MapIterator<[string, DesiredObject]> { return this.objects.entries(); }
  forEach(action: (value: DesiredObject, key: string, map: ReadonlyMap<string, DesiredObject>) => void): void {
    for (const [key, object] of this.objects) action(object, key, this);
  }
  [Symbol.iterator](): MapIterator<[string, DesiredObject]> { return this.objects.entries(); }
}

export class ObjectStore {
  private readonly objects = new Map<string, DesiredObject>();
  private readonly log: { readonly revision: number; readonly keys: readonly string[] }[] = [];
  private logged = 0;
  /** Everything after this revision is in the log. */
  private completeAfter = 0;
  private changed = new Set<string>();

  get size(): number { return this.objects.size; }
  get(key: string): DesiredObject | undefined { return this.objects.get(key); }
  keys(): MapIterator<string> { return this.objects.keys(); }
  entries(): MapIterator<[string, DesiredObject]> { return this.objects.entries(); }
  /** Something changed since the last publish(). */
  get dirty(): boolean { return this.changed.size > 0; }

  set(key: string, object: DesiredObject): void {
    if (this.objects.get(key) === object) return;
    this.objects.set(key, object);
    this.changed.add(key);
  }

  delete(key: string): void {
    if (this.objects.delete(key)) this.changed.add(key);
  }

  /** What changed since the last call becomes revision `revision`, which must be larger than the one before. */
  publish(revision: number): ObjectView {
    const keys = [...this.changed];
    this.changed = new Set();
    this.log.push({ revision, keys });
    this.logged += keys.length;
    while (this.logged > LOG_KEYS || this.log.length > LOG_KEYS) {
      const oldest = this.log.shift();
      if (oldest === undefined) break;
      this.logged -= oldest.keys.length;
      this.completeAfter = oldest.revision;
    }
    return new ObjectView(this, this.objects, revision);
  }

  changedAfter(revision: number): Iterable<string> | undefined {
    if (revision < this.completeAfter) return undefined;
    const after: (readonly string[])[] = [];
    for (let index = this.log.length - 1; index >= 0; index--) {
      const entry = this.log[index];
      if (entry === undefined || entry.revision <= revision) break;
      after.push(entry.keys);
    }
    return after.flat();
  }
}
