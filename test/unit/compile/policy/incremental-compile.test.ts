/** Whatever came before, the kernel's sets are those of a compilation from scratch, and equal names of rule tables mean equal tables. */
import { expect, it } from 'vitest';
import type { CompiledTable } from '../../../../src/compile/compiled.js';
import { Compiler } from '../../../../src/compile/compiler.js';
import type { EffectiveTable } from '../../../../src/compile/effective.js';
import { PolicyEngine } from '../../../../src/compile/policy/policy-engine.js';
import { WorldState, type ObjectChange, type World } from '../../../../src/compile/world.js';
import { objectKey, type DesiredObject } from '../../../../src/model/objects.js';
import { hash32 } from '../../../../src/model/text-hash.js';
import { layout } from '../cases.js';
import { KernelSets } from '../kernel-sets.js';
import { RandomObjects } from './random-objects.js';

const OPERATIONS = Number(process.env['DFW_POLICY_OPERATIONS'] ?? 600);
const COMPARE_EVERY = 20;
const SEED = Number(process.env['DFW_POLICY_SEED'] ?? 1);

/** Filters that have tables of the same names share one compilation: that of the first. */
function checkNames(world: World, tablesOf: (filter: string) => readonly EffectiveTable[] | undefined): void {
  const known = new Map<string, EffectiveTable>();
  for (const { name: filter } of world.filters) {
    for (const each of tablesOf(filter) ?? []) {
      const { name } = each.table.metadata;
      const other = known.get(name) ?? each;
      known.set(name, other);
      if (other !== each) expect([each.table, [...each.sets]], name).toEqual([other.table, [...other.sets]]);
    }
  }
}

it(`compiles as from scratch after every ${COMPARE_EVERY} of ${OPERATIONS} changes (seed ${SEED})`, () => {
  const draw = new RandomObjects(SEED);
  const engine = new PolicyEngine({ numbers: { number: (key) => 1001 + (hash32(key) % 1_000_003) }, namesOf: () => [], cluster: 'c' });
  const attachments = new Map<string, number>();
  const world = new WorldState({ number: (key) => attachments.get(key) ?? (attachments.set(key, attachments.size + 1), attachments.size) });
  const objects = new Map<string, DesiredObject>();
  const compiler = new Compiler();
  const tablesOf = (filter: string): readonly EffectiveTable[] | undefined => engine.tables(filter);
  let kernels = new Map<string, KernelSets>();
  let compiled: ReadonlyMap<string, CompiledTable> = new Map();
  let byHosts = 0;
  for (let operation = 1; operation <= OPERATIONS; operation += 1) {
    const drawn = draw.object();
    const key = objectKey(drawn);
    const before = objects.get(key);
    const after = before !== undefined && draw.choice.chance(30) ? undefined : drawn;
    if (after === undefined) objects.delete(key);
    else objects.set(key, after);
    const changes: ObjectChange[] = [{ key, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }];
    const now = world.update(changes);
    engine.update(changes, now.filters);
    const { tables } = compiler.compile(now, tablesOf);
    const next = new Map<string, KernelSets>();
    for (const [name, table] of tables) {
      const kernel = kernels.get(name) ?? new KernelSets();
      next.set(name, kernel);
      const earlier = compiled.get(name);
      if (earlier !== table) kernel.apply(earlier, table);
      if (earlier !== table && table.delta !== undefined) byHosts += 1;
    }
    kernels = next;
    compiled = tables;
    if (operation % COMPARE_EVERY > 0) continue;
    checkNames(now, tablesOf);
    const scratch = new Compiler();
    // Ids that two labels would share by their hashes are told apart by who came first.
    scratch.seed(new Map([...tables.values()].flatMap(({ labels }) => [...labels].map(([id, label]): [number, string] => [id, label.key]))));
    const expected = scratch.compile(now, tablesOf).tables;
    expect([...expected.keys()], `after ${operation} changes`).toEqual([...tables.keys()]);
    for (const [name, table] of expected) {
      const kernel = new KernelSets();
      kernel.apply(undefined, table);
      expect(kernels.get(name)?.differences(kernel), `after ${operation} changes: ${name}`).toEqual([]);
      expect(layout(tables.get(name) ?? table), `after ${operation} changes: ${name}`).toEqual(layout(table));
    }
  }
  expect(byHosts).toBeGreaterThan(OPERATIONS / 20);
}, Math.max(600_000, OPERATIONS * 300));
