/** Rules that pass to the next section, where the compiler keeps hosts and the prefixes around them apart. */
import { expect, it } from 'vitest';
import { adminPolicy, adminRule, all, networkPolicy, podObject, space, worldOf } from '../../../oracle/policy-examples.js';
import type { DesiredObject } from '../../../../src/model/objects.js';
import { EngineHost } from './engine-host.js';

/** What x/a may do towards y/a (which a rule of an AdminNetworkPolicy passes on) and towards its neighbour y/b, port 80. */
function verdicts(...policies: readonly DesiredObject[]): string[] {
  const host = new EngineHost([], 'default');
  host.apply([...worldOf(...podObject('y/a'), ...policies).objects]);
  return ['10.0.2.1', '10.0.2.2'].map((destination) => {
    const { action, table } = host.decide('x/a', 'out', { family: 4, protocol: 6, source: '10.0.1.1', destination, sourcePort: 40_000, destinationPort: 80 });
    return `${action} ${table}`;
  });
}

const passing = (then: 'Allow' | 'Drop'): DesiredObject => adminPolicy('AdminNetworkPolicy', 'p', { subject: { namespaces: space('x') }, egress: [
  adminRule('Pass', { peers: [{ pods: { namespaceSelector: space('y'), podSelector: { matchLabels: { pod: 'a' }, matchExpressions: [] } } }] }),
  adminRule(then, { peers: [{ networks: ['10.0.0.0/8'] }] }),
] });

it('decides a host by the next section, not by the prefix around it', () => {
  expect(verdicts(passing('Drop'))).toEqual(['accept default', 'drop AdminNetworkPolicy:p']);
  expect(verdicts(passing('Allow'), networkPolicy('x/deny', { podSelector: all, policyTypes: ['Egress'] }))).toEqual(['drop K8sNetworkPolicy:isolation-egress', 'accept AdminNetworkPolicy:p']);
});
