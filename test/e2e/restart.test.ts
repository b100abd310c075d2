/** Starting, crashing, stopping: the datapath never opens, never loses a packet, and is written only where something changed. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { join } from 'node:path';
import { Agent } from '../support/agent.js';
import { command, eventually } from '../support/command.js';
import { nftTables, watchWrites } from '../support/kernel.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';
import { ServiceManager } from '../support/service-manager.js';

let world: World;
let traffic: Traffic;
let agent: Agent;

const rules = [
  { id: 101, direction: 'inout', protocol: 'tcp', ports: ['7001'], action: 'accept', log: true },
  { id: 102, direction: 'inout', protocol: 'udp', ports: ['7002'], action: 'accept' },
  { id: 109, direction: 'inout', protocol: 'any', action: 'reject' },
];
const table = (extra: readonly unknown[] = []): unknown => ruleTable('table', { rules: [...extra, ...rules] });

beforeAll(async () => {
  world = await createWorld({ workloads: 2 });
  traffic = await startTraffic(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [table()] } });
  await traffic.listen(world.workload(1).netns, 7001);
  await traffic.listen(world.workload(1).netns, 7003);
  await traffic.listen(world.workload(1).netns, 7002, 'udp');
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

/** What rules reject when there is no agent: on bridges it is the agent that answers. */
const rejectedAlone = (): string => (world.plan.refusedBy === 'switch' ? 'timeout' : 'refused');
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const target = (): { netns: string; destination: string } => ({ netns: world.workload(0).netns, destination: world.workload(1).ipv4 });

async function streams(): Promise<TestConnection[]> {
  const tcp = await traffic.connect({ ...target(), port: 7001, interval: 2 });
  const udp = await traffic.connect({ ...target(), port: 7002, protocol: 'udp', interval: 2 });
  await eventually('both streams', async () => ((await tcp.stats()).echoed > 5 && (await udp.stats()).echoed > 5 ? true : undefined));
  return [tcp, udp];
}
/** Stops the streams and counts what never came back. */
async function expectNoLoss(connections: readonly TestConnection[]): Promise<void> {
  for (const connection of connections) {
    await connection.pace(0);
    // A busy machine is late; what is lost stays pending.
    await eventually('the last echoes', async () => ((await connection.stats()).pending === 0 ? true : undefined), 2_000).catch(() => undefined);
    const { state, pending, retransmits, sent } = await connection.stats();
    expect(sent).toBeGreaterThan(100);
    expect({ state, pending, retransmits }).toEqual({ state: 'open', pending: 0, retransmits: 0 });
    await connection.close();
  }
}
const flowsOf = async (): Promise<string[]> => {
  const { flows } = await agent.ask<{ flows: { protocol: string; ruleId: number; source: { port: number } }[] }>('getflows', '-f', 'vm-1');
  return flows.map((flow) => `${flow.protocol} ${flow.source.port} ${flow.ruleId}`).toSorted();
};

it('kill -9 under traffic: no packet lost, same rule ids after the restart, nothing written', async () => {
  const connections = await streams();
  const flows = await eventually('two flows', async () => {
    const found = await flowsOf();
    return found.length >= 2 ? found : undefined;
  });
  const names = (await agent.ask<{ filters: { name: string }[] }>('getfilters')).filters.map((one) => one.name);
  const written = await watchWrites(world);
  await agent.kill();
  await pause(200);
  expect(await traffic.tries({ ...target(), port: 7003 })).toBe(rejectedAlone()); // enforced without an agent
  expect(await traffic.tries({ ...target(), port: 7001 })).toBe('open');
  await agent.start();
  expect(await written()).toBe(false);
  expect((await agent.ask<{ filters: { name: string }[] }>('getfilters')).filters.map((one) => one.name)).toEqual(names);
  for (const flow of flows) expect(await flowsOf()).toContain(flow);
  await expectNoLoss(connections);
});

it('applies what changed while it was dead, and only that', async () => {
  const connections = await streams();
  await agent.kill();
  await agent.write('table.yaml', [table([{ id: 103, direction: 'inout', protocol: 'tcp', ports: ['7003'], action: 'accept' }])]);
  await agent.start();
  expect(await traffic.tries({ ...target(), port: 7003 })).toBe('open');
  await expectNoLoss(connections);
  await agent.write('table.yaml', [table()]);
  await agent.sync();
  expect(await traffic.tries({ ...target(), port: 7003 })).toBe('refused');
});

it('changes a large table under traffic, as often as it is started: nothing is lost', async () => {
  // Enough that a kernel which empties a table, and fills it, takes its time.
  const prefixes = (turn: number): string[] => Array.from({ length: 1_500 }, (_, n) => `172.${16 + (turn % 4)}.${n >> 4}.${(n & 15) * 16}/29`);
  const other = (turn: number): unknown => ruleTable('more', { rules: [{ id: 201, direction: 'inout', protocol: 'tcp', source: { addresses: prefixes(turn) }, ports: [String(8_000 + turn)], action: 'drop', log: turn % 2 === 0 }] });
  await agent.write('more.yaml', [other(0)]);
  await agent.sync();
  const rebuilds = async (): Promise<number> => (await agent.log()).filter(({ event }) => event === 'nftables.not-mended' || event === 'nftables.rebuild').length;
  const before = await rebuilds();
  const connections = await streams();
  for (let turn = 1; turn <= 4; turn += 1) {
    await agent.kill();
    // Changed, gone, there again.
    await agent.write('more.yaml', turn === 3 ? [] : [other(turn)]);
    await agent.start();
  }
  expect(await rebuilds()).toBe(before);
  await expectNoLoss(connections);
  await agent.remove('more.yaml');
  await agent.sync();
});

it('SIGTERM ends it cleanly and leaves the datapath enforcing', async () => {
  const connections = await streams();
  const written = await watchWrites(world);
  expect(await agent.stop()).toBe(0);
  expect(await written()).toBe(false);
  expect(await traffic.tries({ ...target(), port: 7003 })).toBe(rejectedAlone());
  await agent.start();
  expect(await written()).toBe(false);
  await expectNoLoss(connections);
});

it('an unchanged file written again writes nothing to the datapath', async () => {
  const written = await watchWrites(world);
  await agent.write('table.yaml', [table()]);
  await agent.sync();
  expect(await written()).toBe(false);
});

it('says READY to the service manager once all is in force', async () => {
  await agent.stop();
  const manager = await ServiceManager.listen(join(agent.directory, 'notify'), world.cleanup);
  agent.launch(manager.environment);
  await manager.hears('READY=1');
  const status = await agent.ask<{ realized: boolean }>('status');
  expect(status.realized).toBe(true);
  await agent.stop();
  expect(manager.heard).toContain('STOPPING=1');
  await agent.start();
});

it('refuses to start twice on one socket, and takes over a stale one', async () => {
  const second = await command('ip', ['netns', 'exec', world.host, join(process.cwd(), 'bin/dfw-agent'), '--config', agent.configFile], { timeoutMs: 20_000 });
  expect(second.code).not.toBe(0);
  expect((await agent.agentctl('health')).code).toBe(0);
  await agent.kill(); // leaves the socket file behind
  await agent.start();
});

it('a table that somebody deletes is back within a second, counted, and nothing leaks meanwhile for long', async () => {
  const before = Object.values(await agent.metric('dfw_drift_repairs_total')).reduce((sum, value) => sum + value, 0);
  const deleted = await world.exec(world.host, 'nft', ['delete', 'table', 'inet', 'dfw']);
  if (deleted.code !== 0) {
    // The kernel lets only the owner delete it: then it must simply still be there.
    expect(deleted.stderr).toMatch(/not permitted/);
  } else {
    await eventually('the table', async () => ((await nftTables(world.host)).includes('inet dfw') ? true : undefined), 1_000);
    await eventually('enforcement', async () => ((await traffic.tries({ ...target(), port: 7003, timeoutMs: 300 })) === 'refused' ? true : undefined), 1_000);
    const repairs = Object.values(await agent.metric('dfw_drift_repairs_total')).reduce((sum, value) => sum + value, 0);
    expect(repairs).toBeGreaterThan(before);
  }
  expect(await traffic.tries({ ...target(), port: 7001 })).toBe('open');
});

it('survives flush ruleset by others', async () => {
  await world.exec(world.host, 'nft', ['flush', 'ruleset']);
  expect(await eventually('the table', async () => ((await nftTables(world.host)).includes('inet dfw') ? 'back' : undefined), 1_000)).toBe('back');
  await eventually('enforcement', async () => ((await traffic.tries({ ...target(), port: 7003, timeoutMs: 300 })) === 'refused' ? true : undefined), 2_000);
});

it('cleanup removes its tables and nothing else', async () => {
  await world.exec(world.host, 'nft', ['add table inet others']);
  expect((await agent.agentctl('cleanup')).code).toBe(2);
  const result = await agent.agentctl('cleanup', '--yes');
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' });
  expect(await nftTables(world.host)).toEqual(['inet others']);
  expect(await traffic.tries({ ...target(), port: 7003 })).toBe('open');
});
