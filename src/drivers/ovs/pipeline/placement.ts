/**
 * Where on its bridge the pipeline stands: alone, forwarding by itself; or beside flows of others, who send packets to its first table and get
 * those that may pass back in a table of theirs, as they were: registers and metadata too (all are kept on the stack meanwhile, also through
 * conntrack). Ours are tables as stages.ts numbers them; only what goes to the switch, and comes from it, is moved.
 */
import type { Action } from '../openflow/actions.js';
import type { FieldName } from '../openflow/fields.js';
import { pop, push, type Flow, type Step } from './flow.js';
import { TABLE } from './stages.js';

export interface Placement {
  /** The switch's number of our table 0. */
  readonly first: number;
  /** The switch's number of the table that goes on; undefined: nobody's, the bridge is ours alone. */
  readonly next: number | undefined;
}

export const ALONE: Placement = { first: 0, next: undefined };

/** How many tables the pipeline has. */
export const TABLES = Math.max(...Object.values(TABLE)) + 1;

/** Stands in flows for the others' next table. */
const NEXT = 254;

const KEPT = ['xxreg0', 'xxreg1', 'xxreg2', 'xxreg3', 'metadata'] as const satisfies readonly FieldName[];

/** Before everything else: our registers begin at 0. */
export const ENTER: readonly Action[] = [...KEPT.map((field) => push(field)), ...KEPT.map((field): Action => ({ type: 'set_field', field, value: 0n }))];

/** After everything else. */
export const LEAVE: readonly Action[] = [...KEPT.toReversed().map((field) => pop(field)), { type: 'resubmit', table: NEXT }];

/** The switch's number of a table of ours. */
export function wireTable(table: number, { first, next }: Placement): number {
  return table === NEXT ? (next ?? NEXT) : table + first;
}

/** As the switch is told. */
export function placed(flow: Flow, place: Placement): Flow {
  if (place.first === 0 && place.next === undefined) return flow;
  return { ...flow, table: wireTable(flow.table, place), actions: flow.actions.map((step) => move(step, place)) };
}

function move<S extends Step>(step: S, place: Placement): S {
  const table = 'table' in step && typeof step.table === 'number' ? { table: wireTable(step.table, place) } : {};
  const actions = 'actions' in step && Array.isArray(step.actions) ? { actions: step.actions.map((inner: Step) => move(inner, place)) } : {};
  return { ...step, ...table, ...actions };
}
