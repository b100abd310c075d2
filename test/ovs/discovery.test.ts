/** Filters bind to ports by what the makers of the ports wrote on them, stay while nobody can tell, and go with the ports. */
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually, mustRun } from '../support/command.js';
import { ruleTable, type Manifest } from '../support/manifests.js';
import { meanwhile } from '../support/meanwhile.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldSwitch } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let traffic: Traffic;
let agent: Agent;
let ovs: WorldSwitch;

const ANTREA = 0;
const OVN = 1;
const GUEST = 2;
const PEER = 3;
const PORTS = [7001, 7002, 7003] as const;
const UUID = 'c7a5fdbd-edaf-9455-926a-d65c16db1809';

interface Ids { readonly port?: Readonly<Record<string, string>>; readonly interface?: Readonly<Record<string, string>> }
const idsOf = (index: number): Ids => {
  const { mac, ipv4, ipv6 } = world.workload(index);
  if (index === ANTREA) {
    return { port: { 'antrea-type': 'container', 'pod-name': 'a', 'pod-namespace': 'shop', 'container-id': 'c0ffee', 'attached-mac': mac, 'ip-address': `${ipv4},${ipv6}` } };
  }
  if (index === OVN) return { interface: { 'iface-id': 'shop_b', 'iface-id-ver': UUID, sandbox: 'decaf', attached_mac: mac, ip_addresses: `${ipv4}/24,${ipv6}/64` } };
  return { interface: { 'vm-id': UUID, 'iface-id': '35b3ca4a-b02a-4b5e-a447-5675df178179', 'iface-status': 'active', 'attached-mac': mac } };
};
const setIds = (device: string, ids: Ids): string[] => (['port', 'interface'] as const).flatMap((table) =>
  Object.entries(ids[table] ?? {}).flatMap(([key, value]) => ['--', 'set', table, device, `external_ids:${JSON.stringify(key)}=${JSON.stringify(value)}`]));
const bind = (index: number): Promise<string> => ovs.vsctl(...setIds(world.workload(index).interface, idsOf(index)).slice(1));

/** Each workload is told apart by the one port at which it can be reached. */
function manifests(): Manifest[] {
  const pod = (index: number, name: string): Manifest => {
    const { ipv4, ipv6 } = world.workload(index);
    return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } }, spec: { nodeName: 'host-1' }, status: { phase: 'Running', podIP: ipv4, podIPs: [{ ip: ipv4 }, { ip: ipv6 }] } };
  };
  const ingress = (name: string, port: number): Manifest => ({
    apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace: 'shop' },
    spec: { podSelector: { matchLabels: { app: name } }, policyTypes: ['Ingress'], ingress: [{ ports: [{ protocol: 'TCP', port }] }] },
  });
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }, pod(ANTREA, 'a'), pod(OVN, 'b'), ingress('a', PORTS[ANTREA]), ingress('b', PORTS[OVN]),
    ruleTable('guests', {
      appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'guest' }] },
      rules: [{ id: 101, direction: 'in', protocol: 'tcp', ports: [String(PORTS[GUEST])], action: 'accept' }, { id: 102, direction: 'in', protocol: 'any', action: 'drop' }],
    }),
  ];
}
const guest = (): Manifest => ({
  apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name: 'guest' },
  spec: { uuid: UUID.toUpperCase(), nics: [{ name: 'net0', mac: world.workload(GUEST).mac, addresses: [world.workload(GUEST).ipv4, world.workload(GUEST).ipv6] }] },
});

interface FilterLine { readonly name: string; readonly interface: string; readonly vnic: string; readonly mac: string; readonly addresses: readonly string[]; readonly workload: { readonly kind: string; readonly name: string } }
const filters = async (): Promise<readonly FilterLine[]> => (await agent.ask<{ filters: FilterLine[] }>('getfilters')).filters;
const filterOf = async (device: string): Promise<FilterLine | undefined> => (await filters()).find((filter) => filter.interface === device);
const degraded = async (): Promise<string> => (await agent.ask<{ degraded: { reason: string }[] }>('status')).degraded.map(({ reason }) => reason).join('\n');

/** Ports of a workload that the peer gets an answer from. */
async function reachable(index: number): Promise<number[]> {
  const { ipv4 } = world.workload(index);
  const states = await Promise.all(PORTS.map((port) => traffic.tries({ netns: world.workload(PEER).netns, destination: ipv4, port, timeoutMs: 400 })));
  return PORTS.filter((_, at) => states[at] === 'open');
}
async function becomes(index: number, ports: readonly number[]): Promise<void> {
  await eventually(`ports ${ports.join()} of workload ${index}`, async () => (String(await reachable(index)) === String(ports) ? true : undefined), 8_000, 50);
}

/** Ends with how often a refused port answered. */
function watch(index: number, port: number): () => Promise<{ opened: number; enough: boolean }> {
  return meanwhile(async (going) => {
    let tried = 0;
    let opened = 0;
    for (; going(); tried++) if ((await traffic.tries({ netns: world.workload(PEER).netns, destination: world.workload(index).ipv4, port, timeoutMs: 50 })) === 'open') opened += 1;
    return { opened, enough: tried > 3 };
  });
}

beforeAll(async () => {
  world = await createWorld({ workloads: 4, datapath: 'ovs' });
  if (world.ovs === undefined) throw new Error('no switch');
  ovs = world.ovs;
  traffic = await startTraffic(world);
  for (const index of [ANTREA, OVN, GUEST]) for (const port of PORTS) await traffic.listen(world.workload(index).netns, port);
  await bind(ANTREA);
  agent = await Agent.run(world, { manifests: { 'all.yaml': manifests() } });
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

it('a port that is there when the agent starts is bound when it is ready', async () => {
  const { mac, ipv4, interface: device } = world.workload(ANTREA);
  expect(await filters()).toMatchObject([{ interface: device, vnic: 'eth0', mac, addresses: [ipv4, 'fd10::2'], workload: { kind: 'Pod', namespace: 'shop', name: 'a' } }]);
  expect(await reachable(ANTREA)).toEqual([PORTS[ANTREA]]);
  expect(await reachable(OVN)).toEqual([...PORTS]);
  const { items } = await agent.ask<{ items: { metadata: { name: string } }[] }>('get', 'att');
  expect(items.map(({ metadata }) => metadata.name)).toEqual([`ovs-${device}`]);
});

it('ports of ovn-kubernetes are bound when the ids come', async () => {
  await bind(OVN);
  await becomes(OVN, [PORTS[OVN]]);
  expect(await filterOf(world.workload(OVN).interface)).toMatchObject({ workload: { kind: 'Pod', namespace: 'shop', name: 'b' } });
});

it('of a port whose Pod object is not there what rule tables leave open stays closed', async () => {
  const everybody = ruleTable('everybody', { rules: [{ id: 301, direction: 'in', protocol: 'tcp', ports: [String(PORTS[GUEST])], action: 'accept' }] });
  await agent.write('everybody.yaml', [everybody]);
  await agent.write('all.yaml', manifests().filter(({ kind, metadata }) => kind !== 'Pod' || metadata.name !== 'b'));
  await agent.sync();
  expect([await reachable(ANTREA), await reachable(OVN)]).toEqual([[PORTS[ANTREA], PORTS[GUEST]], [PORTS[GUEST]]]);
  await agent.write('all.yaml', manifests());
  await agent.sync();
  expect(await reachable(OVN)).toEqual([PORTS[OVN], PORTS[GUEST]]);
  await agent.remove('everybody.yaml');
  await agent.sync();
  expect(await reachable(OVN)).toEqual([PORTS[OVN]]);
});

it('a virtual machine\'s port waits for its object, and says so; sync does not fail for it', async () => {
  const { interface: device } = world.workload(GUEST);
  await bind(GUEST);
  await eventually('the status line', async () => ((await degraded()).includes(`port "${device}" has no filter: there is no VirtualMachine with spec.uuid ${UUID}`) ? true : undefined));
  expect(await reachable(GUEST)).toEqual([...PORTS]);
  await agent.sync();
  await agent.write('guest.yaml', [guest()]);
  await agent.sync();
  expect(await filterOf(device)).toMatchObject({ vnic: 'net0', workload: { kind: 'VirtualMachine', name: 'guest' } });
  expect(await reachable(GUEST)).toEqual([PORTS[GUEST]]);
  expect(await degraded()).not.toContain('has no filter');
});

it('a declared Attachment of the same interface wins while it is there', async () => {
  const { interface: device } = world.workload(OVN);
  const before = await filterOf(device);
  const closed = ruleTable('mine', { appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'other' }] }, rules: [{ id: 201, direction: 'inout', protocol: 'any', action: 'drop' }] });
  const mine = { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'mine' }, spec: { workload: { kind: 'VirtualMachine', name: 'other' }, vnic: 'eth0', interface: device } };
  const file = `${agent.directory}/mine.json`;
  await writeFile(file, JSON.stringify({ kind: 'List', items: [closed, mine] }));
  const { errors, filters: changed } = await agent.ask<{ errors: unknown[]; filters: { removed: string[] } }>('diff', '-f', file);
  expect([errors, changed.removed]).toEqual([[], [before?.name]]);
  await agent.write('mine.yaml', [closed, mine]);
  await agent.sync();
  expect((await filters()).filter((filter) => filter.interface === device)).toMatchObject([{ workload: { name: 'other' } }]);
  expect(await reachable(OVN)).toEqual([]);
  await agent.remove('mine.yaml');
  await agent.sync();
  expect(await filterOf(device)).toMatchObject({ name: before?.name, workload: before?.workload });
  expect(await reachable(OVN)).toEqual([PORTS[OVN]]);
});

it('a port that goes takes its filter along; one that comes back under another name has the same number', async () => {
  const { interface: device } = world.workload(ANTREA);
  const name = (await filterOf(device))?.name;
  await ovs.vsctl('del-port', WORLD_BRIDGE, device);
  await eventually('the filter to go', async () => ((await filterOf(device)) === undefined ? true : undefined));
  const number = Number(/^nic-(\d+)-/.exec(name ?? '')?.[1]);
  const flows = await ovs.ofctl('dump-flows', `cookie=0x${(0xdf77_0300_0000_0000n + BigInt(number)).toString(16)}/-1`);
  expect(flows).not.toContain('cookie=');
  await mustRun('ip', ['-n', world.host, 'link', 'set', device, 'down', 'name', 'renamed0']);
  await mustRun('ip', ['-n', world.host, 'link', 'set', 'renamed0', 'up']);
  await ovs.vsctl('add-port', WORLD_BRIDGE, 'renamed0', ...setIds('renamed0', idsOf(ANTREA)));
  await becomes(ANTREA, [PORTS[ANTREA]]);
  expect((await filterOf('renamed0'))?.name).toBe(name);
});

it('ovsdb-server ends: filters stay, over a restart of the agent too, and what comes after is found', async () => {
  const before = await filters();
  const refused = watch(GUEST, PORTS[ANTREA]);
  await ovs.kill('ovsdb-server');
  await eventually('the agent to notice', async () => ((await degraded()).includes('switch database') ? true : undefined));
  expect((await filters()).map(({ name }) => name)).toEqual(before.map(({ name }) => name));
  // The userspace datapath forwards nothing meanwhile, and the bridge answers nobody: when both are back, the agent must know its filters before it reads the database.
  await agent.kill();
  agent.launch();
  await ovs.start();
  await eventually('a realized agent', async () => ((await agent.agentctl('sync', '--timeout', '2s')).code === 0 ? true : undefined), 20_000, 100);
  expect((await filters()).map(({ name }) => name)).toEqual(before.map(({ name }) => name));
  expect(await refused()).toEqual({ opened: 0, enough: true });
  await ovs.vsctl('clear', 'interface', world.workload(OVN).interface, 'external_ids');
  await becomes(OVN, [...PORTS]);
  expect((await filters()).length).toBe(before.length - 1);
}, 60_000);
