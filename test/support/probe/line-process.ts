/** A long-lived helper that answers one JSON line with one JSON line, matched by `id`. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class LineProcess {
  private child: ChildProcessWithoutNullStreams | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private stderr = '';

  constructor(private readonly program: string, private readonly args: readonly string[]) {}

  /** Resolves when the helper has read its configuration and said `{"ready": true}`. */
  async start(configuration: unknown): Promise<void> {
    const child = spawn(this.program, this.args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    child.once('error', (error) => this.fail(error));
    child.once('close', (code) => this.fail(new Error(`${this.args.join(' ')} ended (${code}): ${this.stderr.trim()}`)));
    child.stdin.on('error', () => undefined); // the close handler reports it
    const ready = new Promise<unknown>((resolve, reject) => this.waiting.set(0, { resolve, reject }));
    createInterface({ input: child.stdout }).on('line', (line) => this.answer(line));
    child.stdin.write(`${JSON.stringify(configuration)}\n`);
    await ready;
  }

  /** Rejects when the helper ends, or answers `{"id", "failed": "why"}`. */
  request<Answer>(body: Readonly<Record<string, unknown>>): Promise<Answer> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null) return Promise.reject(new Error(`helper is not running: ${this.stderr}`));
    const id = (this.lastId += 1);
    return new Promise<Answer>((resolve, reject) => {
      this.waiting.set(id, { resolve: (answer) => resolve(answer as Answer), reject });
      child.stdin.write(`${JSON.stringify({ ...body, id })}\n`);
    });
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.kill('SIGKILL');
    await closed;
  }

  private answer(line: string): void {
    const message: unknown = JSON.parse(line);
    if (typeof message !== 'object' || message === null) return;
    const id = 'id' in message && typeof message.id === 'number' ? message.id : 0;
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if ('failed' in message) waiting?.reject(new Error(String(message.failed)));
    else waiting?.resolve(message);
  }

  private fail(error: Error): void {
    for (const waiting of this.waiting.values()) waiting.reject(error);
    this.waiting.clear();
  }
}
