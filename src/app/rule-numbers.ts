/** Numbers of policy rules, kept in the state directory: a rule has the same one after every restart, and none is given twice. */
import type { RuleNumbers } from '../compile/policy/policy-table.js';
import { FIRST_FREE_RULE_ID } from '../compile/policy/isolation.js';
import { provisionalNumbers, readNumbers, type NumberStore } from './stored-numbers.js';

/** Rules that are gone keep their numbers, for when they come back, as long as there are not more than this. */
const REMEMBERED = 200_000;

export class StoredRuleNumbers implements RuleNumbers {
  /** In order of last use: that of number() calls, as far as stored. */
  private numbers = new Map<string, number>();
  private next = FIRST_FREE_RULE_ID;
  private changed = false;

  constructor(private readonly store: NumberStore) {}

  /** @throws AgentError E_IO when the stored numbers cannot be read: giving out others would rename rules that flows carry. */
  load(): void {
    for (const [key, number] of readNumbers(this.store, 'rule', 'rules.json')) {
      if (key !== '') this.numbers.set(key, number);
      this.next = Math.max(this.next, number + (key === '' ? 0 : 1));
    }
  }

  number(key: string): number {
    const known = this.numbers.get(key);
    // To the end: what is in use is the last to be forgotten.
    if (known !== undefined) this.numbers.delete(key);
    const number = known ?? this.next;
    this.numbers.set(key, number);
    if (known === undefined) {
      this.next += 1;
      this.changed = true;
    }
    return number;
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
