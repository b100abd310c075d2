/**
 * What is known of one resource: decoded objects in the source's store, and which version of each that is. A list is staged until it is
 * complete. An object that cannot be used keeps its last good version, and its refusal is told until it is mended or gone.
 */
import { DEFAULT_NAMESPACE } from '../../model/identity.js';
import type { DesiredObject } from '../../model/objects.js';
import type { Decoder, DecodeProblem } from '../manifests/decode.js';
import type { SourceError } from '../source.js';
import type { ReflectorSink } from './reflector.js';
import { wentBack } from './revisions.js';
import type { WatchedKind } from './resources.js';
import type { Told, TrimmedItem } from './trimmed-item.js';

/** Of all resources together. */
export interface StateContext {
  readonly decoder: Decoder;
  get(key: string): DesiredObject | undefined;
  /** The same object, in less memory. */
  share(object: DesiredObject): DesiredObject;
  /** `manifest`: trimmed; that of a Pod is made when it is asked for. */
  set(key: string, object: DesiredObject, manifest: unknown): void;
  delete(key: string): void;
  /** False: an object of another host, of which nothing is kept. */
  concerns(object: DesiredObject): boolean;
  refuse(key: string, errors: readonly SourceError[] | undefined): void;
  /** What became of an object as it arrived; only of kinds that are ours. */
  judged?(judgement: Judgement): void;
}

/** For the object's status: `problems` empty when it is in order. */
export interface Judgement {
  readonly key: string;
  readonly item: Pick<TrimmedItem, 'name' | 'namespace' | 'version'>;
  readonly told: Told;
  readonly problems: readonly DecodeProblem[];
}

type Staged = { readonly item: Omit<TrimmedItem, 'manifest'> } & (
  | { readonly manifest: unknown; readonly object: DesiredObject }
  | { readonly problems: readonly DecodeProblem[] }
);

/** Errors told for one object. */
const MAX_ERRORS = 5;

export class ResourceState implements ReflectorSink {
  /** Versions of what was taken; '' for a refused one. */
  private versions = new Map<string, string>();
  private staged: Map<string, Staged> | undefined;
  private listed = new Map<string, string>();

  /** `trim`: for the version that is watched. */
  constructor(private readonly watched: WatchedKind, private readonly context: StateContext, private trim: (item: unknown) => TrimmedItem | undefined) {}

  get size(): number {
    return this.versions.size;
  }

  keys(): Iterable<string> {
    return this.versions.keys();
  }

  version(key: string): string | undefined {
    return this.versions.get(key);
  }

  /** Another version of the API is watched from now on: nothing that is known counts as seen. */
  retrim(trim: (item: unknown) => TrimmedItem | undefined): void {
    this.trim = trim;
    for (const key of this.versions.keys()) this.versions.set(key, '');
  }

  /** From an earlier run. False when it can no longer be decoded. */
  restore(key: string, version: string, manifest: unknown): boolean {
    const decoded = this.context.decoder.decode(manifest);
    if (!('object' in decoded) || !this.context.concerns(decoded.object)) return false;
    this.context.set(key, this.context.share(decoded.object), manifest);
    this.versions.set(key, version);
    return true;
  }

  change(object: unknown): void {
    const item = this.trim(object);
    if (item !== undefined) this.take(this.keyOf(item), this.decode(item));
  }

  list(item: TrimmedItem): void {
    const key = this.keyOf(item);
    this.listed.set(key, item.version);
    if (item.version === '' || this.versions.get(key) !== item.version) this.staged?.set(key, this.decode(item));
  }

  remove(object: unknown): void {
    const item = this.trim(object);
    if (item !== undefined) this.forget(this.keyOf(item));
  }

  beginList(): void {
    this.staged = new Map();
    this.listed = new Map();
  }

  endList(): boolean {
    const staged = this.staged ?? new Map<string, Staged>();
    this.staged = undefined;
    let older = false;
    for (const [key, version] of this.versions) {
      const listed = this.listed.get(key);
      if (listed === undefined) this.forget(key);
      else if (listed !== version) older ||= wentBack(version, listed);
    }
    for (const [key, entry] of staged) this.take(key, entry);
    this.listed = new Map();
    return older;
  }

  dropList(): void {
    this.staged = undefined;
    this.listed = new Map();
  }

  /** The resource itself is gone. */
  clear(): void {
    for (const key of this.versions.keys()) this.forget(key);
  }

  private decode({ manifest, ...item }: TrimmedItem): Staged {
    const decoded = this.context.decoder.decode(manifest);
    if (!('object' in decoded)) return { item, problems: decoded.problems };
    return { item, manifest: this.watched.kind === 'Pod' ? undefined : manifest, object: this.context.share(decoded.object) };
  }

  private take(key: string, staged: Staged): void {
    if ('problems' in staged) {
      this.versions.set(key, '');
      this.context.refuse(key, staged.problems.slice(0, MAX_ERRORS).map(({ path, message }) => ({ object: key, path, message })));
    } else {
      this.versions.set(key, staged.item.version);
      this.context.refuse(key, undefined);
      const before = this.context.get(key);
      if (!this.context.concerns(staged.object)) this.context.delete(key);
      // Most changes of Nodes and Pods are of what nobody here looks at.
      else this.context.set(key, before !== undefined && sameContent(before, staged.object) ? before : staged.object, staged.manifest);
    }
    const { item } = staged;
    if (item.told !== undefined) this.context.judged?.({ key, item, told: item.told, problems: 'problems' in staged ? staged.problems : [] });
  }

  private forget(key: string): void {
    this.versions.delete(key);
    this.context.refuse(key, undefined);
    this.context.delete(key);
  }

  private keyOf({ name, namespace }: Pick<TrimmedItem, 'name' | 'namespace'>): string {
    return this.watched.namespaced ? `${this.watched.kind}/${namespace ?? DEFAULT_NAMESPACE}/${name}` : `${this.watched.kind}/${name}`;
  }
}

/** Long lists of addresses are taken as new: comparing them costs what applying them costs. */
function sameContent(a: DesiredObject, b: DesiredObject): boolean {
  return a.kind !== 'RuleTable' && a.kind !== 'AddressSet' && JSON.stringify(a) === JSON.stringify(b);
}
