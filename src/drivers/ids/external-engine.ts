/** An engine that somebody else runs (a unit of its own, a container beside the agent's): configured, told and watched, never started or ended. */
import { describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { suricataCommand } from './command-socket.js';
import type { EngineConfig } from './engine-config.js';
import { parseRuleCounts, type Engine, type EngineState, type EngineStatus, type ReloadResult, type RuleCounts } from './engine.js';
import { watchEngine } from './engine-watch.js';
import { sleep } from '../../platform/sleep.js';

export interface ExternalEngineOptions {
  readonly commandSocket: string;
  /** What it reads is written here; absent: its configuration and its signatures are its owner's. */
  readonly configuration?: EngineConfig;
}
export interface ExternalEngineDependencies {
  readonly clock: Clock;
  readonly log: Logger;
  /** It began or ceased to inspect: told at each change. Not when stop() ends the watch: the engine goes on. */
  readonly onInspecting?: (inspecting: boolean) => void;
}

const LOOK_MS = 200;
/** Of one that is not known to run: it may be busy with loading its signatures. */
const FIRST_LIMIT_MS = 1_000;
const COMMAND_TIMEOUT_MS = 5_000;
const RELOAD_TIMEOUT_MS = 180_000;
/** Nobody ends one that never answers: whoever waits for it goes on without. */
const SETTLE_LIMIT_MS = 180_000;
/** Its state is told in words of its own, not as an error of every look. */
const NOBODY = 'nobody listens on its command socket';
const SILENT = 'suricata does not answer on its command socket';
const OLD = 'its configuration is another than the one it runs with: it must be started anew';

/**
 * Gone is noticed at the next look (0.2 s), hanging within 0.75 s (engine-watch.ts). Its faults show in status() and the log; nothing here rejects.
 * After a start the state is "absent" until it answers.
 */
export class ExternalEngine implements Engine {
  #state: EngineState = 'stopped';
  #reason = '';
  #since: number;
  #comings = 0;
  /** Under way. */
  #reloads = 0;
  #rules: RuleCounts | undefined;
  /** It runs with a configuration that was replaced. */
  #old = false;
  #stopping: AbortController | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(private readonly options: ExternalEngineOptions, private readonly dependencies: ExternalEngineDependencies) {
    this.#since = dependencies.clock.now();
  }

  start(signal: AbortSignal): void {
    if (this.#stopping !== undefined) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#loop = this.#follow(AbortSignal.any([signal, stopping.signal]));
  }

  /** Ends the watch; the engine goes on. */
  async stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#loop;
    this.#stopping = undefined;
  }

  status(): EngineStatus {
    return {
      state: this.#state, reason: this.#reason === '' && this.#old ? OLD : this.#reason, since: new Date(this.#since).toISOString(), pid: undefined,
      restarts: Math.max(0, this.#comings - 1), rules: this.#rules, bounds: '',
    };
  }

  async reload(signal?: AbortSignal): Promise<ReloadResult> {
    if (this.#state !== 'running') {
      const written = await this.#write();
      return { reloaded: false, detail: `suricata does not run (${this.#reason === '' ? this.#state : this.#reason})${written ? '; it reads the signatures when it is started' : ''}` };
    }
    this.#reloads += 1;
    try {
      await this.options.configuration?.write();
      await this.#command('reload-rules', RELOAD_TIMEOUT_MS, signal);
      this.#rules = parseRuleCounts(await this.#command('ruleset-stats', COMMAND_TIMEOUT_MS, signal));
    } catch (error) {
      this.dependencies.log.warn('ids.reload.failed', { reason: describeError(error) });
      return { reloaded: false, refused: this.#state === 'running', detail: describeError(error) };
    } finally {
      this.#reloads -= 1;
    }
    const { loaded, failed } = this.#rules;
    this.dependencies.log.info('ids.reloaded', { loaded, failed });
    return { reloaded: true, rules: this.#rules, detail: `${String(loaded)} signatures in force${failed === 0 ? '' : `, ${String(failed)} refused`}` };
  }

  async settled(signal: AbortSignal): Promise<EngineState> {
    const { clock } = this.dependencies;
    const limit = clock.monotonic() + SETTLE_LIMIT_MS;
    while ((this.#state === 'starting' || this.#state === 'hanging') && clock.monotonic() < limit && !signal.aborted) await sleep(clock, LOOK_MS, signal);
    return this.#state;
  }

  async reopenLogs(): Promise<boolean> {
    if (this.#state !== 'running') return false;
    try {
      await this.#command('reopen-log-files', COMMAND_TIMEOUT_MS);
      return true;
    } catch (error) {
      this.dependencies.log.warn('ids.engine.reopen-failed', { reason: describeError(error) });
      return false;
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { clock } = this.dependencies;
    this.#enter('absent', NOBODY);
    await this.#write();
    while (!signal.aborted) {
      if (!await this.#found(signal)) break;
      await this.#watch(signal);
    }
    this.#state = 'stopped';
    this.#reason = '';
    this.#since = clock.now();
  }

  /** Resolves with true when it answers and has loaded its signatures, false when the signal has fired. */
  async #found(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.dependencies;
    while (!signal.aborted) {
      try {
        this.#rules = parseRuleCounts(await this.#command('ruleset-stats', FIRST_LIMIT_MS, signal));
        if (this.#state !== 'hanging') this.#comings += 1;
        this.#enter('running', '');
        return true;
      } catch (error) {
        if (signal.aborted) break;
        if (isGone(error)) this.#left();
        // Whoever listens and does not answer yet loads its signatures, or hangs since before: nobody can tell.
        else if (this.#state === 'absent') this.#enter('starting', SILENT);
      }
      await sleep(clock, LOOK_MS, signal);
    }
    return false;
  }

  /** Resolves when it is gone, or has been silent for so long that it must be found anew. */
  async #watch(signal: AbortSignal): Promise<void> {
    const gone = new AbortController();
    await watchEngine({
      clock: this.dependencies.clock,
      // While it compiles signatures, its command socket answers nobody; packets are inspected all the same.
      ask: async (limitMs, asking) => {
        if (this.#reloads > 0) return;
        try {
          await this.#command('version', limitMs, asking);
        } catch (error) {
          if (isGone(error)) gone.abort();
          throw error;
        }
      },
      onChange: (answers) => this.#enter(answers ? 'running' : 'hanging', answers ? '' : SILENT),
    }, AbortSignal.any([signal, gone.signal]));
    if (gone.signal.aborted) this.#left();
  }

  #left(): void {
    this.#old = false;
    this.#rules = undefined;
    this.#enter('absent', NOBODY);
  }

  /** False when nothing is to be written, or cannot be: it is said once, and tried again at the next reload. */
  async #write(): Promise<boolean> {
    const { configuration } = this.options;
    if (configuration === undefined) return false;
    try {
      if (await configuration.write()) {
        this.#old = true;
        this.dependencies.log.warn('ids.engine.restart-needed', { reason: OLD });
      }
      return true;
    } catch (error) {
      this.dependencies.log.warn('ids.engine.unwritable', { reason: describeError(error) });
      return false;
    }
  }

  #command(command: string, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    return suricataCommand(this.options.commandSocket, command, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  }

  #enter(state: EngineState, reason: string): void {
    if (this.#state === state && this.#reason === reason) return;
    const inspected = this.#state === 'running';
    this.#state = state;
    this.#reason = reason;
    this.#since = this.dependencies.clock.now();
    if (state === 'running') this.dependencies.log.info('ids.engine.state', { state, rules: this.#rules });
    else this.dependencies.log.warn('ids.engine.state', { state, reason });
    if (inspected !== (state === 'running')) this.dependencies.onInspecting?.(state === 'running');
  }
}

/** No such socket, or nobody behind it any more: connect(2). One whose queue of connections is full (EAGAIN) is there, and does not answer. */
function isGone(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED' || cause.code === 'ECONNRESET' || cause.code === 'EPIPE');
}
