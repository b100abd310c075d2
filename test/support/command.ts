/** Running programs in tests: argument arrays only, bounded in time, answers whole. */
import { spawn } from 'node:child_process';
import { PATIENCE } from './patience.js';

export interface CommandResult {
  /** Exit status; 128 + signal number is not computed, a killed program has code -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string;
  /** Default 30 s. On slow machines it is stretched (PATIENCE). */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Never rejects for a non-zero status; rejects when the program cannot be started or runs over its time. */
export function command(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let late = false;
    const limitMs = (options.timeoutMs ?? 30_000) * PATIENCE;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limitMs);
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => undefined); // the program may end without reading its input
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      const result = { code: code ?? -1, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if (late) reject(new Error(`${program} ${args.join(' ')}: no end within ${limitMs} ms\n${result.stdout}${result.stderr}`));
      else resolve(result);
    });
    child.stdin.end(options.input ?? '');
  });
}

/** Like command(), but a non-zero status rejects with what the program said. Returns stdout. */
export async function mustRun(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await command(program, args, options);
  if (result.code !== 0) throw new Error(`${program} ${args.join(' ')} exited ${result.code}: ${result.stderr.trim() || result.stdout.trim()}`);
  return result.stdout;
}

/** Arguments that run a program inside a network namespace. */
export function inNetns(netns: string, program: string, args: readonly string[] = []): [string, string[]] {
  return ['ip', ['netns', 'exec', netns, program, ...args]];
}

/** Polls until the probe gives a value; rejects after the time (stretched by PATIENCE) with the last thing known. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined>, timeoutMs = 5_000, intervalMs = 20): Promise<T> {
  const limitMs = timeoutMs * PATIENCE;
  const end = Date.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${limitMs} ms`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
