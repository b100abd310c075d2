/** scripts/ovs as a person uses it. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cleanup } from '../support/cleanup.js';
import { command, mustRun, type CommandResult } from '../support/command.js';
import { Namespaces } from '../support/namespaces.js';

const SCRIPT = fileURLToPath(new URL('../../scripts/ovs', import.meta.url));

describe('scripts/ovs', () => {
  const cleanup = new Cleanup();
  let parent = '';
  let directory = '';
  let netns = '';

  beforeEach(async () => {
    const namespaces = new Namespaces(cleanup);
    netns = `${namespaces.base}-h`;
    await namespaces.add([netns]);
    parent = await mkdtemp(path.join(tmpdir(), 'dfwt-ovs-'));
    cleanup.defer('directory', () => rm(parent, { recursive: true, force: true }));
    directory = path.join(parent, 'switch');
    cleanup.defer('switch', () => ovs('stop').then(() => undefined));
  });
  afterEach(() => cleanup.run());

  const ovs = (verb: string, ...options: readonly string[]): Promise<CommandResult> => command(SCRIPT, [verb, '--dir', directory, ...options]);
  const devices = async (): Promise<string[]> => (JSON.parse(await mustRun('ip', ['-n', netns, '-json', 'link', 'show'])) as { ifname: string }[]).map(({ ifname }) => ifname).filter((name) => name !== 'lo');
  const pids = async (): Promise<string[]> => [...(await ovs('status')).stdout.matchAll(/\((\d+)\)/g)].map(([, pid]) => pid ?? '');

  it('starts once, says where, and leaves nothing when it stops', async () => {
    expect((await ovs('status')).code).toBe(3);
    const started = await ovs('start', '--netns', netns, '--bridge', 'br-x');
    expect(started).toEqual({ code: 0, stderr: '', stdout: `database:   unix:${directory}/db.sock\nmanagement: ${directory}/br-x.mgmt\n` });
    expect((await ovs('status')).code).toBe(0);
    const before = await pids();
    expect(before).toHaveLength(2);
    expect((await ovs('start', '--netns', netns, '--bridge', 'br-x')).code).toBe(0);
    expect(await pids()).toEqual(before);
    expect(await mustRun('ovs-vsctl', ['--timeout=5', `--db=unix:${directory}/db.sock`, 'get', 'Bridge', 'br-x', 'fail_mode', 'datapath_type'])).toBe('secure\nnetdev\n');
    expect(await mustRun('ovs-ofctl', ['dump-flows', `unix:${directory}/br-x.mgmt`])).not.toContain('actions=');
    expect(await devices()).toContain('br-x');
    expect(await ovs('stop')).toEqual({ code: 0, stderr: '', stdout: '' });
    expect([await devices(), await readdir(parent), (await ovs('status')).code, (await ovs('stop')).code]).toEqual([[], [], 3, 0]);
  });

  it('brings back what died and stops what hangs', async () => {
    await ovs('start', '--netns', netns);
    const [server, daemon] = (await pids()).map(Number);
    if (server === undefined || daemon === undefined) throw new Error('a daemon does not run');
    process.kill(daemon, 'SIGKILL');
    await ovs('start', '--netns', netns);
    const after = (await pids()).map(Number);
    expect([after[0], after.length]).toEqual([server, 2]);
    expect(after[1]).not.toBe(daemon);
    for (const pid of after) process.kill(pid, 'SIGSTOP');
    expect((await ovs('stop')).code).toBe(0);
    expect([await devices(), await readdir(parent)]).toEqual([[], []]);
  });

  it('keeps away from a directory of somebody else', async () => {
    directory = parent;
    await writeFile(path.join(parent, 'precious'), 'x');
    expect(await ovs('start', '--netns', netns)).toMatchObject({ code: 1, stderr: expect.stringContaining('not a directory of this command') as string });
    expect((await ovs('stop')).code).toBe(0);
    expect(await readdir(parent)).toEqual(['precious']);
  });

  it.each([['nix'], ['start', '--nix'], ['start', '--datapath', 'x'], ['start', '--dir', `/tmp/${'x'.repeat(80)}`]])('refuses %j %s', async (...args) => {
    expect((await command(SCRIPT, args)).code).toBeGreaterThan(0);
  });
});
