/**
 * Workloads that the agents of other hosts publish, as a source behind all others: groups find them by their tags. Of a workload that two
 * hosts publish (it moves), the newer one counts. What other sources hold of the same name stands; nobody is told.
 */
import type { SourceTrouble, Source, SourceError, SourceSnapshot } from '../source.js';
import { ObjectStore } from '../object-store.js';
import type { WorkloadPlace } from './keys.js';
import { shown } from './object-table.js';
import type { Good, Verdict } from './values.js';

export interface WorkloadChange {
  readonly key: string;
  readonly place: WorkloadPlace;
  readonly modRevision: number;
  /** undefined: the key is gone. */
  readonly verdict: Verdict | undefined;
}
interface Entry { readonly object: string; readonly modRevision: number; readonly good: Extract<Good, { form: 'object' }> | undefined }

/** What it needs of the source whose keys these are. */
export interface Upstream {
  readonly synced: boolean;
  readonly ready: Promise<void>;
}

const MAX_ERRORS = 100;

export class OtherWorkloads implements Source {
  readonly type = 'etcd';
  readonly yields = true as const;
  readonly #entries = new Map<string, Entry>();
  readonly #claims = new Map<string, Set<string>>();
  readonly #store = new ObjectStore();
  readonly #manifests = new Map<string, unknown>();
  readonly #refused = new Map<string, SourceError>();
  readonly #listeners = new Set<() => void>();
  #snapshot: SourceSnapshot = { objects: new Map(), manifests: this.#manifests, errors: [], revision: 0 };

  /** `publishing`: what is wrong with what this host publishes itself. */
  constructor(private readonly upstream: Upstream, private readonly publishing: () => readonly SourceTrouble[] = () => []) {}

  /** Resolves with the start of the source that it belongs to. */
  async start(_signal: AbortSignal): Promise<void> {
    await this.upstream.ready;
  }

  async stop(): Promise<void> {
    return Promise.resolve();
  }

  get synced(): boolean {
    return this.upstream.synced;
  }

  get troubles(): readonly SourceTrouble[] {
    return this.publishing();
  }

  snapshot(): SourceSnapshot {
    return this.#snapshot;
  }

  /** The source that it belongs to reads these keys too. */
  async sync(_signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Takes changes in and publishes what they make. */
  apply(changes: readonly WorkloadChange[]): void {
    const objects = new Set<string>();
    const refusedBefore = this.#refused.size;
    for (const { key, place, modRevision, verdict } of changes) {
      this.#refused.delete(key);
      if (verdict === undefined) this.#entries.delete(key);
      else {
        const good = 'good' in verdict ? verdict.good : this.#entries.get(key)?.good;
        if ('refused' in verdict) this.#refused.set(key, { object: shown(key), ...verdict.refused });
        this.#entries.set(key, { object: place.object, modRevision, good: good?.form === 'object' ? good : undefined });
      }
      const keys = this.#claims.get(place.object) ?? new Set<string>();
      if (verdict === undefined) keys.delete(key);
      else keys.add(key);
      if (keys.size > 0) this.#claims.set(place.object, keys);
      else this.#claims.delete(place.object);
      objects.add(place.object);
    }
    for (const object of objects) this.#resolve(object);
    if (!this.#store.dirty && this.#refused.size === refusedBefore && this.#refused.size === 0 && this.#snapshot.revision > 0) return;
    const revision = this.#snapshot.revision + 1;
    this.#snapshot = { objects: this.#store.publish(revision), manifests: this.#manifests, errors: [...this.#refused.values()].slice(0, MAX_ERRORS), revision };
    for (const listener of this.#listeners) listener();
  }

  #resolve(object: string): void {
    let newest: Entry | undefined;
    for (const key of this.#claims.get(object) ?? []) {
      const entry = this.#entries.get(key);
      if (entry?.good !== undefined && entry.modRevision > (newest?.modRevision ?? -1)) newest = entry;
    }
    if (newest?.good === undefined) {
      this.#store.delete(object);
      this.#manifests.delete(object);
    } else {
      this.#manifests.set(object, newest.good.manifest);
      this.#store.set(object, newest.good.object);
    }
  }
}
