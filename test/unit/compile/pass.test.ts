/** A rule that passes for one host of a prefix: what the prefix's other hosts get is not the host's. */
import { expect, it } from 'vitest';
import { Compiler } from '../../../src/compile/compiler.js';
import type { EffectiveTable } from '../../../src/compile/effective.js';
import type { PortRange, Rule, RuleAction } from '../../../src/model/rule.js';
import { decide, onlyTable, worldOf } from './cases.js';

const sets = new Map([['wide', ['10.1.0.0/16']], ['host', ['10.1.0.9']]]);

function tableOf(name: string, section: 'admin' | 'baseline', rules: readonly Rule[]): EffectiveTable {
  return {
    section, table: { kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], layer2Rules: [], rules },
    sets: new Map([...sets].map(([set, members]) => [set, { key: `/${set}`, members }])),
  };
}

function rule(id: number, action: RuleAction, set?: string, ports: readonly PortRange[] = []): Rule {
  const any = { not: false, addressSets: [], addresses: [] };
  return { id, direction: 'in', protocol: 6, source: { ...any, addressSets: set === undefined ? [] : [set] }, sourcePorts: [], destination: any, ports, action, log: false, stateless: false };
}

it.each([['every port', []], ['one port', [{ first: 80, last: 80 }]]])('decides a host by its own rules, not by those of the prefix around it (pass for %s)', (_, ports) => {
  const tables = [
    tableOf('a', 'admin', [rule(1, 'pass', 'host', ports), rule(2, 'accept', 'wide')]),
    tableOf('b', 'baseline', [rule(3, 'drop')]),
  ];
  const compiled = onlyTable(new Compiler().compile(worldOf({ tables: [], sharedSets: [], failurePolicy: 'closed' }), () => tables));
  const from = (source: string) => decide(compiled, 'in', { family: 4, protocol: 6, source, destination: '10.10.0.2', sourcePort: 40_000, destinationPort: 80 });
  expect(from('10.1.0.9')).toMatchObject({ ruleId: 3, action: 'drop' });
  expect(from('10.1.0.8')).toMatchObject({ ruleId: 2, action: 'accept' });
  expect(from('10.2.0.1')).toMatchObject({ ruleId: 3, action: 'drop' });
});
