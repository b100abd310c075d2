/** Somebody's hand in our flows, or a switch that forgets them: whatever was changed is right again within a second, counted, and others' flows stay. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TABLE } from '../../src/drivers/ovs/pipeline/stages.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World, type WorldSwitch } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

/** Of somebody else: a cookie, and a flow that lets everything pass before any of ours. */
const OTHERS = 'cookie=0x1234';
const BYPASS = `table=${TABLE.CLASSIFY},priority=1000,tcp,tp_dst=7002,actions=NORMAL`;

let world: World;
let bridge: WorldSwitch;
let traffic: Traffic;
let agent: Agent;

beforeAll(async () => {
  world = await createWorld({ workloads: 2, datapath: 'ovs' });
  if (world.ovs === undefined) throw new Error('a world without a switch');
  bridge = world.ovs;
  traffic = await startTraffic(world);
  const table = ruleTable('table', {
    addressSets: [{ name: 'clients', addresses: [world.workload(0).ipv4, '10.99.0.0/16'] }],
    rules: [
      { id: 1, direction: 'inout', protocol: 'tcp', source: { addressSets: ['clients'] }, ports: ['7001'], action: 'accept' },
      { id: 2, direction: 'inout', protocol: 'any', action: 'reject' },
    ],
    layer2Rules: [{ id: 3, direction: 'inout', ethertype: 'ipv6', action: 'drop' }],
  });
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [table] } });
  await traffic.listen(world.workload(1).netns, 7001);
  await traffic.listen(world.workload(1).netns, 7002);
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

const listing = async (): Promise<string[]> => (await bridge.ownFlows()).map(({ text }) => text);
/** The listing without the stamps of labels: rules that are repaired get new ones, and their connections are judged again. */
const unstamped = (flows: readonly string[]): string[] => flows.map((flow) => flow.replaceAll(/ct_label=0x\w+\/0x\w+|load:0x\w+->OXM_OF_METADATA\[\d*\.?\.?\d*\]|set_field:0x\w+(\/0x\w+)?->metadata/g, 'STAMP')).toSorted();
const repairs = async (): Promise<number> => Object.values(await agent.metric('dfw_drift_repairs_total')).reduce((sum, value) => sum + value, 0);
const target = (): { netns: string; destination: string; timeoutMs: number } => ({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, timeoutMs: 300 });
const enforced = (withinMs: number): Promise<true> => eventually('enforcement', async () => {
  return (await traffic.tries({ ...target(), port: 7002 })) === 'refused' && (await traffic.tries({ ...target(), port: 7001 })) === 'open' ? true : undefined;
}, withinMs);
/** One of our flows in a table with this in its match, as ofctl takes it. */
async function matchIn(table: number, part: string): Promise<string> {
  const matches = (await listing()).flatMap((flow) => new RegExp(`table=${table} (priority=\\S+) actions`).exec(flow)?.slice(1) ?? []);
  const found = matches.find((match) => match.includes(part));
  if (found === undefined) throw new Error(`no ${part} in table ${table}: ${matches.join(' ')}`);
  return `table=${table},${found}`;
}

describe('is put right', () => {
  const { CLASSIFY, IN_PEER, OUT_VERDICT, LIVE_IN, REPORT } = TABLE;
  const hands: readonly [string, () => Promise<unknown>][] = [
    ['a flow of a filter deleted', async () => bridge.ofctl('del-flows', '--strict', await matchIn(CLASSIFY, 'priority=100,in_port=1'))],
    ['an address deleted', async () => bridge.ofctl('del-flows', '--strict', await matchIn(IN_PEER, world.workload(0).ipv4))],
    ['a verdict changed', async () => bridge.ofctl('mod-flows', '--strict', `${await matchIn(OUT_VERDICT, 'reg11')},actions=drop`)],
    ['connections in force forgotten', () => bridge.ofctl('del-flows', `table=${LIVE_IN}`)],
    ['a flow added in our name', () => bridge.ofctl('add-flow', `cookie=0xdf77060000000001,${BYPASS}`)],
    ['reports emptied', () => bridge.ofctl('del-flows', `table=${REPORT}`)],
    ['everything deleted', () => bridge.ofctl('del-flows')],
  ];
  it.each(hands)('%s', async (_, hand) => {
    const before = await listing();
    const counted = await repairs();
    await hand();
    await enforced(2_000);
    await eventually('as it was', async () => (JSON.stringify(unstamped(await listing())) === JSON.stringify(unstamped(before)) ? true : undefined), 2_000)
      .catch(async () => expect(unstamped(await listing())).toEqual(unstamped(before)));
    await eventually('counted', async () => ((await repairs()) > counted ? true : undefined), 2_000);
  });
});

it('flows of others are neither drift nor harm, and stay', async () => {
  const counted = await repairs();
  const before = await listing();
  for (let round = 0; round < 20; round += 1) await bridge.ofctl('add-flow', `${OTHERS},table=200,priority=${round + 1},tcp,actions=drop`);
  await bridge.ofctl('add-flow', `${OTHERS},table=0,priority=900,udp,tp_dst=9,actions=drop`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect([await repairs(), await listing()]).toEqual([counted, before]);
  // Also when ours are repaired.
  await bridge.ofctl('del-flows', 'cookie=0xdf77000000000000/0xffff000000000000');
  await enforced(2_000);
  expect((await bridge.ofctl('dump-flows', `${OTHERS}/-1`)).match(/actions=drop/g)).toHaveLength(21);
});

it('a connection goes on through a repair that does not concern it', async () => {
  const connection: TestConnection = await traffic.connect({ ...target(), port: 7001, interval: 20 });
  expect(connection.state).toBe('open');
  const counted = await repairs();
  await bridge.ofctl('del-flows', '--strict', await matchIn(TABLE.REPORT, 'in_port=1'));
  await eventually('the repair', async () => ((await repairs()) > counted ? true : undefined), 2_000);
  const { echoed } = await connection.stats();
  await eventually('more echoes', async () => ((await connection.stats()).echoed > echoed + 5 ? true : undefined), 2_000);
  expect((await connection.stats()).state).toBe('open');
  await connection.close();
});

it('a switch that is killed and comes back empty enforces again', async () => {
  process.kill(Number(readFileSync(join(bridge.directory, 'ovs-vswitchd.pid'), 'utf8')), 'SIGKILL');
  await bridge.start();
  await enforced(20_000);
  expect(await listing()).not.toEqual([]);
});

it('cleanup removes its flows and nothing else: a bridge in secure mode forwards nothing then', async () => {
  await bridge.ofctl('add-flow', `${OTHERS},table=201,priority=1,tcp,actions=drop`);
  expect((await agent.agentctl('cleanup')).code).toBe(2);
  const result = await agent.agentctl('cleanup', '--yes');
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' });
  expect(await listing()).toEqual([]);
  expect(await bridge.ofctl('dump-flows', `${OTHERS}/-1`)).toContain('table=201');
  expect(await traffic.tries({ ...target(), port: 7001 })).toBe('timeout');
});
