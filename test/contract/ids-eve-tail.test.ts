import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { appendFile, copyFile, mkdir, mkdtemp, open, readFile, rename, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EveTail } from '../../src/drivers/ids/eve-tail.js';
import { FilePositionStore } from '../../src/drivers/ids/tail-position.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { eventually } from '../support/command.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const line = (n: number): string => `{"n":${String(n)}}\n`;
const lines = (from: number, to: number): string => Array.from({ length: to - from + 1 }, (_, index) => line(from + index)).join('');
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('EveTail on real files', () => {
  let directory = '';
  let file = '';
  const started: EveTail[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-eve-'));
    file = path.join(directory, 'log/eve.json');
    await mkdir(path.dirname(file));
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((tail) => tail.stop()));
    await rm(directory, { recursive: true, force: true });
  });

  async function begin(slow = 0): Promise<{ tail: EveTail; got: unknown[] }> {
    const got: unknown[] = [];
    const positions = new FilePositionStore(path.join(directory, 'position.json'));
    const tail = new EveTail(
      file, positions,
      async (records) => {
        if (slow > 0) await new Promise((resolve) => setTimeout(resolve, slow));
        got.push(...records.map((record) => record['n']));
      },
      systemClock, silent,
    );
    started.push(tail);
    await tail.start(new AbortController().signal);
    return { tail, got };
  }
  const reach = (got: unknown[], count: number): Promise<true> => eventually(`${String(count)} records`, () => Promise.resolve(got.length >= count ? true : undefined));

  test('what stood there before is not read, what is appended is', async () => {
    await writeFile(file, lines(1, 3));
    const { got } = await begin();
    await appendFile(file, lines(4, 6));
    await reach(got, 3);
    expect(got).toEqual([4, 5, 6]);
  });

  test('a file, and a directory, that appear later are read from the beginning', async () => {
    await rm(path.dirname(file), { recursive: true });
    const { got, tail } = await begin();
    expect(tail.status()).toMatchObject({ open: false, reason: '' });
    await mkdir(path.dirname(file));
    await writeFile(file, lines(1, 2));
    await reach(got, 2);
    expect(got).toEqual([1, 2]);
  });

  test('a line written in pieces comes once it is whole', async () => {
    await writeFile(file, '');
    const { got } = await begin();
    const handle = await open(file, 'a');
    for (const piece of ['{"n"', ':', '7', '}', '\n{"n":8}\n{"n":']) {
      await handle.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await reach(got, 2);
    expect(got).toEqual([7, 8]);
    await handle.write('9}\n');
    await reach(got, 3);
    await handle.close();
    expect(got).toEqual([7, 8, 9]);
  });

  test('starting in the middle of a line skips only that line', async () => {
    await writeFile(file, `${line(1)}{"n":`);
    const { got, tail } = await begin();
    await appendFile(file, `2}\n${line(3)}`);
    await reach(got, 1);
    expect(got).toEqual([3]);
    expect(tail.status()).toMatchObject({ malformed: 0, oversized: 0 });
  });

  test.each([false, true])('files that were renamed before anybody saw them, in their order; and then the one of that name: %s', async (present) => {
    await writeFile(file, lines(1, 2));
    const { got, tail } = await begin();
    await appendFile(file, line(3));
    await reach(got, 1);
    const pause = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    // Nothing of ours runs in between.
    appendFileSync(file, line(4));
    renameSync(file, `${file}.1`);
    for (const n of [5, 6]) {
      pause();
      writeFileSync(file, line(n));
      renameSync(file, `${file}-2026112${n}`);
    }
    pause();
    writeFileSync(`${file}.1.gz`, 'no lines');
    if (present) writeFileSync(file, line(7));
    await reach(got, present ? 5 : 4);
    await appendFile(file, line(8));
    await reach(got, present ? 6 : 5);
    expect(got).toEqual(present ? range(3, 8) : [...range(3, 6), 8]);
    expect(tail.status()).toMatchObject({ rotations: 3, malformed: 0 });
  });

  test('a file renamed over the one that is read is not passed over', async () => {
    await writeFile(file, '');
    const { got } = await begin();
    await appendFile(file, line(1));
    await reach(got, 1);
    renameSync(file, `${file}.1`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    writeFileSync(file, line(2));
    renameSync(file, `${file}.1`);
    await reach(got, 2);
    await writeFile(file, line(3));
    await reach(got, 3);
    expect(got).toEqual([1, 2, 3]);
  });

  test('rename and create: the end of the old file, then the new one', async () => {
    await writeFile(file, '');
    const { got, tail } = await begin();
    const old = await open(file, 'a');
    await rename(file, `${file}.1`);
    await old.write(lines(1, 3));
    await reach(got, 3);
    await old.write(line(4));
    await writeFile(file, lines(5, 6));
    await old.close();
    await reach(got, 6);
    expect(got).toEqual([1, 2, 3, 4, 5, 6]);
    expect(tail.status().rotations).toBe(1);
  });

  test('a replaced file is read from its beginning', async () => {
    await writeFile(file, lines(1, 5));
    const { got } = await begin();
    await writeFile(`${file}.new`, lines(10, 12));
    await rename(`${file}.new`, file);
    await reach(got, 3);
    expect(got).toEqual([10, 11, 12]);
  });

  test('copy and truncate', async () => {
    await writeFile(file, '');
    const { got, tail } = await begin();
    await appendFile(file, lines(1, 100));
    await reach(got, 100);
    await copyFile(file, `${file}.1`);
    await truncate(file, 0);
    await eventually('truncation', () => Promise.resolve(tail.status().rotations === 1 ? true : undefined));
    await appendFile(file, lines(101, 103));
    await reach(got, 103);
    expect(got).toEqual(range(1, 103));
  });

  test('a deleted file does not end it', async () => {
    await writeFile(file, '');
    const { got } = await begin();
    await unlink(file);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await writeFile(file, lines(1, 2));
    await reach(got, 2);
    expect(got).toEqual([1, 2]);
  });

  test('lines that are no object are counted and skipped', async () => {
    await writeFile(file, '');
    const { got, tail } = await begin();
    await appendFile(file, `nonsense\n[1]\n"x"\n\n{"n":1\n${line(2)}null\n`);
    await reach(got, 1);
    await eventually('the count', () => Promise.resolve(tail.status().malformed === 5 ? true : undefined));
    expect(got).toEqual([2]);
  });

  test('a line over 1 MiB is dropped and counted, its neighbours stay', async () => {
    await writeFile(file, '');
    const { got, tail } = await begin();
    await appendFile(file, `${line(1)}{"n":"${'x'.repeat(1_100_000)}"}\n${line(2)}`);
    await reach(got, 2);
    expect(got).toEqual([1, 2]);
    expect(tail.status()).toMatchObject({ oversized: 1, malformed: 0 });
  });

  test('a restart goes on where it stopped, also in an unfinished line', async () => {
    await writeFile(file, '');
    const first = await begin();
    await appendFile(file, `${lines(1, 3)}{"n":`);
    await reach(first.got, 3);
    await first.tail.stop();
    await appendFile(file, `4}\n${line(5)}`);
    const second = await begin();
    await reach(second.got, 2);
    expect([...first.got, ...second.got]).toEqual([1, 2, 3, 4, 5]);
  });

  test('a file that was rotated while nobody read is read from its beginning', async () => {
    await writeFile(file, '');
    const first = await begin();
    await appendFile(file, lines(1, 3));
    await reach(first.got, 3);
    await first.tail.stop();
    await rename(file, `${file}.1`);
    await writeFile(file, lines(4, 5));
    const second = await begin();
    await reach(second.got, 2);
    expect(second.got).toEqual([4, 5]);
  });

  test('stop reads what was written before it', async () => {
    await writeFile(file, '');
    const { got, tail } = await begin();
    await appendFile(file, lines(1, 50));
    await tail.stop();
    expect(got).toEqual(range(1, 50));
    expect(tail.status().open).toBe(false);
  });

  test('a damaged position file means a start at the end', async () => {
    await writeFile(path.join(directory, 'position.json'), '{"device":1,');
    await writeFile(file, lines(1, 3));
    const { got, tail } = await begin();
    await appendFile(file, line(4));
    await reach(got, 1);
    expect(got).toEqual([4]);
    await tail.stop();
    const saved: unknown = JSON.parse(await readFile(path.join(directory, 'position.json'), 'utf8'));
    const { size, ino } = await stat(file);
    expect(saved).toMatchObject({ inode: ino, offset: size });
  });

  test('of a file of a gigabyte only the end is touched', async () => {
    const handle = await open(file, 'w');
    await handle.write('\n', 1024 ** 3 - 1);
    await handle.close();
    const { got, tail } = await begin();
    await appendFile(file, line(1));
    await reach(got, 1);
    expect(got).toEqual([1]);
    expect(tail.status()).toMatchObject({ oversized: 0, malformed: 0, records: 1 });
  });

  test('a slow reader gets everything, in order', async () => {
    await writeFile(file, '');
    const { got } = await begin(5);
    const total = 60_000;
    for (let from = 1; from <= total; from += 20_000) await appendFile(file, lines(from, from + 19_999));
    await reach(got, total);
    expect(got).toEqual(range(1, total));
  });

  test('a path that cannot be read is a state, and heals', async () => {
    await mkdir(file);
    const { got, tail } = await begin();
    await eventually('the reason', () => Promise.resolve(tail.status().reason === '' ? undefined : true));
    await rm(file, { recursive: true });
    await writeFile(file, lines(1, 2));
    await reach(got, 2);
    expect(got).toEqual([1, 2]);
    await eventually('no reason', () => Promise.resolve(tail.status().reason === '' ? true : undefined));
  });
});
