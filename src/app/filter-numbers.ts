/** Numbers of filters, kept in the state directory: a filter has the same name after every restart. */
import type { FilterNumbers } from '../compile/world.js';
import { AgentError, describeError } from '../model/errors.js';

export interface NumberStore {
  /** Undefined when nothing was stored yet. */
  read(): string | undefined;
  write(text: string): Promise<void>;
}

/** The numbers that `known` has, and for others those that would be given next; nothing is stored. */
export function provisionalNumbers(known: (key: string) => number | undefined, next: number): FilterNumbers {
  const given = new Map<string, number>();
  return {
    number: (key) => {
      const number = known(key) ?? given.get(key) ?? next + given.size;
      if (known(key) === undefined) given.set(key, number);
      return number;
    },
  };
}

export class StoredFilterNumbers implements FilterNumbers {
  private readonly numbers = new Map<string, number>();
  private last = 0;
  private changed = false;

  constructor(private readonly store: NumberStore) {}

  /** @throws AgentError E_IO when the stored numbers cannot be read: giving out others would rename filters. */
  load(): void {
    const text = this.store.read();
    if (text === undefined) return;
    let stored: unknown;
    try {
      stored = JSON.parse(text);
    } catch (error) {
      throw new AgentError('E_IO', `stored filter numbers are damaged: ${describeError(error)}; remove the file to number filters anew`, { object: 'filters.json' });
    }
    if (typeof stored !== 'object' || stored === null) return;
    for (const [attachment, number] of Object.entries(stored)) {
      if (typeof number !== 'number' || !Number.isSafeInteger(number)) continue;
      this.numbers.set(attachment, number);
      this.last = Math.max(this.last, number);
    }
  }

  number(attachment: string): number {
    const known = this.numbers.get(attachment);
    if (known !== undefined) return known;
    this.last += 1;
    this.numbers.set(attachment, this.last);
    this.changed = true;
    return this.last;
  }

  provisional(): FilterNumbers {
    return provisionalNumbers((attachment) => this.numbers.get(attachment), this.last + 1);
  }

  /** Writes new numbers. Before the filters they name are programmed. */
  async save(): Promise<void> {
    if (!this.changed) return;
    await this.store.write(`${JSON.stringify(Object.fromEntries(this.numbers), null, 1)}\n`);
    this.changed = false;
  }
}
