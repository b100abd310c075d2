/** The compiled classifier, walked as the kernel walks it, against the oracle: fresh, and compiled again after every kind of change. */
import { expect, it } from 'vitest';
import { addressKey } from '../../../src/compile/addresses.js';
import { Compiler, type Compilation } from '../../../src/compile/compiler.js';
import { evaluate } from '../../../src/compile/evaluate.js';
import { buildWorld, type World } from '../../../src/compile/world.js';
import { filterName } from '../../../src/model/filter.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import { filterOf, type ExpectedPolicy } from '../../oracle/expectation.js';
import { generateCase, type GeneratedPacket, type GeneratedTable } from '../../oracle/generate.js';
import { describeTable } from '../../oracle/manifest.js';
import { judgeFilter } from '../../oracle/oracle.js';
import { describePacket, hasPorts } from '../../oracle/packet.js';
import { endpointOf, type AddressPlan } from '../../oracle/plan.js';
import { Random } from '../../oracle/random.js';

const plan: AddressPlan = {
  workloads: [0, 1, 2, 3].map((index) => ({
    name: `vm-${index}`, mac: `02:00:00:00:0${index}:02`, hostMac: `02:00:00:00:0${index}:01`,
    ipv4: `10.10.${index}.2`, ipv6: `fd10::${index}:2`, undeclared: [`10.20.${index}.0/24`, `fd20:0:0:${index}::/64`],
  })),
  host: ['10.10.255.1', 'fd10::ffff:1'],
  outside: ['203.0.113.0/24', '2001:db8:cafe::/64'],
};

function worldOf(policy: ExpectedPolicy): World {
  const objects = new Map<string, DesiredObject>();
  const add = (object: DesiredObject): void => void objects.set(objectKey(object), object);
  for (const [index, workload] of plan.workloads.entries()) {
    const addresses = [workload.ipv4, workload.ipv6];
    add({ kind: 'VirtualMachine', metadata: { name: workload.name, labels: {} }, nics: [{ name: 'eth0', addresses }] });
    add({ kind: 'Attachment', metadata: { name: `a${index}`, labels: {} }, workload: { kind: 'VirtualMachine', name: workload.name }, vnic: 'eth0', interface: `veth${index}`, addresses: [] });
  }
  for (const set of policy.sharedSets) add({ kind: 'AddressSet', metadata: { name: set.name, labels: {} }, addresses: set.addresses });
  for (const table of policy.tables) {
    const appliedTo = table.appliedTo === undefined ? {} : { appliedTo: { workloads: table.appliedTo.map((name) => ({ kind: 'VirtualMachine' as const, name })) } };
    add({ kind: 'RuleTable', metadata: { name: table.name, labels: {} }, rules: table.rules, layer2Rules: [], addressSets: table.addressSets, ...appliedTo });
  }
  return buildWorld(objects, { number: (attachment) => Number(attachment.slice(1)) });
}

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

const policyOf = (seed: number): { policy: ExpectedPolicy; packets: readonly GeneratedPacket[] } => {
  const made = generateCase(seed, plan, { packets: 50, layer2: false });
  return { policy: { tables: made.tables.map((table) => ({ ...table, layer2Rules: [] })), sharedSets: made.sharedSets, failurePolicy: 'closed' }, packets: made.packets };
};
const report = (seed: number, policy: ExpectedPolicy, found: readonly string[]): string => [`seed ${seed}`, ...policy.tables.map(describeTable), JSON.stringify(policy.sharedSets), ...found.slice(0, 3)].join('\n');

it('decides every packet by the rule that the oracle names', { timeout: 60_000 }, () => {
  for (let seed = 1; seed <= 250; seed += 1) {
    const { policy, packets } = policyOf(seed);
    const found = differences(policy, new Compiler().compile(worldOf(policy)), packets);
    expect(found.length, report(seed, policy, found)).toBe(0);
  }
});

/** The same policy with hosts, prefixes or ranges come and gone in its sets. */
function changedSets(random: Random, tables: readonly GeneratedTable[]): GeneratedTable[] {
  const pool = [...plan.workloads.flatMap((workload) => [workload.ipv4, workload.ipv6]), '10.20.0.0', '10.20.1.7', '10.20.2.255', 'fd20:0:0:1::9', '203.0.113.9', ...plan.host];
  const wide = ['10.20.1.0/28', '10.10.0.0/16', 'fd20::/16', '10.20.2.3-10.20.2.9'];
  return tables.map((table) => ({
    ...table,
    addressSets: table.addressSets.map((set) => {
      if (random.chance(0.4)) return set;
      const kept = set.addresses.filter(() => random.chance(0.8));
      const added = random.chance(0.7) ? [random.pick(pool), random.pick(pool)] : [random.pick(wide)];
      return { ...set, addresses: [...new Set([...kept, ...added])] };
    }),
  }));
}

it('is the same after changes of sets, rules and tables one after the other', { timeout: 60_000 }, () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = new Random(seed);
    const compiler = new Compiler();
    let { policy, packets } = policyOf(seed);
    compiler.compile(worldOf(policy));
    for (let step = 0; step < 6; step += 1) {
      if (random.chance(0.75)) policy = { ...policy, tables: changedSets(random, policy.tables) };
      else ({ policy, packets } = policyOf(seed * 1_000 + step));
      const found = differences(policy, compiler.compile(worldOf(policy)), packets);
      expect(found.length, `step ${step} of ${report(seed, policy, found)}`).toBe(0);
    }
  }
});
