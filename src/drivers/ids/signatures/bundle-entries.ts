/** What an archive of signatures may hold, whatever its format: names, kinds and amounts are judged here, before anything is written. */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AgentError, describeError, isAgentError } from '../../../model/errors.js';

/** Against archives that are small and become large. */
export interface BundleLimits {
  /** Files, directories and whatever else is named. */
  readonly entries: number;
  /** Bytes of one file. */
  readonly fileBytes: number;
  /** Bytes of everything that is inflated, wanted or not. */
  readonly totalBytes: number;
  /** Bytes inflated for each byte of the archive, where there is more than a megabyte. */
  readonly ratio: number;
}
/** The largest public rule sets have about 100 files and 50 MB, inflated 12-fold. */
export const BUNDLE_LIMITS: BundleLimits = { entries: 10_000, fileBytes: 128 << 20, totalBytes: 512 << 20, ratio: 200 };

const RATIO_COUNTS_FROM = 1 << 20;
const LONGEST_PATH = 512;
const DEEPEST = 16;
/** Besides *.rules. */
const WANTED = new Set(['classification.config', 'reference.config', 'version', 'version.txt']);

/** Takes what an archive holds, entry by entry, into a directory; throws E_INVALID or E_LIMIT with the entry's name as the path. */
export class BundleEntries {
  /** Paths below the directory, as they are in the archive. */
  readonly files: string[] = [];
  #entries = 0;
  #inflated = 0;
  readonly #seen = new Set<string>();

  constructor(
    private readonly archive: string,
    private readonly archiveBytes: number,
    private readonly directory: string,
    private readonly limits: BundleLimits,
  ) {}

  /** Counts an entry and judges its name. Returns where a file of this name goes; undefined for a file that nobody needs, which is not written. */
  admit(name: string): string | undefined {
    this.#entries += 1;
    if (this.#entries > this.limits.entries) throw this.tooMuch(name, `more than ${String(this.limits.entries)} entries`);
    const path = this.#path(name);
    if (!isWanted(path)) return undefined;
    // The engine takes paths for patterns, and they stand in its configuration.
    if (!/^[\w.+@/ -]+$/.test(path)) throw this.refusal(name, 'a name of a rule file may hold letters, digits, space and . _ - + @ only');
    if (this.#seen.has(path)) throw this.refusal(name, 'is there twice');
    this.#seen.add(path);
    return path;
  }

  /** For names of directories, which are made only where a file needs them. */
  admitDirectory(name: string): void {
    this.admit(name.replace(/\/+$/, '') === '' ? '.' : name.replace(/\/+$/, ''));
  }

  /** Counts bytes that came out of the archive. */
  inflated(bytes: number, entry: string): void {
    this.#inflated += bytes;
    if (this.#inflated > this.limits.totalBytes) throw this.tooMuch(entry, `it inflates to more than ${String(this.limits.totalBytes)} bytes`);
    if (this.#inflated > RATIO_COUNTS_FROM && this.#inflated > this.archiveBytes * this.limits.ratio) {
      throw this.tooMuch(entry, `it inflates to more than ${String(this.limits.ratio)} times its size`);
    }
  }

  /** Writes an admitted file. `open` is asked when the bytes are wanted: a stream that fails before anybody listens ends the process. `check` sees its bytes first. */
  async write(path: string, open: () => Readable | Promise<Readable>, check: (chunk: Buffer) => void, signal: AbortSignal): Promise<void> {
    const target = join(this.directory, path);
    let size = 0;
    const bounded = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        size += chunk.length;
        try {
          if (size > this.limits.fileBytes) throw this.tooMuch(path, `the file is larger than ${String(this.limits.fileBytes)} bytes`);
          check(chunk);
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        done(undefined, chunk);
      },
    });
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    // "wx": never through a link, never over another file.
    await pipeline(await open(), bounded, createWriteStream(target, { flags: 'wx', mode: 0o640, flush: true }), { signal });
    this.files.push(path);
  }

  refusal(entry: string, reason: string, cause?: unknown): AgentError {
    return new AgentError('E_INVALID', `the bundle is refused: ${reason}`, { object: this.archive, path: shown(entry), cause });
  }

  /** For what a reader of archives threw: the archive's fault, or the disk's. */
  broken(entry: string, error: unknown): AgentError {
    if (isAgentError(error)) return error;
    const disk = error instanceof Error && 'syscall' in error;
    if (disk) return new AgentError('E_IO', `the bundle cannot be unpacked: ${describeError(error)}`, { object: this.archive, path: shown(entry), retryable: true, cause: error });
    return this.refusal(entry, `it is damaged: ${describeError(error)}`, error);
  }

  tooMuch(entry: string, reason: string): AgentError {
    return new AgentError('E_LIMIT', `the bundle is refused: ${reason}`, { object: this.archive, path: shown(entry) });
  }

  /** The name as a path that stays below the directory. */
  #path(name: string): string {
    if (name.includes('\0')) throw this.refusal(name, 'the name holds a zero byte');
    if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) throw this.refusal(name, 'the name is an absolute path');
    if (name.includes('\\')) throw this.refusal(name, 'the name holds a backslash');
    const parts = name.split('/').filter((part) => part !== '.' && part !== '');
    if (parts.includes('..')) throw this.refusal(name, 'the name leads out of the archive');
    if (name.length > LONGEST_PATH || parts.length > DEEPEST) throw this.refusal(name, 'the name is too long');
    return parts.join('/');
  }
}

function isWanted(path: string): boolean {
  const name = basename(path);
  // Names that begin with a dot are leavings of other systems' archivers ("._emerging.rules").
  return WANTED.has(name) || (name.endsWith('.rules') && !name.startsWith('.'));
}

function shown(entry: string): string {
  return entry.length > 200 ? `${entry.slice(0, 200)}...` : entry;
}
