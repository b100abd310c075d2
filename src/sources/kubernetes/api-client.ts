/** Requests to the API server with the credentials of now: read again when their files change, or when the server refuses them. */
import { stat } from 'node:fs/promises';
import { X509Certificate } from 'node:crypto';
import type { Dispatcher } from 'undici';
import { AgentError, describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import { requestFailure, statusError } from './api-errors.js';
import type { Credentials, CredentialsReader } from './credentials.js';

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal: AbortSignal;
  /** Nothing came for so long: the request has failed. Default 30 s. */
  readonly idleMs?: number;
  /** Until the answer begins. Default 60 s. */
  readonly headersMs?: number;
  /** Allow a compressed answer: of long lists a tenth goes over the network. */
  readonly compressed?: boolean;
}

export interface ApiResponse {
  readonly body: AsyncIterable<Uint8Array>;
  /** `body` is compressed by gzip; only where that was asked for. */
  readonly packed: boolean;
}

/** What the sources need of an API server. */
export interface ApiClient {
  /** Resolves with the head of a 2xx answer. Rejects with AgentError: E_UNREACHABLE (retryable), or what statusError() makes of the answer. */
  open(asked: ApiRequest): Promise<ApiResponse>;
  /** The whole answer as JSON. */
  json(asked: ApiRequest): Promise<unknown>;
}

export interface HttpApiClientOptions {
  /** Absent: the service account of the pod we run in. */
  readonly kubeconfig?: string;
  readonly reader: CredentialsReader;
  readonly clock: Clock;
  /** Default 5,000. */
  readonly connectMs?: number;
  /** Files of the credentials are looked at no more often. Default 5,000. */
  readonly checkMs?: number;
}

const DEFAULT_IDLE_MS = 30_000;
/** The server's first byte: a list of everything takes its time. */
const HEADERS_MS = 60_000;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** Credentials that the server refuses are not read again any sooner. */
const REFUSED_MS = 5_000;
/** Told as trouble before it is one. */
const EXPIRES_SOON_MS = 7 * 24 * 3600 * 1000;
/** Clocks that differ by more make certificates and tokens fail. */
const CLOCK_SLACK_MS = 60_000;

interface InUse {
  readonly credentials: Credentials;
  readonly signature: string;
  readonly dispatcher: Dispatcher;
}

export class HttpApiClient implements ApiClient {
  private inUse: InUse | undefined;
  private reading: Promise<InUse> | undefined;
  private checkedAt = -Infinity;
  private readAt = -Infinity;
  private clockOffMs = 0;

  constructor(private readonly options: HttpApiClientOptions) {}

  /** For messages; '' before it is known. */
  get server(): string {
    return this.inUse?.credentials.server ?? '';
  }

  /** What is about to go wrong, in words: the client's certificate, the clock. */
  warnings(): string[] {
    const warnings: string[] = [];
    const { cert } = this.inUse?.credentials ?? {};
    if (cert !== undefined) {
      const until = validUntil(cert);
      const left = until === undefined ? Infinity : until - this.options.clock.now();
      if (until !== undefined && left < EXPIRES_SOON_MS) warnings.push(`the client certificate for the API server ${left < 0 ? 'expired' : 'expires'} at ${new Date(until).toISOString()}`);
    }
    if (Math.abs(this.clockOffMs) > CLOCK_SLACK_MS) {
      warnings.push(`this host's clock is ${Math.round(Math.abs(this.clockOffMs) / 1000)} s ${this.clockOffMs > 0 ? 'ahead of' : 'behind'} the API server's`);
    }
    return warnings;
  }

  async open(asked: ApiRequest): Promise<ApiResponse> {
    const used = await this.current();
    try {
      return await this.send(used, asked);
    } catch (error) {
      // A token may have expired before its file's change was noticed; a plugin makes a new one.
      if (!(error instanceof AgentError) || error.code !== 'E_DENIED' || error.context['status'] !== 401) throw error;
      if (this.inUse === used && this.options.clock.monotonic() - this.readAt < REFUSED_MS) throw error;
      return this.send(await this.replace(used), asked);
    }
  }

  async json(asked: ApiRequest): Promise<unknown> {
    const { body } = await this.open(asked);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of body) {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) throw new AgentError('E_LIMIT', `the answer is larger than ${MAX_ANSWER_BYTES} bytes`, { object: asked.path });
      }
    } catch (error) {
      throw requestFailure(error, this.server, this.options.clock.now());
    }
    try {
      return JSON.parse(Buffer.concat(chunks).toString('utf8'));
    } catch (cause) {
      throw new AgentError('E_PARSE', 'the answer is no JSON', { object: asked.path, retryable: true, cause });
    }
  }

  /** Ends connections; requests under way fail. */
  async close(): Promise<void> {
    const { inUse } = this;
    this.inUse = undefined;
    await inUse?.dispatcher.destroy();
  }

  private async send({ credentials, dispatcher }: InUse, asked: ApiRequest): Promise<ApiResponse> {
    const { method = 'GET', path, body, contentType, signal, idleMs = DEFAULT_IDLE_MS, headersMs = HEADERS_MS, compressed = false } = asked;
    const { clock } = this.options;
    try {
      const { request } = await import('undici');
      const response = await request(`${credentials.server}${path}`, {
        method, dispatcher, signal, headersTimeout: headersMs, bodyTimeout: idleMs,
        headers: {
          ...credentials.headers, accept: 'application/json', 'user-agent': 'dfw-agent',
          ...(compressed ? { 'accept-encoding': 'gzip' } : {}), ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const { date, 'content-encoding': encoding, 'retry-after': retryAfter } = response.headers;
      const serverTime = typeof date === 'string' ? Date.parse(date) : NaN;
      if (!Number.isNaN(serverTime)) this.clockOffMs = clock.now() - serverTime;
      if (response.statusCode < 200 || response.statusCode > 299) {
        throw statusError(response.statusCode, await textOf(response.body), { path, method, ...(typeof retryAfter === 'string' ? { retryAfter } : {}) });
      }
      return { body: response.body, packed: encoding === 'gzip' };
    } catch (error) {
      throw requestFailure(error, credentials.server, clock.now());
    }
  }

  private async current(): Promise<InUse> {
    const { inUse, options: { clock, checkMs = 5_000 } } = this;
    if (inUse === undefined) return this.renew();
    if (clock.monotonic() - this.checkedAt < checkMs) return inUse;
    this.checkedAt = clock.monotonic();
    const signature = await signatureOf(inUse.credentials.files);
    return signature === inUse.signature ? inUse : this.replace(inUse);
  }

  /** New credentials instead of these, unless somebody else has fetched them already. */
  private async replace(refused: InUse): Promise<InUse> {
    return this.inUse === refused || this.inUse === undefined ? this.renew() : this.inUse;
  }

  private async renew(): Promise<InUse> {
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  private async read(): Promise<InUse> {
    const { reader, kubeconfig, clock, connectMs = 5_000 } = this.options;
    const before = this.inUse;
    const credentials = await reader.read(kubeconfig);
    const signature = await signatureOf(credentials.files);
    this.checkedAt = clock.monotonic();
    this.readAt = this.checkedAt;
    const keep = before !== undefined && sameConnection(before.credentials, credentials);
    const dispatcher = keep ? before.dispatcher : await dispatcherFor(credentials, connectMs);
    this.inUse = { credentials, signature, dispatcher };
    // Watches go on with the old connections until they end by themselves.
    if (before !== undefined && !keep) before.dispatcher.close().catch(() => undefined);
    return this.inUse;
  }
}

/** undici is loaded by those who speak to an API server: it is 7 MB of memory. */
async function dispatcherFor(credentials: Credentials, connectMs: number): Promise<Dispatcher> {
  const { Agent, ProxyAgent } = await import('undici');
  const { ca, cert, key, serverName, insecure, proxy } = credentials;
  const tls = {
    rejectUnauthorized: !insecure, timeout: connectMs, keepAlive: true, keepAliveInitialDelay: 15_000,
    ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }), ...(serverName === undefined ? {} : { servername: serverName }),
  };
  if (proxy === undefined) return new Agent({ connect: tls, keepAliveTimeout: 30_000, pipelining: 1 });
  if (!/^https?:/.test(proxy)) throw new AgentError('E_CONFIG', 'only http and https proxies are supported', { object: 'proxy-url' });
  return new ProxyAgent({ uri: proxy, requestTls: tls });
}

function sameConnection(a: Credentials, b: Credentials): boolean {
  return JSON.stringify({ ...a, headers: {}, files: [] }) === JSON.stringify({ ...b, headers: {}, files: [] });
}

/** Changes when one of the files is written or replaced; files that cannot be read count as they are. */
async function signatureOf(files: readonly string[]): Promise<string> {
  const parts = await Promise.all(files.map(async (file) => {
    try {
      const { mtimeMs, ino, size } = await stat(file);
      return `${ino}:${size}:${mtimeMs}`;
    } catch (error) {
      return describeError(error);
    }
  }));
  return parts.join('\n');
}

function validUntil(pem: string): number | undefined {
  try {
    return Date.parse(new X509Certificate(pem).validTo);
  } catch {
    return undefined; // the server will say what is wrong with it
  }
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const chunk of body) if (text.length < 64 * 1024) text += Buffer.from(chunk).toString('utf8');
  return text;
}
