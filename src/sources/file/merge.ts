/** The files of a source, in the order of their names → one set of objects. */
import type { DesiredObject } from '../../model/objects.js';
import type { FileProblem, FileState, InForce } from './file-state.js';

export interface Merged {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly manifests: ReadonlyMap<string, unknown>;
  readonly problems: readonly FileProblem[];
  /** Where each object comes from: "manifests/web.yaml#2". */
  readonly origins: ReadonlyMap<string, string>;
}

/**
 * Where several documents define one object (E_CONFLICT for the others), the file that defined it before keeps it, so that a
 * new file never displaces what is in force; else the first wins. A document that is valid now wins over one that was kept.
 * `before`: the origins of the merge before this one.
 */
export function mergeFiles(files: readonly FileState[], before: ReadonlyMap<string, string> = new Map()): Merged {
  const chosen = new Map<string, InForce>();
  const problems: FileProblem[] = files.flatMap((file) => file.problems);
  const entries = files.flatMap((file) => file.objects);
  const owner = (key: string, entry: InForce): boolean => fileOf(before.get(key) ?? '') === fileOf(entry.origin);
  const valid = entries.filter(([, each]) => !each.kept);
  const incumbents = valid.filter(([name, other]) => owner(name, other));
  for (const [key, entry] of [...incumbents, ...valid.filter(([name, other]) => !owner(name, other))]) {
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
  return { objects, manifests, problems, origins: new Map([...chosen].map(([key, { origin }]) => [key, origin])) };
}

/** "manifests/web.yaml" of "manifests/web.yaml#2". */
function fileOf(origin: string): string {
  const hash = origin.lastIndexOf('#');
  return hash < 0 ? origin : origin.slice(0, hash);
}
