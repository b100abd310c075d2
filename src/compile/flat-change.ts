/** A few rules come, go or change among many: the flat list of before is taken over but for these. */
import type { AddressMatch, Rule } from '../model/rule.js';
import { literalKey, sectionIndex, type FlatRule, type FlatRules, type ResolvedTable, type SideCondition } from './flat-rules.js';
import type { Intervals } from './regions.js';

export interface FlatChange {
  readonly flat: FlatRules;
  /** Rules of before that are no more. */
  readonly removed: readonly FlatRule[];
  /** Positions in `flat` of rules that are new. A rule that changed is one removed and one added. */
  readonly added: readonly number[];
}

/** With more changed rules than this, what they touch is most of the table. */
const MAX_CHANGED = 256;
/** A rule is looked for this far on from where it was: one that moved farther is one removed and one added. */
const WINDOW = 64;

/**
 * `before` is what `oldTables` were flattened to. Undefined when that does not help: other tables or members, a set or a list of
 * source ports that comes into use or ends, many changes. The order of the result's sets is that of `before`.
 */
export function changeFlat(
  before: FlatRules, oldTables: readonly ResolvedTable[], tables: readonly ResolvedTable[], intervals: (rule: Rule) => Intervals,
): FlatChange | undefined {
  const indexes = new Map(before.setKeys.map((key, index) => [key, index]));
  if (!sameNames(oldTables, tables, before, indexes)) return undefined;

  const rules: FlatRule[] = [];
  const covered: Intervals[] = [];
  const added: number[] = [];
  const removed: FlatRule[] = [];
  const old = before.rules;
  let next = 0;
  for (const table of tables) {
    const section = sectionIndex(table);
    for (const rule of table.rules) {
      const found = findRule(old, next, table.name, section, rule);
      if (found < 0) {
        const fresh = flatRule(table, rule, indexes);
        if (fresh === undefined || added.length >= MAX_CHANGED) return undefined;
        added.push(rules.length);
        rules.push(fresh);
        covered.push(intervals(rule));
        continue;
      }
      for (; next < found; next += 1) removed.push(old[next] as FlatRule);
      if (removed.length > MAX_CHANGED) return undefined;
      rules.push(old[found] as FlatRule);
      covered.push(before.intervals[found] as Intervals);
      next = found + 1;
    }
  }
  removed.push(...old.slice(next));
  if (removed.length > MAX_CHANGED || removed.some(isRestricted)) return undefined;
  if (!stillUsed(removed, added.map((position) => rules[position]), rules)) return undefined;
  return { flat: { ...before, rules, intervals: covered }, removed, added };
}

/** Do names stand for the same sets with the same members? */
function sameNames(oldTables: readonly ResolvedTable[], tables: readonly ResolvedTable[], before: FlatRules, indexes: ReadonlyMap<string, number>): boolean {
  return tables.length === oldTables.length && tables.every((table, place) => {
    const old = oldTables[place];
    return old?.name === table.name && [...table.sets].every(([name, { key, members }]) => {
      const index = indexes.get(key);
      return index !== undefined && before.sets[index] === members && (old.sets.get(name)?.key ?? key) === key;
    });
  });
}

/** Where the rule is in the list, from `next` on; -1 = nowhere near. */
function findRule(old: readonly FlatRule[], next: number, table: string, section: number, rule: Rule): number {
  const end = Math.min(old.length, next + WINDOW);
  for (let at = next; at < end; at += 1) {
    const known = old[at];
    if (known?.table === table && known.section === section && (known.rule === rule || (known.rule.id === rule.id && equalData(known.rule, rule)))) return at;
  }
  return -1;
}

/** Equal as plain data: objects, arrays and scalars. */
function equalData(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => equalData(Reflect.get(a, key), Reflect.get(b, key)));
}

/** By family or source port, or it passes: what such rules need of the whole table is not followed here. */
function isRestricted({ rule }: FlatRule): boolean {
  return rule.family !== undefined || rule.sourcePorts.length > 0 || rule.action === 'pass';
}

/** Undefined when it needs what no rule needed before. */
function flatRule(table: ResolvedTable, rule: Rule, indexes: ReadonlyMap<string, number>): FlatRule | undefined {
  const source = condition(table, rule.source, indexes);
  const destination = condition(table, rule.destination, indexes);
  if (source === undefined || destination === undefined) return undefined;
  const fresh = { table: table.name, section: sectionIndex(table), rule, source, destination, sourcePorts: -1 };
  return isRestricted(fresh) ? undefined : fresh;
}

function condition(table: ResolvedTable, match: AddressMatch, indexes: ReadonlyMap<string, number>): SideCondition | undefined {
  const keys = match.addressSets.map((name) => table.sets.get(name)?.key);
  if (match.addresses.length > 0) keys.push(literalKey(match.addresses));
  const used: number[] = [];
  for (const key of keys) {
    const index = key === undefined ? undefined : indexes.get(key);
    if (index === undefined) return undefined;
    used.push(index);
  }
  return { any: used.length === 0, not: match.not, sets: [...new Set(used)].sort((a, b) => a - b) };
}

/** A set that no rule names any more tells no addresses apart. */
function stillUsed(removed: readonly FlatRule[], added: readonly (FlatRule | undefined)[], rules: readonly FlatRule[]): boolean {
  const wanted = new Set(removed.flatMap(setsOf));
  for (const rule of added) for (const set of rule === undefined ? [] : setsOf(rule)) wanted.delete(set);
  for (const rule of rules) {
    if (wanted.size === 0) break;
    for (const set of rule.source.sets) wanted.delete(set);
    for (const set of rule.destination.sets) wanted.delete(set);
  }
  return wanted.size === 0;
}

function setsOf({ source, destination }: FlatRule): number[] {
  return [...source.sets, ...destination.sets];
}
