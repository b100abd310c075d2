/** Numbers that things keep over restarts, as they are stored in the state directory: one JSON object, key → number. */
import { AgentError, describeError } from '../model/errors.js';

/** One file of the state directory. */
export interface NumberStore {
  /** Undefined when nothing was stored yet. */
  read(): string | undefined;
  write(text: string): Promise<void>;
}

/**
 * The numbers that were stored, in the order of the text; none when nothing was. Values that are no integers are left out. `what` is
 * what has the numbers ("filter"), `file` the name of the file, both for the message.
 * @throws AgentError E_IO when the text is damaged: giving out others would rename what has them.
 */
export function readNumbers(store: NumberStore, what: string, file: string): ReadonlyMap<string, number> {
  const text = store.read();
  if (text === undefined) return new Map();
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch (error) {
    throw damaged(what, file, describeError(error));
  }
  if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) throw damaged(what, file, 'no JSON object');
  return new Map(Object.entries(stored).filter((entry): entry is [string, number] => Number.isSafeInteger(entry[1])));
}

function damaged(what: string, file: string, reason: string): AgentError {
  return new AgentError('E_IO', `stored ${what} numbers are damaged: ${reason}; remove the file to number ${what}s anew`, { object: file });
}

/** The numbers that `known` has, and for others those that would be given next, the same one each time; nothing is stored. */
export function provisionalNumbers(known: (key: string) => number | undefined, next: number): { number(key: string): number } {
  const given = new Map<string, number>();
  return {
    number: (key) => {
      const number = known(key) ?? given.get(key) ?? next + given.size;
      if (known(key) === undefined) given.set(key, number);
      return number;
    },
  };
}
