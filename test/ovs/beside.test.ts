/**
 * The pipeline beside flows of others: they forward, and hand packets over before they do; what may pass goes on with them, with all that
 * they knew of it.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { ruleTable, virtualMachine, workloadManifests, type Manifest } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldSwitch } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;
let ovs: WorldSwitch;

const FIRST = 100;
const NEXT = 50;
/** Others' pipeline: marks each packet, hands it over, and forwards only what comes back with all its marks. */
const THEIRS = [
  'table=0,priority=10,actions=set_field:0x11->reg0,set_field:0x22->reg1,set_field:0x33->reg7,set_field:0x44->reg15,set_field:0x55->metadata,resubmit(,1)',
  `table=1,priority=10,actions=resubmit(,${FIRST})`,
  `table=${NEXT},priority=10,reg0=0x11,reg1=0x22,reg2=0,reg7=0x33,reg12=0,reg15=0x44,metadata=0x55,actions=NORMAL`,
];
const rules = (extra: readonly unknown[] = []): Manifest => ruleTable('table', {
  rules: [
    ...extra,
    { id: 101, direction: 'inout', protocol: 'tcp', ports: ['7001'], action: 'accept' },
    { id: 102, direction: 'inout', protocol: 'udp', ports: ['7002'], action: 'accept' },
    { id: 109, direction: 'inout', protocol: 'any', action: 'drop' },
  ],
});

beforeAll(async () => {
  world = await createWorld({ workloads: 3, datapath: 'ovs' });
  if (world.ovs === undefined) throw new Error('no switch');
  ovs = world.ovs;
  await ovs.vsctl('set', 'bridge', WORLD_BRIDGE, 'fail_mode=standalone');
  for (const flow of THEIRS) await ovs.ofctl('add-flow', flow);
  traffic = await startTraffic(world);
  // The second one's MAC address is not declared: it is known by its addresses. The third has no filter.
  const [first, second] = world.workloads;
  if (first === undefined || second === undefined) throw new Error('no workloads');
  const filtered = workloadManifests(world).filter(({ metadata }) => !metadata.name.startsWith(world.workload(2).name));
  const plain = { ...virtualMachine(second), spec: { nics: [{ name: 'eth0', addresses: [second.ipv4, second.ipv6] }] } };
  agent = await Agent.run(world, {
    config: { ovs: { bridge: WORLD_BRIDGE, database: ovs.database, firstTable: FIRST, nextTable: NEXT } },
    manifests: { 'workloads.yaml': filtered.map((manifest) => (manifest.kind === 'VirtualMachine' && manifest.metadata.name === second.name ? plain : manifest)), 'table.yaml': [rules()] },
  });
  for (const index of [0, 1, 2]) {
    for (const port of [7001, 7003]) await traffic.listen(world.workload(index).netns, port);
    await traffic.listen(world.workload(index).netns, 7002, 'udp');
  }
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail(), await ovs.appctl('dpctl/dump-flows').catch(() => ''))));

const tries = (source: number, destination: number, port: number, family: 4 | 6 = 4): Promise<string> => {
  const { ipv4, ipv6 } = world.workload(destination);
  return traffic.tries({ netns: world.workload(source).netns, destination: family === 4 ? ipv4 : ipv6, port, timeoutMs: 600 });
};
const ours = async (): Promise<string[]> => (await ovs.ofctl('dump-flows', 'cookie=0xdf77000000000000/0xffff000000000000', '--no-stats')).split('\n').filter((line) => line.includes('cookie=')).sort();
const tableOf = (line: string): number => Number(/table=(\d+)/.exec(line)?.[1] ?? 0);

it.each([[0, 1], [1, 0], [2, 0], [0, 2], [2, 1], [1, 2]])('workload %i reaches %i as the filters of both let it, in both families', async (source, destination) => {
  for (const family of [4, 6] as const) {
    expect(await tries(source, destination, 7001, family)).toBe('open');
    expect(await tries(source, destination, 7003, family)).toBe('timeout');
  }
});

it('all flows are in the tables that are ours, others\' are as they were, and so is the bridge', async () => {
  const tables = (await ours()).map(tableOf);
  expect([Math.min(...tables), Math.max(...tables) < FIRST + 50]).toEqual([FIRST, true]);
  // The switch's own flow of a standalone bridge is the other one.
  expect((await ovs.ofctl('dump-flows', 'table=0')).match(/priority=\d+/g)?.sort()).toEqual(['priority=0', 'priority=10']);
  expect((await ovs.vsctl('get', 'bridge', WORLD_BRIDGE, 'fail_mode')).trim()).toBe('standalone');
});

it('connections name their rules, and obey when a rule changes', async () => {
  const connection = await traffic.connect({ netns: world.workload(2).netns, destination: world.workload(0).ipv4, port: 7001, interval: 20 });
  const flows = await eventually('the flow', async () => {
    const { flows: all } = await agent.ask<{ flows: { ruleId: number; source: { port: number } }[] }>('getflows', '-f', world.workload(0).name);
    const mine = all.filter(({ source }) => source.port === connection.localPort);
    return mine.length === 0 ? undefined : mine;
  }, 8_000, 200);
  expect(flows.map(({ ruleId }) => ruleId)).toEqual([101]);
  await agent.write('table.yaml', [rules([{ id: 90, direction: 'in', protocol: 'tcp', ports: ['7001'], action: 'drop' }])]);
  await agent.sync();
  const { echoed } = await connection.stats();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect((await connection.stats()).echoed).toBe(echoed);
  await connection.close();
  await agent.write('table.yaml', [rules()]);
  await agent.sync();
  expect(await tries(2, 0, 7001)).toBe('open');
});

it('a restarted agent finds its flows and writes nothing; what others do to them is repaired', async () => {
  const before = await ours();
  await agent.kill();
  await agent.start();
  expect(await ours()).toEqual(before);
  expect(await agent.tail()).toContain('ovs.adopted');
  await ovs.ofctl('del-flows', `table=${FIRST}`);
  const entry = (lines: readonly string[]): string => lines.filter((line) => tableOf(line) === FIRST).join('\n');
  await eventually('the repair', async () => (entry(await ours()) === entry(before) ? true : undefined), 3_000, 50);
  expect([await tries(2, 0, 7001), await tries(2, 0, 7003)]).toEqual(['open', 'timeout']);
});

it('cleanup leaves others\' flows alone', async () => {
  expect((await agent.agentctl('cleanup', '--yes')).code).toBe(0);
  expect(await ours()).toEqual([]);
  expect((await ovs.ofctl('dump-flows', `table=${NEXT}`)).match(/actions=/g)).toHaveLength(1);
});
