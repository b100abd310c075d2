import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MemberSelector } from '../../../../src/compile/policy/ir.js';
import { memberSelectorKey, selectorKey } from '../../../../src/compile/policy/selector-key.js';
import type { LabelRequirement, LabelSelector } from '../../../../src/model/metadata.js';
import { selectorMatches } from '../../../../src/model/selector.js';

const labels = (matchLabels: Record<string, string>, ...matchExpressions: LabelRequirement[]): LabelSelector => ({ matchLabels, matchExpressions });
const requirement = (key: string, operator: LabelRequirement['operator'], ...values: string[]): LabelRequirement => ({ key, operator, values });
const pods = (rest: Omit<Extract<MemberSelector, { of: 'pods' }>, 'of'>): string => memberSelectorKey({ of: 'pods', ...rest });

describe('selector keys', () => {
  it.each<[string, LabelSelector | undefined, string]>([
    ['absent', undefined, '*'],
    ['empty', labels({}), '*'],
    ['labels in any order', labels({ tier: 'front', app: 'web' }), 'app=web,tier=front'],
    ['In of one value is a label', labels({}, requirement('app', 'In', 'web', 'web')), 'app=web'],
    ['values in any order', labels({}, requirement('app', 'In', 'web', 'db', 'web')), 'app in (db,web)'],
    ['all operators', labels({ a: 'b' }, requirement('z', 'Exists'), requirement('y', 'DoesNotExist'), requirement('x', 'NotIn', '2', '1')), '!y,a=b,x notin (1,2),z'],
    ['a term given twice', labels({ a: 'b' }, requirement('a', 'In', 'b')), 'a=b'],
    ['the empty value', labels({ a: '' }), 'a=""'],
    ['what looks like syntax', labels({ '*': 'x,y=z' }), '"*"="x,y=z"'],
  ])('%s', (_title, selector, key) => {
    expect(selectorKey(selector)).toBe(key);
  });

  it('name the namespaces, and nothing twice', () => {
    const web = labels({ app: 'web' });
    expect(pods({ namespace: 'shop', podSelector: web })).toBe('pods in shop app=web');
    expect(pods({ namespaceSelector: labels({ env: 'prod' }), podSelector: web })).toBe('pods in {env=prod} app=web');
    expect(pods({ namespace: 'shop', serviceAccount: 'robot' })).toBe('pods in shop * serviceAccount robot');
    expect(new Set([pods({}), pods({ podSelector: labels({}) }), pods({ namespaceSelector: labels({}) })])).toEqual(new Set(['pods in * *']));
    expect(memberSelectorKey({ of: 'nodes', nodeSelector: labels({}) })).toBe('nodes *');
    expect(memberSelectorKey({ of: 'externalEntities', namespace: 'shop', selector: web })).toBe('externalEntities in shop app=web');
  });

  const text = fc.constantFrom('a', 'b', '', '*', 'a,b', 'a=b', '!a', 'a in (b)', '"a"', ' ', '(', ')', '{', '}', 'serviceAccount');
  const operator = fc.constantFrom<LabelRequirement['operator']>('In', 'NotIn', 'Exists', 'DoesNotExist');
  const anyRequirement = fc.record({ key: text, operator, values: fc.array(text, { maxLength: 3 }) });
  const anySelector = fc.record({ matchLabels: fc.dictionary(text, text, { maxKeys: 2, noNullPrototype: true }), matchExpressions: fc.array(anyRequirement, { maxLength: 2 }) });
  const anyLabels = fc.array(fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }), { minLength: 8, maxLength: 8 });

  it('are equal only for selectors that match alike', () => {
    const seen = new Map<string, LabelSelector>();
    fc.assert(fc.property(anySelector, anyLabels, (selector, things) => {
      const key = selectorKey(selector);
      const other = seen.get(key) ?? selector;
      seen.set(key, selector);
      for (const thing of things) expect(selectorMatches(selector, thing)).toBe(selectorMatches(other, thing));
    }), { numRuns: 3_000 });
  });

  it('stay when terms and values change places', () => {
    fc.assert(fc.property(anySelector, (selector) => {
      const turned = {
        matchLabels: Object.fromEntries(Object.entries(selector.matchLabels).reverse()),
        matchExpressions: selector.matchExpressions.map((one) => ({ ...one, values: [...one.values].reverse() })).reverse(),
      };
      expect(selectorKey(turned)).toBe(selectorKey(selector));
    }));
  });

  it('of members are equal only for equal parts', () => {
    const namespace = fc.option(text, { nil: undefined });
    const anyPods = fc.record({ namespace, namespaceSelector: fc.option(anySelector, { nil: undefined }), podSelector: fc.option(anySelector, { nil: undefined }), serviceAccount: namespace });
    const seen = new Map<string, string>();
    fc.assert(fc.property(anyPods, (parts) => {
      const selector: MemberSelector = {
        of: 'pods',
        ...(parts.namespace === undefined ? {} : { namespace: parts.namespace }),
        ...(parts.namespaceSelector === undefined ? {} : { namespaceSelector: parts.namespaceSelector }),
        ...(parts.podSelector === undefined ? {} : { podSelector: parts.podSelector }),
        ...(parts.serviceAccount === undefined ? {} : { serviceAccount: parts.serviceAccount }),
      };
      const namespaces = parts.namespaceSelector === undefined ? ['name', parts.namespace ?? null] : ['selector', selectorKey(parts.namespaceSelector)];
      const all = namespaces[1] === null || (namespaces[0] === 'selector' && namespaces[1] === '*');
      const identity = JSON.stringify([all ? 'all' : namespaces, selectorKey(parts.podSelector), parts.serviceAccount ?? null]);
      const key = memberSelectorKey(selector);
      expect(seen.get(key) ?? identity).toBe(identity);
      seen.set(key, identity);
    }), { numRuns: 3_000 });
  });
});
