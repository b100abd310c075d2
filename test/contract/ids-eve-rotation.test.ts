import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EveRotation } from '../../src/drivers/ids/eve-rotation.js';
import type { Clock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { eventually } from '../support/command.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

/** Ten seconds pass in ten milliseconds. */
const fast: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs / 1000);
    return () => clearTimeout(timer);
  },
};

let directory = '';
let file = '';
let rotation: EveRotation | undefined;
/** The engine: whether it answers, and how often it opened its file anew. */
const engine = { answers: true, reopened: 0 };

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dfw-rotation-'));
  file = path.join(directory, 'eve.json');
  Object.assign(engine, { answers: true, reopened: 0 });
});
afterEach(async () => {
  await rotation?.stop();
  await rm(directory, { recursive: true, force: true });
});
function begin(): void {
  const reopen = (): Promise<boolean> => {
    if (engine.answers) engine.reopened += 1;
    return Promise.resolve(engine.answers);
  };
  rotation = new EveRotation(file, 1000, reopen, fast, silent);
  rotation.start(new AbortController().signal);
}
const size = (name: string): Promise<number> => stat(name).then((found) => found.size, () => -1);
const rounds = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

test('a file below the limit, or none, stays', async () => {
  begin();
  await rounds();
  await writeFile(file, 'x'.repeat(1000));
  await rounds();
  expect([await size(file), await size(`${file}.1`), engine.reopened]).toEqual([1000, -1, 0]);
});

test('past the limit it becomes .1, the former .1 goes, and the engine is told once', async () => {
  await writeFile(`${file}.1`, 'old');
  await writeFile(file, 'y'.repeat(1001));
  begin();
  await eventually('a rotation', () => Promise.resolve(engine.reopened === 1 ? true : undefined));
  await rounds();
  expect(await readFile(`${file}.1`, 'utf8')).toBe('y'.repeat(1001));
  expect([await size(file), engine.reopened]).toEqual([-1, 1]);
});

test('an engine that does not answer is told again, and no second rotation happens meanwhile', async () => {
  engine.answers = false;
  await writeFile(file, 'y'.repeat(1001));
  begin();
  await eventually('a rotation', async () => ((await size(`${file}.1`)) === 1001 ? true : undefined));
  await appendFile(`${file}.1`, 'z'.repeat(2000));
  await rounds();
  expect(await size(`${file}.1`)).toBe(3001);
  engine.answers = true;
  await eventually('the engine to be told', () => Promise.resolve(engine.reopened === 1 ? true : undefined));
});

test('an engine that started anew has its new file already', async () => {
  engine.answers = false;
  await writeFile(file, 'y'.repeat(1001));
  begin();
  await eventually('a rotation', async () => ((await size(`${file}.1`)) === 1001 ? true : undefined));
  await writeFile(file, 'n');
  await rounds();
  await writeFile(file, 'n'.repeat(1500));
  await eventually('the next rotation', async () => ((await size(`${file}.1`)) === 1500 ? true : undefined));
  expect(engine.reopened).toBe(0);
});
