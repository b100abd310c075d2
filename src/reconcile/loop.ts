/**
 * One loop makes the datapath follow the desired state: dirty marks are cheap, applies are single-flight, failures are
 * retried with growing pauses, and every apply re-reads what is desired at that moment.
 *
 * A change after a quiet time waits `leadMs`, in which what came with it is read; changes that follow each other wait `settleMs`, and are applied
 * together. Nobody's asking (flush) waits for either.
 */
import { describeError, isAgentError } from '../model/errors.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';

export interface LoopOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Applies the desired state of now. Resolves when it is in force. */
  readonly apply: (reason: string) => Promise<void>;
  /** After every turn of the loop, also idle ones: the watchdog's food. */
  readonly alive: () => void;
  /** Wait this long after a change for more of its kind, ms; 0: do not. */
  readonly settleMs: number;
  /** The same, for the first change after nothing was applied for QUIET_MS; default settleMs. */
  readonly leadMs?: number;
  readonly idleMs: number;
}

/** Since the end of the last apply. A writer that changes one thing after the other comes more often. */
const QUIET_MS = 20;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 5_000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class ReconcileLoop {
  private readonly reasons = new Set<string>();
  private readonly waiters: Waiter[] = [];
  private wake: (() => void) | undefined;
  /** Ends settling, which a mark does not. */
  private hurry: (() => void) | undefined;
  private appliedAt = -Infinity;
  private running: Promise<void> | undefined;
  private lastError: string | undefined;

  constructor(private readonly options: LoopOptions) {}

  /** Runs until the signal fires; an apply under way is finished first. */
  start(signal: AbortSignal): void {
    this.running ??= this.run(signal);
  }

  async stopped(): Promise<void> {
    await this.running;
  }

  /** Why the last apply failed; undefined when it did not. */
  get error(): string | undefined {
    return this.lastError;
  }

  markDirty(reason: string): void {
    this.reasons.add(reason);
    this.wake?.();
  }

  /** Applies now; resolves when all that is desired at the time of the call is in force, rejects with the first failure. */
  async flush(reason: string): Promise<void> {
    const done = new Promise<void>((resolve, reject) => this.waiters.push({ resolve, reject }));
    this.markDirty(reason);
    this.hurry?.();
    return done;
  }

  private async run(signal: AbortSignal): Promise<void> {
    let retry = FIRST_RETRY_MS;
    signal.addEventListener('abort', () => {
      this.wake?.();
      this.hurry?.();
    }, { once: true });
    while (!signal.aborted) {
      this.options.alive();
      if (this.reasons.size === 0) {
        await this.pause(this.options.idleMs, signal);
        continue;
      }
      if (this.waiters.length === 0) await this.settle();
      if (signal.aborted) break;
      const reason = [...this.reasons].join();
      this.reasons.clear();
      const waiters = this.waiters.splice(0);
      try {
        await this.options.apply(reason);
        this.lastError = undefined;
        this.appliedAt = this.options.clock.monotonic();
        retry = FIRST_RETRY_MS;
        for (const waiter of waiters) waiter.resolve();
      } catch (error) {
        this.lastError = describeError(error);
        this.options.log.error('apply.failed', { reason, error: this.lastError, code: isAgentError(error) ? error.code : undefined, context: isAgentError(error) ? error.context : undefined, retryMs: retry });
        for (const waiter of waiters) waiter.reject(error);
        this.reasons.add('retry');
        await this.pause(retry, signal);
        retry = Math.min(retry * 2, LAST_RETRY_MS);
      }
    }
    for (const waiter of this.waiters.splice(0)) waiter.reject(new Error('the agent is stopping'));
  }

  private async settle(): Promise<void> {
    const { clock, settleMs, leadMs = settleMs } = this.options;
    const ms = clock.monotonic() - this.appliedAt < QUIET_MS ? settleMs : leadMs;
    if (ms <= 0) return;
    await new Promise<void>((resolve) => {
      const cancel = clock.after(ms, resolve);
      this.hurry = () => {
        cancel();
        resolve();
      };
    });
    this.hurry = undefined;
  }

  /** Sleeps until the time is over, somebody marks dirty, or the signal fires. */
  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.options.clock.after(ms, resolve);
      this.wake = () => {
        cancel();
        resolve();
      };
    });
    this.wake = undefined;
  }
}
