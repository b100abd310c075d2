import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NameCache, type NameCacheOptions } from '../../../src/dns/name-cache.js';
import { isWildcard } from '../../../src/dns/pattern.js';
import { ManualClock } from './manual-clock.js';

function cacheOf(clock: ManualClock, options: Partial<NameCacheOptions> = {}): { cache: NameCache; expired: () => number } {
  let expired = 0;
  const cache = new NameCache({ clock, minTtlSeconds: 0, ...options, onExpired: () => {
    expired += 1;
  } });
  return { cache, expired: () => expired };
}
const answer = (name: string, ttlSeconds: number, ...addresses: readonly string[]) => ({ name, addresses: addresses.map((address) => ({ address, ttlSeconds })) });
const of = (cache: NameCache, pattern: string): string[] => [...cache.addressesOf(pattern)].toSorted();
/** Deadlines are kept to a fifth of a second. */
const GRAIN = 200;

describe('NameCache', () => {
  test('keeps wanted names only, and says when their addresses change', () => {
    const { cache } = cacheOf(new ManualClock());
    cache.want(['a.example', '*.org']);
    expect([cache.learn(answer('a.example', 60, '10.0.0.1')), cache.learn(answer('a.example', 60, '10.0.0.1')), cache.learn(answer('b.example', 60, '10.0.0.2'))]).toEqual([true, false, false]);
    expect(cache.learn(answer('x.y.org', 60, '10.0.0.3', 'fd00::3'))).toBe(true);
    expect([of(cache, 'a.example'), of(cache, 'b.example'), of(cache, '*.org'), cache.size]).toEqual([['10.0.0.1'], [], ['10.0.0.3', 'fd00::3'], 2]);
  });

  test('an address stands for its TTL, counted from its last answer; others of the name for theirs', () => {
    const clock = new ManualClock();
    const { cache, expired } = cacheOf(clock);
    cache.want(['a.example']);
    cache.learn(answer('a.example', 10, '10.0.0.1', '10.0.0.2'));
    clock.move(6_000);
    cache.learn(answer('a.example', 10, '10.0.0.2'));
    clock.move(4_000 + GRAIN);
    expect([of(cache, 'a.example'), expired()]).toEqual([['10.0.0.2'], 1]);
    clock.move(6_000);
    expect([of(cache, 'a.example'), expired(), cache.size, clock.pending]).toEqual([[], 2, 0, 0]);
  });

  test('a later answer never shortens the time of an earlier one', () => {
    const clock = new ManualClock();
    const { cache } = cacheOf(clock);
    cache.want(['a.example']);
    cache.learn(answer('a.example', 100, '10.0.0.1'));
    cache.learn(answer('a.example', 1, '10.0.0.1'));
    clock.move(50_000);
    expect(of(cache, 'a.example')).toEqual(['10.0.0.1']);
  });

  test('the minimum TTL holds what would go earlier; TTL 0 lasts for the transaction', () => {
    const clock = new ManualClock();
    const [patient, plain] = [cacheOf(clock, { minTtlSeconds: 30 }).cache, cacheOf(clock).cache];
    for (const cache of [patient, plain]) {
      cache.want(['a.example']);
      cache.learn(answer('a.example', 0, '10.0.0.1'));
      expect(of(cache, 'a.example')).toEqual(['10.0.0.1']);
    }
    clock.move(1_000 + GRAIN);
    expect([of(patient, 'a.example'), of(plain, 'a.example')]).toEqual([['10.0.0.1'], []]);
    clock.move(29_000 + GRAIN);
    expect(of(patient, 'a.example')).toEqual([]);
  });

  test('a name of a wildcard over its limit goes out, the least recently answered first; an exact one stays', () => {
    const { cache } = cacheOf(new ManualClock(), { limits: { perWildcard: 2, allWildcards: 3 } });
    cache.want(['*.org', 'b.org', '*.net']);
    for (const [index, name] of ['a.org', 'b.org', 'a.org', 'c.org'].entries()) cache.learn(answer(name, 60, `10.0.0.${index}`));
    // b.org left the wildcard, not the cache.
    expect([of(cache, '*.org'), of(cache, 'b.org')]).toEqual([['10.0.0.0', '10.0.0.2', '10.0.0.3'], ['10.0.0.1']]);
    expect(cache.learn(answer('a.net', 60, '10.0.1.0'))).toBe(true);
    expect(cache.learn(answer('b.net', 60, '10.0.1.1'))).toBe(true);
    expect(cache.snapshot().map(({ name }) => name)).toEqual(['b.org', 'c.org', 'a.net', 'b.net']);
  });

  test('a wildcard that comes later has the names that are known', () => {
    const { cache } = cacheOf(new ManualClock());
    cache.want(['a.example.org']);
    cache.learn(answer('a.example.org', 60, '10.0.0.1'));
    expect(of(cache, '*.org')).toEqual(['10.0.0.1']);
    cache.want(['*.org']);
    expect(of(cache, '*.org')).toEqual(['10.0.0.1']);
  });

  test('comes back from a snapshot without what expired since, whatever the clock counts from', () => {
    const before = new ManualClock();
    const first = cacheOf(before).cache;
    first.want(['*']);
    first.learn(answer('a.example', 10, '10.0.0.1'));
    first.learn(answer('b.example', 100, '10.0.0.2', 'fd00::2'));
    const stored: unknown = JSON.parse(JSON.stringify(first.snapshot()));
    const after = new ManualClock(before.now() + 20_000 - 5_000);
    const second = cacheOf(after);
    second.cache.restore(stored as ReturnType<NameCache['snapshot']>);
    expect([of(second.cache, 'a.example'), of(second.cache, '*.example')]).toEqual([[], ['10.0.0.2', 'fd00::2']]);
    after.move(80_000 + GRAIN);
    expect([of(second.cache, '*'), second.expired()]).toEqual([[], 1]);
  });

  test('whatever happens: addresses are those whose newest deadline is not over, and each change is told', () => {
    const name = fc.constantFrom('a.org', 'b.org', 'x.a.org', 'a.net');
    const patterns = fc.subarray(['a.org', '*.org', '*a*', '*', 'x.a.org', 'a.net']);
    const step = fc.oneof(
      fc.record({ kind: fc.constant('learn' as const), name, ttl: fc.integer({ min: 0, max: 8 }), addresses: fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1'), { minLength: 1 }) }),
      fc.record({ kind: fc.constant('move' as const), ms: fc.integer({ min: 1, max: 6 }).map((seconds) => seconds * 1000) }),
      fc.record({ kind: fc.constant('want' as const), patterns }),
    );
    fc.assert(fc.property(patterns, fc.integer({ min: 0, max: 4 }), fc.array(step, { maxLength: 40 }), (initial, minTtlSeconds, steps) => {
      const clock = new ManualClock();
      const { cache, expired } = cacheOf(clock, { minTtlSeconds });
      // The oracle: every answer that was wanted, as a fact with an end.
      const facts: { readonly name: string; readonly address: string; readonly end: number }[] = [];
      let wanted = initial;
      const matches = (pattern: string, text: string): boolean => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(text);
      const expected = (pattern: string): string[] => [...new Set(facts.filter((fact) => fact.end > clock.monotonic() && matches(pattern, fact.name)).map(({ address }) => address))].toSorted();
      const all = (): string => JSON.stringify(['a.org', 'b.org', 'x.a.org', 'a.net'].map(expected));
      cache.want(initial);
      for (const one of steps) {
        if (one.kind === 'want') {
          wanted = one.patterns;
          cache.want(wanted);
        } else if (one.kind === 'move') {
          const [before, told] = [all(), expired()];
          clock.move(one.ms);
          // Nothing is asked inside the grain.
          clock.move(GRAIN);
          expect(expired() > told).toBe(all() !== before);
        } else {
          const before = all();
          const lives = Math.max(one.ttl, minTtlSeconds, 1) * 1000;
          if (wanted.some((pattern) => matches(pattern, one.name))) facts.push(...one.addresses.map((address) => ({ name: one.name, address, end: clock.monotonic() + lives })));
          const told = cache.learn({ name: one.name, addresses: one.addresses.map((address) => ({ address, ttlSeconds: one.ttl })) });
          if (all() !== before) expect(told).toBe(true);
        }
        for (const pattern of ['a.org', 'a.net', '*.org', '*a*', '*']) expect(of(cache, pattern)).toEqual(expected(pattern));
      }
      expect(isWildcard('*')).toBe(true);
    }), { numRuns: 300 });
  });
});
