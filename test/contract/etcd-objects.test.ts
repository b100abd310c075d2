/** Managers' changes in etcd: what is written where, compare-and-swap, and `agentctl --etcd` as a user runs it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isAgentError, type ErrorCode } from '../../src/model/errors.js';
import { keysUnder, type EtcdClient } from '../../src/sources/etcd/client/etcd.js';
import { EtcdObjects, type NewObject } from '../../src/sources/etcd/etcd-objects.js';
import { EtcdKeys } from '../../src/sources/etcd/keys.js';
import { LocalStore } from '../../src/sources/file/local-store.js';
import { RuleTableCodec } from '../../src/sources/etcd/ruletable/codec.js';
import { ObjectTable } from '../../src/sources/etcd/object-table.js';
import { ValueReader } from '../../src/sources/etcd/values.js';
import { InlineParser } from '../../src/sources/file/file-parser.js';
import { Cleanup } from '../support/cleanup.js';
import { command } from '../support/command.js';
import { EtcdServer } from '../support/etcd.js';

const suite = new Cleanup();
let server: EtcdServer;
let client: EtcdClient;
let objects: EtcdObjects;
beforeAll(async () => {
  server = await EtcdServer.start(suite);
  client = server.client(suite);
  objects = new EtcdObjects({ client, keys: new EtcdKeys('/dfw/v1', '') });
});
afterAll(async () => suite.run());
beforeEach(async () => {
  await server.etcd(['del', '--prefix', '/dfw/']);
});

const never = new AbortController().signal;
/** As with an etcd that takes small requests only. */
const small = (of: EtcdClient = client): EtcdObjects => new EtcdObjects({ client: of, keys: new EtcdKeys('/dfw/v1', ''), requestBytes: 6_000 });
const refused = (code: ErrorCode, text = '') => expect.toSatisfy((error: unknown) => isAgentError(error, code) && error.message.includes(text));
const made = (...manifests: unknown[]): NewObject[] => manifests.map((manifest) => ({ object: new LocalStore('').validate(manifest), manifest }));
const set = (name: string, addresses: readonly string[], more: object = {}): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name, ...more }, spec: { addresses } });
const pod = (name: string, labels: object = {}): unknown => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels } });
const table = (name: string, ...ids: number[]): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'RuleTable', metadata: { name }, spec: { rules: ids.map((id) => ({ id, action: 'accept' })) } });
const keys = async (): Promise<string[]> => (await client.range({ range: keysUnder('/dfw/') }, never)).found.map(({ key }) => key);
const versionOf = (manifest: unknown): string => (manifest as { metadata: { resourceVersion: string } }).metadata.resourceVersion;
const operations = async (...manifests: unknown[]): Promise<string[]> => (await objects.apply(made(...manifests), never)).map(({ operation }) => operation);

describe('objects in etcd', () => {
  it('are created, changed, left alone and deleted', async () => {
    expect(await operations(pod('web'), set('clients', ['10.0.0.1']), table('t', 1))).toEqual(['created', 'created', 'created']);
    expect(await keys()).toEqual(['/dfw/v1/addresssets/clients', '/dfw/v1/objects/Pod/shop/web', '/dfw/v1/ruletables/t']);
    expect(await operations(pod('web'), set('clients', ['10.0.0.2']), table('t', 1))).toEqual(['unchanged', 'configured', 'unchanged']);
    const { objects: [found], refused: bad } = await objects.list(['AddressSet'], never);
    expect(found?.manifest).toMatchObject({ kind: 'AddressSet', metadata: { name: 'clients', resourceVersion: expect.stringMatching(/^\d+$/) }, spec: { addresses: ['10.0.0.2'] } });
    expect(bad).toEqual([]);
    await expect(objects.delete([{ kind: 'Pod', namespace: 'shop', name: 'web' }, { kind: 'Pod', namespace: 'shop', name: 'absent' }], never)).rejects.toEqual(refused('E_NOT_FOUND'));
    expect(await keys()).toHaveLength(3);
    await objects.delete([{ kind: 'Pod', namespace: 'shop', name: 'web' }, { kind: 'RuleTable', name: 't' }], never);
    expect(await keys()).toEqual(['/dfw/v1/addresssets/clients']);
  });

  it('are changed in the form in which they stand, and a set with its parts becomes one key', async () => {
    await server.put('/dfw/v1/objects/RuleTable/t', JSON.stringify(table('t', 1)));
    expect(await operations(table('t', 1, 2))).toEqual(['configured']);
    expect(await keys()).toEqual(['/dfw/v1/objects/RuleTable/t']);
    await operations(set('s', ['10.0.0.1']), set('p', ['10.0.0.9']));
    const { found } = await client.range({ range: keysUnder('/dfw/v1/addresssets/p') }, never);
    await client.commit([], [{ key: '/dfw/v1/addresssets/s@1', value: found[0]?.value ?? new Uint8Array(0) }], never);
    await operations(set('s', ['10.0.0.2']));
    expect((await keys()).filter((key) => key.includes('/s'))).toEqual(['/dfw/v1/addresssets/s']);
  });

  it('are written over the revision that the document is of, and no other', async () => {
    await operations(pod('web'));
    const { objects: [before] } = await objects.list(['Pod'], never);
    const version = versionOf(before?.manifest);
    const mine = { ...(pod('web', { by: 'me' }) as object), metadata: { name: 'web', namespace: 'shop', labels: { by: 'me' }, resourceVersion: version } };
    await operations(pod('web', { by: 'other' }));
    await expect(objects.apply(made(set('s', []), mine), never)).rejects.toEqual(refused('E_CONFLICT', `the document is of ${version}`));
    await expect(objects.compare(made(mine), never)).rejects.toEqual(refused('E_CONFLICT'));
    expect(await keys()).toEqual(['/dfw/v1/objects/Pod/shop/web']);
    const { objects: [now] } = await objects.list(['Pod'], never);
    await objects.apply(made({ ...mine, metadata: { ...mine.metadata, resourceVersion: versionOf(now?.manifest) } }), never);
    const { objects: [after] } = await objects.list(['Pod'], never);
    expect(after?.object.metadata.labels).toEqual({ by: 'me' });
  });

  it('are not written over what somebody changed between reading and writing, all or nothing', async () => {
    await operations(pod('web'), pod('db'));
    const hasty = new EtcdObjects({
      client: new Proxy(client, {
        get: (target, name) => (name !== 'commit' ? Reflect.get(target, name).bind(target) as unknown : async (...args: Parameters<EtcdClient['commit']>) => {
          await server.put('/dfw/v1/objects/Pod/shop/db', JSON.stringify(pod('db', { by: 'other' })));
          return target.commit(...args);
        }),
      }),
      keys: new EtcdKeys('/dfw/v1', ''),
    });
    await expect(hasty.apply(made(pod('web', { by: 'me' }), pod('db', { by: 'me' })), never)).rejects.toEqual(refused('E_CONFLICT', 'nothing was written'));
    const { objects: found } = await objects.list(['Pod'], never);
    expect(found.map(({ object }) => object.metadata.labels)).toEqual([{ by: 'other' }, {}]);
  });

  it('that are many go in several steps; one that etcd cannot take is refused', async () => {
    const many = Array.from({ length: 300 }, (_, index) => pod(`p${index}`));
    expect(new Set(await operations(...many))).toEqual(new Set(['created']));
    expect((await objects.list(['Pod'], never)).objects).toHaveLength(300);
    await expect(small().apply(made(table('huge', ...Array.from({ length: 1_000 }, (_, index) => index + 1))), never)).rejects.toEqual(refused('E_LIMIT', 'at once'));
    await expect(operations(pod('a'), pod('a'))).rejects.toEqual(refused('E_CONFLICT', 'twice'));
  });

  it('of one host stand apart', async () => {
    const own = new EtcdObjects({ client, keys: new EtcdKeys('/dfw/v1', 'h'), host: 'h' });
    await own.apply(made(set('s', ['10.0.0.1']), pod('web')), never);
    expect(await keys()).toEqual(['/dfw/v1/hosts/h/addresssets/s', '/dfw/v1/hosts/h/objects/Pod/shop/web']);
    expect((await own.list(['Pod', 'AddressSet'], never)).objects).toHaveLength(2);
    expect((await objects.list(['Pod', 'AddressSet'], never)).objects).toHaveLength(0);
  });
});

describe('a set larger than a request', () => {
  const large = (from: number, count = 2_500): string[] => Array.from({ length: count }, (_, index) => `10.${(from + index) >> 16}.${((from + index) >> 8) & 255}.${(from + index) & 255}`);
  const LAST = '/dfw/v1/addresssets/last';
  /** What an agent would enforce at each moment: the set as it follows every change, by its first and last address and how many it has. */
  const follow = async (): Promise<{ readonly seen: string[]; readonly stop: () => Promise<void> }> => {
    const reader = new ValueReader(new InlineParser());
    const names = new EtcdKeys('/dfw/v1', 'host');
    const holds = new ObjectTable();
    const seen: string[] = [];
    const take = async (events: readonly { readonly key: string; readonly value: Uint8Array | undefined }[]): Promise<void> => {
      holds.apply(await Promise.all(events.map(async ({ key, value }) => {
        const place = names.parse(key);
        if (place.form !== 'addressset') throw new Error(key);
        return { key, place, verdict: value === undefined ? undefined : await reader.read(place, value) };
      })));
      const object = holds.snapshot.objects.get('AddressSet/s');
      const now = object?.kind === 'AddressSet' ? `${object.addresses.length} ${object.addresses[0] ?? ''} ${object.addresses.at(-1) ?? ''}` : 'none';
      if (seen.at(-1) !== now) seen.push(now);
    };
    const range = keysUnder('/dfw/v1/addresssets/');
    const first = await client.range({ range }, never);
    await take(first.found);
    const stopping = new AbortController();
    const watching = (async () => {
      // One event at a time would be what no agent sees: those of one revision come together.
      for await (const batch of client.watch([{ range, from: first.at.revision + 1 }], stopping.signal)) {
        if (batch.kind !== 'events') continue;
        for (const revision of new Set(batch.events.map(({ modRevision }) => modRevision))) await take(batch.events.filter((event) => event.modRevision === revision));
        if (batch.events.some(({ key }) => key === LAST)) return;
      }
    })();
    return {
      seen,
      async stop() {
        // What was written before is seen before this.
        await client.commit([], [{ key: LAST, value: codec.writeSet({ kind: 'AddressSet', metadata: { name: 'last', labels: {} }, addresses: [] }) }], never);
        await watching;
        stopping.abort();
      },
    };
  };
  const codec = new RuleTableCodec();
  const write = async (...manifests: unknown[]): Promise<string[]> => (await small().apply(made(...manifests), never)).map(({ operation }) => operation);
  const shape = (addresses: readonly string[]): string => `${addresses.length} ${addresses[0]} ${addresses.at(-1)}`;
  /** A client that dies before the n-th write. */
  const dying = (after: number): EtcdObjects => {
    let left = after;
    return small(new Proxy(client, {
        get: (target, name) => (name !== 'commit' ? Reflect.get(target, name).bind(target) as unknown : async (...args: Parameters<EtcdClient['commit']>) => {
          if (left === 0) throw new Error('died');
          left -= 1;
          return target.commit(...args);
        }),
      }));
  };

  it('is written in parts, read as one, and replaced: every agent has the old or the new one at any moment', async () => {
    const [one, other, few] = [large(0), large(1_000), ['10.255.0.1']];
    await write(set('s', ['10.99.0.1'], { labels: { a: 'b' } }));
    const agent = await follow();
    expect(await write(set('s', one, { labels: { a: 'b' } }))).toEqual(['configured']);
    expect((await keys()).filter((key) => key.includes('@'))).toHaveLength(3);
    const { objects: [found], refused: bad } = await objects.list(['AddressSet'], never);
    expect(bad).toEqual([]);
    expect(found?.object).toEqual({ kind: 'AddressSet', metadata: { name: 's', labels: { a: 'b' } }, addresses: one });
    expect(await write(set('s', one.toReversed(), { labels: { a: 'b' } }))).toEqual(['unchanged']);
    expect(await write(set('s', other))).toEqual(['configured']);
    expect((await keys()).filter((key) => key.includes('@'))).toHaveLength(3);
    expect(await write(set('s', few))).toEqual(['configured']);
    await agent.stop();
    expect(agent.seen).toEqual([shape(['10.99.0.1']), shape(one), shape(other), shape(few)]);
  });

  it('of half a million addresses goes into etcd as it is', async () => {
    const addresses = large(0, 500_000);
    expect(await operations(set('s', addresses))).toEqual(['created']);
    expect(await keys()).toHaveLength(4);
    expect(await operations(set('s', addresses))).toEqual(['unchanged']);
  });

  it('that a write was cut off of stays as it was, whenever; the next one takes up what is there, and nothing is left over', async () => {
    const standing = ['10.99.0.1'];
    const next = large(0);
    for (let after = 0; after < 5; after += 1) {
      await server.etcd(['del', '--prefix', '/dfw/']);
      await write(set('s', standing));
      // A part that somebody put beside it by hand.
      await client.commit([], [{ key: '/dfw/v1/addresssets/s@mine', value: codec.writeSet({ kind: 'AddressSet', metadata: { name: 's', labels: {} }, addresses: ['10.99.0.2'] }) }], never);
      const agent = await follow();
      const { objects: [read] } = await objects.list(['AddressSet'], never);
      expect(read?.object).toMatchObject({ addresses: ['10.99.0.1', '10.99.0.2'] });
      await expect(dying(after).apply(made(set('s', next)), never)).rejects.toThrow('died');
      const { objects: [found] } = await objects.list(['AddressSet'], never);
      expect(found?.object).toMatchObject({ addresses: ['10.99.0.1', '10.99.0.2'] });
      expect(await write(set('s', next))).toEqual(['configured']);
      expect(await keys()).toHaveLength(4);
      await agent.stop();
      expect(agent.seen).toEqual([shape(['10.99.0.1', '10.99.0.2']), shape(next)]);
    }
  });

  it('is created whole, is not written over what somebody changed meanwhile, and is deleted with all its parts', async () => {
    const agent = await follow();
    await expect(dying(2).apply(made(set('s', large(0))), never)).rejects.toThrow('died');
    const hasty = small(new Proxy(client, {
        get: (target, name) => (name !== 'commit' ? Reflect.get(target, name).bind(target) as unknown : async (...args: Parameters<EtcdClient['commit']>) => {
          if (args[1].some(({ key }) => key.endsWith('/s'))) await write(set('s', ['10.1.1.1']));
          return target.commit(...args);
        }),
      }));
    await expect(hasty.apply(made(set('s', large(0))), never)).rejects.toEqual(refused('E_CONFLICT', 'by somebody else'));
    expect((await objects.list(['AddressSet'], never)).objects[0]?.object).toMatchObject({ addresses: ['10.1.1.1'] });
    expect(await write(set('s', large(0)), set('t', ['10.0.0.1']))).toEqual(['configured', 'created']);
    await objects.delete([{ kind: 'AddressSet', name: 's' }], never);
    expect(await keys()).toEqual(['/dfw/v1/addresssets/t']);
    await agent.stop();
    expect(agent.seen.filter((each, index) => each !== agent.seen[index - 1])).toEqual(['none', shape(['10.1.1.1']), shape(large(0)), 'none']);
  });
});

describe('agentctl --etcd', () => {
  let directory: string;
  let config: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dfwt-ctl-'));
    suite.defer('files', () => rm(directory, { recursive: true, force: true }));
    config = join(directory, 'etcd.yaml');
    await writeFile(config, JSON.stringify({ endpoints: server.endpoints }));
  });
  const run = async (args: readonly string[], input?: unknown, env: Readonly<Record<string, string>> = {}): Promise<{ code: number; stdout: string; stderr: string }> =>
    command(fileURLToPath(new URL('../../bin/agentctl', import.meta.url)), args, { env, ...(input === undefined ? {} : { input: JSON.stringify(input) }) });

  it('applies, shows, compares and deletes', async () => {
    expect(await run(['apply', '-f', '-', '--etcd', config], set('clients', ['10.0.0.1']))).toEqual({ code: 0, stdout: 'AddressSet/clients created\n', stderr: '' });
    expect((await run(['diff', '-f', '-', '--etcd', config], set('clients', ['10.0.0.2']))).stdout).toBe('AddressSet/clients configured\n');
    expect((await run(['apply', '--dry-run', '-f', '-'], set('clients', ['10.0.0.1']), { DFW_ETCD: config })).stdout).toBe('AddressSet/clients unchanged (dry run)\n');
    const { stdout } = await run(['get', 'addrset', 'clients', '--etcd', config, '-o', 'json']);
    const manifest = JSON.parse(stdout) as { metadata: { resourceVersion: string } };
    expect(manifest).toMatchObject({ kind: 'AddressSet', metadata: { name: 'clients' }, spec: { addresses: ['10.0.0.1'] } });
    // Two managers with the same reading: the second is told.
    expect((await run(['apply', '-f', '-', '--etcd', config], { ...manifest, spec: { addresses: ['10.0.0.3'] } })).code).toBe(0);
    const late = await run(['apply', '-f', '-', '--etcd', config], { ...manifest, spec: { addresses: ['10.0.0.4'] } });
    expect(late.code).toBe(1);
    expect(late.stderr).toMatch(/^agentctl: AddressSet\/clients: was changed by somebody else: it is at revision \d+, the document is of \d+/);
    expect((await run(['get', 'addrset', '--etcd', config])).stdout).toMatch(/clients +AddressSet +etcd\n/);
    expect((await run(['delete', 'addrset', 'clients', '--etcd', config])).stdout).toBe('AddressSet/clients deleted\n');
    expect((await run(['delete', 'addrset', 'clients', '--etcd', config])).code).toBe(4);
    expect((await run(['get', 'addrset', 'clients', '--etcd', config])).code).toBe(4);
  });

  it('works for one host, and takes the etcd of an agent.yaml', async () => {
    const agentYaml = join(directory, 'agent.yaml');
    await writeFile(agentYaml, JSON.stringify({ sources: [{ type: 'file', path: '/x' }, { type: 'etcd', endpoints: server.endpoints }] }));
    expect((await run(['apply', '-f', '-', '--etcd', agentYaml, '--host', 'host-7'], pod('web'))).stdout).toBe('Pod/shop/web created\n');
    expect(await keys()).toEqual(['/dfw/v1/hosts/host-7/objects/Pod/shop/web']);
    expect((await run(['delete', 'pod', 'web', '-n', 'shop', '--etcd', agentYaml])).code).toBe(4);
  });

  it('says what is wrong: a bad document, a bad file, no etcd, --host alone', async () => {
    expect((await run(['apply', '-f', '-', '--etcd', config], set('clients', ['10.0.0.300']))).code).toBe(1);
    expect(await keys()).toEqual([]);
    const bad = join(directory, 'bad.yaml');
    await writeFile(bad, JSON.stringify({ endpoints: ['nowhere'] }));
    expect((await run(['get', 'pods', '--etcd', bad])).stderr).toContain('endpoints[0]: must be http://HOST:PORT');
    await writeFile(bad, JSON.stringify({ endpoints: ['http://127.0.0.1:9'] }));
    const away = await run(['get', 'pods', '--etcd', bad]);
    expect([away.code, away.stderr]).toEqual([3, expect.stringContaining('ECONNREFUSED')]);
    expect((await run(['get', 'pods', '--host', 'x'])).code).toBe(2);
    await server.put('/dfw/v1/objects/Pod/shop/bad', 'junk');
    const listed = await run(['get', 'pods', '--etcd', config]);
    expect(listed.stderr).toContain('/dfw/v1/objects/Pod/shop/bad');
  });
});
