import { rename, stat } from 'node:fs/promises';
import { describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { sleep } from '../../platform/sleep.js';

const CHECK_EVERY_MS = 10_000;

/**
 * Keeps eve.json of the managed engine small: past the limit it is renamed to eve.json.1 (which replaces the one before) and
 * the engine is told to open a new one. Unread lines are not lost: the tail finishes the renamed file first.
 */
export class EveRotation {
  #stopping: AbortController | undefined;
  #loop: Promise<void> = Promise.resolve();
  #reopenDue = false;

  constructor(
    private readonly path: string,
    private readonly largestBytes: number,
    /** True when the engine has opened its file anew. */
    private readonly reopen: () => Promise<boolean>,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  start(signal: AbortSignal): void {
    if (this.#stopping !== undefined) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#loop = this.#run(AbortSignal.any([signal, stopping.signal]));
  }

  async stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#loop;
    this.#stopping = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#check();
      } catch (error) {
        this.log.warn('ids.eve.rotation-failed', { path: this.path, reason: describeError(error) });
      }
      await sleep(this.clock, CHECK_EVERY_MS, signal);
    }
  }

  async #check(): Promise<void> {
    if (!this.#reopenDue && (await sizeOf(this.path)) > this.largestBytes) {
      await rename(this.path, `${this.path}.1`);
      this.#reopenDue = true;
      this.log.info('ids.eve.rotated', { path: this.path });
    }
    // The engine may be between two lives: it goes on writing to the renamed file until it is told, or opens a new one when it starts.
    if (this.#reopenDue && ((await this.reopen()) || (await sizeOf(this.path)) > 0)) this.#reopenDue = false;
  }
}

/** 0 when there is no file. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0;
    throw error;
  }
}
