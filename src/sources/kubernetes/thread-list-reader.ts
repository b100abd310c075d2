/**
 * Long lists are unpacked and cut down in a worker thread; what is left of their items is parsed here, while the worker has the next chunk. It
 * ends when there was nothing to do for a while.
 */
import { Worker } from 'node:worker_threads';
import { AgentError, describeError } from '../../model/errors.js';
import type { Heap } from '../../platform/heap.js';
import type { ListReply, ListRequest } from './list-messages.js';
import type { ListBody } from './list-body.js';
import { parsed, type ListEnvelope } from './list-parser.js';
import { trimAll, type ListReader } from './list-reader.js';
import { itemTrimmer, type ItemKind, type TrimmedItem } from './trimmed-item.js';
import { ValuePool } from './value-pool.js';

const IDLE_MS = 2_000;

export interface ThreadListReaderOptions {
  /** Roomy while there are long lists to read, and as long after the last as the worker waits for another: what was read is taken in then. */
  readonly heap?: Heap;
  readonly module?: URL;
}

interface Waiting { readonly resolve: (reply: ListReply) => void; readonly reject: (error: unknown) => void }

export class ThreadListReader implements ListReader {
  private worker: Worker | undefined;
  private endRoomy: (() => void) | undefined;
  private readonly waiting: Waiting[] = [];
  private lists = 0;
  private open = 0;
  private idle: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: ThreadListReaderOptions = {}) {}

  async *read(body: ListBody, kind: ItemKind): AsyncGenerator<readonly TrimmedItem[], ListEnvelope> {
    const list = ++this.lists;
    this.open++;
    clearTimeout(this.idle);
    const ask = (request: ListRequest, transfer: readonly ArrayBuffer[] = []): Promise<ListReply> => {
      const reply = this.ask(request, transfer);
      // It may fail while the next chunk is waited for; whoever asks for the answer then hears of it.
      reply.catch(() => undefined);
      return reply;
    };
    const trim = itemTrimmer(kind, kind.apiVersion, new ValuePool());
    const itemsOf = (reply: ListReply): readonly TrimmedItem[] => trimAll(parsedItems(reply), trim);
    let known = true;
    try {
      let pending = ask({ ask: 'begin', list, kind, packed: body.packed });
      for await (const chunk of body.bytes) {
        const before = itemsOf(await pending);
        // A copy: the chunk's memory is the reader's.
        const bytes = Uint8Array.from(chunk);
        pending = ask({ ask: 'chunk', list, bytes }, [bytes.buffer]);
        if (before.length > 0) yield before;
      }
      const before = itemsOf(await pending);
      pending = ask({ ask: 'end', list });
      if (before.length > 0) yield before;
      const reply = await pending;
      known = false;
      const last = itemsOf(reply);
      if (last.length > 0) yield last;
      if (reply.tell !== 'items' || reply.envelope === undefined) throw failureOf(reply);
      return reply.envelope;
    } finally {
      if (known && this.worker !== undefined && !this.closed) void ask({ ask: 'drop', list });
      this.open--;
      if (this.open === 0 && !this.closed) this.idle = setTimeout(() => this.retire(), IDLE_MS).unref();
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.idle);
    const { worker } = this;
    this.worker = undefined;
    this.fail(new AgentError('E_CANCELLED', 'the source was stopped'));
    this.endRoomy?.();
    await worker?.terminate();
  }

  private async ask(request: ListRequest, transfer: readonly ArrayBuffer[] = []): Promise<ListReply> {
    if (this.closed) throw new AgentError('E_CANCELLED', 'the source was stopped');
    this.worker ??= this.startWorker();
    const { worker } = this;
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      worker.postMessage(request, transfer);
    });
  }

  private retire(): void {
    const { worker } = this;
    this.worker = undefined;
    this.endRoomy?.();
    void worker?.terminate();
  }

  private startWorker(): Worker {
    const { heap, module = new URL('./list-worker.js', import.meta.url) } = this.options;
    this.endRoomy = heap?.roomy();
    const worker = new Worker(module, { name: 'dfw-lists' });
    const end = (message: string, cause?: unknown): void => {
      if (this.worker !== worker) return;
      this.worker = undefined;
      this.endRoomy?.();
      this.fail(new AgentError('E_INTERNAL', message, { retryable: true, cause }));
    };
    worker.on('message', (reply: ListReply) => this.waiting.shift()?.resolve(reply));
    worker.on('error', (error) => end(`the list worker failed: ${describeError(error)}`, error));
    worker.on('exit', (code) => end(`the list worker ended with code ${code}`));
    worker.unref();
    return worker;
  }

  private fail(error: AgentError): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}

function parsedItems(reply: ListReply): readonly unknown[] {
  if (reply.tell !== 'items') throw failureOf(reply);
  if (reply.json.length === 0) return [];
  const items = parsed(reply.json);
  if (!Array.isArray(items)) throw new AgentError('E_INTERNAL', 'the list worker gave no array');
  return items;
}

function failureOf(reply: ListReply): AgentError {
  return reply.tell === 'failed' ? new AgentError(reply.code, reply.message, { retryable: true }) : new AgentError('E_INTERNAL', 'the list worker answered out of order');
}
