/** agentctl as a function: command line, environment and streams in, exit code out. The process itself is src/ctl.ts's. */
import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import type { Readable, Writable } from 'node:stream';
import type { AgentClient, RemoteAgentApi } from '../api/client.js';
import { AgentError, describeError, isAgentError } from '../model/errors.js';
import { COMPLETE_VERB, dynamicCandidates, dynamicWord } from './completion.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { Output, OutputClosed } from './output.js';
import { DEFAULT_SOCKET, parseCommandLine, staticCandidates } from './parser.js';
import { palette } from './render/palette.js';
import { printable } from './render/printable.js';
import type { Manager, OpenManager } from './manager.js';
import type { VerbContext } from './verb.js';

export interface CliProcess {
  /** Without interpreter and script. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable;
  readonly openManager: OpenManager;
  /** Fires when the user interrupts. */
  readonly interrupted: AbortSignal;
}

/** Resolves with the exit code when everything is written; never rejects for what a user can cause. */
export async function runCli(io: CliProcess): Promise<number> {
  const out = new Output(io.stdout, io.stderr);
  out.start();
  const connections: (AgentClient | Manager)[] = [];
  const connectTo = (socket: string) => async (): Promise<RemoteAgentApi> => {
    // Loaded only by verbs that ask the agent.
    const { AgentClient: Agent } = await import('../api/client.js');
    const client = await Agent.connect(socket, io.interrupted);
    connections.push(client);
    return client;
  };
  try {
    const code = io.argv[0] === COMPLETE_VERB ? await complete(io, out, connectTo) : await runVerb(io, out, connectTo, (manager) => connections.push(manager));
    await out.flush();
    return code;
  } catch (error) {
    return failed(error, out);
  } finally {
    for (const client of connections) client.close();
  }
}

type ConnectTo = (socket: string) => () => Promise<RemoteAgentApi>;

async function runVerb(io: CliProcess, out: Output, connectTo: ConnectTo, opened: (manager: Manager) => void): Promise<number> {
  const parsed = await parseCommandLine(io.argv, io.environment, Math.min(io.stdout.columns ?? 100, 140));
  if (parsed.kind === 'print') {
    await out.write(parsed.text);
    return EXIT.done;
  }
  const { socket, output, color } = parsed.globals;
  const noColor = io.environment['NO_COLOR'];
  const context: VerbContext = {
    agent: connectTo(socket),
    manager: async (file, host) => {
      const chosen = file ?? io.environment['DFW_ETCD'] ?? '';
      if (chosen === '') {
        if (host !== undefined) throw new AgentError('E_USAGE', '--host needs --etcd');
        return undefined;
      }
      const manager = await io.openManager({ file: chosen, ...(host === undefined ? {} : { host }) }, io.interrupted);
      opened(manager);
      return manager;
    },
    out,
    format: output,
    palette: palette(color && io.stdout.isTTY === true && (noColor === undefined || noColor === '')),
    signal: AbortSignal.any([io.interrupted, out.closed]),
    stdin: inputUntil(io.stdin, io.interrupted),
    now: Date.now,
    clientVersion: await packageVersion(),
    account: accountOf(io.environment),
  };
  return (await parsed.invocation(context)) ?? EXIT.done;
}

/** sudo(8) says who became root. */
function accountOf(environment: CliProcess['environment']): string {
  return (environment['SUDO_USER'] ?? environment['USER'] ?? environment['LOGNAME'] ?? 'agentctl').slice(0, 64);
}

/** The input, read only when asked for; an interruption ends the waiting. */
async function* inputUntil(input: Readable, interrupted: AbortSignal): AsyncGenerator<Uint8Array> {
  addAbortSignal(interrupted, input);
  try {
    for await (const chunk of input) yield chunk instanceof Uint8Array ? chunk : Buffer.from(String(chunk));
  } catch (error) {
    throw interrupted.aborted ? new AgentError('E_CANCELLED', 'interrupted') : error;
  }
}

/** Completion never fails: what cannot be found out is not offered. */
async function complete(io: CliProcess, out: Output, connectTo: ConnectTo): Promise<number> {
  const words = io.argv.slice(io.argv[1] === '--' ? 2 : 1);
  const socket = io.environment['DFW_SOCKET'] ?? DEFAULT_SOCKET;
  const dynamic = dynamicWord(words) === 'none' ? [] : await dynamicCandidates(words, connectTo(socket)).catch(() => []);
  const candidates = dynamicWord(words) === 'none' ? await staticCandidates(words) : dynamic;
  const typed = words.at(-1) ?? '';
  await out.write([...new Set(candidates)].filter((candidate) => candidate.startsWith(typed) && printable(candidate) === candidate).map((candidate) => `${candidate}\n`).join(''));
  return EXIT.done;
}

function failed(error: unknown, out: Output): number {
  if (error instanceof OutputClosed || out.closed.aborted && isAgentError(error, 'E_CANCELLED')) return EXIT.done;
  out.message(`agentctl: ${printable(messageOf(error))}${nearestNames(error)}`);
  return isAgentError(error) ? exitCodeOf(error.code) : EXIT.failed;
}

/** As describeError, but the object is named once: many messages name it themselves. */
function messageOf(error: unknown): string {
  const named = isAgentError(error) && error.path === undefined && error.object !== undefined && error.message.includes(error.object);
  return named ? error.message : describeError(error);
}

function nearestNames(error: unknown): string {
  const names: unknown = isAgentError(error) ? error.context['nearest'] : undefined;
  if (!Array.isArray(names) || names.length === 0) return '';
  return `; nearest: ${names.map((name) => printable(String(name))).join(', ')}`;
}

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const version: unknown = typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'version') : undefined;
  return typeof version === 'string' ? version : 'unknown';
}
