/** A throw-away evaluation of some objects is what the engine and world in force would come to, whatever their history. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { evaluateObjects } from '../../../src/app/diff-evaluation.js';
import { compareTables } from '../../../src/app/diff-tables.js';
import { provisionalNumbers } from '../../../src/app/stored-numbers.js';
import type { EffectiveTable } from '../../../src/compile/effective.js';
import { PolicyEngine } from '../../../src/compile/policy/policy-engine.js';
import { WorldState, type ObjectChange } from '../../../src/compile/world.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import { hash32 } from '../../../src/model/text-hash.js';
import type { AntreaPolicyObject } from '../../../src/model/policy-objects.js';
import { RandomObjects } from '../compile/policy/random-objects.js';

const ALL = { matchLabels: {}, matchExpressions: [] };
const labelled = (app: string): typeof ALL => ({ matchLabels: { app }, matchExpressions: [] });
const meta = (name: string, namespace?: string, labels: Record<string, string> = {}): DesiredObject['metadata'] => ({ name, labels, ...(namespace === undefined ? {} : { namespace }) });
const fresh = (): PolicyEngine => new PolicyEngine({ numbers: numbers(), namesOf: () => [] });
/** By what is numbered alone, so that two evaluations agree. */
const numbers = (): { number(key: string): number } => ({ number: (key) => 1001 + (hash32(key) % 1_000_003) });

const app = fc.constantFrom('a', 'b', 'c');
const name = fc.constantFrom('p', 'q', 'r');
const policy = fc.record({ name, tier: fc.constantFrom('application', 'custom'), group: fc.constantFrom('g', 'h', undefined), app, action: fc.constantFrom('Allow', 'Drop') }).map(
  ({ name: called, tier, group, app: selected, action }): AntreaPolicyObject => ({
    kind: 'AntreaClusterNetworkPolicy', metadata: meta(called), tier, priority: 5, appliedTo: [{ podSelector: labelled(selected) }], egress: [],
    ingress: [{ name: 'r', action, peers: [group === undefined ? { podSelector: labelled('b') } : { group }], ports: [], protocols: [], toServices: [], appliedTo: [], log: false }],
  }));
const object: fc.Arbitrary<DesiredObject> = fc.oneof(
  { weight: 3, arbitrary: policy },
  app.map((labels): DesiredObject => ({ kind: 'ClusterGroup', metadata: meta(labels === 'a' ? 'g' : 'h'), selection: { podSelector: labelled(labels) }, ipBlocks: [], childGroups: [] })),
  fc.constant<DesiredObject>({ kind: 'ClusterGroup', metadata: meta('g'), ipBlocks: [], childGroups: ['missing'] }),
  fc.constantFrom(100, 120).map((priority): DesiredObject => ({ kind: 'Tier', metadata: meta('custom'), priority: priority + 1, description: '' })),
  fc.tuple(fc.constantFrom('x', 'y', 'z'), app).map(([pod, label]): DesiredObject => ({ kind: 'Pod', metadata: meta(pod, 'default', { app: label }), addresses: [`10.0.0.${pod.charCodeAt(0)}`], ports: [] })),
  fc.tuple(name, app).map(([called, label]): DesiredObject => ({ kind: 'NetworkPolicy', metadata: meta(called, 'default'), podSelector: labelled(label), policyTypes: ['Ingress'], ingress: [{ peers: [{ podSelector: labelled('c') }], ports: [] }], egress: [] })),
  fc.constantFrom('t', 'u').map((set): DesiredObject => ({ kind: 'RuleTable', metadata: meta('table'), addressSets: [], layer2Rules: [], rules: [{ id: 1, direction: 'in', protocol: 'any', source: { not: false, addressSets: [set], addresses: [] }, sourcePorts: [], destination: { not: false, addressSets: [], addresses: [] }, ports: [], action: 'drop', log: false, stateless: false }] })),
  fc.constant<DesiredObject>({ kind: 'AddressSet', metadata: meta('t'), addresses: ['10.9.0.0/16'] }),
);
const BASE: DesiredObject[] = [
  { kind: 'Namespace', metadata: meta('default') },
  ...['x', 'y', 'z'].flatMap((pod, index): DesiredObject[] => [
    { kind: 'Pod', metadata: meta(pod, 'default', { app: 'abc'[index] ?? '' }), addresses: [`10.0.0.${pod.charCodeAt(0)}`], ports: [] },
    { kind: 'Attachment', metadata: meta(pod), workload: { kind: 'Pod', namespace: 'default', name: pod }, vnic: 'eth0', interface: `v${pod}`, addresses: [] },
  ]),
];

it('foretells what the next update gives, from whatever is in force and held', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.record({ object, remove: fc.boolean() }), { maxLength: 14 }), async (steps) => {
    const live = fresh();
    const world = new WorldState(provisionalNumbers(() => undefined, 1));
    const objects = new Map<string, DesiredObject>();
    const update = (changes: readonly ObjectChange[]): ReturnType<WorldState['update']> => {
      for (const { key, after } of changes) if (after === undefined) objects.delete(key);
      else objects.set(key, after);
      const now = world.update(changes);
      live.update(changes, now.filters);
      return now;
    };
    update(BASE.map((after) => ({ key: objectKey(after), after })));
    for (const step of steps) {
      const key = objectKey(step.object);
      const before = objects.get(key);
      if (step.remove && before === undefined) continue;
      const wanted = new Map(objects);
      if (step.remove) wanted.delete(key);
      else wanted.set(key, step.object);
      const restored = new Map(live.held().map((held): [string, DesiredObject] => [objectKey(held), held]));
      const mine = live.state(key)?.inForce ?? before;
      if (mine !== undefined && !restored.has(key)) restored.set(key, mine);
      const foretold = await evaluateObjects({
        objects: wanted, restored: [...restored.values()], restoredTables: [], engine: fresh(), numbers: provisionalNumbers(() => undefined, 1), hostAddresses: [],
      });
      const now = update([{ key, ...(before === undefined ? {} : { before }), ...(step.remove ? {} : { after: step.object }) }]);
      // Their own rule tables and those that cannot be told stand elsewhere.
      const inForce = new Map(now.filters.map((filter): [string, readonly EffectiveTable[]] => [filter.name, live.tables(filter.name) ?? []]));
      const policies = new Map(now.filters.map((filter) => [filter.name, (foretold.tables.get(filter.name) ?? []).filter(({ section }) => section !== undefined)]));
      const { changed, ...difference } = compareTables(now.filters.map((filter) => filter.name), inForce, policies);
      expect(difference).toEqual({ rules: { added: [], removed: [], changed: [] }, addressSets: { added: [], removed: [], changed: [] }, reordered: [] });
      expect([...changed]).toEqual([]);
      const texts = (list: readonly unknown[]): string[] => list.map((problem) => JSON.stringify(problem)).sort();
      expect(texts(foretold.problems.filter(({ object: at }) => !at.startsWith('RuleTable/')))).toEqual(texts([...now.problems, ...live.problems]));
    }
  }), { numRuns: 300 });
});

/** Rule tables of each filter, and problems, as they stand: from the live engine, and foretold where nothing is to change. */
async function twoAccounts(live: PolicyEngine, world: WorldState, objects: ReadonlyMap<string, DesiredObject>): Promise<{ inForce: unknown; foretold: unknown }> {
  const now = world.update([]);
  const { tables, problems } = await evaluateObjects({
    objects, restored: live.held(), restoredTables: [], engine: fresh(), numbers: { number: (key) => now.filters.find(({ attachment }) => attachment === key)?.number ?? 0 }, hostAddresses: [],
  });
  const account = (tablesOf: (filter: string) => readonly EffectiveTable[] | undefined, messages: readonly unknown[]): unknown => [
    now.filters.map(({ name: filter }) => [filter, tablesOf(filter)?.map(({ table, section, sets }) => [table, section, [...sets].map(([set, { members }]) => [set, [...members].sort()])])]),
    messages.map((problem) => JSON.stringify(problem)).sort(),
  ];
  return { inForce: account((filter) => live.tables(filter), [...now.problems, ...live.problems]), foretold: account((filter) => tables.get(filter), problems) };
}

it('foretells that nothing changes where nothing is to change, after any history', async () => {
  const draw = new RandomObjects(7);
  const live = fresh();
  const world = new WorldState(provisionalNumbers(() => undefined, 1));
  const objects = new Map<string, DesiredObject>();
  for (let step = 1; step <= 1_000; step += 1) {
    const drawn = draw.object();
    const key = objectKey(drawn);
    const before = objects.get(key);
    const after = before !== undefined && draw.choice.chance(30) ? undefined : drawn;
    if (after === undefined) objects.delete(key);
    else objects.set(key, after);
    const changes: ObjectChange[] = [{ key, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }];
    live.update(changes, world.update(changes).filters);
    if (step % 20 > 0) continue;
    const { inForce, foretold } = await twoAccounts(live, world, objects);
    expect(foretold, `after ${step} changes`).toEqual(inForce);
  }
}, 120_000);

it('keeps a held group in its version in force where that needs a deleted one', async () => {
  const group = (called: string, ...groups: string[]): DesiredObject => ({ kind: 'Group', metadata: meta(called), criteria: [], addresses: ['192.0.2.1'], workloads: [], groups });
  const user: DesiredObject = {
    kind: 'SecurityPolicy', metadata: meta('s'), category: 'Application', sequence: 1, disabled: false, appliedTo: [], rules: [{
      name: 'no', sources: [{ group: 'outer' }], sourcesExcluded: false, destinations: [], destinationsExcluded: false, services: [], action: 'Drop', direction: 'In', log: false, disabled: false, appliedTo: [],
    }],
  };
  const live = fresh();
  const world = new WorldState(provisionalNumbers(() => undefined, 1));
  const objects = new Map<string, DesiredObject>();
  const put = (...list: readonly DesiredObject[]): void => {
    const changes = list.map((after): ObjectChange => ({ key: objectKey(after), after }));
    for (const after of list) objects.set(objectKey(after), after);
    live.update(changes, world.update(changes).filters);
  };
  put(...BASE, group('inner'), group('outer', 'inner'), user);
  objects.delete('Group/inner');
  live.update([{ key: 'Group/inner', before: group('inner') }], world.update([{ key: 'Group/inner', before: group('inner') }]).filters);
  put(group('outer', 'outer'));
  expect(live.held().map((held) => objectKey(held)).sort()).toEqual(['Group/inner', 'Group/outer']);
  const { inForce, foretold } = await twoAccounts(live, world, objects);
  expect(foretold).toEqual(inForce);
});
