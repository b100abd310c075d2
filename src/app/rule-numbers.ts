/** Numbers of policy rules, kept in the state directory: a rule has the same one after every restart, and none is given twice. */
import type { RuleNumbers } from '../compile/policy/policy-table.js';
import { FIRST_FREE_RULE_ID } from '../compile/policy/isolation.js';
import { AgentError, describeError } from '../model/errors.js';
import { provisionalNumbers, type NumberStore } from './filter-numbers.js';

/** Rules that are gone keep their numbers, for when they come back, as long as there are not more than this. */
const REMEMBERED = 200_000;

export class StoredRuleNumbers implements RuleNumbers {
  /** In order of last use. */
  private numbers = new Map<string, number>();
  private next = FIRST_FREE_RULE_ID;
  private changed = false;

  constructor(private readonly store: NumberStore) {}

  /** @throws AgentError E_IO when the stored numbers cannot be read: giving out others would rename rules that flows carry. */
  load(): void {
    const text = this.store.read();
    if (text === undefined) return;
    let stored: unknown;
    try {
      stored = JSON.parse(text);
    } catch (error) {
      throw new AgentError('E_IO', `stored rule numbers are damaged: ${describeError(error)}; remove the file to number rules anew`, { object: 'rules.json' });
    }
    if (typeof stored !== 'object' || stored === null) return;
    for (const [key, number] of Object.entries(stored)) {
      if (typeof number !== 'number' || !Number.isSafeInteger(number)) continue;
      if (key !== '') this.numbers.set(key, number);
      this.next = Math.max(this.next, number + (key === '' ? 0 : 1));
    }
  }

  number(key: string): number {
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const fresh = this.next;
    this.next += 1;
    this.numbers.set(key, fresh);
    this.changed = true;
    return fresh;
  }

  /** The number that a rule has; undefined when it was never given one. */
  known(key: string): number | undefined {
    return this.numbers.get(key);
  }

  /** Numbers as they would be given next, without giving them. */
  provisional(): RuleNumbers {
    return provisionalNumbers((key) => this.known(key), this.next);
  }

  /** Writes new numbers. Before the rules they name are programmed. */
  async save(): Promise<void> {
    if (!this.changed) return;
    if (this.numbers.size > REMEMBERED) this.numbers = new Map([...this.numbers].slice(-REMEMBERED / 2));
    // The empty key is the next number, so that forgotten ones are not given again.
    await this.store.write(`${JSON.stringify({ '': this.next, ...Object.fromEntries(this.numbers) })}\n`);
    this.changed = false;
  }
}
