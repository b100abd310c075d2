import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AlertWindows, type AlertWindow } from '../../../../src/drivers/ids/alert-windows.js';

/** Slow and obvious: a list of windows, looked through every time. */
class SlowWindows {
  private open: { readonly window: AlertWindow; usedAt: number }[] = [];
  private uses = 0;
  private now = Number.NEGATIVE_INFINITY;
  forgotten = 0;

  constructor(private readonly windowMs: number, private readonly capacity: number) {}

  offer(key: string, id: string, alertMs: number, at: number): { readonly outcome: 'counted' | 'first'; readonly closed: readonly AlertWindow[] } {
    this.now = Math.max(this.now, at);
    this.uses += 1;
    const known = this.open.find((entry) => entry.window.key === key && this.now < entry.window.openedAt + this.windowMs);
    if (known !== undefined) {
      known.window.count += 1;
      known.window.lastMs = Math.max(known.window.lastMs, alertMs);
      known.usedAt = this.uses;
      return { outcome: 'counted', closed: [] };
    }
    if (this.windowMs === 0) return { outcome: 'first', closed: [] };
    const closed = this.open.filter((entry) => entry.window.key === key);
    this.open = this.open.filter((entry) => entry.window.key !== key);
    this.open.push({ window: { key, alertId: id, openedAt: this.now, count: 1, lastMs: alertMs }, usedAt: this.uses });
    if (this.open.length > this.capacity) {
      const oldest = this.open.toSorted((a, b) => a.usedAt - b.usedAt)[0];
      if (oldest !== undefined) closed.push(oldest);
      this.open = this.open.filter((entry) => entry !== oldest);
      this.forgotten += 1;
    }
    return { outcome: 'first', closed: closed.map(({ window }) => window) };
  }

  due(at: number): AlertWindow[] {
    this.now = Math.max(this.now, at);
    const over = this.open.filter(({ window }) => this.now >= window.openedAt + this.windowMs);
    this.open = this.open.filter((entry) => !over.includes(entry));
    return over.map(({ window }) => window);
  }

  get windows(): AlertWindow[] {
    return this.open.map(({ window }) => window);
  }
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('alert' as const), key: fc.integer({ min: 0, max: 6 }), wait: fc.integer({ min: -5, max: 40 }), alertMs: fc.integer({ min: 0, max: 1_000 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('due' as const), wait: fc.integer({ min: -5, max: 150 }) }) },
);

describe('AlertWindows', () => {
  test('does as the slow and obvious one', () => {
    fc.assert(fc.property(fc.constantFrom(0, 1, 50, 100), fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 80 }), (windowMs, capacity, steps) => {
      const fast = new AlertWindows(windowMs, capacity);
      const slow = new SlowWindows(windowMs, capacity);
      let now = 0;
      for (const [index, each] of steps.entries()) {
        now += each.wait;
        if (each.kind === 'due') expect(fast.due(now)).toEqual(slow.due(now));
        else {
          const key = `k${each.key}`;
          const counted = fast.count(key, each.alertMs, now);
          const closed = counted === undefined ? fast.open(key, { id: `a${index}`, timeMs: each.alertMs }, now).closed : [];
          expect({ outcome: counted === undefined ? 'first' : 'counted', closed }).toEqual(slow.offer(key, `a${index}`, each.alertMs, now));
        }
        expect([...fast.windows()]).toEqual(slow.windows);
        expect(fast.forgotten).toBe(slow.forgotten);
        expect(fast.size).toBeLessThanOrEqual(capacity);
      }
    }), { numRuns: 500 });
  });

  test('every alert is in exactly one window: the counts add up to the alerts', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const windows = new AlertWindows(60, 3);
      let now = 0;
      let alerts = 0;
      let counted = 0;
      for (const [index, each] of steps.entries()) {
        now += Math.max(0, each.wait);
        if (each.kind === 'due') counted += sum(windows.due(now));
        else {
          alerts += 1;
          if (windows.count(`k${each.key}`, 0, now) === undefined) counted += sum(windows.open(`k${each.key}`, { id: `a${index}`, timeMs: 0 }, now).closed);
        }
      }
      expect(counted + sum([...windows.windows()])).toBe(alerts);
      expect(sum(windows.due(Number.MAX_SAFE_INTEGER)) + counted).toBe(alerts);
    }));
  });

  test('a restored window goes on where it was, and tells when it is due', () => {
    const windows = new AlertWindows(100, 10);
    expect(windows.nextDue).toBeUndefined();
    expect(windows.restore({ key: 'k', alertId: 'a', openedAt: 40, count: 5, lastMs: 7 })).toEqual([]);
    expect(windows.nextDue).toBe(140);
    expect(windows.count('k', 9, 139)).toMatchObject({ count: 6, lastMs: 9 });
    expect(windows.due(139)).toEqual([]);
    expect(windows.due(140)).toMatchObject([{ alertId: 'a', count: 6 }]);
  });
});

function sum(windows: readonly AlertWindow[]): number {
  return windows.reduce((total, { count }) => total + count, 0);
}
