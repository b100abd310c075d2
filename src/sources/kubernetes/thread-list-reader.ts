/**
 * Long lists are taken apart in a worker thread: it has a heap of its own for the garbage, and the agent's thread goes on with other
 * work meanwhile. It ends when there was nothing to do for a while. While one chunk is parsed there, the items of the one before are given out here.
 */
import { Worker } from 'node:worker_threads';
import { AgentError, describeError } from '../../model/errors.js';
import type { ListReply, ListRequest } from './list-messages.js';
import type { ListEnvelope } from './list-parser.js';
import type { ListKind, ListReader } from './list-reader.js';
import type { TrimmedItem } from './trimmed-item.js';

const IDLE_MS = 2_000;

interface Waiting { readonly resolve: (reply: ListReply) => void; readonly reject: (error: unknown) => void }

export class ThreadListReader implements ListReader {
  private worker: Worker | undefined;
  private readonly waiting: Waiting[] = [];
  private lists = 0;
  private open = 0;
  private idle: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly module = new URL('./list-worker.js', import.meta.url)) {}

  async *read(body: AsyncIterable<Uint8Array>, kind: ListKind): AsyncGenerator<readonly TrimmedItem[], ListEnvelope> {
    const list = ++this.lists;
    this.open++;
    clearTimeout(this.idle);
    const ask = (request: ListRequest, transfer: readonly ArrayBuffer[] = []): Promise<ListReply> => {
      const reply = this.ask(request, transfer);
      // It may fail while the next chunk is waited for; whoever asks for the answer then hears of it.
      reply.catch(() => undefined);
      return reply;
    };
    try {
      let pending = ask({ ask: 'begin', list, kind });
      for await (const chunk of body) {
        const before = itemsOf(await pending);
        // A copy: the chunk's memory is the reader's.
        const bytes = Uint8Array.from(chunk);
        pending = ask({ ask: 'chunk', list, bytes }, [bytes.buffer]);
        if (before.length > 0) yield before;
      }
      const last = itemsOf(await pending);
      pending = ask({ ask: 'end', list });
      if (last.length > 0) yield last;
      const reply = await pending;
      if (reply.tell !== 'envelope') throw failureOf(reply);
      return reply.envelope;
    } finally {
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
    void worker?.terminate();
  }

  private startWorker(): Worker {
    const worker = new Worker(this.module, { name: 'dfw-lists' });
    const end = (message: string, cause?: unknown): void => {
      if (this.worker !== worker) return;
      this.worker = undefined;
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

function itemsOf(reply: ListReply): readonly TrimmedItem[] {
  if (reply.tell !== 'items') throw failureOf(reply);
  // Written by our own worker.
  return JSON.parse(reply.text) as readonly TrimmedItem[];
}

function failureOf(reply: ListReply): AgentError {
  return reply.tell === 'failed' ? new AgentError(reply.code, reply.message, { retryable: true }) : new AgentError('E_INTERNAL', 'the list worker answered out of order');
}
