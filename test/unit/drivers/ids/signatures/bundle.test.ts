import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BUNDLE_LIMITS, type BundleLimits } from '../../../../../src/drivers/ids/signatures/bundle-entries.js';
import { unpackBundle } from '../../../../../src/drivers/ids/signatures/bundle.js';
import { isAgentError, type AgentError } from '../../../../../src/model/errors.js';
import { tarGz, zip } from '../../../../support/archives.js';

const RULE = 'alert tcp any any -> any any (sid:1;)\n';
const GOOD = [
  { name: './rules/b.rules', content: RULE }, { name: 'rules/a.rules', content: RULE.repeat(1_000) }, { name: 'rules/classification.config', content: 'config classification: x,X,1\n' },
  { name: 'deeper/still/classification.config', content: 'no' }, { name: 'rules/reference.config', content: 'config reference: x https://\n' }, { name: 'version.txt', content: '10743\r\n# text\n' },
  { name: 'LICENSE', content: 'words' }, { name: 'rules/._a.rules', content: 'leavings' },
];

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dfw-bundle-'));
  await mkdir(join(root, 'in'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function unpack(archive: Buffer, limits: BundleLimits = BUNDLE_LIMITS): ReturnType<typeof unpackBundle> {
  await writeFile(join(root, 'archive'), archive);
  return unpackBundle(join(root, 'archive'), 'the bundle', join(root, 'in'), new AbortController().signal, limits);
}

async function refusal(archive: Buffer, limits?: BundleLimits): Promise<AgentError> {
  const failure: unknown = await unpack(archive, limits).then(() => new Error('was taken'), (error: unknown) => error);
  if (!isAgentError(failure)) throw failure;
  expect(failure.object).toBe('the bundle');
  // Nothing beside the two that were there.
  expect((await readdir(root)).toSorted()).toEqual(['archive', 'in']);
  return failure;
}

describe.each([['tar.gz', tarGz], ['zip', (entries: typeof GOOD) => Promise.resolve(zip(entries))]] as const)('a good %s', (_format, make) => {
  test('gives rule files, tables and version, and nothing else', async () => {
    expect(await unpack(await make(GOOD))).toEqual({
      version: '10743', ruleFiles: ['rules/a.rules', 'rules/b.rules'], classificationFile: 'rules/classification.config', referenceFile: 'rules/reference.config',
    });
    expect(await readFile(join(root, 'in/rules/a.rules'), 'utf8')).toBe(RULE.repeat(1_000));
    expect((await readdir(join(root, 'in'))).toSorted()).toEqual(['deeper', 'rules', 'version.txt']);
    expect((await readdir(join(root, 'in/rules'))).toSorted()).toEqual(['a.rules', 'b.rules', 'classification.config', 'reference.config']);
  });

  test('without a version that can be a name has none', async () => {
    for (const content of ['../../etc', '.hidden', 'a b', '', 'x'.repeat(65)]) {
      await rm(join(root, 'in'), { recursive: true });
      await mkdir(join(root, 'in'));
      expect((await unpack(await make([{ name: 'a.rules', content: RULE }, { name: 'version', content }]))).version).toBeUndefined();
    }
  });

  test.each([
    ['../out.rules', /leads out of the archive/], ['rules/../../out.rules', /leads out/], ['/etc/x.rules', /absolute path/], ['C:/x.rules', /absolute path/],
    [`${'d/'.repeat(20)}x.rules`, /too long/], ['a[b].rules', /may hold letters/], ['a\nb.rules', /may hold letters/],
  ])('%j in it is refused', async (name, reason) => {
    const error = await refusal(await make([{ name: 'good.rules', content: RULE }, { name, content: RULE }]));
    expect(`${error.code} ${error.message}`).toMatch(reason);
    await expect(access(join(root, 'out.rules'))).rejects.toThrow('ENOENT');
  });

  test('with a name twice, or with no rule file, is refused', async () => {
    expect(await refusal(await make([{ name: 'a.rules', content: '1' }, { name: './a.rules', content: '2' }]))).toMatchObject({ code: 'E_INVALID', path: './a.rules', message: expect.stringContaining('twice') });
    expect((await refusal(await make([{ name: 'readme', content: '1' }]))).message).toContain('no *.rules file');
  });

  test('that is too much is refused, by each limit', async () => {
    const zeros = Buffer.alloc(8 << 20);
    const limits = (own: Partial<BundleLimits>): BundleLimits => ({ ...BUNDLE_LIMITS, ...own });
    expect(await refusal(await make([{ name: 'a.rules', content: zeros.toString('latin1') }]))).toMatchObject({ code: 'E_LIMIT', message: expect.stringContaining('200 times its size') });
    expect(await refusal(await make(GOOD), limits({ entries: 3 }))).toMatchObject({ code: 'E_LIMIT', message: expect.stringContaining('more than 3 entries') });
    expect(await refusal(await make([{ name: 'b.rules', content: RULE.repeat(100) }]), limits({ fileBytes: 1_000 }))).toMatchObject({ code: 'E_LIMIT', path: 'b.rules', message: expect.stringContaining('larger than 1000 bytes') });
    expect(await refusal(await make([{ name: 'c.rules', content: RULE.repeat(100) }]), limits({ totalBytes: 1_000 }))).toMatchObject({ code: 'E_LIMIT', message: expect.stringContaining('more than 1000 bytes') });
  });

  test('that was cut anywhere, or has a wrong byte, is refused or gives what it held, and never hangs', async () => {
    const whole = await make(GOOD);
    for (let at = 5; at < whole.length; at += Math.ceil(whole.length / 40)) {
      await rm(join(root, 'in'), { recursive: true });
      await mkdir(join(root, 'in'));
      expect((await refusal(whole.subarray(0, at))).code).toBe('E_INVALID');
      const wrong = Buffer.from(whole);
      wrong[at] = (wrong[at] ?? 0) ^ 0xff;
      await rm(join(root, 'in'), { recursive: true });
      await mkdir(join(root, 'in'));
      const result: unknown = await unpack(wrong).catch((error: unknown) => error);
      if (result instanceof Error) expect(isAgentError(result)).toBe(true);
    }
  });
});

describe('what only one of them can hold', () => {
  test.each([
    ['symlink', 'a link'], ['link', 'a link'], ['character-device', 'a device'], ['block-device', 'a device'], ['fifo', 'a named pipe'],
  ] as const)('tar: %s is refused, whatever its name', async (type, words) => {
    for (const name of ['evil.rules', 'readme']) {
      const error = await refusal(await tarGz([{ name, type, linkname: '/etc/shadow' }, { name: 'a.rules', content: RULE }]));
      expect(error).toMatchObject({ code: 'E_INVALID', path: name, message: expect.stringContaining(words) });
    }
  });

  test('zip: encrypted entries, links, devices, wrong sizes and sums are refused', async () => {
    const one = (own: object): Buffer => zip([{ name: 'a.rules', content: RULE, ...own }]);
    expect(await refusal(one({ flags: 1 }))).toMatchObject({ code: 'E_INVALID', path: 'a.rules', message: expect.stringContaining('encrypted') });
    expect((await refusal(one({ mode: 0o120777 }))).message).toContain('a link');
    expect((await refusal(one({ mode: 0o020666 }))).message).toContain('device');
    expect((await refusal(one({ claimedSum: 1 }))).message).toContain('checksum');
    await rm(join(root, 'in'), { recursive: true });
    expect((await refusalAfresh(one({ claimedSize: 5 }))).message).toContain('damaged');
    expect((await refusalAfresh(one({ claimedSize: 5_000 }))).message).toContain('damaged');
    expect((await refusalAfresh(zip([{ name: 'a\\b.rules', content: RULE }]))).message).toContain('damaged');
  });

  async function refusalAfresh(archive: Buffer): Promise<AgentError> {
    await rm(join(root, 'in'), { recursive: true, force: true });
    await mkdir(join(root, 'in'));
    return refusal(archive);
  }

  test('neither is refused', async () => {
    expect((await refusal(Buffer.from('MZ executable'))).message).toContain('neither tar.gz nor zip');
    expect((await refusal(Buffer.alloc(0))).message).toContain('neither tar.gz nor zip');
    expect((await refusal(gzipSync('this is no tar archive, but it is long enough to be looked at. '.repeat(40)))).code).toBe('E_INVALID');
  });

  test('an abort ends it', async () => {
    await writeFile(join(root, 'archive'), await tarGz(GOOD));
    await expect(unpackBundle(join(root, 'archive'), 'x', join(root, 'in'), AbortSignal.abort())).rejects.toThrow();
  });
});
