/** What is in force: the last state that was applied completely. Everything the API answers is read from here. */
import type { Compilation } from '../compile/compiler.js';
import type { CompiledTable } from '../compile/compiled.js';
import type { Problem, World } from '../compile/world.js';
import { AgentError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import type { ResolvedMirror } from './mirrors.js';

export interface Realized {
  /** Grows with every apply that changed something; 0 = nothing was applied yet. */
  readonly generation: number;
  readonly at: number;
  readonly world: World;
  readonly compilation: Compilation;
  readonly mirrors: readonly ResolvedMirror[];
  readonly problems: readonly Problem[];
  /** When each compiled table came into force, by key. */
  readonly tableTimes: ReadonlyMap<string, { readonly generation: number; readonly at: number; readonly compiled: CompiledTable }>;
}

/** Distance of two texts up to which one is offered for the other. */
const NEAR = 3;

/** A filter by name, interface, attachment, "namespace/pod[/vnic]" or VM name. Rejects with E_NOT_FOUND and the nearest names. */
export function findFilter(filters: readonly Filter[], text: string): Filter {
  const exact = filters.find((filter) => filter.name === text || filter.interface === text);
  if (exact !== undefined) return exact;
  const named = filters.filter((filter) => namesOf(filter).includes(text));
  const [only] = named;
  if (only !== undefined && named.length === 1) return only;
  if (named.length > 1) {
    throw new AgentError('E_NOT_FOUND', `"${text}" has ${named.length} filters: name one of them`, {
      object: text, context: { nearest: named.map((filter) => filter.name) },
    });
  }
  throw new AgentError('E_NOT_FOUND', `no filter "${text}" on this host`, { object: text, context: { nearest: nearestNames(filters, text) } });
}

function namesOf(filter: Filter): string[] {
  const { kind, name, namespace } = filter.workload;
  const workload = kind === 'Pod' ? [`${namespace ?? 'default'}/${name}`] : [name];
  return [filter.attachment, ...workload, ...workload.map((text) => `${text}/${filter.vnic}`), ...(kind === 'Pod' && (namespace ?? 'default') === 'default' ? [name] : [])];
}

function nearestNames(filters: readonly Filter[], text: string): string[] {
  const candidates = filters.flatMap((filter) => [filter.name, filter.interface, ...namesOf(filter)]);
  return [...new Set(candidates)]
    .map((name) => ({ name, distance: name.includes(text) || text.includes(name) ? 1 : editDistance(name, text) }))
    .filter(({ distance }) => distance <= NEAR)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 5)
    .map(({ name }) => name);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
