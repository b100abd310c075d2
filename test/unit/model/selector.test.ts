import { describe, expect, it } from 'vitest';
import type { LabelRequirement } from '../../../src/model/objects.js';
import { selectorIsEmpty, selectorMatches } from '../../../src/model/selector.js';

const labels = { app: 'web', tier: 'front', empty: '' };
const expression = (key: string, operator: LabelRequirement['operator'], ...values: string[]) => ({ matchLabels: {}, matchExpressions: [{ key, operator, values }] });

describe('label selectors', () => {
  it.each<[string, LabelRequirement['operator'], string[], boolean]>([
    ['app', 'In', ['db', 'web'], true], ['app', 'In', ['db'], false], ['absent', 'In', ['db'], false], ['empty', 'In', [''], true],
    ['app', 'NotIn', ['db'], true], ['app', 'NotIn', ['web'], false], ['absent', 'NotIn', ['web'], true],
    ['app', 'Exists', [], true], ['empty', 'Exists', [], true], ['absent', 'Exists', [], false],
    ['app', 'DoesNotExist', [], false], ['absent', 'DoesNotExist', [], true],
  ])('%s %s %j is %s', (key, operator, values, expected) => {
    expect(selectorMatches(expression(key, operator, ...values), labels)).toBe(expected);
  });

  it('need every label and every requirement', () => {
    const both = { matchLabels: { app: 'web', tier: 'front' }, matchExpressions: [] };
    expect(selectorMatches(both, labels)).toBe(true);
    expect(selectorMatches(both, { app: 'web' })).toBe(false);
    expect(selectorMatches({ ...both, ...expression('app', 'DoesNotExist'), matchLabels: { app: 'web' } }, labels)).toBe(false);
  });

  it('match everything when empty', () => {
    const empty = { matchLabels: {}, matchExpressions: [] };
    expect(selectorIsEmpty(empty)).toBe(true);
    expect(selectorMatches(empty, {})).toBe(true);
    expect(selectorIsEmpty(expression('app', 'Exists'))).toBe(false);
  });

  it('look at own keys only', () => {
    expect(selectorMatches(expression('constructor', 'Exists'), {})).toBe(false);
    expect(selectorMatches(expression('toString', 'DoesNotExist'), {})).toBe(true);
  });
});
