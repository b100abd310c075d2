/** The desired state: what all sources hold together, and what changed of it. */
import type { ObjectChange, Problem } from '../compile/world.js';
import type { DesiredObject } from '../model/objects.js';
import { ObjectView } from '../sources/object-store.js';
import type { Source } from '../sources/source.js';

export interface Desired {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly manifests: ReadonlyMap<string, { readonly manifest: unknown; readonly source: string }>;
  readonly problems: readonly Problem[];
}

export interface NamedSource {
  readonly name: string;
  readonly source: Source;
}

/** Attachments of ports that were found, not declared. */
export const DISCOVERY_SOURCE = 'ovs';

/** Earlier sources win where two hold one object; the later one's is reported. Manifests are those of whom an object belongs to, without what others complete. */
export function mergeSources(sources: readonly NamedSource[]): Desired {
  const objects = new Map<string, DesiredObject>();
  const manifests = new Map<string, { manifest: unknown; source: string }>();
  const problems: Problem[] = [];
  for (const { name, source } of sources) {
    if (source.overlay === true) continue;
    const snapshot = source.snapshot();
    for (const [key, object] of snapshot.objects) {
      const owner = manifests.get(key);
      if (owner !== undefined) {
        if (source.yields !== true) problems.push(conflict(key, owner.source, name));
        continue;
      }
      objects.set(key, object);
      manifests.set(key, { manifest: snapshot.manifests.get(key), source: name });
    }
  }
  for (const { source } of sources) {
    if (source.overlay === true) for (const [key, object] of source.snapshot().objects) if (objects.has(key)) objects.set(key, object);
  }
  return { objects, manifests, problems };
}

/** What an overlay completes the object of that key to, and what it was; undefined: nothing. */
export function completion(sources: readonly NamedSource[], key: string): { readonly original: DesiredObject; readonly completed: DesiredObject } | undefined {
  const of = (overlay: boolean): DesiredObject | undefined => sources.find(({ source }) => (source.overlay === true) === overlay && source.snapshot().objects.has(key))?.source.snapshot().objects.get(key);
  const [original, completed] = [of(false), of(true)];
  return original === undefined || completed === undefined ? undefined : { original, completed };
}

function conflict(key: string, owner: string, other: string): Problem {
  return { object: key, path: '', message: `is also in source ${owner}, which stands; the one of ${other} is not in force` };
}

const NONE: ReadonlyMap<string, DesiredObject> = new Map();

/** mergeSources, as changes: costs what sources replaced since the last time. */
export class DesiredState {
  private readonly taken = new Map<Source, ReadonlyMap<string, DesiredObject>>();
  private readonly objects = new Map<string, DesiredObject>();
  private readonly conflicts = new Map<string, Problem>();

  constructor(private readonly sources: readonly NamedSource[]) {}

  /** Everything that changed since the last call. */
  take(): { readonly changes: readonly ObjectChange[]; readonly problems: readonly Problem[] } {
    const changed = new Set<string>();
    for (const { source } of this.sources) {
      const now = source.snapshot().objects;
      const before = this.taken.get(source) ?? NONE;
      if (now === before) continue;
      for (const key of this.changedKeys(before, now)) changed.add(key);
      this.taken.set(source, now);
    }
    const changes: ObjectChange[] = [];
    for (const key of changed) {
      const change = this.change(key);
      if (change !== undefined) changes.push(change);
    }
    return { changes, problems: [...this.conflicts.values()] };
  }

  private completed(key: string): DesiredObject | undefined {
    for (const { source } of this.sources) {
      const object = source.overlay === true ? this.taken.get(source)?.get(key) : undefined;
      if (object !== undefined) return object;
    }
    return undefined;
  }

  /** May name too many, never too few. */
  private changedKeys(before: ReadonlyMap<string, DesiredObject>, now: ReadonlyMap<string, DesiredObject>): Iterable<string> {
    const known = now instanceof ObjectView ? now.changedSince(before) : undefined;
    if (known !== undefined) return known;
    // An older view shows what is now: only what was taken tells what has changed since.
    if (before instanceof ObjectView) return [...this.objects.keys(), ...now.keys()];
    const changed = [...before.keys()].filter((key) => !now.has(key));
    for (const [key, object] of now) if (before.get(key) !== object) changed.push(key);
    return changed;
  }

  private change(key: string): ObjectChange | undefined {
    const owners = this.sources.filter(({ source }) => source.overlay !== true && this.taken.get(source)?.has(key) === true);
    const [owner, ...others] = owners;
    const other = others.find(({ source }) => source.yields !== true);
    if (owner !== undefined && other !== undefined) this.conflicts.set(key, conflict(key, owner.name, other.name));
    else this.conflicts.delete(key);
    const before = this.objects.get(key);
    const after = owner === undefined ? undefined : (this.completed(key) ?? this.taken.get(owner.source)?.get(key));
    if (before === after || (before !== undefined && after !== undefined && alike(before, after))) return undefined;
    if (after === undefined) this.objects.delete(key);
    else this.objects.set(key, after);
    return { key, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) };
  }
}

/** A file that changed gives new objects for all that it holds. Long ones are compared where it is known what to do about them. */
function alike(a: DesiredObject, b: DesiredObject): boolean {
  return a.kind !== 'RuleTable' && a.kind !== 'AddressSet' && JSON.stringify(a) === JSON.stringify(b);
}
