import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface ProcessExit {
  /** Exit code; undefined when a signal ended it or it never ran. */
  readonly code?: number;
  readonly signal?: string;
  /** errno name when the program could not be started at all: "ENOENT", "EACCES". */
  readonly startError?: string;
}
export interface RunningProcess {
  /** undefined when it could not be started. */
  readonly pid: number | undefined;
  /** Settles once; never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** False when the process is gone already. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): boolean;
}
/** How the supervisor starts the engine; tests bring their own. */
export interface ProcessRunner {
  /** No shell: `args` reach the program as they are. `onLine` gets each line of its standard output and error. */
  spawn(program: string, args: readonly string[], onLine: (line: string) => void): RunningProcess;
}

/** Child processes of this one. The child gets a clean environment with only what it needs to find its libraries and messages. */
export class ChildProcessRunner implements ProcessRunner {
  constructor(private readonly searchPath: string) {}

  spawn(program: string, args: readonly string[], onLine: (line: string) => void): RunningProcess {
    const child = spawn(program, [...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: this.searchPath, LANG: 'C.UTF-8' },
      shell: false,
    });
    lines(child.stdout, onLine);
    lines(child.stderr, onLine);
    const exited = new Promise<ProcessExit>((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => {
        // "error" also reports a failed kill(); only a child without a pid never ran.
        if (child.pid === undefined) resolve({ startError: error.code ?? error.message });
      });
      // Not "exit": what it said last, mostly why it ends, is read by then.
      child.once('close', (code, signal) => {
        if (child.pid === undefined) return;
        resolve({ ...(code === null ? {} : { code }), ...(signal === null ? {} : { signal }) });
      });
    });
    return { pid: child.pid, exited, kill: (signal) => child.kill(signal) };
  }
}

function lines(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine);
}
