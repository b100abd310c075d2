/** What SpoofGuard lets a filter's workload send from, by the configuration. */
import type { Filter } from '../model/filter.js';

export interface SpoofGuard {
  readonly mode: 'off' | 'declared' | 'learned';
  /** Are addresses of the filter's vNIC learned? Then none is declared, and all that it has are learned. */
  readonly learns: (filter: Pick<Filter, 'attachment'>) => boolean;
}

export interface Guard {
  /** Canonical hosts; empty: any, unless `strict`. Absent: nothing is checked. */
  readonly guard?: readonly string[];
  /** Nothing but these, be there none yet. */
  readonly strict?: true;
}

export function guardOf({ mode, learns }: SpoofGuard, filter: Pick<Filter, 'attachment' | 'addresses'>): Guard {
  if (mode === 'off') return {};
  if (!learns(filter)) return { guard: filter.addresses };
  // Of what was learned it is not known that it is allowed.
  return mode === 'declared' ? { guard: [] } : { guard: filter.addresses, strict: true };
}
