/** Differences between the rule tables of filters, before and after: rules, order of tables, members of address sets. Pure. */
import type { EffectiveSet, EffectiveTable } from '../compile/effective.js';
import { LAYER2_SUFFIX } from '../model/names.js';
import { layer2RuleToView, ruleToView } from '../model/rule-view.js';
import type { DiffView, RuleView } from '../model/views.js';

/** Of each filter that has tables in force, in order of evaluation. */
export type FilterTables = ReadonlyMap<string, readonly EffectiveTable[]>;
export type TableDifferences = Pick<DiffView, 'rules' | 'addressSets' | 'reordered'>;

/** `changed`: filters for which anything is listed, or whose tables differ in any way that counts. */
export function compareTables(names: Iterable<string>, before: FilterTables, after: FilterTables): TableDifferences & { readonly changed: ReadonlySet<string> } {
  const comparison = new Comparison();
  const changed = new Set<string>();
  for (const name of names) {
    const [old, now] = [before.get(name) ?? [], after.get(name) ?? []];
    if (comparison.filter(name, old, now) || before.has(name) !== after.has(name)) changed.add(name);
  }
  return { ...comparison.result(), changed };
}

interface RuleDelta { readonly added: readonly RuleView[]; readonly removed: readonly RuleView[]; readonly changed: readonly { readonly before: RuleView[]; readonly after: RuleView[] }[] }
interface Noted<T> { readonly value: T; readonly filters: string[] }

/** Tables and sets that filters share are compared once. */
class Comparison {
  private readonly rules = new Map<string, Noted<{ readonly ruleset: string; readonly delta: RuleDelta }>>();
  private readonly sets = new Map<string, Noted<{ readonly name: string; readonly before: readonly string[] | undefined; readonly after: readonly string[] | undefined }>>();
  private readonly orders = new Map<string, Noted<{ readonly before: string[]; readonly after: string[] }>>();
  private readonly numbers = new Map<unknown, number>();

  /** True when something differs. */
  filter(filter: string, before: readonly EffectiveTable[], after: readonly EffectiveTable[]): boolean {
    const found = [this.tables(filter, before, after), this.order(filter, before, after), this.members(filter, before, after)];
    return found.includes(true);
  }

  result(): TableDifferences {
    const rules: DiffView['rules'] = { added: [], removed: [], changed: [] };
    for (const { value: { ruleset, delta }, filters } of this.rules.values()) {
      for (const rule of delta.added) rules.added.push({ ruleset, filters, rule });
      for (const rule of delta.removed) rules.removed.push({ ruleset, filters, rule });
      for (const change of delta.changed) rules.changed.push({ ruleset, filters, ...change });
    }
    const addressSets: DiffView['addressSets'] = { added: [], removed: [], changed: [] };
    for (const { value: { name, before, after }, filters } of this.sets.values()) {
      if (before === undefined) addressSets.added.push({ name, filters, addresses: [...(after ?? [])] });
      else if (after === undefined) addressSets.removed.push({ name, filters, addresses: [...before] });
      else {
        const [added, removed] = [missing(after, before), missing(before, after)];
        if (added.length + removed.length > 0) addressSets.changed.push({ name, filters, added, removed });
      }
    }
    return { rules, addressSets, reordered: [...this.orders.values()].map(({ value, filters }) => ({ filters, ...value })) };
  }

  private tables(filter: string, before: readonly EffectiveTable[], after: readonly EffectiveTable[]): boolean {
    const [old, now] = [byName(before), byName(after)];
    let differs = false;
    for (const name of new Set([...now.keys(), ...old.keys()])) {
      const [from, to] = [old.get(name)?.table, now.get(name)?.table];
      if (from === to) continue;
      for (const layer of ['rules', 'layer2Rules'] as const) {
        const key = `${layer} ${this.number(from)} ${this.number(to)}`;
        const known = this.rules.get(key) ?? {
          value: {
            ruleset: layer === 'rules' ? name : `${name}${LAYER2_SUFFIX}`,
            delta: layer === 'rules' ? compareRules(from?.rules ?? [], to?.rules ?? [], ruleToView) : compareRules(from?.layer2Rules ?? [], to?.layer2Rules ?? [], layer2RuleToView),
          },
          filters: [],
        };
        const { added, removed, changed } = known.value.delta;
        this.rules.set(key, known);
        known.filters.push(filter);
        differs ||= added.length + removed.length + changed.length > 0;
      }
    }
    return differs;
  }

  /** Only of tables that are there before and after. */
  private order(filter: string, before: readonly EffectiveTable[], after: readonly EffectiveTable[]): boolean {
    const [old, now] = [byName(before), byName(after)];
    const stay = (tables: ReadonlyMap<string, EffectiveTable>, others: ReadonlyMap<string, EffectiveTable>): string[] => [...tables.keys()].filter((name) => others.has(name));
    const value = { before: stay(old, now), after: stay(now, old) };
    const texts = [value.before.join(' '), value.after.join(' ')];
    if (texts[0] === texts[1]) return false;
    note(this.orders, texts.join('\n'), value, filter);
    return true;
  }

  private members(filter: string, before: readonly EffectiveTable[], after: readonly EffectiveTable[]): boolean {
    const [old, now] = [setsOf(before), setsOf(after)];
    let differs = false;
    for (const [key, { name, set }] of new Map([...old, ...now])) {
      const [from, to] = [old.get(key)?.set.members, now.get(key)?.set.members];
      if (from === to || (from !== undefined && to !== undefined && sameMembers(from, to))) continue;
      note(this.sets, `${set.key} ${this.number(from)} ${this.number(to)}`, { name, before: from, after: to }, filter);
      differs = true;
    }
    return differs;
  }

  /** Distinct for distinct objects. */
  private number(value: unknown): number {
    const known = this.numbers.get(value) ?? this.numbers.size;
    this.numbers.set(value, known);
    return known;
  }
}

function note<T>(map: Map<string, Noted<T>>, key: string, value: T, filter: string): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, { value, filters: [filter] });
  else known.filters.push(filter);
}

function byName(tables: readonly EffectiveTable[]): Map<string, EffectiveTable> {
  return new Map(tables.map((table) => [table.table.metadata.name, table]));
}

function setsOf(tables: readonly EffectiveTable[]): Map<string, { readonly name: string; readonly set: EffectiveSet }> {
  const found = new Map<string, { readonly name: string; readonly set: EffectiveSet }>();
  for (const { sets } of tables) for (const [name, set] of sets) found.set(set.key, { name, set });
  return found;
}

/** As sets: their order says nothing. */
function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return (a.length === b.length && a.every((member, index) => member === b[index])) || (missing(a, b).length === 0 && missing(b, a).length === 0);
}

/** Those of `from` that `others` lacks, each once. */
function missing(from: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return [...new Set(from)].filter((member) => !known.has(member));
}

/** The lines of a rule share its id. A rule that is evaluated before others that it was after has changed. */
function compareRules<R extends { readonly id: number }>(before: readonly R[], after: readonly R[], view: (rule: R, at: number) => RuleView): RuleDelta {
  const [old, now] = [linesById(before, view), linesById(after, view)];
  const moved = movedIds([...old.keys()].filter((id) => now.has(id)), [...now.keys()].filter((id) => old.has(id)));
  return {
    added: [...now].flatMap(([id, lines]) => (old.has(id) ? [] : lines)),
    removed: [...old].flatMap(([id, lines]) => (now.has(id) ? [] : lines)),
    changed: [...now].flatMap(([id, lines]) => {
      const earlier = old.get(id);
      return earlier === undefined || (!moved.has(id) && textOf(earlier) === textOf(lines)) ? [] : [{ before: earlier, after: lines }];
    }),
  };
}

function linesById<R extends { readonly id: number }>(rules: readonly R[], view: (rule: R, at: number) => RuleView): Map<number, RuleView[]> {
  const lines = new Map<number, RuleView[]>();
  for (const [index, rule] of rules.entries()) {
    const known = lines.get(rule.id);
    if (known === undefined) lines.set(rule.id, [view(rule, index + 1)]);
    else known.push(view(rule, index + 1));
  }
  return lines;
}

function textOf(lines: readonly RuleView[]): string {
  return JSON.stringify(lines.map(({ at: _, ...rest }) => rest));
}

/** The fewest that must move to turn one order into the other: all but a longest increasing subsequence. */
export function movedIds(before: readonly number[], after: readonly number[]): Set<number> {
  const place = new Map(before.map((id, index) => [id, index]));
  const places = after.map((id) => place.get(id) ?? 0);
  /** For each length, where the smallest end of an increasing run of it stands in `places`. */
  const ends: number[] = [];
  const previous: number[] = [];
  for (const [index, value] of places.entries()) {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((places[ends[middle] ?? 0] ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    previous[index] = low === 0 ? -1 : (ends[low - 1] ?? -1);
    ends[low] = index;
  }
  const moved = new Set(after);
  for (let index = ends.at(-1) ?? -1; index >= 0; index = previous[index] ?? -1) moved.delete(after[index] ?? 0);
  return moved;
}
