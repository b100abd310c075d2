import { describe, expect, test } from 'vitest';
import { AlertStore, type AlertContext } from '../../../../src/drivers/ids/alerts.js';
import type { EveAlert } from '../../../../src/drivers/ids/eve-alert.js';
import type { AlertView } from '../../../../src/model/views.js';
import type { Logger } from '../../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const START = Date.parse('2026-01-01T00:00:00Z');

function alert(n: number, severity = 3): EveAlert {
  const source = { address: '10.0.0.1', port: n };
  const destination = { address: '10.0.0.2', port: 80 };
  const timestamp = new Date(START + n * 1000).toISOString();
  const view: AlertView = { id: `id-${String(n)}`, timestamp, signatureId: n, signature: 's', category: 'c', severity, action: 'allowed', protocol: 'tcp', source, destination };
  return { view, timeMs: START + n * 1000, connection: { protocol: 'tcp', source, destination } };
}

function build(capacity = 10, find: (port: number) => Promise<AlertContext | undefined> = () => Promise.resolve(undefined)) {
  const emitted: AlertView[] = [];
  const store = new AlertStore({ find: (tuple) => find(tuple.source.port) }, (each) => emitted.push(each), silent, capacity);
  return { store, emitted };
}
const ids = (alerts: AlertView[]): number[] => alerts.map((each) => each.signatureId);

describe('AlertStore', () => {
  test('keeps the newest, lists them newest first, counts all', async () => {
    const { store, emitted } = build(3);
    expect(store.list()).toEqual([]);
    await store.add([alert(1, 1), alert(2, 2)]);
    expect(ids(store.list())).toEqual([2, 1]);
    await store.add([alert(3, 3), alert(4, 3), alert(5, 1)]);
    expect(ids(store.list())).toEqual([5, 4, 3]);
    expect(store.counts()).toEqual(new Map([[1, 2], [2, 1], [3, 2]]));
    expect(ids(emitted)).toEqual([1, 2, 3, 4, 5]);
  });

  test('an alert that is read twice counts once', async () => {
    const { store, emitted } = build();
    await store.add([alert(1), alert(2)]);
    await store.add([alert(2), alert(3)]);
    expect(ids(emitted)).toEqual([1, 2, 3]);
    expect(ids(store.list())).toEqual([3, 2, 1]);
  });

  test('filters by severity, time, workload and limit', async () => {
    const context: AlertContext = { filter: 'nic-1-eth0-dfw.2', workload: { kind: 'Pod', namespace: 'default', name: 'web' }, ruleId: 7, flowId: 'f' };
    const { store } = build(10, (port) => Promise.resolve(port % 2 === 0 ? context : undefined));
    await store.add([alert(1, 1), alert(2, 2), alert(3, 3), alert(4, 3)]);
    expect(ids(store.list({ minSeverity: 2 }))).toEqual([2, 1]);
    expect(ids(store.list({ sinceMs: START + 3000 }))).toEqual([4, 3]);
    expect(ids(store.list({ limit: 1 }))).toEqual([4]);
    for (const workload of ['web', 'default/web', 'nic-1-eth0-dfw.2']) expect(ids(store.list({ workload })), workload).toEqual([4, 2]);
    expect(store.list({ workload: 'other' })).toEqual([]);
    expect(store.list({ workload: 'web', minSeverity: 2 })[0]).toMatchObject(context);
  });

  test('a failed lookup costs the context, not the alert', async () => {
    const { store } = build(10, () => Promise.reject(new Error('E2BIG')));
    await store.add([alert(1)]);
    expect(store.list()).toEqual([alert(1).view]);
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
    const { store } = build(2000);
    const iterator = store.follow({}, new AbortController().signal)[Symbol.asyncIterator]();
    await store.add(Array.from({ length: 1200 }, (_, index) => alert(index + 1)));
    expect(store.followerLost).toBe(200);
    const first = await iterator.next();
    expect(first.value).toMatchObject({ signatureId: 201 });
    await iterator.return?.();
  });
});
