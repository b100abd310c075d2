import { mkdir, readFile, rm } from 'node:fs/promises';
import { describeError, isAgentError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { suricataCommand } from './command-socket.js';
import type { EngineBounds } from './engine-bounds.js';
import { EngineConfig, type EngineConfigOptions } from './engine-config.js';
import { EngineLog } from './engine-log.js';
import type { ProcessExit, ProcessRunner, RunningProcess } from './process-runner.js';
import { endProcess, type ProcessTable } from './process-table.js';
import { watchEngine } from './engine-watch.js';
import { sleep } from '../../platform/sleep.js';

/** hanging: it runs and does not answer. absent: nobody listens where an external engine should. */
export type EngineState = 'stopped' | 'starting' | 'running' | 'hanging' | 'backoff' | 'failed' | 'absent';
export interface RuleCounts { readonly loaded: number; readonly failed: number; readonly skipped: number }
export interface EngineStatus {
  readonly state: EngineState;
  /** Why it is not running; "" while it is. */
  readonly reason: string;
  /** ISO time of the last change of state. */
  readonly since: string;
  readonly pid: number | undefined;
  /** Starts after the first one. */
  readonly restarts: number;
  /** Known once the engine has loaded its rules. */
  readonly rules: RuleCounts | undefined;
  /** How its memory and processor time are bounded, in words; '' while it does not run, or its owner's affair. */
  readonly bounds: string;
}
export interface ReloadResult {
  readonly reloaded: boolean;
  readonly detail: string;
  /** True when a running engine did not take the signatures: it goes on with those it had. */
  readonly refused?: boolean;
  /** What it has now; of one that reloaded. */
  readonly rules?: RuleCounts;
}
export interface Engine {
  /** Begins to keep it running, or to watch it, until the signal fires or stop(). Returns at once; a second call does nothing. */
  start(signal: AbortSignal): void;
  /** Never rejects. */
  stop(): Promise<void>;
  status(): EngineStatus;
  /** It reads its signatures again, without a gap in inspection. Never rejects. */
  reload(signal?: AbortSignal): Promise<ReloadResult>;
  /** Resolves with the state when it is known which signatures the engine has or will read, or the signal has fired. */
  settled(signal: AbortSignal): Promise<EngineState>;
  /** Tells it to open eve.json anew after it was renamed. False when it does not answer. */
  reopenLogs(): Promise<boolean>;
}

export interface EngineOptions extends EngineConfigOptions {
  /** Name or path of the engine's executable. */
  readonly program: string;
  readonly pidFile: string;
}
export interface EngineDependencies {
  readonly runner: ProcessRunner;
  readonly processes: ProcessTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** It began or ceased to inspect: told at each change. */
  readonly onInspecting?: (inspecting: boolean) => void;
  /** Absent: it may take what it likes. */
  readonly bounds?: EngineBounds;
}

const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 30_000;
/** A run of this length proves the configuration: the next failure starts with the short back-off again. */
const STABLE_MS = 60_000;
const STOP_GRACE_MS = 5_000;
/** Rule sets of 40,000 signatures compile in well under a minute; past this the engine hangs. */
const STARTUP_LIMIT_MS = 180_000;
const READY_POLL_MS = 200;
const COMMAND_TIMEOUT_MS = 5_000;
const RELOAD_TIMEOUT_MS = 180_000;

interface RunOutcome {
  readonly state: 'backoff' | 'failed';
  readonly reason: string;
}

/**
 * Keeps one Suricata running. Its faults stay here: they show in status() and the log, and never reject start() or stop().
 * A missing executable is the state "failed"; it is looked for again every 30 seconds, so that installing it is enough.
 * A Suricata that a killed agent left behind with the same configuration file is ended before a new one starts.
 */
export class EngineSupervisor implements Engine {
  readonly #options: EngineOptions;
  readonly #dependencies: EngineDependencies;
  readonly #engineLog: EngineLog;
  readonly #configuration: EngineConfig;
  #bounds = '';
  #state: EngineState = 'stopped';
  #reason = '';
  #since: number;
  #pid: number | undefined;
  #starts = 0;
  /** Under way. */
  #reloads = 0;
  #rules: RuleCounts | undefined;
  #stopping: AbortController | undefined;
  #loop: Promise<void> = Promise.resolve();
  #wake = new AbortController();

  constructor(options: EngineOptions, dependencies: EngineDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#engineLog = new EngineLog(dependencies.log, dependencies.clock);
    this.#configuration = new EngineConfig(options);
    this.#since = dependencies.clock.now();
  }

  /** Begins to keep the engine running, until the signal fires or stop(). Returns at once; a second call does nothing. */
  start(signal: AbortSignal): void {
    if (this.#stopping !== undefined) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#loop = this.#supervise(AbortSignal.any([signal, stopping.signal]));
  }

  /** Ends the engine: SIGTERM, after five seconds SIGKILL. Resolves when it is gone; does nothing when it was not started. */
  async stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#loop;
    this.#stopping = undefined;
  }

  status(): EngineStatus {
    return {
      state: this.#state,
      reason: this.#reason,
      since: new Date(this.#since).toISOString(),
      pid: this.#pid,
      restarts: Math.max(0, this.#starts - 1),
      rules: this.#rules,
      bounds: this.#bounds,
    };
  }

  /**
   * Makes the engine read its signatures again without a gap in inspection; the old set stays in force when the new one is
   * refused. An engine that waits for its next start is started now, and reads them then.
   */
  async reload(signal?: AbortSignal): Promise<ReloadResult> {
    if (this.#state === 'backoff' || this.#state === 'failed') {
      this.#wake.abort();
      return { reloaded: false, detail: `suricata is not running (${this.#reason}); it is started again now and reads the signatures then` };
    }
    if (this.#state !== 'running') return { reloaded: false, detail: `suricata is ${this.#state}` };
    this.#reloads += 1;
    try {
      // It reads which files to load, and its tables, from its configuration.
      await this.#configuration.write();
      await this.#command('reload-rules', RELOAD_TIMEOUT_MS, signal);
      this.#rules = await this.#readRuleCounts(signal);
    } catch (error) {
      this.#dependencies.log.warn('ids.reload.failed', { reason: describeError(error) });
      return { reloaded: false, refused: this.#state === 'running', detail: describeError(error) };
    } finally {
      this.#reloads -= 1;
    }
    const { loaded, failed } = this.#rules;
    this.#dependencies.log.info('ids.reloaded', { loaded, failed });
    return { reloaded: true, rules: this.#rules, detail: failed === 0 ? `${String(loaded)} signatures in force` : `${String(loaded)} signatures in force, ${String(failed)} refused` };
  }

  /** Resolves with the state when it is known which signatures the engine has or will read (not starting, not hanging), or the signal has fired. */
  async settled(signal: AbortSignal): Promise<EngineState> {
    const beginning = (): boolean => this.#state === 'starting' || this.#state === 'hanging' || (this.#state === 'stopped' && this.#stopping !== undefined);
    while (beginning() && !signal.aborted) await sleep(this.#dependencies.clock, READY_POLL_MS, signal);
    return this.#state;
  }

  /** Tells the engine to open eve.json anew after it was renamed. False when the engine does not answer. */
  async reopenLogs(): Promise<boolean> {
    if (this.#state !== 'running') return false;
    try {
      await this.#command('reopen-log-files', COMMAND_TIMEOUT_MS);
      return true;
    } catch (error) {
      this.#dependencies.log.warn('ids.engine.reopen-failed', { reason: describeError(error) });
      return false;
    }
  }

  async #supervise(signal: AbortSignal): Promise<void> {
    const { clock } = this.#dependencies;
    let backoff = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      const began = clock.now();
      const outcome = await this.#run(signal);
      this.#pid = undefined;
      this.#rules = undefined;
      this.#bounds = '';
      if (signal.aborted) break;
      if (clock.now() - began >= STABLE_MS) backoff = FIRST_BACKOFF_MS;
      this.#enter(outcome.state, outcome.reason);
      this.#wake = new AbortController();
      await sleep(clock, outcome.state === 'failed' ? LONGEST_BACKOFF_MS : backoff, AbortSignal.any([signal, this.#wake.signal]));
      backoff = Math.min(backoff * 2, LONGEST_BACKOFF_MS);
    }
    this.#enter('stopped', '');
  }

  /** One life of the engine: from its configuration file to its end, with the reason why it ended. */
  async #run(signal: AbortSignal): Promise<RunOutcome> {
    const { program, configFile, pidFile, settings } = this.#options;
    try {
      await mkdir(settings.logDirectory, { recursive: true, mode: 0o750 });
      await this.#configuration.write();
      await this.#endLeftOver(signal);
    } catch (error) {
      return { state: 'backoff', reason: describeError(error) };
    }
    if (signal.aborted) return { state: 'backoff', reason: '' };
    if (this.#state !== 'failed') this.#enter('starting', '');
    this.#engineLog.reset();
    this.#starts += 1;
    const args = ['-c', configFile, '--af-packet', '--pidfile', pidFile, '-l', settings.logDirectory];
    const engine = this.#dependencies.runner.spawn(program, args, (line) => this.#engineLog.line(line));
    this.#pid = engine.pid;
    if (engine.pid === undefined) return this.#neverRan(await engine.exited);
    if (this.#state === 'failed') this.#enter('starting', '');
    this.#bounds = (await this.#dependencies.bounds?.bind(engine.pid)) ?? '';

    const gone = new AbortController();
    const exited = engine.exited.then((exit) => {
      gone.abort();
      return exit;
    });
    const ready = await this.#waitReady(AbortSignal.any([signal, gone.signal]));
    if (ready) this.#enter('running', '');
    else if (!signal.aborted && !gone.signal.aborted) {
      await this.#end(engine);
      return { state: 'backoff', reason: `suricata did not become ready within ${String(STARTUP_LIMIT_MS / 1000)} s` };
    }
    const watched = await this.#watch(AbortSignal.any([signal, gone.signal]));
    if (!gone.signal.aborted) await this.#end(engine);
    const exit = await exited;
    return { state: 'backoff', reason: watched === 'hung' ? 'suricata did not answer and was ended' : this.#describeExit(exit) };
  }

  #watch(signal: AbortSignal): Promise<'ended' | 'hung'> {
    const { clock } = this.#dependencies;
    return watchEngine({
      clock,
      // While it compiles signatures, its command socket answers nobody; packets are inspected all the same.
      ask: (limitMs, asking) => (this.#reloads > 0 ? Promise.resolve() : this.#command('version', limitMs, asking)),
      onChange: (answers) => this.#enter(answers ? 'running' : 'hanging', answers ? '' : 'suricata does not answer on its command socket'),
    }, signal);
  }

  /** Ends the engine that a killed agent left behind and removes its pid file: Suricata refuses to start beside one, even a stale one. */
  async #endLeftOver(signal: AbortSignal): Promise<void> {
    const { processes, clock, log } = this.#dependencies;
    const { pidFile, configFile } = this.#options;
    const pid = await readPid(pidFile);
    const commandLine = pid === undefined ? undefined : await processes.commandLine(pid);
    // The number may belong to somebody else by now: only a process with our own configuration file is ours to end.
    if (pid !== undefined && commandLine?.includes(configFile) === true) {
      log.warn('ids.engine.left-over', { pid });
      await endProcess(processes, clock, pid, STOP_GRACE_MS, signal);
    }
    await rm(pidFile, { force: true });
  }

  /** True when the engine answers commands; false when the signal fired or the time is over. */
  async #waitReady(signal: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#dependencies;
    const limit = clock.now() + STARTUP_LIMIT_MS;
    while (!signal.aborted && clock.now() < limit) {
      try {
        this.#rules = await this.#readRuleCounts(signal);
        return true;
      } catch (error) {
        // Not listening yet is the normal case while it compiles its rules.
        if (!isAgentError(error, 'E_UNREACHABLE') && !isAgentError(error, 'E_CANCELLED')) {
          log.debug('ids.engine.not-ready', { reason: describeError(error) });
        }
      }
      await sleep(clock, READY_POLL_MS, signal);
    }
    return false;
  }

  async #end(engine: RunningProcess): Promise<void> {
    const { clock, log } = this.#dependencies;
    engine.kill('SIGTERM');
    const gone = new AbortController();
    const exited = engine.exited.then(() => gone.abort());
    await sleep(clock, STOP_GRACE_MS, gone.signal);
    if (!gone.signal.aborted) {
      log.warn('ids.engine.killed', { pid: engine.pid, afterMs: STOP_GRACE_MS });
      engine.kill('SIGKILL');
    }
    await exited;
  }

  #neverRan(exit: ProcessExit): RunOutcome {
    const { program } = this.#options;
    if (exit.startError === 'ENOENT') {
      return { state: 'failed', reason: `${program} not installed: apt-get install -t bookworm-backports suricata` };
    }
    return { state: 'failed', reason: `${program} cannot be started: ${exit.startError ?? 'unknown reason'}` };
  }

  #describeExit(exit: ProcessExit): string {
    const how = exit.signal === undefined ? `exited with code ${String(exit.code ?? 'unknown')}` : `ended by ${exit.signal}`;
    const why = this.#engineLog.cause;
    return why === '' ? `suricata ${how}` : `suricata ${how}: ${why}`;
  }

  #command(command: string, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    return suricataCommand(this.#options.settings.commandSocket, command, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  }

  async #readRuleCounts(signal?: AbortSignal): Promise<RuleCounts> {
    return parseRuleCounts(await this.#command('ruleset-stats', COMMAND_TIMEOUT_MS, signal));
  }

  #enter(state: EngineState, reason: string): void {
    if (this.#state === state && this.#reason === reason) return;
    const inspected = this.#state === 'running';
    this.#state = state;
    this.#reason = reason;
    this.#since = this.#dependencies.clock.now();
    const keys = { state, ...(reason === '' ? {} : { reason }), ...(this.#pid === undefined ? {} : { pid: this.#pid }) };
    if (state === 'failed' || state === 'backoff' || state === 'hanging') this.#dependencies.log.warn('ids.engine.state', keys);
    else this.#dependencies.log.info('ids.engine.state', { ...keys, ...(state === 'running' ? { rules: this.#rules } : {}) });
    if (inspected !== (state === 'running')) this.#dependencies.onInspecting?.(state === 'running');
  }
}

/** Answer of "ruleset-stats": one element a detection engine (tenants have their own). */
export function parseRuleCounts(message: unknown): RuleCounts {
  const engines: readonly unknown[] = Array.isArray(message) ? message : [];
  const sum = (key: string): number =>
    engines.reduce<number>((total, engine) => {
      const value: unknown = typeof engine === 'object' && engine !== null ? Reflect.get(engine, key) : undefined;
      return total + (typeof value === 'number' ? value : 0);
    }, 0);
  return { loaded: sum('rules_loaded'), failed: sum('rules_failed'), skipped: sum('rules_skipped') };
}

/** undefined when there is no file or no number in it. */
async function readPid(path: string): Promise<number | undefined> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const pid = Number.parseInt(content, 10);
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}
