/** What a datapath driver is asked to make true. */
import type { CompiledTable, LabelInfo } from './compiled.js';

export interface TargetFilter {
  /** Stable number of the filter; names its chains. */
  readonly number: number;
  /** Host-side interface; it need not exist yet: dispatch is by name. */
  readonly interface: string;
  /** Key of its table, or undefined before its first table. */
  readonly table: string | undefined;
  /** What happens without a table. */
  readonly failOpen: boolean;
  /** With a table, reaches itself through a Service whatever its rules say. For pods: their vNIC has nobody else behind it. */
  readonly reachesItself: boolean;
}

export interface Target {
  /** By interface. */
  readonly filters: ReadonlyMap<string, TargetFilter>;
  /** Compiled tables by key; every table of a filter is here. */
  readonly tables: ReadonlyMap<string, CompiledTable>;
  /** Linux bridges whose ports have filters that another target holds. Absent: none. */
  readonly bridges?: ReadonlySet<string>;
}

export const EMPTY_TARGET: Target = { filters: new Map(), tables: new Map() };

export function targetLabels(target: Target): Map<number, LabelInfo> {
  const labels = new Map<number, LabelInfo>();
  for (const table of target.tables.values()) for (const [id, info] of table.labels) labels.set(id, info);
  return labels;
}

/** Connections under this label may pass without being judged again. */
export function keepsConnections(label: LabelInfo): boolean {
  return label.action === 'accept' && !label.stateless;
}
