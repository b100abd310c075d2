/** Credentials read in a worker thread, which ends with the answer and takes the client library's memory with it. */
import { Worker } from 'node:worker_threads';
import { AgentError, describeError, type ErrorCode } from '../../model/errors.js';
import type { Credentials, CredentialsReader } from './credentials.js';

export type CredentialsReply =
  | { readonly credentials: Credentials }
  | { readonly code: ErrorCode; readonly message: string; readonly object: string };

/** An exec plugin may ask a service far away; one that hangs must not hang the source. */
const TIMEOUT_MS = 60_000;

export class ThreadCredentials implements CredentialsReader {
  constructor(private readonly module = new URL('./credentials-worker.js', import.meta.url)) {}

  async read(kubeconfig: string | undefined): Promise<Credentials> {
    const worker = new Worker(this.module, { name: 'dfw-credentials', workerData: { kubeconfig } });
    try {
      const reply = await new Promise<CredentialsReply>((resolve, reject) => {
        const fail = (message: string, cause?: unknown): void => reject(new AgentError('E_IO', message, { object: kubeconfig ?? 'service account', retryable: true, cause }));
        const timer = setTimeout(() => fail('credentials were not had in time'), TIMEOUT_MS);
        worker.once('message', resolve);
        worker.once('error', (error) => fail(`credentials cannot be had: ${describeError(error)}`, error));
        worker.once('exit', (code) => {
          clearTimeout(timer);
          fail(`the credentials worker ended with code ${code}`);
        });
      });
      if ('credentials' in reply) return reply.credentials;
      throw new AgentError(reply.code, reply.message, { object: reply.object, retryable: true });
    } finally {
      await worker.terminate();
    }
  }
}
