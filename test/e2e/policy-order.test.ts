/** Behaviours 15-28 of docs/behaviours.md: which of several policies decides, and isolation of namespaces from each other. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from 'vitest';
import { Cluster, nine, tcp, udp } from '../support/cluster.js';
import { acnp, annp, denyAll, namespace, networkPolicy, pods, port, tier, type Manifest } from '../support/policies.js';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.create(nine());
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await cluster.agent.tail())));
afterEach(() => cluster.reset());

const [TCP80, TCP81] = [tcp(80), tcp(81)];

/** An ACNP with one ingress rule on TCP 80. */
function ingress(name: string, order: { readonly priority: number; readonly tier?: string }, to: unknown, action: string, from: unknown): Manifest {
  return acnp(name, { ...order, appliedTo: [to], ingress: [{ action, from: [from], ports: [port(80)] }] });
}

describe('priorities and tiers', () => {
  const xa = pods('a', 'x');
  const [x, z] = [namespace('x'), namespace('z')];

  it('15. three priorities a thousandth apart, created in the order 3, 2, then 3, 1, 2', async () => {
    const [first, second, third] = [
      ingress('priority1', { priority: 1.001 }, xa, 'Drop', pods('b', 'z')), ingress('priority2', { priority: 1.002 }, xa, 'Allow', z), ingress('priority3', { priority: 1.003 }, x, 'Drop', z),
    ];
    await cluster.policies(third);
    await cluster.policies(third, second);
    await cluster.expectReach([cluster.all('Con').set('z/*', ['x/b', 'x/c'], 'Drp'), TCP80]);
    await cluster.policies(third, first, second);
    await cluster.expectReach([cluster.all('Con').set('z/*', ['x/b', 'x/c'], 'Drp').set('z/b', 'x/a', 'Drp'), TCP80], [cluster.all('Con'), TCP81]);
  });

  it('16. the same by tiers: priorities in a lower tier do not matter', async () => {
    const [first, second, third] = [
      ingress('tier-emergency', { tier: 'emergency', priority: 100 }, xa, 'Drop', pods('b', 'z')), ingress('tier-securityops', { tier: 'securityops', priority: 10 }, xa, 'Allow', z),
      ingress('tier-application', { tier: 'application', priority: 1 }, x, 'Drop', z),
    ];
    await cluster.policies(second, third);
    await cluster.expectReach([cluster.all('Con').set('z/*', ['x/b', 'x/c'], 'Drp'), TCP80]);
    await cluster.policies(third, first, second);
    await cluster.expectReach([cluster.all('Con').set('z/*', ['x/b', 'x/c'], 'Drp').set('z/b', 'x/a', 'Drp'), TCP80]);
  });

  it('17. two tiers of the user that stand next to each other', async () => {
    await cluster.policies(
      tier('high-priority', 245), tier('low-priority', 246),
      ingress('tier-low', { tier: 'low-priority', priority: 1 }, x, 'Drop', z), ingress('tier-high', { tier: 'high-priority', priority: 100 }, xa, 'Allow', z),
    );
    await cluster.expectReach([cluster.all('Con').set('z/*', ['x/b', 'x/c'], 'Drp'), TCP80]);
  });

  it('18. the same rule as drop of priority 1 and as allow of priority 2 drops', async () => {
    await cluster.policies(ingress('allow', { priority: 2 }, x, 'Allow', z), ingress('drop', { priority: 1 }, x, 'Drop', z));
    await cluster.expectReach([cluster.all('Con').set('z/*', 'x/*', 'Drp'), TCP80]);
  });

  it('19. policies of one priority stand in order of their names, each with its rules in order', async () => {
    const egress = (name: string, ...rules: readonly (readonly [string, string])[]): Manifest => acnp(name, {
      priority: 5, appliedTo: [x], egress: rules.map(([action, to], index) => ({ name: `rule-${index}`, action, to: [namespace(to)], ports: [port(80)] })),
    });
    const deny = (name: string): Manifest => egress(name, ['Drop', 'y'], ['Drop', 'z'], ['Allow', 'y']);
    await cluster.policies(egress('allow', ['Allow', 'z'], ['Allow', 'y']), deny('deny'));
    await cluster.expectReach([cluster.all('Con'), TCP80, TCP81]);
    await cluster.policies(egress('allow', ['Allow', 'z'], ['Allow', 'y']), deny('a-deny'));
    await cluster.expectReach([cluster.all('Con').set('x/*', ['y/*', 'z/*'], 'Drp'), TCP80], [cluster.all('Con'), TCP81]);
  });

  it('20. a baseline drop yields to a NetworkPolicy, which isolates the pod that it selects', async () => {
    const notX = { namespaceSelector: { matchExpressions: [{ key: 'ns', operator: 'NotIn', values: ['x'] }] } };
    const baseline = ingress('isolate-x', { tier: 'baseline', priority: 1 }, x, 'Drop', notX);
    await cluster.policies(baseline);
    await cluster.expectReach([cluster.all('Con').set(['y/*', 'z/*'], 'x/*', 'Drp'), TCP80], [cluster.all('Con'), TCP81]);
    await cluster.policies(baseline, networkPolicy('x', 'allow-ya-to-xa', {
      podSelector: { matchLabels: { pod: 'a' } }, policyTypes: ['Ingress'], ingress: [{ from: [pods('a', 'y')], ports: [port(80)] }],
    }));
    await cluster.expectReach([
      cluster.all('Con').set(['y/*', 'z/*'], 'x/*', 'Drp').set(['x/b', 'x/c'], 'x/a', 'Drp').set('y/a', 'x/a', 'Con'), TCP80,
    ]);
  });
});

describe('Antrea NetworkPolicies', () => {
  const fromXb = (action: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({ action, from: [pods('b', 'x')], ports: [port(80)], ...more });
  const podSelector = (pod: string): Record<string, unknown> => ({ podSelector: { matchLabels: { pod } } });

  it('21. an ANNP drops; a NetworkPolicy of the same name and target that allows changes nothing', async () => {
    const dropped = cluster.all('Con').set('x/b', 'y/a', 'Drp');
    const drop = annp('y', 'same-name', { appliedTo: [podSelector('a')], ingress: [fromXb('Drop')] });
    await cluster.policies(drop);
    await cluster.expectReach([dropped, TCP80], [cluster.all('Con'), TCP81]);
    await cluster.policies(drop, networkPolicy('y', 'same-name', { ...podSelector('a'), ingress: [{ ports: [port(80)] }] }));
    await cluster.expectReach([dropped, TCP80]);
  });

  it('22. an ANNP that turns from drop into allow', async () => {
    for (const [action, verdict] of [['Drop', 'Drp'], ['Allow', 'Con']] as const) {
      await cluster.policies(annp('y', 'update', { appliedTo: [podSelector('a')], ingress: [fromXb(action)] }));
      await cluster.expectReach([cluster.all('Con').set('x/b', 'y/a', verdict), TCP80]);
    }
  });

  it('23. two targets of which one selects nobody: a pod joins it and leaves it', async () => {
    const [a, temporary] = [podSelector('a'), { podSelector: { matchLabels: { temporary: '' } } }];
    const ofPolicy = annp('y', 'two-targets', { appliedTo: [a, temporary], ingress: [fromXb('Drop')] });
    const ofRules = annp('y', 'two-targets', { ingress: [a, temporary].map((target, index) => fromXb('Drop', { name: `rule-${index}`, appliedTo: [target] })) });
    for (const policy of [ofPolicy, ofRules]) {
      await cluster.policies(policy);
      const before = cluster.all('Con').set('x/b', 'y/a', 'Drp');
      await cluster.expectReach([before, TCP80]);
      await cluster.podLabels('y/c', { pod: 'c', temporary: '' });
      await cluster.expectReach([cluster.all('Con').set('x/b', ['y/a', 'y/c'], 'Drp'), TCP80]);
      await cluster.podLabels('y/c', { pod: 'c' });
      await cluster.expectReach([before, TCP80]);
    }
  });

  it('24. a target for every rule, in an ANNP and in an ACNP', async () => {
    const rules = (...targets: readonly unknown[]): unknown[] => [['x', 0], ['z', 1]].map(([ns, index]) => ({
      name: `from-${ns}`, action: 'Drop', from: [pods('b', String(ns))], ports: [port(80)], appliedTo: [targets[Number(index)]],
    }));
    await cluster.policies(annp('y', 'per-rule', { ingress: rules(podSelector('a'), podSelector('b')) }));
    await cluster.expectReach([cluster.all('Con').set('x/b', 'y/a', 'Drp').set('z/b', 'y/b', 'Drp'), TCP80]);
    await cluster.policies(acnp('per-rule', { ingress: rules(podSelector('a'), pods('b', 'y')) }));
    await cluster.expectReach([cluster.all('Con').set('x/b', '*/a', 'Drp').set('z/b', 'y/b', 'Drp'), TCP80]);
  });
});

describe('namespaces apart', () => {
  const everywhere = { namespaceSelector: {} };
  const anyTcp = [{ protocol: 'TCP' }];
  const own = (verdict: 'Con' | 'Drp', base: 'Con' | 'Drp', ...namespaces: readonly string[]): ReturnType<Cluster['all']> =>
    namespaces.reduce((matrix, name) => matrix.set(`${name}/*`, `${name}/*`, verdict), cluster.all(base));

  it('25. Self allowed and the rest dropped, for all namespaces and for one with a target per rule', async () => {
    await cluster.policies(acnp('ns-isolation', {
      tier: 'baseline', appliedTo: [everywhere],
      ingress: [{ name: 'own', action: 'Allow', from: [{ namespaces: { match: 'Self' } }], ports: anyTcp }, { name: 'others', action: 'Drop', from: [everywhere], ports: anyTcp }],
    }));
    await cluster.expectReach([own('Con', 'Drp', 'x', 'y', 'z'), TCP80], [cluster.all('Con'), udp(80)]);
    await cluster.policies(acnp('ns-isolation-of-x', {
      tier: 'baseline',
      egress: [
        { name: 'own', action: 'Allow', to: [{ namespaces: { match: 'Self' } }], ports: anyTcp, appliedTo: [namespace('x')] },
        { name: 'others', action: 'Drop', to: [everywhere], ports: anyTcp, appliedTo: [namespace('x')] },
      ],
    }));
    await cluster.expectReach([cluster.all('Con').set('x/*', ['y/*', 'z/*'], 'Drp'), TCP80]);
  });

  it('26. Self passed on and the rest dropped: a NetworkPolicy then decides within its namespace', async () => {
    const strict = acnp('strict-ns-isolation', {
      tier: 'securityops', appliedTo: [everywhere],
      ingress: [{ name: 'own', action: 'Pass', from: [{ namespaces: { match: 'Self' } }], ports: anyTcp }, { name: 'others', action: 'Drop', from: [everywhere], ports: anyTcp }],
    });
    await cluster.policies(strict);
    await cluster.expectReach([own('Con', 'Drp', 'x', 'y', 'z'), TCP80]);
    await cluster.policies(strict, denyAll('x', 'Ingress'));
    await cluster.expectReach([own('Con', 'Drp', 'y', 'z'), TCP80]);
  });

  /** Pods in namespaces with purpose and tier, as they are when the test starts; away again with reset(). */
  async function tiered(): Promise<void> {
    for (const [name, purpose, level] of [['prod1', 'test', 'prod'], ['prod2', 'test', 'prod'], ['dev1', 'test', 'dev'], ['dev2', 'test', 'dev'], ['no-tier', 'test-exclusion', '']] as const) {
      await cluster.namespace({ name, labels: { purpose, ...(level === '' ? {} : { tier: level }) } });
      await cluster.addPod({ namespace: name, name: 'a' });
    }
    await cluster.addPod({ namespace: 'no-tier', name: 'b' });
  }
  const sameLabels = (...keys: readonly string[]): Manifest => acnp('by-labels', {
    tier: 'securityops', appliedTo: [{ namespaceSelector: { matchExpressions: [{ key: 'purpose', operator: 'Exists' }] } }],
    ingress: [{ name: 'same', action: 'Pass', from: [{ namespaces: { sameLabels: keys } }], ports: anyTcp }, { name: 'others', action: 'Drop', ports: anyTcp }],
  });
  const TIERED = ['prod1/*', 'prod2/*', 'dev1/*', 'dev2/*', 'no-tier/*'];

  it('27. sameLabels of purpose and tier: prod with prod, dev with dev, and who lacks a label is alone', async () => {
    await tiered();
    await cluster.policies(sameLabels('purpose', 'tier'));
    await cluster.expectReach([
      cluster.all('Con').set('*/*', TIERED, 'Drp').set('prod1/*', 'prod2/*', 'Con').set('prod2/*', 'prod1/*', 'Con').set('dev1/*', 'dev2/*', 'Con').set('dev2/*', 'dev1/*', 'Con'), TCP80,
    ], [cluster.all('Con'), udp(80)]);
  });

  it('28. sameLabels of one label: two groups apart; a namespace that changes its label changes its group', async () => {
    await tiered();
    await cluster.policies(sameLabels('purpose'));
    const [test, excluded] = [TIERED.slice(0, 4), TIERED.slice(4)];
    const base = (): ReturnType<Cluster['all']> => cluster.all('Con').set('*/*', TIERED, 'Drp').set(test, test, 'Con');
    await cluster.expectReach([base().set(excluded, excluded, 'Con'), TCP80]);
    await cluster.namespace({ name: 'no-tier', labels: { purpose: 'test' } });
    await cluster.expectReach([base().set(TIERED, TIERED, 'Con'), TCP80]);
  });
});
