/** A child process that is asked and answers line by line. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

export class LineChild {
  private readonly lines: { readonly text: string; readonly at: bigint }[] = [];
  private readonly child: ChildProcessWithoutNullStreams;
  private stderr = '';
  private ended = false;
  private wake: (() => void) | undefined;

  constructor(program: string, args: readonly string[]) {
    this.child = spawn(program, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stderr.on('data', (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString()).slice(-2000);
    });
    this.child.stdin.on('error', () => undefined); // next() says that it ended
    createInterface({ input: this.child.stdout }).on('line', (text) => {
      this.lines.push({ text, at: process.hrtime.bigint() });
      this.wake?.();
    });
    const end = (): void => {
      this.ended = true;
      this.wake?.();
    };
    this.child.once('error', end);
    this.child.once('close', end);
  }

  /** Its next line, and when it was read; rejects when it ended, or said nothing for so long. */
  async next(timeoutMs: number): Promise<{ readonly text: string; readonly at: bigint }> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const line = this.lines.shift();
      if (line !== undefined) return line;
      const left = deadline - Date.now();
      if (this.ended || left <= 0) throw new Error(`${this.child.spawnargs.join(' ').slice(0, 200)} ${this.ended ? 'ended' : 'says nothing'}: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Forgets the lines that nobody asked for. */
  drain(): void {
    this.lines.length = 0;
  }

  write(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  async ask(line: string, timeoutMs = 10_000): Promise<unknown> {
    this.write(line);
    return JSON.parse((await this.next(timeoutMs)).text);
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}
