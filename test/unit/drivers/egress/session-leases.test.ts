import { describe, expect, test } from 'vitest';
import type { LeaseEntry } from '../../../../src/drivers/egress/leases.js';
import { SessionLeases } from '../../../../src/drivers/egress/session-leases.js';
import type { LeaseRecord, LeaseSnapshot, LeaseStore } from '../../../../src/model/lease-store.js';
import { ManualClock } from '../../dns/manual-clock.js';

const TTL = 3_000;

class MemoryStore implements LeaseStore {
  history = 'one';
  revision = 1;
  records = new Map<string, LeaseRecord>();
  writes = 0;
  /** The next write is done, and its answer lost: asked again, something else is there. */
  losesAnswer = false;
  /** Called in the middle of the next read. */
  meanwhile: (() => Promise<void>) | undefined;

  async read(): Promise<LeaseSnapshot> {
    const snapshot = { history: this.history, revision: this.revision, records: [...this.records.values()] };
    const { meanwhile } = this;
    this.meanwhile = undefined;
    await meanwhile?.();
    return snapshot;
  }
  async write(name: string, text: string, version: string | undefined): Promise<string | undefined> {
    await Promise.resolve();
    if (this.records.get(name)?.version !== version) return undefined;
    this.writes += 1;
    this.revision += 1;
    this.records.set(name, { name, text, version: String(this.revision) });
    if (!this.losesAnswer) return String(this.revision);
    this.losesAnswer = false;
    return undefined;
  }
  async remove(name: string, version: string): Promise<boolean> {
    await Promise.resolve();
    if (this.records.get(name)?.version !== version) return false;
    this.revision += 1;
    return this.records.delete(name);
  }
  onChange(): () => void {
    return () => undefined;
  }
  names(): string[] {
    return [...this.records.keys()].sort();
  }
}

const entry = (holder: string, key = 'address/1', value = ''): LeaseEntry => ({ key, holder, value });

describe('leases by sessions', () => {
  const worldOf = (): { readonly store: MemoryStore; readonly clock: ManualClock; readonly of: (holder: string, random?: number) => SessionLeases } => {
    const [store, clock] = [new MemoryStore(), new ManualClock()];
    return { store, clock, of: (holder, random = 0.99) => new SessionLeases({ store, holder, clock, random: () => random }) };
  };

  test('a renewal is one write, of however many entries', async () => {
    const { store, of } = worldOf();
    const a = of('a');
    const claims = ['1', '2', '3', '4', '5'].map((key) => entry('a', key));
    await Promise.all(claims.map((one) => a.claim(one, TTL)));
    expect(store.writes).toBe(6);
    expect(await Promise.all(claims.map((one) => a.claim(one, TTL)))).toEqual(claims);
    expect(store.writes).toBe(7);
  });

  test('a claim that comes while a renewal is under way is not served by that', async () => {
    const { store, of } = worldOf();
    const a = of('a');
    await a.claim(entry('a'), TTL);
    const first = a.claim(entry('a'), TTL);
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
    const second = a.claim(entry('a'), TTL);
    await Promise.all([first, second]);
    expect(store.writes).toBe(4);
  });

  test('the time counts from when another saw the last renewal', async () => {
    const { clock, of } = worldOf();
    const [a, b] = [of('a'), of('b')];
    await a.claim(entry('a'), TTL);
    clock.move(TTL * 2);
    // It has just come, and knows nothing.
    expect(await b.claim(entry('b'), TTL)).toEqual(entry('a'));
    clock.move(TTL - 1);
    expect(await b.claim(entry('b'), TTL)).toEqual(entry('a'));
    await a.claim(entry('a'), TTL);
    clock.move(1);
    expect(await b.claim(entry('b'), TTL)).toEqual(entry('a'));
    clock.move(TTL - 1);
    expect(await b.list()).toEqual([entry('a')]);
    clock.move(1);
    expect(await b.list()).toEqual([]);
    expect(await b.claim(entry('b'), TTL)).toEqual(entry('b'));
    expect(await a.claim(entry('a'), TTL)).toEqual(entry('b'));
  });

  test('a renewal at the last moment wins over who is about to take', async () => {
    const { store, clock, of } = worldOf();
    const [a, b] = [of('a'), of('b')];
    await a.claim(entry('a'), TTL);
    await b.list();
    clock.move(TTL);
    store.meanwhile = async () => {
      await a.claim(entry('a'), TTL);
    };
    expect(await b.claim(entry('b'), TTL)).toEqual(entry('a'));
  });

  test('tells those who listen when the time of a session is over', async () => {
    const { clock, of } = worldOf();
    const [a, b] = [of('a'), of('b')];
    let told = 0;
    const forget = b.onChange(() => {
      told += 1;
    });
    await a.claim(entry('a'), TTL);
    await b.list();
    clock.move(TTL - 1);
    expect(told).toBe(0);
    clock.move(2);
    expect(told).toBe(1);
    await b.list();
    await a.claim(entry('a'), TTL);
    await b.list();
    forget();
    expect(clock.pending).toBe(0);
  });

  test('an answer that got lost costs nothing', async () => {
    const { store, of } = worldOf();
    const a = of('a');
    for (const value of ['x', 'y']) {
      store.losesAnswer = true;
      expect(await a.claim(entry('a', 'address/1', value), TTL)).toEqual(entry('a', 'address/1', value));
    }
    const [, session] = [...store.records.values()].map(({ text }) => (JSON.parse(text) as { session: string }).session);
    expect([...store.records.values()].every(({ text }) => (JSON.parse(text) as { session: string }).session === session)).toBe(true);
  });

  test('a process goes on with the session of the one before it, but never with one that it has lost', async () => {
    const { store, clock, of } = worldOf();
    await of('a').claim(entry('a'), TTL);
    const [again, b] = [of('a'), of('b')];
    await again.claim(entry('a'), TTL);
    expect(store.names()).toEqual(['keys/address/1', 'sessions/a']);
    await b.list();
    clock.move(TTL);
    await b.claim(entry('b', 'address/1'), TTL);
    await b.release('address/1', 'b');
    expect(await again.claim(entry('a'), TTL)).toEqual(entry('a'));
  });

  test('in an older store, or another, nobody takes anything for the time of a lease', async () => {
    const { store, clock, of } = worldOf();
    const [a, b] = [of('a'), of('b')];
    await a.claim(entry('a'), TTL);
    const backup = { records: new Map(store.records), revision: store.revision };
    await a.release('address/1', 'a');
    await b.claim(entry('b'), TTL);
    await Promise.all([a.list(), b.list()]);
    Object.assign(store, backup);
    // The store says it is a's; b is sure for up to its time that it is b's.
    expect(await a.list()).not.toContainEqual(entry('b'));
    await expect(a.claim(entry('a'), TTL)).rejects.toMatchObject({ code: 'E_CONFLICT', retryable: true });
    clock.move(TTL - 1);
    await expect(a.claim(entry('a'), TTL)).rejects.toMatchObject({ code: 'E_CONFLICT' });
    clock.move(1);
    expect(await a.claim(entry('a'), TTL)).toEqual(entry('a'));
    Object.assign(store, { history: 'two', records: new Map() });
    await a.list();
    await expect(a.claim(entry('a', 'address/2'), TTL)).rejects.toMatchObject({ code: 'E_CONFLICT' });
  });

  test('what dead holders left is cleared away, once', async () => {
    const { store, clock, of } = worldOf();
    await of('a').claim(entry('a', 'node/a'), TTL);
    const b = of('b', 0);
    await b.claim(entry('b', 'node/b'), TTL);
    clock.move(TTL * 20);
    await b.claim(entry('b', 'node/b'), TTL);
    await b.list();
    for (let round = 0; round < 3; round += 1) {
      await b.claim(entry('b', 'node/b'), TTL);
      await b.list();
    }
    expect(store.names()).toEqual(['keys/node/b', 'sessions/b']);
    // A holder that comes back begins anew.
    expect(await of('a').claim(entry('a', 'node/a'), TTL)).toEqual(entry('a', 'node/a'));
  });

  test('what is not ours to read is overwritten only under its key', async () => {
    const { store, of } = worldOf();
    store.records.set('keys/address/1', { name: 'keys/address/1', text: 'no JSON', version: '7' });
    store.records.set('sessions/x', { name: 'sessions/x', text: '[]', version: '8' });
    store.records.set('other/x', { name: 'other/x', text: '', version: '9' });
    expect(await of('a').list()).toEqual([]);
    expect(await of('a').claim(entry('a'), TTL)).toEqual(entry('a'));
    expect(store.names()).toContain('other/x');
  });
});
