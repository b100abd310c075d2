import { readFile } from 'node:fs/promises';
import type { Clock } from '../../platform/clock.js';
import { sleep } from '../../platform/sleep.js';

/** Processes that are not our children: an engine that a killed agent left behind. */
export interface ProcessTable {
  /** Arguments of a process, program first; undefined when there is no such process. Rejects when it cannot be read. */
  commandLine(pid: number): Promise<readonly string[] | undefined>;
  /** False when the process is gone. Throws when it may not be signalled. */
  kill(pid: number, signal: 'SIGTERM' | 'SIGKILL'): boolean;
}

/** /proc; `kill` is process.kill, handed in by the composition root. */
export class ProcProcessTable implements ProcessTable {
  constructor(private readonly sendSignal: (pid: number, signal: 'SIGTERM' | 'SIGKILL') => void) {}

  async commandLine(pid: number): Promise<readonly string[] | undefined> {
    try {
      const content = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8');
      // A zombie has an empty command line: it runs nothing any more.
      return content === '' ? undefined : content.replace(/\0$/, '').split('\0');
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  kill(pid: number, signal: 'SIGTERM' | 'SIGKILL'): boolean {
    try {
      this.sendSignal(pid, signal);
      return true;
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  }
}

const POLL_MS = 100;

/** SIGTERM, after `graceMs` SIGKILL; resolves when the process is gone or the signal fires. */
export async function endProcess(processes: ProcessTable, clock: Clock, pid: number, graceMs: number, signal: AbortSignal): Promise<void> {
  const deadline = clock.now() + graceMs;
  let alive = processes.kill(pid, 'SIGTERM');
  let killed = false;
  while (alive && !signal.aborted) {
    await sleep(clock, POLL_MS, signal);
    alive = (await processes.commandLine(pid)) !== undefined;
    if (alive && !killed && clock.now() >= deadline) {
      killed = true;
      alive = processes.kill(pid, 'SIGKILL');
    }
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');
}
