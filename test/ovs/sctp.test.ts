/** SCTP on the userspace datapath, whose tracker knows no SCTP ports: associations are told apart all the same. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { flushConntrack } from '../support/kernel.js';
import { observation, startProbe, type Observation, type Probe } from '../support/probe/probe.js';

let world: World;
let probe: Probe;
let agent: Agent;
const accept = (id: number, from: number, to: number, port: string, more: Record<string, unknown> = {}) => ({
  id, direction: 'inout', protocol: 'sctp', source: { addresses: hosts(from) }, destination: { addresses: hosts(to) }, ports: [port], action: 'accept', ...more,
});
const hosts = (index: number): string[] => [world.workload(index).ipv4, world.workload(index).ipv6];
const table = (...rules: readonly unknown[]) => ruleTable('table', { rules: [...rules, { id: 99, direction: 'inout', protocol: 'any', action: 'drop' }] });

beforeAll(async () => {
  world = await createWorld({ workloads: 2, datapath: 'ovs', ovsDatapath: 'netdev' });
  probe = await startProbe(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [table(accept(1, 0, 1, '7001'))] } });
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail(), await world.ovs?.ofctl('dump-flows', 'table=43')));
  await flushConntrack(world);
  await world.ovs?.ofctl('del-flows', 'table=43');
});

async function rules(...list: readonly unknown[]): Promise<void> {
  await agent.write('table.yaml', [table(...list)]);
  await agent.sync();
}
/** One packet; the two families must see the same. */
async function sends(from: number, to: number, sourcePort: number, destinationPort: number): Promise<Observation> {
  const seen: Observation[] = [];
  for (const family of [4, 6] as const) {
    const [source, destination] = [from, to].map((index) => (family === 4 ? world.workload(index).ipv4 : world.workload(index).ipv6));
    const results = await probe.send([{ from: world.workload(from).name, family, protocol: 132, source: source ?? '', destination: destination ?? '', sourcePort, destinationPort }], 60);
    seen.push(...results.map(observation));
  }
  expect(seen[0]).toBe(seen[1]);
  return seen[0] ?? 'silent';
}

it('replies need their association', async () => {
  await rules(accept(1, 0, 1, '7001'));
  expect(await sends(1, 0, 7001, 5001)).toBe('silent');
  expect(await sends(0, 1, 5001, 7001)).toBe('delivered');
  expect(await sends(1, 0, 7001, 5001)).toBe('delivered');
  expect(await sends(1, 0, 7001, 5002)).toBe('silent');
  expect(await sends(1, 0, 7002, 5001)).toBe('silent');
  expect(await sends(0, 1, 5001, 7002)).toBe('silent');
});

it('an association in one direction neither opens nor closes the other one', async () => {
  await rules(accept(1, 0, 1, '7001'), accept(2, 1, 0, '7002'));
  expect(await sends(0, 1, 5001, 7001)).toBe('delivered');
  expect(await sends(1, 0, 6001, 7002)).toBe('delivered');
  expect(await sends(0, 1, 7002, 6001)).toBe('delivered');
  expect(await sends(1, 0, 7001, 5001)).toBe('delivered');
  expect(await sends(1, 0, 6001, 7001)).toBe('silent');
  expect(await sends(0, 1, 5001, 7002)).toBe('silent');
});

it('a rule for every port binds its direction only', async () => {
  await rules({ id: 1, direction: 'inout', protocol: 'sctp', source: { addresses: hosts(0) }, action: 'accept' });
  expect(await sends(0, 1, 5001, 7001)).toBe('delivered');
  expect(await sends(1, 0, 7001, 5001)).toBe('delivered');
  expect(await sends(1, 0, 6001, 7002)).toBe('silent');
});

it('a removed rule cuts both directions', async () => {
  await rules(accept(1, 0, 1, '7001'));
  expect(await sends(0, 1, 5003, 7001)).toBe('delivered');
  expect(await sends(1, 0, 7001, 5003)).toBe('delivered');
  await rules(accept(1, 0, 1, '7009'));
  expect(await sends(1, 0, 7001, 5003)).toBe('silent');
  expect(await sends(0, 1, 5003, 7001)).toBe('silent');
});

it('a stateless rule admits no replies', async () => {
  await rules(accept(1, 0, 1, '7001', { stateless: true }), accept(2, 1, 0, '7002'));
  expect(await sends(0, 1, 5004, 7001)).toBe('delivered');
  expect(await sends(1, 0, 7001, 5004)).toBe('silent');
  expect(await sends(1, 0, 7001, 7002)).toBe('delivered');
});

it('what is learned stays over a restart of the agent', async () => {
  await rules(accept(1, 0, 1, '7001'));
  expect(await sends(0, 1, 5005, 7001)).toBe('delivered');
  await agent.kill();
  expect(await sends(1, 0, 7001, 5005)).toBe('delivered');
  await agent.start();
  expect(await sends(1, 0, 7001, 5005)).toBe('delivered');
});
