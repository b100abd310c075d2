/** Everything known of the cluster: the objects of all resources, their manifests, what was refused; and its journal. No I/O of its own. */
import type { DesiredObject } from '../../model/objects.js';
import { Decoder } from '../manifests/decode.js';
import { ObjectStore } from '../object-store.js';
import type { SourceError, SourceSnapshot } from '../source.js';
import { ManifestView } from './manifest-view.js';
import { ResourceState, type Judgement, type StateContext } from './resource-state.js';
import type { WatchedKind } from './resources.js';
import type { JournalEntry } from './state-journal.js';
import { podManifest, sharedPod } from './trim.js';
import { itemTrimmer, type TrimmedItem } from './trimmed-item.js';
import { ValuePool } from './value-pool.js';

export interface ClusterStateOptions {
  readonly kinds: readonly WatchedKind[];
  /** Empty: all of the cluster. */
  readonly namespaces: readonly string[];
  /** Name of this host: Attachments of others are left out. */
  readonly node: string;
  /** The object or its manifest changed, or it is gone. */
  readonly onChange: (key: string) => void;
  readonly onJudged?: (judgement: Judgement) => void;
}

/** Errors told at once. */
const MAX_ERRORS = 1_000;

export class ClusterState {
  private readonly store = new ObjectStore();
  private readonly manifests = new Map<string, unknown>();
  private readonly refusals = new Map<string, readonly SourceError[]>();
  private readonly manifestView = new ManifestView(this.store, this.manifests);
  private readonly pool = new ValuePool();
  private readonly states = new Map<string, ResourceState>();
  /** By kind: the version that is read. */
  private readonly versions = new Map<string, string>();
  private errorsChanged = false;
  private current: SourceSnapshot = { objects: new Map(), manifests: new Map(), errors: [], revision: 0 };

  constructor(private readonly options: ClusterStateOptions) {
    const decoder = new Decoder();
    const { onChange, onJudged, node } = options;
    const context: StateContext = {
      decoder,
      get: (key) => this.store.get(key),
      share: (object) => (object.kind === 'Pod' ? sharedPod(object, this.pool) : object),
      set: (key, object, manifest) => {
        this.store.set(key, object);
        if (object.kind !== 'Pod') this.manifests.set(key, manifest);
        onChange(key);
      },
      delete: (key) => {
        this.store.delete(key);
        this.manifests.delete(key);
        onChange(key);
      },
      concerns: (object) => object.kind !== 'Attachment' || object.node === undefined || object.node === node,
      refuse: (key, errors) => this.refuse(key, errors),
      ...(onJudged === undefined ? {} : { judged: onJudged }),
    };
    for (const watched of options.kinds) {
      const [newest = ''] = watched.apiVersions;
      this.versions.set(watched.kind, newest);
      for (const namespace of this.scopes(watched)) this.states.set(scopeKey(watched.kind, namespace), new ResourceState(watched, context, this.trimmerOf(watched, newest)));
    }
  }

  /** The parts in which a kind is read: undefined is all of it. */
  scopes(watched: WatchedKind): readonly (string | undefined)[] {
    return watched.namespaced && this.options.namespaces.length > 0 ? this.options.namespaces : [undefined];
  }

  resource(kind: string, namespace: string | undefined): ResourceState | undefined {
    return this.states.get(scopeKey(kind, namespace));
  }

  /** From now on the kind comes in this version. */
  useVersion(watched: WatchedKind, apiVersion: string): void {
    if (this.versions.get(watched.kind) === apiVersion) return;
    this.versions.set(watched.kind, apiVersion);
    for (const namespace of this.scopes(watched)) this.resource(watched.kind, namespace)?.retrim(this.trimmerOf(watched, apiVersion));
  }

  /** From the journal of an earlier run. What is no longer watched, or cannot be decoded any more, is left out. */
  restore({ key, version, manifest }: JournalEntry): boolean {
    const [kind = '', namespace = ''] = key.split('/', 2);
    const state = this.resource(kind, undefined) ?? this.resource(kind, namespace);
    return state?.restore(key, version, manifest) ?? false;
  }

  /** For the journal. */
  stored(key: string): { version: string; manifest: unknown } | undefined {
    const object = this.store.get(key);
    if (object === undefined) return undefined;
    const [kind = '', namespace = ''] = key.split('/', 2);
    const version = (this.resource(kind, undefined) ?? this.resource(kind, namespace))?.version(key) ?? '';
    return { version, manifest: object.kind === 'Pod' ? podManifest(object) : this.manifests.get(key) };
  }

  keys(): Iterable<string> {
    return this.store.keys();
  }

  get(key: string): DesiredObject | undefined {
    return this.store.get(key);
  }

  get size(): number {
    return this.store.size;
  }

  /** Of a kind without namespaces, sorted. */
  names(kind: string): string[] {
    return [...(this.resource(kind, undefined)?.keys() ?? [])].map((key) => key.slice(kind.length + 1)).sort();
  }

  snapshot(): SourceSnapshot {
    return this.current;
  }

  /** Makes a new snapshot where something changed since the last; `always`: also where nothing did. */
  publish(always: boolean): boolean {
    if (!always && !this.store.dirty && !this.errorsChanged) return false;
    const revision = this.current.revision + 1;
    const errors = this.errorsChanged ? this.errors() : this.current.errors;
    const objects = this.store.dirty || this.current.revision === 0 ? this.store.publish(revision) : this.current.objects;
    this.errorsChanged = false;
    this.current = { objects, manifests: this.manifestView, errors, revision };
    return true;
  }

  private errors(): readonly SourceError[] {
    const all = [...this.refusals.values()].flat();
    if (all.length <= MAX_ERRORS) return all;
    return [...all.slice(0, MAX_ERRORS), { object: 'kubernetes', path: '', message: `${all.length - MAX_ERRORS} more errors, not told here` }];
  }

  private refuse(key: string, errors: readonly SourceError[] | undefined): void {
    const before = this.refusals.get(key);
    if (errors === undefined && before === undefined) return;
    if (errors === undefined) this.refusals.delete(key);
    else if (before !== undefined && JSON.stringify(before) === JSON.stringify(errors)) return;
    else this.refusals.set(key, errors);
    this.errorsChanged = true;
  }

  private trimmerOf(watched: WatchedKind, apiVersion: string): (item: unknown) => TrimmedItem | undefined {
    return itemTrimmer(watched, apiVersion, this.pool);
  }
}

function scopeKey(kind: string, namespace: string | undefined): string {
  return `${kind}/${namespace ?? ''}`;
}
