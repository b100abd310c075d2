import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../../src/platform/logger.js';
import { InlineParser, type FileParser } from '../../../src/sources/file/file-parser.js';
import { FileSource, type FileSourceOptions } from '../../../src/sources/file/file-source.js';

class Lines implements Logger {
  readonly lines: { event: string; keys: Readonly<Record<string, unknown>> }[] = [];
  #add(event: string, keys: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ event, keys });
  }
  error = this.#add.bind(this);
  warn = this.#add.bind(this);
  info = this.#add.bind(this);
  debug = this.#add.bind(this);
  child(): Logger {
    return this;
  }
  of(event: string): Readonly<Record<string, unknown>>[] {
    return this.lines.filter((line) => line.event === event).map(({ keys }) => keys);
  }
}

/** Counts what is parsed. */
class CountingParser implements FileParser {
  readonly names: string[] = [];
  readonly #inner = new InlineParser();
  async parse(name: string, bytes: Uint8Array) {
    this.names.push(name);
    return this.#inner.parse(name, bytes);
  }
  async close(): Promise<void> {
    return this.#inner.close();
  }
}

const set = (name: string, ...addresses: string[]): string => `kind: AddressSet\nmetadata: {name: ${name}}\nspec: {addresses: [${addresses.map((each) => `"${each}"`).join(', ')}]}\n`;
const NEVER = 3_600_000;

describe('the file source', () => {
  let base: string;
  let root: string;
  let log: Lines;
  let parser: CountingParser;
  const sources: FileSource[] = [];
  const abort = new AbortController();

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'dfw-file-source-'));
    root = join(base, 'manifests');
    log = new Lines();
    parser = new CountingParser();
  });
  afterEach(async () => {
    await Promise.all(sources.splice(0).map(async (source) => source.stop()));
    await rm(base, { recursive: true, force: true });
  });

  /** Without the periodic rescan unless told, so that a test of the watches cannot pass by it. */
  async function start(options: Partial<FileSourceOptions> = {}): Promise<FileSource> {
    const source = new FileSource({ path: root, logger: log, parser, rescanMs: NEVER, ...options });
    sources.push(source);
    await source.start(abort.signal);
    return source;
  }
  const keys = (source: FileSource): string[] => [...source.snapshot().objects.keys()];
  const addresses = (source: FileSource, name: string): unknown => {
    const object = source.snapshot().objects.get(`AddressSet/${name}`);
    return object?.kind === 'AddressSet' ? object.addresses : undefined;
  };
  /** Waits for a change that the watches must bring. */
  async function until(source: FileSource, holds: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`not seen; ${JSON.stringify({ keys: keys(source), errors: source.snapshot().errors, log: log.lines })}`)), 8_000);
      const check = (): void => {
        if (!holds()) return;
        clearTimeout(timer);
        unsubscribe();
        resolve();
      };
      const unsubscribe = source.onChange(check);
      check();
    });
  }

  it('reads all kinds of files, sorted, with their manifests', async () => {
    await mkdir(join(root, 'sub'), { recursive: true });
    await writeFile(join(root, 'b.yaml'), `${set('b', '10.0.0.1')}---\n${set('c')}`);
    await writeFile(join(root, 'a.json'), JSON.stringify({ kind: 'AddressSet', metadata: { name: 'a', annotations: { by: 'me' } }, spec: { addresses: ['FD00::1'] } }));
    await writeFile(join(root, 'sub', 'd.yml'), set('d'));
    await writeFile(join(root, 'r.rules'), 'ruleset x {\nrule 1 in protocol tcp strict from any to addrset s drop;\n}\naddrset s {\nip 10.0.0.1,\n}\n');
    for (const ignored of ['.hidden.yaml', 'b.yaml~', '.b.yaml.swp', '#b.yaml#', '4913', 'README.md', 'b.yaml.bak']) await writeFile(join(root, ignored), 'not: [a manifest');
    const source = await start();
    expect(source.synced).toBe(true);
    const { objects, manifests, errors, revision } = source.snapshot();
    expect([...objects.keys()]).toEqual(['AddressSet/a', 'AddressSet/b', 'AddressSet/c', 'AddressSet/d', 'RuleTable/x']);
    expect(errors).toEqual([]);
    expect(revision).toBe(1);
    expect(objects.get('AddressSet/a')).toMatchObject({ addresses: ['fd00::1'] });
    expect(manifests.get('AddressSet/a')).toEqual({ kind: 'AddressSet', metadata: { name: 'a', annotations: { by: 'me' } }, spec: { addresses: ['FD00::1'] } });
    expect(manifests.get('RuleTable/x')).toMatchObject({ apiVersion: 'dfw.dev/v1', kind: 'RuleTable', spec: { rules: [{ id: 1, action: 'drop' }] } });
    expect(log.of('source.warning')).toMatchObject([{ object: 'manifests/r.rules', path: 'line 2' }]);
  });

  it('notices new, changed, replaced and deleted files, and parses only those', async () => {
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('a', '10.0.0.1'));
    await writeFile(join(root, 'b.yaml'), set('b'));
    const source = await start();
    await writeFile(join(root, 'c.yaml'), set('c'));
    await until(source, () => keys(source).includes('AddressSet/c'));
    await writeFile(join(root, 'a.yaml'), set('a', '10.0.0.2'));
    await until(source, () => String(addresses(source, 'a')) === '10.0.0.2');
    await writeFile(join(root, '.a.yaml.tmp'), set('a', '10.0.0.3'));
    await rename(join(root, '.a.yaml.tmp'), join(root, 'a.yaml'));
    await until(source, () => String(addresses(source, 'a')) === '10.0.0.3');
    await unlink(join(root, 'b.yaml'));
    await until(source, () => !keys(source).includes('AddressSet/b'));
    expect(keys(source)).toEqual(['AddressSet/a', 'AddressSet/c']);
    expect(parser.names.filter((name) => name === 'b.yaml')).toHaveLength(1);
    expect(source.snapshot().errors).toEqual([]);
  });

  it('notices subdirectories that come and go', async () => {
    await mkdir(root);
    const source = await start();
    await mkdir(join(root, 'new', 'deep'), { recursive: true });
    await writeFile(join(root, 'new', 'deep', 'a.yaml'), set('a'));
    await until(source, () => keys(source).includes('AddressSet/a'));
    await writeFile(join(root, 'new', 'deep', 'b.yaml'), set('b'));
    await until(source, () => keys(source).includes('AddressSet/b'));
    await rm(join(root, 'new'), { recursive: true });
    await until(source, () => keys(source).length === 0);
    expect(source.snapshot().errors).toEqual([]);
  });

  it('follows a ConfigMap volume through its swap of ..data', async () => {
    await mkdir(join(root, '..v1'), { recursive: true });
    await writeFile(join(root, '..v1', 'a.yaml'), set('a', '10.0.0.1'));
    await symlink('..v1', join(root, '..data'));
    await symlink('..data/a.yaml', join(root, 'a.yaml'));
    const source = await start();
    expect(addresses(source, 'a')).toEqual(['10.0.0.1']);
    await mkdir(join(root, '..v2'));
    await writeFile(join(root, '..v2', 'a.yaml'), set('a', '10.0.0.2'));
    await symlink('..v2', join(root, '..data_tmp'));
    await rename(join(root, '..data_tmp'), join(root, '..data'));
    await until(source, () => String(addresses(source, 'a')) === '10.0.0.2');
    await rm(join(root, '..v1'), { recursive: true });
    await source.sync(abort.signal);
    expect(source.snapshot().errors).toEqual([]);
  });

  it('keeps the last good version of what is refused, reports it, and forgets the report when it is mended', async () => {
    await mkdir(root);
    await writeFile(join(root, 'web.yaml'), `${set('a', '10.0.0.1')}---\n${set('b', '10.0.0.1')}`);
    const source = await start();
    await writeFile(join(root, 'web.yaml'), `${set('a', '10.0.0.2')}---\n${set('b', '10.0.0.5/24')}`);
    await until(source, () => source.snapshot().errors.length > 0);
    expect(source.snapshot().errors).toEqual([
      { object: 'manifests/web.yaml#2', path: 'spec.addresses[0]', message: '"10.0.0.5/24" has host bits set; write 10.0.0.0/24 for the network or 10.0.0.5 for the host alone' },
    ]);
    expect([addresses(source, 'a'), addresses(source, 'b')]).toEqual([['10.0.0.2'], ['10.0.0.1']]);
    expect(log.of('source.refused')).toMatchObject([{ object: 'manifests/web.yaml#2', code: 'E_INVALID', path: 'spec.addresses[0]' }]);
    await writeFile(join(root, 'web.yaml'), 'kind: [');
    await until(source, () => source.snapshot().errors[0]?.object === 'manifests/web.yaml#1');
    expect(keys(source)).toEqual(['AddressSet/a']);
    await writeFile(join(root, 'web.yaml'), set('b', '10.0.0.3'));
    await until(source, () => source.snapshot().errors.length === 0);
    expect(keys(source)).toEqual(['AddressSet/b']);
  });

  it('says who defined an object first', async () => {
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('x', '10.0.0.1'));
    await writeFile(join(root, 'b.yaml'), set('x', '10.0.0.2'));
    const source = await start();
    expect(addresses(source, 'x')).toEqual(['10.0.0.1']);
    expect(source.snapshot().errors).toEqual([{ object: 'manifests/b.yaml#1', path: 'metadata.name', message: 'AddressSet/x is already defined by manifests/a.yaml#1' }]);
    expect(log.of('source.refused')).toMatchObject([{ code: 'E_CONFLICT' }]);
  });

  it('starts without its directory, and picks it up', async () => {
    const source = await start();
    expect(source.synced).toBe(true);
    expect(source.snapshot().errors).toMatchObject([{ object: 'manifests', message: `${root} does not exist` }]);
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('a'));
    await until(source, () => keys(source).includes('AddressSet/a'));
    expect(source.snapshot().errors).toEqual([]);
  });

  it('keeps everything in force while its directory is gone, and follows the one that comes back', async () => {
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('a'));
    const source = await start();
    await rename(root, join(base, 'elsewhere'));
    await until(source, () => source.snapshot().errors.length > 0);
    expect(keys(source)).toEqual(['AddressSet/a']);
    expect(source.snapshot().errors[0]?.message).toContain('stays in force');
    await mkdir(root);
    await until(source, () => keys(source).length === 0);
    await writeFile(join(root, 'b.yaml'), set('b'));
    await until(source, () => keys(source).includes('AddressSet/b'));
    expect(keys(source)).toEqual(['AddressSet/b']);
    expect(source.snapshot().errors).toEqual([]);
  });

  it('reads a single file, replaced, gone and back', async () => {
    await mkdir(root);
    const path = join(root, 'only.yaml');
    await writeFile(path, set('a'));
    await writeFile(join(root, 'other.yaml'), set('other'));
    const source = await start({ path });
    expect(keys(source)).toEqual(['AddressSet/a']);
    await writeFile(join(root, 'tmp'), set('b'));
    await rename(join(root, 'tmp'), path);
    await until(source, () => keys(source).includes('AddressSet/b'));
    await unlink(path);
    await until(source, () => source.snapshot().errors.length > 0);
    expect(keys(source)).toEqual(['AddressSet/b']);
    await writeFile(path, set('c'));
    await until(source, () => keys(source).includes('AddressSet/c'));
  });

  it('sync rereads at once, also two writes that leave the same time and size', async () => {
    await mkdir(root);
    const source = await start();
    const path = join(root, 'a.yaml');
    for (let round = 0; round < 50; round++) {
      await writeFile(path, set('a', `10.0.0.${10 + round}`));
      await source.sync(abort.signal);
      expect(addresses(source, 'a')).toEqual([`10.0.0.${10 + round}`]);
    }
  });

  it('sync changes nothing when nothing changed', async () => {
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('a'));
    const source = await start();
    const before = source.snapshot();
    let called = 0;
    source.onChange(() => called++);
    await source.sync(abort.signal);
    await sleep(100);
    await source.sync(abort.signal);
    expect(source.snapshot()).toBe(before);
    expect(called).toBe(0);
    expect(parser.names).toEqual(['a.yaml']);
  });

  it('does not take a file being rewritten for an empty one, but believes sync', async () => {
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('a'));
    const source = await start();
    await writeFile(join(root, 'a.yaml'), '');
    await sleep(200);
    expect(keys(source)).toEqual(['AddressSet/a']);
    await source.sync(abort.signal);
    expect(keys(source)).toEqual([]);
  });

  it('believes an empty file after a while', async () => {
    await mkdir(root);
    await writeFile(join(root, 'a.yaml'), set('a'));
    const source = await start();
    await writeFile(join(root, 'a.yaml'), '');
    await until(source, () => keys(source).length === 0);
    expect(source.snapshot().errors).toEqual([]);
  });

  it('rescans as a net', async () => {
    await mkdir(root);
    const target = join(base, 'target.yaml');
    await writeFile(target, set('a', '10.0.0.1'));
    await symlink(target, join(root, 'a.yaml'));
    const source = await start({ rescanMs: 50 });
    // Written through a link: no event in the watched directory.
    await writeFile(target, set('a', '10.0.0.2'));
    await until(source, () => String(addresses(source, 'a')) === '10.0.0.2');
    expect(keys(source)).toEqual(['AddressSet/a']);
  });

  it('reports what is no readable text and goes on', async () => {
    await mkdir(root);
    await writeFile(join(root, 'good.yaml'), set('a'));
    await writeFile(join(root, 'latin.yaml'), Buffer.from([0x61, 0xff, 0xfe]));
    await symlink('nowhere', join(root, 'link.yaml'));
    await mkdir(join(root, 'loop'));
    await symlink('..', join(root, 'loop', 'again'));
    const source = await start();
    expect(keys(source)).toEqual(['AddressSet/a']);
    expect(source.snapshot().errors).toEqual([
      { object: 'manifests/latin.yaml', path: '', message: 'the file is not UTF-8 text' },
      { object: 'manifests/link.yaml', path: '', message: 'cannot be read (ENOENT)' },
    ]);
    const { revision } = source.snapshot();
    await source.sync(abort.signal);
    expect(source.snapshot().revision).toBe(revision);
  });

  it('stops: no more changes, sync is cancelled', async () => {
    await mkdir(root);
    const source = await start();
    await source.stop();
    await writeFile(join(root, 'a.yaml'), set('a'));
    await sleep(100);
    expect(keys(source)).toEqual([]);
    await expect(source.sync(abort.signal)).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await source.stop();
  });

  it('stops with the signal of start', async () => {
    await mkdir(root);
    const own = new AbortController();
    const source = new FileSource({ path: root, logger: log, parser, rescanMs: NEVER });
    sources.push(source);
    await source.start(own.signal);
    own.abort();
    await expect(source.sync(abort.signal)).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  it('lets a caller of sync give up', async () => {
    await mkdir(root);
    const source = await start();
    await expect(source.sync(AbortSignal.abort())).rejects.toMatchObject({ code: 'E_CANCELLED' });
    const own = new AbortController();
    const waiting = source.sync(own.signal);
    own.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  it('survives a listener that throws', async () => {
    await mkdir(root);
    const source = await start();
    source.onChange(() => {
      throw new Error('listener');
    });
    let called = 0;
    const unsubscribe = source.onChange(() => called++);
    await writeFile(join(root, 'a.yaml'), set('a'));
    await source.sync(abort.signal);
    expect(called).toBe(1);
    expect(log.of('source.listener-failed')).toEqual([{ reason: 'listener' }]);
    unsubscribe();
    await writeFile(join(root, 'b.yaml'), set('b'));
    await source.sync(abort.signal);
    expect(called).toBe(1);
  });
});
