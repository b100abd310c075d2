/**
 * The last complete state on disk: enforced when the API server is away at start, and what a refused object falls back to. One file, a line
 * for each object as it became; written whole in portions, then appended to, then written whole again when it has grown. Lines are
 * `{key, version, manifest}`, without manifest where the object is gone; a last line that is torn is ignored.
 */
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { Turns } from '../../platform/turns.js';

export interface JournalEntry { readonly key: string; readonly version: string; readonly manifest: unknown }

export interface JournalOptions {
  readonly file: string;
  /** The object as it is now; undefined when it is gone. */
  readonly read: (key: string) => { readonly version: string; readonly manifest: unknown } | undefined;
  /** Keys of everything there is. */
  readonly keys: () => Iterable<string>;
  readonly clock: Clock;
  readonly log: Logger;
  /** What was recorded is safe from a loss of power after so long. Default 1,000. */
  readonly collectMs?: number;
}

const FORMAT = 1;
/** Text written at a time. */
const PORTION = 256 * 1024;
/** Grown by as many lines as it has objects, and at least so many: written whole. */
const LEAST_GROWTH = 1_000;
const RETRY_MS = 30_000;

export class StateJournal {
  private readonly changed = new Set<string>();
  private handle: FileHandle | undefined;
  private lines = 0;
  private objects = 0;
  private writing: Promise<void> = Promise.resolve();
  private syncing: Promise<unknown> = Promise.resolve();
  private cancel: (() => void) | undefined;
  private active = false;
  private failure: { readonly reason: string; readonly since: number } | undefined;

  constructor(private readonly options: JournalOptions) {}

  /** Why it is not written, and since when (ms since 1970). */
  get problem(): { readonly reason: string; readonly since: number } | undefined {
    return this.failure;
  }

  /** Something is noted that record() would write. */
  get pending(): boolean {
    return this.active && this.handle !== undefined && this.changed.size > 0;
  }

  /**
   * Gives every object of an earlier run to `take`, the last version of each once, in the order of the file. Undefined when there is no (readable)
   * file; else when it was last written, ms since 1970.
   */
  async load(take: (entry: JournalEntry) => void): Promise<number | undefined> {
    let last = new Map<string, string>();
    let header = false;
    const turns = new Turns();
    let writtenAt: number;
    try {
      const handle = await open(this.options.file, 'r');
      try {
        writtenAt = (await handle.stat()).mtimeMs;
      } finally {
        await handle.close();
      }
      for await (const line of createInterface({ input: createReadStream(this.options.file), crlfDelay: Infinity })) {
        if (!header) {
          if (fieldsOf(JSON.parse(line))?.['format'] !== FORMAT) return undefined;
          header = true;
          continue;
        }
        // A line that is torn or damaged does not take the place of the one before.
        const key = keyOf(line);
        if (key !== undefined) last.set(key, line);
        await turns.breathe();
      }
    } catch (error) {
      this.options.log.info('kubernetes.no_stored_state', { reason: describeError(error) });
      return undefined;
    }
    if (!header) return undefined;
    for (const line of last.values()) {
      const entry = entryOf(line);
      if (entry !== undefined) take(entry);
      await turns.breathe();
    }
    last = new Map();
    return writtenAt;
  }

  /** From now on what there is is complete: it is written whole, then every change. */
  begin(): void {
    if (this.active) return;
    this.active = true;
    this.schedule(0);
  }

  note(key: string): void {
    this.changed.add(key);
    if (this.active) this.schedule(this.options.collectMs ?? 1_000);
  }

  /**
   * What is noted now is in the file when it resolves (the power may still fail), or could not be written. Undefined: there is nothing to be written, or
   * the file is being written whole, which takes as long as there are objects; what is noted meanwhile follows.
   */
  record(): Promise<void> | undefined {
    if (!this.pending) return undefined;
    this.writing = this.writing.then(async () => this.guarded(async () => {
      if (this.handle !== undefined) await this.append();
    }));
    return this.writing;
  }

  /** Resolves when everything noted so far is on the disk, or could not be written. */
  async flush(): Promise<void> {
    if (!this.active) return;
    this.cancel?.();
    this.cancel = undefined;
    await this.enqueue();
  }

  async stop(): Promise<void> {
    await this.flush();
    this.active = false;
    await Promise.all([this.writing, this.syncing]);
    await this.handle?.close();
    this.handle = undefined;
  }

  private schedule(delayMs: number): void {
    this.cancel ??= this.options.clock.after(delayMs, () => {
      this.cancel = undefined;
      void this.enqueue();
    });
  }

  private async enqueue(): Promise<void> {
    this.writing = this.writing.then(async () => this.guarded(async () => {
      if (this.handle === undefined || this.lines > 2 * this.objects + LEAST_GROWTH) return this.rewrite();
      return this.append();
    }));
    // record() does not wait for the disk.
    this.syncing = Promise.all([this.syncing, this.writing]).then(async () => this.sync());
    await this.syncing;
  }

  private async sync(): Promise<void> {
    const { handle } = this;
    // Closed meanwhile, it was written anew, or could not be.
    await handle?.datasync().catch(async (error: unknown) => (handle === this.handle ? this.failed(error) : undefined));
  }

  private async guarded(write: () => Promise<void>): Promise<void> {
    try {
      await write();
      this.failure = undefined;
    } catch (error) {
      await this.failed(error);
    }
  }

  private async failed(error: unknown): Promise<void> {
    await this.handle?.close().catch(() => undefined);
    this.handle = undefined;
    const reason = `the state for a start without the API server cannot be stored: ${describeError(error)}`;
    if (this.failure === undefined) this.options.log.warn('kubernetes.state_unwritten', { reason });
    this.failure = { reason, since: this.failure?.since ?? this.options.clock.now() };
    if (this.active) this.schedule(RETRY_MS);
  }

  private async append(): Promise<void> {
    const keys = [...this.changed];
    this.changed.clear();
    const { handle } = this;
    if (handle === undefined || keys.length === 0) return;
    this.lines += await this.writeLines(handle, keys);
  }

  private async rewrite(): Promise<void> {
    const { file } = this.options;
    await this.handle?.close();
    this.handle = undefined;
    await mkdir(dirname(file), { recursive: true, mode: 0o750 });
    const aside = join(dirname(file), '.state.new');
    const handle = await open(aside, 'w', 0o600);
    try {
      await handle.write(`${JSON.stringify({ format: FORMAT })}\n`);
      // What changes from here on is in `changed`, and follows.
      this.changed.clear();
      const keys = [...this.options.keys()];
      await this.writeLines(handle, keys);
      await handle.sync();
      await rename(aside, file);
      const directory = await open(dirname(file), 'r');
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
      this.lines = keys.length;
      this.objects = keys.length;
      this.handle = handle;
    } catch (error) {
      await handle.close();
      await rm(aside, { force: true });
      throw error;
    }
    await this.append();
  }

  private async writeLines(handle: FileHandle, keys: readonly string[]): Promise<number> {
    const turns = new Turns();
    let text = '';
    let lines = 0;
    for (const key of keys) {
      text += `${JSON.stringify({ key, ...this.options.read(key) })}\n`;
      lines++;
      if (text.length > PORTION) {
        await handle.write(text);
        text = '';
      }
      await turns.breathe();
    }
    if (text !== '') await handle.write(text);
    return lines;
  }
}

/** Undefined when the line is not whole. */
function keyOf(line: string): string | undefined {
  try {
    const key = fieldsOf(JSON.parse(line))?.['key'];
    return typeof key === 'string' ? key : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined when the object was removed. */
function entryOf(line: string): JournalEntry | undefined {
  const { key, version, manifest } = fieldsOf(JSON.parse(line)) ?? {};
  return typeof key === 'string' && typeof version === 'string' && manifest !== undefined ? { key, version, manifest } : undefined;
}
