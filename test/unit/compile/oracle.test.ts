/** The compiled classifier, walked as the kernel walks it, against the oracle: fresh, and compiled again after every kind of change. */
import { expect, it } from 'vitest';
import { addressKey } from '../../../src/compile/addresses.js';
import { Compiler, type Compilation } from '../../../src/compile/compiler.js';
import { evaluate } from '../../../src/compile/evaluate.js';
import { filterName } from '../../../src/model/filter.js';
import { filterOf, type ExpectedPolicy } from '../../oracle/expectation.js';
import { changeSets, type GeneratedPacket } from '../../oracle/generate.js';
import { describeTable } from '../../oracle/manifest.js';
import { judgeFilter } from '../../oracle/oracle.js';
import { describePacket, hasPorts } from '../../oracle/packet.js';
import { endpointOf } from '../../oracle/plan.js';
import { Random } from '../../oracle/random.js';
import { plan, policyOf, worldOf } from './cases.js';

/** Every packet at every filter it passes, by rule id; whatever an earlier filter said. */
function differences(policy: ExpectedPolicy, compilation: Compilation, packets: readonly GeneratedPacket[]): string[] {
  const found: string[] = [];
  for (const { from, packet } of packets) {
    const source = addressKey(packet.source);
    const destination = addressKey(packet.destination);
    if (source === undefined || destination === undefined) throw new Error('an address that is none');
    const port = packet.icmpType === undefined ? packet.destinationPort ?? 0 : packet.icmpType * 256 + (packet.icmpCode ?? 0);
    for (const [name, side] of [[from, 'out'], [endpointOf(plan, packet.destination) ?? '', 'in']] as const) {
      const filter = filterOf(plan, policy, name);
      if (filter === undefined) continue;
      const key = compilation.filterTables.get(filterName(Number(name.slice(3)), 'eth0'));
      const compiled = key === undefined ? undefined : compilation.tables.get(key);
      const expected = judgeFilter(filter, side, packet, policy.sharedSets);
      if (filter.tables.length === 0) {
        if (compiled !== undefined) found.push(`${name} has a table and should have none`);
        continue;
      }
      if (compiled === undefined) {
        found.push(`${name} has no table: ${compilation.problems.map((problem) => problem.message).join()}`);
        continue;
      }
      const sourcePort = hasPorts(packet.protocol) ? packet.sourcePort ?? 0 : 0;
      const got = evaluate(compiled, side, { source, destination, protocol: packet.protocol, sourcePort, port });
      const text = got === 'guarded' ? 'guarded' : `${got.table}/${got.ruleId} ${got.action}`;
      const wanted = `${expected.table}/${expected.ruleId} ${expected.action}`;
      if (text !== wanted) found.push(`${name} ${side}: ${describePacket(packet)}\n  expected ${wanted}, got ${text}`);
    }
  }
  return found;
}

const report = (seed: number, policy: ExpectedPolicy, found: readonly string[]): string => [`seed ${seed}`, ...policy.tables.map(describeTable), JSON.stringify(policy.sharedSets), ...found.slice(0, 3)].join('\n');

it('decides every packet by the rule that the oracle names', { timeout: 180_000 }, () => {
  for (let seed = 1; seed <= 120; seed += 1) {
    const { policy, packets } = policyOf(seed);
    const found = differences(policy, new Compiler().compile(worldOf(policy)), packets);
    expect(found.length, report(seed, policy, found)).toBe(0);
  }
});

it('is the same after changes of sets, rules and tables one after the other', { timeout: 180_000 }, () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = new Random(seed);
    const compiler = new Compiler();
    let { policy, packets } = policyOf(seed);
    compiler.compile(worldOf(policy));
    for (let step = 0; step < 6; step += 1) {
      if (random.chance(0.75)) policy = { ...policy, tables: changeSets(random, plan, policy.tables) };
      else ({ policy, packets } = policyOf(seed * 1_000 + step));
      const found = differences(policy, compiler.compile(worldOf(policy)), packets);
      expect(found.length, `step ${step} of ${report(seed, policy, found)}`).toBe(0);
    }
  }
});
