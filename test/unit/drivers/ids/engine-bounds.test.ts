import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ProcessBounds } from '../../../../src/drivers/ids/engine-bounds.js';
import type { Logger } from '../../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const [SELF, ENGINE] = [100, 200];
const UNIT = 'system.slice/dfw-agent.service';

describe('ProcessBounds', () => {
  let directory = '';
  let nice: string[] = [];
  const at = (...names: readonly string[]): string => path.join(directory, ...names);
  const text = (...names: readonly string[]): Promise<string> => readFile(at(...names), 'utf8');

  /** Plain files in the place of the kernel's: what is written into them can be read. */
  async function host(options: { readonly group?: string; readonly engineGroup?: string; readonly controllers?: string; readonly inside?: readonly number[] } = {}): Promise<void> {
    const { group = UNIT, engineGroup = `${UNIT}/dfw-agent.engine`, controllers = 'cpuset cpu io memory pids', inside = [SELF, ENGINE] } = options;
    const parent = group.replace(/\/dfw-agent\.self$/, '');
    for (const name of [`root/${parent}`, `root/${group}`, `proc/${SELF}`, `proc/${ENGINE}`]) await mkdir(at(name), { recursive: true });
    await writeFile(at(`proc/${SELF}/cgroup`), `1:name=systemd:/x\n0::/${group}\n`);
    await writeFile(at(`proc/${ENGINE}/cgroup`), `0::/${engineGroup}\n`);
    await writeFile(at('root', parent, 'cgroup.controllers'), `${controllers}\n`);
    await writeFile(at('root', group, 'cgroup.procs'), `${inside.join('\n')}\n`);
  }
  const bounds = (memory: number, processor: number, setPriority = (pid: number, value: number): void => void nice.push(`${pid} ${value}`)): ProcessBounds =>
    new ProcessBounds({ memory, processor, self: SELF, root: at('root'), proc: at('proc'), setPriority, log: silent });

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-bounds-'));
    nice = [];
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test('a control group of its own: the agent leaves the parent first, for processes are in leaves only', async () => {
    await host();
    expect(await bounds(1024 * 1024 * 1024, 150).bind(ENGINE)).toBe('memory 1024 MiB, 150 % of a processor, oom_score_adj 500 (control group)');
    expect(await text('root', UNIT, 'dfw-agent.self/cgroup.procs')).toBe(String(SELF));
    expect(await text('root', UNIT, 'dfw-agent.engine/cgroup.procs')).toBe(String(ENGINE));
    expect(await text('root', UNIT, 'cgroup.subtree_control')).toBe('+memory +cpu');
    expect(await text('root', UNIT, 'dfw-agent.engine/memory.max')).toBe('1073741824');
    expect(await text('root', UNIT, 'dfw-agent.engine/cpu.max')).toBe('30000 20000');
    expect(await text(`proc/${ENGINE}/oom_score_adj`)).toBe('500');
    expect(nice).toEqual([]);
  });

  test('the next life of the engine goes to the same group: the agent is below already', async () => {
    await host({ group: `${UNIT}/dfw-agent.self`, inside: [SELF, 300] });
    await mkdir(at('root', UNIT, 'dfw-agent.engine'));
    expect(await bounds(0, 50).bind(ENGINE)).toBe('50 % of a processor, oom_score_adj 500 (control group)');
    expect(await text('root', UNIT, 'cgroup.subtree_control')).toBe('+cpu');
    expect(await text('root', UNIT, 'dfw-agent.self/cgroup.procs')).toBe(`${SELF}\n300\n`);
  });

  test.each([
    ['others are in the group', { inside: [SELF, ENGINE, 7] }, '1 other processes are in'],
    ['the controllers are not there', { controllers: 'cpu pids' }, 'memory cannot be bounded in'],
    ['the kernel leaves it where it was', { engineGroup: UNIT }, 'did not get into'],
  ] as const)('%s: by what a process has', async (_name, options, reason) => {
    await host(options);
    const said = await bounds(1, 100).bind(ENGINE);
    expect(said).toMatch(/^nice 5, oom_score_adj 500, memory caps of flows and streams; no control group: /);
    expect(said).toContain(reason);
    expect(nice).toEqual([`${ENGINE} 5`]);
    if ('inside' in options) await expect(text('root', UNIT, 'dfw-agent.self/cgroup.procs')).rejects.toThrow('ENOENT');
  });

  test('no control groups of version 2, and nothing else works either: says so, and the engine goes on', async () => {
    await host();
    await writeFile(at(`proc/${SELF}/cgroup`), '4:memory:/x\n');
    await rm(at(`proc/${ENGINE}`), { recursive: true });
    const said = await bounds(1, 1, () => {
      throw new Error('EPERM');
    }).bind(ENGINE);
    expect(said).toBe('memory caps of flows and streams; no control group: there are no control groups of version 2');
  });

  test('no limits asked for: no group', async () => {
    await host();
    await chmod(at('root', UNIT), 0o555);
    expect(await bounds(0, 0).bind(ENGINE)).toBe('oom_score_adj 500, memory caps of flows and streams');
    await expect(text('root', UNIT, 'dfw-agent.engine/cgroup.procs')).rejects.toThrow('ENOENT');
  });
});
