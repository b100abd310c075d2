/** agentctl as scripts use it: exit codes, formats, every verb against a running agent, and an agent that is not there. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Agent } from '../support/agent.js';
import { command, eventually } from '../support/command.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let agent: Agent;
let traffic: Traffic;

beforeAll(async () => {
  world = await createWorld({ workloads: 2 });
  traffic = await startTraffic(world);
  const table = ruleTable('table', {
    addressSets: [{ name: 'clients', addresses: [world.workload(0).ipv4, 'fd10::/64'] }],
    rules: [
      { id: 31, direction: 'inout', protocol: 'tcp', source: { addressSets: ['clients'] }, ports: ['7001'], action: 'accept', log: true, tag: 'web' },
      { id: 32, direction: 'inout', protocol: 'any', action: 'drop' },
    ],
  });
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [table] } });
  await traffic.listen(world.workload(1).netns, 7001);
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

describe('every verb that reads', () => {
  const verbs: readonly (readonly string[])[] = [
    ['getfilters'], ['summarize-dvfilter'], ['getrules', '-f', 'vm-0'], ['getrules', '-f', 'vm-0', '-s'], ['getaddrsets', '-f', 'veth0'], ['getflows', '-f', 'vm-0'],
    ['getflows', '--all'], ['getconfig', '-f', 'vm-0'], ['getfilterstat', '-f', 'vm-0'], ['getconncount'], ['getconncount', '-f', 'vm-0'],
    ['trace', '--from', 'vm-0', '--to', 'vm-1', '--dport', '7001'], ['get', 'ruletable'], ['get', 'vm', 'vm-0'], ['gettrafficcontrol'],
    ['status'], ['health'], ['version'], ['completion', 'bash'],
  ];
  it.each(verbs.map((verb) => [verb.join(' '), verb] as const))('%s', async (_, verb) => {
    const text = await agent.agentctl(...verb);
    expect({ code: text.code, stderr: text.stderr }).toEqual({ code: 0, stderr: '' });
    if (verb[0] === 'completion') return;
    const json = await agent.agentctl(...verb, '-o', 'json');
    expect(json.code).toBe(0);
    expect(json.json()).toBeTypeOf('object');
    expect((await agent.agentctl(...verb, '-o', 'yaml')).code).toBe(0);
  });
});

it('getalerts says that there is no IDS when there is none', async () => {
  const result = await agent.agentctl('getalerts');
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('ids.enabled');
});

describe('exit codes', () => {
  it('2 for wrong usage, 4 with the nearest names for what does not exist, 3 without an agent', async () => {
    expect((await agent.agentctl('getrules')).code).toBe(2);
    expect((await agent.agentctl('no-such-verb')).code).toBe(2);
    const missing = await agent.agentctl('getrules', '-f', 'vm-9');
    expect(missing.code).toBe(4);
    expect(missing.stderr).toMatch(/vm-[01]/);
    const nobody = await agent.agentctl('status', '--socket', join(agent.directory, 'nobody.sock'));
    expect(nobody.code).toBe(3);
    expect((await agent.agentctl('--help')).code).toBe(0);
  });
});

describe('the bundle that bin/agentctl runs', () => {
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
  it('is the program of dist/ctl.js', async () => {
    const lines = [
      ['--help'], ['getflows', '--help'], ['trace', '--help'], ['__complete', '--', 'getflows', '--'], ['__complete', '--', 'getrules', '-f', ''],
      ['getrules', '-f', 'vm-0', '-o', 'yaml'], ['getconfig', '-f', 'vm-0', '-o', 'json'], ['no-such-verb'], ['getrules', '-f', 'vm-9'],
    ];
    for (const line of lines) {
      const [bundled, plain] = await Promise.all(['agentctl/start.cjs', 'ctl.js'].map((file) =>
        command('node', [join(dist, file), ...line], { env: { DFW_SOCKET: agent.socket } })));
      expect({ line, ...bundled, ms: 0 }).toEqual({ line, ...plain, ms: 0 });
      expect(`${bundled?.stdout}${bundled?.stderr}`).not.toBe('');
    }
  });
  it('has compiled code that this Node takes', async () => {
    const script = `process.stdout.write(String(require(${JSON.stringify(join(dist, 'agentctl/start.cjs'))}).compile(${JSON.stringify(join(dist, 'agentctl'))}).cachedDataRejected))`;
    expect((await command('node', ['-e', script])).stdout).toBe('false');
  });
});

it('the socket is for root and its group only', async () => {
  const info = await stat(agent.socket);
  expect([info.mode & 0o777, info.uid]).toEqual([0o660, 0]);
});

it('getfilters has the keys of the contract', async () => {
  const { filters } = await agent.ask<{ filters: Record<string, unknown>[] }>('getfilters');
  expect(filters).toHaveLength(2);
  for (const key of ['name', 'hash', 'workload', 'vnic', 'interface', 'mac', 'addresses', 'slot', 'agentName', 'state', 'failurePolicy', 'datapath', 'generation', 'realized']) {
    expect(filters[0]).toHaveProperty(key);
  }
});

it('a filter can be named in every way', async () => {
  const { filters } = await agent.ask<{ filters: { name: string; interface: string }[] }>('getfilters');
  const one = filters.find((filter) => filter.interface === 'veth1');
  const answers = await Promise.all([one?.name ?? '', 'veth1', 'vm-1'].map((name) => agent.agentctl('getrules', '-f', name)));
  expect(new Set(answers.map((answer) => answer.stdout)).size).toBe(1);
  expect(answers[0]?.stdout).toContain('rule 31 at 1 inout protocol tcp from addrset clients to any port 7001 accept with log tag');
});

it('apply, get, delete: objects kept by the agent, in force when apply returns, kept over a restart', async () => {
  const file = join(agent.directory, 'applied.yaml');
  const table = ruleTable('a-applied', { rules: [{ id: 41, direction: 'inout', protocol: 'tcp', ports: ['7002'], action: 'reject' }] });
  await writeFile(file, JSON.stringify(table));
  const dry = await agent.agentctl('apply', '-f', file, '--dry-run');
  expect({ code: dry.code, stderr: dry.stderr }).toEqual({ code: 0, stderr: '' });
  const tries = (): Promise<string> => traffic.tries({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7002, timeoutMs: 300 });
  expect(await tries()).toBe('timeout');
  const applied = await agent.agentctl('apply', '-f', file);
  expect({ code: applied.code, stderr: applied.stderr }).toEqual({ code: 0, stderr: '' });
  expect(await tries()).toBe('refused');
  expect((await agent.agentctl('get', 'ruletable', 'a-applied', '-o', 'yaml')).stdout).toContain('7002');
  await agent.kill();
  await agent.start();
  expect(await tries()).toBe('refused');
  const deleted = await agent.agentctl('delete', '-f', file);
  expect({ code: deleted.code, stderr: deleted.stderr }).toEqual({ code: 0, stderr: '' });
  expect(await tries()).toBe('timeout');
  expect((await agent.agentctl('get', 'ruletable', 'a-applied')).code).toBe(4);
});

it('several -f are one change', async () => {
  const files = ['one', 'two'].map((name) => join(agent.directory, `${name}.yaml`));
  for (const [index, file] of files.entries()) await writeFile(file, JSON.stringify(ruleTable(`a-file-${index}`, { rules: [{ id: 51 + index, direction: 'in', protocol: 'icmp', action: 'accept' }] })));
  const changed = async (verb: string, ...more: string[]): Promise<unknown> => (await agent.ask<{ changes: unknown }>(verb, ...files.flatMap((file) => ['-f', file]), ...more)).changes;
  const both = (operation: string): unknown => ['RuleTable/a-file-0', 'RuleTable/a-file-1'].map((object) => ({ object, operation }));
  expect(await changed('diff')).toEqual(both('created'));
  expect(await changed('apply')).toEqual(both('created'));
  expect(await changed('diff', '--delete')).toEqual(both('deleted'));
  expect(await changed('delete')).toEqual(both('deleted'));
});

it('apply refuses what does not validate and changes nothing', async () => {
  const file = join(agent.directory, 'wrong.yaml');
  await writeFile(file, JSON.stringify(ruleTable('wrong', { rules: [{ id: 1, direction: 'sideways', protocol: 'any', action: 'accept' }] })));
  const result = await agent.agentctl('apply', '-f', file);
  expect(result.code).toBe(1);
  expect(result.stderr).toMatch(/direction/);
  expect((await agent.agentctl('get', 'ruletable', 'wrong')).code).toBe(4);
});

it('filters flows by rule, and follows new ones', async () => {
  const connection = await traffic.connect({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7001, interval: 50 });
  await eventually('the flow', async () => {
    const { flows } = await agent.ask<{ flows: unknown[] }>('getflows', '-f', 'vm-1', '--rule', '31');
    return flows.length > 0 ? true : undefined;
  });
  expect((await agent.ask<{ flows: unknown[] }>('getflows', '-f', 'vm-1', '--rule', '32')).flows).toEqual([]);
  expect((await agent.ask<{ flows: unknown[] }>('getflows', '--all')).flows.length).toBeGreaterThan(0);
  await connection.close();
});

it('capture writes a pcap file of one vNIC', async () => {
  const file = join(agent.directory, 'one.pcap');
  const connection = await traffic.connect({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7001, interval: 10 });
  const result = await agent.agentctl('capture', '-f', 'vm-1', '-w', file, '--count', '10');
  expect(result.code, result.stderr).toBe(0);
  const bytes = await readFile(file);
  expect(bytes.readUInt32LE(0)).toBe(0xa1b2c3d4);
  const read = await world.exec(world.host, 'tcpdump', ['-nr', file]);
  expect(read.stdout.split('\n').filter((line) => line.includes('7001')).length).toBe(10);
  await connection.close();
});

it('captures that are refused, interrupted or see no packet leave no socket behind, and the agent lives', async () => {
  /** Packet sockets of the host's namespace: the ring of a capture is 8 MB. */
  const sockets = async (): Promise<number> => (await readFile(`/proc/${agent.pid}/net/packet`, 'utf8')).trim().split('\n').length - 1;
  const file = join(agent.directory, 'more.pcap');
  const before = await sockets();
  const refused = await agent.agentctl('capture', '-f', 'vm-1', '-w', file, 'nonsense', '(');
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('syntax error')]);
  expect((await agent.agentctl('capture', '-f', 'vm-1', '-w', file, '--seconds', '1', 'tcp port 1')).code).toBe(0);
  expect((await readFile(file)).length).toBe(24);
  const connection = await traffic.connect({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port: 7001, interval: 10 });
  await Promise.all(Array.from({ length: 5 }, (_, index) => agent.agentctl('capture', '-f', 'vm-1', '-w', `${file}.${index}`, '--count', '3')));
  await connection.close();
  await eventually('all sockets are closed', async () => ((await sockets()) === before ? true : undefined));
  expect(agent.running).toBe(true);
});

it('loglevel changes what is logged', async () => {
  expect((await agent.agentctl('loglevel', 'debug')).code).toBe(0);
  expect((await agent.agentctl('loglevel', 'shouting')).code).not.toBe(0);
  expect((await agent.agentctl('loglevel', 'info')).code).toBe(0);
});

it('reports metrics under the names of the contract', async () => {
  for (const name of ['dfw_filters', 'dfw_rules', 'dfw_addresses', 'dfw_flows', 'dfw_source_synced', 'dfw_flow_events_lost_total', 'dfw_apply_duration_seconds_count', 'dfw_audit_suppressed_total']) {
    expect(Object.keys(await agent.metric(name)).length, name).toBeGreaterThan(0);
  }
  expect(Object.values(await agent.metric('dfw_filters')).reduce((sum, value) => sum + value, 0)).toBe(2);
});
