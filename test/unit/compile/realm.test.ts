/** Filters in another realm: the same rules, compiled alike, under labels of their own. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import type { CompiledTable } from '../../../src/compile/compiled.js';
import { Random } from '../../oracle/random.js';
import { anyPackets, decide, policyOf, worldOf } from './cases.js';

const REALM = '/';

function tablesOf(seed: number): { readonly here: CompiledTable; readonly there: CompiledTable; readonly policy: ReturnType<typeof policyOf>['policy'] } | undefined {
  const { policy } = policyOf(seed);
  const world = worldOf({ ...policy, tables: policy.tables.map(({ appliedTo: _, ...table }) => table) });
  const compilation = new Compiler().compile(world, undefined, undefined, (filter) => (filter.number % 2 === 0 ? REALM : undefined));
  const keys = world.filters.map((filter) => [filter.number % 2, compilation.filterTables.get(filter.name) ?? ''] as const);
  const [here, there] = [1, 0].map((parity) => compilation.tables.get(keys.find(([one]) => one === parity)?.[1] ?? ''));
  return here === undefined || there === undefined ? undefined : { here, there, policy };
}

it('decides the same in both, and no label is in both', () => {
  let compared = 0;
  for (let seed = 1; seed <= 20; seed += 1) {
    const made = tablesOf(seed);
    if (made === undefined) continue;
    const { here, there, policy } = made;
    expect([...here.labels.keys()].filter((id) => there.labels.has(id))).toEqual([]);
    expect([...there.labels.values()].every(({ key }) => key.startsWith(REALM))).toBe(true);
    for (const packet of anyPackets(new Random(seed), policy, 100)) {
      for (const side of ['in', 'out'] as const) {
        const [one, other] = [decide(here, side, packet), decide(there, side, packet)];
        if (one === 'guarded' || other === 'guarded') continue;
        expect([other.table, other.ruleId, other.action]).toEqual([one.table, one.ruleId, one.action]);
        compared += 1;
      }
    }
  }
  expect(compared).toBeGreaterThan(1_000);
});

it('a filter that changes its realm changes its labels, and gets the old ones back', () => {
  const { policy } = policyOf(3);
  const world = worldOf({ ...policy, tables: policy.tables.map(({ appliedTo: _, ...table }) => table) });
  const compiler = new Compiler();
  const ids = (realm: string | undefined): number[] => [...compiler.compile(world, undefined, undefined, () => realm).tables.values()].flatMap(({ labels }) => [...labels.keys()]).sort((a, b) => a - b);
  const [routed, bridged, again] = [ids(undefined), ids(REALM), ids(undefined)];
  expect(routed.length).toBeGreaterThan(0);
  expect(bridged).not.toEqual(routed);
  expect(again).toEqual(routed);
});
