/** Addresses of virtual machines that declare none: learned by ARP, neighbour discovery and DHCP, known to groups, held by SpoofGuard. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { FilterStatView, LearnedAddressView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, inNetns } from '../support/command.js';
import { dashed, sendFrames } from '../support/frames.js';
import { virtualMachine } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldWorkload } from '../support/netns.js';
import { startTraffic, type ConnectionState, type Traffic } from '../support/probe/traffic.js';

let world: World;
let agent: Agent;
let traffic: Traffic;
const GATEWAY = '169.254.1.1';
const [DATABASE, WEB, OTHER, LEASED] = [0, 1, 2, 3];

/** None of its addresses, and how they are learned, where not as the configuration says. */
const silent = ({ name, interface: device, mac }: WorldWorkload, app: string, learning?: string): unknown[] => [
  { apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name, labels: { app } }, spec: { nics: [{ name: 'eth0', mac }] } },
  {
    apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name, ...(learning === undefined ? {} : { annotations: { 'dfw.dev/ip-discovery': learning } }) },
    spec: { workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: device },
  },
];
const rows = async (index: number): Promise<string[]> => (await agent.ask<{ addresses: LearnedAddressView[] }>('addresses', 'list', world.workload(index).name)).addresses
  .map(({ address, by, state, owner }) => [address, by, state, owner].join(' ').trim()).sort();
const reach = (from: number, destination: string): Promise<ConnectionState> => traffic.tries({ netns: world.workload(from).netns, destination, port: 80, timeoutMs: 500 });
const opens = (from: number, destination: string): Promise<unknown> => eventually('a connection', async () => ((await reach(from, destination)) === 'open' ? true : undefined), 15_000);
/** Says by ARP that an address is the workload's. */
const claim = async (from: number, address: string): Promise<void> => {
  const mine = dashed(world.workload(from).mac);
  await sendFrames(world.workload(from).netns, [`arp|${mine}|${mine}/${address}|${GATEWAY}`]);
};
const learned = (index: number, ...expected: string[]): Promise<unknown> => eventually(`${expected.join()} at ${index}`, async () => ((await rows(index)).join() === [...expected].sort().join() ? true : undefined), 10_000, 50);

beforeAll(async () => {
  world = await createWorld({ workloads: 4 });
  traffic = await startTraffic(world);
  await traffic.listen(world.workload(DATABASE).netns, 80);
  const database = world.workload(DATABASE);
  agent = await Agent.run(world, {
    config: { spoofGuard: 'learned', ipDiscovery: { mode: 'firstUse' } },
    manifests: {
      'workloads.yaml': [
        virtualMachine(database, { app: 'db' }),
        { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: database.name }, spec: { workload: { kind: 'VirtualMachine', name: database.name }, vnic: 'eth0', interface: database.interface } },
        ...silent(world.workload(WEB), 'web'), ...silent(world.workload(OTHER), 'web', 'manual'), ...silent(world.workload(LEASED), 'web'),
      ],
      'policies.yaml': [
        ...['web', 'db'].map((app) => ({ apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: `${app}-vms` }, spec: { criteria: [{ all: [{ object: 'VirtualMachine', key: 'Tag', operator: 'Equals', value: `app=${app}` }] }] } })),
        { apiVersion: 'dfw.dev/v1', kind: 'SecurityPolicy', metadata: { name: 'db-access' }, spec: { category: 'Application', sequence: 10, appliedTo: [{ group: 'db-vms' }], rules: [
          { name: 'web', sources: [{ group: 'web-vms' }], services: [{ protocol: 'TCP', ports: ['80'] }], action: 'Allow', direction: 'In' }, { name: 'rest', action: 'Drop', direction: 'In' },
        ] } },
      ],
    },
  });
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

it('an address is learned by ARP: the group has it, SpoofGuard lets it pass, and no other', async () => {
  const { ipv4, ipv6 } = world.workload(DATABASE);
  const { ipv4: own, netns, mac } = world.workload(WEB);
  // Nothing is known: nothing passes.
  expect(await rows(WEB)).toEqual([]);
  expect([await reach(WEB, ipv4), await reach(WEB, ipv6)]).toEqual(['timeout', 'timeout']);
  // A probe says nothing yet.
  await sendFrames(netns, [`arp|${dashed(mac)}|${dashed(mac)}/0.0.0.0|${own}`]);
  await claim(WEB, own);
  await learned(WEB, `${own} arp bound`);
  await opens(WEB, ipv4);
  expect(await reach(WEB, ipv6)).toBe('timeout');

  const dropped = async (): Promise<number> => (await agent.ask<FilterStatView>('getfilterstat', '-f', world.workload(WEB).name)).packets.v4DropOut;
  const before = await dropped();
  await claim(WEB, '10.10.77.7');
  await sendFrames(netns, [`udp4|${dashed(mac)}|10.10.77.7|${ipv4}`]);
  await eventually('the count', async () => ((await dropped()) > before ? true : undefined), 5_000, 200);
  // The first stays.
  expect(await rows(WEB)).toEqual([`${own} arp bound`]);
});

it('a diff that changes its machine knows what was learned', async () => {
  const { name, ipv4: own } = world.workload(WEB);
  const file = join(agent.directory, 'diff.json');
  await writeFile(file, JSON.stringify({ kind: 'List', items: silent(world.workload(WEB), 'app').slice(0, 1) }));
  interface Diff { readonly errors: unknown[]; readonly addressSets: { readonly changed: unknown[] } }
  const moved = await agent.ask<Diff>('diff', '-f', file);
  expect([moved.errors, JSON.stringify(moved.addressSets)]).toEqual([[], expect.stringContaining(own)]);
  await writeFile(file, JSON.stringify({ kind: 'List', items: [{ apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name, labels: { app: 'web', more: 'yes' } }, spec: { nics: [{ name: 'eth0' }] } }] }));
  expect((await agent.ask<Diff>('diff', '-f', file)).addressSets.changed).toEqual([]);
});

it('by neighbour discovery, but no link-local one', async () => {
  const { ipv6: own, netns, mac } = world.workload(WEB);
  await sendFrames(netns, [`na|${dashed(mac)}|fe80::1234|fe80::1234`, `ns|${dashed(mac)}|::|${own}`, `na|${dashed(mac)}|${own}|${own}`]);
  await opens(WEB, world.workload(DATABASE).ipv6);
  expect(await rows(WEB)).toContain(`${own} nd bound`);
});

it('one that waits is nobody\'s until it is approved; what others have is not taken', async () => {
  const { ipv4, name: database } = world.workload(DATABASE);
  const { ipv4: own, name } = world.workload(OTHER);
  await claim(OTHER, ipv4);
  await learned(OTHER, `${ipv4} arp conflict VirtualMachine/${database}`);
  await claim(OTHER, world.workload(WEB).ipv4);
  await claim(OTHER, own);
  await learned(OTHER, `${ipv4} arp conflict VirtualMachine/${database}`, `${own} arp pending`, `${world.workload(WEB).ipv4} arp conflict VirtualMachine/${world.workload(WEB).name}`);
  expect(await reach(OTHER, ipv4)).toBe('timeout');
  const status = await agent.ask<{ degraded: { reason: string }[]; sources: { type: string; synced: boolean }[] }>('status');
  expect(status.degraded.map(({ reason }) => reason)).toContain(`Attachment/${name}: ${ipv4} is not learned: VirtualMachine/${database} has it`);
  expect(status.sources).toContainEqual(expect.objectContaining({ type: 'addresses', synced: true }));
  expect((await agent.agentctl('addresses', 'approve', name, '10.10.99.9')).code).not.toBe(0);
  await agent.ask('addresses', 'approve', name, own);
  expect(await reach(OTHER, ipv4)).toBe('open');
});

it('a lease is learned from the answer of a DHCP server', async () => {
  const { netns, ipv4: own, interface: device } = world.workload(LEASED);
  const file = join(agent.directory, 'udhcpd.conf');
  const side = world.ovs === undefined ? device : WORLD_BRIDGE;
  await writeFile(join(agent.directory, 'leases'), '');
  await writeFile(file, `start ${own}\nend ${own}\ninterface ${side}\nlease_file ${join(agent.directory, 'leases')}\npidfile ${join(agent.directory, 'udhcpd.pid')}\nopt lease 600\nopt subnet 255.255.255.255\n`);
  const server = spawn('ip', ['netns', 'exec', world.host, '/usr/bin/busybox', 'udhcpd', '-f', file], { stdio: 'ignore' });
  const ended = once(server, 'close');
  world.cleanup.defer('DHCP server', () => void server.kill('SIGKILL'));
  await eventually('a lease', async () => {
    const client = await command(...inNetns(netns, '/usr/bin/busybox', ['udhcpc', '-i', 'eth0', '-n', '-q', '-t', '3', '-T', '1', '-s', '/bin/true']), { timeoutMs: 10_000 });
    return client.code === 0 ? true : undefined;
  }, 20_000, 200);
  server.kill('SIGKILL');
  await ended;
  await learned(LEASED, `${own} dhcp bound`);
  const [lease] = (await agent.ask<{ addresses: LearnedAddressView[] }>('addresses', 'list', world.workload(LEASED).name)).addresses;
  expect(Date.parse(lease?.expires ?? '') - Date.parse(lease?.lastSeen ?? '')).toBe(600_000);
  await opens(LEASED, world.workload(DATABASE).ipv4);
});

it('stays over a crash, is given up when it is released, and learned anew', async () => {
  const { ipv4 } = world.workload(DATABASE);
  const { ipv4: own, name } = world.workload(WEB);
  await agent.kill();
  expect(await reach(WEB, ipv4)).toBe('open');
  await agent.start();
  expect(await rows(WEB)).toContain(`${own} arp bound`);
  expect(await rows(OTHER)).toContain(`${world.workload(OTHER).ipv4} arp bound`);
  expect([await reach(WEB, ipv4), await reach(OTHER, ipv4), await reach(LEASED, ipv4)]).toEqual(['open', 'open', 'open']);
  await agent.ask('addresses', 'release', name, own);
  expect(await reach(WEB, ipv4)).toBe('timeout');
  await claim(WEB, own);
  await opens(WEB, ipv4);
});
