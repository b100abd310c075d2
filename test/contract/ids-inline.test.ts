import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IdsDriver } from '../../src/drivers/ids/ids.js';
import { ChildProcessRunner } from '../../src/drivers/ids/process-runner.js';
import { ProcProcessTable } from '../../src/drivers/ids/process-table.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { Cleanup } from '../support/cleanup.js';
import { command, eventually, inNetns, mustRun } from '../support/command.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const TEST_RULES = path.resolve(import.meta.dirname, '../../deploy/signatures/dfw-test.rules');
const name = (part: string): string => `dfwi-${String(process.pid)}-${part}`;
const CLIENT = name('c');
const MIDDLE = name('m');
const SERVER = name('s');
const ADDRESS = '10.78.0.2';
const GOOD = 'x'.repeat(1_000_000);
const BAD = 'uid=0(root) gid=0(root) groups=0(root)';

/** ETHTOOL_STXCSUM off (linux/ethtool.h), which turns segmentation off too. */
const OFFLOADS_OFF = `import fcntl,socket,struct,sys,array
value = array.array('B', struct.pack('II', 0x17, 0))
fcntl.ioctl(socket.socket(), 0x8946, struct.pack('16sP', sys.argv[1].encode(), value.buffer_info()[0]))`;

const cleanup = new Cleanup();
let driver: IdsDriver;

beforeAll(async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'dfw-ips-'));
  cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
  for (const netns of [CLIENT, MIDDLE, SERVER]) {
    await mustRun('ip', ['netns', 'add', netns]);
    cleanup.defer(netns, () => mustRun('ip', ['netns', 'del', netns]).then(() => undefined));
  }
  for (const [netns, peer, address] of [[CLIENT, 'left', '10.78.0.1'], [SERVER, 'right', ADDRESS]] as const) {
    const lines = ['link set eth0 up', `addr add ${address}/24 dev eth0`];
    await mustRun('ip', ['-n', netns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', peer, 'netns', MIDDLE]);
    await mustRun('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
    await mustRun('ip', ['-n', MIDDLE, 'link', 'set', peer, 'up']);
    await mustRun(...inNetns(netns, '/usr/bin/python3', ['-c', OFFLOADS_OFF, 'eth0']));
  }
  const server = `const answers = JSON.parse(require('fs').readFileSync(0)); require('http').createServer((q, r) => r.end(answers[q.url])).listen(80); setTimeout(() => process.exit(), 60000);`;
  const stop = new AbortController();
  const serving = command(...inNetns(SERVER, 'timeout', ['60', process.execPath, '-e', server]), { input: JSON.stringify({ '/good': GOOD, '/bad': BAD }), timeoutMs: 65_000 });
  cleanup.defer('server', async () => {
    const pids = (await mustRun('ip', ['netns', 'pids', SERVER])).split('\n').filter((pid) => pid !== '');
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
    await serving;
  });
  const rules = path.join(directory, 'drop.rules');
  await writeFile(rules, (await readFile(TEST_RULES, 'utf8')).replace(/^alert/m, 'drop'));
  await mkdir(path.join(directory, 'signatures'));
  const inner = new ChildProcessRunner(process.env['PATH'] ?? '');
  driver = new IdsDriver(
    {
      engine: 'suricata', inline: { sensor: 'left', peer: 'right' }, signatures: path.join(directory, 'signatures'), extraRuleFiles: [rules],
      stateDirectory: path.join(directory, 'state'), eveFile: path.join(directory, 'log/eve.json'), homeNetworks: [],
    },
    {
      runner: { spawn: (program, args, onLine) => inner.spawn(...inNetns(MIDDLE, program, args), onLine) },
      processes: new ProcProcessTable((pid, signal) => process.kill(pid, signal)), clock: systemClock, log: silent,
      contexts: { owner: () => undefined, connections: () => Promise.resolve([]) }, onAlert: () => undefined, onCounted: () => undefined,
    },
  );
  cleanup.defer('driver', () => driver.stop());
  await driver.start(stop.signal);
  await eventually('a running engine', () => Promise.resolve(driver.status().engine?.state === 'running' ? true : undefined), 30_000);
});
afterAll(() => cleanup.run());

/** Body of the answer; the part that came when the connection hangs. */
async function get(url: string): Promise<string> {
  const script = `require('http').get({ host: process.argv[1], path: process.argv[2], timeout: 3000 }, (r) => r.pipe(process.stdout)).on('timeout', () => process.exit(0)).on('error', () => process.exit(1));`;
  return (await command(...inNetns(CLIENT, process.execPath, ['-e', script, ADDRESS, url]), { timeoutMs: 20_000 })).stdout;
}

test('traffic passes through the engine whole', async () => {
  const answer = await eventually('an answer', async () => (await get('/good')) || undefined, 20_000);
  expect(answer.length).toBe(GOOD.length);
});

test('a drop signature stops the packet, not only reports it', async () => {
  expect(await get('/bad')).toBe('');
  const alert = await eventually('the alert', () => Promise.resolve(driver.alerts.list()[0]), 5_000);
  expect(alert).toMatchObject({ signatureId: 2100498, action: 'blocked', source: { address: ADDRESS, port: 80 } });
});

test('other connections still pass', async () => {
  expect((await get('/good')).length).toBe(GOOD.length);
});
