/**
 * Network namespaces of a test: unique to the process, gone with the clean-up, at process exit and on SIGINT/SIGTERM; what a
 * killed run left behind is removed by the next one.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { Cleanup } from './cleanup.js';
import { mustRun } from './command.js';

const PREFIX = 'dfwt-';

export class Namespaces {
  /** Begin of all their names. */
  readonly base = `${PREFIX}${process.pid.toString(36)}-${randomBytes(3).toString('hex')}`;
  private readonly names: string[] = [];

  constructor(cleanup: Cleanup) {
    removeAbandoned();
    const onExit = (): void => this.removeAll();
    const onSignal = (signal: NodeJS.Signals): void => {
      this.removeAll();
      process.off(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.once('exit', onExit);
    process.once('SIGINT', onSignal);
    process.once('SIGTERM', onSignal);
    cleanup.defer('namespaces', () => {
      process.off('exit', onExit);
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      this.removeAll();
    });
  }

  /** The names must begin with `base`. */
  async add(names: readonly string[]): Promise<void> {
    this.names.push(...names);
    await mustRun('ip', ['-batch', '-'], { input: names.map((name) => `netns add ${name}\n`).join('') });
  }

  /** With the processes that run there. */
  remove(name: string): void {
    removeNetns(name);
    this.names.splice(this.names.indexOf(name), 1);
  }

  private removeAll(): void {
    for (const name of this.names.splice(0).toReversed()) removeNetns(name);
  }
}

/** Ends the processes that still run in it, too: they are the test's own. Absent is fine. */
function removeNetns(name: string): void {
  for (const pid of netnsPids(name)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  try {
    execFileSync('ip', ['netns', 'del', name], { stdio: 'pipe' });
  } catch (error) {
    if (listNetns().includes(name)) throw error;
  }
}

function netnsPids(name: string): number[] {
  try {
    return execFileSync('ip', ['netns', 'pids', name], { stdio: 'pipe' }).toString().split('\n').filter((line) => line !== '').map(Number);
  } catch (error) {
    if (listNetns().includes(name)) throw error;
    return [];
  }
}

function listNetns(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Namespaces of test processes that no longer run. */
function removeAbandoned(): void {
  for (const name of listNetns()) {
    const owner = new RegExp(`^${PREFIX}([0-9a-z]+)-`).exec(name)?.[1];
    if (owner === undefined) continue;
    try {
      process.kill(Number.parseInt(owner, 36), 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') removeNetns(name);
    }
  }
}
