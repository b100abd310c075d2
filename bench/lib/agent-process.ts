/** The daemon as it is installed, in this process's network namespace, with directories of its own. Needs a sandbox. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command, mustRun, type CommandResult } from './command.js';
import { ROOT } from './datapath.js';

export interface Memory {
  readonly residentMb: number;
  readonly peakMb: number;
}

export class AgentProcess {
  private readonly socket: string;
  private readonly logFile: string;
  private child: ChildProcess | undefined;

  /** `directory` is created; manifests are JSON documents, one file. `settings` are further ones of the configuration. */
  constructor(private readonly directory: string, private readonly settings: Readonly<Record<string, unknown>> = {}) {
    this.socket = join(directory, 'agent.sock');
    this.logFile = join(directory, 'agent.log');
  }

  /** Resolves when all it was given is in force. */
  async start(manifests: readonly unknown[], timeoutMs: number): Promise<void> {
    const { directory } = this;
    for (const name of ['manifests', 'state']) await mkdir(join(directory, name), { recursive: true });
    await this.write(manifests);
    const config = join(directory, 'agent.yaml');
    await writeFile(config, JSON.stringify({
      node: 'bench', sources: [{ type: 'file', path: join(directory, 'manifests') }], api: { socket: this.socket, group: 'root' },
      audit: { path: join(directory, 'audit.log') }, stateDir: join(directory, 'state'), ...this.settings,
    }));
    const log = openSync(this.logFile, 'a');
    this.child = spawn(join(ROOT, 'bin/dfw-agent'), ['--config', config], { stdio: ['ignore', log, log], cwd: directory });
    closeSync(log);
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const status = await this.agentctl('status', '-o', 'json');
      if (status.code === 0 && (JSON.parse(status.stdout) as { realized?: boolean }).realized === true) return;
      if (this.child.exitCode !== null || Date.now() > deadline) throw new Error(`the agent did not get ready: ${status.stderr}\n${(await readFile(this.logFile, 'utf8')).slice(-3000)}`);
      await pause(100);
    }
  }

  /** Puts other manifests in the place of those it has, in one step; resolves before the agent has seen them. */
  async write(manifests: readonly unknown[]): Promise<void> {
    const path = join(this.directory, 'manifests/all.json');
    await writeFile(`${path}.new`, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }));
    await rename(`${path}.new`, path);
  }

  /** Standard output and error of all its lives. */
  log(): Promise<string> {
    return readFile(this.logFile, 'utf8');
  }

  agentctl(...args: readonly string[]): Promise<CommandResult> {
    return command(join(ROOT, 'bin/agentctl'), ['--socket', this.socket, ...args]);
  }

  /** Its standard output goes to a file; how long the command took, milliseconds. */
  async agentctlTo(path: string, ...args: readonly string[]): Promise<number> {
    return timedTo(path, join(ROOT, 'bin/agentctl'), ['--socket', this.socket, ...args]);
  }

  /** Resident memory now, and its peak since the last resetPeak(). */
  async memory(): Promise<Memory> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024;
    return { residentMb: field('VmRSS'), peakMb: field('VmHWM') };
  }

  /** Processor time since its start, milliseconds, all threads. */
  async cpuMs(): Promise<number> {
    const fields = (await readFile(`/proc/${this.pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
    // utime and stime, in hundredths of a second (proc(5)).
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  async resetPeak(): Promise<void> {
    await writeFile(`/proc/${this.pid}/clear_refs`, '5');
  }

  /** SIGTERM; resolves when it has ended. */
  async stop(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
    });
    child.kill('SIGTERM');
    await ended;
  }

  private get pid(): number {
    if (this.child?.pid === undefined) throw new Error('the agent does not run');
    return this.child.pid;
  }
}

export async function timedTo(path: string, program: string, args: readonly string[]): Promise<number> {
  const file = openSync(path, 'w');
  try {
    return (await mustRun(program, args, { stdout: file, timeoutMs: 300_000 })).ms;
  } finally {
    closeSync(file);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
