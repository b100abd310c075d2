/** Flows as values, and the few actions that the pipeline is made of. */
import type { Key6 } from '../../../compile/key6.js';
import { halves6 } from '../../../compile/key6.js';
import type { Action, Instructions } from '../openflow/actions.js';
import type { FieldName } from '../openflow/fields.js';
import type { MatchField } from '../openflow/match.js';
import { subfield, type Subfield } from '../openflow/oxm.js';
import { FLAG, REGISTER } from './stages.js';

/** Leading bits of an address or port. */
export interface Leading {
  readonly address: number | Key6;
  readonly bits: number;
  /** Bits of the whole; default 32 for a number, 128 for an IPv6 address. */
  readonly of?: number;
}
export interface MaskedValue {
  readonly value: number | bigint;
  readonly mask: number | bigint;
}
export type MatchValues = { [field in FieldName]?: number | bigint | Leading | MaskedValue };

/** An action, or where the packet goes on. */
export type Step = Action | { readonly type: 'goto'; readonly table: number };

export interface Flow {
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly match: MatchValues;
  readonly actions: readonly Step[];
}

/** Where changes of flows go. A later change of the same flow replaces an earlier one. */
export interface FlowSink {
  add(flow: Flow): void;
  remove(flow: Flow): void;
}

export function register(number: number): FieldName {
  return REGISTER_NAMES[number] ?? 'reg0';
}

const REGISTER_NAMES = [
  'reg0', 'reg1', 'reg2', 'reg3', 'reg4', 'reg5', 'reg6', 'reg7', 'reg8', 'reg9', 'reg10', 'reg11', 'reg12', 'reg13', 'reg14', 'reg15',
] as const satisfies readonly FieldName[];

export function set(number: number, value: number): Step {
  return { type: 'set_field', field: register(number), value };
}

export function goTo(table: number): Step {
  return { type: 'goto', table };
}

export function resubmit(table: number): Action {
  return { type: 'resubmit', table };
}

/** Sets bits of the flags register, leaves the others. */
export function raise(bits: number): Action {
  return { type: 'set_field', field: register(REGISTER.flags), value: bits, mask: bits };
}

export function lower(bits: number): Action {
  return { type: 'set_field', field: register(REGISTER.flags), value: 0, mask: bits };
}

/** Match on flags: those of `on` set, those of `off` not. */
export function flags(on: number, off = 0): MaskedValue {
  return { value: on, mask: (on | off) >>> 0 };
}

export const ALL_FLAGS = Object.values(FLAG).reduce((all, flag) => all | flag, 0);

/** A part of the metadata field or of a wide one. */
export function setPart(target: Subfield, value: number): Action {
  return { type: 'load', target, value };
}

export function move(source: Subfield | FieldName, target: Subfield | FieldName): Action {
  return { type: 'move', source: part(source), target: part(target) };
}

export function push(field: FieldName): Action {
  return { type: 'stack_push', part: part(field) };
}

export function pop(field: FieldName): Action {
  return { type: 'stack_pop', part: part(field) };
}

export function part(field: Subfield | FieldName): Subfield {
  return typeof field === 'string' ? subfield(field) : field;
}

/** For the codec. */
export function matchFields(match: MatchValues): MatchField[] {
  const fields: MatchField[] = [];
  for (const field of Object.keys(match) as FieldName[]) {
    const value = match[field];
    if (value === undefined) continue;
    fields.push(typeof value === 'object' ? { field, ...('bits' in value ? leading(value) : value) } : { field, value });
  }
  return fields;
}

function leading({ address, bits, of = 32 }: Leading): { value: number | bigint; mask?: number | bigint } {
  if (typeof address === 'string') {
    const { high, low } = halves6(address);
    const value = (high << 64n) | low;
    return bits === 128 ? { value } : { value, mask: ((1n << BigInt(bits)) - 1n) << BigInt(128 - bits) };
  }
  return bits === of ? { value: address } : { value: address, mask: 2 ** of - 2 ** (of - bits) };
}

export function instructions(actions: readonly Step[]): Instructions {
  const apply: Action[] = [];
  let next: number | undefined;
  for (const step of actions) {
    if (step.type === 'goto') next = step.table;
    else apply.push(step);
  }
  return { ...(apply.length > 0 ? { apply } : {}), ...(next === undefined ? {} : { goto: next }) };
}
