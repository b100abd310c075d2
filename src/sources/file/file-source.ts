/**
 * Desired state from a directory of manifests (or one file), watched. See docs/rules-format.md for *.rules files.
 *
 * Changes are noticed by inotify and, as a net, by a periodic rescan; only files whose signature changed are read again. What
 * cannot be read or is refused keeps its last good version; only a file that is really gone takes its objects with it. A missing
 * path is no failure: it is reported and picked up when it appears, and if it vanishes later everything stays in force.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import type { Source, SourceSnapshot } from '../source.js';
import { AgentError, describeError } from '../../model/errors.js';
import { EMPTY_FILE, nextState, stateWithFailure, type FileProblem, type FileState } from './file-state.js';
import type { FileParser } from './file-parser.js';
import { errorCodeOf, listManifests, type ListedFile, type Listing } from './listing.js';
import { mergeFiles } from './merge.js';
import { LastGood } from './last-good.js';
import { ThreadParser } from './thread-parser.js';
import { Watches } from './watches.js';

export interface FileSourceOptions {
  /** Directory or file; made absolute. */
  readonly path: string;
  readonly logger: Logger;
  /** Directory for the last good content of every file; absent = it is forgotten with the process. */
  readonly lastGood?: string;
  /** Closed by stop(). Default: a ThreadParser. */
  readonly parser?: FileParser;
  /** Quiet time after a change before the files are read. Default 20. */
  readonly debounceMs?: number;
  /** Period of the rescan. Default 5,000. */
  readonly rescanMs?: number;
}

const MAX_FILE_BYTES = 256 * 1024 * 1024;
/** A writer that goes on writing is not waited for any longer than this. */
const MAX_DEBOUNCE_MS = 500;
/** A file just emptied is most likely being rewritten. */
const EMPTY_GRACE_MS = 1_000;
/** Two writes within this time may leave the same modification time (the kernel's tick, and slack). */
const TIMESTAMP_SLACK_MS = 50;
/** Bytes hashed at a time. */
const HASH_SLICE = 1024 * 1024;

interface KnownFile {
  readonly signature: string;
  /** False when the file could change again without its signature changing. */
  readonly settled: boolean;
  /** Of the content; empty after a failure. Saves parsing when only the signature changed. */
  readonly hash: string;
  readonly state: FileState;
}

export class FileSource implements Source {
  readonly type = 'file';
  readonly #path: string;
  readonly #log: Logger;
  readonly #parser: FileParser;
  readonly #debounceMs: number;
  readonly #rescanMs: number;
  readonly #watches: Watches;
  readonly #listeners = new Set<() => void>();
  #files = new Map<string, KnownFile>();
  #rootProblems: readonly FileProblem[] = [];
  #snapshot: SourceSnapshot = { objects: new Map(), manifests: new Map(), errors: [], revision: 0 };
  readonly #lastGood: LastGood | undefined;
  #reported = new Set<string>();
  #origins: ReadonlyMap<string, string> = new Map();
  #scan: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #firstEventAt: number | undefined;
  #stopped = false;
  #detach = (): void => undefined;

  constructor(options: FileSourceOptions) {
    this.#path = resolve(options.path);
    this.#log = options.logger;
    this.#lastGood = options.lastGood === undefined ? undefined : new LastGood(options.lastGood, options.logger);
    this.#parser = options.parser ?? new ThreadParser();
    this.#debounceMs = options.debounceMs ?? 20;
    this.#rescanMs = options.rescanMs ?? 5_000;
    this.#watches = new Watches(() => this.#onEvent(), (path, reason) => this.#log.warn('source.watch-failed', { path, reason }));
  }

  get synced(): boolean {
    return this.#snapshot.revision > 0;
  }

  snapshot(): SourceSnapshot {
    return this.#snapshot;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async start(signal: AbortSignal): Promise<void> {
    const abort = (): void => {
      this.stop().catch((error: unknown) => this.#log.error('source.stop-failed', { path: this.#path, reason: describeError(error) }));
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#detach = () => signal.removeEventListener('abort', abort);
    await this.#enqueue({ trustEmpty: true, first: true }, signal);
    this.#schedule(this.#rescanMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#detach();
    clearTimeout(this.#timer);
    this.#watches.close();
    await this.#parser.close();
    // A scan under way ends by itself, its parse cancelled.
    await this.#scan;
  }

  async sync(signal: AbortSignal): Promise<void> {
    await this.#enqueue({ trustEmpty: true, first: false }, signal);
  }

  #onEvent(): void {
    if (this.#stopped) return;
    const now = performance.now();
    this.#firstEventAt ??= now;
    this.#schedule(Math.max(0, Math.min(this.#debounceMs, this.#firstEventAt + MAX_DEBOUNCE_MS - now)));
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#firstEventAt = undefined;
      this.#enqueue({ trustEmpty: false, first: false }, undefined)
        .catch((error: unknown) => this.#log.error('source.scan-failed', { path: this.#path, reason: describeError(error) }))
        .finally(() => {
          if (this.#firstEventAt === undefined) this.#schedule(this.#rescanMs);
        });
    }, delayMs);
    this.#timer.unref();
  }

  /** Scans one after the other; each begins after its caller asked. */
  async #enqueue(mode: ScanMode, signal: AbortSignal | undefined): Promise<void> {
    if (this.#stopped || signal?.aborted === true) {
      throw new AgentError('E_CANCELLED', 'the file source was stopped', { object: this.#path });
    }
    const mine = this.#scan.then(async () => this.#scanOnce(mode));
    // The next scan waits for this one to end, however it ends; the caller of this one sees the failure.
    this.#scan = mine.catch(() => undefined);
    await (signal === undefined ? mine : untilAborted(mine, signal, this.#path));
  }

  async #scanOnce(mode: ScanMode): Promise<void> {
    if (this.#stopped) return;
    const began = performance.now();
    let listing = await listManifests(this.#path);
    if (mode.first && listing.problem !== undefined && !listing.problem.missing) {
      throw new AgentError(
        'E_IO', `${this.#path} ${listing.problem.message}`, { object: this.#path, cause: listing.problem.cause, retryable: true },
      );
    }
    // Files written between the listing and a new watch would be missed.
    if (this.#watch(listing)) listing = await listManifests(this.#path);
    const changed = listing.problem === undefined ? await this.#readAll(listing, mode) : false;
    if (this.#stopped) return;
    const rootProblems = this.#problemsOf(listing);
    if (!changed && this.synced && sameProblems(rootProblems, this.#rootProblems)) return;
    this.#rootProblems = rootProblems;
    this.#publish(performance.now() - began);
  }

  #watch(listing: Listing): boolean {
    // The parent tells when the path itself appears, is replaced or (a single file) is written.
    // Names with two dots are those of a ConfigMap volume being swapped.
    const own = basename(this.#path);
    const parent = { path: dirname(this.#path), inode: 'parent', accepts: (name: string) => name === own || name.startsWith('..') };
    return !this.#stopped && this.#watches.update([...listing.directories, ...(listing.directories.some(({ path }) => path === parent.path) ? [] : [parent])]);
  }

  #problemsOf(listing: Listing): FileProblem[] {
    const label = basename(this.#path);
    if (listing.problem !== undefined) {
      const kept = this.#files.size > 0 ? '; what was read from it stays in force' : '';
      return [{ object: label, code: 'E_IO', path: '', message: `${this.#path} ${listing.problem.message}${kept}` }];
    }
    return listing.unreadable.map((directory) => ({ object: directory.label, code: 'E_IO' as const, path: '', message: directory.message }));
  }

  /** Brings #files up to the listing; true when anything changed. */
  async #readAll(listing: Listing, mode: ScanMode): Promise<boolean> {
    if (mode.first) await this.#lastGood?.keepOnly(listing.files.map(({ label }) => label));
    const next = new Map<string, KnownFile>();
    let changed = false;
    for (const file of listing.files) {
      const known = this.#files.get(file.label);
      const now = await this.#read(file, known, mode);
      if (now !== undefined) next.set(file.label, now);
      if (now?.state === known?.state) continue;
      changed = true;
      if (now !== undefined) await this.#lastGood?.save(file.label, file.size, now.state);
    }
    for (const [label, known] of this.#files) {
      if (next.has(label)) continue;
      // Files of a directory that cannot be read are unknown, not gone.
      if (listing.unreadable.some((directory) => label.startsWith(`${directory.label}/`))) next.set(label, known);
      else {
        changed = true;
        await this.#lastGood?.forget(label);
      }
    }
    this.#files = new Map([...next].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
    return changed;
  }

  async #read(file: ListedFile, known: KnownFile | undefined, mode: ScanMode): Promise<KnownFile | undefined> {
    const previous = known?.state ?? (await this.#lastGood?.load(file.label)) ?? EMPTY_FILE;
    const failed = (message: string, code: FileProblem['code'] = 'E_IO'): KnownFile => {
      const [problem] = previous.problems;
      if (known !== undefined && previous.problems.length === 1 && problem?.message === message) {
        return { ...known, signature: file.signature ?? '' };
      }
      return { signature: file.signature ?? '', settled: true, hash: '', state: stateWithFailure(previous, file.label, { code, path: '', message }) };
    };
    if (file.signature === undefined) return failed(file.problem ?? 'cannot be read');
    if (known !== undefined && known.signature === file.signature && known.settled) return known;
    if (file.size === 0 && previous.objects.length > 0 && !mode.trustEmpty && Date.now() - file.modifiedMs < EMPTY_GRACE_MS) {
      setTimeout(() => this.#onEvent(), EMPTY_GRACE_MS).unref();
      return known;
    }
    if (file.size > MAX_FILE_BYTES) return failed(`is larger than ${MAX_FILE_BYTES} bytes`, 'E_LIMIT');
    const settled = Date.now() - file.modifiedMs > TIMESTAMP_SLACK_MS;
    try {
      const bytes = await readFile(file.path);
      const hash = await hashOf(bytes);
      const signature = file.signature;
      if (known !== undefined && known.hash === hash) return { signature, settled, hash, state: previous };
      const parsed = await this.#parser.parse(basename(file.path), bytes);
      for (const warning of parsed.warnings) this.#log.warn('source.warning', { object: file.label, path: warning.path, reason: warning.message });
      return { signature, settled, hash, state: nextState(previous, file.label, parsed) };
    } catch (error) {
      // Gone between listing and reading: as if it had not been listed.
      if (errorCodeOf(error) === 'ENOENT') return undefined;
      if (error instanceof AgentError && error.code === 'E_CANCELLED') return known;
      return failed(
        error instanceof AgentError ? error.message : `cannot be read (${errorCodeOf(error) || describeError(error)})`,
        error instanceof AgentError ? error.code : 'E_IO',
      );
    }
  }

  #publish(elapsedMs: number): void {
    const merged = mergeFiles([...this.#files.values()].map(({ state }) => state), this.#origins);
    this.#origins = merged.origins;
    const problems = [...this.#rootProblems, ...merged.problems];
    this.#report(problems);
    const errors = problems.map(({ object, path, message }) => ({ object, path, message }));
    this.#snapshot = { objects: merged.objects, manifests: merged.manifests, errors, revision: this.#snapshot.revision + 1 };
    this.#log.info('source.loaded', {
      path: this.#path, files: this.#files.size, objects: merged.objects.size, errors: errors.length, revision: this.#snapshot.revision, ms: Math.round(elapsedMs),
    });
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#log.error('source.listener-failed', { reason: describeError(error) });
      }
    }
  }

  /** Logs each refusal once, not with every change of another file. */
  #report(problems: readonly FileProblem[]): void {
    const reported = new Set<string>();
    for (const { object, code, path, message } of problems) {
      const key = `${object}\n${path}\n${message}`;
      reported.add(key);
      if (!this.#reported.has(key)) this.#log.warn('source.refused', { object, code, path, reason: message });
    }
    this.#reported = reported;
  }
}

interface ScanMode {
  /** Somebody says that the files are complete now: an empty file is empty. */
  readonly trustEmpty: boolean;
  readonly first: boolean;
}

async function hashOf(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.byteLength; at += HASH_SLICE) {
    if (at > 0) await setImmediate();
    hash.update(bytes.subarray(at, at + HASH_SLICE));
  }
  return hash.digest('base64');
}

function sameProblems(a: readonly FileProblem[], b: readonly FileProblem[]): boolean {
  return a.length === b.length && a.every((problem, index) => problem.object === b[index]?.object && problem.message === b[index].message);
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal, object: string): Promise<T> {
  return new Promise((resolvePromise, reject) => {
    const abort = (): void => reject(new AgentError('E_CANCELLED', 'the caller gave up waiting for the file source', { object }));
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolvePromise, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
