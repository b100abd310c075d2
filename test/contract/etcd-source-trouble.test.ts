/** What goes wrong with an etcd that runs: it is said what and since when, all stays as it was, and the source catches up by itself. */
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.js';
import type { GrpcEtcdOptions } from '../../src/sources/etcd/client/grpc-etcd.js';
import { EtcdSource } from '../../src/sources/etcd/etcd-source.js';
import { EtcdKeys } from '../../src/sources/etcd/keys.js';
import { LastState } from '../../src/sources/etcd/last-state.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually } from '../support/command.js';
import { authority, EtcdServer } from '../support/etcd.js';
import { silent } from '../support/silent.js';

const test = new Cleanup();
afterEach(async () => test.run());

const put = (server: EtcdServer, name: string): Promise<void> =>
  server.put(`/dfw/v1/objects/AddressSet/${name}`, JSON.stringify({ apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name }, spec: { addresses: ['10.0.0.1'] } }));
const names = (source: EtcdSource): string => [...source.snapshot().objects.keys()].sort().join();

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'dfwt-trouble-'));
  test.defer('directory', () => rm(path, { recursive: true, force: true }));
  return path;
}

async function started(server: EtcdServer, options: Partial<GrpcEtcdOptions> = {}): Promise<EtcdSource> {
  const source = new EtcdSource({
    client: server.client(test, { timeoutMs: 1_000, ...options }), keys: new EtcdKeys('/dfw/v1', 'host-1'), state: new LastState(join(await directory(), 'etcd.jsonl'), '/dfw/v1 host-1'), clock: systemClock, log: silent, random: Math.random,
  });
  test.defer('source', () => source.stop());
  await source.start(new AbortController().signal);
  await eventually('it follows', async () => (source.troubles.length === 0 ? true : undefined), 10_000, 20);
  return source;
}

/** `go` makes the trouble, `mend` ends it and leaves another set in etcd. */
async function passes(source: EtcdSource, reason: RegExp, go: () => Promise<void>, mend: () => Promise<void>): Promise<void> {
  const held = names(source);
  const before = Date.now();
  await go();
  const told = await eventually('it is said', async () => source.troubles.find((trouble) => reason.test(trouble.reason)), 30_000, 50).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(source.troubles)}`, { cause: error });
  });
  expect(told.reason).toMatch(/revision \d+ stays in force$/);
  expect([told.since >= before, told.since <= Date.now()]).toEqual([true, true]);
  expect([source.synced, names(source)]).toEqual([true, held]);
  await mend();
  await eventually('it catches up', async () => (names(source) !== held && source.troubles.length === 0 ? true : undefined), 30_000, 50);
}

it('hangs: connections stay, and nothing is answered', async () => {
  const server = await EtcdServer.start(test);
  await put(server, 'a');
  const source = await started(server);
  await passes(source, /etcd cannot be followed/, () => server.kill(0, 'SIGSTOP'), async () => {
    await server.kill(0, 'SIGCONT');
    await put(server, 'b');
  });
  expect(names(source)).toBe('AddressSet/a,AddressSet/b');
}, 90_000);

it('certificates that have expired, the server\'s and ours', async () => {
  const files = await directory();
  const { ca, issue } = await authority(files);
  const [served, mine, tool, expired] = [await issue('server'), await issue('mine'), await issue('tool'), await issue('expired', -1)];
  const server = await EtcdServer.start(test, { tls: { ca, ...served, clientCa: ca, client: tool } });
  await put(server, 'a');
  const source = await started(server, { tls: { ca, ...mine } });
  /** Read anew for each connection, at both ends. */
  const replace = async (target: { cert: string; key: string }, by: { cert: string; key: string }): Promise<void> => {
    for (const kind of ['key', 'cert'] as const) {
      await copyFile(by[kind], join(files, 'next'));
      await rename(join(files, 'next'), target[kind]);
    }
  };
  const again = async (): Promise<void> => {
    await server.kill();
    server.launch();
  };
  const [goodServed, goodMine] = [await issue('server-2'), await issue('mine-2')];
  await passes(source, /certificate has expired/, async () => {
    await replace(served, expired);
    await again();
  }, async () => {
    await replace(served, goodServed);
    await again();
    await server.ready();
    await put(server, 'b');
  });
  await passes(source, /etcd cannot be followed/, async () => {
    await replace(mine, expired);
    await again();
    await server.ready();
  }, async () => {
    await replace(mine, goodMine);
    await put(server, 'c');
  });
  expect(names(source)).toBe('AddressSet/a,AddressSet/b,AddressSet/c');
}, 90_000);
