import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matchesPattern } from '../../../src/dns/pattern.js';

test('* stands for anything, also nothing and several labels', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['*github.com', 'github.com', true], ['*github.com', 'api.v3.github.com', true], ['*.github.com', 'github.com', false], ['*.github.com', 'a.b.github.com', true],
    ['github.*', 'github.com', true], ['a*b*c', 'axxbyyc', true], ['a*b*c', 'acb', false], ['github.com', 'githubxcom', false], ['*', '', true], ['', 'a', false],
  ];
  for (const [pattern, name, matches] of cases) expect({ pattern, name, matches: matchesPattern(pattern, name) }).toEqual({ pattern, name, matches });
});

test('is what the regular expression says', () => {
  const text = (letters: string) => fc.string({ unit: fc.constantFrom(...letters.split('')), maxLength: 12 });
  fc.assert(fc.property(text('ab.*'), text('ab.'), (pattern, name) => {
    const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll(/\*+/g, '.*')}$`);
    expect(matchesPattern(pattern, name)).toBe(expression.test(name));
  }), { numRuns: 2_000 });
});

test('takes no long time for a pattern made to', () => {
  const pattern = `${'*a'.repeat(120)}b`;
  expect(matchesPattern(pattern, 'a'.repeat(250))).toBe(false);
});
