import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileLeases } from '../../../../src/drivers/egress/file-leases.js';

describe('leases in a directory', () => {
  let directory: string;
  let now = 1_000;
  let leases: FileLeases;
  beforeEach(async () => {
    directory = join(await mkdtemp(join(tmpdir(), 'dfwt-leases-')), 'made');
    now = 1_000;
    leases = new FileLeases({ directory, now: () => now });
  });
  afterEach(() => rm(join(directory, '..'), { recursive: true, force: true }));
  const entry = (holder: string, key = 'address/fd00::1', value = '{}') => ({ key, holder, value });

  test('one holder; another after the time, or after a release', async () => {
    expect(await leases.list()).toEqual([]);
    expect(await leases.claim(entry('a'), 100)).toEqual(entry('a'));
    expect(await leases.claim(entry('b'), 100)).toEqual(entry('a'));
    now += 99;
    expect(await leases.claim(entry('a', 'address/fd00::1', 'more'), 100)).toEqual(entry('a', 'address/fd00::1', 'more'));
    now += 99;
    expect((await leases.claim(entry('b'), 100)).holder).toBe('a');
    now += 1;
    expect(await leases.list()).toEqual([]);
    expect(await leases.claim(entry('b'), 100)).toEqual(entry('b'));
    await leases.release('address/fd00::1', 'a');
    expect(await leases.list()).toEqual([entry('b')]);
    await leases.release('address/fd00::1', 'b');
    expect(await leases.claim(entry('a'), 100)).toEqual(entry('a'));
    expect((await readdir(directory)).length).toBeLessThanOrEqual(2);
  });

  test('of many at once one has it, again and again', async () => {
    for (let round = 0; round < 20; round += 1) {
      const claims = await Promise.all(Array.from({ length: 12 }, (_, index) => new FileLeases({ directory, now: () => now }).claim(entry(`${index}`), 100)));
      expect(new Set(claims.map(({ holder }) => holder)).size).toBe(1);
      now += 100;
    }
    expect((await readdir(directory)).length).toBeLessThanOrEqual(3);
  });

  test('who was stopped between reading and writing does not win afterwards', async () => {
    await leases.claim(entry('a'), 100);
    now += 100;
    const place = (version: number): string => join(directory, `${encodeURIComponent('address/fd00::1')}.${version}`);
    let asked = 0;
    const slow = new FileLeases({
      directory,
      now: () => {
        asked += 1;
        // Behind the reading of version 1, before version 2 is put in place: others have come to version 6, and cleared away what was before.
        if (asked === 2) {
          for (const version of [5, 6]) writeFileSync(place(version), JSON.stringify({ ...entry('b'), until: now + 1_000 }));
          rmSync(place(1));
        }
        return now;
      },
    });
    expect(await slow.claim(entry('slow'), 50)).toEqual(entry('b'));
    expect(asked).toBeGreaterThan(2);
    expect(await leases.list()).toEqual([entry('b')]);
    expect((await readdir(directory)).sort()).toEqual([5, 6].map((version) => place(version).slice(directory.length + 1)));
  });

  test('what cannot be read rejects', async () => {
    await writeFile(directory, 'no directory');
    await expect(leases.list()).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    await expect(leases.claim(entry('a'), 100)).rejects.toMatchObject({ code: 'E_IO' });
  });
});
