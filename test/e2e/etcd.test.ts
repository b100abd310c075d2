/** The agent with etcd as its manager: what a user puts there is enforced; etcd goes away and comes back; two hosts know each other's virtual machines. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RuleTableCodec } from '../../src/sources/etcd/ruletable/codec.js';
import type { EtcdClient, Write } from '../../src/sources/etcd/client/etcd.js';
import { Agent } from '../support/agent.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually, mustRun } from '../support/command.js';
import { accept } from '../support/decode.js';
import { EtcdServer } from '../support/etcd.js';
import { dashed, sendFrames } from '../support/frames.js';
import { attachment, ruleTable, virtualMachine } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const K = '/dfw/v1';
const never = new AbortController().signal;
const codec = new RuleTableCodec();
const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

interface Status { readonly sources: { type: string; synced: boolean; revision: number; errors: { object: string; message: string }[] }[]; readonly degraded: { reason: string; since: string }[] }
const put = async (client: EtcdClient, ...writes: Write[]): Promise<void> => {
  expect((await client.commit([], writes, never)).done).toBe(true);
};

describe('one host', () => {
  let world: World;
  let server: EtcdServer;
  let client: EtcdClient;
  let traffic: Traffic;
  let agent: Agent;
  beforeAll(async () => {
    world = await createWorld({ workloads: 2 });
    server = await EtcdServer.start(world.cleanup);
    client = server.client(world.cleanup);
    traffic = await startTraffic(world);
    for (const port of [7001, 7002]) await traffic.listen(world.workload(1).netns, port);
    for (const workload of world.workloads) {
      await put(client, { key: `${K}/objects/VirtualMachine/${workload.name}`, value: json(virtualMachine(workload)) });
      await put(client, { key: `${K}/hosts/host-1/objects/Attachment/${workload.name}-eth0`, value: json(attachment(workload)) });
    }
    const table = accept('RuleTable', ruleTable('domain-c25', {
      rules: [{ id: 101, protocol: 'tcp', source: { addressSets: ['clients'] }, ports: ['7001'], action: 'accept' }, { id: 109, direction: 'inout', action: 'reject' }],
    }));
    await put(client, { key: `${K}/ruletables/domain-c25`, value: codec.writeTable(table) }, { key: `${K}/addresssets/clients`, value: clients('192.0.2.1') });
    agent = await Agent.run(world, { config: { sources: [{ type: 'etcd', endpoints: server.sockets, grace: 3 }] } });
  });
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  const clients = (...addresses: string[]): Uint8Array => codec.writeSet(accept('AddressSet', { kind: 'AddressSet', metadata: { name: 'clients' }, spec: { addresses } }));
  const tries = (port: number): Promise<string> => traffic.tries({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port });
  const becomes = (port: number, state: string): Promise<true> => eventually(`port ${port} is ${state}`, async () => ((await tries(port)) === state ? true : undefined), 10_000);

  it('enforces what is there, and a set that changes by one put', async () => {
    expect([await tries(7001), await tries(7002)]).toEqual(['refused', 'refused']);
    await put(client, { key: `${K}/addresssets/clients`, value: clients(world.workload(0).ipv4) });
    await becomes(7001, 'open');
    expect(await tries(7002)).toBe('refused');
    const { addressSets } = await agent.ask<{ addressSets: { name: string; addresses: string[] }[] }>('getaddrsets', '-f', 'vm-1');
    expect(addressSets).toEqual([{ name: 'clients', addresses: [world.workload(0).ipv4] }]);
    const { sources, degraded } = await agent.ask<Status>('status');
    expect(sources.map(({ type, synced, errors }) => [type, synced, errors])).toContainEqual(['etcd', true, []]);
    expect(degraded).toEqual([]);
  });

  it('says which key is refused, and goes on with its last good version', async () => {
    await put(client, { key: `${K}/ruletables/domain-c25`, value: json('junk') });
    await eventually('it is said', async () => {
      const errors = (await agent.ask<Status>('status')).sources.flatMap((source) => source.errors);
      return errors.some(({ object }) => object === `${K}/ruletables/domain-c25`) ? true : undefined;
    });
    expect([await tries(7001), await tries(7002)]).toEqual(['open', 'refused']);
    const sync = await agent.agentctl('sync', '-o', 'json');
    expect(sync.code).toBe(1);
  });

  it('enforces what it knew when it is started while etcd is away, says so, and catches up', async () => {
    await server.kill();
    await agent.kill();
    await agent.start();
    expect([await tries(7001), await tries(7002)]).toEqual(['open', 'refused']);
    const { degraded } = await agent.ask<Status>('status');
    expect(degraded.find(({ reason }) => reason.startsWith('source etcd: etcd cannot be followed'))?.since).toMatch(/^\d{4}-/);
    expect((await agent.agentctl('sync')).stderr).toMatch(/etcd|unix:/);
    server.launch();
    await server.ready();
    const table = accept('RuleTable', ruleTable('domain-c25', { rules: [{ id: 102, protocol: 'tcp', ports: ['7002'], action: 'accept' }, { id: 109, direction: 'inout', action: 'reject' }] }));
    await put(server.client(world.cleanup), { key: `${K}/ruletables/domain-c25`, value: codec.writeTable(table) });
    await becomes(7002, 'open');
    await becomes(7001, 'refused');
    await eventually('nothing is wrong', async () => ((await agent.ask<Status>('status')).degraded.length === 0 ? true : undefined), 10_000);
    await agent.sync();
  });
});

describe('two hosts', () => {
  const suite = new Cleanup();
  let server: EtcdServer;
  const worlds: World[] = [];
  const agents: Agent[] = [];
  beforeAll(async () => {
    server = await EtcdServer.start(suite);
    const client = server.client(suite);
    // On either host a machine that the other one knows by its tag alone.
    worlds.push(await createWorld({ workloads: [{ name: 'db', ipv4: '10.10.0.2', ipv6: 'fd10::a' }] }), await createWorld({ workloads: [{ name: 'web', ipv4: '10.30.0.2', ipv6: 'fd30::a' }, { name: 'other', ipv4: '10.30.0.3', ipv6: 'fd30::b' }] }));
    const [a, b] = worlds;
    if (a === undefined || b === undefined) throw new Error('no worlds');
    await mustRun('ip', ['-n', a.host, 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', b.host]);
    for (const [world, own, peer, there] of [[a, '100.64.0.1', '100.64.0.2', '10.30.0.0/24'], [b, '100.64.0.2', '100.64.0.1', '10.10.0.0/24']] as const) {
      await mustRun('ip', ['-n', world.host, 'addr', 'add', `${own}/30`, 'dev', 'wire']);
      await mustRun('ip', ['-n', world.host, 'link', 'set', 'wire', 'up']);
      await mustRun('ip', ['-n', world.host, 'route', 'add', there, 'via', peer]);
    }
    await put(client,
      { key: `${K}/objects/Group/web-vms`, value: json({ apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: 'web-vms' }, spec: { criteria: [{ all: [{ object: 'VirtualMachine', key: 'Tag', operator: 'Equals', value: 'app=web' }] }] } }) },
      { key: `${K}/objects/Group/db-vms`, value: json({ apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: 'db-vms' }, spec: { criteria: [{ all: [{ object: 'VirtualMachine', key: 'Tag', operator: 'Equals', value: 'app=db' }] }] } }) },
      { key: `${K}/objects/SecurityPolicy/db-access`, value: json({
        apiVersion: 'dfw.dev/v1', kind: 'SecurityPolicy', metadata: { name: 'db-access' },
        spec: {
          category: 'Application', sequence: 10, appliedTo: [{ group: 'db-vms' }], rules: [
            { name: 'web', sources: [{ group: 'web-vms' }], services: [{ protocol: 'TCP', ports: ['7001'] }], action: 'Allow', direction: 'In' },
            { name: 'rest', action: 'Reject', direction: 'In' },
          ],
        },
      }) });
    for (const [index, world] of worlds.entries()) {
      agents.push(await Agent.run(world, {
        config: { node: `host-${index}`, sources: [{ type: 'etcd', endpoints: server.sockets, grace: 3 }, { type: 'file', path: '/nonexistent' }] },
      }));
    }
    for (const [index, world] of worlds.entries()) {
      for (const workload of world.workloads) {
        const applied = await agentOf(index).agentctl('apply', '-f', await written(world, [virtualMachine(workload, { app: workload.name }), attachment(workload)]));
        if (applied.code !== 0) throw new Error(applied.stderr);
      }
    }
  });
  afterAll(async () => {
    for (const world of worlds) await world.close();
    await suite.run();
  });
  beforeEach(({ onTestFailed }) => onTestFailed(async () => {
    for (const agent of agents) console.log(await agent.tail());
  }));
  const agentOf = (index: number): Agent => {
    const agent = agents[index];
    if (agent === undefined) throw new Error('no agent');
    return agent;
  };
  const written = async (world: World, documents: readonly unknown[]): Promise<string> => {
    const { mkdtemp, rm, writeFile } = await import('node:fs/promises');
    const directory = await mkdtemp('/tmp/dfwt-m-');
    world.cleanup.defer('manifest', () => rm(directory, { recursive: true, force: true }));
    await writeFile(`${directory}/m.json`, JSON.stringify({ kind: 'List', items: documents }));
    return `${directory}/m.json`;
  };
  const members = async (): Promise<string[]> => {
    const { addressSets } = await agentOf(0).ask<{ addressSets: { name: string; addresses: string[] }[] }>('getaddrsets', '-f', 'db');
    return addressSets.flatMap(({ addresses }) => addresses).toSorted();
  };

  it('resolve tags of virtual machines across, and traffic obeys', async () => {
    const [a, b] = worlds;
    if (a === undefined || b === undefined) throw new Error('no worlds');
    await eventually('the group has the other host\'s machine', async () => ((await members()).includes('10.30.0.2') ? true : undefined), 10_000);
    expect(await members()).toEqual(['10.30.0.2', 'fd30::a']);
    const traffic = await startTraffic(a);
    await traffic.listen(a.workload('db').netns, 7001);
    const from = async (name: string): Promise<string> => traffic.tries({ netns: b.workload(name).netns, destination: a.workload('db').ipv4, port: 7001, timeoutMs: 2_000 });
    expect([await from('web'), await from('other')]).toEqual(['open', 'refused']);
  });

  it('know what the other one learned of a machine that everybody has declared without addresses', async () => {
    const [, b] = worlds;
    if (b === undefined) throw new Error('no world');
    const late = await b.addWorkload({ name: 'late', ipv4: '10.30.0.4', ipv6: 'fd30::c' });
    await put(server.client(suite), { key: `${K}/objects/VirtualMachine/late`, value: json({ apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name: 'late', labels: { app: 'web' } }, spec: { nics: [{ name: 'eth0', mac: late.mac }] } }) });
    const { metadata, ...rest } = attachment(late);
    const learning = { ...rest, metadata: { ...metadata, annotations: { 'dfw.dev/ip-discovery': 'firstUse' } } };
    const applied = await agentOf(1).agentctl('apply', '-f', await written(b, [learning]));
    if (applied.code !== 0) throw new Error(applied.stderr);
    const mine = dashed(late.mac);
    await eventually('the address that was learned there', async () => {
      // The filter comes a moment after the Attachment.
      await sendFrames(late.netns, [`arp|${mine}|${mine}/${late.ipv4}|169.254.1.1`]);
      return (await members()).join() === '10.30.0.2,10.30.0.4,fd30::a' ? true : undefined;
    }, 15_000, 200);
    expect((await agentOf(1).agentctl('addresses', 'release', 'late')).code).toBe(0);
    await eventually('it to go', async () => ((await members()).join() === '10.30.0.2,fd30::a' ? true : undefined), 10_000);
  });

  it('keep them over a restart of the agent, and lose them after the grace time when the host is dead', async () => {
    await agentOf(1).kill();
    await agentOf(1).start();
    const { degraded } = await agentOf(1).ask<Status>('status');
    expect(degraded).toEqual([]);
    expect(await members()).toContain('10.30.0.2');
    await agentOf(1).kill();
    const killed = Date.now();
    await eventually('it is gone', async () => ((await members()).length === 0 ? true : undefined), 15_000);
    expect(Date.now() - killed).toBeGreaterThan(900);
    await agentOf(1).start();
    await eventually('it is back', async () => ((await members()).includes('10.30.0.2') ? true : undefined), 10_000);
  });

  it('of one name are noticed: the second says so and publishes nothing', async () => {
    const [, b] = worlds;
    if (b === undefined) throw new Error('no world');
    const third = await createWorld({ workloads: 1 });
    worlds.push(third);
    const twin = await Agent.run(third, { config: { node: 'host-1', sources: [{ type: 'etcd', endpoints: server.sockets, grace: 3 }] } });
    await eventually('it says so', async () => {
      const { degraded } = await twin.ask<Status>('status');
      return degraded.some(({ reason }) => reason.includes('another agent has the node name host-1')) ? true : undefined;
    }, 10_000);
    expect(await members()).toContain('10.30.0.2');
    expect((await agentOf(1).ask<Status>('status')).degraded).toEqual([]);
    await agentOf(1).kill();
    await eventually('it takes over when the other one is dead', async () => ((await twin.ask<Status>('status')).degraded.length === 0 ? true : undefined), 15_000);
    await eventually('what the dead one published is gone', async () => ((await members()).length === 0 ? true : undefined), 5_000);
  });
});
