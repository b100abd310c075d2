/** Names that users choose freely and those that the engine gives never mean each other. */
import { expect, it } from 'vitest';
import { networkPolicy, securityPolicy, securityRule, worldOf } from '../../../oracle/policy-examples.js';
import type { DesiredObject, RuleTableObject } from '../../../../src/model/objects.js';
import { EngineHost } from './engine-host.js';

const ANY = { not: false, addressSets: [], addresses: [] };
const table = (name: string, id: number, addressSets: readonly string[]): RuleTableObject => ({
  kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], layer2Rules: [],
  rules: [{ id, direction: 'in', protocol: 6, source: { ...ANY, addressSets }, sourcePorts: [], destination: ANY, ports: [{ first: 80, last: 80 }], action: 'reject', log: false, stateless: false }],
});
const set = (name: string, ...addresses: string[]): DesiredObject => ({ kind: 'AddressSet', metadata: { name, labels: {} }, addresses });

/** What x/a does with packets from these addresses to a port. */
function verdicts(objects: readonly DesiredObject[], ...packets: readonly (readonly [string, number])[]): string[] {
  const host = new EngineHost(['192.0.2.1'], 'default');
  host.apply([...worldOf(...objects).objects]);
  return packets.map(([source, destinationPort]) => {
    const decision = host.decide('x/a', 'in', { family: 4, protocol: 6, source, destination: '10.0.1.1', sourcePort: 40_000, destinationPort });
    return `${decision.action} ${decision.table}`;
  });
}

it('tells an AddressSet from the addresses of the host', () => {
  expect(verdicts([set('node', '203.0.113.9'), table('t', 7, ['node']), networkPolicy('x/deny')], ['203.0.113.9', 80], ['203.0.113.9', 81], ['192.0.2.1', 80]))
    .toEqual(['reject t', 'drop K8sNetworkPolicy:isolation-ingress', 'accept K8sNetworkPolicy:node-ingress']);
});

it('tells an AddressSet from a Group', () => {
  const objects: DesiredObject[] = [
    set('Group:g', '203.0.113.9'), table('t', 7, ['Group:g']),
    { kind: 'Group', metadata: { name: 'g', labels: {} }, criteria: [], addresses: ['203.0.113.10'], workloads: [], groups: [] },
    securityPolicy('p', [securityRule('Drop', { sources: [{ group: 'g' }] })]),
  ];
  expect(verdicts(objects, ['203.0.113.9', 80], ['203.0.113.9', 81], ['203.0.113.10', 80])).toEqual(['reject t', 'accept default', 'drop SecurityPolicy:p']);
});

it('gives no rule the number that the user chose for another one of the policy', () => {
  const allow = securityRule('Allow', { name: 'a', services: [{ protocol: 6, ports: [{ first: 80, last: 80 }], sourcePorts: [] }] });
  // 1001 and 1002 are the first numbers that are given.
  const policy = securityPolicy('p', [allow, securityRule('Reject', { name: 'b', id: 1001, destinations: [{ addresses: ['10.9.9.9'] }] }), securityRule('Drop', { name: 'c', id: 1002 })]);
  expect(verdicts([policy], ['203.0.113.9', 80], ['203.0.113.9', 81])).toEqual(['accept SecurityPolicy:p', 'drop SecurityPolicy:p']);
});
