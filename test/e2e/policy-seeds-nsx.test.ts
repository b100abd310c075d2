/**
 * The article on Antrea and NSX: a database VM of this host that nodes of a Kubernetes cluster query, by node address or by
 * Egress address. The cluster is inventory only; its nodes are namespaces without filters.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Agent } from '../support/agent.js';
import { attachment, virtualMachine } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startReach, type Check, type Reach, type Verdict } from '../support/probe/reach.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/seeds/${name}`, import.meta.url));

const DATABASE = '172.19.2.1';
const NODES = { 'k8s-node': '172.19.64.14', 'k8s-worker-1': '172.19.64.1', 'k8s-worker-2': '172.19.64.15' };
/** Of Egress fruits-app-egress, from pool external-ip-pool-1. */
const EGRESS = '172.19.64.101';
const [MONGO, SSH, WEB] = [27_017, 22, 80];

let world: World;
let reach: Reach;
let agent: Agent;

const node = (name: string): unknown => ({
  apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } }, status: { addresses: [{ type: 'InternalIP', address: NODES[name as keyof typeof NODES] }] },
});
const cluster = (...nodes: readonly string[]): unknown[] => [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } }, ...nodes.map(node)];

beforeAll(async () => {
  world = await createWorld({
    workloads: [{ name: 'db', ipv4: DATABASE }, ...Object.entries(NODES).map(([name, ipv4]) => ({ name, ipv4 })), { name: 'egress', ipv4: EGRESS }, { name: 'office', ipv4: '172.19.0.9' }],
  });
  reach = await startReach(world);
  for (const workload of world.workloads) {
    await reach.endpoint(workload.name, workload.netns);
    await reach.listen(workload.name, 'tcp', [MONGO, SSH, WEB]);
  }
  const database = world.workload('db');
  agent = await Agent.run(world, {
    config: { cluster: 'kube-demo-a' },
    manifests: { 'vms.yaml': [virtualMachine(database, { app: 'demo' }), attachment(database)], 'cluster.yaml': cluster('k8s-node', 'k8s-worker-1') },
  });
  await apply(fixture('external-ip-pool-1.json'), fixture('fruits-app-egress.json'));
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

async function apply(...files: readonly string[]): Promise<void> {
  for (const file of files) {
    const result = await agent.agentctl('apply', '-f', file);
    if (result.code !== 0) throw new Error(`apply of ${file}: ${result.stderr}${result.stdout}`);
  }
}

/** The policy, with its first rule changed by a user's editor. */
async function applyPolicy(edit: (text: string) => string = (text) => text): Promise<void> {
  const file = join(agent.directory, 'db-access.yaml');
  await writeFile(file, edit(await readFile(fixture('db-access.yaml'), 'utf8')));
  await apply(file);
}

/** Who gets through to the database, on which port, and whether it gets out: ssh for everybody, the database's port for these. */
async function expectMongoFrom(...clients: readonly string[]): Promise<void> {
  const sources = world.workloads.map(({ name }) => name).filter((name) => name !== 'db');
  const checks: Check[] = [
    ...sources.flatMap((from) => [MONGO, SSH, WEB].map((port): Check => {
      const passes = port === SSH || (port === MONGO && clients.includes(from));
      return { from, address: DATABASE, protocol: 'tcp', port, expected: passes ? 'Con' : 'Drp' };
    })),
    { from: 'db', address: world.workload('office').ipv4, protocol: 'tcp', port: WEB, expected: 'Drp' },
  ];
  const shown = (verdicts: readonly Verdict[]): string[] => checks.map(({ from, port }, index) => `${from} ${port} ${verdicts[index]}`);
  expect(shown(await reach.probe(checks))).toEqual(shown(checks.map(({ expected }) => expected)));
}

it('scenario 1: nodes of the cluster reach the database; rule 1 disabled: nobody; enabled again: the nodes', async () => {
  await applyPolicy();
  await expectMongoFrom('k8s-node', 'k8s-worker-1');
  await applyPolicy((text) => text.replace('disabled: false', 'disabled: true'));
  await expectMongoFrom();
  await applyPolicy();
  await expectMongoFrom('k8s-node', 'k8s-worker-1');
});

it('a node that joins the cluster is a member at once', async () => {
  await applyPolicy();
  await agent.write('cluster.yaml', cluster('k8s-node', 'k8s-worker-1', 'k8s-worker-2'));
  await agent.sync();
  await expectMongoFrom('k8s-node', 'k8s-worker-1', 'k8s-worker-2');
  await agent.write('cluster.yaml', cluster('k8s-node', 'k8s-worker-1'));
  await agent.sync();
});

it('scenario 2: only what leaves the cluster by the Egress address reaches the database; other pods come from their node', async () => {
  await applyPolicy((text) => text.replace('sources: [{group: kube-demo-a-nodes}]', 'sources: [{group: fruits-app-egress}]'));
  await expectMongoFrom('egress');
});

it('a group of another cluster has no member here', async () => {
  await applyPolicy((text) => text.replaceAll('value: kube-demo-a}', 'value: kube-demo-b}'));
  await expectMongoFrom();
});
