/**
 * What is worth keeping of a rule over compilations: the intervals it covers, and a number that two rules share when they
 * cover the same, give the same label and stand in the same section. Regions whose rules have the same numbers need not be painted again.
 */
import type { Rule } from '../model/rule.js';
import { ruleIntervals, type FlatRule, type FlatRules } from './flat-rules.js';
import type { Intervals } from './regions.js';

/** Forgotten rules fill the table; beyond this it starts anew, which costs one full painting. */
const CAPACITY = 1_000_000;

export class RuleSerials {
  private readonly covered = new WeakMap<Rule, Intervals>();
  /** A rule may come to stand in another table. */
  private byRule = new WeakMap<Rule, { readonly table: string; readonly section: number; readonly serial: number }>();
  private byText = new Map<string, number>();
  private last = 0;

  intervals(rule: Rule): Intervals {
    const known = this.covered.get(rule);
    if (known !== undefined) return known;
    const fresh = ruleIntervals(rule);
    this.covered.set(rule, fresh);
    return fresh;
  }

  /** The serial of the rule at this position; 0 where there is none. */
  at({ rules }: FlatRules, position: number): number {
    const rule = rules[position];
    return rule === undefined ? 0 : this.serial(rule);
  }

  private serial({ table, section, rule }: FlatRule): number {
    const known = this.byRule.get(rule);
    if (known?.table === table && known.section === section) return known.serial;
    const text = `${table}/${rule.id} ${rule.action === 'pass' ? 'pass ' : ''}${section} ${this.intervals(rule).join()}`;
    const serial = this.byText.get(text) ?? this.next(text);
    this.byRule.set(rule, { table, section, serial });
    return serial;
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
