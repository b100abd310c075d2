import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EngineLog, parseEngineLine } from '../../../../src/drivers/ids/engine-log.js';
import { EngineSupervisor, parseRuleCounts } from '../../../../src/drivers/ids/engine.js';
import type { ProcessExit, ProcessRunner } from '../../../../src/drivers/ids/process-runner.js';
import type { Clock } from '../../../../src/platform/clock.js';
import type { Logger } from '../../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

/** Time that moves only when told; `waits` are the timers that have not fired. */
class ManualClock implements Clock {
  time = 1_000_000;
  readonly waits = new Map<symbol, { at: number; action: () => void }>();
  now = (): number => this.time;
  monotonic = (): number => this.time;
  after(delayMs: number, action: () => void): () => void {
    const key = Symbol('timer');
    this.waits.set(key, { at: this.time + delayMs, action });
    return () => void this.waits.delete(key);
  }
  advance(ms: number): void {
    this.time += ms;
    for (const [key, { at, action }] of this.waits) {
      if (at > this.time) continue;
      this.waits.delete(key);
      action();
    }
  }
}

/** An engine that never gets ready and ends when the test says so. */
class ScriptedRunner implements ProcessRunner {
  readonly starts: { args: readonly string[]; end: (exit: ProcessExit) => void; say: (line: string) => void; signals: string[] }[] = [];
  missing = false;
  spawn(_program: string, args: readonly string[], onLine: (line: string) => void) {
    if (this.missing) return { pid: undefined, exited: Promise.resolve({ startError: 'ENOENT' }), kill: () => false };
    let end: (exit: ProcessExit) => void = () => undefined;
    const exited = new Promise<ProcessExit>((resolve) => {
      end = resolve;
    });
    const signals: string[] = [];
    this.starts.push({ args, end, say: onLine, signals });
    return { pid: 1000 + this.starts.length, exited, kill: (signal: string) => signals.push(signal) > 0 };
  }
}

describe('EngineSupervisor', () => {
  let directory = '';
  let clock: ManualClock;
  let runner: ScriptedRunner;
  let engine: EngineSupervisor;

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-engine-'));
    clock = new ManualClock();
    runner = new ScriptedRunner();
    const settings = {
      sensor: 's0', clusterId: 1, logDirectory: path.join(directory, 'log'), eveFile: path.join(directory, 'log/eve.json'), commandSocket: path.join(directory, 'sock'),
      ruleFiles: [], homeNetworks: [], statsInterval: 60,
    };
    engine = new EngineSupervisor(
      { program: 'suricata', settings, configFile: path.join(directory, 'suricata.yaml'), pidFile: path.join(directory, 'pid'), tableDirectories: [] },
      { runner, processes: { commandLine: () => Promise.resolve(undefined), kill: () => false }, clock, log: silent },
    );
  });
  afterEach(async () => {
    const stopped = engine.stop();
    for (const { end } of runner.starts) end({ code: 0 });
    await stopped;
    await rm(directory, { recursive: true, force: true });
  });

  /** Waits, in real time, for the n-th start, moving the manual clock in steps. */
  async function started(n: number, step = 0): Promise<void> {
    await expect.poll(() => {
      clock.advance(step);
      return runner.starts.length;
    }, { interval: 2 }).toBe(n);
  }
  const state = (wanted: string): Promise<void> => expect.poll(() => engine.status().state, { interval: 2 }).toBe(wanted);
  const last = () => {
    const found = runner.starts.at(-1);
    if (found === undefined) throw new Error('not started');
    return found;
  };

  test('waits 1 s, 2 s, 4 s ... 30 s between failures, and says why', async () => {
    engine.start(new AbortController().signal);
    await started(1);
    const gaps: number[] = [];
    for (let n = 1; n <= 7; n += 1) {
      last().say('{"log_level":"Error","event_type":"engine","engine":{"message":"af-packet: s0: no such interface"}}');
      last().end({ code: 1 });
      await state('backoff');
      expect(engine.status().reason).toBe('suricata exited with code 1: af-packet: s0: no such interface');
      const waits = [...clock.waits.values()].map(({ at }) => at - clock.time);
      expect(waits).toHaveLength(1);
      gaps.push(waits[0] ?? 0);
      clock.advance(waits[0] ?? 0);
      await started(n + 1);
    }
    expect(gaps).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(engine.status().restarts).toBe(7);
  });

  test('a minute of life resets the back-off', async () => {
    engine.start(new AbortController().signal);
    await started(1);
    for (let n = 1; n <= 3; n += 1) {
      last().end({ signal: 'SIGSEGV' });
      await state('backoff');
      await started(n + 1, 500);
    }
    clock.advance(60_000);
    last().end({ signal: 'SIGSEGV' });
    await state('backoff');
    expect(engine.status().reason).toBe('suricata ended by SIGSEGV');
    clock.advance(1_000);
    await started(5);
  });

  test('a missing executable is a state with the remedy, and is found once it is there', async () => {
    runner.missing = true;
    engine.start(new AbortController().signal);
    await state('failed');
    expect(engine.status()).toMatchObject({ reason: 'suricata not installed: apt-get install -t bookworm-backports suricata', pid: undefined });
    runner.missing = false;
    clock.advance(30_000);
    await started(1);
    await state('starting');
  });

  test('reload wakes an engine that waits', async () => {
    engine.start(new AbortController().signal);
    await started(1);
    last().end({ code: 1 });
    await state('backoff');
    expect((await engine.reload()).reloaded).toBe(false);
    await started(2);
  });

  test('stop: SIGTERM, and SIGKILL after five seconds', async () => {
    engine.start(new AbortController().signal);
    await started(1);
    const stopped = engine.stop();
    await expect.poll(() => last().signals).toEqual(['SIGTERM']);
    await expect.poll(() => {
      clock.advance(1_000);
      return last().signals;
    }).toEqual(['SIGTERM', 'SIGKILL']);
    last().end({ signal: 'SIGKILL' });
    await stopped;
    expect(engine.status()).toMatchObject({ state: 'stopped', reason: '' });
  });

  test('the signal ends it as stop does; stop without start is nothing', async () => {
    await engine.stop();
    const lifetime = new AbortController();
    engine.start(lifetime.signal);
    await started(1);
    lifetime.abort();
    await expect.poll(() => last().signals).toEqual(['SIGTERM']);
    last().end({ code: 0 });
    await state('stopped');
  });

  test('an engine that never answers is ended after three minutes', async () => {
    engine.start(new AbortController().signal);
    await started(1);
    await expect.poll(() => {
      clock.advance(1_000);
      return last().signals.length;
    }, { interval: 1, timeout: 10_000 }).toBeGreaterThan(0);
    last().end({ signal: 'SIGTERM' });
    await state('backoff');
    expect(engine.status().reason).toBe('suricata did not become ready within 180 s');
  });
});

test.each([
  ['{"log_level":"Error","engine":{"message":"bad","module":"af-packet"}}', { level: 'error', message: 'bad', module: 'af-packet' }],
  ['{"log_level":"Warning","engine":{"message":"hm"}}', { level: 'warn', message: 'hm', module: '' }],
  ['{"log_level":"Warning","engine":{"message":"s0: using AF_PACKET with offloads enabled"}}', { level: 'info', message: 's0: using AF_PACKET with offloads enabled', module: '' }],
  ['{"log_level":"Notice","engine":{"message":"ok"}}', { level: 'info', message: 'ok', module: '' }],
  ['suricata: error while loading shared libraries', { level: 'error', message: 'suricata: error while loading shared libraries', module: '' }],
  ['{"other":1}', { level: 'error', message: '{"other":1}', module: '' }],
  ['  ', undefined],
])('engine line %s', (line, expected) => {
  expect(parseEngineLine(line)).toEqual(expected);
});

describe('EngineLog', () => {
  const say = (module: string, message: string): string => JSON.stringify({ log_level: 'Error', engine: { message, module } });

  test('the first error is the cause, a refused signature only when it stands alone', () => {
    const log = new EngineLog(silent, new ManualClock());
    expect(log.cause).toBe('');
    log.line(say('detect-parse', 'unknown keyword'));
    expect(log.cause).toBe('unknown keyword');
    log.line(say('af-packet', 's0: no such device'));
    log.line(say('threads', 'thread failed to start'));
    expect(log.cause).toBe('s0: no such device');
    log.reset();
    expect(log.cause).toBe('');
  });

  test('a broken rule set fills 50 lines a minute, the rest is counted', () => {
    const lines: [string, unknown][] = [];
    const clock = new ManualClock();
    const push = (event: string, keys?: unknown): void => void lines.push([event, keys]);
    const log = new EngineLog({ ...silent, error: push, warn: push }, clock);
    for (let index = 0; index < 80; index += 1) log.line(say('detect', 'bad rule'));
    expect(lines).toHaveLength(50);
    clock.time += 60_000;
    log.line(say('detect', 'bad rule'));
    expect(lines.slice(50).map(([event]) => event)).toEqual(['ids.engine.messages-suppressed', 'ids.engine.message']);
    expect(lines[50]?.[1]).toEqual({ lines: 30 });
  });
});

test('rule counts of all detection engines are added', () => {
  expect(parseRuleCounts([{ id: 0, rules_loaded: 2, rules_failed: 1, rules_skipped: 0 }, { id: 1, rules_loaded: 3, rules_failed: 0, rules_skipped: 4 }])).toEqual({ loaded: 5, failed: 1, skipped: 4 });
  expect(parseRuleCounts('none')).toEqual({ loaded: 0, failed: 0, skipped: 0 });
});
