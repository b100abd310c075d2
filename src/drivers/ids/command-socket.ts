import { createConnection } from 'node:net';
import { AgentError } from '../../model/errors.js';

export interface CommandOptions {
  /** How long the whole exchange may take, ms. Rule reloads of large sets take tens of seconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Newest version of the protocol: answers end with a newline. */
const PROTOCOL_VERSION = '0.2';
const LARGEST_ANSWER = 4 * 1024 * 1024;

/**
 * One command over Suricata's unix command socket: a version handshake, then one JSON object each way. A connection a
 * command, so that a restarted engine needs no care here. Resolves with the answer's "message"; rejects with E_UNREACHABLE
 * (retryable) when nobody listens, the time is over or the answer is cut, E_IO when the engine refuses the command,
 * E_CANCELLED when the signal fires.
 */
export async function suricataCommand(
  socketPath: string,
  command: string,
  options: CommandOptions,
  commandArguments?: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const answer = await exchange(
    socketPath,
    [{ version: PROTOCOL_VERSION }, { command, ...(commandArguments === undefined ? {} : { arguments: commandArguments }) }],
    options,
  );
  if (answer['return'] === 'OK') return answer['message'];
  throw new AgentError('E_IO', `suricata refused "${command}": ${text(answer['message'])}`, { object: socketPath });
}

/** Sends the requests one by one, each after the OK to the former; resolves with the last answer. */
function exchange(socketPath: string, requests: readonly object[], options: CommandOptions): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath);
    let received = '';
    let next = 0;
    const timer = setTimeout(() => fail(unreachable(socketPath, `no answer within ${String(options.timeoutMs)} ms`)), options.timeoutMs);
    const onAbort = (): void => fail(new AgentError('E_CANCELLED', 'cancelled', { object: socketPath }));

    const finish = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      socket.destroy();
    };
    const fail = (error: AgentError): void => {
      finish();
      reject(error);
    };
    const sendNext = (): void => {
      socket.write(`${JSON.stringify(requests[next])}\n`);
      next += 1;
    };

    if (options.signal?.aborted === true) {
      onAbort();
      return;
    }
    options.signal?.addEventListener('abort', onAbort, { once: true });
    socket.setEncoding('utf8');
    socket.once('connect', sendNext);
    socket.on('data', (chunk: string) => {
      received += chunk;
      if (received.length > LARGEST_ANSWER) {
        fail(unreachable(socketPath, 'the answer is too long'));
        return;
      }
      const answer = parseObject(received);
      if (answer === undefined) return;
      received = '';
      if (next < requests.length && answer['return'] === 'OK') {
        sendNext();
        return;
      }
      finish();
      resolve(answer);
    });
    socket.once('error', (error) => fail(unreachable(socketPath, error.message, error)));
    socket.once('close', () => fail(unreachable(socketPath, 'closed before the answer was complete')));
  });
}

function unreachable(socketPath: string, reason: string, cause?: unknown): AgentError {
  return new AgentError('E_UNREACHABLE', `suricata's command socket: ${reason}`, { object: socketPath, retryable: true, cause });
}

/** The JSON object, or undefined while it is not complete: objects close with "}", so most partial texts are not even parsed. */
function parseObject(received: string): Record<string, unknown> | undefined {
  if (!received.trimEnd().endsWith('}')) return undefined;
  try {
    const value: unknown = JSON.parse(received);
    return isObject(value) ? value : undefined;
  } catch {
    // Incomplete: more is to come, and the timeout ends the wait.
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}
