import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareTables, movedIds, type FilterTables } from '../../../src/app/diff-tables.js';
import type { EffectiveTable } from '../../../src/compile/effective.js';
import type { Rule } from '../../../src/model/rule.js';

const ANY = { not: false, addressSets: [], addresses: [] };
const rule = (id: number, fields: Partial<Rule> = {}): Rule => ({ id, direction: 'in', protocol: 6, source: ANY, sourcePorts: [], destination: ANY, ports: [{ first: id % 100, last: id % 100 }], action: 'accept', log: false, stateless: false, ...fields });
const table = (name: string, rules: readonly Rule[], sets: Readonly<Record<string, readonly string[]>> = {}): EffectiveTable => ({
  table: { kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], rules, layer2Rules: [] },
  sets: new Map(Object.entries(sets).map(([set, members]) => [set, { key: `${name} ${set}`, members }])),
});
const one = (tables: readonly EffectiveTable[]): FilterTables => new Map([['f', tables]]);

describe('differences of rule tables', () => {
  it('are none between tables of equal content', () => {
    const make = (): EffectiveTable[] => [table('a', [rule(1), rule(1), rule(2)], { s: ['10.0.0.1', '10.0.0.2'] }), table('b', [rule(3)])];
    const { changed, ...rest } = compareTables(['f'], one(make()), one(make()));
    expect([...changed]).toEqual([]);
    expect(rest).toEqual({ rules: { added: [], removed: [], changed: [] }, addressSets: { added: [], removed: [], changed: [] }, reordered: [] });
  });

  it('name filters once for what they share, and rules by id', () => {
    const [old, now] = [table('a', [rule(1), rule(2), rule(4)], { s: ['10.0.0.1'], t: [] }), table('a', [rule(1, { action: 'drop' }), rule(3), rule(4)], { s: ['10.0.0.2', '10.0.0.1'], u: ['10.0.0.9'] })];
    const { rules, addressSets, changed } = compareTables(['f', 'g', 'h'], new Map([['f', [old]], ['g', [old]], ['h', [now]]]), new Map([['f', [now]], ['g', [now]], ['h', [now]]]));
    expect([...changed]).toEqual(['f', 'g']);
    const ids = (list: readonly { readonly filters: string[]; readonly rule: { id: number } }[]): unknown[] => list.map(({ filters, rule: { id } }) => [filters.join(), id]);
    expect([ids(rules.added), ids(rules.removed)]).toEqual([[['f,g', 3]], [['f,g', 2]]]);
    expect(rules.changed.map(({ filters, before, after }) => [filters, before[0]?.action, after[0]?.action])).toEqual([[['f', 'g'], 'accept', 'drop']]);
    expect(addressSets).toEqual({
      added: [{ name: 'u', filters: ['f', 'g'], addresses: ['10.0.0.9'] }], removed: [{ name: 't', filters: ['f', 'g'], addresses: [] }],
      changed: [{ name: 's', filters: ['f', 'g'], added: ['10.0.0.2'], removed: [] }],
    });
  });

  it('count a filter whose last table goes, or whose first comes empty', () => {
    expect([...compareTables(['f'], one([]), new Map()).changed]).toEqual(['f']);
    expect([...compareTables(['f'], new Map(), one([])).changed]).toEqual(['f']);
  });

  it('tell tables in another order', () => {
    const [a, b, c] = [table('a', [rule(1)]), table('b', [rule(2)]), table('c', [rule(3)])];
    const { reordered, changed, rules } = compareTables(['f'], one([a, b]), one([b, c, a]));
    expect(reordered).toEqual([{ filters: ['f'], before: ['a', 'b'], after: ['b', 'a'] }]);
    expect([...changed]).toEqual(['f']);
    expect(rules.added.map(({ ruleset }) => ruleset)).toEqual(['c']);
  });

  it('rebuild one table from the other: what is neither added, removed nor changed keeps its order', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 10 });
    const rules = ids.chain((list) => fc.tuple(...list.map((id) => fc.constantFrom<Rule['action'][]>('accept', 'drop').map((action) => rule(id, { action })))));
    fc.assert(fc.property(rules, rules, (before, after) => {
      const found = compareTables(['f'], one([table('a', before)]), one([table('a', after)])).rules;
      const [added, removed] = [found.added, found.removed].map((list) => new Set(list.map((entry) => entry.rule.id)));
      const changed = new Set(found.changed.map((entry) => entry.after[0]?.id));
      const kept = (list: readonly Rule[], gone: ReadonlySet<unknown> | undefined): unknown[] => list.filter(({ id }) => gone?.has(id) !== true && !changed.has(id));
      expect(kept(before, removed)).toEqual(kept(after, added));
      const [old, now] = [new Set(before.map(({ id }) => id)), new Set(after.map(({ id }) => id))];
      expect([added, removed]).toEqual([new Set([...now].filter((id) => !old.has(id))), new Set([...old].filter((id) => !now.has(id)))]);
    }), { numRuns: 300 });
  });

  it('move the fewest', () => {
    const fewest = (before: readonly number[], after: readonly number[]): number => {
      const place = after.map((id) => before.indexOf(id));
      let longest = 0;
      for (let mask = 0; mask < 1 << place.length; mask += 1) {
        const run = place.filter((_, index) => (mask >> index) % 2 === 1);
        if (run.every((value, index) => index === 0 || value > (run[index - 1] ?? 0))) longest = Math.max(longest, run.length);
      }
      return before.length - longest;
    };
    fc.assert(fc.property(fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7], { minLength: 7 }), (after) => {
      const before = [1, 2, 3, 4, 5, 6, 7];
      const moved = movedIds(before, after);
      expect(after.filter((id) => !moved.has(id))).toEqual(before.filter((id) => !moved.has(id)));
      expect(moved.size).toBe(fewest(before, after));
    }), { numRuns: 200 });
  });
});
