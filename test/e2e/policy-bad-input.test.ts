/** Policies that cannot be in force as they stand: refused or held alone, said with place and reason, and never a wider permission than before. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { flushConntrack } from '../support/kernel.js';
import { createWorld, type World } from '../support/netns.js';
import { observation, startProbe, type Observation, type Probe } from '../support/probe/probe.js';

const ANTREA = 'crd.antrea.io/v1beta1';
let world: World;
let probe: Probe;
let agent: Agent;

/** Pods `client` and `server` of namespace x; a policy admits TCP 80 to the server and drops all else. */
beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'client' }, { name: 'server' }] });
  probe = await startProbe(world);
  const pods = world.workloads.flatMap((workload) => [
    {
      apiVersion: 'v1', kind: 'Pod', metadata: { name: workload.name, namespace: 'x', labels: { app: workload.name } },
      status: { podIPs: [{ ip: workload.ipv4 }, { ip: workload.ipv6 }] },
    },
    { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: workload.name }, spec: { workload: { kind: 'Pod', namespace: 'x', name: workload.name }, interface: workload.interface, mac: workload.mac } },
  ]);
  agent = await Agent.run(world, {
    manifests: { 'workloads.yaml': [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } }, ...pods], 'base.yaml': [only80] },
  });
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail()));
  await flushConntrack(world);
});
afterEach(async () => {
  for (const name of await agent.names()) if (!['workloads.yaml', 'base.yaml'].includes(name)) await agent.remove(name);
  await agent.sync();
});

const only80 = {
  apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'only-80', namespace: 'x' },
  spec: { podSelector: { matchLabels: { app: 'server' } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: 80 }] }] },
};

function acnp(name: string, spec: Readonly<Record<string, unknown>>): unknown {
  return {
    apiVersion: ANTREA, kind: 'ClusterNetworkPolicy', metadata: { name },
    spec: { priority: 5, appliedTo: [{ podSelector: { matchLabels: { app: 'server' } } }], ...spec },
  };
}

function networkPolicy(spec: Readonly<Record<string, unknown>>): unknown {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'bad', namespace: 'x' }, spec: { podSelector: {}, ...spec } };
}

function clusterGroup(name: string, spec: Readonly<Record<string, unknown>>): unknown {
  return { apiVersion: ANTREA, kind: 'ClusterGroup', metadata: { name }, spec };
}

let port = 20_000;
async function syn(destinationPort: number): Promise<Observation> {
  const [from, to] = [world.workload('client'), world.workload('server')];
  const [result] = await probe.send([{ from: from.name, family: 4, protocol: 6, source: from.ipv4, destination: to.ipv4, sourcePort: (port += 1), destinationPort }], 60);
  if (result === undefined) throw new Error('no answer of the probe');
  return observation(result);
}

interface Fault { readonly object: string; readonly path: string; readonly message: string }

async function faults(): Promise<string> {
  const result = await agent.agentctl('sync', '-o', 'json');
  expect(result.code, result.stdout + result.stderr).toBe(1);
  const { errors } = result.json() as { errors: Fault[] };
  return errors.map(({ object, path, message }) => `${object}: ${path}: ${message}`).join('\n');
}

const block = (except: string[]): unknown => [{ from: [{ ipBlock: { cidr: '10.0.0.0/16', except } }] }];
const drop = (from: unknown): unknown => [{ action: 'Drop', from: [from] }];

it.each<[string, unknown[], RegExp | 'its place']>([
  ['a bad operator', [networkPolicy({ podSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] } })], /podSelector.*operator/],
  ['an operator without values', [networkPolicy({ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } })], /matchExpressions\[0\]\.values/],
  ['an unknown field', [networkPolicy({ ingres: [] })], /ingres/],
  ['an exception outside of its block', [networkPolicy({ ingress: block(['10.1.0.0/24']) })], /except\[0\]/],
  ['an endPort below its port', [networkPolicy({ ingress: [{ ports: [{ port: 90, endPort: 80 }] }] })], /endPort/],
  ['an endPort of a named port', [networkPolicy({ ingress: [{ ports: [{ port: 'web', endPort: 80 }] }] })], /endPort/],
  ['an unknown tier', [acnp('bad', { tier: 'nowhere', ingress: drop({ podSelector: {} }) })], /ClusterNetworkPolicy\/bad: spec\.tier: .*nowhere/],
  ['an unknown group', [acnp('bad', { ingress: drop({ group: 'nowhere' }) })], /ClusterNetworkPolicy\/bad.*ClusterGroup\/nowhere does not exist/],
  ['a group in itself', [clusterGroup('a', { childGroups: ['b'] }), clusterGroup('b', { childGroups: ['a'] }), acnp('bad', { ingress: drop({ group: 'a' }) })], /member of itself/],
  ['groups in groups in groups', [
    clusterGroup('a', { childGroups: ['b'] }), clusterGroup('b', { childGroups: ['c'] }), clusterGroup('c', { podSelector: {} }), acnp('bad', { ingress: drop({ group: 'a' }) }),
  ], /nested too deep.*a > ClusterGroup\/b > ClusterGroup\/c/],
  ['a name that is taken', [only80], /NetworkPolicy\/x\/only-80 is already defined by/],
  ['a bad policy among good ones', [networkPolicy({ ingress: 3 }), acnp('good', { ingress: [{ action: 'Drop', ports: [{ protocol: 'TCP', port: 81 }] }] })], 'its place'],
])('%s', async (_what, documents, message) => {
  await agent.write('bad.yaml', documents);
  expect(await faults()).toMatch(message === 'its place' ? agent.place('bad.yaml', 1) : message);
  const status = await agent.ask<{ sources: { errors: Fault[] }[]; degraded: { reason: string }[] }>('status');
  expect(status.sources.flatMap(({ errors }) => errors).length + status.degraded.length).toBeGreaterThan(0);
  // All else is in force.
  expect([await syn(80), await syn(81)]).toEqual(['delivered', 'silent']);
});

it('a group that a drop rule uses cannot be taken away from it, not even over a restart', async () => {
  await agent.write('group.yaml', [clusterGroup('clients', { podSelector: { matchLabels: { app: 'client' } } })]);
  await agent.write('drop.yaml', [acnp('drop', { ingress: drop({ group: 'clients' }) })]);
  await agent.sync();
  expect(await syn(80)).toBe('silent');
  await agent.remove('group.yaml');
  expect(await faults()).toMatch(/ClusterGroup\/clients was deleted while policies use it/);
  expect(await syn(80)).toBe('silent');
  await agent.kill();
  agent.launch();
  await expect.poll(async () => (await agent.agentctl('health')).code, { timeout: 20_000 }).toBe(0);
  expect(await faults()).toMatch(/ClusterGroup\/clients was deleted/);
  expect(await syn(80)).toBe('silent');
  // The policy goes, and with it what was kept for it.
  await agent.remove('drop.yaml');
  await agent.sync();
  expect(await syn(80)).toBe('delivered');
}, 60_000);

it('a version that names what does not exist leaves the one before in force, also over a restart', async () => {
  await agent.write('drop.yaml', [acnp('drop', { ingress: [{ action: 'Drop', ports: [{ protocol: 'TCP', port: 80 }] }] })]);
  await agent.sync();
  expect(await syn(80)).toBe('silent');
  await agent.write('drop.yaml', [acnp('drop', { tier: 'nowhere', ingress: [{ action: 'Allow' }] })]);
  expect(await faults()).toMatch(/spec\.tier.*version before stays in force/);
  await agent.kill();
  agent.launch();
  await expect.poll(async () => (await agent.agentctl('health')).code, { timeout: 20_000 }).toBe(0);
  expect(await syn(80)).toBe('silent');
  await agent.write('tier.yaml', [{ apiVersion: ANTREA, kind: 'Tier', metadata: { name: 'nowhere' }, spec: { priority: 10 } }]);
  await agent.sync();
  expect(await syn(81)).toBe('delivered');
}, 60_000);

it('10,000 policies in one file, one of them bad', async () => {
  const policies = Array.from({ length: 10_000 }, (_, index) => ({
    ...only80, metadata: { name: `many-${index}`, namespace: 'x' }, spec: { ...only80.spec, podSelector: { matchLabels: { app: `a${index}` } } },
  }));
  await agent.write('many.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...policies, networkPolicy({ ingress: 3 })] }));
  expect(await faults()).toMatch(/items\[10000\]/);
  expect([await syn(80), await syn(81)]).toEqual(['delivered', 'silent']);
}, 60_000);
