/** Parses big files in a worker thread and small ones here, so that the event loop is never held for more than some milliseconds. */
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { ParsedDocument, ParsedFile } from './parse-file.js';
import type { ParseReply, ParseRequest } from './parse-messages.js';
import { AgentError, describeError } from '../../model/errors.js';
import { InlineParser, type FileParser } from './file-parser.js';
import { splitTexts, unpackLists } from './packed-lists.js';

/** A YAML parser takes about a millisecond for a kilobyte and a half. */
const INLINE_BYTES = 32 * 1024;
/** Starting a worker takes a tenth of a second, keeping one some 20 MB. */
const IDLE_MS = 2_000;

export interface ThreadParserOptions {
  /** Files up to this size are parsed in this thread. Default 32 KiB. */
  readonly inlineBytes?: number;
  /** Module of the worker; default the one beside this file. */
  readonly worker?: URL;
  /** A worker that had nothing to do for this long ends; the next big file starts another. Default 2,000. */
  readonly idleMs?: number;
}

interface Waiting { readonly id: number; resolve(reply: ParseReply): void; reject(error: unknown): void }

export class ThreadParser implements FileParser {
  readonly #inline = new InlineParser();
  readonly #inlineBytes: number;
  readonly #module: URL;
  readonly #idleMs: number;
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #waiting: Waiting | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #nextId = 1;
  #closed = false;

  constructor(options: ThreadParserOptions = {}) {
    this.#inlineBytes = options.inlineBytes ?? INLINE_BYTES;
    this.#module = options.worker ?? new URL('./parse-worker.js', import.meta.url);
    this.#idleMs = options.idleMs ?? IDLE_MS;
  }

  /** Parses of big files take turns. A worker that dies fails the parse under way (E_INTERNAL) and is replaced by the next one. */
  async parse(name: string, bytes: Uint8Array): Promise<ParsedFile> {
    if (bytes.byteLength <= this.#inlineBytes) return this.#inline.parse(name, bytes);
    const mine = this.#turn.then(async () => {
      clearTimeout(this.#idle);
      try {
        return await this.#parseInWorker(name, bytes);
      } finally {
        // Not before: a worker in the middle of a file holds what was not yet asked for.
        if (!this.#closed) this.#idle = setTimeout(() => this.#retire(), this.#idleMs).unref();
      }
    });
    // The next one waits for this one to end, however it ends; the caller sees the failure.
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#waiting?.reject(new AgentError('E_CANCELLED', 'parsing was stopped'));
    this.#waiting = undefined;
    await worker?.terminate();
  }

  async #parseInWorker(name: string, bytes: Uint8Array): Promise<ParsedFile> {
    const head = await this.#request({ id: this.#nextId++, ask: 'parse', name, bytes });
    if (head.tell !== 'parsed') throw failureOf(head);
    const documents: ParsedDocument[] = [];
    for (let batch = 0; batch < head.batches; batch++) {
      const part = await this.#request({ id: this.#nextId++, ask: 'batch' });
      if (part.tell !== 'batch') throw failureOf(part);
      unpackLists(part.documents, await splitTexts(part.texts, async () => setImmediate()));
      documents.push(...part.documents);
      await setImmediate();
    }
    return { documents, warnings: head.warnings };
  }

  async #request(request: ParseRequest): Promise<ParseReply> {
    if (this.#closed) throw new AgentError('E_CANCELLED', 'parsing was stopped');
    const worker = this.#worker ?? this.#startWorker();
    return new Promise((resolve, reject) => {
      this.#waiting = { id: request.id, resolve, reject };
      // Only a parse under way keeps the process alive.
      worker.ref();
      worker.postMessage(request);
    });
  }

  #retire(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
  }

  #startWorker(): Worker {
    const worker = new Worker(this.#module, { name: 'dfw-parse' });
    const fail = (message: string, cause?: unknown): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#waiting?.reject(new AgentError('E_INTERNAL', message, { retryable: true, cause }));
      this.#waiting = undefined;
    };
    worker.on('message', (reply: ParseReply) => {
      const waiting = this.#waiting;
      if (waiting?.id !== reply.id) return;
      this.#waiting = undefined;
      worker.unref();
      waiting.resolve(reply);
    });
    worker.on('error', (error) => fail(`the parsing worker failed: ${describeError(error)}`, error));
    worker.on('exit', (code) => fail(`the parsing worker ended with code ${code}`));
    this.#worker = worker;
    return worker;
  }
}

function failureOf(reply: ParseReply): AgentError {
  return reply.tell === 'failed' ? new AgentError(reply.code, reply.message) : new AgentError('E_INTERNAL', 'the parsing worker answered out of order');
}
