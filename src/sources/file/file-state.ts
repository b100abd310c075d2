/** One file over time: what it holds now, and what of its earlier content stays in force because the new one was refused. */
import type { ParsedFile, ParsedObject } from './parse-file.js';
import type { DecodeProblem } from '../manifests/decode.js';
import { objectKey } from '../../model/objects.js';

export interface InForce extends ParsedObject {
  /** `manifests/web.yaml#2` */
  readonly origin: string;
  readonly position: string;
  /** True when a later version of the document was refused. */
  readonly kept: boolean;
}

export interface FileProblem extends DecodeProblem {
  readonly object: string;
}

export interface FileState {
  /** In the order of the documents; a key that comes twice in the file is there twice. */
  readonly objects: readonly (readonly [string, InForce])[];
  readonly problems: readonly FileProblem[];
}

export const EMPTY_FILE: FileState = { objects: [], problems: [] };

/**
 * The state after the file was parsed anew. A refused document keeps its last good version: the one of the same kind and name,
 * else the one that stood at the same place, else (the place is new, or taken) whatever of the file nothing else accounts for.
 */
export function nextState(previous: FileState, label: string, parsed: ParsedFile): FileState {
  const objects: [string, InForce][] = [];
  const problems: FileProblem[] = [];
  for (const document of parsed.documents) {
    const origin = `${label}${document.label}`;
    for (const entry of document.objects) objects.push([objectKey(entry.object), { ...entry, origin, position: document.position, kept: false }]);
    for (const problem of document.problems) problems.push({ object: origin, ...problem });
  }
  const claimed = new Set(objects.map(([key]) => key));
  const refused = parsed.documents.filter((document) => document.problems.length > 0);
  const named = new Set(refused.flatMap(({ key }) => (key === undefined ? [] : [key])));
  for (const { key, position } of refused) {
    const free = previous.objects.filter(([candidate]) => !claimed.has(candidate));
    const choices = [
      free.filter(([candidate]) => candidate === key),
      free.filter(([candidate, entry]) => entry.position === position && !named.has(candidate)),
      key === undefined ? free.filter(([candidate]) => !named.has(candidate)) : [],
    ];
    for (const [kept, entry] of choices.find((choice) => choice.length > 0) ?? []) {
      claimed.add(kept);
      objects.push([kept, { ...entry, kept: true }]);
    }
  }
  return { objects, problems };
}

/** The state when the file cannot be read or decoded as a whole: everything stays. */
export function stateWithFailure(previous: FileState, label: string, problem: DecodeProblem): FileState {
  return { objects: previous.objects.map(([key, entry]) => [key, { ...entry, kept: true }]), problems: [{ object: label, ...problem }] };
}
