import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InlineListReader, type ListReader } from '../../../../src/sources/kubernetes/list-reader.js';
import { ThreadListReader } from '../../../../src/sources/kubernetes/thread-list-reader.js';
import type { TrimmedItem } from '../../../../src/sources/kubernetes/trimmed-item.js';

const repository = resolve(import.meta.dirname, '../../../..');
const PODS = { written: 'Pod', own: false, apiVersion: 'v1' };

async function* inChunks(text: string | Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  for (let at = 0; at < bytes.length; at += size) {
    await sleep(0);
    yield bytes.subarray(at, at + size);
  }
}

async function readAll(reader: ListReader, body: AsyncIterable<Uint8Array>, kind = PODS, packed = false): Promise<{ items: TrimmedItem[]; resourceVersion: string; continueToken: string }> {
  const items: TrimmedItem[] = [];
  const pages = reader.read({ bytes: body, packed }, kind);
  for (;;) {
    const step = await pages.next();
    if (step.done === true) return { items, ...step.value };
    items.push(...step.value);
  }
}

const pod = (index: number): object => ({ metadata: { name: `p${index}`, namespace: 'x', resourceVersion: String(index), labels: { app: 'ä' }, managedFields: [{}] }, spec: { nodeName: 'n', volumes: [{}] }, status: { podIP: '10.0.0.1' } });
const list = (count: number): string => JSON.stringify({ kind: 'PodList', metadata: { resourceVersion: '7', continue: 'c' }, items: [...Array.from({ length: count }, (_, index) => pod(index)), { metadata: {} }, 5] });

describe('list readers', () => {
  let directory: string;
  let worker: URL;
  const readers: ListReader[] = [];
  const threaded = (): ThreadListReader => {
    const reader = new ThreadListReader({ module: worker });
    readers.push(reader);
    return reader;
  };

  // The worker is plain JavaScript: compiled here, so that the test does not depend on an earlier build.
  beforeAll(async () => {
    await mkdir(join(repository, '.cache'), { recursive: true });
    directory = await mkdtemp(join(repository, '.cache', 'worker-'));
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({
      extends: join(repository, 'tsconfig.json'),
      compilerOptions: { rootDir: join(repository, 'src'), outDir: join(directory, 'out'), sourceMap: false, typeRoots: [join(repository, 'node_modules/@types')] },
      files: [join(repository, 'src/sources/kubernetes/list-worker.ts')],
      include: [],
    }));
    await promisify(execFile)(join(repository, 'node_modules/.bin/tsc'), ['-p', directory]);
    worker = pathToFileURL(join(directory, 'out/sources/kubernetes/list-worker.js'));
  });
  afterEach(async () => {
    for (const reader of readers.splice(0)) await reader.close();
  });
  afterAll(async () => rm(directory, { recursive: true, force: true }));

  it('give the same, in this thread and in a worker, whatever the chunks are; several lists at a time', async () => {
    const text = list(300);
    const inline = await readAll(new InlineListReader(), inChunks(text, 1_000));
    expect(inline).toMatchObject({ resourceVersion: '7', continueToken: 'c' });
    expect(inline.items).toHaveLength(300);
    expect(inline.items[5]).toEqual({ name: 'p5', namespace: 'x', version: '5', manifest: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p5', namespace: 'x', labels: { app: 'ä' } }, spec: { nodeName: 'n' }, status: { podIP: '10.0.0.1' } } });
    const reader = threaded();
    const answers = await Promise.all([997, 50_000, 10_000_000].map(async (size) => readAll(reader, inChunks(text, size))));
    for (const answer of answers) expect(answer).toEqual(inline);
    for (const size of [13, 1_000_000]) for (const each of [reader, new InlineListReader()]) expect(await readAll(each, inChunks(gzipSync(text), size), PODS, true)).toEqual(inline);
  });

  it('refuse what is packed and cut off, or not packed at all', async () => {
    for (const reader of [new InlineListReader(), threaded()]) {
      for (const bytes of [gzipSync(list(300)).subarray(0, -20), Buffer.from(list(3))]) {
        await expect(readAll(reader, inChunks(bytes, 500), PODS, true)).rejects.toThrow();
        expect((await readAll(reader, inChunks(gzipSync(list(3)), 100), PODS, true)).items).toHaveLength(3);
      }
    }
  });

  it('tell what status needs of our own kinds', async () => {
    const text = JSON.stringify({ metadata: { resourceVersion: '7' }, items: [{ metadata: { name: 's', uid: 'u', generation: 3 }, spec: { addresses: [] }, status: { conditions: [{ type: 'Accepted' }] } }] });
    const { items } = await readAll(threaded(), inChunks(text, 50), { written: 'AddressSet', own: true, apiVersion: 'dfw.dev/v1' });
    expect(items[0]?.told).toEqual({ uid: 'u', generation: 3, conditions: [{ type: 'Accepted' }] });
  });

  it('refuse what is cut off or no list, and go on with the next', async () => {
    for (const reader of [new InlineListReader(), threaded()]) {
      await expect(readAll(reader, inChunks(list(20).slice(0, -3), 100))).rejects.toMatchObject({ code: 'E_PARSE' });
      await expect(readAll(reader, inChunks('{"metadata":{},"items":[{"a":b}]}', 100))).rejects.toMatchObject({ code: 'E_PARSE' });
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield* inChunks('{"metadata":{},"items":[', 100);
        throw new Error('connection lost');
      }
      await expect(readAll(reader, broken())).rejects.toThrow('connection lost');
      expect((await readAll(reader, inChunks(list(3), 100))).items).toHaveLength(3);
    }
  });

  it('give up when they are closed', async () => {
    const reader = threaded();
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield* inChunks('{"metadata":{},"items":[', 100);
      for (;;) yield* inChunks(' ', 1);
    }
    const failure = readAll(reader, endless()).catch((error: unknown) => error);
    await sleep(300);
    await reader.close();
    expect(await failure).toMatchObject({ code: 'E_CANCELLED' });
    await expect(readAll(reader, inChunks(list(1), 100))).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });
});
