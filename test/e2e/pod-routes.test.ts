/** Pods without an Attachment get a filter by the routes of the host, and lose it with their object or their interface. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually, mustRun } from '../support/command.js';
import { podManifests } from '../support/manifests.js';
import { createWorld, LINUX_BRIDGE, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let agent: Agent;
let traffic: Traffic;

const pods = (count = 2): unknown[] => podManifests('shop', world.workloads.slice(0, count)).filter(({ kind }) => kind !== 'Attachment');
/** Pod vm-1 takes connections to port 80 only. */
const policy = {
  apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'web', namespace: 'shop' },
  spec: { podSelector: { matchLabels: { pod: 'vm-1' } }, policyTypes: ['Ingress'], ingress: [{ ports: [{ protocol: 'TCP', port: 80 }] }] },
};
const open = (port: number): Promise<string> => traffic.tries({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port });
const bound = async (): Promise<string[]> => {
  const { filters } = await agent.ask<{ filters: { interface: string; workload: { name: string }; mac: string }[] }>('getfilters');
  return filters.map((one) => `${one.workload.name}=${one.interface} ${one.mac}`).sort();
};
const degraded = async (): Promise<string> => {
  const status = await agent.ask<{ degraded: { reason: string }[] }>('status');
  return status.degraded.map(({ reason }) => reason).join('\n');
};
const becomes = (expected: readonly string[]): Promise<unknown> => eventually(`filters ${expected.join()}`, async () => ((await bound()).join() === expected.join() ? true : undefined));

beforeAll(async () => {
  world = await createWorld({ workloads: 3 });
  traffic = await startTraffic(world);
  for (const port of [80, 81]) await traffic.listen(world.workload(1).netns, port);
  agent = await Agent.run(world, { manifests: { 'pods.yaml': pods(), 'policy.yaml': [policy] } });
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

it('finds routed pods by their routes, before the agent is ready', async () => {
  expect(await bound()).toEqual([0, 1].map((index) => `vm-${index}=veth${index} ${world.workload(index).mac}`));
  expect([await open(80), await open(81)]).toEqual(['open', 'timeout']);
  expect(await degraded()).not.toContain('pod');
});

it('follows interfaces, pods and routes', async () => {
  await world.unplug(1);
  await becomes([`vm-0=veth0 ${world.workload(0).mac}`]);
  expect(await degraded()).toContain(`pod shop/vm-1 has no filter: there is no route to ${world.workload(1).ipv4}`);
  await world.plug(1);
  await becomes([0, 1].map((index) => `vm-${index}=veth${index} ${world.workload(index).mac}`));
  await eventually('the rules are in force', async () => ((await open(81)) === 'timeout' ? true : undefined));
  // A second route: nobody can tell.
  await mustRun('ip', ['-n', world.host, 'route', 'replace', `${world.workload(1).ipv4}/32`, 'nexthop', 'dev', 'veth1', 'nexthop', 'dev', 'veth2']);
  await becomes([`vm-0=veth0 ${world.workload(0).mac}`]);
  expect(await degraded()).toContain('there is more than one way');
  await mustRun('ip', ['-n', world.host, 'route', 'replace', `${world.workload(1).ipv4}/32`, 'dev', 'veth1']);
  await agent.write('pods.yaml', pods(3));
  await agent.sync();
  await becomes([0, 1, 2].map((index) => `vm-${index}=veth${index} ${world.workload(index).mac}`));
  await agent.write('pods.yaml', pods(2));
  await agent.sync();
  expect(await bound()).toHaveLength(2);
});

it('an Attachment that is declared stands', async () => {
  const declared = podManifests('shop', [world.workload(1)]).filter(({ kind }) => kind === 'Attachment');
  await agent.write('attachment.yaml', declared);
  await agent.sync();
  const { filters } = await agent.ask<{ filters: { interface: string }[] }>('getfilters');
  expect(filters.map((one) => one.interface).sort()).toEqual(['veth0', 'veth1']);
  expect(await degraded()).not.toContain('already belongs');
  await agent.remove('attachment.yaml');
  await agent.sync();
  await becomes([0, 1].map((index) => `vm-${index}=veth${index} ${world.workload(index).mac}`));
});

it('is bound over restarts, with the numbers it had', async () => {
  const before = await agent.ask<unknown>('getfilters');
  await agent.kill();
  await agent.start();
  expect(await agent.ask<unknown>('getfilters')).toMatchObject({ filters: (before as { filters: { name: string }[] }).filters.map(({ name }) => ({ name })) });
  expect(await open(81)).toBe('timeout');
});

it('finds bridged pods by neighbours and the forwarding table', async () => {
  const vm = world.workload(2);
  await mustRun('ip', ['-n', world.host, '-batch', '-'], {
    input: [
      `link add ${LINUX_BRIDGE} type bridge`, `link set ${LINUX_BRIDGE} up`, `addr add 10.30.0.1/24 dev ${LINUX_BRIDGE}`, `route del ${vm.ipv4}/32 dev veth2`, `addr flush dev veth2`,
      `link set veth2 master ${LINUX_BRIDGE}`, `route add ${vm.ipv4}/32 dev ${LINUX_BRIDGE}`, `route del ${vm.ipv6}/128 dev veth2`,
    ].join('\n'),
  });
  const [pod] = podManifests('shop', [vm]).filter(({ kind }) => kind === 'Pod');
  await agent.write('bridged.yaml', [{ ...pod, status: { podIP: vm.ipv4 } }]);
  await agent.sync();
  expect(await degraded()).toContain(`pod shop/vm-2 has no filter: no neighbour on ${LINUX_BRIDGE}`);
  await mustRun('ip', ['-n', world.host, 'neigh', 'replace', vm.ipv4, 'lladdr', vm.mac, 'dev', LINUX_BRIDGE, 'nud', 'permanent']);
  await eventually('the port is asked for', async () => ((await degraded()).includes('has not learned behind which port') ? true : undefined));
  // It sends something: the bridge learns.
  await mustRun('ip', ['netns', 'exec', vm.netns, '/usr/bin/python3', '-c', 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.30.0.1", 9))']);
  await becomes([0, 1, 2].map((index) => `vm-${index}=veth${index} ${world.workload(index).mac}`));
});
