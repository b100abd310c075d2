import { expect, test } from 'vitest';
import { watchEngine } from '../../../../src/drivers/ids/engine-watch.js';
import type { Clock } from '../../../../src/platform/clock.js';

/** Time passes when somebody waits. `answers`: from when, and until when, the engine does not answer. */
async function watched(silences: readonly (readonly [from: number, until: number])[], endMs: number): Promise<{ result: string; changes: string[] }> {
  let time = 0;
  const abort = new AbortController();
  const pass = (ms: number): void => {
    time += ms;
    if (time >= endMs) abort.abort();
  };
  const clock: Clock = {
    now: () => time, monotonic: () => time,
    after: (ms, action) => {
      queueMicrotask(() => {
        pass(ms);
        action();
      });
      return () => undefined;
    },
  };
  const changes: string[] = [];
  const result = await watchEngine({
    clock, onChange: (answers) => changes.push(`${answers ? 'answers' : 'silent'} ${time}`),
    ask: async (limitMs) => {
      const silent = silences.some(([from, until]) => time >= from && time < until);
      pass(silent ? limitMs : 1);
      if (silent) throw new Error('late');
    },
  }, abort.signal);
  return { result, changes };
}

test('silence is told within 0.75 s, whenever it begins; an answer at the next look', async () => {
  for (let from = 1_000; from < 1_400; from += 7) {
    const { result, changes } = await watched([[from, 5_000]], 10_000);
    expect(result).toBe('ended');
    expect(changes.map((change) => change.split(' ')[0])).toEqual(['silent', 'answers']);
    const [silent = 0, answers = 0] = changes.map((change) => Number(change.split(' ')[1]));
    expect(silent - from).toBeLessThanOrEqual(750);
    expect(answers - 5_000).toBeLessThanOrEqual(500);
  }
});

test('one late answer is nothing', async () => {
  expect(await watched([[1_000, 1_210], [3_000, 3_210]], 10_000)).toEqual({ result: 'ended', changes: [] });
});

test('an engine that never answers again is given up, and not told of twice', async () => {
  const { result, changes } = await watched([[1_000, 1e9]], 60_000);
  expect([result, changes.length]).toEqual(['hung', 1]);
});
