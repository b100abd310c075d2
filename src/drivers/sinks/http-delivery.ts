/** Batches of alerts as JSON arrays by HTTP POST: what fluentd's in_http and Fluent Bit's http input take, and most collectors beside them. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { AgentError } from '../../model/errors.js';
import type { Delivery } from './courier.js';
import { tlsOptions, type TlsFiles } from './syslog-deliveries.js';

export interface HttpTarget {
  readonly url: string;
  /** Alerts in one request. */
  readonly batch: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls?: TlsFiles;
}

/** Answers that may be another one later (RFC 9110, RFC 6585): time-out, too early, too many requests, and all of the server's own. */
const LATER: ReadonlySet<number> = new Set([408, 425, 429]);

/** How long the rest of an answer may keep its connection without a byte. */
const ANSWER_MS = 5_000;

export class HttpDelivery implements Delivery {
  readonly batch: number;

  constructor(private readonly target: HttpTarget) {
    this.batch = target.batch;
  }

  async deliver(items: readonly string[], signal: AbortSignal): Promise<{ readonly outcome: 'taken' } | { readonly outcome: 'refused'; readonly reason: string }> {
    const status = await this.#post(`[${items.join(',')}]`, signal);
    if (status >= 200 && status < 300) return { outcome: 'taken' };
    if (status >= 500 || LATER.has(status)) throw this.#error(`the server answered ${status}`, undefined);
    // A redirect would hand the alerts, and the credentials in the headers, to somebody who was not configured.
    return { outcome: 'refused', reason: `the server refused a batch with ${status}` };
  }

  close(): void {
    // Connections end with their request.
  }

  async #post(body: string, signal: AbortSignal): Promise<number> {
    const url = new URL(this.target.url);
    const secure = url.protocol === 'https:';
    const options = secure ? await tlsOptions(this.target.tls ?? {}, url.hostname.replace(/^\[|\]$/g, '')) : {};
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => reject(this.#error(error.message, error));
      const onAnswer = (answer: IncomingMessage): void => {
        // What it says does not matter; it must be read for the connection to end. A status is an answer also when the rest never comes.
        answer.on('error', () => undefined);
        answer.setTimeout(ANSWER_MS, () => answer.destroy());
        answer.resume();
        resolve(answer.statusCode ?? 0);
      };
      const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...this.target.headers };
      const call = (secure ? httpsRequest : httpRequest)(url, { method: 'POST', headers, signal, agent: false, ...options }, onAnswer);
      call.on('error', failed);
      call.end(body);
    });
  }

  #error(message: string, cause: unknown): AgentError {
    return new AgentError('E_IO', message, { object: this.target.url.replace(/\/\/[^@/]*@/, '//'), retryable: true, cause });
  }
}
