/** How decoders refuse. Refusals are AgentError E_INVALID (or E_LIMIT) with the path inside the document. */
import { AgentError, type ErrorCode } from '../../model/errors.js';
import { LIMITS } from '../../model/rule.js';

/** A value under construction. */
export type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** The empty list that decoded objects share. */
export const NONE: readonly never[] = [];

export function refuse(path: string, message: string, code: ErrorCode = 'E_INVALID'): AgentError {
  return new AgentError(code, message, { path });
}

/** Throws when a check of model/names gave a reason. */
export function refuseIf(problem: string | undefined, path: string): void {
  if (problem !== undefined) throw refuse(path, problem);
}

/** Runs a reader of the model and gives its refusal a path. */
export function at<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof AgentError) throw new AgentError(error.code, error.message, { path, cause: error });
    throw error;
  }
}

/** The names of the fields that are there (not null), in the order given. */
export function fieldsPresent<K extends string>(value: Readonly<Partial<Record<K, unknown>>>, names: readonly K[]): K[] {
  return names.filter((name) => value[name] !== undefined && value[name] !== null);
}

/** The one field that is there. Throws when there is none or several. */
export function exactlyOne<K extends string>(value: Readonly<Partial<Record<K, unknown>>>, names: readonly K[], path: string): K {
  const present = fieldsPresent(value, names);
  const [only] = present;
  if (only === undefined || present.length > 1) {
    throw refuse(path, only === undefined ? `is empty; give one of ${names.join(', ')}` : `give only one of ${present.join(', ')}`);
  }
  return only;
}

export function checkPolicyRules(count: number): void {
  if (count > LIMITS.rulesPerPolicy) throw refuse('spec', `${count} rules; the limit is ${LIMITS.rulesPerPolicy} (rulesPerPolicy)`, 'E_LIMIT');
}

/** Throws at the second of two equal entries. */
export function checkUnique(values: readonly string[], what: string, place: (index: number) => string): void {
  const seen = new Map<string, number>();
  for (const [index, value] of values.entries()) {
    const earlier = seen.get(value);
    if (earlier !== undefined) throw refuse(place(index), `the ${what} ${value} is already that of ${place(earlier)}`);
    seen.set(value, index);
  }
}
