/** A rule that stops deciding some packet is among the losses, however small the change; an unchanged table loses nothing. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import { losses } from '../../../src/compile/losses.js';
import type { AddressMatch, Rule } from '../../../src/model/rule.js';
import type { ExpectedPolicy } from '../../oracle/expectation.js';
import { changeSets, generateTable } from '../../oracle/generate.js';
import { describePacket } from '../../oracle/packet.js';
import { Random } from '../../oracle/random.js';
import { anyPackets, decide, everywhere, onlyTable, plan, policyOf, SIDES, worldOf } from './cases.js';

/** One change as people make them: a rule less, a rule more, two rules swapped, another action, other members. */
function changed(random: Random, policy: ExpectedPolicy): ExpectedPolicy {
  const kind = random.int(0, 4);
  const tables = policy.tables.map((table, index) => {
    if (index > 0) return table;
    const at = random.int(0, table.rules.length - 1);
    const rule = table.rules[at];
    if (rule === undefined) return table;
    switch (kind) {
      case 0: return { ...table, rules: table.rules.toSpliced(at, 1) };
      case 1: {
        const extra = generateTable(random, plan, 'x', 5, [], { maxRules: 1, layer2: false }).rules[0];
        const sets = table.addressSets[0];
        if (extra === undefined || sets === undefined) return table;
        const side = { not: false, addressSets: [sets.name], addresses: [] };
        return { ...table, rules: table.rules.toSpliced(at, 0, { ...extra, source: side, destination: extra.destination.addressSets.length > 0 ? side : extra.destination }) };
      }
      case 2: return { ...table, rules: table.rules.toSpliced(at, 1).concat([rule]) };
      case 3: return { ...table, rules: table.rules.map((one) => (one.id === rule.id ? { ...one, action: one.action === 'accept' ? 'drop' as const : 'accept' as const } : one)) };
      default: return table;
    }
  });
  return { ...policy, tables: kind === 4 ? changeSets(random, plan, tables) : tables };
}

// Every local address has a profile; declared ones only; from the one to the other as tables grow and shrink.
for (const [what, limits] of [['any', {}], ['declared', { maxLocals: 0 }], ['few', { maxLocals: 8 }]] as const) {
  it(`names every rule that no longer decides what it decided (${what} local addresses)`, { timeout: 180_000 }, () => {
    let moved = 0;
    for (let seed = 1; seed <= 70; seed += 1) {
      const random = new Random(seed);
      const made = policyOf(seed);
      const policy = everywhere(made.policy);
      const next = changed(random, policy);
      const packets = [...made.packets.map(({ packet }) => packet), ...anyPackets(random, next, 150)];
      const compiler = new Compiler(limits);
      const old = onlyTable(compiler.compile(worldOf(policy)));
      // The short cut for hosts changes the maps of the compilation before: ask it first.
      const decided = packets.map((packet) => SIDES.map((side) => decide(old, side, packet)));
      const fresh = onlyTable(compiler.compile(worldOf(next)));
      const lost = losses(old, fresh);
      for (const [index, packet] of packets.entries()) {
        for (const [place, side] of SIDES.entries()) {
          const was = decided[index]?.[place];
          const now = decide(fresh, side, packet);
          if (was === undefined || was === 'guarded' || was.action !== 'accept') continue;
          // The id alone stands in connections: the same id must mean the same action.
          if (now !== 'guarded' && now.id === was.id && now.action === was.action) continue;
          moved += 1;
          const revoked = lost.has(was.id) || (now !== 'guarded' && now.id === was.id && now.action !== 'accept');
          expect(revoked, `seed ${seed} ${side}: ${describePacket(packet)} was ${was.key}, is ${now === 'guarded' ? now : now.key}`).toBe(true);
        }
      }
    }
    expect(moved).toBeGreaterThan(40);
  });
}

const ANY: AddressMatch = { not: false, addressSets: [], addresses: [] };
const RULE: Rule = { id: 1, direction: 'in', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action: 'accept', log: false, stateless: false };

function tableOf(rules: readonly Rule[], members: readonly string[]): ExpectedPolicy {
  return { tables: [{ name: 't', rules, layer2Rules: [], addressSets: [{ name: 's', addresses: members }] }], sharedSets: [], failurePolicy: 'closed' };
}

/** Keys of the labels that lost something. */
function lostKeys(before: ExpectedPolicy, after: ExpectedPolicy): string[] {
  const compiler = new Compiler();
  const old = onlyTable(compiler.compile(worldOf(before)));
  const lost = losses(old, onlyTable(compiler.compile(worldOf(after))));
  return [...lost].flatMap((id) => old.labels.get(id)?.key ?? []).toSorted();
}

it('names the rule that admitted an IPv6 peer in no set before the peer came into one', () => {
  const rules: Rule[] = [
    { ...RULE, id: 1, source: { ...ANY, addressSets: ['s'] }, action: 'drop' },
    { ...RULE, id: 2, family: 6 },
    { ...RULE, id: 3, action: 'drop' },
  ];
  expect(lostKeys(tableOf(rules, ['10.0.0.1', '2001:db8::1']), tableOf(rules, ['10.0.0.1', '2001:db8::1', '2001:db8::2']))).toContain('t/2 in');
});

it('names the rule of a set whose source ports another rule took', () => {
  const accept: Rule = { ...RULE, id: 1, protocol: 6, source: { ...ANY, addressSets: ['s'] } };
  const drop: Rule = { ...RULE, id: 2, protocol: 6, sourcePorts: [{ first: 1000, last: 2000 }], action: 'drop' };
  expect(lostKeys(tableOf([accept], ['10.0.0.1']), tableOf([drop, accept], ['10.0.0.1']))).toContain('t/1 in');
});

it('names nothing but what was lost when an address of this end comes into a set', () => {
  const rules: Rule[] = [
    { ...RULE, id: 1, protocol: 6, ports: [{ first: 22, last: 22 }] },
    { ...RULE, id: 2, destination: { ...ANY, addressSets: ['s'] }, action: 'drop' },
    { ...RULE, id: 3, protocol: 17 },
  ];
  // Rule 1 still comes first for it; rule 3 and the default do not any more.
  expect(lostKeys(tableOf(rules, ['10.0.0.1']), tableOf(rules, ['10.0.0.1', '10.0.0.2']))).toEqual(['/0 in', 't/3 in']);
});

it('names nothing when nothing changes', () => {
  for (let seed = 1; seed <= 15; seed += 1) {
    const policy = everywhere(policyOf(seed).policy);
    const one = onlyTable(new Compiler().compile(worldOf(policy)));
    const other = onlyTable(new Compiler().compile(worldOf(policy)));
    expect([...losses(one, other)], `seed ${seed}`).toEqual([]);
  }
});
