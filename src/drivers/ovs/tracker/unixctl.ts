import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { AgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import { ReplyStream } from './reply-stream.js';

export interface UnixctlOptions {
  /** Where the daemons keep process ids and sockets: /run/openvswitch on most hosts. */
  readonly directory: string;
  /** "ovs-vswitchd", "ovsdb-server", "ovn-controller" ... */
  readonly program: string;
  readonly clock: Clock;
}

export interface CallOptions {
  /** For the whole call; the default is 10 s. */
  readonly timeoutMs?: number;
  /** Bytes of the answer; the default is 1 GiB when streamed, 16 MiB otherwise. */
  readonly longest?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 10_000;
const LONGEST_STREAM = 1024 * 1024 * 1024;
const LONGEST_TEXT = 16 * 1024 * 1024;

/**
 * Asks a running daemon of Open vSwitch, over its control socket, what ovs-appctl(8) asks it: JSON-RPC, arguments and answers are text. One
 * connection a call; calls may overlap, the daemon answers them one after the other and does nothing else meanwhile.
 *
 * Errors: E_IO (retryable) when the daemon does not run, hangs, or ends during the call; E_INVALID when it refuses (what it says is the message);
 * E_LIMIT when the answer is longer than allowed; E_PARSE when it is no answer; E_CANCELLED.
 */
export class UnixctlClient {
  constructor(private readonly options: UnixctlOptions) {}

  /** The whole answer. */
  async call(command: string, parameters: readonly string[], options: CallOptions = {}): Promise<string> {
    const parts: Uint8Array[] = [];
    await this.stream(command, parameters, (bytes) => parts.push(bytes), { longest: LONGEST_TEXT, ...options });
    return Buffer.concat(parts).toString('utf8');
  }

  /** The answer in pieces as they come, cut anywhere; an exception of `sink` ends the call and is what it rejects with. */
  async stream(command: string, parameters: readonly string[], sink: (bytes: Uint8Array) => void, { timeoutMs = TIMEOUT_MS, longest = LONGEST_STREAM, signal }: CallOptions = {}): Promise<void> {
    const { program, clock } = this.options;
    const socketPath = await this.socketPath();
    // Not before: an abort while the file was read has nobody who listens.
    if (signal?.aborted === true) throw new AgentError('E_CANCELLED', 'cancelled before it was asked', { object: program });
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ path: socketPath });
      let length = 0;
      const reply = new ReplyStream((bytes) => {
        length += bytes.length;
        if (length > longest) throw new AgentError('E_LIMIT', `"${command}": the answer is longer than ${longest} bytes`, { object: program });
        sink(bytes);
      }, program);
      const finish = (error?: Error): void => {
        cancel();
        signal?.removeEventListener('abort', onAbort);
        socket.destroy();
        if (error === undefined) resolve();
        else reject(error);
      };
      const lost = (message: string, cause?: unknown): AgentError => new AgentError('E_IO', `"${command}": ${message}`, { object: program, retryable: true, cause });
      const onAbort = (): void => finish(new AgentError('E_CANCELLED', `"${command}" was cancelled`, { object: program }));
      const cancel = clock.after(timeoutMs, () => finish(lost(`no answer within ${timeoutMs} ms`)));
      signal?.addEventListener('abort', onAbort, { once: true });
      socket.on('error', (cause: NodeJS.ErrnoException) => finish(lost(cause.code === 'ECONNREFUSED' || cause.code === 'ENOENT' ? 'it does not run' : `the connection broke (${cause.code ?? cause.message})`, cause)));
      socket.on('close', () => finish(lost('it ended before it answered')));
      socket.on('data', (chunk: Uint8Array) => {
        try {
          reply.push(chunk);
        } catch (error) {
          finish(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        if (!reply.done) return;
        finish(reply.refusal === undefined ? undefined : new AgentError('E_INVALID', `"${command}" was refused: ${reply.refusal}`, { object: program }));
      });
      socket.write(JSON.stringify({ id: 0, method: command, params: parameters }));
    });
  }

  /** The socket is named after the process: `<program>.<pid>.ctl`; unixctl_server_create() of the sources. */
  private async socketPath(): Promise<string> {
    const { directory, program } = this.options;
    const file = path.join(directory, `${program}.pid`);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (cause) {
      throw new AgentError('E_IO', `it does not run: its process id cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`, { object: program, path: file, retryable: true, cause });
    }
    if (!/^[1-9]\d{0,9}\n?$/.test(text)) throw new AgentError('E_IO', 'the file of its process id holds none', { object: program, path: file, retryable: true });
    return path.join(directory, `${program}.${text.trim()}.ctl`);
  }
}
