/**
 * EtcdClient over gRPC: several endpoints, TLS, user and password. A call that gets no answer goes on at the next endpoint, each once;
 * whoever wants more than one round waits himself. The endpoint that answered last is asked first.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { AgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import { parseEndpoint } from './endpoint.js';
import type { CommitAnswer, Condition, EtcdClient, RangeAnswer, RangeQuery, WatchBatch, WatchRequest, Write } from './etcd.js';
import { cancelledWatch, failureOf, type Failure } from './failures.js';
import { GrpcConnection, REQUIRE_LEADER } from './grpc-connection.js';
import { isTrue, keyEvents, keyValues, numberIn, positionOf, rangeRequest, textIn, txnRequest, watchCreation } from './messages.js';
import { EtcdMethods } from './methods.js';
import { TlsFiles, type TlsContents, type TlsFileNames } from './tls-files.js';

export interface EtcdUser {
  readonly name: string;
  /** Asked for whenever a token is needed. */
  readonly password: () => Promise<string>;
}

export interface GrpcEtcdOptions {
  /** At least one; http://, https:// or unix:/path. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsFileNames;
  readonly user?: EtcdUser;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of one attempt at one endpoint, ms; default 5,000. */
  readonly timeoutMs?: number;
  /** Index of the endpoint asked first; default 0. */
  readonly first?: number;
}

const TIMEOUT_MS = 5_000;

export class GrpcEtcd implements EtcdClient {
  readonly #methods = new EtcdMethods();
  readonly #connections: readonly GrpcConnection[];
  readonly #tls: TlsFiles | undefined;
  readonly #timeoutMs: number;
  readonly #closed = new AbortController();
  #at: number;
  #token: string | undefined;

  /** Throws E_CONFIG for what is no endpoint. Connects with the first call. */
  constructor(private readonly options: GrpcEtcdOptions) {
    this.#connections = options.endpoints.map((text) => {
      const endpoint = parseEndpoint(text);
      if (endpoint === undefined) throw new AgentError('E_CONFIG', 'an endpoint is http://HOST:PORT, https://HOST:PORT or unix:/PATH', { object: text });
      return new GrpcConnection(endpoint);
    });
    if (this.#connections.length === 0) throw new AgentError('E_CONFIG', 'etcd needs an endpoint', { object: 'endpoints' });
    this.#at = (options.first ?? 0) % this.#connections.length;
    this.#tls = this.#connections.some(({ endpoint }) => endpoint.secure) ? new TlsFiles(options.tls ?? {}, options.clock, options.log) : undefined;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  get endpoint(): string {
    return this.#connections[this.#at]?.endpoint.text ?? '';
  }

  close(): void {
    this.#closed.abort();
    for (const connection of this.#connections) connection.close();
  }

  async range(query: RangeQuery, signal: AbortSignal): Promise<RangeAnswer> {
    const answer = await this.#unary('Range', rangeRequest(query), signal);
    return { at: positionOf(answer), found: keyValues(answer), more: isTrue(answer, 'more') };
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[], signal: AbortSignal): Promise<CommitAnswer> {
    const answer = await this.#unary('Txn', txnRequest(conditions, writes), signal);
    return { at: positionOf(answer), done: isTrue(answer, 'succeeded') };
  }

  async grantLease(id: number, seconds: number, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#unary('LeaseGrant', { ID: id, TTL: seconds }, signal);
      return true;
    } catch (error) {
      if (error instanceof AgentError && error.message.includes('lease already exists')) return false;
      throw error;
    }
  }

  async revokeLease(id: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#unary('LeaseRevoke', { ID: id }, signal);
    } catch (error) {
      if (!(error instanceof AgentError && error.message.includes('lease not found'))) throw error;
    }
  }

  async leaseTime(id: number, signal: AbortSignal): Promise<{ readonly left: number; readonly granted: number } | undefined> {
    const answer = await this.#unary('LeaseTimeToLive', { ID: id }, signal);
    const left = numberIn(answer, 'TTL');
    return left < 0 ? undefined : { left, granted: numberIn(answer, 'grantedTTL') };
  }

  async keepLease(id: number, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#everywhere(signal, async (connection, tls, headers, both) => {
      const call = connection.stream(this.#methods.get('LeaseKeepAlive'), headers, this.#timeoutMs, tls, this.options.tls?.serverName);
      return untilDone(call, both, async () => {
        call.write({ ID: id });
        const first = await call[Symbol.asyncIterator]().next();
        if (first.done === true) throw new AgentError('E_UNREACHABLE', 'no answer about the lease', { object: connection.endpoint.text, retryable: true });
        return first.value as object;
      });
    });
    return numberIn(answer, 'TTL') > 0;
  }

  async *watch(ranges: readonly WatchRequest[], signal: AbortSignal): AsyncGenerator<WatchBatch> {
    const both = AbortSignal.any([signal, this.#closed.signal]);
    if (both.aborted) return;
    const connection = this.#current();
    let call: ClientDuplexStream<object, object> | undefined;
    const cancel = (): void => call?.cancel();
    both.addEventListener('abort', cancel, { once: true });
    try {
      const headers = { ...await this.#headers(connection, both), ...REQUIRE_LEADER };
      const tls = await this.#tls?.read();
      if (both.aborted) return;
      call = connection.stream(this.#methods.get('Watch'), headers, undefined, tls, this.options.tls?.serverName);
      for (const range of ranges) call.write(watchCreation(range));
      yield* this.#batches(call, ranges.length, connection.endpoint.text);
      if (!both.aborted) throw new AgentError('E_UNREACHABLE', 'the watch ended', { object: connection.endpoint.text, retryable: true });
    } catch (error) {
      if (!both.aborted) throw this.#note(thrownFailure(error, connection.endpoint.text, both), connection).error;
    } finally {
      both.removeEventListener('abort', cancel);
      call?.on('error', () => undefined);
      call?.cancel();
    }
  }

  async *#batches(call: AsyncIterable<unknown>, count: number, endpoint: string): AsyncGenerator<WatchBatch> {
    // etcd creates watches in the order in which they were asked for, and gives each a number.
    const indexes = new Map<number, number>();
    const fragments = new Map<number, unknown[]>();
    for await (const answer of call) {
      const id = numberIn(answer, 'watchId');
      if (isTrue(answer, 'canceled')) throw new KnownFailure(cancelledWatch(textIn(answer, 'cancelReason'), numberIn(answer, 'compactRevision'), endpoint));
      if (isTrue(answer, 'created')) {
        indexes.set(id, indexes.size);
        if (indexes.size === count) yield { kind: 'opened', at: positionOf(answer) };
        continue;
      }
      const range = indexes.get(id);
      if (range === undefined) continue;
      const held = [...(fragments.get(id) ?? []), ...keyEvents(answer)] as ReturnType<typeof keyEvents>;
      if (isTrue(answer, 'fragment')) {
        fragments.set(id, held);
        continue;
      }
      fragments.delete(id);
      if (held.length > 0) yield { kind: 'events', range, events: held };
      else yield { kind: 'progress', range, revision: positionOf(answer).revision };
    }
  }

  async #unary(name: string, request: object, signal: AbortSignal): Promise<object> {
    const method = this.#methods.get(name);
    return this.#everywhere(signal, (connection, tls, headers, both) => connection.unary(method, request, headers, this.#timeoutMs, tls, this.options.tls?.serverName, both));
  }

  /** Until one endpoint answers; every one is asked once, and once more where the token had to be renewed. */
  async #everywhere<T>(signal: AbortSignal, ask: (connection: GrpcConnection, tls: TlsContents | undefined, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<T>): Promise<T> {
    const both = AbortSignal.any([signal, this.#closed.signal]);
    let renewed = false;
    for (let asked = 1; ; ) {
      const connection = this.#current();
      try {
        const headers = await this.#headers(connection, both);
        return await ask(connection, await this.#tls?.read(), headers, both);
      } catch (error) {
        const failure = this.#note(thrownFailure(error, connection.endpoint.text, both), connection);
        if (failure.remedy === 'token' && this.options.user !== undefined && !renewed) renewed = true;
        else if (failure.remedy === 'endpoint' && asked < this.#connections.length) asked += 1;
        else throw failure.error;
      }
    }
  }

  #current(): GrpcConnection {
    const connection = this.#connections[this.#at];
    if (connection === undefined) throw new AgentError('E_INTERNAL', 'etcd has no endpoint');
    return connection;
  }

  /** The next call asks another endpoint, or for another token. */
  #note(failure: Failure, connection: GrpcConnection): Failure {
    if (failure.remedy === 'token') this.#token = undefined;
    // Another call may have gone on already.
    if (failure.remedy === 'endpoint' && this.#current() === connection) this.#at = (this.#at + 1) % this.#connections.length;
    return failure;
  }

  async #headers(connection: GrpcConnection, signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const { user } = this.options;
    if (user === undefined) return {};
    this.#token ??= await this.#authenticate(user, connection, signal);
    return this.#token === '' ? {} : { token: this.#token };
  }

  async #authenticate({ name, password }: EtcdUser, connection: GrpcConnection, signal: AbortSignal): Promise<string> {
    const request = { name, password: await password() };
    try {
      const answer = await connection.unary(this.#methods.get('Authenticate'), request, {}, this.#timeoutMs, await this.#tls?.read(), this.options.tls?.serverName, signal);
      return textIn(answer, 'token');
    } catch (error) {
      const failure = failureOf(error, connection.endpoint.text, signal);
      // A server that asks nobody who he is needs no token.
      if (failure.error.message.includes('authentication is not enabled')) return '';
      throw new KnownFailure({ ...failure, remedy: failure.remedy === 'endpoint' ? 'endpoint' : undefined });
    }
  }
}

/** Carries what is already known of a failure. */
class KnownFailure extends Error {
  constructor(readonly failure: Failure) {
    super(failure.error.message);
  }
}

function thrownFailure(error: unknown, object: string, signal: AbortSignal): Failure {
  return error instanceof KnownFailure && !signal.aborted ? error.failure : failureOf(error, object, signal);
}

/** The stream ends with the work, and with the signal. */
async function untilDone<T>(call: ClientDuplexStream<object, object>, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    return await work();
  } finally {
    signal.removeEventListener('abort', cancel);
    call.on('error', () => undefined);
    call.cancel();
  }
}
