import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../../src/platform/logger.js';
import { InlineParser } from '../../../src/sources/file/file-parser.js';
import { FileSource } from '../../../src/sources/file/file-source.js';
import { LocalStore } from '../../../src/sources/file/local-store.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const set = (name: string, addresses: string[] = ['10.0.0.1']): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name }, spec: { addresses } });
const pod = (name: string, namespace?: string): unknown => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, ...(namespace === undefined ? {} : { namespace }) } });

describe('the local store', () => {
  let base: string;
  let directory: string;
  let store: LocalStore;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'dfw-store-'));
    directory = join(base, 'state', 'objects');
    store = new LocalStore(directory);
  });
  afterEach(async () => rm(base, { recursive: true, force: true }));

  async function read(): Promise<FileSource> {
    const source = new FileSource({ path: directory, logger: silent, parser: new InlineParser() });
    await source.start(new AbortController().signal);
    await source.stop();
    expect(source.snapshot().errors).toEqual([]);
    return source;
  }

  it('keeps names apart that differ in / and _ only', async () => {
    for (const name of ['a/b', 'a_b', 'Group:a/b#1']) await store.put(set(name, [`10.0.0.${name.length}`]));
    expect([...(await read()).snapshot().objects.keys()].sort()).toEqual(['AddressSet/Group:a/b#1', 'AddressSet/a/b', 'AddressSet/a_b']);
  });

  it('stores what a file source reads, one file each', async () => {
    expect(await store.put(set('ip-vm-33'))).toBe('created');
    expect(await store.put(set('ip-vm-33'))).toBe('unchanged');
    expect(await store.put(set('ip-vm-33', ['10.0.0.2']))).toBe('configured');
    expect(await store.put(pod('redis'))).toBe('created');
    expect(await store.put(pod('redis', 'shop'))).toBe('created');
    expect((await readdir(directory)).sort()).toEqual(['AddressSet_ip-vm-33.yaml', 'Pod_default_redis.yaml', 'Pod_shop_redis.yaml']);
    const { objects, manifests } = (await read()).snapshot();
    expect([...objects.keys()]).toEqual(['AddressSet/ip-vm-33', 'Pod/default/redis', 'Pod/shop/redis']);
    expect(manifests.get('AddressSet/ip-vm-33')).toEqual(set('ip-vm-33', ['10.0.0.2']));
    expect(await readFile(join(directory, 'AddressSet_ip-vm-33.yaml'), 'utf8')).toContain('    - 10.0.0.2\n');
  });

  it('removes', async () => {
    expect(await store.remove('AddressSet', undefined, 'a')).toBe(false);
    await store.put(set('a'));
    await store.put(pod('p', 'n'));
    expect(await store.remove('AddressSet', undefined, 'a')).toBe(true);
    expect(await store.remove('AddressSet', undefined, 'a')).toBe(false);
    expect(await store.remove('Pod', 'n', 'p')).toBe(true);
    expect(await readdir(directory)).toEqual([]);
  });

  it('takes the longest names, and cannot be led out of its directory', async () => {
    const long = `${'a'.repeat(63)}.`.repeat(3) + 'a'.repeat(61);
    await store.put(pod(long, 'n'));
    await store.put(pod(`${long.slice(0, -1)}b`, 'n'));
    expect([...(await read()).snapshot().objects.keys()]).toHaveLength(2);
    expect(await store.remove('Pod', 'n', long)).toBe(true);
    expect(await store.remove('../../x', undefined, '../../etc/passwd')).toBe(false);
  });

  it('refuses what is invalid, naming object and path, and stores nothing', async () => {
    await expect(store.put(set('a', ['10.0.0.5/24']))).rejects.toMatchObject({ code: 'E_INVALID', object: 'AddressSet/a', path: 'spec.addresses[0]' });
    await expect(store.put({ kind: 'X' })).rejects.toMatchObject({ code: 'E_INVALID', path: 'kind' });
    expect(() => store.validate(set('a"b'))).toThrow('may hold only');
    await expect(readdir(directory)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('stores rules text as manifests', async () => {
    const text = 'ruleset x {\nrule 1 in protocol tcp from addrset a to any port 22 drop;\n}\naddrset a {\nip 10.0.0.1,\n}\n';
    for (const { manifest } of store.validateRulesText(text, 'x.rules')) await store.put(manifest);
    expect((await read()).snapshot().objects.get('RuleTable/x')).toEqual(store.validateRulesText(text, 'x.rules')[0]?.object);
    expect(() => store.validateRulesText('ruleset x {\nnonsense\n}\n', 'x.rules')).toThrow(expect.objectContaining({ code: 'E_PARSE', object: 'x.rules', path: 'line 2' }));
  });

  it('keeps apart what two API groups call by one name', async () => {
    const spec = { podSelector: {} };
    expect(await store.put({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec })).toBe('created');
    expect(await store.put({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec: { priority: 5, appliedTo: [spec] } })).toBe('created');
    expect([...(await read()).snapshot().objects.keys()]).toEqual(['AntreaNetworkPolicy/default/p', 'NetworkPolicy/default/p']);
    await expect(store.put({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec })).rejects.toMatchObject({ object: 'AntreaNetworkPolicy/default/p', path: 'spec.podSelector' });
    expect(await store.remove('AntreaNetworkPolicy', 'default', 'p')).toBe(true);
    expect([...(await read()).snapshot().objects.keys()]).toEqual(['NetworkPolicy/default/p']);
  });

  it('writes big objects as JSON', async () => {
    const addresses = Array.from({ length: 20_000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
    await store.put(set('big', addresses));
    expect((await readFile(join(directory, 'AddressSet_big.yaml'), 'utf8')).startsWith('{')).toBe(true);
    expect((await read()).snapshot().objects.get('AddressSet/big')).toMatchObject({ addresses });
  });

  it('lets concurrent writers take turns', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, async (_, index) => store.put(set('a', [`10.0.0.${index}`]))));
    expect(results.filter((result) => result === 'created')).toHaveLength(1);
    expect((await read()).snapshot().objects.get('AddressSet/a')).toMatchObject({ addresses: ['10.0.0.19'] });
    expect(await readdir(directory)).toEqual(['AddressSet_a.yaml']);
  });
});
