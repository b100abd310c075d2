import { mkdtemp, readFile, rm, writeFile, appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AlertJournal } from '../../../../src/drivers/ids/alert-journal.js';
import { AlertStore, SLICE, type AlertOwner, type AlertStoreOptions, type ConnectionFacts } from '../../../../src/drivers/ids/alerts.js';
import type { EveAlert } from '../../../../src/drivers/ids/eve-alert.js';
import type { PositionStore } from '../../../../src/drivers/ids/tail-position.js';
import type { AlertView } from '../../../../src/model/views.js';
import type { Clock } from '../../../../src/platform/clock.js';
import type { Logger } from '../../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const START = Date.parse('2026-01-01T00:00:00Z');
const nowhere: PositionStore = { load: () => Promise.resolve(undefined), save: () => Promise.resolve() };

/** A clock that the test turns; actions run when their time has come. */
class TurnedClock implements Clock {
  time = 0;
  private actions: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return START + this.time;
  }

  monotonic(): number {
    return this.time;
  }

  after(delayMs: number, run: () => void): () => void {
    const action = { at: this.time + delayMs, run };
    this.actions.push(action);
    return () => {
      this.actions = this.actions.filter((each) => each !== action);
    };
  }

  async turn(ms: number): Promise<void> {
    this.time += ms;
    const due = this.actions.filter(({ at }) => at <= this.time);
    this.actions = this.actions.filter(({ at }) => at > this.time);
    for (const { run } of due) run();
    for (let i = 0; i < 10; i += 1) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** `n` makes it another event; `sid` another kind. */
function alert(n: number, severity = 3, sid = n): EveAlert {
  const source = { address: '10.0.0.1', port: n };
  const destination = { address: '10.0.0.2', port: 80 };
  const timestamp = new Date(START + n * 1000).toISOString();
  const view: AlertView = { id: `id-${String(n)}`, timestamp, signatureId: sid, signature: 's', category: 'Web Attack', severity, action: 'allowed', protocol: 'tcp', source, destination };
  return { view, timeMs: START + n * 1000, connection: { protocol: 'tcp', source, destination } };
}

interface Built { readonly store: AlertStore; readonly emitted: AlertView[]; readonly summaries: AlertView[]; readonly clock: TurnedClock; readonly counted: Map<string, number> }
interface BuildOptions extends Partial<AlertStoreOptions> {
  readonly owner?: (port: number) => AlertOwner | undefined;
  readonly facts?: (port: number) => ConnectionFacts | undefined;
  readonly connections?: (count: number, patient: boolean) => Promise<readonly (ConnectionFacts | undefined)[]>;
  readonly journal?: AlertJournal;
  readonly clock?: TurnedClock;
}
function build(options: BuildOptions = {}): Built {
  const emitted: AlertView[] = [];
  const summaries: AlertView[] = [];
  const counted = new Map<string, number>();
  const clock = options.clock ?? new TurnedClock();
  const { owner, facts, connections, journal, clock: _, ...limits } = options;
  const store = new AlertStore({ windowMs: 0, ...limits }, {
    contexts: {
      owner: ({ source }) => owner?.(source.port),
      connections: (tuples, patient) => connections?.(tuples.length, patient) ?? Promise.resolve(tuples.map(({ source }) => facts?.(source.port))),
    },
    onAlert: (each, kind) => (kind === 'alert' ? emitted : summaries).push(each),
    onCounted: (severity, action, count) => counted.set(`${severity} ${action}`, (counted.get(`${severity} ${action}`) ?? 0) + count),
    clock, log: silent, ...(journal === undefined ? {} : { journal }),
  });
  return { store, emitted, summaries, clock, counted };
}
const ids = (alerts: readonly AlertView[]): number[] => alerts.map((each) => each.signatureId);

describe('AlertStore', () => {
  test('keeps the newest, lists them newest first, counts all', async () => {
    const { store, emitted, counted } = build({ capacity: 3 });
    expect(store.list()).toEqual([]);
    await store.add([alert(1, 1), alert(2, 2)]);
    expect(ids(store.list())).toEqual([2, 1]);
    await store.add([alert(3, 3), alert(4, 3), alert(5, 1)]);
    expect(ids(store.list())).toEqual([5, 4, 3]);
    expect(store.find('id-1')).toBeUndefined();
    expect(store.find('id-4')?.signatureId).toBe(4);
    expect(store.counts()).toEqual(new Map([[1, 2], [2, 1], [3, 2]]));
    expect(counted).toEqual(new Map([['1 allowed', 2], ['2 allowed', 1], ['3 allowed', 2]]));
    expect(ids(emitted)).toEqual([1, 2, 3, 4, 5]);
  });

  test('an alert that is read twice counts once', async () => {
    const { store, emitted, counted } = build();
    await store.add([alert(1), alert(2), alert(2)]);
    await store.add([alert(2), alert(3)]);
    expect(ids(emitted)).toEqual([1, 2, 3]);
    expect(ids(store.list())).toEqual([3, 2, 1]);
    expect(counted.get('3 allowed')).toBe(3);
  });

  test('selects by severity, time, workload, signature, category and limit', async () => {
    const owner: AlertOwner = { filter: 'nic-1-eth0-dfw.2', workload: { kind: 'Pod', namespace: 'default', name: 'web' } };
    const facts: ConnectionFacts = { ruleId: 7, flowId: 'f' };
    const { store } = build({ owner: (port) => (port % 2 === 0 ? owner : undefined), facts: (port) => (port % 2 === 0 ? facts : undefined) });
    await store.add([alert(1, 1), alert(2, 2), alert(3, 3), alert(4, 3)]);
    expect(ids(store.list({ minSeverity: 2 }))).toEqual([2, 1]);
    expect(ids(store.list({ sinceMs: START + 3000 }))).toEqual([4, 3]);
    expect(ids(store.list({ limit: 1 }))).toEqual([4]);
    expect(ids(store.list({ signatureId: 3 }))).toEqual([3]);
    expect(ids(store.list({ category: 'WEB' }))).toEqual([4, 3, 2, 1]);
    expect(store.list({ category: 'policy' })).toEqual([]);
    for (const workload of ['web', 'default/web', 'nic-1-eth0-dfw.2']) expect(ids(store.list({ workload })), workload).toEqual([4, 2]);
    expect(store.list({ workload: 'other' })).toEqual([]);
    expect(store.list({ workload: 'web', minSeverity: 2 })[0]).toMatchObject({ ...owner, ...facts });
  });

  test('a failed lookup costs the facts of the connection, not the alert', async () => {
    const { store } = build({ connections: () => Promise.reject(new Error('EIO')) });
    await store.add([alert(1)]);
    expect(store.list()).toEqual([alert(1).view]);
  });

  test('few alerts wait for their connections, many do not', async () => {
    const asked: [number, boolean][] = [];
    const { store } = build({
      connections: (count, patient) => {
        asked.push([count, patient]);
        return Promise.resolve([]);
      },
    });
    await store.add([alert(1)]);
    await store.add(Array.from({ length: 300 }, (_, index) => alert(index + 10)));
    expect(asked).toEqual([[1, true], [SLICE, false], [300 - SLICE, false]]);
  });

  test('alike alerts are given out once, counted, and given out again at the end of their window', async () => {
    const { store, emitted, summaries, clock, counted } = build({ windowMs: 60_000 });
    await store.start();
    await store.add([alert(1, 2, 7), alert(2, 2, 7), alert(3, 2, 8)]);
    await clock.turn(30_000);
    await store.add([alert(4, 2, 7)]);
    expect(ids(emitted)).toEqual([7, 8]);
    expect(summaries).toEqual([]);
    expect(store.list({ signatureId: 7 })).toMatchObject([{ id: 'id-1', count: 3, last: alert(4).view.timestamp }]);
    expect(counted.get('2 allowed')).toBe(4);
    await clock.turn(29_999);
    expect(summaries).toEqual([]);
    await clock.turn(1);
    expect(summaries).toMatchObject([{ id: 'id-1', signatureId: 7, count: 3, timestamp: alert(1).view.timestamp, last: alert(4).view.timestamp }]);
    expect(store.status().windows).toBe(0);
    await store.add([alert(5, 2, 7)]);
    expect(ids(emitted)).toEqual([7, 8, 7]);
    expect(store.list({ signatureId: 7 }).map(({ count }) => count ?? 1)).toEqual([1, 3]);
    await store.stop();
  });

  test('other workload, direction, peer or port: another kind of alert', async () => {
    const owners: AlertOwner[] = [
      { filter: 'a', direction: 'in' }, { filter: 'b', direction: 'in' }, { filter: 'a', direction: 'out' },
    ];
    const { store, emitted } = build({ windowMs: 60_000, owner: (port) => owners[port] });
    const of = (port: number, source = '10.0.0.1', destinationPort = 80): EveAlert => {
      const base = alert(port, 3, 7);
      const connection = { protocol: 'tcp', source: { address: source, port }, destination: { address: '10.0.0.2', port: destinationPort } };
      return { ...base, connection, view: { ...base.view, id: `${port} ${source} ${destinationPort}` } };
    };
    await store.add([of(0), of(1), of(2), of(0, '10.0.0.9'), of(0, '10.0.0.1', 81)]);
    expect(emitted).toHaveLength(5);
    // The peer of an outgoing connection is its destination: the source does not matter.
    await store.add([of(2, '10.0.0.77')]);
    expect(emitted).toHaveLength(5);
    await store.stop();
  });

  test('a storm: other events are served between slices, what is too much is dropped and counted, memory is bounded', async () => {
    const { store, emitted, clock } = build({ windowMs: 60_000, capacity: 100, rate: 10, burst: 50, windows: 40 });
    const batch = 5_000;
    let turns = 0;
    let running = true;
    const other = (): void => {
      turns += 1;
      if (running) setImmediate(other);
    };
    setImmediate(other);
    for (let from = 0; from < 100_000; from += batch) {
      // Nine of ten are alike; the tenth is of a kind of its own.
      const before = turns;
      await store.add(Array.from({ length: batch }, (_, index) => alert(from + index + 1, 3, index % 10 === 0 ? from + index + 1 : 1)));
      // One turn of the loop between slices at least: no more than a slice is worked on without one.
      expect(turns - before).toBeGreaterThanOrEqual(Math.floor(batch / SLICE) - 1);
    }
    running = false;
    const { windows, dropped, forgotten, kept } = store.status();
    expect([...store.counts().values()].reduce((sum, count) => sum + count, 0)).toBe(100_000);
    // 50 at once and no time passed: the first kind, and 49 of their own.
    expect(emitted).toHaveLength(50);
    expect(dropped).toBe(100_000 / 10 - 50);
    expect(windows).toBeLessThanOrEqual(40);
    expect(forgotten).toBe(50 - 40);
    expect(kept).toBe(50);
    await clock.turn(1_000);
    await store.add(Array.from({ length: 100 }, (_, index) => alert(200_000 + index)));
    expect(emitted).toHaveLength(60);
    await store.stop();
  });

  test('followers get what comes after they joined, and end with their signal', async () => {
    const { store } = build();
    await store.add([alert(1)]);
    const stop = new AbortController();
    const got: number[] = [];
    const follower = store.follow({ minSeverity: 2 }, stop.signal);
    await store.add([alert(2, 2), alert(3, 3)]);
    const done = (async () => {
      for await (const each of follower) got.push(each.signatureId);
    })();
    await store.add([alert(4, 1)]);
    await expect.poll(() => got).toEqual([2, 4]);
    stop.abort();
    await done;
    await store.add([alert(5, 1)]);
    expect(got).toEqual([2, 4]);
  });

  test('a follower whose signal has fired gets nothing', async () => {
    const { store } = build();
    const follower = store.follow({}, AbortSignal.abort());
    await store.add([alert(1)]);
    expect((await follower[Symbol.asyncIterator]().next()).done).toBe(true);
  });

  test('a follower that does not read loses the oldest, counted', async () => {
    const { store } = build({ capacity: 2000 });
    const iterator = store.follow({}, new AbortController().signal)[Symbol.asyncIterator]();
    await store.add(Array.from({ length: 1200 }, (_, index) => alert(index + 1)));
    expect(store.status().followerLost).toBe(200);
    const first = await iterator.next();
    expect(first.value).toMatchObject({ signatureId: 201 });
    await iterator.return?.();
  });
});

describe('AlertStore over restarts', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dfw-alerts-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));
  const file = (): string => join(directory, 'alerts.jsonl');
  const place = (offset: number) => ({ path: '/eve.json', device: 1, inode: 2, offset });
  async function life(clock: TurnedClock, options: BuildOptions = {}): Promise<Built & { readonly journal: AlertJournal }> {
    const journal = new AlertJournal(file(), nowhere, silent);
    const built = build({ windowMs: 60_000, journal, clock, ...options });
    await built.store.start();
    return { ...built, journal };
  }

  test('alerts, counts, open windows and the place in eve.json survive a crash; nothing is given out twice', async () => {
    const clock = new TurnedClock();
    const first = await life(clock);
    await first.store.add([alert(1, 2, 7), alert(2, 2, 7), alert(3, 1, 8)], place(300));
    await first.store.add([alert(4, 2, 7)], place(400));
    // No stop(): the process is gone, and its timers with it.
    const later = new TurnedClock();
    later.time = 10_000;
    const second = await life(later);
    expect(second.emitted).toEqual([]);
    expect(await second.journal.load()).toEqual(place(400));
    expect(second.store.list()).toEqual(first.store.list());
    expect(second.store.list({ signatureId: 7 })).toMatchObject([{ count: 3, last: alert(4).view.timestamp }]);
    await second.store.add([alert(3, 1, 8), alert(5, 2, 7)], place(500));
    expect(second.emitted).toEqual([]);
    await later.turn(50_000);
    // The summary is on the disk before anybody gets it.
    await expect.poll(() => second.summaries).toMatchObject([{ id: 'id-1', count: 4 }]);
    const third = await life(later);
    expect([third.emitted, third.summaries]).toEqual([[], []]);
    expect(third.store.list()).toEqual(second.store.list());
    for (const { store } of [second, third]) await store.stop();
  });

  test('a window that ended while the agent was away is summed up at the start, once', async () => {
    const clock = new TurnedClock();
    const first = await life(clock);
    await first.store.add([alert(1, 2, 7), alert(2, 2, 7)], place(200));
    await first.store.stop();
    await clock.turn(3_600_000);
    const second = await life(clock);
    expect(second.summaries).toMatchObject([{ id: 'id-1', count: 2 }]);
    await second.store.stop();
    const third = await life(clock);
    expect(third.summaries).toEqual([]);
    await third.store.stop();
  });

  test('cut anywhere, the file holds whole batches, and the place is behind exactly those', async () => {
    const clock = new TurnedClock();
    const first = await life(clock);
    const batches = [[1, 2], [3], [4, 5, 6]];
    for (const [index, batch] of batches.entries()) await first.store.add(batch.map((n) => alert(n)), place(index + 1));
    await first.store.stop();
    const whole = await readFile(file());
    let checked = 0;
    for (let length = 0; length <= whole.length; length += 37) {
      await writeFile(file(), whole.subarray(0, length));
      const next = await life(clock);
      const known = (await next.journal.load())?.offset ?? 0;
      expect(ids(next.store.list()), `cut at ${length}`).toEqual(batches.slice(0, known).flat().toReversed());
      // What was read after the place is read again, and given out now.
      for (const [index, batch] of batches.entries()) if (index >= known) await next.store.add(batch.map((n) => alert(n)), place(index + 1));
      expect(ids(next.emitted)).toEqual(batches.slice(known).flat());
      await next.store.stop();
      const after = await life(clock);
      expect(ids(after.store.list())).toEqual([6, 5, 4, 3, 2, 1]);
      await after.store.stop();
      checked += 1;
    }
    expect(checked).toBeGreaterThan(20);
  });

  test('rubbish in the file costs only itself', async () => {
    const clock = new TurnedClock();
    const first = await life(clock);
    await first.store.add([alert(1)], place(1));
    await first.store.stop();
    await appendFile(file(), 'rubbish\n{"type":"alert","view":{}}\n{"type":"count","id":"id-1","count":"x"}\n{"type":"place","position":{"path":1}}\n');
    const second = await life(clock);
    expect(ids(second.store.list())).toEqual([1]);
    expect(await second.journal.load()).toEqual(place(1));
    await second.store.stop();
  });

  test('the file is written anew when it is large, and stays bounded', async () => {
    const clock = new TurnedClock();
    const first = await life(clock, { windowMs: 0, rate: 1e9, burst: 1e9 });
    const long = 'x'.repeat(4_000);
    let largest = 0;
    for (let from = 0; from < 6_000; from += 1_000) {
      await first.store.add(Array.from({ length: 1_000 }, (_, index) => {
        const each = alert(from + index + 1);
        return { ...each, view: { ...each.view, signature: long } };
      }), place(from + 1_000));
      largest = Math.max(largest, first.journal.bytes);
    }
    expect(largest).toBeLessThan(22 * 1024 * 1024);
    const newest = first.store.list({ limit: 1 });
    await first.store.stop();
    const second = await life(clock);
    expect(second.store.list({ limit: 1 })).toEqual(newest);
    expect(second.store.list().length).toBeGreaterThan(1_000);
    expect(await second.journal.load()).toEqual(place(6_000));
    await second.store.stop();
  });

  test('a disk that refuses shows in the status and costs no alert', async () => {
    const clock = new TurnedClock();
    const journal = new AlertJournal(join(directory, 'absent', 'alerts.jsonl'), nowhere, silent);
    const { store, emitted } = build({ windowMs: 60_000, journal, clock });
    await store.start();
    await store.add([alert(1)], place(1));
    expect(ids(emitted)).toEqual([1]);
    expect(store.status().journal).toContain('ENOENT');
    await store.stop();
  });
});
