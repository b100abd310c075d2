/** The few objects of a source that discoveries look at, kept up to date at the cost of what changed: a cluster has a hundred thousand others. */
import type { DesiredObject } from '../model/objects.js';
import { ObjectView } from '../sources/object-store.js';
import type { Source } from '../sources/source.js';

export class RelevantObjects {
  private seen: ReadonlyMap<string, DesiredObject> = new Map();
  private current: ReadonlyMap<string, DesiredObject> = new Map();

  constructor(private readonly source: Pick<Source, 'snapshot'>, private readonly isRelevant: (object: DesiredObject) => boolean) {}

  /** The same map as long as nothing in it changed. */
  get objects(): ReadonlyMap<string, DesiredObject> {
    const now = this.source.snapshot().objects;
    if (now === this.seen) return this.current;
    let next: Map<string, DesiredObject> | undefined;
    // An earlier view shows what is now, too: where its changes are not known any more, everything is looked at, and all that is held.
    const changed = now instanceof ObjectView ? now.changedSince(this.seen) : undefined;
    for (const key of changed ?? [...this.current.keys(), ...now.keys()]) {
      const object = now.get(key);
      const wanted = object !== undefined && this.isRelevant(object) ? object : undefined;
      if (this.current.get(key) === wanted) continue;
      next ??= new Map(this.current);
      if (wanted === undefined) next.delete(key);
      else next.set(key, wanted);
      // Keys may come more than once.
      this.current = next;
    }
    this.seen = now;
    return this.current;
  }
}

/** Of the node: whose interfaces are whose, which machines there are, and which pods are here. */
export function isOfDiscovery(node: string): (object: DesiredObject) => boolean {
  return (object) => object.kind === 'Attachment' || object.kind === 'VirtualMachine' || (object.kind === 'Pod' && object.nodeName === node);
}
