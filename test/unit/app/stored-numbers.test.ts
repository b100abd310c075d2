import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StoredFilterNumbers } from '../../../src/app/filter-numbers.js';
import { StoredRuleNumbers } from '../../../src/app/rule-numbers.js';
import { provisionalNumbers, readNumbers, type NumberStore } from '../../../src/app/stored-numbers.js';
import { FIRST_FREE_RULE_ID } from '../../../src/compile/policy/isolation.js';
import { isAgentError } from '../../../src/model/errors.js';

class MemoryStore implements NumberStore {
  writes = 0;
  constructor(public text?: string) {}
  read(): string | undefined {
    return this.text;
  }
  async write(text: string): Promise<void> {
    this.text = text;
    this.writes += 1;
  }
}

const KINDS = [['filter', StoredFilterNumbers], ['rule', StoredRuleNumbers]] as const;

describe('readNumbers', () => {
  it('is empty when nothing was stored', () => {
    expect(readNumbers(new MemoryStore(), 'filter', 'filters.json').size).toBe(0);
  });
  it('keeps the order and leaves out what is no integer', () => {
    const text = '{"b": 2, "x": "3", "y": 1.5, "z": null, "": 7, "a": 1}';
    expect([...readNumbers(new MemoryStore(text), 'filter', 'filters.json')]).toEqual([['b', 2], ['', 7], ['a', 1]]);
  });
  it.each(['', '{', '{"a": 1', 'null', '[1]', '5'])('refuses %j with the file and what to do', (text) => {
    const failure = (): unknown => readNumbers(new MemoryStore(text), 'rule', 'rules.json');
    expect(failure).toThrowError(expect.toSatisfy((error: unknown) => isAgentError(error, 'E_IO') && error.object === 'rules.json'));
    expect(failure).toThrowError(/stored rule numbers are damaged: .*; remove the file to number rules anew/u);
  });
});

describe('provisionalNumbers', () => {
  it('gives what is known, and for others the next ones, the same each time', () => {
    const numbers = provisionalNumbers((key) => (key === 'old' ? 3 : undefined), 10);
    expect(['old', 'a', 'b', 'old', 'a'].map((key) => numbers.number(key))).toEqual([3, 10, 11, 3, 10]);
  });
  it.each(KINDS)('of stored %s numbers are those that are given next, and give none', async (_, Numbers) => {
    const store = new MemoryStore();
    const numbers = new Numbers(store);
    numbers.number('old');
    await numbers.save();
    const provisional = numbers.provisional();
    const expected = ['new', 'old', 'newer'].map((key) => provisional.number(key));
    await numbers.save();
    expect(store.writes).toBe(1);
    expect(['new', 'old', 'newer'].map((key) => numbers.number(key))).toEqual(expected);
  });
});

describe.each(KINDS)('stored %s numbers', (_, Numbers) => {
  it('are distinct, and the same after every restart, whatever was asked before', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.array(fc.string({ maxLength: 4 }).map((text) => `k${text}`), { maxLength: 20 }), { maxLength: 5 }), async (runs) => {
      const store = new MemoryStore();
      const given = new Map<string, number>();
      for (const keys of runs) {
        const numbers = new Numbers(store);
        numbers.load();
        for (const key of keys) {
          const number = numbers.number(key);
          expect(number).toBe(given.get(key) ?? number);
          given.set(key, number);
        }
        await numbers.save();
      }
      expect(new Set(given.values()).size).toBe(given.size);
    }));
  });
  it('are written only when there are new ones', async () => {
    const store = new MemoryStore();
    const numbers = new Numbers(store);
    await numbers.save();
    expect(store.writes).toBe(0);
    numbers.number('a');
    await numbers.save();
    numbers.number('a');
    await numbers.save();
    expect(store.writes).toBe(1);
  });
});

describe('rule numbers that are forgotten', () => {
  const restarted = (store: NumberStore): StoredRuleNumbers => {
    const numbers = new StoredRuleNumbers(store);
    numbers.load();
    return numbers;
  };

  it('are those not used for longest, and none is given again', async () => {
    const store = new MemoryStore();
    const before = restarted(store);
    const used = ['np/used/0', 'np/used/1'].map((key) => before.number(key));
    expect(used).toEqual([FIRST_FREE_RULE_ID, FIRST_FREE_RULE_ID + 1]);
    expect(before.number('np/gone/0')).toBe(FIRST_FREE_RULE_ID + 2);
    for (let index = 0; index < 199_000; index += 1) before.number(`np/churn/${index}`);
    await before.save();

    // A start asks for every rule in force; then come more than are remembered.
    const after = restarted(store);
    expect(['np/used/0', 'np/used/1'].map((key) => after.number(key))).toEqual(used);
    for (let index = 0; index < 2_000; index += 1) after.number(`np/more/${index}`);
    const last = after.number('np/last/0');
    await after.save();

    const later = restarted(store);
    expect(['np/used/0', 'np/used/1'].map((key) => later.known(key))).toEqual(used);
    expect([later.known('np/gone/0'), later.known('np/churn/0')]).toEqual([undefined, undefined]);
    expect(later.number('np/gone/0')).toBe(last + 1);
  });
});

describe('filter numbers of pods that come and go', () => {
  it('are forgotten after a thousand others, never while they are there', async () => {
    const store = new MemoryStore();
    const numbers = new StoredFilterNumbers(store);
    const stays = numbers.number('stays');
    for (let pod = 0; pod < 10_000; pod += 1) {
      numbers.number(`pod-${pod}`);
      numbers.retain(new Set(['stays', `pod-${pod}`]));
    }
    await numbers.save();
    const kept = Object.keys(JSON.parse(store.text ?? '') as Record<string, number>);
    expect(kept.length).toBeLessThan(2_010);
    expect(kept).toEqual(expect.arrayContaining(['stays', 'pod-9999', 'pod-9100']));
    const again = new StoredFilterNumbers(store);
    again.load();
    expect([again.number('stays'), again.number('pod-9999')]).toEqual([stays, numbers.number('pod-9999')]);
    // Nobody who is remembered has the number of one that is new.
    const fresh = again.number('another');
    expect(kept.map((name) => again.number(name))).not.toContain(fresh);
  });
});
