import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileAtomic } from '../../../src/platform/atomic-file.js';
import { readTextFile } from '../../../src/platform/read-file.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dfw-files-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('writeFileAtomic', () => {
  it('creates and replaces, with the asked permissions and nothing left over', async () => {
    const file = path.join(folder, 'state.json');
    await writeFileAtomic(file, 'one');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await writeFileAtomic(file, new Uint8Array([0x74, 0x77, 0x6f]), { mode: 0o640 });
    expect(await readFile(file, 'utf8')).toBe('two');
    expect((await stat(file)).mode & 0o777).toBe(0o640);
    expect(await readdir(folder)).toEqual(['state.json']);
  });

  it('keeps the old file and leaves nothing when it fails', async () => {
    const target = path.join(folder, 'taken');
    await writeFileAtomic(path.join(folder, 'kept'), 'old');
    await mkdir(path.join(target, 'inside'), { recursive: true });
    await expect(writeFileAtomic(target, 'x')).rejects.toMatchObject({ code: 'E_IO', object: target, retryable: true });
    expect((await readdir(folder)).toSorted()).toEqual(['kept', 'taken']);
    await expect(writeFileAtomic(path.join(folder, 'none', 'x'), 'x')).rejects.toMatchObject({ code: 'E_IO' });
  });

  it('never shows a mixture to readers while many write', async () => {
    const file = path.join(folder, 'shared');
    const contents = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(200_000));
    await writeFileAtomic(file, contents[0] ?? '');
    const seen = new Set<string>();
    const writers = Promise.all(contents.flatMap((text) => [writeFileAtomic(file, text), writeFileAtomic(file, text)]));
    for (let round = 0; round < 20; round++) seen.add(await readFile(file, 'utf8'));
    await writers;
    for (const text of seen) expect(contents).toContain(text);
    expect(await readdir(folder)).toEqual(['shared']);
  });
});

describe('readTextFile', () => {
  it('tells absent from unreadable', async () => {
    await writeFile(path.join(folder, 'there'), 'text');
    expect(readTextFile(path.join(folder, 'there'))).toBe('text');
    expect(readTextFile(path.join(folder, 'not there'))).toBeUndefined();
    expect(() => readTextFile(folder)).toThrow(expect.objectContaining({ code: 'E_IO', object: folder }));
  });
});
