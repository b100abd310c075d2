import { watch, type FSWatcher } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { LineSplitter } from './line-splitter.js';
import type { PositionStore, TailPosition } from './tail-position.js';
import { sleep } from '../../platform/sleep.js';

export type EveRecord = Readonly<Record<string, unknown>>;
/** Gets the records of one read, in file order, never an empty batch, and the place behind them. The next batch waits for it. */
export type EveListener = (records: readonly EveRecord[], position: TailPosition) => void | Promise<void>;

export interface EveTailStatus {
  readonly path: string;
  /** The file is open. */
  readonly open: boolean;
  /** Why not, or the last read error; "" when all is well. A file that is not there yet is not an error. */
  readonly reason: string;
  readonly records: number;
  /** Lines that are no JSON object. */
  readonly malformed: number;
  /** Lines over 1 MiB. */
  readonly oversized: number;
  /** Times the file was renamed away, replaced or truncated. */
  readonly rotations: number;
}

const POLL_MS = 200;
const CHUNK = 256 * 1024;
const LONGEST_LINE = 1024 * 1024;
const SAVE_EVERY_MS = 1_000;
/** How long stop() still reads what was written before it; the rest waits for the next start. */
const LAST_READ_MS = 1_000;

/** What log rotation makes of old files. */
const COMPRESSED = /\.(gz|bz2|xz|zst|lz4|zip|tmp)$/;

interface OpenFile {
  readonly handle: FileHandle;
  readonly device: number;
  readonly inode: number;
  /** When it was made, ms; 0 where the file system does not say. */
  readonly bornMs: number;
  /** Next byte to read. */
  offset: number;
}

/**
 * Follows eve.json. Reads what is appended within 200 ms (file events, and a poll for file systems without them), goes on
 * over rename-and-create (also when a file is renamed before it was seen), replacement and truncation, and keeps at most one line in memory. The first time it starts at the
 * end of an existing file; later where it stopped, if that file is still there. A file that appears while it waits is read
 * from its beginning. Read errors show in status() and are retried.
 */
export class EveTail {
  #file: OpenFile | undefined;
  /** A file that a read error made it give up. */
  #left: OpenFile | undefined;
  readonly #splitter = new LineSplitter(LONGEST_LINE);
  readonly #chunk = Buffer.allocUnsafe(CHUNK);
  #reason = '';
  #records = 0;
  #malformed = 0;
  #rotations = 0;
  #savedAt = 0;
  #unsaved = false;
  #pollOnly = false;
  #wake = new AbortController();
  #stopping: AbortController | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(
    private readonly path: string,
    private readonly positions: PositionStore,
    private readonly listener: EveListener,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** Resolves when the starting place is fixed: whatever is appended from then on is delivered. A second call does nothing. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#stopping !== undefined) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#splitter.reset();
    await this.#attempt(() => this.#openFirst());
    this.#loop = this.#follow(AbortSignal.any([signal, stopping.signal]));
  }

  /** Reads what was written until now (one second at most), saves the place and closes the file. */
  async stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#loop;
    this.#stopping = undefined;
  }

  status(): EveTailStatus {
    return {
      path: this.path,
      open: this.#file !== undefined,
      reason: this.#reason,
      records: this.#records,
      malformed: this.#malformed,
      oversized: this.#splitter.oversized,
      rotations: this.#rotations,
    };
  }

  async #follow(signal: AbortSignal): Promise<void> {
    let watcher: FSWatcher | undefined;
    while (!signal.aborted) {
      watcher ??= this.#watchDirectory(() => {
        watcher = undefined;
      });
      this.#wake = new AbortController();
      await this.#attempt(() => this.#catchUp(signal));
      await sleep(this.clock, POLL_MS, AbortSignal.any([signal, this.#wake.signal]));
    }
    watcher?.close();
    await this.#attempt(() => this.#catchUp(AbortSignal.timeout(LAST_READ_MS)));
    await this.#attempt(() => this.#savePosition(true));
    await this.#close();
  }

  /** Runs one step; an error is said once, shown in status() and the step is tried again at the next poll. */
  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
      this.#reason = '';
    } catch (error) {
      const reason = describeError(error);
      if (reason !== this.#reason) this.log.warn('ids.eve.unreadable', { path: this.path, reason });
      this.#reason = reason;
    }
  }

  /** Wakes the loop on changes of the file's directory; without a watcher (no such directory yet, no inotify left) the poll serves. */
  #watchDirectory(onEnd: () => void): FSWatcher | undefined {
    const name = basename(this.path);
    try {
      const watcher = watch(dirname(this.path), (_event, changed) => {
        if (changed === null || changed === name) this.#wake.abort();
      });
      watcher.on('error', () => {
        watcher.close();
        onEnd();
      });
      return watcher;
    } catch (error) {
      if (!this.#pollOnly) this.log.debug('ids.eve.not-watched', { path: this.path, reason: describeError(error) });
      this.#pollOnly = true;
      return undefined;
    }
  }

  async #openFirst(): Promise<void> {
    const saved = await this.positions.load();
    const file = await openFile(this.path);
    if (file === undefined) return;
    this.#file = file;
    const { size } = await file.handle.stat();
    if (saved?.path === this.path) {
      // Another file, or a shorter one, took its place while nobody read: all of it is new.
      file.offset = isSameFile(saved, file) && saved.offset <= size ? saved.offset : 0;
      return;
    }
    file.offset = size;
    this.#unsaved = true;
    if (size > 0 && !(await endsWithNewline(file.handle, size))) this.#splitter.skipToNextLine();
  }

  /** Reads all there is, in the open file and, when that one was replaced, in its successor. */
  async #catchUp(signal: AbortSignal): Promise<void> {
    this.#file ??= await this.#openAgain();
    const file = this.#file;
    if (file === undefined) return;
    await this.#readToEnd(file, signal);
    await this.#savePosition(false);
    const named = await statOrAbsent(this.path);
    if (signal.aborted) return;
    if (named === undefined || named.dev !== file.device || named.ino !== file.inode) {
      // The writer keeps the renamed file open until it is told to reopen: leave it only when a successor is there, under the name or under it no more.
      const between = await this.#nextBetween(file, named?.ino);
      if (named === undefined && between === undefined) return;
      await this.#readToEnd(file, signal);
      if (signal.aborted) return;
      this.#startOver();
      await this.#close();
      this.#file = between === undefined ? undefined : await openFile(between);
      this.#wake.abort();
    } else if (named.size < file.offset) {
      this.#startOver();
      file.offset = 0;
      this.#wake.abort();
    }
  }

  /** A file that had the name after this one, and was renamed before it was seen: the first of them. Copies of files that others made may be among them; alerts know themselves again. */
  async #nextBetween({ device, inode, bornMs }: OpenFile, named: number | undefined): Promise<string | undefined> {
    const directory = dirname(this.path);
    const name = basename(this.path);
    const siblings = (await readdir(directory)).filter((one) => (one.startsWith(`${name}.`) || one.startsWith(`${name}-`)) && !COMPRESSED.test(one));
    let first: { readonly path: string; readonly bornMs: number } | undefined;
    for (const path of siblings.map((one) => join(directory, one))) {
      const found = await statOrAbsent(path);
      if (found?.dev !== device || found.ino === inode || found.ino === named || bornMs === 0 || found.birthtimeMs <= bornMs) continue;
      if (first === undefined || found.birthtimeMs < first.bornMs) first = { path, bornMs: found.birthtimeMs };
    }
    return first?.path;
  }

  #startOver(): void {
    this.#rotations += 1;
    if (this.#splitter.pending > 0) this.#malformed += 1;
    this.#splitter.reset();
    this.#unsaved = true;
  }

  async #readToEnd(file: OpenFile, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const bytesRead = await this.#read(file);
      if (bytesRead === 0) return;
      const records = this.#parse(this.#splitter.push(this.#chunk.subarray(0, bytesRead)));
      file.offset += bytesRead;
      this.#unsaved = true;
      if (records.length > 0) {
        this.#records += records.length;
        await this.listener(records, this.#place(file));
      }
      await this.#savePosition(false);
    }
  }

  /** Bytes read into #chunk, 0 at the end. A file that cannot be read is given up, so that its successor gets a chance. */
  async #read(file: OpenFile): Promise<number> {
    try {
      return (await file.handle.read(this.#chunk, 0, CHUNK, file.offset)).bytesRead;
    } catch (error) {
      this.#left = file;
      await this.#close();
      throw error;
    }
  }

  /** The file by its name: from where it was given up, or from its beginning when it is another one. */
  async #openAgain(): Promise<OpenFile | undefined> {
    const file = await openFile(this.path);
    if (file === undefined) return undefined;
    const left = this.#left;
    this.#left = undefined;
    if (left !== undefined && left.device === file.device && left.inode === file.inode) file.offset = left.offset;
    else this.#splitter.reset();
    return file;
  }

  #parse(lines: readonly string[]): EveRecord[] {
    const records: EveRecord[] = [];
    for (const line of lines) {
      const record = parseRecord(line);
      if (record === undefined) this.#malformed += 1;
      else records.push(record);
    }
    return records;
  }

  async #savePosition(now: boolean): Promise<void> {
    const file = this.#file;
    if (file === undefined || !this.#unsaved) return;
    const time = this.clock.now();
    if (!now && time - this.#savedAt < SAVE_EVERY_MS) return;
    this.#savedAt = time;
    await this.positions.save(this.#place(file));
    this.#unsaved = false;
  }

  /** The beginning of the unfinished line, so that it is read whole after a restart. */
  #place(file: OpenFile): TailPosition {
    return { path: this.path, device: file.device, inode: file.inode, offset: file.offset - this.#splitter.pending };
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }
}

function parseRecord(line: string): EveRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    // Counted by the caller; a torn line of a crashed engine is no reason to stop.
    return undefined;
  }
}

function isRecord(value: unknown): value is EveRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** undefined when there is no such file. */
async function openFile(path: string): Promise<OpenFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  const { dev, ino, birthtimeMs } = await handle.stat();
  return { handle, device: dev, inode: ino, bornMs: birthtimeMs, offset: 0 };
}

async function statOrAbsent(path: string): Promise<{ dev: number; ino: number; size: number; birthtimeMs: number } | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function endsWithNewline(handle: FileHandle, size: number): Promise<boolean> {
  const last = Buffer.alloc(1);
  await handle.read(last, 0, 1, size - 1);
  return last[0] === 0x0a;
}

function isSameFile(position: TailPosition, file: OpenFile): boolean {
  return position.device === file.device && position.inode === file.inode;
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
