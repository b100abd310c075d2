import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { Output, OutputClosed } from '../../../src/cli/output.js';

const sink = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });

test('a write waits for a slow reader', async () => {
  const taken: string[] = [];
  let release: (() => void) | undefined;
  const slow = new Writable({ highWaterMark: 4, write: (chunk: Buffer, _encoding, done) => { taken.push(chunk.toString()); release = done; } });
  const out = new Output(slow, sink());
  out.start();
  let second = false;
  const writing = out.write('12345678').then(() => { second = true; });
  await new Promise((resolve) => setImmediate(resolve));
  expect(second).toBe(false);
  release?.();
  await writing;
  expect(taken).toEqual(['12345678']);
});

test('a reader that goes away ends a waiting write with OutputClosed', async () => {
  const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
  const out = new Output(stuck, sink());
  out.start();
  const writing = out.write('12345678');
  stuck.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  await expect(writing).rejects.toBeInstanceOf(OutputClosed);
  await expect(out.write('more')).rejects.toBeInstanceOf(OutputClosed);
  expect(out.closed.aborted).toBe(true);
  await out.flush();
});

test('any other failure of stdout is an error', async () => {
  const full = new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })) });
  const out = new Output(full, sink());
  out.start();
  await expect(out.write('x')).rejects.toThrow('no space left');
  await expect(out.write('y')).rejects.toThrow('no space left');
  await expect(out.flush()).rejects.toThrow('no space left');
});
