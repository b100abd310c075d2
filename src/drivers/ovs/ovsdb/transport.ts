/** Where a database listens (ovsdb(7), "Connection Methods"), and how to get there. */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AgentError } from '../../../model/errors.js';

export interface Endpoint {
  readonly method: 'unix' | 'tcp' | 'ssl';
  /** unix: the socket's path. */
  readonly path: string;
  readonly host: string;
  readonly port: number;
}

/** Key material for "ssl:", PEM. Certificates of Open vSwitch name no hosts: the server is whoever has a certificate of this authority. */
export interface TlsMaterial {
  readonly authority: string;
  readonly certificate: string;
  readonly privateKey: string;
}

const DEFAULT_PORT = 6640; // IANA: ovsdb

/** "unix:PATH", "tcp:HOST[:PORT]" or "ssl:HOST[:PORT]", IPv6 hosts in brackets. Throws E_CONFIG. */
export function parseEndpoint(text: string): Endpoint {
  const colon = text.indexOf(':');
  const method = text.slice(0, colon);
  const rest = text.slice(colon + 1);
  if (method === 'unix' && rest !== '') return { method, path: rest, host: '', port: 0 };
  if (method === 'tcp' || method === 'ssl') {
    const parts = /^(?:\[([0-9a-fA-F:.]+(?:%[^\]]+)?)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(rest);
    const port = parts?.[3] === undefined ? DEFAULT_PORT : Number(parts[3]);
    const host = parts?.[1] ?? parts?.[2];
    if (host !== undefined && port > 0 && port < 65_536) return { method, path: '', host, port };
  }
  throw new AgentError('E_CONFIG', 'not the address of a database: write unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT', { object: text });
}

/** Resolves with a connected stream. Rejects with E_IO (retryable) when nobody answers, or the signal fires first. */
export function openEndpoint(endpoint: Endpoint, tls: TlsMaterial | undefined, signal: AbortSignal): Promise<Socket> {
  const name = endpointText(endpoint);
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      const code = (cause as NodeJS.ErrnoException | undefined)?.code;
      reject(new AgentError('E_IO', `no connection${code === undefined ? '' : ` (${code})`}`, { object: name, retryable: true, cause }));
    };
    const onAbort = (): void => fail(signal.reason);
    const socket = open(endpoint, tls);
    if (signal.aborted) {
      fail(signal.reason);
      socket.on('error', () => undefined);
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', fail);
    socket.once(endpoint.method === 'ssl' ? 'secureConnect' : 'connect', () => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

export function endpointText({ method, path, host, port }: Endpoint): string {
  return method === 'unix' ? `unix:${path}` : `${method}:${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function open(endpoint: Endpoint, tls: TlsMaterial | undefined): Socket {
  if (endpoint.method === 'unix') return connectPlain({ path: endpoint.path });
  const { host, port } = endpoint;
  if (endpoint.method === 'tcp') return connectPlain({ host, port, noDelay: true });
  return connectTls({
    host, port,
    ...(tls === undefined ? {} : { ca: tls.authority, cert: tls.certificate, key: tls.privateKey }),
    checkServerIdentity: () => undefined,
  });
}
