/** What the rules in force say of a connection that nobody knows. */
import { describe, expect, test } from 'vitest';
import { Refusals } from '../../../src/app/refusals.js';
import { Compiler } from '../../../src/compile/compiler.js';
import { buildWorld } from '../../../src/compile/world.js';
import type { ConnectionTuple } from '../../../src/drivers/ids/eve-alert.js';
import type { DesiredObject } from '../../../src/model/objects.js';
import type { Rule } from '../../../src/model/rule.js';

const ANY = { not: false, addressSets: [], addresses: [] };
const rule = (id: number, change: Partial<Rule>): Rule => ({ id, direction: 'inout', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action: 'accept', log: false, stateless: false, ...change });
const port = (number: number): Rule['ports'] => [{ first: number, last: number }];
const tuple = (source: string, destination: string, change: Partial<ConnectionTuple> & { sport?: number; dport?: number } = {}): ConnectionTuple => {
  const { sport = 40_000, dport = 80, ...rest } = change;
  return { protocol: 'tcp', source: { address: source, port: sport }, destination: { address: destination, port: dport }, ...rest };
};

function judge(failOpen: boolean, tables: Readonly<Record<string, readonly Rule[]>>, request: ConnectionTuple) {
  const objects: DesiredObject[] = [
    ...['a', 'b'].map((name, index): DesiredObject => ({
      kind: 'Attachment', metadata: { name, labels: {} }, workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: `v${name}`, addresses: [`10.0.0.${index + 1}`, `fd00::${index + 1}`],
    })),
    ...Object.entries(tables).map(([name, rules]): DesiredObject => ({
      kind: 'RuleTable', metadata: { name: `table-${name}`, labels: {} }, appliedTo: { workloads: [{ kind: 'VirtualMachine', name }] }, addressSets: [], rules, layer2Rules: [],
    })),
  ];
  let number = 0;
  const world = buildWorld(new Map(objects.map((object, index) => [String(index), object])), { number: () => (number += 1) });
  const compilation = new Compiler().compile(world);
  const at = (address: string) => world.filters.find(({ addresses }) => addresses.includes(address));
  const refusal = new Refusals({ realized: () => ({ compilation }), failOpen }).of(request, { from: at(request.source.address), to: at(request.destination.address) });
  return refusal === undefined ? undefined : [world.filters.find(({ name }) => name === refusal.filter)?.attachment, refusal.ruleset, refusal.ruleId];
}

const WEB = [rule(1, { protocol: 6, ports: port(80) }), rule(2, { protocol: 1, icmp: { type: 8 } }), rule(9, { action: 'drop' })];

describe('what rules refuse', () => {
  test.each(['10.0.0.', 'fd00::'])('names the rule, its table and the filter: %s', (net) => {
    const outside = net.startsWith('f') ? 'fd99::1' : '192.0.2.1';
    expect(judge(false, { a: WEB }, tuple(outside, `${net}1`))).toBeUndefined();
    expect(judge(false, { a: WEB }, tuple(outside, `${net}1`, { dport: 81 }))).toEqual(['a', 'table-a', 9]);
    expect(judge(false, { a: WEB }, tuple(`${net}1`, outside, { dport: 81 }))).toEqual(['a', 'table-a', 9]);
    expect(judge(false, { a: WEB }, tuple(outside, `${net}1`, { protocol: 'udp' }))).toEqual(['a', 'table-a', 9]);
  });

  test('of two local ends the first that refuses: the sender', () => {
    const refusing = [rule(7, { action: 'reject' })];
    expect(judge(false, { a: WEB, b: refusing }, tuple('10.0.0.1', '10.0.0.2'))).toEqual(['b', 'table-b', 7]);
    expect(judge(false, { a: WEB, b: refusing }, tuple('10.0.0.2', '10.0.0.1'))).toEqual(['b', 'table-b', 7]);
    expect(judge(false, { a: WEB, b: refusing }, tuple('10.0.0.1', '10.0.0.2', { dport: 81 }))).toEqual(['a', 'table-a', 9]);
    expect(judge(false, { a: refusing }, tuple('10.0.0.1', '10.0.0.1'))).toBeUndefined();
  });

  test('a filter without rules: by the failure policy; ends elsewhere refuse nothing', () => {
    expect(judge(false, {}, tuple('192.0.2.1', '10.0.0.1'))).toEqual(['a', 'default', 0]);
    expect(judge(true, {}, tuple('192.0.2.1', '10.0.0.1'))).toBeUndefined();
    expect(judge(false, {}, tuple('192.0.2.1', '192.0.2.2'))).toBeUndefined();
  });

  test('ICMP: only where its type is known and it is no answer', () => {
    const ping = (type?: number): ConnectionTuple => tuple('192.0.2.1', '10.0.0.1', { protocol: 'icmp', sport: 0, dport: 0, ...(type === undefined ? {} : { icmp: { type, code: 0 } }) });
    expect(judge(false, { a: WEB }, ping(8))).toBeUndefined();
    expect(judge(false, { a: WEB }, ping(13))).toEqual(['a', 'table-a', 9]);
    expect(judge(false, { a: WEB }, ping(0))).toBeUndefined();
    expect(judge(false, { a: WEB }, ping())).toBeUndefined();
  });

  test('not what may be the answer to what a stateless rule admits, of which no connection is kept', () => {
    const stateless = [rule(1, { protocol: 17, ports: port(53), stateless: true, direction: 'out' }), rule(9, { action: 'drop' })];
    expect(judge(false, { a: stateless }, tuple('192.0.2.1', '10.0.0.1', { protocol: 'udp', sport: 53, dport: 5_000 }))).toBeUndefined();
    expect(judge(false, { a: stateless }, tuple('192.0.2.1', '10.0.0.1', { protocol: 'udp', sport: 54, dport: 5_000 }))).toEqual(['a', 'table-a', 9]);
  });

  test('nothing where it cannot be told: before anything is in force, of protocols without a name', () => {
    expect(new Refusals({ realized: () => undefined, failOpen: false }).of(tuple('192.0.2.1', '10.0.0.1'), { from: undefined, to: undefined })).toBeUndefined();
    expect(judge(false, { a: WEB }, tuple('192.0.2.1', '10.0.0.1', { protocol: 'unknown' }))).toBeUndefined();
  });
});
