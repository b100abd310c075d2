/** One file of the state directory that is kept like what a discovery knows: written in the background, one write after the other, the latest text wins. */
import { describeError } from '../model/errors.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { sleep } from '../platform/sleep.js';

/** One file; read() gives undefined when nothing was stored yet. */
export interface TextStore {
  read(): string | undefined;
  write(text: string): Promise<void>;
}

export interface KeptTextOptions {
  readonly store: TextStore;
  /** What the file is to hold now. */
  readonly text: () => string;
  /** For messages: "ports". */
  readonly what: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const WRITE_AGAIN_MS = 5_000;

export class KeptText {
  private stored: string | undefined;
  private writing: Promise<void> | undefined;
  private reason: string | undefined;
  private turn: Promise<boolean> = Promise.resolve(true);
  private readonly ending = new AbortController();

  constructor(private readonly options: KeptTextOptions) {}

  /** Why what is known is not stored, or what was stored is not known; undefined when all is well. */
  get problem(): string | undefined {
    return this.reason;
  }

  /** What was stored, as `parse` reads it; undefined when nothing was, or it cannot be read, which is said. */
  load<Value>(parse: (text: string) => Value): Value | undefined {
    const { store, log, what } = this.options;
    try {
      this.stored = store.read();
      return this.stored === undefined ? undefined : parse(this.stored);
    } catch (error) {
      this.reason = `the stored ${what} cannot be read: ${describeError(error)}`;
      log.error('discovery.unreadable', { what, error: describeError(error) });
      return undefined;
    }
  }

  /** In the background; a failure is said and tried again. Nothing is written while the text is what is stored. */
  save(): void {
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
      // What changed after the last comparison.
      if (!this.ending.signal.aborted && this.options.text() !== this.stored) this.save();
    });
  }

  /** Resolves to true when what is to be stored at the time of the call is; to false when it could not be: `problem` says why. */
  async flush(): Promise<boolean> {
    if (await this.put()) return true;
    this.save();
    return false;
  }

  /** Resolves when what is known is stored, or could not be. */
  async stop(): Promise<void> {
    this.ending.abort();
    await this.writing;
  }

  private async write(): Promise<void> {
    while (this.options.text() !== this.stored) {
      if (await this.put()) continue;
      if (this.ending.signal.aborted) return;
      await sleep(this.options.clock, WRITE_AGAIN_MS, this.ending.signal);
    }
  }

  /** After writes that have begun; an older text must not come to lie over a newer one. */
  private put(): Promise<boolean> {
    const next = this.turn.then(() => this.putNow());
    this.turn = next;
    return next;
  }

  private async putNow(): Promise<boolean> {
    const { store, text, what, log } = this.options;
    const wanted = text();
    if (wanted === this.stored) return true;
    try {
      await store.write(wanted);
      this.stored = wanted;
      this.reason = undefined;
      return true;
    } catch (error) {
      this.reason = `the ${what} found are not stored: ${describeError(error)}`;
      log.warn('discovery.not_stored', { what, error: describeError(error) });
      return false;
    }
  }
}
