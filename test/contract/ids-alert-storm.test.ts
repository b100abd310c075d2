/** A storm of alerts in eve.json: what the reader and the store do about it, by counting. */
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { IdsDriver } from '../../src/drivers/ids/ids.js';
import type { ProcessRunner } from '../../src/drivers/ids/process-runner.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import type { AlertView } from '../../src/model/views.js';
import { eventually } from '../support/command.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const ALERTS = 100_000;
/** Records of one read: 256 KiB of the shortest alert. */
const MOST_AT_ONCE = 1_000;
let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dfw-storm-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function line(n: number, sid: number): string {
  const timestamp = new Date(Date.UTC(2026, 0, 1) + n).toISOString().replace('Z', '000+0000');
  return `${JSON.stringify({
    timestamp, flow_id: n, event_type: 'alert', src_ip: '192.0.2.1', src_port: 1 + (n % 60_000), dest_ip: '10.0.0.1', dest_port: 80, proto: 'TCP', app_proto: 'http',
    alert: { action: 'allowed', gid: 1, signature_id: sid, rev: 1, signature: 'storm', category: 'Misc', severity: 3 }, http: { hostname: 'a.example', url: '/x' },
  })}\n`;
}

test('100,000 alerts at once: all are counted, few are given out, and other events are served all along', async () => {
  const eveFile = join(directory, 'eve.json');
  await writeFile(eveFile, '');
  const given: AlertView[] = [];
  let counted = 0;
  let sinceTurn = 0;
  let most = 0;
  const runner: ProcessRunner = {
    spawn: () => {
      throw new Error('an external engine is not started');
    },
  };
  const driver = new IdsDriver(
    { engine: 'external', sensor: 'none', signatures: directory, extraRuleFiles: [], stateDirectory: join(directory, 'state'), eveFile, homeNetworks: [] },
    {
      runner, processes: { commandLine: () => Promise.resolve(undefined), kill: () => false }, clock: systemClock, log: silent,
      contexts: { owner: () => ({ filter: 'f', direction: 'in', workload: { kind: 'VirtualMachine', name: 'v' } }), connections: (tuples) => Promise.resolve(tuples.map(() => undefined)) },
      onAlert: (alert) => given.push(alert),
      onCounted: (_severity, _action, count) => {
        counted += count;
        sinceTurn += count;
        most = Math.max(most, sinceTurn);
      },
    },
  );
  const stop = new AbortController();
  await driver.start(stop.signal);
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns += 1;
    sinceTurn = 0;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  // One in ten is of a signature of its own.
  const storm = Array.from({ length: ALERTS }, (_, n) => line(n, n % 10 === 0 ? 1_000_000 + n : 7));
  await appendFile(eveFile, storm.join(''));
  await eventually('all alerts counted', async () => (counted >= ALERTS ? true : undefined), 120_000, 50);
  running = false;
  await driver.stop();
  stop.abort();
  expect(counted).toBe(ALERTS);
  expect(most).toBeLessThanOrEqual(MOST_AT_ONCE);
  expect(turns).toBeGreaterThanOrEqual(ALERTS / MOST_AT_ONCE);
  const { store, tail } = driver.status();
  expect(tail).toMatchObject({ records: ALERTS, malformed: 0, oversized: 0 });
  // Every first of its kind was given out or dropped (how many, the speed of the machine tells); the repetitions of one kind were neither.
  expect(given.length + store.dropped).toBe(ALERTS / 10 + 1);
  expect(store.kept).toBeLessThanOrEqual(10_000);
});
