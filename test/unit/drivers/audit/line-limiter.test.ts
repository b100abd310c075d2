import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineLimiter } from '../../../../src/drivers/audit/line-limiter.js';

const rule = { table: 't', ruleId: 1 };

test('a burst passes, then the rate', () => {
  const limiter = new LineLimiter({ rate: 100, burst: 200 });
  let admitted = 0;
  for (let index = 0; index < 500; index += 1) if (limiter.admit(rule, 0)) admitted += 1;
  expect(admitted).toBe(200);
  for (let index = 0; index < 500; index += 1) if (limiter.admit(rule, 1000)) admitted += 1;
  expect(admitted).toBe(300);
  expect(limiter.report(1000)).toEqual([{ rule, lines: 700 }]);
  expect(limiter.report(1000)).toEqual([]);
});

test('rules do not take each other\'s lines', () => {
  const limiter = new LineLimiter({ rate: 1, burst: 1 });
  expect(limiter.admit(rule, 0)).toBe(true);
  expect(limiter.admit({ table: 't', ruleId: 2 }, 0)).toBe(true);
  expect(limiter.admit({ table: 'u', ruleId: 1 }, 0)).toBe(true);
  expect(limiter.admit(rule, 0)).toBe(false);
});

test('idle rules are forgotten', () => {
  const limiter = new LineLimiter({ rate: 10, burst: 10 });
  for (let ruleId = 0; ruleId < 1000; ruleId += 1) limiter.admit({ table: 't', ruleId }, 0);
  expect(limiter.size).toBe(1000);
  limiter.report(10_000);
  expect(limiter.size).toBe(0);
});

test('a clock set back takes nothing away', () => {
  const limiter = new LineLimiter({ rate: 1, burst: 2 });
  expect(limiter.admit(rule, 1_000_000)).toBe(true);
  expect(limiter.admit(rule, 0)).toBe(true);
  expect(limiter.admit(rule, 0)).toBe(false);
});

test('admitted and reported lines add up to all, and never exceed burst + rate * time', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ gap: fc.integer({ min: 0, max: 500 }), report: fc.boolean() }), { maxLength: 300 }), (steps) => {
      const limiter = new LineLimiter({ rate: 20, burst: 5 });
      let now = 0;
      let admitted = 0;
      let reported = 0;
      for (const { gap, report } of steps) {
        now += gap;
        if (limiter.admit(rule, now)) admitted += 1;
        if (report) for (const { lines } of limiter.report(now)) reported += lines;
      }
      for (const { lines } of limiter.report(now)) reported += lines;
      expect(admitted + reported).toBe(steps.length);
      expect(admitted).toBeLessThanOrEqual(5 + (now * 20) / 1000 + 1e-6);
    }),
  );
});
