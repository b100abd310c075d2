/** The desired state: what all sources hold together. */
import type { Problem } from '../compile/world.js';
import type { DesiredObject } from '../model/objects.js';
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

/** Earlier sources win where two hold one object; the later one's is reported. */
export function mergeSources(sources: readonly NamedSource[]): Desired {
  const objects = new Map<string, DesiredObject>();
  const manifests = new Map<string, { manifest: unknown; source: string }>();
  const problems: Problem[] = [];
  for (const { name, source } of sources) {
    const snapshot = source.snapshot();
    for (const [key, object] of snapshot.objects) {
      const owner = manifests.get(key);
      if (owner !== undefined) {
        problems.push({ object: key, path: '', message: `is also in source ${owner.source}, which stands; the one of ${name} is not in force` });
        continue;
      }
      objects.set(key, object);
      manifests.set(key, { manifest: snapshot.manifests.get(key), source: name });
    }
  }
  return { objects, manifests, problems };
}
