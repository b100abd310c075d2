import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { NativeBinding } from '../../src/native/binding.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '..', '..');

/** The same methods, answered by another process: everything is a promise. */
export type Remote<T> = {
  readonly [Name in keyof T]: T[Name] extends (...values: infer Arguments) => infer Result
    ? (...values: Arguments) => Promise<Awaited<Result>>
    : never;
};
type Constructors = { [Name in keyof NativeBinding]: NativeBinding[Name] extends new (...values: never[]) => unknown ? Name : never }[keyof NativeBinding];
type RemoteError = { message: string; code: string; errno: number; syscall: string };
type Message = { id?: number; value?: unknown; error?: RemoteError; listener?: number; values?: unknown[]; ready?: boolean };

/** The addon file under test: the sanitized build when DFW_SANITIZED=1 (scripts/build-sanitized run ...). */
export function addonPath(): string {
  return join(ROOT, process.env['DFW_SANITIZED'] === '1' ? 'build-sanitize' : 'build', 'Release', 'dfw.node');
}

/** A network namespace of its own, removed by dispose(). */
export class TestNamespace {
  private static count = 0;
  readonly name = `dfwc-${process.pid}-${TestNamespace.count++}`;
  constructor() {
    execFileSync('ip', ['netns', 'add', this.name]);
  }
  run(command: string, ...values: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, command, ...values], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] });
  }
  dispose(): void {
    execFileSync('ip', ['netns', 'del', this.name]);
  }
}

/** A process inside a namespace that holds the addon; calls and listeners go over its IPC channel. */
export class NativeHost {
  private nextId = 1;
  private outbox: Record<string, unknown>[] | undefined;
  private readonly pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private readonly listeners = new Map<number, (...values: unknown[]) => void>();

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (message: Message) => this.receive(message));
    child.on('exit', (code, signal) => {
      for (const { reject } of this.pending.values()) reject(new Error(`addon process ended: ${signal ?? code}`));
      this.pending.clear();
    });
  }

  static async start(namespace: TestNamespace): Promise<NativeHost> {
    const child = spawn('ip', ['netns', 'exec', namespace.name, process.execPath, join(HERE, 'children', 'addon-host.mjs'), addonPath()], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    const host = new NativeHost(child);
    await once(child, 'message');
    return host;
  }

  /** `new binding[name](...values)` in the other process. */
  async create<Name extends Constructors>(name: Name, ...values: unknown[]): Promise<Remote<InstanceType<NativeBinding[Name]>>> {
    const object = this.nextId++;
    await this.send({ kind: 'new', object, member: name, arguments: values });
    // The proxy has whatever method is asked for; the addon itself answers whether it exists.
    return new Proxy({}, { get: (_, member) => (member === 'then' ? undefined : this.caller(object, member)) }) as Remote<InstanceType<NativeBinding[Name]>>;
  }

  /** The functions that are exported directly: openTap, sdNotify, ... */
  get functions(): Remote<NativeBinding> {
    return new Proxy({}, { get: (_, member) => this.caller(0, member) }) as Remote<NativeBinding>;
  }

  /** What `calls` calls, the other process begins in one tick: nothing can end in between. */
  together<T>(calls: () => T): T {
    const outbox: Record<string, unknown>[] = [];
    this.outbox = outbox;
    try {
      return calls();
    } finally {
      this.outbox = undefined;
      this.child.send(outbox);
    }
  }

  /** The other process does nothing at all until resume(). */
  pause(): void {
    this.child.kill('SIGSTOP');
  }
  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** Closes the channel without stopping anything; resolves with the exit status when the process has ended by itself. */
  async release(): Promise<number | null> {
    const exited = once(this.child, 'exit');
    this.child.send([{ kind: 'release', arguments: [] }]);
    const [code] = await exited;
    return typeof code === 'number' ? code : null;
  }

  async dispose(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }

  private caller(object: number, member: string | symbol): (...values: unknown[]) => Promise<unknown> {
    return (...values) => this.send({ kind: 'call', object, member, arguments: values.map((value) => this.encode(value)) });
  }

  private encode(value: unknown): unknown {
    if (typeof value !== 'function') return value;
    const listener = this.nextId++;
    this.listeners.set(listener, (...values: unknown[]) => void value(...values));
    return { listener };
  }

  private send(request: Record<string, unknown>): Promise<unknown> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      if (this.outbox === undefined) this.child.send([{ id, ...request }]);
      else this.outbox.push({ id, ...request });
    });
  }

  private receive(message: Message): void {
    if (message.listener !== undefined) this.listeners.get(message.listener)?.(...(message.values ?? []));
    if (message.id === undefined) return;
    const waiting = this.pending.get(message.id);
    this.pending.delete(message.id);
    if (message.error !== undefined) waiting?.reject(Object.assign(new Error(message.error.message), message.error));
    else waiting?.resolve(message.value);
  }
}

/** Three UDP datagrams of 100 bytes (128 with headers) to an address of the namespace, where somebody listens. */
export function sendDatagrams(namespace: TestNamespace, address: string): void {
  const program = `
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(('${address}', 4000))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3): sender.sendto(bytes(100), ('${address}', 4000))
`;
  namespace.run('python3', '-c', program);
}

/** Waits until `probe` gives something; fails after `seconds`. */
export async function eventually<T>(probe: () => T | undefined, seconds = 10): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = probe();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`nothing after ${seconds} s: ${probe.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
