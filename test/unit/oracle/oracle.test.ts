import { describe, expect, it } from 'vitest';
import type { AddressMatch, Layer2Rule, Rule } from '../../../src/model/rule.js';
import { contains, formatAddress, parseAddress, parseLiteral } from '../../oracle/addresses.js';
import { connectionKey, generateCase } from '../../oracle/generate.js';
import { judge, judgeFilter, judgeFrame, type OracleFilter, type OracleTable } from '../../oracle/oracle.js';
import type { OraclePacket } from '../../oracle/packet.js';
import { endpointOf, HOST, type AddressPlan } from '../../oracle/plan.js';

const any: AddressMatch = { not: false, addressSets: [], addresses: [] };
const to = (...addresses: string[]): AddressMatch => ({ not: false, addressSets: [], addresses });
const not = (...addresses: string[]): AddressMatch => ({ not: true, addressSets: [], addresses });
const sets = (...addressSets: string[]): AddressMatch => ({ not: false, addressSets, addresses: [] });

function rule(id: number, fields: Partial<Rule> = {}): Rule {
  return { id, direction: 'inout', protocol: 'any', source: any, sourcePorts: [], destination: any, ports: [], action: 'accept', log: false, stateless: false, ...fields };
}
function table(name: string, rules: readonly Rule[], more: Partial<OracleTable> = {}): OracleTable {
  return { name, rules, layer2Rules: [], addressSets: [], ...more };
}
function filter(tables: readonly OracleTable[], more: Partial<OracleFilter> = {}): OracleFilter {
  return { name: 'f', mac: '02:00:00:00:00:02', hostMac: '02:00:00:00:00:01', failurePolicy: 'closed', tables, ...more };
}
const tcp: OraclePacket = { family: 4, protocol: 6, source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 40_000, destinationPort: 22 };
const tcp6: OraclePacket = { ...tcp, family: 6, source: 'fd00::1', destination: 'fd00::2' };
const ruleOf = (rules: readonly Rule[], packet: OraclePacket = tcp, direction: 'in' | 'out' = 'in'): number => judgeFilter(filter([table('t', rules)]), direction, packet).ruleId;

describe('one filter', () => {
  it('lets the first match decide', () => {
    expect(ruleOf([rule(1, { protocol: 17 }), rule(2, { protocol: 6, action: 'reject' }), rule(3)])).toBe(2);
    expect(judgeFilter(filter([table('t', [rule(2, { action: 'reject' }), rule(3)])]), 'out', tcp)).toEqual(
      { filter: 'f', direction: 'out', layer: 3, table: 't', ruleId: 2, action: 'reject' });
  });

  it('accepts by rule 0 past the last rule', () => {
    expect(judgeFilter(filter([table('t', [rule(1, { protocol: 17, action: 'drop' })])]), 'in', tcp)).toMatchObject({ ruleId: 0, action: 'accept' });
  });

  it('follows the failure policy without any table', () => {
    expect(judgeFilter(filter([]), 'in', tcp).action).toBe('drop');
    expect(judgeFilter(filter([], { failurePolicy: 'open' }), 'in', tcp).action).toBe('accept');
  });

  it('joins several tables in the order of their names', () => {
    const tables = [table('b', [rule(20, { action: 'drop' })]), table('a', [rule(10, { protocol: 17 }), rule(11, { action: 'reject' })])];
    expect(judgeFilter(filter(tables), 'in', tcp)).toMatchObject({ table: 'a', ruleId: 11 });
  });

  it('judges directions apart', () => {
    const rules = [rule(1, { direction: 'out' }), rule(2, { direction: 'in' }), rule(3)];
    expect([ruleOf(rules, tcp, 'in'), ruleOf(rules, tcp, 'out')]).toEqual([2, 1]);
  });
});

describe('matching', () => {
  it('restricts by family, and icmp to its own family', () => {
    expect(ruleOf([rule(1, { family: 6 })], tcp)).toBe(0);
    expect(ruleOf([rule(1, { family: 6 })], tcp6)).toBe(1);
    const ping: OraclePacket = { family: 4, protocol: 1, source: '10.0.0.1', destination: '10.0.0.2', icmpType: 8, icmpCode: 0 };
    expect(ruleOf([rule(1, { protocol: 1 })], ping)).toBe(1);
    expect(ruleOf([rule(1, { protocol: 1 })], { ...ping, family: 6, source: '::1', destination: '::2' })).toBe(0);
    expect(ruleOf([rule(1, { protocol: 58 })], { ...ping, protocol: 58 })).toBe(0);
  });

  it('takes an icmp type without a code for every code', () => {
    const ping: OraclePacket = { family: 4, protocol: 1, source: '10.0.0.1', destination: '10.0.0.2', icmpType: 8, icmpCode: 3 };
    expect(ruleOf([rule(1, { protocol: 1, icmp: { type: 8 } })], ping)).toBe(1);
    expect(ruleOf([rule(1, { protocol: 1, icmp: { type: 8, code: 0 } })], ping)).toBe(0);
    expect(ruleOf([rule(1, { protocol: 1, icmp: { type: 13 } })], ping)).toBe(0);
  });

  it('matches ports at both edges, source ports too', () => {
    const ports = [{ first: 20, last: 22 }];
    expect([19, 20, 22, 23].map((port) => ruleOf([rule(1, { protocol: 6, ports })], { ...tcp, destinationPort: port }))).toEqual([0, 1, 1, 0]);
    expect([19, 20, 22, 23].map((port) => ruleOf([rule(1, { protocol: 6, sourcePorts: ports })], { ...tcp, sourcePort: port }))).toEqual([0, 1, 1, 0]);
  });

  it('never matches the family a positive side has no member of; a negated side does', () => {
    expect(ruleOf([rule(1, { source: to('10.0.0.0/8') })], tcp6)).toBe(0);
    expect(ruleOf([rule(1, { source: not('10.0.0.0/8') })], tcp6)).toBe(1);
    expect(ruleOf([rule(1, { source: not('10.0.0.0/8') })], tcp)).toBe(0);
  });

  it('finds sets of the table before shared ones, and an empty set holds nobody', () => {
    const own = table('t', [rule(1, { source: sets('s') })], { addressSets: [{ name: 's', addresses: [] }] });
    const shared = [{ name: 's', addresses: ['10.0.0.1'] }];
    expect(judgeFilter(filter([own]), 'in', tcp, shared).ruleId).toBe(0);
    expect(judgeFilter(filter([table('t', own.rules)]), 'in', tcp, shared).ruleId).toBe(1);
    expect(judgeFilter(filter([{ ...own, rules: [rule(1, { source: { ...sets('s'), not: true } })] }]), 'in', tcp).ruleId).toBe(1);
  });

  it('refuses to guess about an unknown set', () => {
    expect(() => ruleOf([rule(1, { source: sets('nowhere') })])).toThrow(/nowhere/);
  });
});

describe('layer 2', () => {
  const l2 = (id: number, fields: Partial<Layer2Rule>): Layer2Rule => ({ id, direction: 'inout', ethertype: 'any', source: any, destination: any, action: 'drop', log: false, ...fields });

  it('is judged before every rule of every table, drop ends and accept goes on', () => {
    const tables = [table('a', [rule(1)]), table('b', [], { layer2Rules: [l2(9, { ethertype: 0x0800 })] })];
    expect(judgeFilter(filter(tables), 'in', tcp)).toMatchObject({ layer: 2, table: 'b', ruleId: 9, action: 'drop' });
    expect(judgeFilter(filter(tables), 'in', tcp6)).toMatchObject({ layer: 3, ruleId: 1 });
    const accepting = [table('a', [rule(1, { action: 'reject' })], { layer2Rules: [l2(9, { action: 'accept' }), l2(10, {})] })];
    expect(judgeFilter(filter(accepting), 'in', tcp)).toMatchObject({ layer: 3, ruleId: 1, action: 'reject' });
  });

  it('knows which end of the link sent the frame', () => {
    const one = filter([table('t', [], { layer2Rules: [l2(9, { source: to('02:00:00:00:00:02') })] })]);
    expect([judgeFilter(one, 'out', tcp).action, judgeFilter(one, 'in', tcp).action]).toEqual(['drop', 'accept']);
    expect(judgeFrame(one, 'out', { ethertype: 0x0806, sourceMac: one.mac, destinationMac: 'ff:ff:ff:ff:ff:ff' })).toBe('drop');
  });
});

describe('a path', () => {
  const accept = filter([table('t', [rule(1)])], { name: 'a' });
  const reject = filter([table('t', [rule(2, { action: 'reject' })])], { name: 'b' });

  it('asks the source first and stops at the first refusal', () => {
    expect(judge(tcp, { source: reject, destination: accept }).steps).toHaveLength(1);
    const both = judge(tcp, { source: accept, destination: reject });
    expect([both.action, ...both.steps.map((step) => `${step.filter} ${step.direction}`)]).toEqual(['reject', 'a out', 'b in']);
    expect(judge(tcp, {}).action).toBe('accept');
  });
});

describe('addresses', () => {
  it('reads hosts, prefixes, ranges and MACs', () => {
    expect(parseLiteral('10.1.2.3/24')).toEqual({ kind: 4, first: 0x0a010200n, last: 0x0a0102ffn });
    expect(parseLiteral('0.0.0.0/0').last).toBe(0xffffffffn);
    expect(parseLiteral('10.0.0.1-10.0.0.9').last - parseLiteral('10.0.0.1-10.0.0.9').first).toBe(8n);
    expect(parseLiteral('fd00::/8').first).toBe(0xfdn << 120n);
    expect(parseAddress('::ffff:1.2.3.4').value).toBe(0xffff01020304n);
    expect(contains(parseLiteral('fe80::1'), 'fe80:0:0:0:0:0:0:1')).toBe(true);
    expect(parseLiteral('02:00:00:00:00:0a')).toEqual({ kind: 'mac', first: 0x02000000000an, last: 0x02000000000an });
    for (const text of ['10.0.0', '10.0.0.256', '1:2', '::1::', 'fd00::/129', '10.0.0.9-10.0.0.1', 'x']) expect(() => parseLiteral(text), text).toThrow();
  });

  it('writes what it reads', () => {
    for (const text of ['0.0.0.0', '255.255.255.255', '10.0.0.1']) expect(formatAddress(4, parseAddress(text).value)).toBe(text);
    for (const text of ['0:0:0:0:0:0:0:0', 'fd00:0:0:0:0:0:0:1']) expect(formatAddress(6, parseAddress(text).value)).toBe(text);
  });
});

describe('generator', () => {
  const plan: AddressPlan = {
    workloads: [0, 1].map((index) => ({
      name: `vm-${index}`, mac: `02:00:00:00:0${index}:02`, hostMac: `02:00:00:00:0${index}:01`,
      ipv4: `10.10.${index}.2`, ipv6: `fd10::${index}:2`, undeclared: [`10.20.${index}.0/24`, `fd20:0:0:${index}::/64`],
    })),
    host: ['10.10.255.1', 'fd10::ffff:1'],
    outside: ['198.51.100.0/24'],
  };

  it('gives the same case for the same seed', () => {
    expect(generateCase(7, plan, { packets: 20 })).toEqual(generateCase(7, plan, { packets: 20 }));
  });

  it('gives judged packets that the tracker can tell apart, of every action', () => {
    const actions = new Set<string>();
    for (let seed = 1; seed <= 60; seed += 1) {
      const { tables, packets, sharedSets } = generateCase(seed, plan, { packets: 25 });
      expect(packets.length).toBeGreaterThan(15);
      expect(new Set(packets.map(({ packet }) => connectionKey(packet))).size).toBe(packets.length);
      for (const { from, packet } of packets) {
        const at = (end: string | undefined): OracleFilter | undefined =>
          end?.startsWith('vm-') === true ? filter(tables.filter((one) => one.appliedTo?.includes(end) ?? true), { name: end }) : undefined;
        const destination = endpointOf(plan, packet.destination);
        expect(destination === HOST && from === HOST).toBe(false);
        const verdict = judge(packet, { source: at(from), destination: at(destination) }, sharedSets);
        actions.add(`${verdict.action} ${verdict.steps.at(-1)?.direction ?? ''} ${verdict.steps.at(-1)?.ruleId === 0 ? 'default' : 'rule'}`);
      }
    }
    for (const expected of ['accept in rule', 'drop in rule', 'reject in rule', 'drop out rule', 'reject out rule', 'accept in default']) expect(actions).toContain(expected);
  });
});
