/**
 * Filters on ports of a Linux bridge where the kernel cannot track connections on bridges: nothing passes, and the agent says why. Where it can, the same
 * filters are attached (test/vm/linux-bridge.test.ts has the rest). What needs no connection tracking is tried on either.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { FilterView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, inNetns, mustRun } from '../support/command.js';
import { nftTables, watchWrites } from '../support/kernel.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, HOST_IPV4, LINUX_BRIDGE, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;
/** Does this kernel track connections on bridges? */
let tracks: boolean;

beforeAll(async () => {
  world = await createWorld({ workloads: 2, datapath: 'bridge' });
  traffic = await startTraffic(world);
  const tried = await command(...inNetns(world.host, 'nft', ['add table bridge probe; add chain bridge probe c; add rule bridge probe c ct state new']));
  tracks = tried.code === 0;
  await command(...inNetns(world.host, 'nft', ['delete table bridge probe']));
  for (const { netns } of world.workloads) await traffic.listen(netns, 7001);
  await traffic.listen(world.host, 7001, 'tcp', HOST_IPV4);
  agent = await Agent.prepare(world, { manifests: { 'workloads.yaml': workloadManifests(world) } });
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

/** From a workload to the other (straight over the bridge) and to the host, and from the host. */
async function ways(): Promise<string[]> {
  const [first, second] = [world.workload(0), world.workload(1)];
  return Promise.all([
    traffic.tries({ netns: first.netns, destination: second.ipv4, port: 7001, timeoutMs: 500 }),
    traffic.tries({ netns: first.netns, destination: second.ipv6, port: 7001, timeoutMs: 500 }),
    traffic.tries({ netns: first.netns, destination: HOST_IPV4, port: 7001, timeoutMs: 500 }),
    traffic.tries({ netns: world.host, destination: first.ipv4, port: 7001, timeoutMs: 500 }),
  ]);
}
const states = async (): Promise<string[]> => (await agent.ask<{ filters: FilterView[] }>('getfilters')).filters.map(({ state }) => state);
const reasons = async (): Promise<string> => (await agent.ask<StatusView>('status')).degraded.map(({ reason }) => reason).join('\n');

it('forwards everything before there is an agent', async () => {
  expect(await ways()).toEqual(['open', 'open', 'open', 'open']);
});

it('a filter without rules drops all, with or without connection tracking', async () => {
  await agent.start();
  expect(await states()).toEqual(['closed', 'closed']);
  expect(await ways()).toEqual(['timeout', 'timeout', 'timeout', 'timeout']);
  expect(await nftTables(world.host)).toContain('bridge dfw');
});

it('with rules that accept everything it is enforced, or stays shut and says why', async () => {
  await agent.write('table.yaml', [ruleTable('table', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] })]);
  await agent.sync();
  expect(await states()).toEqual(tracks ? ['attached', 'attached'] : ['closed', 'closed']);
  expect(await ways()).toEqual(tracks ? ['open', 'open', 'open', 'open'] : ['timeout', 'timeout', 'timeout', 'timeout']);
  if (tracks) expect(await reasons()).toBe('');
  else expect(await reasons()).toMatch(/filters of veth0, veth1: no rules in force: this kernel has no connection tracking on bridges \(nf_conntrack_bridge\)/);
});

it('a restart finds it as it was and writes nothing', async () => {
  const written = await watchWrites(world);
  await agent.stop();
  await agent.start();
  expect(await states()).toEqual(tracks ? ['attached', 'attached'] : ['closed', 'closed']);
  // Where the kernel refuses the rules they are tried again, which changes nothing.
  if (tracks) expect(await written()).toBe(false);
  expect(await ways()).toEqual(tracks ? ['open', 'open', 'open', 'open'] : ['timeout', 'timeout', 'timeout', 'timeout']);
});

it('an interface that leaves the bridge is enforced as a routed one, and shut again when it comes back', async () => {
  const workload = world.workload(0);
  const reach = (): Promise<string> => traffic.tries({ netns: world.host, destination: workload.ipv4, port: 7001, timeoutMs: 500 });
  // The host's side of a routed veth: an address to answer from, and the route.
  await mustRun('ip', ['-n', world.host, '-batch', '-'], {
    input: [
      `link set ${workload.interface} nomaster`, `link set ${workload.interface} address ${workload.hostMac}`, `route replace ${workload.ipv4}/32 dev ${workload.interface}`,
      `neigh replace ${workload.ipv4} lladdr ${workload.mac} dev ${workload.interface} nud permanent`, '',
    ].join('\n'),
  });
  await eventually('it is attached', async () => ((await states())[0] === 'attached' ? true : undefined));
  expect(await eventually('it is reached', async () => ((await reach()) === 'open' ? 'open' : undefined))).toBe('open');
  await mustRun('ip', ['-n', world.host, '-batch', '-'], { input: `link set ${workload.interface} master ${LINUX_BRIDGE}\nroute replace ${workload.ipv4}/32 dev ${LINUX_BRIDGE}\n` });
  await eventually('it is on the bridge again', async () => ((await states())[0] === (tracks ? 'attached' : 'closed') ? true : undefined));
  await eventually('its way', async () => ((await reach()) === (tracks ? 'open' : 'timeout') ? true : undefined));
});

it('failurePolicy open lets pass what cannot be enforced, and says so', async () => {
  await agent.stop();
  const open = await Agent.prepare(world, { config: { failurePolicy: 'open', stateDir: agent.stateDir }, manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [ruleTable('table', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'drop' }] })] } });
  await open.start();
  const { filters } = await open.ask<{ filters: FilterView[] }>('getfilters');
  expect(filters.map(({ state }) => state)).toEqual(tracks ? ['attached', 'attached'] : ['open', 'open']);
  expect(await ways()).toEqual(tracks ? ['timeout', 'timeout', 'timeout', 'timeout'] : ['open', 'open', 'open', 'open']);
  if (!tracks) expect((await open.ask<StatusView>('status')).degraded.map(({ reason }) => reason).join('\n')).toContain('no rules in force');
  const result = await open.agentctl('cleanup', '--yes');
  expect(result.code).toBe(0);
  expect(await nftTables(world.host)).toEqual([]);
});
