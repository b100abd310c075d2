/** Runs programs: the peers, and what builds the benchmarks' worlds. */
import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From starting the process to its end, milliseconds. */
  readonly ms: number;
}

export interface CommandOptions {
  readonly stdin?: string;
  /** File descriptor that takes stdout; its text is then empty. */
  readonly stdout?: number;
  readonly timeoutMs?: number;
}

/** Resolves with whatever came of it; rejects only when the program cannot be started. */
export function command(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const started = process.hrtime.bigint();
    const child = spawn(program, args, { stdio: ['pipe', options.stdout ?? 'pipe', 'pipe'], timeout: options.timeoutMs ?? 180_000 });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let ms = 0;
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.once('error', reject);
    child.once('exit', () => {
      ms = Number(process.hrtime.bigint() - started) / 1e6;
    });
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString(), ms }));
    child.stdin?.on('error', () => undefined); // a program that ends early is judged by its exit status
    child.stdin?.end(options.stdin ?? '');
  });
}

/** Like command(), but anything except exit status 0 is an error that says what was run. */
export async function mustRun(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const result = await command(program, args, options);
  if (result.code !== 0) {
    throw new Error(`${program} ${args.join(' ').slice(0, 200)}: exit ${result.code ?? 'by signal or timeout'}\n${result.stderr.slice(-2000) || result.stdout.slice(-2000)}`);
  }
  return result;
}
