/** Notices a peer that says nothing any more. */
import type { Clock } from '../../../platform/clock.js';

export interface KeepAliveOptions {
  readonly clock: Clock;
  /** Silence after which the peer is asked, ms. */
  readonly intervalMs: number;
  /** Silence after which it is taken for dead, ms; longer than the interval. */
  readonly timeoutMs: number;
  readonly ask: () => void;
  readonly dead: (silenceMs: number) => void;
}

/** When this process itself did not run, what the peer said waits unread: it gets this long to be read, ms. */
const GRACE_MS = 100;

export class KeepAlive {
  #heardAt = 0;
  #asked = false;
  #grace = false;
  #cancel: (() => void) | undefined;

  constructor(private readonly options: KeepAliveOptions) {}

  start(): void {
    this.heard();
    this.#schedule(this.options.intervalMs);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Whatever the peer says, it lives. */
  heard(): void {
    this.#heardAt = this.options.clock.monotonic();
    this.#asked = false;
    this.#grace = false;
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.options.clock.after(delayMs, () => this.#tick());
  }

  #tick(): void {
    const { clock, intervalMs, timeoutMs, ask, dead } = this.options;
    const silence = clock.monotonic() - this.#heardAt;
    if (silence >= timeoutMs) {
      if (this.#grace) {
        this.#cancel = undefined;
        dead(silence);
        return;
      }
      this.#grace = true;
      this.#schedule(GRACE_MS);
      return;
    }
    if (silence < intervalMs) {
      this.#schedule(intervalMs - silence);
      return;
    }
    if (!this.#asked) {
      this.#asked = true;
      ask();
    }
    this.#schedule(timeoutMs - silence);
  }
}
