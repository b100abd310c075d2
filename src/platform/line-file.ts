import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeError } from '../model/errors.js';

export interface LineFileStatus {
  readonly path: string;
  /** False while the file cannot be opened or written. */
  readonly writable: boolean;
  /** Why not; "" when all is well. */
  readonly reason: string;
  readonly written: number;
  /** Lines given up because the file could not take them in time. */
  readonly lost: number;
  /** Bytes that wait to be written. */
  readonly pendingBytes: number;
  /** Lines of them that no write has begun with. */
  readonly pendingLines: number;
}

/** The part of a file that is needed; a seam so that tests can have a slow or full disk. */
export interface AppendFile {
  /** Number of bytes written, which may be less than given. */
  write(data: Uint8Array): Promise<number>;
  close(): Promise<void>;
}
export type OpenAppend = (path: string) => Promise<AppendFile>;

/** Opens for appending; directories are made (0750), the file is 0640. */
export async function openAppend(path: string): Promise<AppendFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o750 });
  const handle: FileHandle = await open(path, 'a', 0o640);
  return {
    write: async (data) => (await handle.write(data)).bytesWritten,
    close: () => handle.close(),
  };
}

/** Lines that wait while the disk is slow or full; what comes above is lost and counted. */
const PENDING_LIMIT = 4 * 1024 * 1024;
const LARGEST_WRITE = 256 * 1024;
const RETRY_MS = 1_000;
const NEWLINE = 0x0a;

/**
 * An append-only text file of whole lines. append() never waits and never throws; one writer in the background drains the
 * queue, retries once a second while the disk refuses, and completes a half-written line before anything else (a line is torn only
 * when the file is reopened while the disk is full). No fsync: the page cache
 * belongs to the kernel, which survives the agent.
 */
export class LineFile {
  #file: AppendFile | undefined;
  #queue: string[] = [];
  /** Lines taken from the queue and not written yet. */
  #head: Buffer = Buffer.alloc(0);
  /** The beginning of #head's first line is in the file already. */
  #headTorn = false;
  #pendingBytes = 0;
  #written = 0;
  #lost = 0;
  #reason = '';
  #reopenDue = false;
  #draining: Promise<void> | undefined;
  #closing = false;
  #retry: { timer: NodeJS.Timeout; now: () => void } | undefined;

  constructor(
    private readonly path: string,
    private readonly openFile: OpenAppend = openAppend,
    /** Called when writing begins to fail, with the reason, and when it works again, with "". */
    private readonly onState: (reason: string) => void = () => undefined,
  ) {}

  /** Opens the file so that a wrong path shows at once. An error only shows in status(): it is retried with the first line. */
  async open(): Promise<void> {
    this.#closing = false;
    try {
      this.#file ??= await this.openFile(this.path);
      this.#setReason('');
    } catch (error) {
      this.#setReason(describeError(error));
    }
  }

  /** `line` ends with its newline. False when it was lost. */
  append(line: string): boolean {
    const bytes = Buffer.byteLength(line);
    if (this.#closing || this.#pendingBytes + bytes > PENDING_LIMIT) {
      this.#lost += 1;
      return false;
    }
    this.#queue.push(line);
    this.#pendingBytes += bytes;
    this.#draining ??= this.#drain();
    return true;
  }

  /** The next line goes to a file newly opened under the same name: for rotation by rename. */
  reopen(): void {
    this.#reopenDue = true;
    this.#draining ??= this.#drain();
  }

  /** Writes what waits, as far as the disk takes it at once, and closes. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#retry?.now();
    await this.#draining;
    this.#lost += this.#queue.length + countNewlines(this.#head);
    this.#queue = [];
    this.#head = Buffer.alloc(0);
    this.#headTorn = false;
    this.#pendingBytes = 0;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  status(): LineFileStatus {
    return { path: this.path, writable: this.#reason === '', reason: this.#reason, written: this.#written, lost: this.#lost, pendingBytes: this.#pendingBytes, pendingLines: this.#queue.length };
  }

  async #drain(): Promise<void> {
    // Lines of the same turn go out in one write.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#head.length > 0 || this.#queue.length > 0 || this.#reopenDue) {
      try {
        const file = await this.#renewFile();
        if (this.#head.length === 0) this.#head = this.#takeLines();
        await this.#writeHead(file);
        this.#setReason('');
      } catch (error) {
        this.#setReason(describeError(error));
        if (this.#closing) break;
        await this.#pause();
      }
    }
    this.#draining = undefined;
  }

  async #renewFile(): Promise<AppendFile> {
    if (this.#reopenDue && this.#file !== undefined) {
      const old = this.#file;
      this.#file = undefined;
      this.#dropTornLine();
      await old.close();
    }
    const file = this.#file ?? (await this.openFile(this.path));
    this.#file = file;
    this.#reopenDue = false;
    return file;
  }

  /** The lines of the next write, joined; empty when none wait. */
  #takeLines(): Buffer {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < LARGEST_WRITE) {
      bytes += (this.#queue[count] ?? '').length;
      count += 1;
    }
    return Buffer.from(this.#queue.splice(0, count).join(''));
  }

  /** Writes #head to its end; what the disk refuses stays there and is the first to go out later. */
  async #writeHead(file: AppendFile): Promise<void> {
    while (this.#head.length > 0) {
      const count = await file.write(this.#head);
      if (count === 0) throw new Error('the file takes no more bytes');
      this.#written += countNewlines(this.#head.subarray(0, count));
      this.#headTorn = this.#head[count - 1] !== NEWLINE;
      this.#head = this.#head.subarray(count);
      this.#pendingBytes -= count;
    }
  }

  /** The end of a line whose beginning is in another file is no line. */
  #dropTornLine(): void {
    if (!this.#headTorn) return;
    const end = this.#head.indexOf(NEWLINE) + 1;
    this.#head = this.#head.subarray(end);
    this.#pendingBytes -= end;
    this.#lost += 1;
    this.#headTorn = false;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#retry = undefined;
        resolve();
      };
      const timer = setTimeout(finish, RETRY_MS);
      // A full disk must not keep the process alive.
      timer.unref();
      this.#retry = { timer, now: finish };
    });
  }

  #setReason(reason: string): void {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.onState(reason);
  }
}

function countNewlines(data: Buffer): number {
  let count = 0;
  for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
