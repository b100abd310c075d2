/** Entry of the credentials worker: reads once, says what it found, ends. Started by ThreadCredentials only. */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, isAgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { CredentialsReply } from './thread-credentials.js';
import { InlineCredentials } from './read-credentials.js';

async function answer(): Promise<CredentialsReply> {
  const kubeconfig = fieldsOf(workerData)?.['kubeconfig'];
  try {
    return { credentials: await new InlineCredentials().read(typeof kubeconfig === 'string' ? kubeconfig : undefined) };
  } catch (error) {
    const known = isAgentError(error) ? error : undefined;
    return { code: known?.code ?? 'E_INTERNAL', message: known?.message ?? describeError(error), object: known?.object ?? 'credentials' };
  }
}

parentPort?.postMessage(await answer());
