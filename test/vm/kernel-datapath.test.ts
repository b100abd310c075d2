/**
 * Open vSwitch with the kernel's datapath: connections are the kernel's, in our zone, and the agent reads them from there. Needs the module
 * openvswitch: scripts/test-vm runs this file in a guest that has it.
 */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ZONE } from '../../src/drivers/ovs/pipeline/stages.js';
import type { FlowView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { podManifests, ruleTable } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldWorkload, type WorldSwitch } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

const OPEN = 7001;
const CUT = 7002;
const MIRROR = 'mirror0';
/** Of a connection, ms: the first packet of each goes through two programs. */
const PATIENT = 15_000;

let world: World;
let ovs: WorldSwitch;
let traffic: Traffic;
let agent: Agent;

const accept = (id: number, port: number): Record<string, unknown> => ({ id, direction: 'inout', protocol: 'tcp', ports: [String(port)], action: 'accept' });
const table = (...rules: readonly Record<string, unknown>[]): Record<string, unknown>[] => [{ ...ruleTable('table', { rules: [...rules, { id: 999, direction: 'inout', protocol: 'any', action: 'reject' }] }) }];

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'other' }], datapath: 'ovs', ovsDatapath: 'system' });
  if (world.ovs === undefined) throw new Error('a world without its switch');
  ovs = world.ovs;
  // Somebody else on this host makes the kernel track what the host routes, too: every connection is in zone 0 besides.
  await mustRun(...inNetns(world.host, 'nft', ['table inet others { chain forward { type filter hook forward priority 0; ct state invalid counter; }; }']));
  await ovs.vsctl('add-port', WORLD_BRIDGE, MIRROR, '--', 'set', 'interface', MIRROR, 'type=internal');
  await mustRun('ip', ['-n', world.host, 'link', 'set', MIRROR, 'up']);
  traffic = await startTraffic(world);
  agent = await Agent.run(world, {
    manifests: {
      'pods.yaml': podManifests('default', world.workloads),
      'rules.yaml': table(accept(1006, OPEN), accept(1007, CUT)),
      'mirror.yaml': [{
        apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'web' },
        spec: { appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: MIRROR } } },
      }],
    },
  });
  for (const port of [OPEN, CUT]) for (const name of ['web', 'other']) await traffic.listen(world.workload(name).netns, port);
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

async function open(to: WorldWorkload, port: number, ipv6 = false): Promise<TestConnection> {
  const connection = await traffic.connect({ netns: world.workload('client').netns, destination: ipv6 ? to.ipv6 : to.ipv4, port, interval: 100, timeoutMs: PATIENT });
  expect(connection.state).toBe('open');
  await eventually('echoes', async () => ((await connection.stats()).echoed > 3 ? true : undefined), PATIENT);
  return connection;
}

/** Flows of a connection at a workload's filter. */
async function flowsOf(name: string, connection: TestConnection): Promise<FlowView[]> {
  const { flows } = await agent.ask<{ flows: FlowView[] }>('getflows', '-f', world.workload(name).interface);
  return flows.filter(({ source, destination }) => source.port === connection.localPort || destination.port === connection.localPort);
}

it('the switch forwards in the kernel, and the agent says so', async () => {
  expect((await ovs.appctl('dpctl/dump-dps')).trim()).toBe('system@ovs-system');
  const status = await agent.ask<StatusView>('status');
  expect(status.datapath).toBe('ovs');
  expect(JSON.stringify(status)).toContain('datapath system');
});

it.each([['IPv4', false], ['IPv6', true]] as const)('getflows shows a connection of %s at both filters, once each, with its rule and counters, from our zone only', async (_, ipv6) => {
  const [web, client] = [world.workload('web'), world.workload('client')];
  const connection = await open(web, OPEN, ipv6);
  const port = String(connection.localPort);
  const tracked = async (zone: number): Promise<string[]> =>
    (await mustRun(...inNetns(world.host, 'conntrack', ['-L', '-f', ipv6 ? 'ipv6' : 'ipv4', '-p', 'tcp', '--orig-port-src', port, '--zone', String(zone)]))).split('\n').filter((line) => line.includes(`sport=${port}`));
  expect(await tracked(ZONE)).toHaveLength(1);
  const others = (await mustRun(...inNetns(world.host, 'conntrack', ['-L', '-f', ipv6 ? 'ipv6' : 'ipv4', '-p', 'tcp', '--orig-port-src', port]))).split('\n').filter((line) => line.includes(`sport=${port}`) && !line.includes('zone='));
  expect(others).toHaveLength(1);
  for (const [name, direction] of [['web', 'in'], ['client', 'out']] as const) {
    const flows = await flowsOf(name, connection);
    expect(flows).toMatchObject([{ ruleId: 1006, protocol: 'tcp', direction, destination: { port: OPEN }, source: { address: ipv6 ? client.ipv6 : client.ipv4, port: connection.localPort } }]);
    // Unlike the switch's own tracker, the kernel counts.
    const text = (await agent.agentctl('getflows', '-f', world.workload(name).interface)).stdout.split('\n').filter((line) => line.includes(`(${port})`));
    expect(text).toHaveLength(1);
    expect(text[0]).toMatch(/EST [1-9]\d* [1-9]\d* [1-9]\d* [1-9]\d*$/);
  }
  await connection.close();
});

it('a connection that lost its rule is reset; another goes on', async () => {
  const other = world.workload('other');
  const [kept, cut] = [await open(other, OPEN), await open(other, CUT)];
  await agent.write('rules.yaml', table(accept(1006, OPEN)));
  await agent.sync();
  await eventually('the reset', async () => (['reset', 'refused'].includes((await cut.stats()).state) ? true : undefined), PATIENT);
  const before = (await kept.stats()).echoed;
  await eventually('more echoes', async () => ((await kept.stats()).echoed > before + 3 ? true : undefined), PATIENT);
  expect((await kept.stats()).state).toBe('open');
  expect(await traffic.tries({ netns: world.workload('client').netns, destination: other.ipv4, port: CUT, timeoutMs: PATIENT })).toBe('refused');
  for (const connection of [kept, cut]) await connection.close();
});

it('a mirror copies both directions of the pod it names to an internal port, and nobody else', async () => {
  const sniffer = spawn(...inNetns(world.host, 'tcpdump', ['-i', MIRROR, '-n', '-l', '-Q', 'in', 'tcp']), { stdio: ['ignore', 'pipe', 'pipe'] });
  let [seen, said] = ['', ''];
  sniffer.stdout.on('data', (bytes: Buffer) => (seen += bytes.toString()));
  sniffer.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  const ended = new Promise<void>((resolve) => sniffer.once('close', () => resolve()));
  world.cleanup.defer('sniffer', () => void sniffer.kill('SIGKILL'));
  await eventually('the sniffer', () => Promise.resolve(said.includes('listening on') ? true : undefined), PATIENT);
  const [web, client] = [world.workload('web'), world.workload('client')];
  const unseen = await open(world.workload('other'), OPEN);
  const copied = await open(web, OPEN);
  const end = `${web.ipv4}.${OPEN}`;
  const peer = `${client.ipv4}.${copied.localPort}`;
  await eventually('copies of both directions', () => Promise.resolve(seen.includes(`${peer} > ${end}`) && seen.includes(`${end} > ${peer}`) ? true : undefined), PATIENT);
  expect(seen).not.toContain(`.${unseen.localPort} >`);
  for (const connection of [copied, unseen]) await connection.close();
  sniffer.kill('SIGTERM');
  await ended;
});
