/** Publishing workloads against a real server, with the rights that docs/etcd.md gives and no more: leases, take-over, two agents of one name. */
import { setTimeout as sleep } from 'node:timers/promises';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.js';
import { keysUnder, type EtcdClient } from '../../src/sources/etcd/client/etcd.js';
import { EtcdKeys } from '../../src/sources/etcd/keys.js';
import { Publisher, type AgentIdentity } from '../../src/sources/etcd/publisher.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually } from '../support/command.js';
import { EtcdServer } from '../support/etcd.js';
import { silent } from '../support/silent.js';

const test = new Cleanup();
afterEach(async () => test.run());
const never = new AbortController().signal;
const keys = new EtcdKeys('/dfw/v1', 'host-7');
const vm = (name: string): string => keys.workload({ kind: 'VirtualMachine', name });
const identity = (instance: string, boot = 'boot'): AgentIdentity => ({ instance, boot, version: '1' });

interface Running { readonly publisher: Publisher; readonly kill: () => Promise<void> }
function start(client: EtcdClient, who: AgentIdentity, workloads: Readonly<Record<string, string>>, graceSeconds = 2): Running {
  const publisher = new Publisher({ client, keys, identity: who, graceSeconds, clock: systemClock, log: silent, random: Math.random });
  const stop = new AbortController();
  const kill = async (): Promise<void> => {
    stop.abort();
    await publisher.stopped();
  };
  test.defer('publisher', kill);
  publisher.start(stop.signal);
  publisher.publish(new Map(Object.entries(workloads)));
  return { publisher, kill };
}
const published = async (client: EtcdClient): Promise<Record<string, string>> =>
  Object.fromEntries((await client.range({ range: keysUnder('/dfw/v1/workloads/host-7/V') }, never)).found.map(({ key, value }) => [key, Buffer.from(value).toString()]));
const becomes = async (client: EtcdClient, expected: Readonly<Record<string, string>>): Promise<true> =>
  eventually(`published: ${JSON.stringify(expected)}`, async () => (JSON.stringify(await published(client)) === JSON.stringify(expected) ? true : undefined), 10_000);

it('follows the workloads, keeps the lease, and is gone after the grace time', async () => {
  const server = await EtcdServer.start(test);
  const client = server.client(test);
  const many = Object.fromEntries(Array.from({ length: 250 }, (_, index) => [vm(`vm-${String(index).padStart(3, '0')}`), 'x']));
  const { publisher, kill } = start(client, identity('a'), many);
  await becomes(client, many);
  publisher.publish(new Map([[vm('a'), '1'], [vm('b'), '1']]));
  await becomes(client, { [vm('a')]: '1', [vm('b')]: '1' });
  publisher.publish(new Map([[vm('b'), '2']]));
  await becomes(client, { [vm('b')]: '2' });
  await sleep(3_500);
  expect(await published(client)).toEqual({ [vm('b')]: '2' });
  expect(publisher.troubles).toEqual([]);
  await kill();
  expect(await published(client)).toEqual({ [vm('b')]: '2' });
  await becomes(client, {});
});

it('goes on after a restart without a gap, and takes away what is no longer there', async () => {
  const server = await EtcdServer.start(test);
  const client = server.client(test);
  const first = start(client, identity('a'), { [vm('a')]: '1', [vm('b')]: '1' });
  await becomes(client, { [vm('a')]: '1', [vm('b')]: '1' });
  await first.kill();
  const seen: number[] = [];
  const second = start(client, identity('a'), { [vm('b')]: '1' });
  for (let turn = 0; turn < 40; turn += 1) {
    seen.push(Object.keys(await published(client)).filter((key) => key === vm('b')).length);
    await sleep(100);
  }
  expect(seen.every((count) => count === 1)).toBe(true);
  expect(await published(client)).toEqual({ [vm('b')]: '1' });
  expect(second.publisher.troubles).toEqual([]);
});

it('does not mix with another agent of the name: the second says so, and takes over when the first is dead', async () => {
  const server = await EtcdServer.start(test);
  const client = server.client(test);
  const first = start(client, identity('a'), { [vm('a')]: '1' }, 3);
  await becomes(client, { [vm('a')]: '1' });
  const second = start(client, identity('b'), { [vm('b')]: '1' }, 3);
  const clone = start(client, identity('a', 'other boot'), { [vm('c')]: '1' }, 3);
  await eventually('both say so', async () => (second.publisher.troubles.length + clone.publisher.troubles.length === 2 ? true : undefined));
  expect(second.publisher.troubles[0]?.reason).toContain('another agent has the node name host-7 (instance a)');
  expect(clone.publisher.troubles[0]?.reason).toContain('clone');
  await sleep(4_000);
  expect([await published(client), first.publisher.troubles]).toEqual([{ [vm('a')]: '1' }, []]);
  await clone.kill();
  await first.kill();
  await becomes(client, { [vm('b')]: '1' });
  await eventually('nothing is wrong', async () => (second.publisher.troubles.length === 0 ? true : undefined));
});

it('comes back by itself after etcd was away for longer than the lease', async () => {
  const server = await EtcdServer.start(test);
  const client = server.client(test, { timeoutMs: 1_000 });
  const { publisher } = start(client, identity('a'), { [vm('a')]: '1' });
  await becomes(client, { [vm('a')]: '1' });
  await server.kill();
  await eventually('it says so', async () => (publisher.troubles.length === 1 ? true : undefined));
  server.launch();
  await server.ready();
  await server.etcd(['del', '--prefix', '/dfw/v1/workloads/']);
  await becomes(client, { [vm('a')]: '1' });
  expect(await eventually('nothing is wrong', async () => (publisher.troubles.length === 0 ? true : undefined))).toBe(true);
});

it('needs the rights of docs/etcd.md and no more', async () => {
  const server = await EtcdServer.start(test);
  const text = await readFile(fileURLToPath(new URL('../../docs/etcd.md', import.meta.url)), 'utf8');
  const script = /```\n(etcdctl role add dfw-read\n[\s\S]*?)```/.exec(text)?.[1] ?? '';
  expect(script).toContain('auth enable');
  await server.etcd(['user', 'add', 'root:secret']);
  await server.etcd(['user', 'grant-role', 'root', 'root']);
  await server.shell(script.replace('--no-password', '--new-user-password pw'));
  const client = server.client(test, { user: { name: 'host-7', password: async () => 'pw' } });
  const first = start(client, identity('a'), { [vm('a')]: '1' });
  await becomes(client, { [vm('a')]: '1' });
  await first.kill();
  const second = start(client, identity('a'), { [vm('b')]: '1' });
  await becomes(client, { [vm('b')]: '1' });
  await sleep(3_000);
  expect([await published(client), second.publisher.troubles]).toEqual([{ [vm('b')]: '1' }, []]);
  for (const range of keys.ranges()) await client.range({ range }, never);
  await expect(client.range({ range: keysUnder('/dfw/v1/hosts/host-70/') }, never)).rejects.toThrow('permission denied');
  await expect(client.commit([], [{ key: '/dfw/v1/objects/Pod/a/b', value: Buffer.from('') }], never)).rejects.toThrow('permission denied');
  await expect(client.commit([], [{ key: '/dfw/v1/workloads/host-8/VirtualMachine/x', value: Buffer.from('') }], never)).rejects.toThrow('permission denied');
});
