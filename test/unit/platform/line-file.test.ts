import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineFile, type AppendFile } from '../../../src/platform/line-file.js';

/** A disk that takes the given numbers of bytes, one a write; "full" refuses. After the script it takes all. */
class ScriptedDisk {
  readonly files: string[] = [];
  constructor(private readonly script: (number | 'full')[]) {}

  readonly open = (): Promise<AppendFile> => {
    const index = this.files.push('') - 1;
    return Promise.resolve({
      write: (data: Uint8Array): Promise<number> => {
        const step = this.script.shift();
        if (step === 'full') return Promise.reject(new Error('ENOSPC: no space left on device'));
        const count = step === undefined ? data.length : Math.min(step, data.length);
        this.files[index] += Buffer.from(data.subarray(0, count)).toString('latin1');
        return Promise.resolve(count);
      },
      close: () => Promise.resolve(),
    });
  };
}

/** A disk that does not answer until it is released. */
class StuckDisk {
  #release: () => void = () => undefined;
  readonly #released = new Promise<void>((resolve) => {
    this.#release = resolve;
  });
  bytes = 0;

  readonly open = (): Promise<AppendFile> =>
    Promise.resolve({
      write: async (data: Uint8Array): Promise<number> => {
        await this.#released;
        this.bytes += data.length;
        return data.length;
      },
      close: () => Promise.resolve(),
    });

  release(): void {
    this.#release();
  }
}

describe('LineFile', () => {
  test('short writes and refusals neither lose, repeat nor reorder a byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 40 }), fc.array(fc.string({ maxLength: 20 }), { minLength: 1, maxLength: 20 }), async (script, texts) => {
        const disk = new ScriptedDisk([...script]);
        const file = new LineFile('x', disk.open);
        const lines = texts.map((text) => `${text.replaceAll('\n', ' ')}\n`);
        for (const line of lines) expect(file.append(line)).toBe(true);
        await file.close();
        expect(Buffer.from(disk.files.join(''), 'latin1').toString('utf8')).toBe(lines.join(''));
        expect(file.status()).toMatchObject({ written: lines.length, lost: 0, pendingBytes: 0 });
      }),
      { numRuns: 200 },
    );
  });

  test('a refused write is retried, said, and completes the torn line', async () => {
    const states: string[] = [];
    const disk = new ScriptedDisk([3, 'full']);
    const file = new LineFile('x', disk.open, (reason) => states.push(reason));
    file.append('first\n');
    file.append('second\n');
    await expect.poll(() => file.status().writable).toBe(false);
    expect(file.status().reason).toContain('ENOSPC');
    await expect.poll(() => disk.files[0], { timeout: 5000 }).toBe('first\nsecond\n');
    expect(states).toEqual([expect.stringContaining('ENOSPC'), '']);
    await file.close();
    expect(file.status()).toMatchObject({ writable: true, written: 2, lost: 0 });
  });

  test('a disk that hangs costs lines above 4 MiB, not memory', async () => {
    const disk = new StuckDisk();
    const file = new LineFile('x', disk.open);
    const line = `${'a'.repeat(1023)}\n`;
    let kept = 0;
    for (let index = 0; index < 6000; index += 1) if (file.append(line)) kept += 1;
    expect(kept).toBe(4096);
    expect(file.status()).toMatchObject({ lost: 6000 - 4096, pendingBytes: 4 * 1024 * 1024 });
    disk.release();
    await file.close();
    expect(disk.bytes).toBe(4 * 1024 * 1024);
    expect(file.status()).toMatchObject({ written: 4096, pendingBytes: 0 });
  });

  test('reopen drops only the rest of a line that the full disk tore', async () => {
    const disk = new ScriptedDisk([3, 'full']);
    const file = new LineFile('x', disk.open);
    file.append('first\n');
    file.append('second\n');
    await expect.poll(() => file.status().writable).toBe(false);
    file.reopen();
    await expect.poll(() => disk.files[1], { timeout: 5000 }).toBe('second\n');
    await file.close();
    expect(disk.files[0]).toBe('fir');
    expect(file.status()).toMatchObject({ written: 1, lost: 1 });
  });

  test('closing while the disk is full gives up what waits and counts it', async () => {
    const disk = new ScriptedDisk(Array.from({ length: 100 }, () => 'full' as const));
    const file = new LineFile('x', disk.open);
    file.append('a\n');
    file.append('b\n');
    await expect.poll(() => file.status().writable).toBe(false);
    await file.close();
    expect(file.status()).toMatchObject({ written: 0, lost: 2, pendingBytes: 0 });
    expect(file.append('c\n')).toBe(false);
  });
});
