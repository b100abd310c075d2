/** A changed table binds established connections: exactly those that lost their permission end, within a second. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, HOST_IPV4, type World } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;

const accept = (id: number, port: number): Record<string, unknown> => ({ id, direction: 'inout', protocol: 'tcp', ports: [String(port)], action: 'accept' });
const last = (action: string): Record<string, unknown> => ({ id: 999, direction: 'inout', protocol: 'any', action });
const load = async (rules: readonly unknown[]): Promise<void> => {
  await agent.write('table.yaml', [ruleTable('table', { rules })]);
  await agent.sync();
};

beforeAll(async () => {
  world = await createWorld({ workloads: 3 });
  traffic = await startTraffic(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world) } });
  for (const port of [7001, 7002]) await traffic.listen(world.workload(1).netns, port);
  await traffic.listen(world.host, 7001, 'tcp', HOST_IPV4);
  await traffic.listen(world.workload(1).netns, 7003, 'udp');
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

async function open(port: number, from = 0, destination = world.workload(1).ipv4): Promise<TestConnection> {
  const connection = await traffic.connect({ netns: world.workload(from).netns, destination, port, interval: 10 });
  expect(connection.state).toBe('open');
  await eventually('first echoes', async () => ((await connection.stats()).echoed > 3 ? true : undefined));
  return connection;
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Echoes still come: more of them within 300 ms, and none was missed. */
async function expectAlive(connection: TestConnection): Promise<void> {
  const before = await connection.stats();
  await pause(300);
  const after = await connection.stats();
  expect(after.echoed).toBeGreaterThan(before.echoed + 5);
  expect({ state: after.state, retransmits: after.retransmits }).toEqual({ state: 'open', retransmits: 0 });
}
async function expectSilent(connection: TestConnection): Promise<void> {
  const before = await connection.stats();
  await pause(300);
  const after = await connection.stats();
  expect(after.echoed).toBe(before.echoed);
  expect(after.pending).toBeGreaterThan(0);
}

it('drops the connection of a removed rule and no other', async () => {
  await load([accept(1, 7001), accept(2, 7002), last('drop')]);
  const [cut, kept, keptIpv6] = [await open(7001), await open(7002), await open(7002, 0, world.workload(1).ipv6)];
  await agent.write('table.yaml', [ruleTable('table', { rules: [accept(2, 7002), last('drop')] })]);
  await eventually('the connection of the removed rule is cut', async () => ((await cut.stats()).sinceEchoMs > 200 ? true : undefined), 1_500);
  await expectSilent(cut);
  await expectAlive(kept);
  await expectAlive(keptIpv6);
  for (const connection of [cut, kept, keptIpv6]) await connection.close();
});

it('resets it when the table then says reject', async () => {
  await load([accept(1, 7001), accept(2, 7002), last('reject')]);
  const [cut, kept] = [await open(7001), await open(7002)];
  await load([accept(2, 7002), last('reject')]);
  await eventually('the reset', async () => (['reset', 'refused', 'unreachable'].includes((await cut.stats()).state) ? true : undefined), 1_500);
  await expectAlive(kept);
  for (const connection of [cut, kept]) await connection.close();
});

it('does not disturb a connection whose permission moves to another rule', async () => {
  await load([accept(1, 7001), last('drop')]);
  const moved = await open(7001);
  await load([{ ...accept(5, 7001), source: { addresses: [world.workload(0).ipv4] } }, last('drop')]);
  await expectAlive(moved);
  const flows = await eventually('the new rule in the flow table', async () => {
    const found = await agent.ask<{ flows: { ruleId: number; source: { port: number } }[] }>('getflows', '-f', 'vm-1');
    const one = found.flows.find((flow) => flow.source.port === moved.localPort);
    return one?.ruleId === 5 ? one : undefined;
  });
  expect(flows.ruleId).toBe(5);
  await moved.close();
});

it('binds a connection when a refusing rule is put before the one that admitted it', async () => {
  await load([accept(1, 7001), last('drop')]);
  const [cut, kept] = [await open(7001, 0), await open(7001, 2)];
  await load([{ id: 3, direction: 'in', protocol: 'tcp', source: { addresses: [world.workload(0).ipv4] }, action: 'drop' }, accept(1, 7001), last('drop')]);
  await eventually('cut', async () => ((await cut.stats()).sinceEchoMs > 200 ? true : undefined), 1_500);
  await expectAlive(kept);
  for (const connection of [cut, kept]) await connection.close();
});

it('binds it when the very rule turns from accept into drop', async () => {
  await load([accept(1, 7001), accept(2, 7002), last('drop')]);
  const [cut, kept] = [await open(7001), await open(7002)];
  await load([{ ...accept(1, 7001), action: 'drop' }, accept(2, 7002), last('drop')]);
  await eventually('cut', async () => ((await cut.stats()).sinceEchoMs > 200 ? true : undefined), 1_500);
  await expectSilent(cut);
  await expectAlive(kept);
  for (const connection of [cut, kept]) await connection.close();
});

it('binds it when an address leaves the set of the rule', async () => {
  const table = (addresses: readonly string[]): unknown => ruleTable('table', {
    addressSets: [{ name: 'clients', addresses }], rules: [{ ...accept(1, 7001), source: { addressSets: ['clients'] } }, last('drop')],
  });
  await agent.write('table.yaml', [table([world.workload(0).ipv4, world.workload(2).ipv4])]);
  await agent.sync();
  const [cut, kept] = [await open(7001, 0), await open(7001, 2)];
  await agent.write('table.yaml', [table([world.workload(2).ipv4])]);
  await agent.sync();
  await eventually('cut', async () => ((await cut.stats()).sinceEchoMs > 200 ? true : undefined), 1_500);
  await expectAlive(kept);
  for (const connection of [cut, kept]) await connection.close();
});

it('stops what the server sends, too, and lets it go on once the rule is back', async () => {
  await load([accept(1, 7001), last('drop')]);
  const connection = await open(7001);
  await connection.pace(0);
  await load([last('drop')]);
  await connection.push('while refused');
  await pause(300);
  expect(await connection.received()).toBe('');
  await load([accept(1, 7001), last('drop')]);
  await eventually('the retransmission', async () => ((await connection.received()) === 'while refused\n' ? true : undefined), 10_000);
  await connection.push('again');
  await eventually('a push after the change', async () => ((await connection.received()).endsWith('again\n') ? true : undefined));
  await connection.close();
});

// On one side alone: what leaves is never refused.
const into = (id: number, port: number): Record<string, unknown> => ({ ...accept(id, port), direction: 'in' });
const refuse = { ...last('drop'), direction: 'in' };

it('names the rule that admits a connection again', async () => {
  await load([into(1, 7001), refuse]);
  const connection = await open(7001);
  await load([refuse]);
  await eventually('cut', async () => ((await connection.stats()).sinceEchoMs > 200 ? true : undefined), 1_500);
  // Silent until well after the change: what refused it is all that it carries.
  await connection.pace(0);
  const { echoed } = await connection.stats();
  await load([into(1, 7001), refuse]);
  await eventually('it goes on', async () => ((await connection.stats()).echoed > echoed ? true : undefined), 10_000);
  await connection.pace(10);
  const named = await eventually('its rule', async () => {
    const { flows } = await agent.ask<{ flows: { ruleId: number; source: { port: number } }[] }>('getflows', '-f', 'vm-1');
    const found = flows.find((flow) => flow.source.port === connection.localPort)?.ruleId;
    return found === 0 ? undefined : found;
  });
  expect(named).toBe(1);
  await connection.close();
});

it('does not revive what a rule refused when that very rule accepts something else', async () => {
  await load([into(5, 7001), refuse]);
  const connection = await open(7001);
  const { echoed } = await connection.stats();
  await load([{ ...into(1, 7001), action: 'drop' }, refuse]);
  await eventually('cut', async () => ((await connection.stats()).sinceEchoMs > 500 ? true : undefined), 2_500);
  const { echoed: refusedAt } = await connection.stats();
  await load([into(1, 7002), refuse]);
  await expectSilent(connection);
  await pause(1_500);
  expect((await connection.stats()).echoed).toBe(refusedAt);
  expect(refusedAt).toBeGreaterThanOrEqual(echoed);
  await connection.close();
});

it('binds connections between a workload and the host, and UDP', async () => {
  const udp = { id: 4, direction: 'inout', protocol: 'udp', ports: ['7003'], action: 'accept' };
  await load([accept(1, 7001), udp, last('drop')]);
  const host = await open(7001, 0, HOST_IPV4);
  const datagrams = await traffic.connect({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7003, protocol: 'udp', interval: 10 });
  await eventually('UDP echoes', async () => ((await datagrams.stats()).echoed > 3 ? true : undefined));
  await load([udp, last('drop')]);
  await expectSilent(host);
  const before = await datagrams.stats();
  await pause(300);
  expect((await datagrams.stats()).echoed).toBeGreaterThan(before.echoed + 5);
  await load([last('drop')]);
  await pause(50);
  await expectSilent(datagrams);
  for (const connection of [host, datagrams]) await connection.close();
});
