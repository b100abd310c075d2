/** A rule that stops deciding some packet is among the losses, however small the change; an unchanged table loses nothing. */
import { expect, it } from 'vitest';
import { addressKey } from '../../../src/compile/addresses.js';
import { Compiler, type Compilation } from '../../../src/compile/compiler.js';
import { evaluate } from '../../../src/compile/evaluate.js';
import { losses } from '../../../src/compile/losses.js';
import type { LabelInfo, Side } from '../../../src/compile/compiled.js';
import type { ExpectedPolicy } from '../../oracle/expectation.js';
import { changeSets, generateTable, type GeneratedPacket } from '../../oracle/generate.js';
import { describePacket, hasPorts } from '../../oracle/packet.js';
import { Random } from '../../oracle/random.js';
import { plan, policyOf, worldOf } from './cases.js';

const SIDES: readonly Side[] = ['in', 'out'];

/** One list of tables, the same for every filter. */
function everywhere(policy: ExpectedPolicy): ExpectedPolicy {
  return { ...policy, tables: policy.tables.map(({ appliedTo: _, ...table }) => table) };
}

function decide(compilation: Compilation, side: Side, { packet }: GeneratedPacket): LabelInfo | 'guarded' {
  const [compiled] = compilation.tables.values();
  const source = addressKey(packet.source);
  const destination = addressKey(packet.destination);
  if (compiled === undefined || source === undefined || destination === undefined) throw new Error('nothing to decide with');
  const port = packet.icmpType === undefined ? packet.destinationPort ?? 0 : packet.icmpType * 256 + (packet.icmpCode ?? 0);
  return evaluate(compiled, side, { source, destination, protocol: packet.protocol, sourcePort: hasPorts(packet.protocol) ? packet.sourcePort ?? 0 : 0, port });
}

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

it('names every rule that no longer decides what it decided', { timeout: 60_000 }, () => {
  let moved = 0;
  for (let seed = 1; seed <= 150; seed += 1) {
    const random = new Random(seed);
    const made = policyOf(seed);
    const policy = everywhere(made.policy);
    const next = changed(random, policy);
    const compiler = new Compiler();
    const before = compiler.compile(worldOf(policy));
    // The short cut for hosts changes the maps of the compilation before: ask it first.
    const decided = made.packets.map((sent) => SIDES.map((side) => decide(before, side, sent)));
    const after = compiler.compile(worldOf(next));
    const [old] = before.tables.values();
    const [fresh] = after.tables.values();
    if (old === undefined || fresh === undefined) throw new Error('nothing compiled');
    const lost = losses(old, fresh);
    for (const [index, sent] of made.packets.entries()) {
      for (const [place, side] of SIDES.entries()) {
        const was = decided[index]?.[place];
        const now = decide(after, side, sent);
        if (was === undefined || was === 'guarded' || was.action !== 'accept') continue;
        // The id alone stands in connections: the same id must mean the same action.
        if (now !== 'guarded' && now.id === was.id && now.action === was.action) continue;
        moved += 1;
        const revoked = lost.has(was.id) || (now !== 'guarded' && now.id === was.id && now.action !== 'accept');
        expect(revoked, `seed ${seed} ${side}: ${describePacket(sent.packet)} was ${was.key}, is ${now === 'guarded' ? now : now.key}`).toBe(true);
      }
    }
  }
  expect(moved).toBeGreaterThan(100);
});

it('names nothing when nothing changes', () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const policy = everywhere(policyOf(seed).policy);
    const [one] = new Compiler().compile(worldOf(policy)).tables.values();
    const [other] = new Compiler().compile(worldOf(policy)).tables.values();
    if (one === undefined || other === undefined) throw new Error('nothing compiled');
    expect([...losses(one, other)], `seed ${seed}`).toEqual([]);
  }
});
