/** The client against real servers: what the rest of the etcd source takes for granted. */
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HistoryLost, keysUnder, onlyKey, type EtcdClient, type WatchBatch } from '../../src/sources/etcd/client/etcd.js';
import { isAgentError, type ErrorCode } from '../../src/model/errors.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually } from '../support/command.js';
import { authority, EtcdServer } from '../support/etcd.js';

const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString());
const bytes = (value: string): Uint8Array => Buffer.from(value);
const refused = (code: ErrorCode) => expect.toSatisfy((error: unknown) => isAgentError(error, code));
const lost = (reason: string) => expect.toSatisfy((error: unknown) => error instanceof HistoryLost && error.reason === reason);

const test = new Cleanup();
afterEach(async () => test.run());
const never = new AbortController().signal;

/** What a watch says, collected until the test ends. */
function watching(client: EtcdClient, prefixes: readonly string[], from: number): { batches: WatchBatch[]; ended: Promise<unknown>; stop: () => void } {
  const stop = new AbortController();
  test.defer('watch', () => stop.abort());
  const batches: WatchBatch[] = [];
  const ended = (async (): Promise<unknown> => {
    try {
      for await (const batch of client.watch(prefixes.map((prefix) => ({ range: keysUnder(prefix), from })), stop.signal)) batches.push(batch);
      return undefined;
    } catch (error) {
      return error;
    }
  })();
  return { batches, ended, stop: () => stop.abort() };
}
const eventsOf = (batches: readonly WatchBatch[]): (readonly unknown[])[] => batches.flatMap((batch) => (batch.kind === 'events' ? batch.events.map(({ key, value }) => [batch.range, key, text(value)]) : []));

describe('one member', () => {
  const suite = new Cleanup();
  let server: EtcdServer;
  beforeAll(async () => {
    server = await EtcdServer.start(suite);
  });
  afterAll(async () => suite.run());
  const put = async (client: EtcdClient, key: string, value: string): Promise<number> => (await client.commit([], [{ key, value: bytes(value) }], never)).at.revision;

  it('reads in pages at one revision', async () => {
    const client = server.client(test);
    for (let index = 0; index < 7; index += 1) await put(client, `/page/${index}`, `v${index}`);
    const first = await client.range({ range: keysUnder('/page/'), limit: 3 }, never);
    await put(client, '/page/5', 'changed');
    expect(first.more).toBe(true);
    const rest = await client.range({ range: { from: `${first.found.at(-1)?.key ?? ''}\0`, to: keysUnder('/page/').to }, revision: first.at.revision }, never);
    expect(rest.more).toBe(false);
    expect([...first.found, ...rest.found].map(({ key, value }) => [key, text(value)])).toEqual([0, 1, 2, 3, 4, 5, 6].map((index) => [`/page/${index}`, `v${index}`]));
    expect(rest.at.cluster).toBe(first.at.cluster);
    expect(rest.at.cluster).toMatch(/^[1-9]\d{5,}$/);
  });

  it('keeps keys that are no text, and empty values', async () => {
    const client = server.client(test);
    const key = '/bin/\x00\xff\xfe\n';
    await client.commit([], [{ key, value: new Uint8Array(0) }], never);
    const { found } = await client.range({ range: keysUnder('/bin/') }, never);
    expect(found.map((kv) => [kv.key, kv.value.length])).toEqual([[key, 0]]);
  });

  it('writes where its conditions hold, all or nothing', async () => {
    const client = server.client(test);
    const revision = await put(client, '/cas/a', '1');
    expect((await client.commit([{ key: '/cas/a', revision: revision - 1 }], [{ key: '/cas/a', value: bytes('2') }], never)).done).toBe(false);
    expect((await client.commit([{ key: '/cas/a', revision }, { key: '/cas/b', revision: 5 }], [{ key: '/cas/a', value: bytes('2') }], never)).done).toBe(false);
    expect((await client.commit([{ key: '/cas/a', revision }, { key: '/cas/b', revision: 0 }], [{ key: '/cas/a', value: undefined }, { key: '/cas/b', value: bytes('b') }], never)).done).toBe(true);
    const { found } = await client.range({ range: keysUnder('/cas/') }, never);
    expect(found.map(({ key }) => key)).toEqual(['/cas/b']);
  });

  it('watches several ranges from a revision on', async () => {
    const client = server.client(test);
    const from = await put(client, '/w/a/1', 'old');
    await put(client, '/w/a/1', 'new');
    const { batches } = watching(client, ['/w/a/', '/w/b/'], from + 1);
    await eventually('opened', async () => batches.some(({ kind }) => kind === 'opened') || undefined);
    await put(client, '/w/c/1', 'elsewhere');
    await put(client, '/w/b/1', 'b');
    await client.commit([], [{ key: '/w/a/1', value: undefined }], never);
    await eventually('three events', async () => eventsOf(batches).length >= 3 || undefined);
    expect(eventsOf(batches).filter(([range]) => range === 0)).toEqual([[0, '/w/a/1', 'new'], [0, '/w/a/1', undefined]]);
    expect(eventsOf(batches).filter(([range]) => range === 1)).toEqual([[1, '/w/b/1', 'b']]);
  });

  it('joins what etcd sends in fragments', async () => {
    const client = server.client(test);
    const { batches } = watching(client, ['/big/'], 0);
    await eventually('opened', async () => batches.length > 0 || undefined);
    // Two megabytes that come in one step cannot be written: one after the other, faster than they are sent.
    const value = Buffer.alloc(1_000_000, 'x');
    await Promise.all([0, 1, 2, 3].map((index) => client.commit([], [{ key: `/big/${index}`, value }], never)));
    expect(await eventually('four events', async () => eventsOf(batches).length === 4 || undefined)).toBe(true);
  });

  it('says when history is gone, or not there yet', async () => {
    const client = server.client(test);
    const first = await put(client, '/h/a', '1');
    const last = await put(client, '/h/a', '2');
    await server.etcd(['compact', String(last)]);
    await expect(client.range({ range: onlyKey('/h/a'), revision: first }, never)).rejects.toEqual(lost('compacted'));
    await expect(client.range({ range: onlyKey('/h/a'), revision: last + 1_000 }, never)).rejects.toEqual(lost('future'));
    expect(await watching(client, ['/h/'], first).ended).toEqual(lost('compacted'));
  });

  it('gives leases, keeps them and lets them end', async () => {
    const client = server.client(test);
    expect(await client.grantLease(4711, 2, never)).toBe(true);
    expect(await client.grantLease(4711, 2, never)).toBe(false);
    await client.commit([], [{ key: '/lease/a', value: bytes('x'), lease: 4711 }], never);
    const { found: [held] } = await client.range({ range: onlyKey('/lease/a') }, never);
    expect(held?.lease).toBe(4711);
    expect((await client.commit([{ key: '/lease/a', lease: 4711 }], [], never)).done).toBe(true);
    expect((await client.commit([{ key: '/lease/a', lease: 4712 }], [], never)).done).toBe(false);
    for (let turn = 0; turn < 4; turn += 1) {
      expect(await client.keepLease(4711, never)).toBe(true);
      await sleep(700);
    }
    expect((await client.leaseTime(4711, never))?.granted).toBe(2);
    await eventually('the lease ends', async () => ((await client.range({ range: onlyKey('/lease/a') }, never)).found.length === 0 ? true : undefined), 10_000);
    expect(await client.keepLease(4711, never)).toBe(false);
    expect(await client.leaseTime(4711, never)).toBeUndefined();
    await client.revokeLease(4711, never);
  });

  it('refuses what is too large for etcd', async () => {
    const client = server.client(test);
    await expect(client.commit([], [{ key: '/large', value: new Uint8Array(2_000_000) }], never)).rejects.toEqual(refused('E_LIMIT'));
    await expect(client.commit([], Array.from({ length: 200 }, (_, index) => ({ key: `/many/${index}`, value: bytes('') })), never)).rejects.toEqual(refused('E_LIMIT'));
  });

  it('is cancelled by its signal', async () => {
    const client = server.client(test);
    const stop = new AbortController();
    const asked = client.range({ range: keysUnder('/') }, stop.signal);
    stop.abort();
    await expect(asked).rejects.toEqual(refused('E_CANCELLED'));
    const { ended, stop: end } = watching(client, ['/x/'], 0);
    end();
    expect(await ended).toBeUndefined();
  });

  it('goes by a Unix socket too', async () => {
    const client = server.client(test, { endpoints: server.sockets });
    expect((await client.range({ range: keysUnder('/') }, never)).at.revision).toBeGreaterThan(0);
  });

  it('goes on at the next endpoint, and says why when there is none', async () => {
    const client = server.client(test, { endpoints: ['http://127.0.0.1:9', ...server.endpoints] });
    expect((await client.range({ range: keysUnder('/') }, never)).at.revision).toBeGreaterThan(0);
    expect(client.endpoint).toBe(server.endpoints[0]);
    const nobody = server.client(test, { endpoints: ['http://127.0.0.1:9'] });
    await expect(nobody.range({ range: keysUnder('/') }, never)).rejects.toThrow(/ECONNREFUSED/);
  });

  it('gives up on a server that hangs', async () => {
    await server.kill(0, 'SIGSTOP');
    test.defer('continue', () => server.kill(0, 'SIGCONT'));
    const client = server.client(test, { timeoutMs: 300 });
    await expect(client.range({ range: keysUnder('/') }, never)).rejects.toEqual(refused('E_UNREACHABLE'));
  });
});

describe('three members', () => {
  it('goes on when the leader is killed, reading, writing and watching', async () => {
    const server = await EtcdServer.start(test, { members: 3 });
    const leader = await server.leader();
    const client = server.client(test, { first: leader, timeoutMs: 2_000 });
    const { at } = await client.commit([], [{ key: '/k/1', value: bytes('1') }], never);
    const first = watching(client, ['/k/'], at.revision);
    await eventually('watching', async () => eventsOf(first.batches).length === 1 || undefined);
    await server.kill(leader);
    expect(await first.ended).toEqual(refused('E_UNREACHABLE'));
    await eventually('a write', async () => (await client.commit([], [{ key: '/k/2', value: bytes('2') }], never)).done || undefined, 20_000);
    const second = watching(client, ['/k/'], at.revision + 1);
    await eventually('watching again', async () => eventsOf(second.batches).length === 1 || undefined, 10_000);
    expect(eventsOf(second.batches)).toEqual([[0, '/k/2', '2']]);
  });
});

describe('TLS and users', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dfwt-tls-'));
  });
  afterAll(async () => rm(directory, { recursive: true, force: true }));

  it('proves itself by a certificate, which may be replaced while it runs', async () => {
    const { ca, issue } = await authority(directory);
    const served = await issue('server');
    const mine = await issue('client');
    const server = await EtcdServer.start(test, { tls: { ca, ...served, clientCa: ca, client: mine } });
    const good = server.client(test, { tls: { ca, ...mine } });
    expect((await good.range({ range: keysUnder('/') }, never)).found).toEqual([]);
    await expect(server.client(test, { tls: { ca } }).range({ range: keysUnder('/') }, never)).rejects.toEqual(refused('E_UNREACHABLE'));
    await expect(server.client(test, { tls: mine }).range({ range: keysUnder('/') }, never)).rejects.toThrow(/certificate/);
    // An expired one is replaced by a good one under the same name.
    const old = await issue('renewed', -1);
    const renewing = server.client(test, { tls: { ca, ...old } });
    await expect(renewing.range({ range: keysUnder('/') }, never)).rejects.toEqual(refused('E_UNREACHABLE'));
    const fresh = await issue('fresh');
    await rename(fresh.key, old.key);
    await rename(fresh.cert, old.cert);
    await eventually('the new certificate is used', async () => ((await renewing.range({ range: keysUnder('/') }, never)).found.length === 0 ? true : undefined), 10_000, 200);
  });

  it('says who it is by user and password, again when the token is no longer known, and is held to its role', async () => {
    const server = await EtcdServer.start(test, { args: ['--auth-token-ttl', '1'] });
    for (const line of [
      ['user', 'add', 'root:secret'], ['user', 'grant-role', 'root', 'root'], ['role', 'add', 'reader'], ['role', 'grant-permission', 'reader', 'read', '/p/', '/p0'],
      ['user', 'add', 'host:first'], ['user', 'grant-role', 'host', 'reader'], ['auth', 'enable'],
    ]) await server.etcd(line);
    const passwords = ['first'];
    const client = server.client(test, { user: { name: 'host', password: async () => passwords.at(-1) ?? '' } });
    expect((await client.range({ range: keysUnder('/p/') }, never)).found).toEqual([]);
    await expect(client.range({ range: keysUnder('/q/') }, never)).rejects.toEqual(refused('E_DENIED'));
    await expect(client.commit([], [{ key: '/p/a', value: bytes('') }], never)).rejects.toEqual(refused('E_DENIED'));
    expect(await watching(client, ['/p/', '/q/'], 0).ended).toEqual(refused('E_DENIED'));
    await sleep(2_500);
    expect((await client.range({ range: keysUnder('/p/') }, never)).found).toEqual([]);
    await server.etcd(['--user', 'root:secret', 'user', 'passwd', 'host', '--interactive=false'], 'second\n');
    await expect(server.client(test, { user: { name: 'host', password: async () => 'first' } }).range({ range: keysUnder('/p/') }, never)).rejects.toEqual(refused('E_DENIED'));
    passwords.push('second');
    expect((await client.range({ range: keysUnder('/p/') }, never)).found).toEqual([]);
    await expect(server.client(test).range({ range: keysUnder('/p/') }, never)).rejects.toEqual(refused('E_DENIED'));
  });

  it('needs no token where the server asks nobody who he is', async () => {
    const server = await EtcdServer.start(test);
    const client = server.client(test, { user: { name: 'host', password: async () => 'x' } });
    expect((await client.range({ range: keysUnder('/') }, never)).found).toEqual([]);
  });
});
