/**
 * Numbers for what a rule covers and which label it gives: two rules with one number paint alike. Kept over compilations, so
 * that regions whose rules did not change need not be painted again.
 */
import type { Rule } from '../model/rule.js';
import type { FlatRule } from './flat-rules.js';
import type { Intervals } from './regions.js';

/** Forgotten rules fill the table; beyond this it starts anew, which costs one full painting. */
const CAPACITY = 1_000_000;

export class RuleSerials {
  private byRule = new WeakMap<Rule, number>();
  private byText = new Map<string, number>();
  private last = 0;

  serial({ table, rule }: FlatRule, intervals: Intervals): number {
    const known = this.byRule.get(rule);
    if (known !== undefined) return known;
    const text = `${table}/${rule.id} ${intervals.join()}`;
    const found = this.byText.get(text) ?? this.next(text);
    this.byRule.set(rule, found);
    return found;
  }

  private next(text: string): number {
    if (this.byText.size >= CAPACITY) {
      // Numbers go on: none is ever given twice.
      this.byText = new Map();
      this.byRule = new WeakMap();
    }
    this.last += 1;
    this.byText.set(text, this.last);
    return this.last;
  }
}
