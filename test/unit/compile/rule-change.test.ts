/** Rules that come, go, move and change, one change after the other: equal to a compilation from scratch, and no loss overlooked. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import { losses } from '../../../src/compile/losses.js';
import { layoutFacts } from '../../../src/drivers/nftables/pieces.js';
import { tableSets } from '../../../src/drivers/nftables/table-sets.js';
import type { Rule } from '../../../src/model/rule.js';
import type { ExpectedPolicy } from '../../oracle/expectation.js';
import { generateTable } from '../../oracle/generate.js';
import { describePacket } from '../../oracle/packet.js';
import { Random } from '../../oracle/random.js';
import { anyPackets, decide, everywhere, HOSTS, layout, onlyTable, plan, policyOf, SIDES, worldOf } from './cases.js';
import { KernelSets } from './kernel-sets.js';

/** One rule of one table more, less, elsewhere or otherwise; sometimes a host of a set comes along. Rules are objects of their own, as after reading a file. */
function changeRule(random: Random, policy: ExpectedPolicy, id: number): ExpectedPolicy {
  const place = random.int(0, policy.tables.length - 1);
  return {
    ...policy,
    tables: policy.tables.map((table, index) => {
      if (index !== place) return table;
      const names = table.addressSets.map((set) => set.name);
      const at = random.int(0, Math.max(0, table.rules.length - 1));
      const rule = table.rules[at];
      if (rule === undefined) return table;
      const side = () => (random.chance(0.2) ? { not: false, addressSets: [], addresses: [] } : { not: random.chance(0.1), addressSets: [random.pick(names)], addresses: [] });
      const extra = (): Rule => {
        const [made] = generateTable(random, plan, 'x', id, [], { maxRules: 1, layer2: false }).rules;
        const { family: _, ...rest } = made ?? rule;
        return { ...rest, id, sourcePorts: [], source: side(), destination: side() };
      };
      const rules = (): readonly Rule[] => {
        switch (random.int(0, 5)) {
          case 0: return table.rules.length > 1 ? table.rules.toSpliced(at, 1) : table.rules;
          case 1: return table.rules.toSpliced(at, 1).toSpliced(random.int(0, table.rules.length - 1), 0, rule);
          case 2: {
            const says = { action: random.pick(['accept', 'drop', 'reject'] as const), log: random.chance(0.5) };
            return table.rules.map((one) => (one.id === rule.id ? { ...one, ...says } : one));
          }
          case 3: return table.rules.map((one) => (one === rule ? { ...one, source: side() } : one));
          default: return table.rules.toSpliced(at, 0, extra());
        }
      };
      const addressSets = random.chance(0.9) ? table.addressSets : table.addressSets.map((set) => ({ ...set, addresses: [...new Set([...set.addresses, random.pick(HOSTS)])] }));
      return { ...table, addressSets, rules: structuredClone(rules()) };
    }),
  };
}

it('changes as a compilation from scratch would', { timeout: 180_000 }, () => {
  let taken = 0;
  let sameFacts = 0;
  let revoked = 0;
  for (let seed = 1; seed <= 18; seed += 1) {
    const random = new Random(seed);
    // Every third table is too large for a profile of every local address.
    const limits = seed % 3 === 0 ? { maxLocals: 0 } : {};
    const compiler = new Compiler(limits);
    const kernel = new KernelSets();
    let policy = everywhere(policyOf(seed).policy);
    let before = onlyTable(compiler.compile(worldOf(policy)));
    let layoutBefore = layout(before);
    kernel.apply(undefined, before);
    for (let step = 0; step < 8; step += 1) {
      const next = changeRule(random, policy, 2_000_000_100 + step);
      const packets = anyPackets(random, next, 60);
      const decided = packets.map((packet) => SIDES.map((side) => decide(before, side, packet)));
      const after = onlyTable(compiler.compile(worldOf(next)));
      const scratch = onlyTable(new Compiler(limits).compile(worldOf(next)));
      const at = `seed ${seed}, step ${step}`;
      if (after.repaint !== undefined) taken += 1;
      const layoutAfter = layout(after);
      // The driver makes chains anew only where these facts differ.
      const names = tableSets('t');
      if (layoutFacts(names, before) === layoutFacts(names, after)) {
        sameFacts += 1;
        expect(layoutBefore, at).toEqual(layoutAfter);
      }

      kernel.apply(before, after);
      const expected = new KernelSets();
      expected.apply(undefined, scratch);
      expect(kernel.differences(expected), at).toEqual([]);
      expect(layoutAfter, at).toEqual(layout(scratch));
      expect(new Map([...after.labels].toSorted(([a], [b]) => a - b)), at).toEqual(new Map([...scratch.labels].toSorted(([a], [b]) => a - b)));

      const lost = losses(before, after);
      for (const [index, packet] of packets.entries()) {
        for (const [place, side] of SIDES.entries()) {
          const was = decided[index]?.[place];
          const now = decide(after, side, packet);
          if (was === undefined || was === 'guarded' || was.action !== 'accept') continue;
          if (now !== 'guarded' && now.id === was.id) continue; // what its label says is the driver's to follow
          revoked += 1;
          expect(lost.has(was.id), `${at}, ${side}: ${describePacket(packet)} was ${was.key}, is ${now === 'guarded' ? now : now.key}`).toBe(true);
        }
      }
      policy = next;
      before = after;
      layoutBefore = layoutAfter;
    }
  }
  expect(taken).toBeGreaterThan(15);
  expect(sameFacts).toBeGreaterThan(15);
  expect(revoked).toBeGreaterThan(40);
});
