/** Certificates and keys from files, read again when they change: certificates are renewed under a running agent. */
import { readFile, stat } from 'node:fs/promises';
import { AgentError, describeError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';

export interface TlsFileNames {
  /** Authority of the servers; absent: the system's. */
  readonly ca?: string;
  /** Of the client; both or none. */
  readonly cert?: string;
  readonly key?: string;
  /** Name in the servers' certificates; absent: that of the endpoint. */
  readonly serverName?: string;
}

export interface TlsContents {
  /** Differs when anything does. */
  readonly signature: string;
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/** Files are looked at no more often than this. */
const LOOK_MS = 1_000;

export class TlsFiles {
  #held: TlsContents | undefined;
  #lookedAt = -Infinity;
  #said = '';

  constructor(private readonly names: TlsFileNames, private readonly clock: Clock, private readonly log: Logger) {}

  /** What the files hold now. While they cannot be read, or certificate and key are being replaced, what they held; E_IO (retryable) when that is nothing. */
  async read(): Promise<TlsContents> {
    const now = this.clock.monotonic();
    if (this.#held !== undefined && now - this.#lookedAt < LOOK_MS) return this.#held;
    this.#lookedAt = now;
    try {
      const signature = await this.#signature();
      if (this.#held?.signature !== signature) {
        const { ca, cert, key } = this.names;
        const contents = { signature, ca: await optional(ca), cert: await optional(cert), key: await optional(key) };
        if (this.#held !== undefined) this.log.info('etcd.certificates-changed', {});
        this.#held = contents;
      }
      this.#said = '';
      return this.#held;
    } catch (error) {
      if (this.#held === undefined) throw new AgentError('E_IO', `certificates cannot be read: ${describeError(error)}`, { object: 'etcd tls', retryable: true, cause: error });
      const reason = describeError(error);
      if (reason !== this.#said) this.log.warn('etcd.certificates-unreadable', { reason });
      this.#said = reason;
      return this.#held;
    }
  }

  async #signature(): Promise<string> {
    const { ca, cert, key } = this.names;
    const parts = await Promise.all([ca, cert, key].map(async (file) => {
      if (file === undefined) return '';
      const { ino, size, mtimeMs } = await stat(file);
      return `${ino}/${size}/${mtimeMs}`;
    }));
    return parts.join(' ');
  }
}

async function optional(file: string | undefined): Promise<Buffer | undefined> {
  return file === undefined ? undefined : readFile(file);
}
