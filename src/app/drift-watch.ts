/**
 * Notices when somebody else changes our table: a look at nf_tables' generation number several times a second costs next to
 * nothing; only when it moved without us is the table read and compared.
 */
import { describeError } from '../model/errors.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';

export interface DriftWatchOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Compare every element this often, ms. */
  readonly resyncMs: number;
  /** What differs, or undefined. */
  readonly drifted: (depth: 'structure' | 'all') => Promise<string | undefined>;
  readonly onDrift: () => void;
}

const LOOK_MS = 200;

export class DriftWatch {
  private stopped = false;
  private lastFull = 0;
  private cancel: () => void = () => undefined;

  constructor(private readonly options: DriftWatchOptions) {}

  start(signal: AbortSignal): void {
    signal.addEventListener('abort', () => this.stop(), { once: true });
    this.lastFull = this.options.clock.monotonic();
    this.next();
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
  }

  private next(): void {
    if (this.stopped) return;
    this.cancel = this.options.clock.after(LOOK_MS, () => {
      this.look().then(() => this.next(), () => this.next());
    });
  }

  private async look(): Promise<void> {
    const { clock, log } = this.options;
    const full = this.options.resyncMs > 0 && clock.monotonic() - this.lastFull >= this.options.resyncMs;
    try {
      const difference = await this.options.drifted(full ? 'all' : 'structure');
      if (full) this.lastFull = clock.monotonic();
      if (difference === undefined || this.stopped) return;
      log.warn('drift.found', { difference });
      this.options.onDrift();
    } catch (error) {
      log.warn('drift.look_failed', { error: describeError(error) });
    }
  }
}
