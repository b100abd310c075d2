import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { AgentError, describeError } from '../model/errors.js';
import type { Logger } from './logger.js';

export interface MetricsServerOptions {
  /** Port 0: any free one; address() tells. */
  readonly host: string;
  readonly port: number;
  readonly metrics: { render(): Promise<string>; readonly contentType: string };
  readonly health: () => Promise<{ readonly healthy: boolean }> | { readonly healthy: boolean };
  readonly log: Logger;
}

/**
 * GET /metrics (Prometheus text), GET /healthz (JSON; 200 healthy, 503 not) and GET /livez (200 while the process works). Plain HTTP without authentication: bind it to
 * the loopback or a management address. Anything else is 404 or 405.
 */
export class MetricsServer {
  readonly #options: MetricsServerOptions;
  #server: Server | undefined;

  constructor(options: MetricsServerOptions) {
    this.#options = options;
  }

  /** Resolves when it listens. E_IO when the address cannot be had, E_CANCELLED when the signal has fired. Stops when the signal fires. */
  async start(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new AgentError('E_CANCELLED', 'cancelled before the metrics server listened');
    const { host, port, log } = this.#options;
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000, maxHeaderSize: 8192 }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        log.error('metrics.request_failed', { error });
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
    });
    server.maxConnections = 64;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(new AgentError('E_IO', `cannot listen: ${describeError(error)}`, { object: `metrics.listen ${host}:${port}`, cause: error })));
      server.listen({ host, port, signal }, resolve);
    });
    server.on('error', (error) => log.error('metrics.server_failed', { error }));
    this.#server = server;
    log.info('metrics.listening', { ...this.address() });
  }

  /** Where it listens; undefined when it does not. */
  address(): { readonly host: string; readonly port: number } | undefined {
    const address = this.#server?.address();
    return address === null || address === undefined || typeof address === 'string' ? undefined : { host: address.address, port: address.port };
  }

  /** Closes every connection; twice, or without start, is harmless. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve()); // its only error says that it was closed before
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics, health } = this.#options;
    const url = (request.url ?? '').split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else if (url === '/metrics') {
      const text = await metrics.render();
      response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
    } else if (url === '/healthz') {
      const view = await health();
      response.writeHead(view.healthy ? 200 : 503, { 'content-type': 'application/json' }).end(`${JSON.stringify(view)}\n`);
    } else if (url === '/livez') {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    } else {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('/metrics, /healthz or /livez\n');
    }
  }
}
