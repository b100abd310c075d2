import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = path.resolve(import.meta.dirname, '../../scripts/lib/count-tests.mjs');
const run = promisify(execFile);

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dfw-count-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Figures { passed?: number; failed?: number; skipped?: number; leftOut?: number; unloaded?: boolean }
/** A report as vitest's JSON reporter writes it, with the fields that are read. */
async function report(stage: string, { passed = 0, failed = 0, skipped = 0, leftOut = 0, unloaded = false }: Figures): Promise<void> {
  const suites = [
    {
      name: path.resolve('test/some.test.ts'), status: failed > 0 ? 'failed' : 'passed',
      assertionResults: Array.from({ length: failed }, (_, index) => ({ status: 'failed', fullName: `group test ${index}`, failureMessages: [`expected ${index}\n at some place`] })),
    },
    { name: path.resolve('test/other.test.ts'), status: 'passed', assertionResults: Array.from({ length: skipped + leftOut }, (_, index) => ({ status: 'skipped', meta: index < leftOut ? { leftOut: 'no such thing here' } : {} })) },
    ...(unloaded ? [{ name: path.resolve('test/broken.test.ts'), status: 'failed', message: 'no such module', assertionResults: [] }] : []),
  ];
  const text = JSON.stringify({ numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped + leftOut, numTodoTests: 0, testResults: suites });
  await writeFile(path.join(folder, `${stage}.json`), text);
}

function output(ci: string, ...failedStages: string[]): Promise<{ text: string; code: number }> {
  return run(process.execPath, [SCRIPT, folder, ci, ...failedStages]).then(
    ({ stdout }) => ({ text: stdout, code: 0 }),
    (error: { stdout: string; code: number }) => ({ text: error.stdout, code: error.code }),
  );
}

async function closing(ci: string, ...failedStages: string[]): Promise<{ line: string; code: number }> {
  const { text, code } = await output(ci, ...failedStages);
  return { line: text.trim().split('\n').at(-1) ?? '', code };
}

describe('the closing line of scripts/test', () => {
  it('sums the runs', async () => {
    await report('unit', { passed: 120 });
    await report('e2e', { passed: 3 });
    expect(await closing('false')).toEqual({ line: '123 passed, 0 failed', code: 0 });
  });

  it('counts failed tests once, though their stage failed too', async () => {
    await report('unit', { passed: 5, failed: 2 });
    expect(await closing('false', 'unit')).toEqual({ line: '5 passed, 2 failed', code: 1 });
  });

  it('counts a stage that failed without a failed test: lint, a crash, a time-out', async () => {
    await report('unit', { passed: 5 });
    expect(await closing('false', 'lint', 'unit')).toEqual({ line: '5 passed, 2 failed', code: 1 });
  });

  it('comes after what failed and why', async () => {
    await report('unit', { passed: 5, failed: 2, unloaded: true });
    const { text } = await output('true', 'unit');
    expect(text.split('\n').filter((line) => line !== '')).toEqual([
      'FAILED test/some.test.ts: group test 0', 'expected 0', ' at some place', 'FAILED test/some.test.ts: group test 1', 'expected 1', ' at some place',
      'FAILED test/broken.test.ts: (not loaded)', 'no such module', 'failed: unit', '5 passed, 3 failed',
    ]);
  });

  it('counts a test file that did not load', async () => {
    await report('unit', { passed: 5, unloaded: true });
    expect(await closing('false', 'unit')).toEqual({ line: '5 passed, 1 failed', code: 1 });
  });

  it('says what was skipped, and lets none be skipped in CI', async () => {
    await report('netns', { passed: 5, skipped: 2 });
    expect(await closing('false')).toEqual({ line: '5 passed, 0 failed, 2 skipped', code: 0 });
    expect(await closing('true')).toEqual({ line: '5 passed, 2 failed', code: 1 });
  });

  it('takes what is not for a datapath for no skip, also in CI', async () => {
    await report('e2e-ovs', { passed: 5, leftOut: 3 });
    expect(await closing('true')).toEqual({ line: '5 passed, 0 failed', code: 0 });
    await report('netns-ovs', { skipped: 1, leftOut: 2 });
    expect(await closing('true')).toEqual({ line: '5 passed, 1 failed', code: 1 });
  });
});
