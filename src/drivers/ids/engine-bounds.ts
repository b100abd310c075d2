/** How much memory and processor time the managed engine may take: by a control group of its own where we may make one, else by what a process has. */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../model/errors.js';
import type { Logger } from '../../platform/logger.js';

export interface EngineBounds {
  /** For each process of the engine, as soon as it runs. Resolves with what bounds it, in words; never rejects. */
  bind(pid: number): Promise<string>;
}

export interface EngineBoundsOptions {
  /** Bytes; 0: no limit. */
  readonly memory: number;
  /** Percent of one processor; 0: no limit. */
  readonly processor: number;
  /** Our own process. */
  readonly self: number;
  /** Where control groups of version 2 are mounted: /sys/fs/cgroup. */
  readonly root: string;
  /** /proc. */
  readonly proc: string;
  /** setpriority(2) of a process; throws. */
  readonly setPriority: (pid: number, nice: number) => void;
  readonly log: Logger;
}

/**
 * Quotas are given out in portions of this length (cgroup-v2.rst, cpu.max): an engine that used up its own stands still for what is left of it, and
 * so does traffic that it is in the path of. The kernel's default is 100 ms.
 */
const PERIOD_US = 20_000;
/** Below the group that the agent was started in. Names that nobody else gives: one who is in such a group already has made it. */
const OWN_GROUP = 'dfw-agent.self';
const ENGINE_GROUP = 'dfw-agent.engine';
const NICE = 5;
/** Of -1000 to 1000 (proc(5)): when the host runs short, the engine goes before workloads do. */
const OOM_SCORE = 500;

export class ProcessBounds implements EngineBounds {
  constructor(private readonly options: EngineBoundsOptions) {}

  async bind(pid: number): Promise<string> {
    const { memory, processor, setPriority, log } = this.options;
    // What an agent that is spared (OOMScoreAdjust of its unit) handed down is not for the engine, whatever else bounds it.
    const score = await this.#tried('oom-score', () => writeFile(join(this.options.proc, String(pid), 'oom_score_adj'), String(OOM_SCORE))) ? [`oom_score_adj ${String(OOM_SCORE)}`] : [];
    if (memory === 0 && processor === 0) return [...score, 'memory caps of flows and streams'].join(', ');
    try {
      await this.#intoGroup(pid);
      const limits = [...(memory === 0 ? [] : [`memory ${String(Math.round(memory / 1_048_576))} MiB`]), ...(processor === 0 ? [] : [`${String(processor)} % of a processor`])];
      return `${[...limits, ...score].join(', ')} (control group)`;
    } catch (error) {
      const why = describeError(error);
      log.debug('ids.engine.no-group', { reason: why });
      // Its workers are not there yet: they inherit it.
      const nice = await this.#tried('priority', () => setPriority(pid, NICE)) ? [`nice ${String(NICE)}`] : [];
      return `${[...nice, ...score, 'memory caps of flows and streams'].join(', ')}; no control group: ${why}`;
    }
  }

  /**
   * Control groups of version 2 (kernel, admin-guide/cgroup-v2.rst). Processes are in leaves only: to have a group below ours, we go into one of our own
   * beside it. Not where somebody else's processes are in our group: they are not ours to move.
   */
  async #intoGroup(pid: number): Promise<void> {
    const { memory, processor, root, proc, self } = this.options;
    const own = join(root, await this.#ownGroup());
    // Where an earlier bind() has put us already.
    const parent = own.endsWith(`/${OWN_GROUP}`) ? own.slice(0, -OWN_GROUP.length - 1) : own;
    const needed = [...(memory === 0 ? [] : ['memory']), ...(processor === 0 ? [] : ['cpu'])];
    const offered = (await readFile(join(parent, 'cgroup.controllers'), 'utf8')).trim().split(' ');
    const missing = needed.filter((name) => !offered.includes(name));
    if (missing.length > 0) throw new Error(`${missing.join(' and ')} cannot be bounded in ${parent}`);
    const engine = join(parent, ENGINE_GROUP);
    await makeDirectory(engine);
    if (parent === own) {
      const inside = (await readFile(join(own, 'cgroup.procs'), 'utf8')).trim().split('\n').map(Number);
      const strangers = inside.filter((each) => each !== self && each !== pid);
      if (strangers.length > 0) {
        await rmdir(engine).catch(() => undefined);
        throw new Error(`${String(strangers.length)} other processes are in ${own}`);
      }
      await makeDirectory(join(parent, OWN_GROUP));
      await writeFile(join(parent, OWN_GROUP, 'cgroup.procs'), String(self));
    }
    await writeFile(join(engine, 'cgroup.procs'), String(pid));
    await writeFile(join(parent, 'cgroup.subtree_control'), needed.map((name) => `+${name}`).join(' '));
    if (memory > 0) await writeFile(join(engine, 'memory.max'), String(memory));
    if (processor > 0) await writeFile(join(engine, 'cpu.max'), `${String(Math.round(PERIOD_US * processor / 100))} ${String(PERIOD_US)}`);
    const group = /^0::.*$/m.exec(await readFile(join(proc, String(pid), 'cgroup'), 'utf8'))?.[0] ?? '';
    if (!group.trimEnd().endsWith(`/${ENGINE_GROUP}`)) throw new Error(`process ${String(pid)} did not get into ${engine}`);
  }

  async #ownGroup(): Promise<string> {
    const { proc, self } = this.options;
    const path = /^0::(\/.*)$/m.exec(await readFile(join(proc, String(self), 'cgroup'), 'utf8'))?.[1];
    if (path === undefined) throw new Error('there are no control groups of version 2');
    return path;
  }

  async #tried(what: string, act: () => void | Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      this.options.log.debug('ids.engine.unbounded', { what, reason: describeError(error) });
      return false;
    }
  }
}

async function makeDirectory(path: string): Promise<void> {
  await mkdir(path).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  });
}
