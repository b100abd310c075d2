/** What leases promise, whatever kind they are: docs/egress.md, src/drivers/egress/leases.ts. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EgressLeases, LeaseEntry } from '../../src/drivers/egress/leases.js';
import { Cleanup } from './cleanup.js';
import { eventually } from './command.js';
import type { LeaseWorld } from './lease-worlds.js';

const TTL = 1_000;
/** Of a machine that does other things. */
const SLACK = 1_500;

interface Belief { readonly holder: string; readonly from: number; until: number }
const entry = (key: string, holder: string, value = ''): LeaseEntry => ({ key: `address/${key}`, holder, value });

export function leaseContract(kind: string, open: (cleanup: Cleanup, ttlMs: number) => Promise<LeaseWorld>): void {
  const cleanup = new Cleanup();
  let world: LeaseWorld;
  beforeAll(async () => {
    world = await open(cleanup, TTL);
  }, 30_000);
  afterAll(() => cleanup.run());

  /** Tries until it is this holder's. */
  const until = async (leases: EgressLeases, wanted: LeaseEntry, withinMs = TTL + SLACK): Promise<void> => {
    await eventually(`${wanted.holder} has ${wanted.key}`, async () => ((await leases.claim(wanted, TTL).catch(() => undefined))?.holder === wanted.holder ? true : undefined), withinMs, 20);
  };
  const listed = async (leases: EgressLeases, key: string): Promise<LeaseEntry | undefined> => (await leases.list()).find((one) => one.key === `address/${key}`);

  test('is one holder\'s: taken, renewed, refused to others, released', async () => {
    const [a, b] = [world.leases('a'), world.leases('b')];
    expect(await listed(a, 'fd00::1')).toBeUndefined();
    expect(await a.claim(entry('fd00::1', 'a', 'here'), TTL)).toEqual(entry('fd00::1', 'a', 'here'));
    expect(await b.claim(entry('fd00::1', 'b'), TTL)).toEqual(entry('fd00::1', 'a', 'here'));
    expect(await listed(b, 'fd00::1')).toEqual(entry('fd00::1', 'a', 'here'));
    expect(await a.claim(entry('fd00::1', 'a', 'there'), TTL)).toEqual(entry('fd00::1', 'a', 'there'));
    expect(await listed(b, 'fd00::1')).toEqual(entry('fd00::1', 'a', 'there'));
    await b.release('address/fd00::1', 'b');
    expect((await b.claim(entry('fd00::1', 'b'), TTL)).holder).toBe('a');
    await a.release('address/fd00::1', 'a');
    await a.release('address/fd00::1', 'a');
    expect(await listed(b, 'fd00::1')).toBeUndefined();
    expect(await b.claim(entry('fd00::1', 'b'), TTL)).toEqual(entry('fd00::1', 'b'));
    expect(await a.claim(entry('fd00::1', 'a'), TTL)).toEqual(entry('fd00::1', 'b'));
  });

  test('ends with the last renewal, never early, and soon after; who comes back then finds another', async () => {
    const [a, b] = [world.leases('a'), world.leases('b')];
    await Promise.all(['1', '2', '3'].map((key) => a.claim(entry(key, 'a'), TTL)));
    await pause(TTL / 3);
    const renewedAt = performance.now();
    await a.claim(entry('1', 'a'), TTL);
    await until(b, entry('1', 'b'));
    const tookMs = performance.now() - renewedAt;
    console.log(`${kind}: another had it ${Math.round(tookMs)} ms after the last renewal for ${TTL} ms`);
    expect(tookMs).toBeGreaterThanOrEqual(TTL);
    expect(await listed(b, '2')).toBeUndefined();
    expect((await a.claim(entry('1', 'a'), TTL)).holder).toBe('b');
    expect(await a.claim(entry('2', 'a'), TTL)).toEqual(entry('2', 'a'));
  });

  test('goes on with a process that is started again', async () => {
    await world.leases('a').claim(entry('again', 'a'), TTL);
    expect((await world.leases('b').claim(entry('again', 'b'), TTL)).holder).toBe('a');
    expect(await world.leases('a').claim(entry('again', 'a', 'new'), TTL)).toEqual(entry('again', 'a', 'new'));
  });

  test('of many at once is one holder\'s', async () => {
    const holders = Array.from({ length: 6 }, (_, index) => `many-${index}`);
    const all = holders.map((holder) => ({ holder, leases: world.leases(holder) }));
    const found = await Promise.all(all.flatMap(({ holder, leases }) => ['x', 'y'].map((key) => leases.claim(entry(key, holder), TTL).catch(() => undefined))));
    for (const key of ['x', 'y']) {
      const claimed = found.filter((one) => one?.key === `address/${key}`);
      expect(claimed.length).toBeGreaterThan(0);
      expect(new Set(claimed.map((one) => one?.holder)).size).toBe(1);
    }
  });

  test('cannot be had while the store is away, by nobody; afterwards by its time', async () => {
    const [a, b] = [world.leases('a'), world.leases('b')];
    const renewedAt = performance.now();
    await a.claim(entry('away', 'a'), TTL);
    expect((await b.claim(entry('away', 'b'), TTL)).holder).toBe('a');
    await world.away();
    for (const [holder, leases] of [['a', a], ['b', b]] as const) {
      await expect(leases.claim(entry('away', holder), TTL)).rejects.toMatchObject({ retryable: true });
      await expect(leases.list()).rejects.toMatchObject({ retryable: true });
      await expect(leases.release('address/away', holder)).rejects.toMatchObject({ retryable: true });
    }
    await world.back();
    await until(b, entry('away', 'b'), TTL + 2 * SLACK);
    expect(performance.now() - renewedAt).toBeGreaterThanOrEqual(TTL);
    expect((await a.claim(entry('away', 'a'), TTL)).holder).toBe('b');
  }, 20_000);

  /** Claimers that renew, and die now and then without a word, as a process that is killed. */
  async function beliefs(key: string, wanted: (soFar: Belief[]) => boolean): Promise<Belief[]> {
    const intervals: Belief[] = [];
    const goOn = (): boolean => wanted(intervals);
    await Promise.all(['p', 'q'].map(async (holder) => {
      while (goOn()) {
        const leases = world.leases(holder);
        let own: Belief | undefined;
        for (let renewals = 1 + Math.random() * 3; renewals > 0 && goOn();) {
          const before = performance.now();
          const found = await leases.claim(entry(key, holder), TTL).catch(() => undefined);
          const after = performance.now();
          // As the owner of an address sees it: unknown is not renewed, and what is over is over.
          if (found?.holder === holder && before + TTL > after) {
            if (own === undefined || own.until < after) intervals.push(own = { holder, from: after, until: before + TTL });
            else own.until = before + TTL;
            renewals -= 1;
            await pause(TTL / 6);
          } else await pause(20);
        }
        await pause((0.5 + 1.5 * Math.random()) * TTL);
      }
    }));
    return intervals.sort((one, other) => one.from - other.from);
  }

  function changesOf(intervals: Awaited<ReturnType<typeof beliefs>>): number {
    return intervals.filter(({ holder }, index) => index > 0 && intervals[index - 1]?.holder !== holder).length;
  }

  test('never is of two holders at a time, whatever becomes of the store\'s leader', async () => {
    const end = performance.now() + 15_000;
    let going = true;
    const claiming = beliefs('loop', (intervals) => (going || changesOf(intervals) < 3) && performance.now() < end);
    try {
      await world.disturb?.('SIGKILL');
      await world.disturb?.('SIGSTOP');
    } finally {
      going = false;
    }
    const healedAt = performance.now();
    const intervals = await claiming;
    const overlaps = intervals.flatMap((one, index) => intervals.slice(index + 1).filter((other) => other.holder !== one.holder && other.from < one.until).map((other) => ({ one, other })));
    console.log(`${kind}: ${changesOf(intervals)} changes of the holder`);
    expect(overlaps).toEqual([]);
    expect(changesOf(intervals)).toBeGreaterThanOrEqual(3);
    if (world.disturb !== undefined) expect(intervals.some(({ until: last }) => last > healedAt)).toBe(true);
  }, 40_000);
}
