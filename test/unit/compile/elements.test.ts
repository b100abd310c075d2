/** Element changes from one compilation to the next, laid over what the kernel had, are the elements of the next made fresh. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import type { CompiledTable } from '../../../src/compile/compiled.js';
import type { Block } from '../../../src/drivers/nftables/blocks.js';
import { elementChanges } from '../../../src/drivers/nftables/table-elements.js';
import { tableSets } from '../../../src/drivers/nftables/table-sets.js';
import { changeSets, generateCase } from '../../oracle/generate.js';
import { Random } from '../../oracle/random.js';
import { plan, policyOf, worldOf } from './cases.js';

const sets = tableSets('t');

/** A kernel set as a map from key and end flag to data; refuses what the kernel would refuse. */
class KernelSets {
  private readonly sets = new Map<string, Map<string, string>>();

  apply(before: CompiledTable | undefined, after: CompiledTable): void {
    // A compilation by hosts alone shares its maps with the one before, and may only follow that one.
    for (const { set, remove, add } of elementChanges(sets, before, after, ({ name }) => this.sets.has(name))) {
      const held = this.sets.get(set.name) ?? new Map<string, string>();
      this.sets.set(set.name, held);
      for (const [key] of entries(remove)) {
        if (!held.delete(key)) throw new Error(`ENOENT: ${set.name} ${key}`);
      }
      for (const [key, data] of entries(add)) {
        if ((held.get(key) ?? data) !== data) throw new Error(`EEXIST: ${set.name} ${key}`);
        held.set(key, data);
      }
    }
  }

  text(): Record<string, string[]> {
    return Object.fromEntries([...this.sets].filter(([, held]) => held.size > 0).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, held]) => [name, [...held].map(([key, data]) => `${key} : ${data}`).toSorted((a, b) => (a < b ? -1 : 1))]));
  }
}

function entries(block: Block): [string, string][] {
  if (block.count === 0) return [];
  const { keys, data, dataLength, flags, keyLength } = block.segment('add', { family: 1, table: 'dfw' }, 'x');
  const hex = (bytes: Uint8Array | undefined, index: number, length: number): string => (bytes === undefined ? '' : Buffer.from(bytes.subarray(index * length, (index + 1) * length)).toString('hex'));
  return Array.from({ length: block.count }, (_, index) => {
    const end = (flags?.[index] ?? 0) & 1;
    return [`${hex(keys, index, keyLength)}${end === 1 ? ' end' : ''}`, end === 1 ? '' : hex(data, index, dataLength)];
  });
}

it('from any table to any other', { timeout: 60_000 }, () => {
  let byHosts = 0;
  for (let seed = 1; seed <= 120; seed += 1) {
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
      expect(kernel.text(), `seed ${seed}, step ${step}`).toEqual(fresh.text());
      before = after;
    }
  }
  // The short cut for changes of hosts was taken, too.
  expect(byHosts).toBeGreaterThan(10);
});
