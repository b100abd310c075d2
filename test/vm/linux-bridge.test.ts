/**
 * Workloads on a Linux bridge, with the kernel's connection tracking on bridges: straight from port to port, to and from the host, by way of the host, and
 * to a port without a filter (an uplink), beside a workload that the host routes. scripts/test-vm runs it in a guest whose kernel can do that.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FilterView, FlowView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { nftTables, watchWrites } from '../support/kernel.js';
import { attachment, ruleTable, virtualMachine } from '../support/manifests.js';
import { createWorld, HOST_IPV4, HOST_IPV6, LINUX_BRIDGE, type World, type WorldWorkload } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

const OPEN = 7001;
const CUT = 7002;
const SHUT = 7003;
const PATIENT = 15_000;

let world: World;
let traffic: Traffic;
let agent: Agent;

const accept = (id: number, more: Readonly<Record<string, unknown>>): Record<string, unknown> => ({ id, direction: 'inout', action: 'accept', ...more });
const rules = (...more: readonly Record<string, unknown>[]): Record<string, unknown>[] => [{
  ...ruleTable('table', {
    rules: [
      accept(1006, { protocol: 'tcp', ports: [String(OPEN)], log: true }), accept(1008, { protocol: 'icmp' }), ...more, { id: 999, direction: 'inout', protocol: 'any', action: 'reject' },
    ],
  }),
}];
const WITH_CUT = rules(accept(1007, { protocol: 'tcp', ports: [String(CUT)] }));
const FILTERED = ['web', 'client', 'other', 'routed'];

beforeAll(async () => {
  // Pairs whose places differ by an odd number talk straight over the bridge. `segment` has no filter: whatever is behind an uplink.
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'other' }, { name: 'segment' }, { name: 'routed' }], datapath: 'bridge' });
  const { interface: device, hostMac, ipv4, ipv6, mac } = world.workload('routed');
  await mustRun('ip', ['-n', world.host, '-batch', '-'], {
    input: [
      `link set ${device} nomaster`, `link set ${device} address ${hostMac}`, `addr add fe80::1/64 dev ${device} nodad`,
      // `replace` would leave the bridge's route in place for IPv6.
      ...[ipv4, ipv6].flatMap((address) => [`route del ${address} dev ${LINUX_BRIDGE}`, `route add ${address} dev ${device}`, `neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`]), '',
    ].join('\n'),
  });
  // Nobody reaches it over the bridge any more.
  for (const { netns, name } of world.workloads) {
    const both = name === 'routed' ? world.workloads.filter((one) => one.name !== 'routed') : [world.workload('routed')];
    for (const other of both) for (const address of [`${other.ipv4}/32`, `${other.ipv6}/128`]) await mustRun('ip', [address.includes(':') ? '-6' : '-4', '-n', netns, 'route', 'flush', address]);
  }
  traffic = await startTraffic(world);
  for (const port of [OPEN, CUT, SHUT]) {
    for (const name of ['web', 'segment', 'routed']) await traffic.listen(world.workload(name).netns, port);
    for (const address of [HOST_IPV4, HOST_IPV6]) await traffic.listen(world.host, port, 'tcp', address);
  }
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': FILTERED.flatMap((name) => [virtualMachine(world.workload(name)), attachment(world.workload(name))]), 'rules.yaml': WITH_CUT } });
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

interface Way {
  readonly from: string;
  readonly to: string;
  readonly family: 4 | 6;
}
const HOST = 'host';
const WAYS: readonly (readonly [string, Way])[] = ([4, 6] as const).flatMap((family) => ([
  ['straight over the bridge', 'client', 'web'], ['by way of the host', 'other', 'web'], ['to the host', 'web', HOST], ['from the host', HOST, 'web'],
  ['from a port without a filter', 'segment', 'web'], ['to a port without a filter', 'other', 'segment'], ['to a routed workload', 'client', 'routed'], ['from a routed workload', 'routed', 'web'],
] as const).map(([what, from, to]) => [`${what}, IPv${family}`, { from, to, family }] as const));

const addressOf = (name: string, family: 4 | 6): string => {
  if (name === HOST) return family === 4 ? HOST_IPV4 : HOST_IPV6;
  const workload = world.workload(name);
  return family === 4 ? workload.ipv4 : workload.ipv6;
};
const netnsOf = (name: string): string => (name === HOST ? world.host : world.workload(name).netns);

async function open({ from, to, family }: Way, port = OPEN): Promise<TestConnection> {
  const connection = await traffic.connect({ netns: netnsOf(from), destination: addressOf(to, family), port, interval: 50, timeoutMs: PATIENT });
  expect(connection.state).toBe('open');
  await eventually('echoes', async () => ((await connection.stats()).echoed > 3 ? true : undefined), PATIENT);
  return connection;
}
const tries = (way: Way, port: number): Promise<string> => traffic.tries({ netns: netnsOf(way.from), destination: addressOf(way.to, way.family), port, timeoutMs: PATIENT });

async function flowsOf(name: string, connection: TestConnection): Promise<FlowView[]> {
  const { flows } = await agent.ask<{ flows: FlowView[] }>('getflows', '-f', world.workload(name).interface);
  return flows.filter(({ source, destination }) => source.port === connection.localPort || destination.port === connection.localPort);
}
const state = async (workload: WorldWorkload): Promise<string | undefined> =>
  (await agent.ask<{ filters: FilterView[] }>('getfilters')).filters.find((filter) => filter.interface === workload.interface)?.state;

it('status names the bridge', async () => {
  const status = await agent.ask<StatusView>('status');
  expect(status.components).toContainEqual({ name: 'linux bridges', state: 'enforced', detail: `3 filters on ${LINUX_BRIDGE}` });
  expect(status.degraded).toEqual([]);
});

describe.each(WAYS)('%s', (_, way) => {
  it('an accepted connection lives, and getflows shows it at each filter once, with its rule', async () => {
    const connection = await open(way);
    for (const [name, direction] of [[way.from, 'out'], [way.to, 'in']] as const) {
      if (!FILTERED.includes(name)) continue;
      const flows = await eventually('the flow with its rule', async () => {
        const found = await flowsOf(name, connection);
        return found.some(({ ruleId }) => ruleId === 1006) ? found : undefined;
      }, PATIENT);
      expect(flows).toMatchObject([{ ruleId: 1006, protocol: 'tcp', direction, destination: { port: OPEN }, source: { port: connection.localPort } }]);
    }
    await connection.close();
  });

  it('what a rule rejects is refused, not just lost', async () => {
    expect(await tries(way, SHUT)).toBe('refused');
  });

});

it('connections whose rule goes are reset, on every way; others go on', async () => {
  const kept = await Promise.all(WAYS.map(([, way]) => open(way)));
  const cut = await Promise.all(WAYS.map(([, way]) => open(way, CUT)));
  await agent.write('rules.yaml', rules());
  await agent.sync();
  const before = await Promise.all(kept.map((connection) => connection.stats()));
  for (const [index, connection] of cut.entries()) {
    await eventually(`the reset ${WAYS[index]?.[0] ?? ''}`, async () => (['reset', 'refused'].includes((await connection.stats()).state) ? true : undefined), PATIENT);
  }
  for (const [index, connection] of kept.entries()) {
    await eventually(`more echoes ${WAYS[index]?.[0] ?? ''}`, async () => ((await connection.stats()).echoed > (before[index]?.echoed ?? 0) + 3 ? true : undefined), PATIENT);
    expect((await connection.stats()).state).toBe('open');
  }
  for (const connection of [...kept, ...cut]) await connection.close();
  await agent.write('rules.yaml', WITH_CUT);
  await agent.sync();
});

it('a rule that logs does so once a connection and filter, not for every packet', async () => {
  const connection = await open({ from: 'client', to: 'web', family: 4 });
  await eventually('more packets', async () => ((await connection.stats()).echoed > 20 ? true : undefined), PATIENT);
  const lines = await eventually('both lines', async () => {
    const found = (await readFile(agent.auditLog, 'utf8')).split('\n').filter((line) => line.includes(`/${connection.localPort}->`) && !line.includes('TERM'));
    return found.length >= 2 ? found : undefined;
  }, PATIENT);
  expect(lines).toHaveLength(2);
  await connection.close();
});

it('frames with a VLAN tag are judged by what is in them; ARP passes', async () => {
  for (const [index, name] of ['web', 'client'].entries()) {
    await mustRun('ip', ['-n', netnsOf(name), '-batch', '-'], { input: `link add link eth0 name eth0.7 type vlan id 7\naddr add 10.77.0.${index + 1}/24 dev eth0.7\nlink set eth0.7 up\n` });
  }
  const request = { netns: netnsOf('client'), destination: '10.77.0.1', timeoutMs: PATIENT };
  expect(await traffic.tries({ ...request, port: OPEN })).toBe('open');
  expect(await traffic.tries({ ...request, port: SHUT })).toBe('refused');
});

it('fragments are put together to be judged, and go on as they were', async () => {
  const ping = await world.exec(netnsOf('client'), 'busybox', ['ping', '-c', '2', '-s', '4000', '-W', '10', addressOf('web', 4)]);
  expect(ping.stdout).toContain('2 packets received');
});

it('a frame that the bridge floods is not answered for somebody else', async () => {
  // Nobody has this address: the frame goes to every port, and every filter refuses it.
  const [client, web] = [world.workload('client'), world.workload('web')];
  await mustRun('ip', ['-n', client.netns, 'neigh', 'replace', web.ipv4, 'lladdr', '02:dd:00:00:77:77', 'dev', 'eth0', 'nud', 'permanent']);
  expect(await traffic.tries({ netns: client.netns, destination: web.ipv4, port: OPEN, timeoutMs: 2_000 })).toBe('timeout');
  await mustRun('ip', ['-n', client.netns, 'neigh', 'replace', web.ipv4, 'lladdr', web.mac, 'dev', 'eth0', 'nud', 'permanent']);
});

it('what one filter admitted does not pass at another for it', async () => {
  // A frame for web's address, sent to other's MAC: other's filter admits the port, web's must still say no. Rule tables differ by workload.
  const [client, web, other] = [world.workload('client'), world.workload('web'), world.workload('other')];
  await agent.write('rules.yaml', [
    ruleTable('everywhere', { appliedTo: { workloads: [client, other].map(({ name }) => ({ kind: 'VirtualMachine', name })) }, rules: [accept(1, { protocol: 'any' })] }),
    ruleTable('web', { appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'web' }] }, rules: [{ id: 2, direction: 'inout', protocol: 'any', action: 'drop' }] }),
  ]);
  await agent.sync();
  const lladdr = (mac: string): Promise<string> => mustRun('ip', ['-n', client.netns, 'neigh', 'replace', web.ipv4, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent']);
  await lladdr(other.mac);
  const connection = await traffic.connect({ netns: client.netns, destination: web.ipv4, port: OPEN, timeoutMs: 2_000 });
  expect(connection.state).toBe('timeout');
  await lladdr(web.mac);
  expect(await traffic.tries({ netns: client.netns, destination: web.ipv4, port: OPEN, timeoutMs: 2_000 })).toBe('timeout');
  await agent.write('rules.yaml', WITH_CUT);
  await agent.sync();
});

it('a restart writes nothing, and connections live through it', async () => {
  const connection = await open({ from: 'client', to: 'web', family: 4 });
  const written = await watchWrites(world);
  await agent.kill();
  expect(await tries({ from: 'client', to: 'web', family: 4 }, OPEN)).toBe('open');
  expect(await traffic.tries({ netns: netnsOf('client'), destination: addressOf('web', 4), port: SHUT, timeoutMs: 1_000 })).toBe('timeout');
  await agent.start();
  expect(await written()).toBe(false);
  expect((await connection.stats()).state).toBe('open');
  expect(await flowsOf('web', connection)).toMatchObject([{ ruleId: 1006 }]);
  await connection.close();
});

it('a table that somebody deletes is back, and so is a rule', async () => {
  await mustRun(...inNetns(world.host, 'nft', ['delete table bridge dfw']));
  await eventually('the table', async () => ((await nftTables(world.host)).includes('bridge dfw') ? true : undefined), PATIENT);
  await eventually('enforcement', async () => ((await tries({ from: 'client', to: 'web', family: 4 }, SHUT)) === 'refused' ? true : undefined), PATIENT);
  await mustRun(...inNetns(world.host, 'nft', ['flush chain bridge dfw connections']));
  await eventually('enforcement again', async () => ((await tries({ from: 'client', to: 'web', family: 4 }, SHUT)) === 'refused' ? true : undefined), PATIENT);
  expect(await tries({ from: 'client', to: 'web', family: 4 }, OPEN)).toBe('open');
});

it('an interface that comes to the bridge while the agent is away is shut until it is back', async () => {
  const web = world.workload('web');
  const way: Way = { from: 'client', to: 'web', family: 4 };
  await mustRun('ip', ['-n', world.host, 'link', 'set', web.interface, 'nomaster']);
  await eventually('it is routed', async () => ((await state(web)) === 'attached' && (await agent.ask<StatusView>('status')).components.some(({ detail }) => detail.startsWith('2 filters on')) ? true : undefined), PATIENT);
  await agent.stop();
  await mustRun('ip', ['-n', world.host, 'link', 'set', web.interface, 'master', LINUX_BRIDGE]);
  expect(await traffic.tries({ netns: netnsOf(way.from), destination: addressOf(way.to, 4), port: OPEN, timeoutMs: 1_000 })).toBe('timeout');
  await agent.start();
  expect(await tries(way, OPEN)).toBe('open');
});

it('cleanup removes the table', async () => {
  expect((await agent.agentctl('cleanup', '--yes')).code).toBe(0);
  expect(await nftTables(world.host)).toEqual([]);
  expect(await tries({ from: 'client', to: 'web', family: 4 }, SHUT)).toBe('open');
});
