/** What users see of policies: names behind rules, flows and traces; status; endpoints; what a change would do. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { ruleTable } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

let world: World;
let agent: Agent;
let traffic: Traffic;

const PODS = ['web', 'client', 'other'];
const namespace = (name: string): unknown => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
const pods = (): unknown[] => PODS.flatMap((name, index) => {
  const { mac, ipv4, ipv6, interface: device } = world.workload(index);
  return [
    { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } }, status: { podIPs: [{ ip: ipv4 }, { ip: ipv6 }] } },
    { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name }, spec: { workload: { kind: 'Pod', namespace: 'shop', name }, vnic: 'eth0', interface: device, mac } },
  ];
});
const from = (app: string, port: number): unknown => ({ from: [{ podSelector: { matchLabels: { app } } }], ports: [{ protocol: 'TCP', port }] });
const webPolicy = (ports: readonly number[]): unknown => ({
  apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'web', namespace: 'shop' },
  spec: { podSelector: { matchLabels: { app: 'web' } }, ingress: ports.map((port) => from('client', port)) },
});
const clusterPolicy = (tier = 'securityops'): unknown => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'ClusterNetworkPolicy', metadata: { name: 'acnp1' },
  spec: {
    tier, priority: 5, appliedTo: [{ podSelector: { matchLabels: { app: 'web' } } }],
    ingress: [{ name: 'no-7003', action: 'Drop', from: [{ podSelector: { matchLabels: { app: 'other' } } }], ports: [{ protocol: 'TCP', port: 7003 }] }],
  },
});

beforeAll(async () => {
  world = await createWorld({ workloads: PODS.length });
  traffic = await startTraffic(world);
  agent = await Agent.run(world, { manifests: { 'pods.yaml': [namespace('shop'), ...pods()], 'policies.yaml': [webPolicy([7001, 7002]), clusterPolicy()] } });
  await agent.sync();
  for (const port of [7001, 7002, 7003]) await traffic.listen(world.workload(0).netns, port);
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

async function open(port: number): Promise<TestConnection> {
  const connection = await traffic.connect({ netns: world.workload(1).netns, destination: world.workload(0).ipv4, port, interval: 10 });
  expect(connection.state).toBe('open');
  return connection;
}
async function file(name: string, ...documents: readonly unknown[]): Promise<string> {
  const path = join(agent.directory, name);
  await writeFile(path, documents.map((document) => `---\n${JSON.stringify(document)}\n`).join(''));
  return path;
}
interface Difference {
  changes: { object: string; operation: string }[];
  errors: { object: string; path: string; message: string }[];
  rules: Record<'added' | 'removed' | 'changed', { ruleset: string; filters: string[]; rule: { ports?: string[] } }[]>;
  addressSets: Record<'added' | 'removed' | 'changed', { name: string; added: string[]; removed: string[] }[]>;
  flowsCut: { ruleId: number; destination: { port: number }; policy?: { name: string } }[];
  flowsComplete: boolean;
}

describe('the policy behind an answer', () => {
  it('is a comment of getrules, and the text loads again', async () => {
    const { stdout } = await agent.agentctl('getrules', '-f', 'shop/web');
    expect(stdout).toMatch(/rule \d+ at 1 in protocol tcp from addrset \S+ to any port 7003 drop; # AntreaClusterNetworkPolicy:acnp1 no-7003\n/);
    expect(stdout).toMatch(/port 7001 accept; # K8sNetworkPolicy:shop\/web\n/);
    expect(stdout).toContain('drop; # K8sNetworkPolicy:* isolation-ingress');
    const config = await agent.agentctl('getconfig', '-f', 'shop/web');
    const path = join(agent.directory, 'web.rules');
    await writeFile(path, config.stdout);
    const { changes, errors } = (await agent.agentctl('diff', '-f', path, '-o', 'json')).json() as Difference;
    expect(errors).toEqual([]);
    expect(changes).toContainEqual({ object: 'RuleTable/K8sNetworkPolicy:shop/web', operation: 'created' });
  });

  it('is in trace and in the flows, in JSON', async () => {
    const trace = await agent.ask<{ verdict: string; steps: { policy?: unknown }[] }>('trace', '--from', 'shop/client', '--to', 'shop/web', '--dport', '7001');
    expect(trace.verdict).toBe('allow');
    expect(trace.steps.at(-1)?.policy).toEqual({ kind: 'NetworkPolicy', namespace: 'shop', name: 'web', group: 'networking.k8s.io' });
    expect((await agent.agentctl('trace', '--from', 'shop/other', '--to', 'shop/web', '--dport', '7003')).stdout).toContain('AntreaClusterNetworkPolicy:acnp1 no-7003');
    const connection = await open(7001);
    const { flows } = await eventually('the flow', async () => {
      const answer = await agent.ask<{ flows: { direction: string; policy?: unknown }[] }>('getflows', '-f', 'shop/web');
      return answer.flows.length > 0 ? answer : undefined;
    });
    expect(flows[0]).toMatchObject({ direction: 'in', policy: { kind: 'NetworkPolicy', namespace: 'shop', name: 'web', group: 'networking.k8s.io' } });
    expect((await agent.agentctl('getflows', '-f', 'shop/web')).stdout).not.toContain('networking.k8s.io');
    await connection.close();
  });
});

describe('status of policies', () => {
  it('lists policies of all kinds in order of evaluation, with hits', async () => {
    const connection = await open(7001);
    await connection.close();
    const { stdout } = await agent.agentctl('get', 'networkpolicy');
    const [head, first, second] = stdout.split('\n');
    expect(head).toMatch(/^NAME +APPLIED-TO +RULES +TIER-PRIORITY +PRIORITY +STATE +HITS +SOURCE$/);
    expect(first).toMatch(/^AntreaClusterNetworkPolicy:acnp1 +1 +1 +100 +5 +realized +\d+ +\w+$/);
    expect(second).toMatch(/^K8sNetworkPolicy:shop\/web +1 +2 +<NONE> +<NONE> +realized +[1-9]\d* +\w+$/);
    expect([first, second].map((line) => line?.split(/ +/).at(-1))).toEqual([agent.source, agent.source]);
  });

  it('is added to the manifest, which applies again', async () => {
    const policy = await agent.ask<{ kind: string; spec: unknown; status: { state: string; workloads: number; rules: { id: number; stats: { evals: number } }[] } }>('get', 'netpol', 'K8sNetworkPolicy:shop/web');
    expect(policy).toMatchObject(webPolicy([7001, 7002]) as object);
    expect(policy.status).toMatchObject({ state: 'realized', workloads: 1 });
    expect(policy.status.rules).toHaveLength(2);
    expect(policy.status.rules[0]?.id).toBeGreaterThan(1000);
    expect(policy.status.rules[0]?.stats.evals).toBeGreaterThan(0);
    const { changes } = (await agent.agentctl('diff', '-f', await file('same.yaml', policy), '-o', 'json')).json() as Difference;
    expect(changes).toEqual([{ object: 'NetworkPolicy/shop/web', operation: 'unchanged' }]);
  });

  it('says why a policy is held, and that one applies to nothing here', async () => {
    const held = { apiVersion: 'crd.antrea.io/v1beta1', kind: 'ClusterNetworkPolicy', metadata: { name: 'lost' }, spec: { tier: 'no-such-tier', priority: 1, appliedTo: [{ podSelector: {} }], ingress: [{ action: 'Drop' }] } };
    const elsewhere = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'elsewhere', namespace: 'far' }, spec: { podSelector: {} } };
    await agent.write('more.yaml', [held, elsewhere]);
    await agent.agentctl('sync');
    const { items } = await agent.ask<{ items: { metadata: { name: string }; status: { state: string; problem?: { path: string; message: string } } }[] }>('get', 'netpol');
    expect(items.map(({ metadata, status }) => [metadata.name, status.state])).toEqual([['acnp1', 'realized'], ['elsewhere', 'not-here'], ['web', 'realized'], ['lost', 'held']]);
    expect(items.at(-1)?.status.problem).toMatchObject({ path: 'spec.tier' });
    expect((await agent.agentctl('get', 'acnp')).stdout).toMatch(/lost .* held .*spec\.tier: held: .*no-such-tier/);
    const status = await agent.ask<{ policies: number; degraded: { reason: string }[] }>('status');
    expect(status.policies).toBe(4);
    expect(status.degraded.map(({ reason }) => reason).join()).toMatch(/AntreaClusterNetworkPolicy\/lost: spec\.tier: held/);
    await agent.remove('more.yaml');
    await agent.sync();
  });
});

it('query endpoint names the policies of a pod, and the rules that name it', async () => {
  const web = await agent.ask<{ endpoints: unknown[] }>('query', 'endpoint', 'shop/web');
  const acnp1 = { kind: 'ClusterNetworkPolicy', group: 'crd.antrea.io', name: 'acnp1' };
  const np = { kind: 'NetworkPolicy', group: 'networking.k8s.io', namespace: 'shop', name: 'web' };
  expect(web.endpoints).toEqual([{ namespace: 'shop', name: 'web', policies: [acnp1, np], ingresssrcrules: [], egressdstrules: [] }]);
  const client = await agent.ask<{ endpoints: unknown[] }>('query', 'endpoint', '-p', 'client', '-n', 'shop');
  expect(client.endpoints).toEqual([{
    namespace: 'shop', name: 'client', policies: [], egressdstrules: [],
    ingresssrcrules: [{ policyref: np, direction: 'In', ruleindex: 0 }, { policyref: np, direction: 'In', ruleindex: 1 }],
  }]);
  expect((await agent.agentctl('query', 'endpoint', 'shop/other')).stdout).toContain('AntreaClusterNetworkPolicy:acnp1      0  no-7003');
  expect((await agent.agentctl('query', 'endpoint', 'shop/nobody')).code).toBe(4);
  expect((await agent.agentctl('query', 'endpoint')).code).toBe(2);
});

describe('diff', () => {
  it('says what rules would change and which connections would be cut, and changes nothing', async () => {
    const [cut, kept] = [await open(7001), await open(7002)];
    const path = await file('fewer.yaml', webPolicy([7002]));
    const before = await agent.ask<{ generation: number }>('status');
    const difference = await agent.ask<Difference>('diff', '-f', path);
    expect(difference.changes).toEqual([{ object: 'NetworkPolicy/shop/web', operation: 'configured' }]);
    expect(difference.rules.added).toEqual([]);
    expect(difference.rules.changed).toEqual([]);
    expect(difference.rules.removed.map(({ ruleset, rule }) => [ruleset, rule.ports])).toEqual([['K8sNetworkPolicy:shop/web', ['7001']]]);
    expect(difference.rules.removed[0]?.filters).toHaveLength(1);
    expect(difference.flowsCut).toHaveLength(1);
    expect(difference.flowsCut[0]).toMatchObject({ destination: { port: 7001 }, policy: { name: 'web' } });
    expect(difference.flowsComplete).toBe(true);
    const text = await agent.agentctl('diff', '-f', path);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^ {4}- rule \d+ at 1 in protocol tcp .* port 7001 accept; # K8sNetworkPolicy:shop\/web$/m);
    expect(text.stdout).toMatch(/^connections cut: 1$/m);
    expect(await agent.ask('status')).toMatchObject({ generation: before.generation });
    expect([(await cut.stats()).state, (await kept.stats()).state]).toEqual(['open', 'open']);

    // What it foretold is what happens.
    await agent.write('policies.yaml', [webPolicy([7002]), clusterPolicy()]);
    await agent.sync();
    await eventually('the foretold cut', async () => ((await cut.stats()).sinceEchoMs > 200 ? true : undefined), 2_000);
    expect((await kept.stats()).sinceEchoMs).toBeLessThan(200);
    await agent.write('policies.yaml', [webPolicy([7001, 7002]), clusterPolicy()]);
    await agent.sync();
    for (const connection of [cut, kept]) await connection.close();
  });

  it('foretells the end of a policy, a table ahead of all, and members of sets', async () => {
    const web = await file('web.yaml', webPolicy([7001, 7002]));
    const gone = await agent.ask<Difference>('diff', '--delete', '-f', web);
    expect(gone.changes).toEqual([{ object: 'NetworkPolicy/shop/web', operation: 'deleted' }]);
    expect(new Set(gone.rules.removed.map(({ ruleset }) => ruleset))).toEqual(new Set(['K8sNetworkPolicy:shop/web', 'K8sNetworkPolicy:node-ingress', 'K8sNetworkPolicy:isolation-ingress']));
    expect(gone.flowsCut).toEqual([]);

    const table = await file('table.yaml', ruleTable('block', { rules: [{ id: 7, direction: 'inout', protocol: 'tcp', ports: ['7002'], action: 'drop' }] }));
    const connection = await open(7002);
    const blocked = await agent.ask<Difference>('diff', '-f', table);
    expect(blocked.rules.added.map(({ ruleset, filters }) => [ruleset, filters.length])).toEqual([['block', 3]]);
    expect(blocked.flowsCut.length).toBeGreaterThan(0);
    await connection.close();

    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'late', namespace: 'shop', labels: { app: 'client' } }, status: { podIP: '10.99.0.9' } };
    const joined = await agent.ask<Difference>('diff', '-f', await file('pod.yaml', pod));
    expect(joined.addressSets.changed.map(({ added, removed }) => [added, removed])).toEqual([[['10.99.0.9'], []]]);
    expect([joined.rules.added, joined.rules.removed, joined.rules.changed]).toEqual([[], [], []]);
  });

  it('fails with place and reason for what is refused or would be held; apply --dry-run is the same check', async () => {
    const bad = { ...(webPolicy([7001]) as object), metadata: { name: 'bad', namespace: 'shop' }, spec: { podSelector: {}, ingress: [{ ports: [{ port: 0 }] }] } };
    const refused = await agent.agentctl('diff', '-f', await file('bad.yaml', bad, clusterPolicy('no-such-tier')));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/NetworkPolicy\/shop\/bad: spec\.ingress\[0\]\.ports\[0\]\.port: /);
    expect(refused.stderr).toMatch(/AntreaClusterNetworkPolicy\/acnp1: spec\.tier: held: .*no-such-tier.*its version before stays in force/);
    expect(refused.stdout).toContain('no rule and no address set of this host changes');
    const dry = await agent.agentctl('apply', '--dry-run', '-f', await file('own.yaml', webPolicy([7001])));
    expect(dry.code).toBe(1);
    expect(dry.stderr).toContain(`NetworkPolicy/shop/web: belongs to source ${agent.source}`);
    const table = await file('dry.yaml', ruleTable('dry', { rules: [{ id: 7, action: 'pass' }] }));
    const fine = await agent.agentctl('apply', '--dry-run', '-f', table);
    expect({ code: fine.code, stderr: fine.stderr }).toEqual({ code: 0, stderr: '' });
    expect(fine.stdout).toContain('RuleTable/dry created (dry run)');
    expect(fine.stdout).toMatch(/\+ rule 7 at 1 inout protocol any from any to any pass;/);
    expect((await agent.agentctl('get', 'rt', 'dry')).code).toBe(4);
  });
});
