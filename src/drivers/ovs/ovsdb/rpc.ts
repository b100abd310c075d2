import type { Duplex } from 'node:stream';
import { AgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import { JsonSplitter } from './json-splitter.js';
import type { Json } from './values.js';

export interface RpcOptions {
  readonly clock: Clock;
  /** What errors name, e.g. "unix:/run/openvswitch/db.sock". */
  readonly peer: string;
  /** A longer message ends the connection, bytes. */
  readonly longest: number;
  /** After this long without a byte from the peer it is asked for an echo; after as long again without one it is given up. ms */
  readonly probeMs: number;
  /** Called in the order of the stream, between replies. An exception ends the connection. */
  readonly notified: (method: string, parameters: readonly unknown[]) => void;
  /** Once, when the connection has ended, for whatever reason. */
  readonly closed: (error: AgentError) => void;
}

export interface RequestOptions<T> {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Reads the result as it arrives, before the next message of the stream is looked at. */
  readonly read: (result: unknown) => T;
}

interface Waiting {
  readonly method: string;
  readonly settle: (message: Readonly<Record<string, unknown>>) => void;
  readonly fail: (error: AgentError) => void;
}

/**
 * One JSON-RPC 1.0 connection (RFC 7047, section 4) over a connected stream. Both sides may ask; we answer "echo" only. A peer that hangs,
 * sends what is no JSON-RPC or too much of it is disconnected.
 */
export class RpcConnection {
  private readonly splitter: JsonSplitter;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private lastHeard = 0;
  private probing = false;
  private cancelProbe: () => void = () => undefined;
  private ended: AgentError | undefined;

  constructor(
    private readonly stream: Duplex,
    private readonly options: RpcOptions,
  ) {
    this.splitter = new JsonSplitter(options.longest, options.peer);
  }

  /** Begins to read. */
  start(): void {
    this.stream.on('data', (chunk: Uint8Array) => this.receive(chunk));
    this.stream.on('error', (cause: NodeJS.ErrnoException) => this.end(this.lost(`the connection broke${cause.code === undefined ? '' : ` (${cause.code})`}`, cause)));
    this.stream.on('close', () => this.end(this.lost('the connection was closed')));
    this.stream.on('end', () => this.end(this.lost('the connection was closed')));
    this.lastHeard = this.options.clock.monotonic();
    this.watch();
  }

  /** Rejects what still waits. A second call does nothing. */
  close(): void {
    this.end(new AgentError('E_CANCELLED', 'the connection was closed here', { object: this.options.peer, retryable: true, context: { outcome: 'unknown' } }));
  }

  /**
   * Rejects with E_INVALID when the peer refuses (context.error: its name for the reason), E_IO (retryable; context.outcome "unknown": it may have been done) when the
   * connection ends or the time is over first, E_CANCELLED when the signal fires, and with whatever `read` throws.
   */
  request<T>(method: string, parameters: readonly Json[], { timeoutMs, signal, read }: RequestOptions<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.ended !== undefined) {
        reject(this.ended);
        return;
      }
      if (signal?.aborted === true) {
        reject(new AgentError('E_CANCELLED', 'cancelled before it was sent', { object: this.options.peer }));
        return;
      }
      const id = this.nextId;
      this.nextId += 1;
      const finish = (): void => {
        this.waiting.delete(id);
        cancelTimer();
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: AgentError): void => {
        finish();
        reject(error);
      };
      const onAbort = (): void => {
        this.send({ method: 'cancel', params: [id], id: null });
        fail(new AgentError('E_CANCELLED', 'cancelled', { object: this.options.peer, context: { outcome: 'unknown' } }));
      };
      const cancelTimer = this.options.clock.after(timeoutMs, () => fail(this.lost(`no answer to "${method}" within ${timeoutMs} ms`)));
      signal?.addEventListener('abort', onAbort, { once: true });
      this.waiting.set(id, {
        method,
        fail,
        settle: (message) => {
          finish();
          const error = message['error'];
          if (error !== undefined && error !== null) {
            reject(this.refused(method, error));
            return;
          }
          try {
            resolve(read(message['result']));
          } catch (cause) {
            reject(cause instanceof Error ? cause : new Error(String(cause)));
          }
        },
      });
      this.send({ method, params: parameters, id });
    });
  }

  private send(message: Json): void {
    if (this.ended === undefined) this.stream.write(JSON.stringify(message));
  }

  private receive(chunk: Uint8Array): void {
    if (this.ended !== undefined) return;
    this.lastHeard = this.options.clock.monotonic();
    this.probing = false;
    try {
      this.splitter.push(chunk, (message) => {
        if (this.ended === undefined) this.dispatch(message as Readonly<Record<string, unknown>>);
      });
    } catch (error) {
      this.end(error instanceof AgentError ? error : new AgentError('E_INTERNAL', 'a message could not be handled', { object: this.options.peer, cause: error }));
    }
  }

  private dispatch(message: Readonly<Record<string, unknown>>): void {
    const { method, params, id } = message;
    if (typeof method !== 'string') {
      const waiting = typeof id === 'number' ? this.waiting.get(id) : undefined;
      waiting?.settle(message); // an answer that nobody waits for any more is no error
      return;
    }
    const parameters: readonly unknown[] = Array.isArray(params) ? params : [];
    if (id === null || id === undefined) this.options.notified(method, parameters);
    else if (method === 'echo') this.send({ result: parameters as readonly Json[], error: null, id: id as Json });
    else this.send({ result: null, error: 'unknown method', id: id as Json });
  }

  private watch(): void {
    const { clock, probeMs } = this.options;
    this.cancelProbe = clock.after(probeMs, () => {
      if (this.ended !== undefined) return;
      if (clock.monotonic() - this.lastHeard >= probeMs) {
        if (this.probing) {
          this.end(this.lost(`no sign of life within ${2 * probeMs} ms`));
          return;
        }
        this.probing = true;
        this.send({ method: 'echo', params: [], id: 'echo' });
      }
      this.watch();
    });
  }

  private end(error: AgentError): void {
    if (this.ended !== undefined) return;
    this.ended = error;
    this.cancelProbe();
    this.stream.destroy();
    for (const waiting of this.waiting.values()) waiting.fail(error);
    this.options.closed(error);
  }

  private lost(message: string, cause?: unknown): AgentError {
    return new AgentError('E_IO', message, { object: this.options.peer, retryable: true, context: { outcome: 'unknown' }, ...(cause === undefined ? {} : { cause }) });
  }

  private refused(method: string, error: unknown): AgentError {
    const fields: { readonly error?: unknown; readonly details?: unknown } = typeof error === 'object' && error !== null ? error : { error };
    const name = typeof fields.error === 'string' ? fields.error : JSON.stringify(error);
    const details = typeof fields.details === 'string' ? `: ${fields.details}` : '';
    return new AgentError('E_INVALID', `"${method}" was refused: ${name}${details}`, { object: this.options.peer, context: { error: name } });
  }
}
