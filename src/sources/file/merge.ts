/** The files of a source, in the order of their names → one set of objects. */
import type { DesiredObject } from '../../model/objects.js';
import type { FileProblem, FileState, InForce } from './file-state.js';

export interface Merged {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly manifests: ReadonlyMap<string, unknown>;
  readonly problems: readonly FileProblem[];
}

/** The first document that defines an object wins (E_CONFLICT for the others); one that is valid now wins over one that was kept. */
export function mergeFiles(files: readonly FileState[]): Merged {
  const chosen = new Map<string, InForce>();
  const problems: FileProblem[] = files.flatMap((file) => file.problems);
  const entries = files.flatMap((file) => file.objects);
  for (const [key, entry] of entries.filter(([, each]) => !each.kept)) {
    const earlier = chosen.get(key);
    if (earlier === undefined) chosen.set(key, entry);
    else problems.push({ object: entry.origin, code: 'E_CONFLICT', path: 'metadata.name', message: `${key} is already defined by ${earlier.origin}` });
  }
  for (const [key, entry] of entries) if (entry.kept && !chosen.has(key)) chosen.set(key, entry);
  const keys = [...chosen.keys()].sort();
  const objects = new Map<string, DesiredObject>();
  const manifests = new Map<string, unknown>();
  for (const key of keys) {
    const entry = chosen.get(key);
    if (entry === undefined) continue;
    objects.set(key, entry.object);
    manifests.set(key, entry.manifest);
  }
  return { objects, manifests, problems };
}
