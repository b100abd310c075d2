import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { AgentError, describeError, isAgentError } from '../../../model/errors.js';

export interface HttpOptions {
  /** PEM file of the authorities that a server's certificate may come from, instead of the well-known ones; '': those. */
  readonly ca: string;
  /** For a connection, the headers of an answer, and between two pieces of its body, ms. */
  readonly stallMs: number;
  /** For the whole exchange with all redirects, ms. */
  readonly timeoutMs: number;
}
/** What a server said of the version it gave (RFC 9110, 8.8). */
export interface Validators { readonly etag?: string; readonly lastModified?: string }
export type HttpAnswer =
  | { readonly kind: 'unchanged' }
  /** `signal` fires with the caller's, and when the time is over: the body is to be read under it. */
  | { readonly kind: 'body'; readonly body: Readable; readonly validators: Validators; readonly signal: AbortSignal };

const LONGEST_WAY = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * GET over http or https, by the proxies of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), following up to 5 redirects, none
 * of them from https to http. User and password of the URL are sent to its own origin only. Rejects with E_UNREACHABLE (retryable) for everything the
 * network or the server does, E_CANCELLED when the signal fires.
 */
export async function httpGet(url: string, options: HttpOptions, validators: Validators, signal: AbortSignal): Promise<HttpAnswer> {
  // Loaded by those who fetch something: it is 7 MB of memory.
  const { EnvHttpProxyAgent, request } = await import('undici');
  const limited = AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]);
  const ca = options.ca === '' ? undefined : await authorities(options.ca);
  const tls = ca === undefined ? {} : { ca };
  const dispatcher = new EnvHttpProxyAgent({
    connect: { ...tls, timeout: options.stallMs }, requestTls: { ...tls, timeout: options.stallMs }, headersTimeout: options.stallMs, bodyTimeout: options.stallMs,
  });
  const close = (): void => {
    // Idle connections end; one that is in use does so with its body.
    dispatcher.close().catch(() => undefined);
  };
  try {
    let at = new URL(url);
    const { origin } = at;
    const authorization = credentialsOf(at);
    for (let way = 0; way <= LONGEST_WAY; way += 1) {
      const answer = await request(withoutCredentials(at), {
        dispatcher, method: 'GET', signal: limited,
        headers: {
          'user-agent': 'dfw-agent', accept: '*/*',
          ...(validators.etag === undefined ? {} : { 'if-none-match': validators.etag }),
          ...(validators.lastModified === undefined ? {} : { 'if-modified-since': validators.lastModified }),
          ...(authorization === undefined || at.origin !== origin ? {} : { authorization }),
        },
      });
      if (answer.statusCode === 304) {
        await answer.body.dump();
        return { kind: 'unchanged' };
      }
      if (answer.statusCode === 200) {
        return { kind: 'body', body: answer.body, validators: validatorsOf(answer.headers), signal: limited };
      }
      await answer.body.dump();
      const { location } = answer.headers;
      if (!REDIRECTS.has(answer.statusCode) || typeof location !== 'string') throw refused(at, `answered ${String(answer.statusCode)}`);
      at = next(at, location);
    }
    throw refused(at, `redirects more than ${String(LONGEST_WAY)} times`);
  } catch (error) {
    if (isAgentError(error)) throw error;
    if (signal.aborted) throw new AgentError('E_CANCELLED', 'cancelled', { object: shownUrl(url), cause: error });
    throw refused(new URL(url), limited.aborted ? `did not answer within ${String(options.timeoutMs / 1000)} s` : reasonOf(error), error);
  } finally {
    close();
  }
}

/** Without password and query, which may hold a secret. */
export function shownUrl(text: string): string {
  const url = withoutCredentials(new URL(text));
  url.search = '';
  url.hash = '';
  return url.href;
}

function next(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw refused(from, 'redirects to what is no URL');
  const to = new URL(location, from.href);
  if (!/^https?:$/.test(to.protocol) || (from.protocol === 'https:' && to.protocol === 'http:')) throw refused(from, `redirects from ${from.protocol} to ${to.protocol}`);
  return to;
}

function credentialsOf(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined;
  return `Basic ${Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString('base64')}`;
}

function withoutCredentials(url: URL): URL {
  const plain = new URL(url.href);
  plain.username = '';
  plain.password = '';
  return plain;
}

function validatorsOf(headers: Readonly<Record<string, string | string[] | undefined>>): Validators {
  const { etag, 'last-modified': lastModified } = headers;
  return { ...(typeof etag === 'string' ? { etag } : {}), ...(typeof lastModified === 'string' ? { lastModified } : {}) };
}

async function authorities(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AgentError('E_IO', `the certificate authorities cannot be read: ${describeError(error)}`, { object: path, retryable: true, cause: error });
  }
}

/** Errors of connections come wrapped, the reason inside. */
function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return describeError(cause);
}

function refused(url: URL, reason: string, cause?: unknown): AgentError {
  return new AgentError('E_UNREACHABLE', `the server: ${reason}`, { object: shownUrl(url.href), retryable: true, cause });
}
