/** Connections of a bridge on the userspace datapath, as agentctl shows them: they are in the switch, the kernel knows nothing of them. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canonicalHost } from '../../src/model/address.js';
import type { FlowView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { flushConntrack } from '../support/kernel.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldSwitch } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

const rules = (...ports: readonly string[]) => [
  ...ports.map((port, n) => ({ id: 41 + n, direction: 'inout', protocol: 'any', ports: [port], action: 'accept', log: port === '7001' })),
  { id: 49, direction: 'inout', protocol: 'any', action: 'drop' },
].map((rule) => (rule.id === 49 ? rule : { ...rule, protocol: 'tcp' }));
const TABLE = ruleTable('table', { rules: rules('7001', '7002') });

let world: World;
let ovs: WorldSwitch;
let traffic: Traffic;
let agent: Agent;

beforeAll(async () => {
  world = await createWorld({ workloads: 3, datapath: 'ovs' });
  if (world.ovs === undefined) throw new Error('unreachable');
  ovs = world.ovs;
  traffic = await startTraffic(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [TABLE] } });
  for (const port of [7001, 7002]) await traffic.listen(world.workload(1).netns, port);
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail()));
  await flushConntrack(world);
});

const opened: TestConnection[] = [];
/** From the first workload to the second; speaks now and then, unless it shall be silent. */
async function connect(port: number, { family = 4, interval = 20 }: { family?: 4 | 6; interval?: number } = {}): Promise<TestConnection> {
  const { ipv4, ipv6 } = world.workload(1);
  // A first packet to an address that the switch has not learned yet goes to every port, and begins no connection: TCP sends it again after 1 s.
  const connection = await traffic.connect({ netns: world.workload(0).netns, destination: family === 4 ? ipv4 : ipv6, port, interval, timeoutMs: 4_000 });
  opened.push(connection);
  return connection;
}
afterEach(async () => {
  // Some have been closed.
  for (const connection of opened.splice(0)) await connection.close().catch(() => undefined);
});
const flows = async (...args: string[]): Promise<FlowView[]> => (await agent.ask<{ flows: FlowView[] }>('getflows', ...args)).flows;
const count = async (...args: string[]): Promise<number> => (await agent.ask<{ connections: number }>('getconncount', ...args)).connections;
const status = (): Promise<StatusView> => agent.ask<StatusView>('status');
const component = (view: StatusView, name: string) => view.components.find((one) => one.name === name);
const pidOf = (daemon: string): number => Number(readFileSync(join(ovs.directory, `${daemon}.pid`), 'utf8'));
/** Ends a daemon the hard way and waits until it is gone. */
async function kill(daemon: 'ovsdb-server' | 'ovs-vswitchd'): Promise<void> {
  const pid = pidOf(daemon);
  process.kill(pid, 'SIGKILL');
  await eventually(`the end of ${daemon}`, async () => {
    try {
      process.kill(pid, 0);
      return undefined;
    } catch {
      return true;
    }
  });
}

describe('connections', () => {
  it('appear once each, though the host routes them through the bridge twice, with the rules of both filters', async () => {
    const [four, six] = [await connect(7001), await connect(7002, { family: 6 })];
    expect([four.state, six.state]).toEqual(['open', 'open']);
    const found = await eventually('both', async () => {
      const all = await flows('--all');
      return all.length === 4 && all.every(({ tcpState }) => tcpState === 'EST') ? all : undefined;
    });
    expect(found.map(({ ethertype, direction, ruleId }) => `${ethertype} ${direction} ${ruleId}`).toSorted()).toEqual(['0800 in 41', '0800 out 41', '86dd in 42', '86dd out 42']);
    expect(new Set(found.map(({ id }) => id)).size).toBe(2);
    expect(await flows('-f', 'vm-0')).toMatchObject([{ direction: 'out' }, { direction: 'out' }]);
    expect(await flows('-f', 'vm-1', '--rule', '42')).toMatchObject([{
      state: 'Active', protocol: 'tcp', direction: 'in', ruleId: 42, source: { address: canonicalHost(world.workload(0).ipv6), port: six.localPort }, destination: { address: canonicalHost(world.workload(1).ipv6), port: 7002 },
    }]);
    expect([await count(), await count('-f', 'vm-0'), await count('-f', 'vm-2')]).toEqual([2, 2, 0]);
    // The id is the tuple's: the same in the next answer, and after a restart of the agent.
    const ids = (list: readonly FlowView[]): string[] => list.map(({ id, direction }) => `${id} ${direction}`).toSorted();
    expect(await agent.stop()).toBe(0);
    await agent.start();
    expect(ids(await eventually('the same', async () => {
      const all = await flows('--all').catch(() => []);
      return all.length === 4 ? all : undefined;
    }))).toEqual(ids(found));
  });

  it('are in the counters of their rules, both ways', async () => {
    const packets = async (): Promise<{ in: number; out: number }> => {
      for (let round = 0; round < 2; round += 1) await ovs.appctl('revalidator/wait');
      const { rulesets } = await agent.ask<{ rulesets: { rules: { id: number; stats: { packets: { in: number; out: number } } }[] }[] }>('getrules', '-f', 'vm-1', '-s');
      return rulesets[0]?.rules.find(({ id }) => id === 42)?.stats.packets ?? { in: -1, out: -1 };
    };
    const before = await packets();
    const connection = await connect(7002);
    await eventually('some echoes', async () => ((await connection.stats()).echoed >= 10 ? true : undefined));
    await connection.close();
    const after = await packets();
    // Ten echoes are twenty packets at least, the handshake three; both filters have the rule.
    expect(after.in - before.in).toBeGreaterThanOrEqual(23);
    expect(after.out - before.out).toBeGreaterThanOrEqual(23);
  });

  it('would be cut, says diff, by a table that no longer permits them', async () => {
    await connect(7001);
    await connect(7002);
    const file = join(agent.directory, 'narrow.yaml');
    await agent.write('../narrow.yaml', [ruleTable('table', { rules: rules('7001') })]);
    const { flowsCut } = await eventually('the connection', async () => {
      const answer = await agent.ask<{ flowsCut: FlowView[] }>('diff', '-f', file);
      return answer.flowsCut.length > 0 ? answer : undefined;
    });
    expect(flowsCut.map(({ direction, ruleId, destination }) => `${direction} ${ruleId} ${destination.port}`).toSorted()).toEqual(['in 42 7002', 'out 42 7002']);
  });

  it('have a line in the audit log when they end: closed, or gone from the switch\'s memory', async () => {
    const ends = async (port: number): Promise<string[]> => (await agent.audit()).filter((line) => line.includes(' TERM ') && line.includes(`/${port}->`));
    const ended = (port: number): Promise<string[]> => eventually('both lines', async () => {
      const lines = await ends(port);
      return lines.length === 2 ? lines : undefined;
    });
    const first = await connect(7001);
    await first.close();
    for (const line of await ended(first.localPort)) expect(line).toMatch(/ TERM PASS table\/41 (IN|OUT) .*TCP .*\/7001/);
    const second = await connect(7001, { interval: 0 });
    await eventually('it is listed', async () => ((await flows('--all')).length > 0 ? true : undefined));
    await flushConntrack(world);
    await ended(second.localPort);
    // Each is told once: the closed one also went away meanwhile.
    await agent.ask('getconncount');
    expect([(await ends(first.localPort)).length, (await ends(second.localPort)).length]).toEqual([2, 2]);
  });

  it('of somebody else\'s zone are none of ours', async () => {
    await connect(7001);
    await eventually('ours', async () => ((await count()) === 1 ? true : undefined));
    await ovs.ofctl('add-flow', 'table=0,priority=65000,in_port=veth2,udp,tp_dst=9,actions=ct(commit,zone=5,exec(set_field:0xffffffffffffffffffffffffffffffff->ct_label))');
    try {
      await traffic.asks({ netns: world.workload(2).netns, destination: world.workload(1).ipv4, port: 9 });
      expect(await ovs.appctl('dpctl/dump-conntrack', 'zone=5')).toContain('dport=9');
      expect([await count(), (await flows('--all')).length]).toEqual([1, 2]);
    } finally {
      await ovs.ofctl('del-flows', 'table=0,in_port=veth2,udp,tp_dst=9');
    }
  });
});

describe('status', () => {
  // What a test ended must be there for the next one.
  afterEach(() => ovs.start());

  it('names bridge, switch and database', async () => {
    const view = await status();
    expect(view.datapath).toBe('ovs');
    expect(component(view, 'bridge')).toMatchObject({ state: 'connected', detail: expect.stringMatching(/^br-int, 4 ports, [1-9]\d+ flows of ours$/) as string });
    expect(component(view, 'switch')).toMatchObject({ state: 'known', detail: expect.stringMatching(/^Open vSwitch \d+\.\d+\.\d+, datapath netdev$/) as string });
    expect(component(view, 'switch database')).toMatchObject({ state: 'connected', detail: ovs.database });
    expect(view.degraded).toEqual([]);
    const ours = (await ovs.ofctl('dump-flows')).split('\n').filter((line) => line.includes('cookie=0xdf77')).length;
    expect(component(view, 'bridge')?.detail).toContain(` ${ours} flows `);
  });

  it('says that the database is gone; connections are told as before', async () => {
    await connect(7001);
    await kill('ovsdb-server');
    const view = await eventually('it is noticed', async () => {
      const now = await status();
      return now.degraded.length > 0 ? now : undefined;
    }, 20_000);
    expect(view.degraded.map(({ reason }) => reason).join()).toMatch(/^switch database: /);
    expect([view.realized, component(view, 'switch database')?.state, component(view, 'switch')?.state]).toEqual([true, 'disconnected', 'known']);
    expect((await flows('-f', 'vm-1')).length).toBe(1);
    await ovs.start();
    await eventually('it is back', async () => ((await status()).degraded.length === 0 ? true : undefined), 20_000);
  });

  it('of an agent that starts while the database is gone says that the switch answers nobody; it enforces when the database is back', async () => {
    await kill('ovsdb-server');
    expect(await agent.stop()).toBe(0);
    agent.launch();
    const view = await eventually('both are noticed', async () => {
      const answer = await agent.agentctl('status', '-o', 'json');
      const now = answer.code === 0 ? (answer.json() as StatusView) : undefined;
      return now?.degraded.some(({ reason }) => /^bridge br-int: .*database is away/.test(reason)) === true ? now : undefined;
    }, 20_000);
    expect([component(view, 'switch')?.state, component(view, 'switch database')?.state]).toEqual(['unknown', 'disconnected']);
    await ovs.start();
    await eventually('all is well again', async () => {
      const now = await status();
      return now.realized && now.degraded.length === 0 ? true : undefined;
    }, 30_000);
    await connect(7001);
    await eventually('the flow', async () => ((await flows('-f', 'vm-1')).length > 0 ? true : undefined));
  });

  it('of an agent that alone cannot read the database says so: it enforces, and has connections when it can read it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'dfwt-links-'));
    world.cleanup.defer('links', () => rm(directory, { recursive: true, force: true }));
    for (const file of [`${WORLD_BRIDGE}.mgmt`, 'ovs-vswitchd.pid', `ovs-vswitchd.${pidOf('ovs-vswitchd')}.ctl`]) await symlink(join(ovs.directory, file), join(directory, file));
    const far = await Agent.prepare(world, {
      config: { ovs: { bridge: WORLD_BRIDGE, database: `unix:${directory}/db.sock` } }, manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [TABLE] },
    });
    expect(await agent.stop()).toBe(0);
    try {
      await far.start();
      const refused = await far.agentctl('getflows', '-f', 'vm-1');
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/connections cannot be read: the switch's database: .*ENOENT/)]);
      const view = await far.ask<StatusView>('status');
      expect([view.realized, component(view, 'bridge')?.state, component(view, 'switch')?.state]).toEqual([true, 'connected', 'unknown']);
      // Counters of rules need no database.
      expect((await far.agentctl('getrules', '-f', 'vm-1', '-s')).code).toBe(0);
      await connect(7001);
      await symlink(join(ovs.directory, 'db.sock'), join(directory, 'db.sock'));
      await eventually('the flow', async () => ((await far.agentctl('getflows', '-f', 'vm-1', '-o', 'json')).stdout.includes('7001') ? true : undefined), 20_000);
      expect((await far.ask<StatusView>('status')).degraded).toEqual([]);
    } finally {
      await far.stop();
      await agent.start();
    }
  });

  it('says that the switch is gone, and reads its connections again when it is back', async () => {
    await connect(7001);
    await kill('ovs-vswitchd');
    const view = await eventually('it is noticed', async () => {
      const now = await status();
      return now.degraded.some(({ reason }) => reason.startsWith('connections: ')) && now.degraded.some(({ reason }) => reason.startsWith('bridge br-int: ')) ? now : undefined;
    }, 20_000);
    expect(component(view, 'bridge')?.state).toBe('disconnected');
    expect((await agent.agentctl('getconncount')).stderr).toMatch(/ovs-vswitchd/);
    await ovs.start();
    await eventually('all is well again', async () => ((await status()).degraded.length === 0 ? true : undefined), 30_000);
    // The bridge's local device is another one now: the host's routes went with the old one.
    for (const { ipv4, mac } of world.workloads) {
      await world.exec(world.host, 'ip', ['route', 'replace', `${ipv4}/32`, 'dev', WORLD_BRIDGE]);
      await world.exec(world.host, 'ip', ['neigh', 'replace', ipv4, 'lladdr', mac, 'dev', WORLD_BRIDGE, 'nud', 'permanent']);
    }
    const next = await connect(7001);
    expect(next.state).toBe('open');
    await eventually('the flow', async () => ((await flows('-f', 'vm-1')).some(({ source }) => source.port === next.localPort) ? true : undefined));
  });
});
