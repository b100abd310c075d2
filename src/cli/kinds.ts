/** Kinds of manifests as agentctl's arguments name them: any case, singular, plural or short. */
import { AgentError } from '../model/errors.js';
import { KINDS, exactName, kindsNamed, type KindInfo } from '../model/kinds.js';
import { nearest } from '../model/nearest.js';

export interface NamedKind {
  /** How to ask the agent for it. */
  readonly kind: string;
  /** True when objects of it may be in a namespace. */
  readonly namespaced: boolean;
  /** Several where API groups share the name. */
  readonly kinds: readonly KindInfo[];
}

/** Throws E_USAGE, with the nearest kind, for a name that is none. */
export function resolveKind(name: string): NamedKind {
  const kinds = kindsNamed(name);
  const [first] = kinds;
  if (first !== undefined) {
    return { kind: kinds.length === 1 ? exactName(first) : first.written, namespaced: kinds.some((info) => info.namespaced), kinds };
  }
  const near = nearest(name.toLowerCase(), KINDS.flatMap((info) => [info.written.toLowerCase(), ...info.names]));
  const hint = near === undefined ? `kinds are ${[...new Set(KINDS.map((info) => info.written))].join(', ')}` : `did you mean ${near}?`;
  throw new AgentError('E_USAGE', `no such kind ${JSON.stringify(name)}; ${hint}`);
}

/** What completion offers: the kinds as written, and the names that tell those of one name apart. */
export function kindCandidates(): string[] {
  return [...new Set(KINDS.flatMap((info) => [info.written.toLowerCase(), info.kind.toLowerCase()]))];
}
