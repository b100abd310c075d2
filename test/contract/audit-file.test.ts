import { mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LineFile } from '../../src/platform/line-file.js';
import { eventually, mustRun } from '../support/command.js';

describe('LineFile on real files', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-audit-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });
  const content = (name: string): Promise<string> => readFile(path.join(directory, name), 'utf8');

  test('makes its directories, appends to what is there, is not readable by all', async () => {
    const name = path.join(directory, 'a/b/audit.log');
    for (const line of ['one\n', 'two\n']) {
      const file = new LineFile(name);
      await file.open();
      expect(file.append(line)).toBe(true);
      await file.close();
      expect(file.status()).toMatchObject({ writable: true, written: 1, lost: 0 });
    }
    expect(await content('a/b/audit.log')).toBe('one\ntwo\n');
    expect((await stat(name)).mode & 0o777).toBe(0o640);
    expect((await stat(path.dirname(name))).mode & 0o777).toBe(0o750);
  });

  test('rename and reopen under load: every line is in one of the files, whole and in order', async () => {
    const name = path.join(directory, 'audit.log');
    const file = new LineFile(name);
    await file.open();
    let n = 0;
    for (let round = 0; round < 5; round += 1) {
      for (let index = 0; index < 2000; index += 1) file.append(`line ${String((n += 1))}\n`);
      await new Promise((resolve) => setImmediate(resolve));
      if (round === 4) break;
      await rename(name, `${name}.${String(round)}`);
      file.reopen();
      await eventually('the new file', async () => ((await stat(name)).isFile() ? true : undefined));
    }
    await file.close();
    const all = (await Promise.all(['.0', '.1', '.2', '.3', ''].map((suffix) => content(`audit.log${suffix}`)))).join('');
    expect(all).toBe(Array.from({ length: 10_000 }, (_, index) => `line ${String(index + 1)}\n`).join(''));
    expect(file.status()).toMatchObject({ written: 10_000, lost: 0 });
  });

  test('a file system that is full: a reason at once, and all lines once there is room again', async () => {
    const mount = path.join(directory, 'small');
    await mustRun('mkdir', [mount]);
    await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=16', 'tmpfs', mount]);
    try {
      await writeFile(path.join(mount, 'ballast'), 'x'.repeat(32 * 1024));
      const states: string[] = [];
      const file = new LineFile(path.join(mount, 'audit.log'), undefined, (reason) => states.push(reason));
      await file.open();
      const lines = Array.from({ length: 600 }, (_, index) => `${String(index).padStart(99, '0')}\n`);
      for (const line of lines) file.append(line);
      await eventually('a full disk', () => Promise.resolve(file.status().writable ? undefined : true));
      expect(file.status().reason).toContain('ENOSPC');
      await rm(path.join(mount, 'ballast'));
      await eventually('an empty queue', () => Promise.resolve(file.status().pendingBytes === 0 ? true : undefined));
      expect(file.status()).toMatchObject({ writable: true, reason: '', written: 600, lost: 0 });
      await file.close();
      expect(await readFile(path.join(mount, 'audit.log'), 'utf8')).toBe(lines.join(''));
      expect(states).toEqual([expect.stringContaining('ENOSPC'), '']);
    } finally {
      await mustRun('umount', [mount]);
    }
  });

  test('a device without room never takes a byte: lines up to the limit wait, closing counts them as lost', async () => {
    await symlink('/dev/full', path.join(directory, 'full'));
    const file = new LineFile(path.join(directory, 'full'));
    await file.open();
    file.append('one\n');
    file.append('two\n');
    await eventually('the reason', () => Promise.resolve(file.status().reason.includes('ENOSPC') ? true : undefined));
    await file.close();
    expect(file.status()).toMatchObject({ written: 0, lost: 2, pendingBytes: 0 });
  });

  test('a path that cannot be opened heals when the obstacle goes', async () => {
    await writeFile(path.join(directory, 'obstacle'), '');
    const file = new LineFile(path.join(directory, 'obstacle/audit.log'));
    await file.open();
    expect(file.status().writable).toBe(false);
    file.append('one\n');
    await rm(path.join(directory, 'obstacle'));
    await eventually('the line', async () => ((await content('obstacle/audit.log')) === 'one\n' ? true : undefined));
    expect(file.status()).toMatchObject({ writable: true, written: 1 });
    await file.close();
  });
});
