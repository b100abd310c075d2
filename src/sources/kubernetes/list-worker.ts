/**
 * Entry of the list worker: unpacks long lists and cuts their items down, away from the agent's thread. It makes no objects of them, and
 * therefore next to no garbage: of a list of a hundred thousand Pods nine tenths are never parsed. Started by ThreadListReader only.
 */
import { parentPort } from 'node:worker_threads';
import { createGunzip, type Gunzip } from 'node:zlib';
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import { UNPACKED_CHUNK } from './list-body.js';
import type { ListReply, ListRequest } from './list-messages.js';
import { ListSplitter } from './list-parser.js';
import { itemShape, type ItemKind } from './trimmed-item.js';

const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SOME_BYTES = 64 * 1024;

/** A JSON array that grows. */
class ItemArray {
  private bytes = new Uint8Array(SOME_BYTES);
  private length = 0;

  add(item: Uint8Array): void {
    const needed = this.length + item.length + 2;
    if (needed > this.bytes.length) {
      const larger = new Uint8Array(needed * 2);
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes[this.length] = this.length === 0 ? OPEN_BRACKET : COMMA;
    this.bytes.set(item, this.length + 1);
    this.length += item.length + 1;
  }

  /** What was added since the last call; no bytes when nothing was. */
  take(): Uint8Array<ArrayBuffer> {
    if (this.length === 0) return new Uint8Array(0);
    this.bytes[this.length] = CLOSE_BRACKET;
    const taken = this.bytes.slice(0, this.length + 1);
    this.length = 0;
    return taken;
  }
}

/** One list. Calls one after the other. */
class OpenList {
  private readonly splitter: ListSplitter;
  private readonly items = new ItemArray();
  private readonly gunzip: Gunzip | undefined;
  /** When nothing more comes out: at its end, or after a failure, which leaves the write under way without an answer. */
  private closed: Promise<void> = Promise.resolve();
  private failure: AgentError | undefined;
  private readonly add = (item: Uint8Array): void => this.items.add(item);

  constructor(kind: ItemKind, packed: boolean) {
    this.splitter = new ListSplitter(itemShape(kind));
    if (!packed) return;
    const gunzip = createGunzip({ chunkSize: UNPACKED_CHUNK });
    this.gunzip = gunzip;
    this.closed = new Promise((resolve) => { gunzip.once('close', resolve); });
    gunzip.on('error', (error) => this.fail(new AgentError('E_PARSE', `the answer cannot be unpacked: ${error.message}`, { retryable: true, cause: error })));
    gunzip.on('data', (bytes: Uint8Array) => {
      try {
        if (this.failure === undefined) this.splitter.push(bytes, this.add);
      } catch (error) {
        this.fail(error);
      }
    });
  }

  async push(bytes: Uint8Array): Promise<ListReply> {
    const { gunzip } = this;
    if (gunzip === undefined) this.splitter.push(bytes, this.add);
    else if (this.failure === undefined) await Promise.race([new Promise<void>((resolve) => { gunzip.write(bytes, () => resolve()); }), this.closed]);
    if (this.failure !== undefined) throw this.failure;
    return { tell: 'items', json: this.items.take() };
  }

  async finish(): Promise<ListReply> {
    const { gunzip } = this;
    if (gunzip !== undefined && this.failure === undefined) {
      gunzip.end();
      await this.closed;
    }
    if (this.failure !== undefined) throw this.failure;
    const envelope = this.splitter.finish();
    return { tell: 'items', json: this.items.take(), envelope };
  }

  drop(): void {
    this.gunzip?.destroy();
  }

  private fail(error: unknown): void {
    this.failure ??= error instanceof AgentError ? error : new AgentError('E_INTERNAL', describeError(error), { cause: error });
    this.gunzip?.destroy();
  }
}

const NOTHING: ListReply = { tell: 'items', json: new Uint8Array(0) };

function serve(): (request: ListRequest) => Promise<ListReply> {
  const lists = new Map<number, OpenList>();
  const answer = async (request: ListRequest): Promise<ListReply> => {
    if (request.ask === 'begin') {
      lists.set(request.list, new OpenList(request.kind, request.packed));
      return NOTHING;
    }
    const open = lists.get(request.list);
    if (request.ask === 'drop') {
      lists.delete(request.list);
      open?.drop();
      return NOTHING;
    }
    if (open === undefined) throw new AgentError('E_INTERNAL', 'there is no such list');
    if (request.ask === 'chunk') return open.push(request.bytes);
    lists.delete(request.list);
    return open.finish();
  };
  return async (request) => {
    try {
      return await answer(request);
    } catch (error) {
      lists.get(request.list)?.drop();
      lists.delete(request.list);
      return { tell: 'failed', code: isAgentError(error) ? error.code : 'E_INTERNAL', message: describeError(error) };
    }
  };
}

const port = parentPort;
const answer = serve();
let turn: Promise<void> = Promise.resolve();
port?.on('message', (request: ListRequest) => {
  const reply = answer(request);
  turn = turn.then(async () => {
    const told = await reply;
    port.postMessage(told, told.tell === 'items' && told.json.buffer instanceof ArrayBuffer && told !== NOTHING ? [told.json.buffer] : []);
  });
});
