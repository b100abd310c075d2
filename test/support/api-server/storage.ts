/**
 * What the API server keeps: objects with every version of them since the last compaction, and one revision that counts all changes, as
 * etcd has it. Lists at a revision, events after a revision.
 */
export interface StoredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>>; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** `text` undefined: deleted. */
interface Version { readonly revision: number; readonly text: string | undefined }

export interface StorageEvent {
  readonly revision: number;
  readonly resource: string;
  readonly key: string;
  /** The version before; undefined when it was created. */
  readonly before: StoredObject | undefined;
  /** The version now; of a deleted object its last one, with the deletion's revision. */
  readonly object: StoredObject;
  readonly deleted: boolean;
  readonly text: string;
}

export class Storage {
  revision = 1_000;
  /** Older revisions are not kept. */
  compacted = 0;
  private resources = new Map<string, Map<string, Version[]>>();
  private sorted = new Map<string, string[]>();
  private events: StorageEvent[] = [];
  private readonly listeners = new Set<(event: StorageEvent) => void>();
  private uids = 0;

  onEvent(listener: (event: StorageEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get(resource: string, key: string): StoredObject | undefined {
    const text = this.resources.get(resource)?.get(key)?.at(-1)?.text;
    return text === undefined ? undefined : (JSON.parse(text) as StoredObject);
  }

  /** Creates or replaces; the server's part of the metadata is filled in. */
  put(resource: string, key: string, object: StoredObject): StoredObject {
    const before = this.get(resource, key);
    const revision = ++this.revision;
    const meta = before?.metadata;
    const generation = before === undefined ? 1 : Number(meta?.['generation']) + Number(JSON.stringify(before['spec']) !== JSON.stringify(object['spec']));
    const stored: StoredObject = {
      ...object,
      metadata: {
        ...object.metadata, uid: meta?.['uid'] ?? `00000000-0000-0000-0000-${String(++this.uids).padStart(12, '0')}`,
        creationTimestamp: meta?.['creationTimestamp'] ?? new Date().toISOString(), generation, resourceVersion: String(revision),
      },
    };
    this.record(resource, key, { revision, resource, key, before, object: stored, deleted: false, text: JSON.stringify(stored) });
    return stored;
  }

  delete(resource: string, key: string): StoredObject | undefined {
    const before = this.get(resource, key);
    if (before === undefined) return undefined;
    const revision = ++this.revision;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(revision) } };
    this.record(resource, key, { revision, resource, key, before, object, deleted: true, text: JSON.stringify(object) });
    return object;
  }

  /** Keys (sorted) and texts as they were at the revision. */
  *at(resource: string, revision: number, after: string): Generator<readonly [string, string]> {
    const objects = this.resources.get(resource) ?? new Map<string, Version[]>();
    let keys = this.sorted.get(resource);
    if (keys === undefined) {
      keys = [...objects.keys()].sort();
      this.sorted.set(resource, keys);
    }
    let first = 0;
    for (let last = keys.length; first < last;) {
      const middle = (first + last) >> 1;
      if ((keys[middle] ?? '') <= after && after !== '') first = middle + 1;
      else last = middle;
    }
    for (let index = first; index < keys.length; index++) {
      const key = keys[index] ?? '';
      const version = objects.get(key)?.findLast((each) => each.revision <= revision);
      if (version?.text !== undefined) yield [key, version.text];
    }
  }

  /** Undefined: some of them are not kept any more. */
  eventsAfter(resource: string, revision: number): StorageEvent[] | undefined {
    return revision < this.compacted ? undefined : this.events.filter((event) => event.resource === resource && event.revision > revision);
  }

  /** Forgets everything before now. */
  compact(): void {
    this.compacted = this.revision;
    this.events = [];
    for (const objects of this.resources.values()) {
      for (const [key, versions] of objects) {
        const last = versions.at(-1);
        if (last?.text === undefined) objects.delete(key);
        else objects.set(key, [last]);
      }
    }
    this.sorted = new Map();
  }

  backup(): unknown {
    return structuredClone({ revision: this.revision, resources: this.resources });
  }

  /** As etcd after its backup was restored: an older revision, and no history. */
  restore(backup: unknown): void {
    const { revision, resources } = structuredClone(backup) as { revision: number; resources: Map<string, Map<string, Version[]>> };
    this.revision = revision;
    this.resources = resources;
    this.compact();
  }

  /** An event of an earlier run, in its turn. */
  replay({ revision, resource, key, text, deleted }: Pick<StorageEvent, 'revision' | 'resource' | 'key' | 'text' | 'deleted'>): void {
    const object = JSON.parse(text) as StoredObject;
    this.revision = revision;
    this.uids = Math.max(this.uids, Number(String(object.metadata['uid']).slice(-12)));
    this.record(resource, key, { revision, resource, key, before: this.get(resource, key), object, deleted, text });
  }

  /** All objects of a resource go without a trace, as those of a definition that is removed. */
  drop(resource: string): void {
    this.resources.delete(resource);
    this.sorted.delete(resource);
  }

  private record(resource: string, key: string, event: StorageEvent): void {
    let objects = this.resources.get(resource);
    if (objects === undefined) this.resources.set(resource, (objects = new Map<string, Version[]>()));
    const versions = objects.get(key);
    if (versions === undefined) {
      objects.set(key, [{ revision: event.revision, text: event.text }]);
      this.sorted.delete(resource);
    } else versions.push({ revision: event.revision, text: event.deleted ? undefined : event.text });
    this.events.push(event);
    for (const listener of this.listeners) listener(event);
  }
}
