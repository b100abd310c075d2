/**
 * The last good value of every key, on disk: what is enforced when etcd is away at the start, and what stays in force of a key whose
 * value is bad at the start. One file: a head line, then a line for each change, in order; any number of whole lines from the beginning is a
 * state that once was. Rewritten as a whole (and atomically) after a complete reading and when it has grown to twice what it holds.
 */
import { createHash } from 'node:crypto';
import { open, readFile, stat, type FileHandle } from 'node:fs/promises';
import { AgentError, describeError } from '../../model/errors.js';
import { writeFileAtomic } from '../../platform/atomic-file.js';
import type { Position } from './client/etcd.js';

export interface StoredState {
  readonly at: Position;
  readonly values: ReadonlyMap<string, Uint8Array>;
}
/** undefined: the key is gone. */
export type ValueChange = readonly [key: string, value: Uint8Array | undefined];

/** Of the form of the file; another one is another version's, and not read. */
const FORM = 1;
const SMALL_BYTES = 256 * 1024;

export class LastState {
  #handle: FileHandle | undefined;
  #bytes = 0;
  #wholeBytes = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** `identity`: what the state is of (prefix, node); a file of another identity is not read. The directory must exist. */
  constructor(private readonly file: string, private readonly identity: string) {}

  /** What was stored; undefined: nothing (readable). A line that was not written whole ends it. Throws E_IO when there is a file that cannot be read. */
  async load(): Promise<StoredState | undefined> {
    let text: string;
    try {
      text = await readFile(this.file, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw new AgentError('E_IO', describeError(error), { object: this.file, cause: error });
    }
    const [head = '', ...lines] = text.split('\n');
    const position = this.#readHead(head);
    if (position === undefined) return undefined;
    let at: Position = position;
    const values = new Map<string, Uint8Array>();
    // The last piece is empty, or was not written to its end.
    for (const line of lines.slice(0, -1)) {
      const entry = readLine(line);
      if (entry === undefined) break;
      at = { ...at, revision: Math.max(at.revision, entry.revision) };
      if (entry.value === undefined) values.delete(entry.key);
      else values.set(entry.key, entry.value);
    }
    return { at, values };
  }

  /** Replaces everything. @throws AgentError E_IO; then the file is as it was, and further changes are not added to it. */
  async replace({ at, values }: StoredState): Promise<void> {
    await this.#exclusively(async () => {
      await this.#close();
      const lines = [`${JSON.stringify({ form: FORM, identity: this.identity, cluster: at.cluster, revision: at.revision })}\n`];
      for (const [key, value] of values) lines.push(lineOf([key, value], at.revision));
      const text = lines.join('');
      await writeFileAtomic(this.file, text);
      this.#wholeBytes = Buffer.byteLength(text);
      this.#bytes = this.#wholeBytes;
      this.#handle = await open(this.file, 'a');
    });
  }

  /** Adds changes. Does nothing before the first replace(). @throws AgentError E_IO. */
  async add(changes: readonly ValueChange[], revision: number): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#handle === undefined) return;
      const text = changes.map((change) => lineOf(change, revision)).join('');
      try {
        await this.#handle.appendFile(text);
        this.#bytes += text.length;
      } catch (error) {
        // Half a line may be there: what comes after it would not be read.
        await this.#close();
        throw new AgentError('E_IO', describeError(error), { object: this.file, retryable: true, cause: error });
      }
    });
  }

  /** Replaces everything by `whole`, if the file has grown too long; takes its time then. @throws AgentError E_IO. */
  async tidy(whole: () => StoredState): Promise<void> {
    if (this.#bytes > SMALL_BYTES && this.#bytes > 2 * this.#wholeBytes) await this.replace(whole());
  }

  async close(): Promise<void> {
    await this.#exclusively(async () => this.#close());
  }

  /** Bytes on disk; 0: no file. */
  async size(): Promise<number> {
    return (await stat(this.file).catch(() => undefined))?.size ?? 0;
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    // The next one waits for this one to end, however it ends; the caller of this one sees the failure.
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  #readHead(line: string): Position | undefined {
    const head = parsed(line);
    if (typeof head !== 'object' || head === null || !('form' in head) || head.form !== FORM || !('identity' in head) || head.identity !== this.identity) return undefined;
    if (!('cluster' in head) || typeof head.cluster !== 'string' || !('revision' in head) || typeof head.revision !== 'number') return undefined;
    return { cluster: head.cluster, revision: head.revision };
  }
}

/** Checksum, revision, key (bytes are characters), value in base64 where there is one. */
function lineOf([key, value]: ValueChange, revision: number): string {
  const body = JSON.stringify(value === undefined ? [revision, key] : [revision, key, Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')]);
  return `${checksum(body)} ${body}\n`;
}

function readLine(line: string): { readonly revision: number; readonly key: string; readonly value: Uint8Array | undefined } | undefined {
  const body = line.slice(9);
  if (line[8] !== ' ' || checksum(body) !== line.slice(0, 8)) return undefined;
  const entry = parsed(body);
  if (!Array.isArray(entry)) return undefined;
  const fields: readonly unknown[] = entry;
  const [revision, key, value] = fields;
  if (typeof revision !== 'number' || typeof key !== 'string' || (value !== undefined && typeof value !== 'string')) return undefined;
  return { revision, key, value: value === undefined ? undefined : Buffer.from(value, 'base64') };
}

function checksum(body: string): string {
  return createHash('sha1').update(body).digest('hex').slice(0, 8);
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}
