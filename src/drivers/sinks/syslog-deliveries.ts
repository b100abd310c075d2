/** Ways to a syslog server: datagrams (unix, UDP: RFC 5426), and streams with octet counting (TCP: RFC 6587, TLS: RFC 5425). */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, isIPv6, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AgentError } from '../../model/errors.js';
import type { Delivery } from './courier.js';
import { octetCounted } from './syslog-message.js';

const TAKEN = { outcome: 'taken' } as const;
/** RFC 5426, 3.2: what UDP over IPv4 carries at most. */
const LARGEST_DATAGRAM = 65_507;
const STREAM_BATCH = 64;

/** `send`: one datagram to a unix socket; throws with a code, EAGAIN when its queue is full. */
export class UnixDelivery implements Delivery {
  readonly batch = 1;

  constructor(private readonly path: string, private readonly send: (path: string, text: string) => void) {}

  async deliver([message = '']: readonly string[]): Promise<typeof TAKEN> {
    try {
      this.send(this.path, message);
    } catch (error) {
      throw new AgentError('E_IO', error instanceof Error ? error.message : String(error), { object: this.path, retryable: true, cause: error });
    }
    return TAKEN;
  }

  close(): void {
    // Every datagram has a socket of its own.
  }
}

export class UdpDelivery implements Delivery {
  readonly batch = 1;
  #socket: DatagramSocket | undefined;

  constructor(private readonly host: string, private readonly port: number) {}

  async deliver([message = '']: readonly string[]): Promise<typeof TAKEN | { readonly outcome: 'refused'; readonly reason: string }> {
    if (message.length > LARGEST_DATAGRAM) return { outcome: 'refused', reason: 'an alert is too long for a datagram' };
    if (this.#socket === undefined) {
      this.#socket = createSocket(isIPv6(this.host) ? 'udp6' : 'udp4');
      // Errors of earlier datagrams (port unreachable) come here; UDP promises nothing.
      this.#socket.on('error', () => this.close());
      this.#socket.unref();
    }
    const socket = this.#socket;
    await new Promise<void>((resolve, reject) => {
      socket.send(message, this.port, this.host, (error) => {
        if (error === null) resolve();
        else reject(new AgentError('E_IO', error.message, { object: this.host, retryable: true, cause: error }));
      });
    });
    return TAKEN;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}

export interface StreamTarget {
  readonly host: string;
  readonly port: number;
  /** Absent: plain TCP. Files are read at each connection, so that renewed certificates count. */
  readonly tls?: TlsFiles;
}
/** PEM files. Without `ca` the system's authorities count; `cert` and `key` are this host's own. */
export interface TlsFiles { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string }

export class StreamDelivery implements Delivery {
  readonly batch = STREAM_BATCH;
  #socket: Socket | undefined;

  constructor(private readonly target: StreamTarget) {}

  async deliver(messages: readonly string[], signal: AbortSignal): Promise<typeof TAKEN> {
    const socket = this.#socket ?? (await this.#connect(signal));
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => {
      const failed = (error?: Error): void => reject(this.#error(error?.message ?? 'the server closed the connection', error));
      socket.once('close', failed);
      socket.write(messages.map(octetCounted).join(''), 'latin1', (error) => {
        socket.off('close', failed);
        if (error === null || error === undefined) resolve();
        else failed(error);
      });
    });
    return TAKEN;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #connect(signal: AbortSignal): Promise<Socket> {
    const { host, port, tls } = this.target;
    const options = tls === undefined ? undefined : await tlsOptions(tls, host);
    if (signal.aborted) throw this.#error('cancelled', undefined);
    return new Promise((resolve, reject) => {
      const socket = options === undefined ? connectTcp({ host, port }) : connectTls({ host, port, ...options });
      const cancel = (): void => {
        socket.destroy();
        reject(this.#error('no connection in time', undefined));
      };
      signal.addEventListener('abort', cancel, { once: true });
      socket.once(options === undefined ? 'connect' : 'secureConnect', () => {
        signal.removeEventListener('abort', cancel);
        resolve(socket);
      });
      socket.on('error', (error: Error) => {
        signal.removeEventListener('abort', cancel);
        reject(this.#error(error.message, error));
      });
      // Nothing is expected from there; reading notices the end of the connection before the next message is lost in it.
      socket.resume();
      socket.once('close', () => {
        if (this.#socket === socket) this.#socket = undefined;
      });
      socket.setKeepAlive(true, 30_000);
      socket.unref();
    });
  }

  #error(message: string, cause: unknown): AgentError {
    return new AgentError('E_IO', message, { object: `${this.target.host}:${this.target.port}`, retryable: true, cause });
  }
}

/** For tls.connect and https.request. @throws what reading a file throws. */
export async function tlsOptions({ ca, cert, key, serverName }: TlsFiles, host: string): Promise<Record<string, Buffer | string>> {
  const name = serverName ?? (isIPv6(host) || /^[\d.]+$/.test(host) ? undefined : host);
  return {
    ...(ca === undefined ? {} : { ca: await readFile(ca) }), ...(cert === undefined ? {} : { cert: await readFile(cert) }),
    ...(key === undefined ? {} : { key: await readFile(key) }), ...(name === undefined ? {} : { servername: name }),
  };
}
