/** Hosts that come to and leave sets, one change after the other: equal to a compilation from scratch, and no loss overlooked. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import { losses } from '../../../src/compile/losses.js';
import type { CompileLimits } from '../../../src/compile/profiles.js';
import type { ExpectedPolicy } from '../../oracle/expectation.js';
import { describePacket } from '../../oracle/packet.js';
import { Random } from '../../oracle/random.js';
import { anyPackets, decide, everywhere, HOSTS, layout, onlyTable, policyOf, SIDES, worldOf } from './cases.js';
import { KernelSets } from './kernel-sets.js';

/** A host more or less in some sets of some tables. */
function changeHosts(random: Random, policy: ExpectedPolicy): ExpectedPolicy {
  return {
    ...policy,
    tables: policy.tables.map((table) => ({
      ...table,
      addressSets: table.addressSets.map((set) => {
        if (random.chance(0.6)) return set;
        const hosts = set.addresses.filter((address) => !/[-/]/.test(address));
        const gone = random.chance(0.5) && hosts.length > 0 ? random.pick(hosts) : undefined;
        const added = gone === undefined || random.chance(0.3) ? [random.pick(HOSTS)] : [];
        return { ...set, addresses: [...new Set([...set.addresses.filter((address) => address !== gone), ...added])] };
      }),
    })),
  };
}

for (const [what, limits, least] of [
  ['every local address has a profile', {}, 25],
  ['declared addresses have profiles', { maxLocals: 0 }, 25],
  ['the table crosses the limit', { maxLocals: 12 }, 16],
] as const satisfies readonly (readonly [string, CompileLimits, number])[]) {
  it(`changes as a compilation from scratch would, where ${what}`, { timeout: 180_000 }, () => {
    let byHosts = 0;
    let localMoves = 0;
    let revoked = 0;
    for (let seed = 1; seed <= 14; seed += 1) {
      const random = new Random(seed);
      const compiler = new Compiler(limits);
      const kernel = new KernelSets();
      let policy = everywhere(policyOf(seed).policy);
      let before = onlyTable(compiler.compile(worldOf(policy)));
      kernel.apply(undefined, before);
      for (let step = 0; step < 8; step += 1) {
        const next = changeHosts(random, policy);
        const packets = anyPackets(random, policy, 60);
        const decided = packets.map((packet) => SIDES.map((side) => decide(before, side, packet)));
        const after = onlyTable(compiler.compile(worldOf(next)));
        const scratch = onlyTable(new Compiler(limits).compile(worldOf(next)));
        const at = `seed ${seed}, step ${step}`;

        kernel.apply(before, after);
        const expected = new KernelSets();
        expected.apply(undefined, scratch);
        expect(kernel.differences(expected), at).toEqual([]);
        expect(layout(after), at).toEqual(layout(scratch));
        expect(after.classes.counts, at).toEqual(scratch.classes.counts);
        for (const side of SIDES) expect({ ...after.sides[side].scope }, at).toEqual({ ...scratch.sides[side].scope });
        if (after.delta !== undefined) {
          byHosts += 1;
          for (const side of SIDES) localMoves += after.delta.locals[side].hosts4.length + after.delta.locals[side].hosts6.length;
        }

        const lost = losses(before, after);
        for (const [index, packet] of packets.entries()) {
          for (const [place, side] of SIDES.entries()) {
            const was = decided[index]?.[place];
            const now = decide(after, side, packet);
            if (was === undefined || was === 'guarded' || was.action !== 'accept' || was === now) continue;
            revoked += 1;
            expect(lost.has(was.id), `${at}, ${side}: ${describePacket(packet)} was ${was.key}, is ${now === 'guarded' ? now : now.key}`).toBe(true);
          }
        }
        policy = next;
        before = after;
      }
    }
    expect(byHosts).toBeGreaterThan(least);
    expect(localMoves).toBeGreaterThan(0);
    expect(revoked).toBeGreaterThan(40);
  });
}
