/**
 * What agentctl prints: text to stdout at the pace of its reader, messages to stderr. A reader that goes away (EPIPE, as
 * with `| head`) is no failure: writes then throw OutputClosed, which ends the verb quietly.
 */
import type { Writable } from 'node:stream';

export type OutputFormat = 'text' | 'json' | 'yaml';

export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}

export class Output {
  readonly #stdout: Writable;
  readonly #stderr: Writable;
  readonly #gone = new AbortController();
  #failure: Error | undefined;

  constructor(stdout: Writable, stderr: Writable) {
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** Listens for the end of the reader; call once, before the first write. */
  start(): void {
    const lost = (error?: Error): void => {
      if (this.#gone.signal.aborted) return;
      if (error !== undefined && Reflect.get(error, 'code') !== 'EPIPE') this.#failure = error;
      this.#gone.abort();
    };
    this.#stdout.on('error', lost);
    this.#stdout.on('close', () => lost());
    // Nobody is left to tell when stderr itself fails.
    this.#stderr.on('error', () => undefined);
  }

  /** Fires when stdout cannot take more. */
  get closed(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when more may be written. Throws OutputClosed when the reader is gone, the stream's own error on others (disk full). */
  async write(chunk: string | Uint8Array): Promise<void> {
    this.#check();
    if (chunk.length === 0) return;
    if (!this.#stdout.write(chunk)) await this.#drained();
    this.#check();
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`);
  }

  message(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  /** Waits until everything is with the kernel. Throws what went wrong with it, save that the reader went away. */
  async flush(): Promise<void> {
    if (!this.#gone.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#gone.signal.addEventListener('abort', () => resolve(), { once: true });
        this.#stdout.write('', () => resolve());
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#gone.signal.aborted) throw new OutputClosed('the reader of stdout went away');
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#stdout.off('drain', settle);
        this.#gone.signal.removeEventListener('abort', settle);
        resolve();
      };
      this.#stdout.once('drain', settle);
      this.#gone.signal.addEventListener('abort', settle, { once: true });
    });
  }
}
