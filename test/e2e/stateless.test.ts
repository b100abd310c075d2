/** Stateless rules judge every packet by itself: an answer needs a rule of its own, whatever the connection tracker thinks. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { flushConntrack } from '../support/kernel.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;

beforeAll(async () => {
  world = await createWorld({ workloads: 2 });
  traffic = await startTraffic(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world) } });
  await traffic.listen(world.workload(1).netns, 7001);
  await traffic.listen(world.workload(1).netns, 7002, 'udp');
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail()));
  await flushConntrack(world);
});

const request = { id: 1, direction: 'inout', protocol: 'tcp', ports: ['7001'], action: 'accept', stateless: true };
const answer = { id: 2, direction: 'inout', protocol: 'tcp', sourcePorts: ['7001'], action: 'accept', stateless: true };
const last = { id: 9, direction: 'inout', protocol: 'any', action: 'drop' };
const load = async (...rules: readonly unknown[]): Promise<void> => {
  await agent.write('table.yaml', [ruleTable('table', { rules })]);
  await agent.sync();
};
const tries = (port: number): Promise<string> => traffic.tries({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port, timeoutMs: 400 });

it('without a rule for the answer there is no connection', async () => {
  await load(request, last);
  expect(await tries(7001)).toBe('timeout');
});

it('with one there is, and it ends with either rule', async () => {
  await load(request, answer, last);
  const connection = await traffic.connect({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7001, interval: 10 });
  expect(connection.state).toBe('open');
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await connection.stats()).echoed).toBeGreaterThan(5);
  await load(request, last);
  const before = await connection.stats();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await connection.stats()).echoed).toBe(before.echoed);
  await connection.close();
});

it('a stateful rule beside it lets answers through as ever', async () => {
  await load(request, { id: 3, direction: 'inout', protocol: 'udp', ports: ['7002'], action: 'accept' }, last);
  expect(await traffic.asks({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7002 })).toBe(true);
});
