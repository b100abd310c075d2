/** The source against real servers: what it reads, what it refuses, and what it holds on to when etcd does what stores do. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.js';
import { isAgentError } from '../../src/model/errors.js';
import { EtcdKeys } from '../../src/sources/etcd/keys.js';
import { EtcdSource } from '../../src/sources/etcd/etcd-source.js';
import { LastState } from '../../src/sources/etcd/last-state.js';
import { RuleTableCodec } from '../../src/sources/etcd/ruletable/codec.js';
import type { GrpcEtcdOptions } from '../../src/sources/etcd/client/grpc-etcd.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually } from '../support/command.js';
import { accept } from '../support/decode.js';
import { EtcdServer } from '../support/etcd.js';
import { silent } from '../support/silent.js';

const test = new Cleanup();
afterEach(async () => test.run());
const never = new AbortController().signal;
const codec = new RuleTableCodec();

interface Reader { readonly source: EtcdSource; stop(): Promise<void> }

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'dfwt-src-'));
  test.defer('state', () => rm(path, { recursive: true, force: true }));
  return path;
}

function prepare(server: EtcdServer, state: string, options: Partial<GrpcEtcdOptions> = {}, node = 'host-1'): Reader {
  const cleanup = new Cleanup();
  const client = server.client(cleanup, { timeoutMs: 1_000, ...options });
  const source = new EtcdSource({
    client, keys: new EtcdKeys('/dfw/v1', node), state: new LastState(join(state, 'etcd.jsonl'), '/dfw/v1 host-1'), clock: systemClock, log: silent, random: Math.random, firstReadMs: 500,
  });
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    await source.stop();
    await cleanup.run();
  };
  test.defer('source', stop);
  return { source, stop };
}

async function started(server: EtcdServer, state: string, options: Partial<GrpcEtcdOptions> = {}): Promise<Reader> {
  const reader = prepare(server, state, options);
  await reader.source.start(never);
  return reader;
}

const set = (name: string, ...addresses: string[]): string => JSON.stringify({ apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name }, spec: { addresses } });
const names = ({ source }: Reader): string[] => [...source.snapshot().objects.keys()].sort();
const addresses = ({ source }: Reader, name: string): readonly string[] | undefined => {
  const object = source.snapshot().objects.get(`AddressSet/${name}`);
  return object?.kind === 'AddressSet' ? object.addresses : undefined;
};
const holds = async (reader: Reader, expected: readonly string[]): Promise<void> => {
  await eventually(`it holds ${expected.join()}`, async () => (JSON.stringify(names(reader)) === JSON.stringify(expected) ? true : undefined), 10_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; it holds ${names(reader).join()}; ${JSON.stringify(reader.source.troubles)}`, { cause: error });
  });
};
const K = '/dfw/v1';

it('reads objects of all hosts and of its own, as manifests and as protobuf, and follows them', async () => {
  const server = await EtcdServer.start(test);
  await server.put(`${K}/objects/Pod/shop/web`, 'apiVersion: v1\nkind: Pod\nmetadata: { name: web, namespace: shop }\n');
  await server.put(`${K}/objects/RuleTable/K8s/shop/web`, JSON.stringify({ kind: 'RuleTable', metadata: { name: 'K8s/shop/web' }, spec: { rules: [] } }));
  await server.put(`${K}/hosts/host-1/objects/AddressSet/mine`, set('mine', '10.0.0.1'));
  await server.put(`${K}/hosts/host-2/objects/AddressSet/theirs`, set('theirs', '10.0.0.1'));
  const client = server.client(test);
  const table = accept('RuleTable', { kind: 'RuleTable', metadata: { name: 'domain-c25' }, spec: { rules: [{ id: 1001, action: 'accept', source: { addressSets: ['fast'] } }] } });
  const fast = accept('AddressSet', { kind: 'AddressSet', metadata: { name: 'fast' }, spec: { addresses: ['10.1.0.1', 'fd00::1', '10.2.0.0/16'] } });
  await client.commit([], [{ key: `${K}/ruletables/domain-c25`, value: codec.writeTable(table) }, { key: `${K}/addresssets/fast`, value: codec.writeSet(fast) }], never);
  const reader = await started(server, await directory());
  expect(names(reader)).toEqual(['AddressSet/fast', 'AddressSet/mine', 'Pod/shop/web', 'RuleTable/K8s/shop/web', 'RuleTable/domain-c25']);
  expect(reader.source.snapshot().objects.get('RuleTable/domain-c25')).toEqual(table);
  expect(reader.source.snapshot().manifests.get('AddressSet/fast')).toMatchObject({ kind: 'AddressSet', spec: { addresses: fast.addresses } });
  expect(reader.source.snapshot().errors).toEqual([]);
  const changed = accept('AddressSet', { kind: 'AddressSet', metadata: { name: 'fast' }, spec: { addresses: ['10.1.0.2'] } });
  await client.commit([], [{ key: `${K}/addresssets/fast`, value: codec.writeSet(changed) }, { key: `${K}/objects/Pod/shop/web`, value: undefined }], never);
  await holds(reader, ['AddressSet/fast', 'AddressSet/mine', 'RuleTable/K8s/shop/web', 'RuleTable/domain-c25']);
  await eventually('the set', async () => (addresses(reader, 'fast')?.join() === '10.1.0.2' ? true : undefined));
  // A part, and a set of the host's own in front of it.
  await client.commit([], [{ key: `${K}/addresssets/fast@p1`, value: codec.writeSet({ ...changed, metadata: { name: 'fast', labels: {} }, addresses: ['10.1.0.3', '10.3.0.0/16'] }) }], never);
  await eventually('the part', async () => (addresses(reader, 'fast')?.join() === '10.1.0.2,10.1.0.3,10.3.0.0/16' ? true : undefined));
  await server.put(`${K}/hosts/host-1/objects/AddressSet/fast`, set('fast', '192.0.2.1'));
  await eventually('the own one', async () => (addresses(reader, 'fast')?.join() === '192.0.2.1' ? true : undefined));
  expect(reader.source.snapshot().errors).toEqual([]);
  expect(reader.source.troubles).toEqual([]);
});

it('refuses what is bad with its key, and keeps the last good version, also over a restart', async () => {
  const server = await EtcdServer.start(test);
  const state = await directory();
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  await server.put(`${K}/objects/AddressSet/b`, set('b', '10.0.0.1'));
  const reader = await started(server, state);
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.300'));
  await server.put(`${K}/objects/AddressSet/c`, '{ kind: AddressSet');
  await server.put(`${K}/addresssets/d`, 'no protobuf');
  await server.put(`${K}/objects/AddressSet/b`, set('other', '10.0.0.1'));
  await eventually('four errors', async () => (reader.source.snapshot().errors.length === 4 ? true : undefined));
  expect(reader.source.snapshot().errors.map(({ object, path }) => [object, path]).toSorted(([a = ''], [b = '']) => a.localeCompare(b))).toEqual([
    [`${K}/addresssets/d`, expect.any(String)], [`${K}/objects/AddressSet/a`, 'spec.addresses[0]'], [`${K}/objects/AddressSet/b`, 'metadata.name'], [`${K}/objects/AddressSet/c`, expect.stringContaining('line 1')],
  ]);
  expect(names(reader)).toEqual(['AddressSet/a', 'AddressSet/b']);
  expect(addresses(reader, 'a')).toEqual(['10.0.0.1']);
  await reader.stop();
  const again = await started(server, state);
  expect(addresses(again, 'a')).toEqual(['10.0.0.1']);
  expect(again.source.snapshot().errors).toHaveLength(4);
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.3'));
  await server.delete(`${K}/objects/AddressSet/b`);
  await eventually('mended', async () => (addresses(again, 'a')?.join() === '10.0.0.3' && again.source.snapshot().errors.length === 2 ? true : undefined));
  expect(names(again)).toEqual(['AddressSet/a']);
});

it('says of a prefix full of junk what it is, and takes the rest', async () => {
  const server = await EtcdServer.start(test);
  const client = server.client(test);
  const junk = [`${K}/objects/`, `${K}/objects/Pod/x`, `${K}/objects/NoKind/x`, `${K}/objects/\x00\xff`, `${K}/ruletables/`, `${K}/addresssets/@`, `${K}/hosts/host-1/x`, `${K}/workloads/`, `${K}/workloads/h/Pod/x`,
    ...Array.from({ length: 1_500 }, (_, index) => `${K}/objects/junk/${index}`)];
  for (let at = 0; at < junk.length; at += 100) await client.commit([], junk.slice(at, at + 100).map((key) => ({ key, value: Buffer.from('\x00junk') })), never);
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  const reader = await started(server, await directory());
  expect(names(reader)).toEqual(['AddressSet/a']);
  const { errors } = reader.source.snapshot();
  expect(errors).toHaveLength(1_001);
  expect(errors.at(-1)?.message).toMatch(/^\d+ more keys are refused$/);
  for (const { message, object } of errors) expect(`${object} ${message}`).toMatch(/^[\x20-\x7e]+$/);
});

it('goes on with what it had while etcd is away, says so, and catches up', async () => {
  const server = await EtcdServer.start(test);
  const state = await directory();
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  const reader = await started(server, state);
  await server.put(`${K}/objects/AddressSet/b`, set('b', '10.0.0.1'));
  await holds(reader, ['AddressSet/a', 'AddressSet/b']);
  const before = Date.now();
  await server.kill();
  await eventually('it says so', async () => (reader.source.troubles.length === 1 ? true : undefined));
  expect(reader.source.troubles[0]?.reason).toMatch(/^etcd cannot be followed: http:\/\/127\.0\.0\.1:\d+: .*revision \d+ stays in force$/);
  expect(reader.source.troubles[0]?.since).toBeGreaterThanOrEqual(before);
  expect(names(reader)).toEqual(['AddressSet/a', 'AddressSet/b']);
  await expect(reader.source.sync(never)).rejects.toSatisfy((error) => isAgentError(error, 'E_UNREACHABLE'));
  await reader.stop();
  // A start without etcd: what was stored, with the change that came after the first reading.
  const again = await started(server, state);
  expect(again.source.synced).toBe(true);
  expect(names(again)).toEqual(['AddressSet/a', 'AddressSet/b']);
  expect(again.source.troubles[0]?.reason).toContain('stays in force');
  server.launch();
  await server.ready();
  await server.put(`${K}/objects/AddressSet/c`, set('c', '10.0.0.1'));
  await server.delete(`${K}/objects/AddressSet/a`);
  await holds(again, ['AddressSet/b', 'AddressSet/c']);
  await eventually('no troubles', async () => (again.source.troubles.length === 0 ? true : undefined));
});

it('is not synced, and decides nothing, before it has read anything', async () => {
  const server = await EtcdServer.start(test);
  await server.kill();
  const reader = prepare(server, await directory());
  let done = false;
  const starting = reader.source.start(never).then(() => {
    done = true;
  });
  await sleep(1_500);
  expect([done, reader.source.synced, reader.source.troubles[0]?.reason.includes('nothing was read yet')]).toEqual([false, false, true]);
  server.launch();
  await starting;
  expect(reader.source.synced).toBe(true);
});

it('reads again what was compacted while it was away, and takes the difference', async () => {
  const server = await EtcdServer.start(test);
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  await server.put(`${K}/objects/AddressSet/b`, set('b', '10.0.0.1'));
  const door = await server.door(test);
  const reader = await started(server, await directory(), { endpoints: [door.endpoint] });
  const { revision } = reader.source.snapshot();
  await door.shut();
  await server.delete(`${K}/objects/AddressSet/a`);
  for (let turn = 0; turn < 5; turn += 1) await server.put(`${K}/objects/AddressSet/c`, set('c', `10.0.0.${turn}`));
  const head = Number(/"revision":(\d+)/.exec(await server.etcd(['get', K, '-w', 'json']))?.[1]);
  await server.etcd(['compact', String(head)]);
  await door.open();
  await holds(reader, ['AddressSet/b', 'AddressSet/c']);
  expect(addresses(reader, 'c')).toEqual(['10.0.0.4']);
  expect(reader.source.snapshot().revision).toBeGreaterThan(revision);
  // And compaction under a watch that is in step disturbs nothing.
  await server.put(`${K}/objects/AddressSet/d`, set('d', '10.0.0.1'));
  await server.etcd(['compact', String(head + 1)]);
  await holds(reader, ['AddressSet/b', 'AddressSet/c', 'AddressSet/d']);
});

it('notices a restored backup and reads all of it', async () => {
  const server = await EtcdServer.start(test);
  const backup = join(await directory(), 'backup');
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  await server.kill();
  await cp(server.dataDirectory(), backup, { recursive: true });
  server.launch();
  await server.ready();
  await server.put(`${K}/objects/AddressSet/lost`, set('lost', '10.0.0.1'));
  const reader = await started(server, await directory());
  expect(names(reader)).toEqual(['AddressSet/a', 'AddressSet/lost']);
  await server.kill();
  await server.wipe();
  await cp(backup, server.dataDirectory(), { recursive: true });
  server.launch();
  await holds(reader, ['AddressSet/a']);
  await server.put(`${K}/objects/AddressSet/lost`, set('lost', '10.0.0.2'));
  await holds(reader, ['AddressSet/a', 'AddressSet/lost']);
});

it('notices a history that was exchanged and has come farther than the one before', async () => {
  const server = await EtcdServer.start(test);
  const backup = join(await directory(), 'backup');
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  await server.kill();
  await cp(server.dataDirectory(), backup, { recursive: true });
  server.launch();
  await server.ready();
  await server.put(`${K}/objects/AddressSet/lost`, set('lost', '10.0.0.1'));
  const door = await server.door(test);
  const reader = await started(server, await directory(), { endpoints: [door.endpoint] });
  await door.shut();
  await server.kill();
  await server.wipe();
  await cp(backup, server.dataDirectory(), { recursive: true });
  server.launch();
  await server.ready();
  await server.put(`${K}/objects/AddressSet/new`, set('new', '10.0.0.1'));
  for (let turn = 0; turn < 20; turn += 1) await server.put('/elsewhere', String(turn));
  await door.open();
  await holds(reader, ['AddressSet/a', 'AddressSet/new']);
  expect(names(reader)).not.toContain('AddressSet/lost');
});

it('does not believe a store that was emptied, until it holds something or somebody says so', async () => {
  const server = await EtcdServer.start(test);
  const state = await directory();
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  const reader = await started(server, state);
  await server.kill();
  await server.wipe();
  server.launch();
  await eventually('it says so', async () => (reader.source.troubles.some(({ reason }) => reason.includes('holds no objects')) ? true : undefined), 10_000);
  expect(names(reader)).toEqual(['AddressSet/a']);
  await reader.stop();
  const again = await started(server, state);
  expect(names(again)).toEqual(['AddressSet/a']);
  expect(again.source.troubles.map(({ reason }) => reason).join()).toContain('holds no objects');
  await server.put(`${K}/objects/AddressSet/b`, set('b', '10.0.0.1'));
  await holds(again, ['AddressSet/b']);
  await eventually('no troubles', async () => (again.source.troubles.length === 0 ? true : undefined));
  // Emptied in the ordinary way it is what it is.
  await server.delete(`${K}/objects/AddressSet/b`);
  await holds(again, []);
  await server.put(`${K}/objects/AddressSet/c`, set('c', '10.0.0.1'));
  await holds(again, ['AddressSet/c']);
  await server.kill();
  await server.wipe();
  server.launch();
  await eventually('it says so again', async () => (again.source.troubles.some(({ reason }) => reason.includes('holds no objects')) ? true : undefined), 10_000);
  await again.source.sync(never);
  await holds(again, []);
});

it('goes on when the leader is killed, again and again, and misses nothing', async () => {
  const server = await EtcdServer.start(test, { members: 3 });
  await server.put(`${K}/objects/AddressSet/a`, set('a', '10.0.0.1'));
  const reader = await started(server, await directory());
  const client = server.client(test, { timeoutMs: 1_000, first: 1 });
  let written = 0;
  for (let turn = 0; turn < 3; turn += 1) {
    const leader = await server.leader();
    const killed = sleep(100).then(() => server.kill(leader));
    for (let put = 0; put < 20; put += 1) {
      written += 1;
      await eventually('written', async () => client.commit([], [{ key: `${K}/objects/AddressSet/a`, value: Buffer.from(set('a', `10.1.${written >> 8}.${written & 255}`)) }], never), 20_000);
      await sleep(10);
    }
    await killed;
    await eventually('it has the last', async () => (addresses(reader, 'a')?.[0] === `10.1.${written >> 8}.${written & 255}` ? true : undefined), 15_000);
    server.launch(leader);
    await server.ready();
  }
  expect(await eventually('no troubles', async () => (reader.source.troubles.length === 0 ? true : undefined), 10_000)).toBe(true);
});
