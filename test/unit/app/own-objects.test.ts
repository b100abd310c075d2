import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OWN_SOURCE, OwnObjects } from '../../../src/app/own-objects.js';
import type { Logger } from '../../../src/platform/logger.js';
import { InlineParser } from '../../../src/sources/file/file-parser.js';
import { FileSource } from '../../../src/sources/file/file-source.js';
import { LocalStore } from '../../../src/sources/file/local-store.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const POLICIES = [
  { document: { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec: { podSelector: {} } } },
  { document: { apiVersion: 'crd.antrea.io/v1beta1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec: { priority: 5, appliedTo: [{ podSelector: {} }] } } },
];

describe('objects that users gave the agent', () => {
  let base: string;
  let own: OwnObjects;
  let source: FileSource;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'dfw-own-'));
    const store = new LocalStore(join(base, 'objects'));
    source = new FileSource({ path: join(base, 'objects'), logger: silent, parser: new InlineParser() });
    await source.start(new AbortController().signal);
    own = new OwnObjects({ store, sources: [{ name: OWN_SOURCE, source }], sourcesRead: Promise.resolve(), reread: async () => source.sync(new AbortController().signal) });
    await own.apply(POLICIES, false);
  });
  afterEach(async () => {
    await source.stop();
    await rm(base, { recursive: true, force: true });
  });
  const keys = (): string[] => [...source.snapshot().objects.keys()];

  it('are told apart by API group', () => {
    expect(keys()).toEqual(['AntreaNetworkPolicy/default/p', 'NetworkPolicy/default/p']);
  });

  it('are removed by a name that means one of them', async () => {
    await expect(own.remove([{ kind: 'netpol', name: 'p' }])).rejects.toMatchObject({ code: 'E_USAGE', message: 'netpol "p" is ambiguous; say NetworkPolicy.networking.k8s.io or AntreaNetworkPolicy' });
    expect(await own.remove([{ kind: 'annp', name: 'p' }])).toEqual([{ object: 'AntreaNetworkPolicy/default/p', operation: 'deleted' }]);
    expect(keys()).toEqual(['NetworkPolicy/default/p']);
    await expect(own.remove([{ kind: 'annp', name: 'p' }])).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    expect(await own.remove([{ kind: 'netpol', namespace: 'default', name: 'p' }])).toEqual([{ object: 'NetworkPolicy/default/p', operation: 'deleted' }]);
    expect(keys()).toEqual([]);
  });
});
