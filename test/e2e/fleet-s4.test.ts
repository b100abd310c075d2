/**
 * The article on Antrea and NSX across hosts: two nodes of a cluster with the fruits app (and the same app in alt-ns), a hypervisor with the database,
 * each with its agent, and one etcd to which everything is applied. What nodes there are, and which machine has the tag, comes from what agents publish.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EgressStateView, FlowView, RulesView, StatusView, TraceView } from '../../src/model/views.js';
import type { AgentClient } from '../../src/api/client.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { EtcdServer } from '../support/etcd.js';
import { createFleet, POD_CIDRS, type Fleet } from '../support/fleet.js';
import { joinFleet } from '../support/fleet-hypervisor.js';
import { attachment, virtualMachine } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const DATABASE = '172.19.2.1';
const NODES = { 'k8s-worker-1': '192.0.2.1', 'k8s-worker-2': '192.0.2.2' } as const;
/** Of the article's pool, on the fleet's link. */
const [EGRESS, ALT_EGRESS] = ['192.0.2.101', '192.0.2.102'];
const [MONGO, SSH] = [27_017, 22];
const GRACE = 4;
const CLUSTER = { 'dfw.dev/cluster': 'kube-demo-a' };
const APP = { app: 'fruits-app-total' };

/** A seed's manifest, on the addresses of the fleet's link. */
const seed = async (name: string): Promise<string> => (await readFile(fileURLToPath(new URL(`../fixtures/seeds/${name}`, import.meta.url)), 'utf8')).replaceAll('172.19.64.', '192.0.2.');

describe('the fruits app of a cluster and its database on a hypervisor', () => {
  let fleet: Fleet;
  let world: World;
  let server: EtcdServer;
  let traffic: Traffic;
  let directory: string;
  let hypervisor: Agent;
  const agents = new Map<string, Agent>();
  /** For questions that are asked again and again; of agents that run. */
  const clients = new Map<string, AgentClient>();

  beforeAll(async () => {
    fleet = await createFleet({
      'k8s-worker-1': [{ name: 'fruits-app-1', labels: APP }, { name: 'stones', labels: { app: 'stones' } }],
      'k8s-worker-2': [{ name: 'fruits-app-2', labels: APP }, { name: 'fruits-app-alt', namespace: 'alt-ns', labels: APP }],
    });
    directory = await mkdtemp(join(tmpdir(), 'dfwt-s4-'));
    fleet.cleanup.defer('files', () => rm(directory, { recursive: true, force: true }));
    world = await createWorld({ workloads: [{ name: 'db', ipv4: DATABASE }, { name: 'web', ipv4: '172.19.2.9' }] });
    await joinFleet(fleet, world);
    server = await EtcdServer.start(fleet.cleanup);
    traffic = await startTraffic(world);
    for (const port of [MONGO, SSH]) await traffic.listen(world.workload('db').netns, port);
    const sources = [{ type: 'etcd', endpoints: server.sockets, grace: GRACE }];
    const [first, second] = fleet.nodes;
    if (first === undefined || second === undefined) throw new Error('no nodes');
    await writeFile(join(directory, 'etcd.yaml'), JSON.stringify({ endpoints: server.sockets }));
    const egress = { leases: 'etcd', exceptCidrs: POD_CIDRS };
    const [one, two, vms] = await Promise.all([
      ...[first, second].map((node) => node.agent({ config: { cluster: 'kube-demo-a', sources, egress, discovery: { node: { enabled: true } } } })),
      // A node, too, but not of the cluster.
      Agent.run(world, { config: { node: 'hypervisor', cluster: 'vms', sources, discovery: { node: { enabled: true } } } }),
    ]);
    if (one === undefined || two === undefined || vms === undefined) throw new Error('no agents');
    hypervisor = vms;
    agents.set('k8s-worker-1', one).set('k8s-worker-2', two).set('hypervisor', vms);
    // What a container runtime would say: pods of the cluster, found by their routes.
    await apply(fleet.manifests(first).filter(({ kind }) => kind === 'Namespace' || kind === 'Pod'));
    // Of the hypervisor alone.
    const local = await written('vms.json', JSON.stringify({ kind: 'List', items: world.workloads.flatMap((workload) => [virtualMachine(workload, { app: workload.name === 'db' ? 'demo' : 'web' }), attachment(workload)]) }));
    const applied = await vms.agentctl('apply', '-f', local);
    if (applied.code !== 0) throw new Error(applied.stderr);
    await apply(await seed('db-access.yaml'));
    await apply([
      { apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: 'fruits-apps' }, spec: { criteria: [{ all: [{ object: 'Pod', key: 'Tag', operator: 'Equals', value: 'app=fruits-app-total' }] }] } },
      {
        apiVersion: 'dfw.dev/v1', kind: 'SecurityPolicy', metadata: { name: 'fruits-out' }, spec: {
          category: 'Application', sequence: 20, appliedTo: [{ group: 'fruits-apps' }], rules: [
            { name: 'to-db', destinations: [{ group: 'demo-vms' }], services: [{ protocol: 'TCP', ports: [String(MONGO), String(SSH)] }], action: 'Allow', direction: 'Out' },
            { name: 'rest', action: 'Drop', direction: 'Out' },
          ],
        },
      },
    ]);
    await eventually('all know each other', async () => (sameSet(await addresses('k8s-worker-2', 'alt-ns/fruits-app-alt', 'demo-vms'), DATABASE) && sameSet(await addresses('hypervisor', 'db', 'kube-demo-a-nodes'), ...Object.values(NODES)) ? true : undefined), 20_000);
  }, 120_000);
  afterAll(async () => {
    await world.close();
    await fleet.close();
  });
  beforeEach(({ onTestFailed }) => onTestFailed(async () => {
    for (const [name, agent] of agents) console.log(name, await agent.tail(), (await agent.agentctl('status')).stdout, (await agent.agentctl('getegress')).stdout);
  }));

  const agent = (name: string): Agent => {
    const found = agents.get(name);
    if (found === undefined) throw new Error(`no agent on ${name}`);
    return found;
  };
  const written = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  /** agentctl --etcd, on a manager's machine; must succeed. */
  const manage = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await hypervisor.agentctl(...args, '--etcd', join(directory, 'etcd.yaml'));
    if (code !== 0) throw new Error(`agentctl ${args.join(' ')}: ${stderr}${stdout}`);
    return stdout;
  };
  const apply = async (manifests: string | readonly unknown[]): Promise<string> => manage('apply', '-f', await written('manifest.yaml', typeof manifests === 'string' ? manifests : JSON.stringify({ kind: 'List', items: manifests })));
  /** As a user with an editor does it. */
  const edit = async (change: (text: string) => string): Promise<void> => {
    const before = await manage('get', 'sp', 'db-access', '-o', 'yaml');
    const after = change(before);
    // What an earlier try of the test left as it shall be.
    if (after !== before) expect(await apply(after)).toBe('SecurityPolicy/db-access configured\n');
  };
  /** Of the sets of a filter whose name says what group they are of; undefined: there is none. */
  const addresses = async (host: string, filter: string, group: string): Promise<string[] | undefined> => {
    const client = clients.get(host) ?? await agent(host).client();
    clients.set(host, client);
    const view = await client.getAddressSets(filter).catch(() => undefined);
    const found = (view?.addressSets ?? []).filter(({ name }) => name.includes(group));
    return found.length === 0 ? undefined : found.flatMap((set) => set.addresses).filter((address) => !address.includes(':')).toSorted();
  };
  const sameSet = (found: readonly string[] | undefined, ...wanted: readonly string[]): boolean => found !== undefined && JSON.stringify(found) === JSON.stringify(wanted.toSorted());
  const rules = async (host: string, filter: string): Promise<string[]> => {
    const { rulesets } = await agent(host).ask<RulesView>('getrules', '-f', filter);
    return rulesets.flatMap((ruleset) => ruleset.rules).flatMap(({ policy }) => (policy?.kind === 'SecurityPolicy' ? [`${policy.name} ${policy.rule ?? ''}`] : []));
  };
  const decidedBy = async (host: string, from: string, to: string, port: number): Promise<string> => {
    const { verdict, steps } = await agent(host).ask<TraceView>('trace', '--from', from, '--to', to, '--dport', String(port));
    return `${verdict} ${steps.at(-1)?.policy?.name ?? ''} ${steps.at(-1)?.policy?.rule ?? ''}`;
  };
  const tries = async (port: number, ...pods: readonly string[]): Promise<string[]> => Promise.all(pods.map((pod) => traffic.tries({ netns: fleet.pod(pod).netns, destination: DATABASE, port })));
  const becomes = async (pods: readonly string[], state: string, port = MONGO): Promise<void> => {
    await eventually(`${pods.join(', ')}: ${state}`, async () => ((await tries(port, ...pods)).every((each) => each === state) ? true : undefined), 15_000);
  };
  const flowAtDatabase = async (port: number, source: string): Promise<FlowView> => eventually('the flow', async () => {
    const { flows } = await hypervisor.ask<{ flows: FlowView[] }>('getflows', '-f', 'db');
    return flows.find((flow) => flow.source.address === source && flow.destination.port === port && flow.state === 'Active');
  }, 5_000);
  const everybody = ['fruits-app-1', 'fruits-app-2', 'fruits-app-alt'];
  const apps = ['fruits-app-1', 'fruits-app-2'];

  it('scenario 1: nodes of the cluster reach the database; rule 1 disabled breaks the app, enabled heals it', async () => {
    await becomes(everybody, 'open');
    expect(await traffic.tries({ netns: fleet.outside, destination: DATABASE, port: MONGO })).toBe('timeout');
    expect(await traffic.tries({ netns: world.workload('web').netns, destination: DATABASE, port: MONGO })).toBe('timeout');
    expect(await rules('hypervisor', 'db')).toEqual(['db-access mongo', 'db-access ssh', 'db-access deny-in', 'db-access deny-out']);
    expect(await rules('k8s-worker-1', 'default/fruits-app-1')).toEqual(['fruits-out to-db', 'fruits-out rest']);
    const connection = await traffic.connect({ netns: fleet.pod('fruits-app-2').netns, destination: DATABASE, port: MONGO, interval: 20 });
    expect(connection.state).toBe('open');
    expect(await flowAtDatabase(MONGO, NODES['k8s-worker-2'])).toMatchObject({ direction: 'in', policy: { kind: 'SecurityPolicy', name: 'db-access', rule: 'mongo' } });
    const { flows } = await agent('k8s-worker-2').ask<{ flows: FlowView[] }>('getflows', '-f', 'default/fruits-app-2');
    expect(flows.find(({ state }) => state === 'Active')).toMatchObject({ direction: 'out', source: { address: fleet.pod('fruits-app-2').ipv4 }, policy: { name: 'fruits-out', rule: 'to-db' } });
    expect(await decidedBy('hypervisor', NODES['k8s-worker-2'], 'db', MONGO)).toBe('allow db-access mongo');
    expect(await decidedBy('k8s-worker-2', 'default/fruits-app-2', DATABASE, MONGO)).toBe('allow fruits-out to-db');

    await edit((text) => text.replace('disabled: false', 'disabled: true'));
    await becomes(everybody, 'timeout');
    expect(await rules('hypervisor', 'db')).toEqual(['db-access ssh', 'db-access deny-in', 'db-access deny-out']);
    expect(await decidedBy('hypervisor', NODES['k8s-worker-2'], 'db', MONGO)).toBe('drop db-access deny-in');
    const { echoed } = await connection.stats();
    await eventually('messages without echo', async () => ((await connection.stats()).sinceEchoMs > 1_000 ? true : undefined), 5_000);
    expect((await connection.stats()).echoed).toBe(echoed);
    expect(await tries(SSH, ...everybody)).toEqual(['open', 'open', 'open']);

    await edit((text) => text.replace('disabled: true', 'disabled: false'));
    await becomes(everybody, 'open');
    await eventually('the connection goes on', async () => ((await connection.stats()).echoed > echoed ? true : undefined), 20_000);
    expect(await flowAtDatabase(MONGO, NODES['k8s-worker-2'])).toMatchObject({ policy: { name: 'db-access', rule: 'mongo' } });
    await connection.close();
  });

  it('scenario 2: the Egress address admits that application alone; the same one in alt-ns is refused, with an Egress of its own, too', async () => {
    await apply(await seed('external-ip-pool-1.json'));
    await hypervisor.agentctl('delete', 'egress', 'alt-egress', '--etcd', join(directory, 'etcd.yaml'));
    // The Egress is the cluster's, which the hypervisor is not of.
    const egress = JSON.parse(await seed('fruits-app-egress.json')) as { metadata: object; spec: object };
    await apply([{ ...egress, metadata: { ...egress.metadata, labels: CLUSTER } }]);
    await edit((text) => text.replace('group: kube-demo-a-nodes', 'group: fruits-app-egress'));
    await eventually('the address is in use', async () => {
      const { egresses } = await agent('k8s-worker-2').ask<EgressStateView>('getegress');
      return egresses.some((one) => one.address === EGRESS && one.node === 'k8s-worker-1' && one.state === 'active') ? true : undefined;
    }, 15_000);
    await becomes(apps, 'open');
    expect(await tries(MONGO, 'fruits-app-alt')).toEqual(['timeout']);
    expect(await addresses('hypervisor', 'db', 'fruits-app-egress')).toEqual([EGRESS]);
    const connections = await Promise.all(apps.map((pod) => traffic.connect({ netns: fleet.pod(pod).netns, destination: DATABASE, port: MONGO, interval: 50 })));
    const { flows } = await eventually('both flows', async () => {
      const answer = await hypervisor.ask<{ flows: FlowView[] }>('getflows', '-f', 'db');
      return answer.flows.filter(({ state }) => state === 'Active').length >= apps.length ? answer : undefined;
    });
    for (const flow of flows.filter(({ state }) => state === 'Active')) expect(flow).toMatchObject({ source: { address: EGRESS }, policy: { name: 'db-access', rule: 'mongo' } });
    expect(await decidedBy('hypervisor', EGRESS, 'db', MONGO)).toBe('allow db-access mongo');
    expect(await decidedBy('hypervisor', NODES['k8s-worker-2'], 'db', MONGO)).toBe('drop db-access deny-in');
    // ssh is for everybody: there it is seen with which address alt-ns comes.
    const throughSsh = async (): Promise<string[]> => {
      const connection = await traffic.connect({ netns: fleet.pod('fruits-app-alt').netns, destination: DATABASE, port: SSH });
      expect(connection.state).toBe('open');
      const answer = await hypervisor.ask<{ flows: FlowView[] }>('getflows', '-f', 'db');
      await connection.close();
      return answer.flows.filter(({ state, destination, policy }) => state === 'Active' && destination.port === SSH && policy?.rule === 'ssh').map(({ source }) => source.address);
    };
    expect(await throughSsh()).toContain(NODES['k8s-worker-2']);
    await apply([{
      apiVersion: 'crd.antrea.io/v1beta1', kind: 'Egress', metadata: { name: 'alt-egress', labels: CLUSTER },
      spec: { appliedTo: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'alt-ns' } } }, egressIP: ALT_EGRESS, externalIPPool: 'external-ip-pool-1' },
    }]);
    await eventually('alt-ns has its own address', async () => ((await throughSsh().catch((): string[] => [])).includes(ALT_EGRESS) ? true : undefined), 20_000, 100);
    expect(await tries(MONGO, ...everybody)).toEqual(['open', 'open', 'timeout']);

    await Promise.all(connections.map((connection) => connection.close()));
  });

  it('a host whose agent dies is in the groups of others until the grace time is over, and again when it is back', async () => {
    expect((await agent('k8s-worker-1').agentctl('getaddrsets', '-f', 'default/fruits-app-1')).stdout).toContain(DATABASE);
    await hypervisor.kill();
    clients.delete('hypervisor');
    const killed = Date.now();
    expect(await addresses('k8s-worker-1', 'default/fruits-app-1', 'demo-vms')).toEqual([DATABASE]);
    await eventually('the database is in no group', async () => (sameSet(await addresses('k8s-worker-1', 'default/fruits-app-1', 'demo-vms')) ? true : undefined), 15_000, 50);
    // Renewed every third.
    expect(Date.now() - killed).toBeGreaterThan((GRACE * 1_000) / 3);
    expect(await decidedBy('k8s-worker-1', 'default/fruits-app-1', DATABASE, MONGO)).toBe('drop fruits-out rest');
    await hypervisor.start();
    await becomes(apps, 'open');
    expect(await addresses('hypervisor', 'db', 'fruits-app-egress')).toEqual([EGRESS]);

    await edit((text) => text.replace('group: fruits-app-egress', 'group: kube-demo-a-nodes'));
    await agent('k8s-worker-2').kill();
    clients.delete('k8s-worker-2');
    await eventually('its node is in no group', async () => (sameSet(await addresses('hypervisor', 'db', 'kube-demo-a-nodes'), NODES['k8s-worker-1']) ? true : undefined), 15_000);
    await agent('k8s-worker-2').start();
    await eventually('its node is back', async () => (sameSet(await addresses('hypervisor', 'db', 'kube-demo-a-nodes'), ...Object.values(NODES)) ? true : undefined), 15_000);
  });

  it('nothing is wrong in the end', async () => {
    for (const [name, one] of agents) {
      const { degraded, sources } = await one.ask<StatusView>('status');
      expect([name, degraded, sources.flatMap(({ errors }) => errors)]).toEqual([name, [], []]);
    }
  });
});
