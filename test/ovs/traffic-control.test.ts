/** TrafficControl on a switch: copies to a port that the agent makes, to a device, into tunnels; traffic sent round by way of another device. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, mustRun } from '../support/command.js';
import { ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldSwitch, type WorldWorkload } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const COLLECTOR = '192.0.2.2';
let world: World;
let traffic: Traffic;
let agent: Agent;
let ovs: WorldSwitch;

function pod(workload: WorldWorkload, labels: Readonly<Record<string, string>>): Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name: workload.name, labels }, spec: {}, status: { podIPs: [{ ip: workload.ipv4 }, { ip: workload.ipv6 }] } },
    { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: workload.name }, spec: { workload: { kind: 'Pod', namespace: 'default', name: workload.name }, vnic: 'eth0', interface: workload.interface, mac: workload.mac } },
  ];
}
const control = (spec: Readonly<Record<string, unknown>>): Manifest => ({
  apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'web' },
  spec: { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, direction: 'Both', action: 'Mirror', ...spec },
});
const state = async (): Promise<TrafficControlView | undefined> => (await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls[0];

async function load(...documents: readonly Manifest[]): Promise<void> {
  await agent.write('control.yaml', documents);
  await agent.sync();
}

/** Frames that a device of a namespace gets while `during` runs, as tcpdump prints them. */
async function captured(netns: string, device: string, filter: string, during: () => Promise<unknown>): Promise<string[]> {
  const sniffing = command('ip', ['netns', 'exec', netns, 'timeout', '3', 'tcpdump', '-n', '-l', '-i', device, filter], { timeoutMs: 8_000 });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await during();
  return (await sniffing).stdout.split('\n').filter((line) => line !== '');
}
const talk = async (): Promise<void> => {
  expect(await traffic.tries({ netns: world.workload('client').netns, destination: world.workload('web').ipv4, port: 7001, timeoutMs: 2_000 })).toBe('open');
};

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'collector' }], datapath: 'ovs' });
  if (world.ovs === undefined) throw new Error('no switch');
  ovs = world.ovs;
  traffic = await startTraffic(world);
  agent = await Agent.run(world, {
    manifests: {
      'pods.yaml': [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } }, ...pod(world.workload('web'), { app: 'web' }), ...pod(world.workload('client'), { app: 'client' })],
      'rules.yaml': [ruleTable('all', { rules: [{ id: 1006, direction: 'inout', protocol: 'tcp', ports: ['7001'], action: 'accept' }, { id: 1007, direction: 'inout', protocol: 'any', action: 'drop' }] })],
    },
  });
  await traffic.listen(world.workload('web').netns, 7001);
  // The switch builds outer headers itself, from a route with an address of its own network.
  await mustRun('ip', ['-n', world.host, 'addr', 'add', '192.0.2.1/24', 'dev', WORLD_BRIDGE]);
  await mustRun('ip', ['-n', world.workload('collector').netns, 'addr', 'add', `${COLLECTOR}/24`, 'dev', 'eth0']);
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail(), await ovs.vsctl('show'))));

it('copies to a port that the agent makes on the bridge, and takes it away again', async () => {
  await load(control({ targetPort: { ovsInternal: { name: 'antrea-tap0' } } }));
  await eventually('an active control', async () => ((await state())?.state === 'active' ? true : undefined), 5_000);
  expect(await ovs.vsctl('get', 'Interface', 'antrea-tap0', 'type')).toContain('internal');
  const frames = await captured(world.host, 'antrea-tap0', 'tcp port 7001', talk);
  expect(frames.some((line) => line.includes(`> ${world.workload('web').ipv4}.7001: Flags [S]`))).toBe(true);
  expect(frames.some((line) => line.includes(`${world.workload('web').ipv4}.7001 > `))).toBe(true);
  const { packets } = (await state()) ?? { packets: 0 };
  expect(packets).toBeGreaterThan(2);
  await load();
  await eventually('the port to go', async () => ((await ovs.vsctl('list-ports', WORLD_BRIDGE)).includes('antrea-tap0') ? undefined : true), 5_000);
  await talk();
});

it('copies what a rule refuses, as it came from the workload', async () => {
  await load(control({ targetPort: { ovsInternal: { name: 'tap1' } }, direction: 'Egress' }));
  await eventually('an active control', async () => ((await state())?.state === 'active' ? true : undefined), 5_000);
  const frames = await captured(world.host, 'tap1', 'udp port 9', () => traffic.asks({ netns: world.workload('web').netns, destination: world.workload('client').ipv4, port: 9 }, 200));
  expect(frames.length).toBeGreaterThan(0);
});

it.each([
  ['vxlan', { vni: 42, destinationPort: 4789 }, 'udp port 4789', 'VXLAN'],
  ['geneve', { vni: 43 }, 'udp port 6081', 'Geneve'],
  ['gre', { key: 44 }, 'proto gre', 'GREv0'],
  ['erspan', { sessionID: 45, version: 1, index: 3 }, 'proto gre', 'GREv0'],
] as const)('copies into a tunnel: %s', async (kind, more, filter, says) => {
  const { mac, netns } = world.workload('collector');
  await load(control({ targetPort: { [kind]: { remoteIP: COLLECTOR, ...more } } }));
  await eventually('an active control', async () => ((await state())?.state === 'active' ? true : undefined), 5_000);
  await ovs.appctl('tnl/neigh/set', WORLD_BRIDGE, COLLECTOR, mac);
  const frames = await captured(netns, 'eth0', filter, talk);
  expect(frames.filter((line) => line.includes(says)).length, frames.join('\n')).toBeGreaterThan(1);
});

it('sends traffic round by another device, and on from where it comes back', async () => {
  // A wire with a bridge in the middle: what goes in at one end comes out of the other.
  const wire = `${world.host}-wire`;
  await command('ip', ['netns', 'del', wire]);
  await mustRun('ip', ['netns', 'add', wire]);
  world.cleanup.defer('wire', async () => void (await command('ip', ['netns', 'del', wire])));
  await mustRun('ip', ['-n', wire, 'link', 'add', 'bridge', 'type', 'bridge', 'ageing_time', '0', 'mcast_snooping', '0']).catch(() => undefined);
  const hasBridge = (await command('ip', ['-n', wire, 'link', 'show', 'bridge'])).code === 0;
  for (const end of ['there', 'back']) {
    await mustRun('ip', ['-n', world.host, 'link', 'add', end, 'type', 'veth', 'peer', 'name', end, 'netns', wire]);
    await mustRun('ip', ['-n', world.host, 'link', 'set', end, 'up']);
    await mustRun('ip', ['-n', wire, 'link', 'set', end, 'up', ...(hasBridge ? ['master', 'bridge'] : ['promisc', 'on'])]);
  }
  const forward = 'import socket,sys\na=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); a.bind(("there",0))\nb=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); b.bind(("back",0))\nimport time\nend=time.time()+40\na.settimeout(1)\nwhile time.time()<end:\n  try:\n    d,s=a.recvfrom(70000)\n    if s[2]!=4: b.send(d)\n  except TimeoutError: pass\n  except OSError: pass\n';
  const forwarder = hasBridge ? undefined : command('ip', ['netns', 'exec', wire, '/usr/bin/python3', '-c', forward], { timeoutMs: 45_000 });
  if (hasBridge) await mustRun('ip', ['-n', wire, 'link', 'set', 'bridge', 'up']);
  await load(control({ action: 'Redirect', targetPort: { device: { name: 'there' } }, returnPort: { device: { name: 'back' } } }));
  await eventually('an active control', async () => ((await state())?.state === 'active' ? true : undefined), 5_000);
  const frames = await captured(wire, 'there', 'tcp port 7001', talk);
  expect(frames.some((line) => line.includes('Flags [S]'))).toBe(true);
  expect(frames.some((line) => line.includes(`${world.workload('web').ipv4}.7001 > `))).toBe(true);
  // The rules decide before: what they refuse goes nowhere.
  expect(await traffic.tries({ netns: world.workload('client').netns, destination: world.workload('web').ipv4, port: 7003, timeoutMs: 300 })).toBe('timeout');
  await mustRun('ip', ['-n', wire, 'link', 'set', 'there', 'down']);
  expect(await traffic.tries({ netns: world.workload('client').netns, destination: world.workload('web').ipv4, port: 7001, timeoutMs: 500 })).toBe('timeout');
  await load();
  await talk();
  await mustRun('ip', ['netns', 'pids', wire]).then((pids) => Promise.all(pids.split('\n').filter((pid) => pid !== '').map((pid) => command('kill', [pid]))));
  await forwarder;
}, 90_000);
