import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InlineParser } from '../../../src/sources/file/file-parser.js';
import { ThreadParser } from '../../../src/sources/file/thread-parser.js';

const repository = resolve(import.meta.dirname, '../../..');

describe('parsing in a worker', () => {
  let directory: string;
  let worker: URL;
  const parsers: ThreadParser[] = [];

  // The worker is plain JavaScript: compiled here, so that the test does not depend on an earlier build.
  beforeAll(async () => {
    await mkdir(join(repository, '.cache'), { recursive: true });
    directory = await mkdtemp(join(repository, '.cache', 'worker-'));
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({
      extends: join(repository, 'tsconfig.json'),
      compilerOptions: { rootDir: join(repository, 'src'), outDir: join(directory, 'out'), sourceMap: false, typeRoots: [join(repository, 'node_modules/@types')] },
      files: [join(repository, 'src/sources/file/parse-worker.ts')],
      include: [],
    }));
    await promisify(execFile)(join(repository, 'node_modules/.bin/tsc'), ['-p', directory]);
    worker = pathToFileURL(join(directory, 'out/sources/file/parse-worker.js'));
  });
  afterEach(async () => {
    await Promise.all(parsers.splice(0).map(async (parser) => parser.close()));
  });
  afterAll(async () => rm(directory, { recursive: true, force: true }));

  function parser(options: ConstructorParameters<typeof ThreadParser>[0] = {}): ThreadParser {
    const made = new ThreadParser({ worker, inlineBytes: 0, ...options });
    parsers.push(made);
    return made;
  }
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const addresses = (count: number): string[] => Array.from({ length: count }, (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
  const yamlSet = (count: number, name = 'big'): string => `kind: AddressSet\nmetadata: {name: ${name}}\nspec:\n  addresses:\n${addresses(count).map((each) => `  - ${each}\n`).join('')}`;

  it('gives what parsing here gives: objects, manifests, problems, warnings', async () => {
    const threaded = parser();
    const inline = new InlineParser();
    const files: [string, string][] = [
      ['a.yaml', [yamlSet(3), 'kind: Nonsense\n', 'kind: [\n', yamlSet(5_000, 'b')].join('---\n')],
      ['many.json', JSON.stringify({ kind: 'List', items: Array.from({ length: 450 }, (_, index) => ({ kind: 'AddressSet', metadata: { name: `s${index}` }, spec: { addresses: [] } })) })],
      ['r.rules', `ruleset x {\nrule 1 in protocol tcp strict from any to addrset s drop;\n}\naddrset s {\n${addresses(4_000).map((each) => `ip ${each},\n`).join('')}}\n`],
      ['bad.rules', 'nonsense\n'],
      ['empty.yaml', ''],
    ];
    for (const [name, text] of files) expect(await threaded.parse(name, bytes(text))).toEqual(await inline.parse(name, bytes(text)));
  });

  it('takes files at the same time, in turns', async () => {
    const threaded = parser();
    const results = await Promise.all([1, 2, 3].map(async (count) => threaded.parse('a.yaml', bytes(yamlSet(count)))));
    expect(results.map(({ documents }) => documents[0]?.objects[0]?.object)).toMatchObject([1, 2, 3].map((count) => ({ addresses: addresses(count) })));
  });

  it('leaves the event loop free while a big file is parsed', async () => {
    const threaded = parser();
    const text = bytes(yamlSet(200_000));
    let turns = 0;
    const counter = setInterval(() => turns++, 5);
    const parsed = await threaded.parse('big.yaml', text);
    clearInterval(counter);
    expect(parsed.documents[0]?.objects[0]?.object).toMatchObject({ addresses: { length: 200_000 } });
    expect(turns).toBeGreaterThan(5);
  });

  it('keeps small files in this thread', async () => {
    const inline = parser({ inlineBytes: 1_000, worker: new URL('file:///nowhere/worker.js') });
    expect((await inline.parse('a.yaml', bytes(yamlSet(3)))).documents[0]?.problems).toEqual([]);
    await expect(inline.parse('a.yaml', bytes(yamlSet(300)))).rejects.toMatchObject({ code: 'E_INTERNAL', retryable: true });
  });

  it('refuses what is not UTF-8 in either thread', async () => {
    for (const inlineBytes of [0, 1_000]) await expect(parser({ inlineBytes }).parse('a.yaml', Uint8Array.of(0xff, 0xfe))).rejects.toMatchObject({ code: 'E_PARSE' });
  });

  it('ends a worker that is idle, and starts another when there is work', async () => {
    const counted = join(directory, 'counted.mjs');
    // Says in which thread it runs; the parse lasts longer than the idle time.
    await writeFile(counted, `import { parentPort, threadId } from 'node:worker_threads';
      parentPort.on('message', ({ id, ask }) => setTimeout(() => parentPort.postMessage(ask === 'parse'
        ? { id, tell: 'parsed', batches: 1, warnings: [{ path: '', message: String(threadId) }] } : { id, tell: 'batch', documents: [], texts: [] }), 150));`);
    const threaded = parser({ worker: pathToFileURL(counted), idleMs: 50 });
    const thread = async (): Promise<string | undefined> => (await threaded.parse('a.yaml', bytes('a: 1'))).warnings[0]?.message;
    const [first, second] = await Promise.all([thread(), thread()]);
    expect(second).toBe(first);
    // A busy machine takes its time to end it.
    let later = first;
    for (let looks = 0; looks < 20 && later === first; looks += 1) {
      await setTimeout(300);
      later = await thread();
    }
    expect(later).not.toBe(first);
  });

  it('gives object and manifest the same list where its addresses are canonical', async () => {
    for (const threaded of [parser(), new InlineParser()]) {
      const [set] = (await threaded.parse('a.yaml', bytes(yamlSet(500)))).documents[0]?.objects ?? [];
      const manifest = set?.manifest as { spec: { addresses: string[] } };
      expect(set?.object.kind === 'AddressSet' && set.object.addresses).toBe(manifest.spec.addresses);
      const [other] = (await threaded.parse('b.yaml', bytes('kind: AddressSet\nmetadata: {name: a}\nspec: {addresses: ["fd00:0::1"]}\n'))).documents[0]?.objects ?? [];
      expect(other?.object).toMatchObject({ addresses: ['fd00::1'] });
      expect(other?.manifest).toMatchObject({ spec: { addresses: ['fd00:0::1'] } });
    }
  });

  it('cancels what is under way when closed', async () => {
    const threaded = parser();
    const waiting = threaded.parse('a.yaml', bytes(yamlSet(100_000)));
    const second = threaded.parse('b.yaml', bytes(yamlSet(10)));
    const outcome = Promise.allSettled([waiting, second]);
    await threaded.close();
    expect(await outcome).toMatchObject([{ status: 'rejected', reason: { code: 'E_CANCELLED' } }, { status: 'rejected', reason: { code: 'E_CANCELLED' } }]);
  });
});
