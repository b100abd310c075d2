/**
 * Workloads that reach each other through the bridge, without a router between: both filters judge in one pass, neighbours are found by
 * ARP and neighbour discovery, broadcasts reach who may have them.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { command, eventually } from '../support/command.js';
import { ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldSwitch } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;
let ovs: WorldSwitch;
const NAMES = ['a', 'b', 'c'];
const address = (index: number): string => `10.40.0.${index + 1}`;
const address6 = (index: number): string => `fd40::${index + 1}`;

/** The first declares its MAC address; the others' are learned. */
function manifests(): Manifest[] {
  return NAMES.flatMap((name, index): Manifest[] => {
    const { interface: device, mac } = world.workload(index);
    return [
      { apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name }, spec: { nics: [{ name: 'eth0', addresses: [address(index), address6(index)] }] } },
      { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name }, spec: { workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: device, ...(index === 0 ? { mac } : {}) } },
    ];
  });
}

const rules = (extra: readonly unknown[] = []): unknown => ruleTable('table', {
  rules: [
    ...extra,
    { id: 101, direction: 'inout', protocol: 'tcp', ports: ['7001'], action: 'accept' },
    { id: 102, direction: 'out', protocol: 'udp', ports: ['7002'], action: 'accept' },
    { id: 103, direction: 'in', protocol: 'udp', destination: { addresses: [address(1), '10.40.0.255'] }, ports: ['7002'], action: 'accept' },
    { id: 104, direction: 'inout', protocol: 'ipv6-icmp', icmp: { type: 135 }, action: 'accept' },
    { id: 105, direction: 'inout', protocol: 'ipv6-icmp', icmp: { type: 136 }, action: 'accept' },
    { id: 109, direction: 'inout', protocol: 'any', action: 'reject' },
  ],
});

beforeAll(async () => {
  world = await createWorld({ workloads: NAMES.length, datapath: 'ovs', staticNeighbours: false });
  if (world.ovs === undefined) throw new Error('no switch');
  ovs = world.ovs;
  for (const [index] of NAMES.entries()) {
    for (const line of [['addr', 'add', `${address(index)}/24`, 'brd', '10.40.0.255', 'dev', 'eth0'], ['addr', 'add', `${address6(index)}/64`, 'dev', 'eth0', 'nodad']]) {
      const { code, stderr } = await command('ip', ['-n', world.workload(index).netns, ...line]);
      if (code !== 0) throw new Error(stderr);
    }
  }
  traffic = await startTraffic(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': manifests(), 'table.yaml': [rules()] } });
  for (const [index] of NAMES.entries()) {
    for (const port of [7001, 7003]) await traffic.listen(world.workload(index).netns, port);
    await traffic.listen(world.workload(index).netns, 7002, 'udp', '0.0.0.0');
  }
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail(), await ovs.appctl('dpctl/dump-flows').catch(() => ''))));

const from = (index: number): string => world.workload(index).netns;

it.each([[0, 1], [1, 0], [1, 2], [2, 1]])('workload %i reaches %i where both filters let it, in both families', async (source, destination) => {
  for (const to of [address(destination), address6(destination)]) {
    expect(await traffic.tries({ netns: from(source), destination: to, port: 7001, timeoutMs: 3_000 }), to).toBe('open');
    expect(await traffic.tries({ netns: from(source), destination: to, port: 7003 }), to).toBe('refused');
  }
});

it('a connection names a rule at both of its ends', async () => {
  const connection = await traffic.connect({ netns: from(0), destination: address(1), port: 7001, interval: 20 });
  expect(connection.state).toBe('open');
  const flows = await eventually('the flow at both filters', async () => {
    const found = await Promise.all(['a', 'b'].map(async (name) => (await agent.ask<{ flows: { ruleId: number; direction: string; source: { port: number } }[] }>('getflows', '-f', name)).flows));
    const mine = found.map((list) => list.filter(({ source }) => source.port === connection.localPort));
    return mine.every((list) => list.length === 1) ? mine.flat() : undefined;
  }, 8_000, 200);
  expect(flows.map(({ direction, ruleId }) => `${direction} ${ruleId}`)).toEqual(['out 101', 'in 101']);
  await connection.close();
});

it('a removed rule cuts its connection, and no other', async () => {
  const open = async (): Promise<Awaited<ReturnType<Traffic['connect']>>> => traffic.connect({ netns: from(1), destination: address(2), port: 7001, interval: 5 });
  const first = await open();
  await agent.write('table.yaml', [rules([{ id: 90, direction: 'inout', protocol: 'tcp', source: { addresses: [address(0)] }, ports: ['7001'], action: 'drop' }])]);
  await agent.sync();
  const { echoed } = await first.stats();
  await eventually('the connection goes on', async () => ((await first.stats()).echoed > echoed + 10 ? true : undefined));
  expect(await traffic.tries({ netns: from(0), destination: address(1), port: 7001, timeoutMs: 300 })).toBe('timeout');
  await agent.write('table.yaml', [rules([{ id: 91, direction: 'in', protocol: 'tcp', ports: ['7001'], action: 'drop' }])]);
  await agent.sync();
  const before = (await first.stats()).echoed;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await first.stats()).echoed).toBe(before);
  await first.close();
  await agent.write('table.yaml', [rules()]);
  await agent.sync();
});

it('UDP to one address, and a broadcast only to those whose rules take it', async () => {
  expect(await traffic.asks({ netns: from(0), destination: address(1), port: 7002 }, 1_000)).toBe(true);
  expect(await traffic.asks({ netns: from(0), destination: address(2), port: 7002 }, 300)).toBe(false);
  const listener = (index: number): string => `import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 7009)); s.settimeout(4)\ntry:\n  print(s.recv(99).decode())\nexcept TimeoutError:\n  print('nothing ${index}')`;
  const allow = (id: number, index: number): unknown => ({ id, direction: 'inout', protocol: 'udp', ports: ['7009'], action: index === 1 ? 'accept' : 'drop' });
  await agent.write('table.yaml', [rules([allow(80, 1)]), ruleTable('a-third', { appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'c' }] }, rules: [{ id: 81, direction: 'in', protocol: 'udp', ports: ['7009'], action: 'drop' }] })]);
  await agent.sync();
  const heard = Promise.all([1, 2].map((index) => command('ip', ['netns', 'exec', from(index), '/usr/bin/python3', '-c', listener(index)])));
  await new Promise((resolve) => setTimeout(resolve, 800));
  for (let i = 0; i < 3; i += 1) {
    await command('ip', ['netns', 'exec', from(0), '/usr/bin/python3', '-c', `import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.sendto(b'all', ('10.40.0.255', 7009))`]);
  }
  expect((await heard).map(({ stdout }) => stdout.trim())).toEqual(['all', 'nothing 2']);
  await agent.write('table.yaml', [rules()]);
  await agent.sync();
});

it('frames are not for the host\'s own stack: what is sent to the device\'s address is not forwarded past the filters', async () => {
  const { interface: device, netns, ipv4 } = world.workload(1);
  const link = await world.exec(world.host, 'cat', [`/sys/class/net/${device}/address`]);
  const own = link.stdout.trim();
  expect(own).toMatch(/^[0-9a-f:]{17}$/);
  for (const line of [['neigh', 'replace', '169.254.1.1', 'lladdr', own, 'dev', 'eth0', 'nud', 'permanent'], ['addr', 'replace', `${ipv4}/32`, 'dev', 'eth0']]) await command('ip', ['-n', netns, ...line]);
  const { ipv4: other, netns: there } = world.workload(2);
  await command('ip', ['-n', there, 'addr', 'replace', `${other}/32`, 'dev', 'eth0']);
  // By the host's routes, with a route back: only the stack would carry it, and no rule of a filter would be asked.
  expect(await traffic.tries({ netns, destination: other, port: 7003, timeoutMs: 400 })).not.toBe('open');
  expect(await traffic.tries({ netns, destination: other, port: 7001, timeoutMs: 400 })).toBe('timeout');
});

it('few megaflow masks, whatever the number of addresses', async () => {
  for (const [source, destination] of [[0, 1], [1, 2], [2, 0], [2, 1]] as const) await traffic.tries({ netns: from(source), destination: address(destination), port: 7001, timeoutMs: 2_000 });
  const text = await ovs.appctl('dpctl/show', '-s');
  const masks = /masks: .*total:(\d+)/.exec(text)?.[1];
  const flows = (await ovs.appctl('dpctl/dump-flows')).split('\n').filter((line) => line.includes('recirc_id'));
  expect(flows.length).toBeGreaterThan(5);
  // The userspace datapath does not count masks: distinct sets of matched fields stand for them.
  const kinds = new Set(flows.map((line) => line.replace(/, packets:.*/, '').replace(/=0?x?[0-9a-f:.]+(\/[0-9a-fx:.]+)?/g, '=$1').replace(/\([0-9a-fx+]+(\/[0-9a-fx]+)?\)/g, '($1)')));
  expect(Number(masks ?? kinds.size)).toBeLessThan(80);
  expect(await ovs.ofctl('dump-ports-desc')).toContain(WORLD_BRIDGE);
});

it('learned addresses stay while other ports come and go, and go with their own', async () => {
  const ours = async (category: string): Promise<string> => (await ovs.ofctl('dump-flows', '--no-names', `cookie=0xdf77${category}0000000000/0xffffff0000000000`)).toLowerCase();
  const learned = (): Promise<string> => ours('08');
  const [b, c] = [world.workload(1), world.workload(2)];
  const both = async (): Promise<string | undefined> => {
    await traffic.tries({ netns: b.netns, destination: address(2), port: 7001, timeoutMs: 2_000 });
    const text = await learned();
    return text.includes(b.mac) && text.includes(c.mac) ? text : undefined;
  };
  await eventually('both are learned', both);
  await ovs.vsctl('add-port', WORLD_BRIDGE, 'passing', '--', 'set', 'Interface', 'passing', 'type=internal');
  const number = (await ovs.vsctl('get', 'Interface', 'passing', 'ofport')).trim();
  const isKnown = async (): Promise<boolean> => new RegExp(`in_port=${number}[ ,]`).test(await ours('02'));
  await eventually('the port is known', async () => ((await isKnown()) ? true : undefined));
  await ovs.vsctl('del-port', WORLD_BRIDGE, 'passing');
  await eventually('it is not any more', async () => ((await isKnown()) ? undefined : true));
  const kept = await learned();
  expect([kept.includes(b.mac), kept.includes(c.mac)]).toEqual([true, true]);
  await ovs.vsctl('del-port', WORLD_BRIDGE, c.interface);
  await eventually('its address is forgotten', async () => ((await learned()).includes(c.mac) ? undefined : true));
  expect(await learned()).toContain(b.mac);
  await ovs.vsctl('add-port', WORLD_BRIDGE, c.interface);
  await eventually('it is learned anew', both);
});
