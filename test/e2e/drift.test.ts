/** Somebody's hand in our tables: whatever was changed is right again within a second, counted, and other tables stay. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;

beforeAll(async () => {
  world = await createWorld({ workloads: 2 });
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

const nft = async (...args: readonly string[]): Promise<string> => {
  const result = await world.exec(world.host, 'nft', args);
  if (result.code !== 0) throw new Error(`nft ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
};
/** The listing without what counts, and without the order of tables, which a table made again changes. */
const listing = async (): Promise<string> => {
  const tables = await Promise.all([['inet', 'dfw'], ['netdev', 'dfw']].map((name) => nft('-s', 'list', 'table', ...name)));
  return tables.join('').replaceAll(/counter packets \d+ bytes \d+/g, 'counter');
};
const repairs = async (): Promise<number> => Object.values(await agent.metric('dfw_drift_repairs_total')).reduce((sum, value) => sum + value, 0);
const handle = async (table: readonly string[], chain: string): Promise<string> => {
  const text = await nft('-a', 'list', 'chain', ...table, chain);
  const found = /# handle (\d+)$/m.exec(text.slice(text.indexOf('policy')));
  if (found?.[1] === undefined) throw new Error(`no rule in ${text}`);
  return found[1];
};
const elementOf = async (set: string): Promise<string> => {
  const found = /elements = \{ ([^,}]+?)(?: :[^,}]*)?[,}]/s.exec(await nft('list', 'set', 'inet', 'dfw', set));
  if (found?.[1] === undefined) throw new Error(`no element in ${set}`);
  return found[1].trim();
};

describe('is put right', () => {
  const hands: readonly [string, () => Promise<unknown>][] = [
    ['a rule added before ours', () => nft('insert', 'rule', 'inet', 'dfw', 'dfw_forward', 'accept')],
    ['a rule deleted', async () => nft('delete', 'rule', 'inet', 'dfw', 'dfw_forward', 'handle', await handle(['inet', 'dfw'], 'dfw_forward'))],
    ['a chain flushed', () => nft('flush', 'chain', 'inet', 'dfw', 'dfw_forward')],
    ['a set flushed', () => nft('flush', 'set', 'inet', 'dfw', 'live')],
    ['an element deleted', async () => nft('delete', 'element', 'inet', 'dfw', 'live', `{ ${await elementOf('live')} }`)],
    ['an interface taken from the dispatch', () => nft('delete', 'element', 'inet', 'dfw', 'vnics', '{ "veth0" }')],
    ['an element added', () => nft('add', 'element', 'inet', 'dfw', 'live', '{ 0x12345678 }')],
    ['the table flushed', () => nft('flush', 'table', 'inet', 'dfw')],
    ['the table deleted', () => nft('delete', 'table', 'inet', 'dfw')],
    ['the L2 table deleted', () => nft('delete', 'table', 'netdev', 'dfw')],
    ['the table put to sleep', () => nft('add', 'table', 'inet', 'dfw', '{ flags dormant; }')],
  ];
  it.each(hands)('%s', async (_, hand) => {
    const before = await listing();
    const counted = await repairs();
    await hand();
    const target = { netns: world.workload(0).netns, destination: world.workload(1).ipv4, timeoutMs: 500 };
    await eventually('enforcement', async () => ((await traffic.tries({ ...target, port: 7002 })) === 'refused' ? true : undefined), 2_000);
    expect(await traffic.tries({ ...target, port: 7001 })).toBe('open');
    // To the last element, once the connections of the meantime were judged again.
    await eventually('as it was', async () => ((await listing()) === before ? true : undefined), 8_000).catch(async () => expect(await listing()).toBe(before));
    expect(await repairs()).toBeGreaterThan(counted);
  });
});

it('a busy neighbour in nf_tables is neither drift nor harm', async () => {
  const counted = await repairs();
  await nft('add', 'table', 'inet', 'neighbour');
  for (let round = 0; round < 40; round += 1) await nft('add', 'chain', 'inet', 'neighbour', `c${round}`);
  await nft('delete', 'table', 'inet', 'neighbour');
  expect(await repairs()).toBe(counted);
});
