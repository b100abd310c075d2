/** Where bundles come from: a file of this host, or a web server. What is fetched is a copy of ours, checked against its sha256. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AgentError, describeError, isAgentError } from '../../../model/errors.js';
import { httpGet, shownUrl, type HttpOptions, type Validators } from './http-get.js';

export interface BundleSourceOptions extends HttpOptions {
  /** Absolute path, or http(s) URL. */
  readonly bundle: string;
  /** 64 hexadecimal digits; path or URL of a file that begins with them (as sha256sum writes it); '': not checked. */
  readonly checksum: string;
  /** Largest archive, bytes. */
  readonly largest: number;
}
/** What the next fetch asks with. */
export interface FetchState extends Validators {
  /** Of the archive that was taken last: nothing is fetched while the checksum file names this one. */
  readonly sha256?: string;
}
export type Fetched =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'fetched'; readonly sha256: string; readonly validators: Validators };

const CHECKSUM_FILE_LIMIT = 64 << 10;

export class BundleSource {
  constructor(private readonly options: BundleSourceOptions) {}

  /** As it may be shown: without password and query of a URL. */
  get shown(): string {
    return isUrl(this.options.bundle) ? shownUrl(this.options.bundle) : this.options.bundle;
  }

  /** Path of a local bundle; undefined for a URL. */
  get path(): string | undefined {
    return isUrl(this.options.bundle) ? undefined : this.options.bundle;
  }

  /**
   * Copies the bundle to `target`, unless it is still the one that `state` tells of. Rejects with E_UNREACHABLE or E_IO (retryable) when it cannot be
   * had, E_INVALID when its checksum is not the expected one, E_LIMIT when it is too large, E_CANCELLED; `target` is then the caller's to remove.
   */
  async fetch(target: string, state: FetchState, signal: AbortSignal): Promise<Fetched> {
    try {
      const expected = await this.#expected(signal);
      if (expected !== undefined && expected === state.sha256) return { kind: 'unchanged' };
      const copied = await (isUrl(this.options.bundle) ? this.#download(target, state, signal) : this.#copy(target, signal));
      if (copied === undefined) return { kind: 'unchanged' };
      if (expected !== undefined && copied.sha256 !== expected) {
        throw new AgentError('E_INVALID', `the bundle's sha256 is ${copied.sha256}, not ${expected}`, { object: this.shown, retryable: true });
      }
      return copied.sha256 === state.sha256 ? { kind: 'unchanged' } : { kind: 'fetched', ...copied };
    } catch (error) {
      if (signal.aborted) throw new AgentError('E_CANCELLED', 'cancelled', { object: this.shown, cause: error });
      if (isAgentError(error)) throw error;
      throw new AgentError('E_IO', `the bundle cannot be read: ${describeError(error)}`, { object: this.shown, retryable: true, cause: error });
    }
  }

  async #expected(signal: AbortSignal): Promise<string | undefined> {
    const { checksum } = this.options;
    if (checksum === '') return undefined;
    if (/^[0-9a-f]{64}$/i.test(checksum)) return checksum.toLowerCase();
    const text = isUrl(checksum) ? await this.#downloadText(checksum, signal) : await readSmall(checksum);
    // "DIGEST  NAME" (sha256sum), "DIGEST", or "SHA256 (NAME) = DIGEST" (its --tag).
    const digest = /^(?:\\?([0-9a-f]{64})(?:\s|$)|SHA256 \([^\n]*\) = ([0-9a-f]{64})\s*$)/im.exec(text);
    const found = digest?.[1] ?? digest?.[2];
    if (found === undefined) throw new AgentError('E_INVALID', 'holds no sha256 of a bundle', { object: isUrl(checksum) ? shownUrl(checksum) : checksum, retryable: true });
    return found.toLowerCase();
  }

  async #download(target: string, state: FetchState, signal: AbortSignal): Promise<{ sha256: string; validators: Validators } | undefined> {
    const answer = await httpGet(this.options.bundle, this.options, state, signal);
    if (answer.kind === 'unchanged') return undefined;
    return { sha256: await this.#take(answer.body, target, answer.signal), validators: answer.validators };
  }

  async #copy(target: string, signal: AbortSignal): Promise<{ sha256: string; validators: Validators }> {
    const file = await stat(this.options.bundle);
    if (!file.isFile()) throw new AgentError('E_IO', 'is no file', { object: this.shown, retryable: true });
    return { sha256: await this.#take(createReadStream(this.options.bundle), target, signal), validators: {} };
  }

  /** Writes the content to the file; resolves with its sha256. */
  async #take(content: Readable, target: string, signal: AbortSignal): Promise<string> {
    const hash = createHash('sha256');
    let size = 0;
    const counted = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        size += chunk.length;
        if (size > this.options.largest) {
          done(new AgentError('E_LIMIT', `the bundle is larger than ${String(this.options.largest)} bytes`, { object: this.shown }));
          return;
        }
        hash.update(chunk);
        done(undefined, chunk);
      },
    });
    await pipeline(content, counted, createWriteStream(target, { flags: 'wx', mode: 0o640 }), { signal });
    return hash.digest('hex');
  }

  async #downloadText(url: string, signal: AbortSignal): Promise<string> {
    const answer = await httpGet(url, this.options, {}, signal);
    if (answer.kind === 'unchanged') throw new AgentError('E_UNREACHABLE', 'answered 304 to a plain request', { object: shownUrl(url), retryable: true });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body) {
      const bytes: Buffer = chunk instanceof Uint8Array ? Buffer.from(chunk) : Buffer.from(String(chunk));
      size += bytes.length;
      if (size > CHECKSUM_FILE_LIMIT) throw new AgentError('E_LIMIT', 'is too large for a checksum file', { object: shownUrl(url) });
      chunks.push(bytes);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

async function readSmall(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > CHECKSUM_FILE_LIMIT) throw new AgentError('E_LIMIT', 'is too large for a checksum file', { object: path });
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAgentError(error)) throw error;
    throw new AgentError('E_IO', `the checksum cannot be read: ${describeError(error)}`, { object: path, retryable: true, cause: error });
  }
}
