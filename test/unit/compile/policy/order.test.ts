import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SECTIONS, type PolicyOrder } from '../../../../src/compile/policy/ir.js';
import { compareOrder } from '../../../../src/compile/policy/order.js';
import { BUILT_IN_TIERS, tierProblem } from '../../../../src/model/tiers.js';
import type { PolicyObject, SecurityCategory } from '../../../../src/model/policy-objects.js';
import { lowerPolicy } from '../../../../src/compile/policy/lower.js';
import { adminPolicy, clusterPolicy, namespacedPolicy, networkPolicy, securityPolicy } from './objects.js';

const tiers: Readonly<Record<string, number>> = { first: 0, 'just-before': 99, 'just-after': 101, 'like-admin': 220, last: 249 };
const context = { tierPriority: (name: string) => tiers[name] ?? BUILT_IN_TIERS.get(name), loggingAnnotation: () => false };
const orderOf = (object: PolicyObject): PolicyOrder => lowerPolicy(object, context).order;
const tier = (name: string): PolicyObject => clusterPolicy({ tier: name });
const category = (name: SecurityCategory): PolicyObject => securityPolicy({ category: name });

/** As the table in docs/order.md has it. */
const EVALUATION: readonly (readonly [string, PolicyObject])[] = [
  ['SecurityPolicy Emergency', category('Emergency')], ['tier 0', tier('first')], ['emergency', tier('emergency')], ['tier 99', tier('just-before')],
  ['SecurityPolicy Infrastructure', category('Infrastructure')], ['SecurityPolicy Environment', category('Environment')],
  ['securityops', tier('securityops')], ['tier 101', tier('just-after')], ['networkops', tier('networkops')], ['platform', tier('platform')],
  ['ClusterNetworkPolicy Admin', adminPolicy({ kind: 'ClusterNetworkPolicy' })], ['tier 249', tier('last')],
  ['SecurityPolicy Application', category('Application')], ['application', tier('application')], ['AdminNetworkPolicy', adminPolicy()],
  ['NetworkPolicy', networkPolicy()], ['baseline', tier('baseline')],
  ['BaselineAdminNetworkPolicy', adminPolicy({ kind: 'BaselineAdminNetworkPolicy', tier: 'Baseline', priority: 0 })],
  ['ClusterNetworkPolicy Baseline', adminPolicy({ kind: 'ClusterNetworkPolicy', tier: 'Baseline' })],
];

describe('the order of policies', () => {
  it('is the documented one', () => {
    const sorted = EVALUATION.toReversed().map(([name, object]) => ({ name, order: orderOf(object) })).sort((a, b) => compareOrder(a.order, b.order));
    expect(sorted.map(({ name }) => name)).toEqual(EVALUATION.map(([name]) => name));
  });

  it('asks the priority first, then the name, whatever the kind', () => {
    const named = (name: string): PolicyObject['metadata'] => ({ name, labels: {} });
    const objects = [
      clusterPolicy({ tier: 'like-admin', priority: 1.001, metadata: named('z') }), adminPolicy({ kind: 'ClusterNetworkPolicy', priority: 5, metadata: named('a') }),
      clusterPolicy({ tier: 'like-admin', priority: 5, metadata: named('a') }), clusterPolicy({ tier: 'like-admin', priority: 5, metadata: named('B') }),
      namespacedPolicy({ tier: 'like-admin', priority: 5 }), clusterPolicy({ tier: 'like-admin', priority: 1.002, metadata: named('a') }),
    ];
    expect(objects.map(orderOf).sort(compareOrder).map(({ name }) => name)).toEqual([
      'AntreaClusterNetworkPolicy:z', 'AntreaClusterNetworkPolicy:a', 'AntreaClusterNetworkPolicy:B', 'AntreaClusterNetworkPolicy:a', 'AntreaNetworkPolicy:shop/annp', 'ClusterNetworkPolicy:a',
    ]);
  });

  const order = fc.record({
    section: fc.constantFrom(...SECTIONS), rank: fc.constantFrom(-1, 50, 99.3, 253), priority: fc.constantFrom(0, 1, 1.001, 10_000), name: fc.constantFrom('a', 'B', 'ä', 'b', 'a/b', '\u{1f600}', '\uffff'),
  });
  const same = (a: PolicyOrder, b: PolicyOrder): boolean => a.section === b.section && a.rank === b.rank && a.priority === b.priority && a.name === b.name;

  it('is total, antisymmetric and transitive', () => {
    fc.assert(fc.property(order, order, order, (a, b, c) => {
      const [ab, ba, bc, ac] = [compareOrder(a, b), compareOrder(b, a), compareOrder(b, c), compareOrder(a, c)].map(Math.sign);
      expect(ab === 0).toBe(same(a, b));
      expect(ab).toBe(ba === 0 ? 0 : -(ba ?? 0));
      if (ab === bc) expect(ac).toBe(ab);
    }), { numRuns: 2_000 });
  });

  it('does not depend on the order of the input', () => {
    fc.assert(fc.property(fc.array(order, { maxLength: 12 }).chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))), ([list, shuffled]) => {
      expect(shuffled.toSorted(compareOrder)).toEqual(list.toSorted(compareOrder));
    }));
  });
});

describe('a Tier object', () => {
  it.each([['mytier', 10], ['edge', 249], ['baseline', 253], ['emergency', 50], ['first', 0]])('%s may have %d', (name, priority) => {
    expect(tierProblem(name, priority)).toBeUndefined();
  });

  it.each([['baseline', 10], ['mine', 250], ['mine', 253], ['mine', 50], ['mine', 251], ['mine', 254], ['mine', -1]])('%s may not have %d', (name, priority) => {
    expect(tierProblem(name, priority)).toMatch(/tier/);
  });
});
