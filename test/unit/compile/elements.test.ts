/** Element changes from one compilation to the next, laid over what the kernel had, are the elements of the next made fresh. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import type { CompiledTable } from '../../../src/compile/compiled.js';
import { changeSets, generateCase } from '../../oracle/generate.js';
import { Random } from '../../oracle/random.js';
import { plan, policyOf, worldOf } from './cases.js';
import { KernelSets } from './kernel-sets.js';

it('from any table to any other', { timeout: 180_000 }, () => {
  let byHosts = 0;
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = new Random(seed);
    const compiler = new Compiler();
    const kernel = new KernelSets();
    let policy = { ...policyOf(seed).policy, sharedSets: generateCase(seed, plan, { packets: 0 }).sharedSets };
    let before: CompiledTable | undefined;
    for (let step = 0; step < 4; step += 1) {
      if (step > 0) {
        if (random.chance(0.5)) policy = { ...policy, tables: changeSets(random, plan, policy.tables) };
        else policy = policyOf(seed * 100 + step).policy;
      }
      // One list of tables for one filter: what differs between filters is not the matter here.
      const tables = policy.tables.map(({ appliedTo: _, ...table }) => table);
      const [after] = new Set(compiler.compile(worldOf({ ...policy, tables: tables.slice(0, 1).map((table) => ({ ...table, name: 'table' })) })).tables.values());
      if (after === undefined) throw new Error('nothing compiled');
      if (after.delta !== undefined) byHosts += 1;
      kernel.apply(before, after);
      const fresh = new KernelSets();
      fresh.apply(undefined, after);
      expect(kernel.differences(fresh), `seed ${seed}, step ${step}`).toEqual([]);
      before = after;
    }
  }
  // The short cut for changes of hosts was taken, too.
  expect(byHosts).toBeGreaterThan(5);
});
