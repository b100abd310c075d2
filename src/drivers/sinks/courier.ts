/** A bounded queue and one worker that delivers from it, batch by batch, with time-outs and back-off. */
import { AgentError, describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { SinkStatus } from './sink.js';

export interface Delivery {
  /** Most items of one batch. */
  readonly batch: number;
  /**
   * Resolves when the other side has all of them ("taken"), or will never take them ("refused", with the reason). Rejects when it may later: the
   * same items come again. The signal fires when it takes too long, or at the end.
   */
  deliver(items: readonly string[], signal: AbortSignal): Promise<{ readonly outcome: 'taken' } | { readonly outcome: 'refused'; readonly reason: string }>;
  /** Lets go of connections; deliver() may be called again. */
  close(): void;
}

export interface CourierLimits {
  /** Items, and UTF-16 code units of them, that may wait. Default 10,000 and 16 Mi. */
  readonly items?: number;
  readonly size?: number;
  /** One delivery, ms; default 10,000. */
  readonly timeoutMs?: number;
  /** How long an item waits for others to fill its batch, ms; default 0. */
  readonly lingerMs?: number;
  /** Pause after a failure, ms: doubled from the first to the last. Default 100 and 30,000. */
  readonly firstPauseMs?: number;
  readonly lastPauseMs?: number;
}

const ITEMS = 10_000;
const SIZE = 16 * 1024 * 1024;
const TIMEOUT_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 30_000;
const FAREWELL_MS = 1_000;

export class Courier {
  readonly #delivery: Delivery;
  readonly #limits: CourierLimits;
  readonly #clock: Clock;
  readonly #onState: (reason: string) => void;
  /** Taken from the front; #front counts those that are gone from the array's beginning. */
  #queue: string[] = [];
  #front = 0;
  #size = 0;
  #sent = 0;
  #failed = 0;
  #dropped = 0;
  #reason = '';
  #wake = (): void => undefined;
  #stopping: AbortController | undefined;
  #farewell = new AbortController();
  #cancelFarewell = (): void => undefined;
  #loop: Promise<void> = Promise.resolve();

  /** `onState` hears when delivering begins to fail, with the reason, and when it works again, with "". */
  constructor(delivery: Delivery, limits: CourierLimits, clock: Clock, onState: (reason: string) => void = () => undefined) {
    this.#delivery = delivery;
    this.#limits = limits;
    this.#clock = clock;
    this.#onState = onState;
  }

  start(signal: AbortSignal): void {
    if (this.#stopping !== undefined) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#farewell = new AbortController();
    signal.addEventListener('abort', () => this.#stop(), { once: true });
    this.#loop = this.#run(stopping.signal);
  }

  /** False when it was dropped: the newest give way, for the first alerts of an attack tell more than the last. */
  offer(item: string): boolean {
    if (this.#pending >= (this.#limits.items ?? ITEMS) || this.#size + item.length > (this.#limits.size ?? SIZE)) {
      this.#dropped += 1;
      return false;
    }
    this.#queue.push(item);
    this.#size += item.length;
    this.#wake();
    return true;
  }

  async stop(): Promise<void> {
    this.#stop();
    await this.#loop;
    this.#stopping = undefined;
  }

  status(): SinkStatus {
    return { working: this.#reason === '', reason: this.#reason, sent: this.#sent, failed: this.#failed, dropped: this.#dropped, pending: this.#pending };
  }

  get #pending(): number {
    return this.#queue.length - this.#front;
  }

  #stop(): void {
    if (this.#stopping === undefined || this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    this.#cancelFarewell = this.#clock.after(FAREWELL_MS, () => this.#farewell.abort());
    this.#wake();
  }

  async #run(stopping: AbortSignal): Promise<void> {
    let pause = this.#limits.firstPauseMs ?? FIRST_PAUSE_MS;
    while (!stopping.aborted || (this.#pending > 0 && this.#reason === '' && !this.#farewell.signal.aborted)) {
      if (this.#pending === 0) {
        await this.#sleep(undefined, stopping);
        continue;
      }
      if (this.#pending < this.#delivery.batch && (this.#limits.lingerMs ?? 0) > 0) await this.#sleep(this.#limits.lingerMs, stopping);
      const items = this.#queue.slice(this.#front, this.#front + this.#delivery.batch);
      try {
        await this.#deliver(items);
        pause = this.#limits.firstPauseMs ?? FIRST_PAUSE_MS;
      } catch (error) {
        this.#failed += 1;
        this.#say(describeError(error));
        if (stopping.aborted) break;
        await this.#sleep(pause, stopping);
        pause = Math.min(pause * 2, this.#limits.lastPauseMs ?? LAST_PAUSE_MS);
      }
    }
    this.#dropped += this.#pending;
    this.#take(this.#pending);
    this.#cancelFarewell();
    this.#delivery.close();
  }

  async #deliver(items: readonly string[]): Promise<void> {
    const timeoutMs = this.#limits.timeoutMs ?? TIMEOUT_MS;
    const timeout = new AbortController();
    const cancel = this.#clock.after(timeoutMs, () => timeout.abort());
    const signal = AbortSignal.any([timeout.signal, this.#farewell.signal]);
    // A delivery that does not heed the signal must not hold up the queue.
    let onAbort = (): void => undefined;
    const late = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(new AgentError('E_IO', timeout.signal.aborted ? `nothing was taken within ${timeoutMs} ms` : 'stopped', { retryable: true }));
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      const result = await Promise.race([this.#delivery.deliver(items, signal), late]);
      this.#take(items.length);
      if (result.outcome === 'taken') {
        this.#sent += items.length;
        this.#say('');
      } else {
        this.#failed += 1;
        this.#dropped += items.length;
        this.#say(result.reason);
      }
    } catch (error) {
      this.#delivery.close();
      throw error;
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
    }
  }

  #take(count: number): void {
    for (let at = this.#front; at < this.#front + count; at += 1) this.#size -= this.#queue[at]?.length ?? 0;
    this.#front += count;
    if (this.#front * 2 < this.#queue.length && this.#front < ITEMS) return;
    this.#queue = this.#queue.slice(this.#front);
    this.#front = 0;
  }

  /** `ms` absent: until an item comes. The end of the work wakes, too; while it waits for a time, items do not. */
  #sleep(ms: number | undefined, stopping: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = ms === undefined ? () => undefined : this.#clock.after(ms, () => done());
      const done = (): void => {
        cancel();
        stopping.removeEventListener('abort', done);
        if (this.#wake === done) this.#wake = () => undefined;
        resolve();
      };
      if (stopping.aborted) {
        done();
        return;
      }
      stopping.addEventListener('abort', done, { once: true });
      if (ms === undefined) this.#wake = done;
    });
  }

  #say(reason: string): void {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#onState(reason);
  }
}
