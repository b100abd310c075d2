import { AgentError, describeError, isAgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import { readResults } from './operations.js';
import type { Operation, OperationResult } from './operations.js';
import { Replica } from './replica.js';
import type { RowChange, Selection } from './replica.js';
import { RpcConnection } from './rpc.js';
import { parseSchema } from './schema.js';
import { endpointText, openEndpoint, parseEndpoint } from './transport.js';
import type { TlsMaterial } from './transport.js';
import type { Json } from './values.js';
import { sleep } from '../../../platform/sleep.js';

export type MonitorMethod = 'monitor_cond_since' | 'monitor_cond' | 'monitor';

export interface Synchronized {
  readonly method: MonitorMethod;
  /** "first": nothing was known before. "resumed": the server sent only what we missed. "reread": it sent everything, compared with what we had. */
  readonly how: 'first' | 'resumed' | 'reread';
  /** Tables ("Datapath") and columns ("Interface.ifindex") that this database has not got; they stay empty, absent. */
  readonly missing: readonly string[];
}

/** Called one after the other, in the order of the database. An exception is logged and otherwise ignored. */
export interface OvsdbListener {
  /** Rows that differ from before: after a transaction of whomever, or over a reconnection. Never empty. */
  changed?(changes: readonly RowChange[]): void;
  /** The replica is the database's again. Comes after `changed`. */
  synchronized?(event: Synchronized): void;
  /** The connection is gone, and not because of stop(); the replica is kept as it was. */
  closed?(error: AgentError): void;
  /** An attempt to connect, or to read everything, failed; the next one follows after a pause. */
  failed?(error: unknown): void;
}

export interface OvsdbClientOptions {
  /** "unix:PATH", "tcp:HOST:PORT", "ssl:HOST:PORT". */
  readonly endpoint: string;
  readonly tls?: TlsMaterial;
  readonly database: string;
  readonly selection: Selection;
  readonly clock: Clock;
  readonly log: Logger;
  readonly listener: OvsdbListener;
  /** A number from 0 up to 1: spreads the reconnections of many clients. */
  readonly random: () => number;
  /** Silence after which the server is asked whether it lives; as long again and it is given up. Default 5000 ms. */
  readonly probeMs?: number;
  /** Connecting and reading everything must be done in this time. Default 30000 ms. */
  readonly connectMs?: number;
  /** Longest message taken. Default 64 MiB. */
  readonly longest?: number;
  /** Tried in this order until the server knows one. Default: all three. */
  readonly methods?: readonly MonitorMethod[];
}

const NO_TRANSACTION = '00000000-0000-0000-0000-000000000000';
const METHODS: readonly MonitorMethod[] = ['monitor_cond_since', 'monitor_cond', 'monitor'];
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 8_000;
const TRANSACTION_MS = 10_000;
const MONITOR = 'dfw';

/**
 * A client of one OVSDB database (RFC 7047, ovsdb-server(7)): keeps a replica of the columns asked for, tells what changes, and
 * writes. Reconnects for ever, after pauses that grow from 0.1 s to 8 s with some chance in them, and goes on where it was when the
 * server still knows that place (clustered and relayed databases do; a database in a single file is read anew and compared).
 */
export class OvsdbClient {
  private readonly contents: Replica;
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private connection: RpcConnection | undefined;
  /** Up to where the replica is; undefined: it is nothing to build upon. */
  private transaction: string | undefined;
  private everSynchronized = false;
  private isSynchronized = false;
  private readonly waiters: (() => void)[] = [];

  constructor(private readonly options: OvsdbClientOptions) {
    this.contents = new Replica(options.selection);
  }

  /** Connects in the background until the signal fires or stop() is called. A second call does nothing. Throws E_CONFIG for a wrong endpoint. */
  start(signal: AbortSignal): void {
    const endpoint = parseEndpoint(this.options.endpoint);
    this.running ??= this.run(endpoint, AbortSignal.any([signal, this.stopping.signal]));
  }

  /** Resolves when nothing is open any more. The replica stays readable. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Empty before the first synchronization; as last heard while disconnected. */
  get replica(): Pick<Replica, 'table'> {
    return this.contents;
  }

  /** The replica is the database's, but for what is under way. */
  get synchronized(): boolean {
    return this.isSynchronized;
  }

  /** Resolves when synchronized, at once if so already; rejects with E_CANCELLED when the signal fires first. */
  ready(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(new AgentError('E_CANCELLED', 'the switch\'s database did not answer in time', { object: this.options.endpoint, retryable: true }));
      if (this.isSynchronized) resolve();
      else if (signal.aborted) onAbort();
      else {
        signal.addEventListener('abort', onAbort, { once: true });
        this.waiters.push(() => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        });
      }
    });
  }

  /**
   * All operations or none; one result each. An empty list does nothing. Rejects as readResults() says when the database refuses; with E_IO (retryable) when
   * there is no connection or it ends first, then with `context.outcome` "unknown" if the change may have been made; E_CANCELLED when the signal fires.
   */
  async transact(operations: readonly Operation[], { timeoutMs = TRANSACTION_MS, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {}): Promise<readonly OperationResult[]> {
    if (operations.length === 0) return [];
    if (this.connection === undefined) throw new AgentError('E_IO', 'no connection to the switch\'s database', { object: this.options.endpoint, retryable: true });
    return this.connection.request('transact', [this.options.database, ...operations], {
      timeoutMs,
      ...(signal === undefined ? {} : { signal }),
      read: (result) => readResults(operations, result),
    });
  }

  private async run(endpoint: ReturnType<typeof parseEndpoint>, signal: AbortSignal): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const begun = this.options.clock.monotonic();
      try {
        const error = await this.session(endpoint, signal);
        if (signal.aborted) break;
        this.options.log.warn('ovsdb.closed', { error: describeError(error) });
      } catch (error) {
        if (signal.aborted) break;
        this.options.log.warn('ovsdb.connect_failed', { error: describeError(error), retryMs: Math.round(pause) });
        this.tell(() => this.options.listener.failed?.(error));
      }
      if (this.options.clock.monotonic() - begun > LAST_PAUSE_MS) pause = FIRST_PAUSE_MS;
      await sleep(this.options.clock, pause * (0.5 + this.options.random() / 2), signal);
      pause = Math.min(pause * 2, LAST_PAUSE_MS);
    }
  }

  /** One connection from its beginning to its end. Resolves with why it ended; rejects when it never was synchronized. */
  private async session(endpoint: ReturnType<typeof parseEndpoint>, signal: AbortSignal): Promise<AgentError> {
    const { clock, probeMs = 5_000, connectMs = 30_000, longest = 64 * 1024 * 1024 } = this.options;
    const late = new AbortController();
    const cancelLate = clock.after(connectMs, () => late.abort(new Error(`not connected within ${connectMs} ms`)));
    let connection: RpcConnection | undefined;
    const onAbort = (): void => connection?.close();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const socket = await openEndpoint(endpoint, this.options.tls, AbortSignal.any([signal, late.signal]));
      const ended = new Promise<AgentError>((resolve) => {
        connection = new RpcConnection(socket, {
          clock, probeMs, longest, peer: endpointText(endpoint),
          notified: (method, parameters) => this.notified(method, parameters),
          closed: (error) => {
            this.disconnected(error);
            resolve(error);
          },
        });
      });
      if (connection === undefined) throw new AgentError('E_INTERNAL', 'no connection was made', { object: this.options.endpoint });
      connection.start();
      await this.synchronize(connection, connectMs);
      cancelLate();
      return await ended;
    } catch (error) {
      // What the server sent could not be taken: do not go on from there.
      if (!isAgentError(error, 'E_IO')) this.transaction = undefined;
      throw error;
    } finally {
      cancelLate();
      signal.removeEventListener('abort', onAbort);
      connection?.close();
    }
  }

  private disconnected(error: AgentError): void {
    const was = this.isSynchronized;
    this.connection = undefined;
    this.isSynchronized = false;
    if (error.code !== 'E_IO' && error.code !== 'E_CANCELLED') this.transaction = undefined;
    if (was && error.code !== 'E_CANCELLED') this.tell(() => this.options.listener.closed?.(error));
  }

  private async synchronize(connection: RpcConnection, timeoutMs: number): Promise<void> {
    const { database, methods = METHODS } = this.options;
    const { selection, missing, changed } = await connection.request('get_schema', [database], { timeoutMs, read: (schema) => this.contents.useSchema(parseSchema(schema)) });
    if (changed) this.transaction = undefined;
    if (missing.length > 0) this.options.log.info('ovsdb.schema', { missing });
    for (const [index, method] of methods.entries()) {
      try {
        await connection.request(method, this.monitorParameters(method, selection), {
          timeoutMs,
          // Here, and not after the await: the first update may stand right behind this answer.
          read: (result) => this.begin(connection, method, missing, result),
        });
        return;
      } catch (error) {
        if (!isAgentError(error, 'E_INVALID') || error.context['error'] !== 'unknown method' || index === methods.length - 1) throw error;
      }
    }
  }

  private monitorParameters(method: MonitorMethod, selection: Selection): readonly Json[] {
    const requests = Object.fromEntries(Object.entries(selection).map(([table, columns]) => [table, method === 'monitor' ? { columns } : [{ columns }]]));
    return [this.options.database, MONITOR, requests, ...(method === 'monitor_cond_since' ? [this.transaction ?? NO_TRANSACTION] : [])];
  }

  private begin(connection: RpcConnection, method: MonitorMethod, missing: readonly string[], result: unknown): void {
    let how: Synchronized['how'] = this.everSynchronized ? 'reread' : 'first';
    let changes: readonly RowChange[];
    if (method === 'monitor_cond_since') {
      if (!Array.isArray(result) || result.length !== 3) throw new AgentError('E_PARSE', `the database answered "${method}" with something else`, { object: 'OVSDB' });
      const [found, transaction, updates] = result as readonly unknown[];
      if (found === true && this.transaction !== undefined) {
        how = 'resumed';
        changes = this.contents.apply2(updates);
      } else changes = this.contents.replace(updates, 2);
      this.transaction = usable(transaction);
    } else {
      changes = this.contents.replace(result, method === 'monitor' ? 1 : 2);
      this.transaction = undefined;
    }
    this.connection = connection;
    this.everSynchronized = true;
    this.isSynchronized = true;
    this.options.log.info('ovsdb.synchronized', { method, how, changes: changes.length });
    if (changes.length > 0) this.tell(() => this.options.listener.changed?.(changes));
    this.tell(() => this.options.listener.synchronized?.({ method, how, missing }));
    for (const resolve of this.waiters.splice(0)) resolve();
  }

  /** An update that cannot be applied ends the connection: the exception goes up to it. */
  private notified(method: string, parameters: readonly unknown[]): void {
    if (parameters[0] !== MONITOR || !this.isSynchronized) return;
    let changes: readonly RowChange[];
    if (method === 'update3') {
      changes = this.contents.apply2(parameters[2]);
      this.transaction = usable(parameters[1]);
    } else if (method === 'update2') changes = this.contents.apply2(parameters[1]);
    else if (method === 'update') changes = this.contents.apply(parameters[1]);
    else return;
    if (changes.length > 0) this.tell(() => this.options.listener.changed?.(changes));
  }

  private tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.options.log.error('ovsdb.listener_failed', { error: describeError(error) });
    }
  }
}

/** A server without transaction ids sends zeros, which name no place to go on from. */
const usable = (transaction: unknown): string | undefined => (typeof transaction === 'string' && transaction !== NO_TRANSACTION ? transaction : undefined);
