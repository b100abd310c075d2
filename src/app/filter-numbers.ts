/** Numbers of filters, kept in the state directory: a filter has the same name after every restart. */
import type { FilterNumbers } from '../compile/world.js';
import { provisionalNumbers, readNumbers, type NumberStore } from './stored-numbers.js';

/** So many attachments that are gone keep their numbers: pods have a new name each time. */
const REMEMBERED = 1_000;

export class StoredFilterNumbers implements FilterNumbers {
  private readonly numbers = new Map<string, number>();
  private last = 0;
  private changed = false;

  constructor(private readonly store: NumberStore) {}

  /** @throws AgentError E_IO when the stored numbers cannot be read: giving out others would rename filters. */
  load(): void {
    for (const [attachment, number] of readNumbers(this.store, 'filter', 'filters.json')) {
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

  /** Forgets those of attachments that are not `present`, but for the latest of them. Before save(). */
  retain(present: ReadonlySet<string>): void {
    const most = present.size + REMEMBERED;
    // Not for each that goes: only then is everything looked at.
    if (this.numbers.size <= most + REMEMBERED) return;
    const gone = [...this.numbers.keys()].filter((attachment) => !present.has(attachment));
    for (const attachment of gone.slice(0, Math.max(0, gone.length - REMEMBERED))) this.numbers.delete(attachment);
    this.changed = true;
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
