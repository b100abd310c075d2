import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConnectionTuple } from '../../src/drivers/ids/eve-alert.js';
import { IdsDriver } from '../../src/drivers/ids/ids.js';
import { ChildProcessRunner, type ProcessRunner } from '../../src/drivers/ids/process-runner.js';
import { ProcProcessTable } from '../../src/drivers/ids/process-table.js';
import type { AlertView } from '../../src/model/views.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { createWorld, type World } from '../support/netns.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const TEST_RULES = path.resolve(import.meta.dirname, '../../deploy/signatures/dfw-test.rules');
const ROOT_ID = 'uid=0(root) gid=0(root) groups=0(root)';

/** Starts the engine inside a network namespace. */
function runnerIn(netns: string): ProcessRunner {
  const inner = new ChildProcessRunner(process.env['PATH'] ?? '');
  return { spawn: (program, args, onLine) => inner.spawn(...inNetns(netns, program, args), onLine) };
}

/** A server in one namespace that answers every connection with `answer`, and one client connection to it from another. */
async function exchange(world: World, server: { netns: string; address: string }, client: string, port: number, answer: string): Promise<string> {
  const script = `const answer = require('fs').readFileSync(0); const server = require('net').createServer((s) => s.once('data', () => s.end(answer, () => server.close())));
    server.listen({ host: '::', port: Number(process.argv[1]) });`;
  const serving = world.exec(server.netns, process.execPath, ['-e', script, String(port)], { input: answer, timeoutMs: 20_000 });
  const ask = `const [host, port] = process.argv.slice(1); const s = require('net').connect(Number(port), host, () => s.write('id\\n')); s.pipe(process.stdout); s.on('error', () => process.exit(1));`;
  const received = await eventually('an answer', async () => {
    const result = await world.exec(client, process.execPath, ['-e', ask, server.address, String(port)], { timeoutMs: 10_000 });
    return result.code === 0 ? result.stdout : undefined;
  }, 15_000, 100);
  await serving;
  return received;
}

describe('IdsDriver with Suricata', () => {
  let world: World;
  let directory = '';
  let driver: IdsDriver;
  const lifetime = new AbortController();
  const cleanup = new Cleanup();
  const emitted: AlertView[] = [];
  const asked: ConnectionTuple[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-ids-'));
    cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
    await mkdir(path.join(directory, 'signatures'));
    world = await createWorld({ workloads: 2 });
    cleanup.defer('world', () => world.close());
    const server = world.workload(0);
    driver = new IdsDriver(
      {
        engine: 'suricata', sensor: server.interface, signatures: path.join(directory, 'signatures'), extraRuleFiles: [TEST_RULES],
        stateDirectory: path.join(directory, 'state'), eveFile: path.join(directory, 'log/eve.json'), homeNetworks: [],
      },
      {
        runner: runnerIn(world.host), processes: new ProcProcessTable((pid, signal) => process.kill(pid, signal)), clock: systemClock, log: silent,
        contexts: {
          owner: () => ({ filter: 'nic-1-eth0-dfw.2', workload: { kind: 'Pod', namespace: 'default', name: 'web' } }),
          connections: (tuples) => {
            asked.push(...tuples);
            return Promise.resolve(tuples.map(() => ({ ruleId: 1006, flowId: '00000000000000aa' })));
          },
        },
        onAlert: (alert, kind) => {
          if (kind === 'alert') emitted.push(alert);
        },
        onCounted: () => undefined,
      },
    );
    cleanup.defer('driver', () => driver.stop());
    await driver.start(lifetime.signal);
    await running();
  });

  afterAll(() => cleanup.run());

  const running = (): Promise<boolean> =>
    eventually('a running engine', () => Promise.resolve(driver.status().engine?.state === 'running' ? true : undefined), 30_000);

  test('the engine runs with the test signature', () => {
    expect(driver.status().engine).toMatchObject({ state: 'running', reason: '', rules: { loaded: 1, failed: 0 } });
  });

  test('the id check in a TCP answer becomes an enriched alert within five seconds', async () => {
    const server = world.workload(0);
    const ask = async (): Promise<AlertView | undefined> => {
      expect(await exchange(world, { netns: server.netns, address: server.ipv4 }, world.workload(1).netns, 8080, `${ROOT_ID}\n`)).toBe(`${ROOT_ID}\n`);
      return eventually('an alert', () => Promise.resolve(driver.alerts.list()[0]), 5_000).catch(() => undefined);
    };
    // An engine that has just said it runs may still miss its first packets.
    const alert = (await ask()) ?? (await ask());
    expect(alert).toMatchObject({
      signatureId: 2100498, signature: 'GPL ATTACK_RESPONSE id check returned root', category: 'Potentially Bad Traffic', severity: 2, action: 'allowed',
      protocol: 'tcp', source: { address: server.ipv4, port: 8080 }, destination: { address: world.workload(1).ipv4 },
      workload: { kind: 'Pod', namespace: 'default', name: 'web' }, filter: 'nic-1-eth0-dfw.2', ruleId: 1006, flowId: '00000000000000aa',
    });
    expect(emitted).toContainEqual(alert);
    expect(asked.at(-1)).toMatchObject({ protocol: 'tcp', source: { address: world.workload(1).ipv4 }, destination: { address: server.ipv4, port: 8080 } });
    expect(driver.alerts.counts().get(2)).toBeGreaterThan(0);
  });

  test('it finds the text in IPv6 and far inside a bulk of 64 KB frames', async () => {
    const server = world.workload(1);
    const follower = driver.alerts.follow({}, lifetime.signal)[Symbol.asyncIterator]();
    const bulk = `${'x'.repeat(100_000)}${ROOT_ID}${'y'.repeat(50_000)}`;
    expect(await exchange(world, { netns: server.netns, address: server.ipv6 }, world.workload(0).netns, 8081, bulk)).toHaveLength(bulk.length);
    const next = await follower.next();
    expect(next.value).toMatchObject({ signatureId: 2100498, source: { address: server.ipv6, port: 8081 }, destination: { address: 'fd10::2' } });
    await follower.return?.();
  });

  test('reload puts a new signature in force; one that is broken changes nothing and is named', async () => {
    const file = path.join(directory, 'signatures/local.rules');
    await writeFile(file, 'alert udp any any -> any 9999 (msg:"marker"; content:"dfw-marker"; sid:9000001; rev:1;)\n');
    expect(await driver.reload()).toEqual({ reloaded: true, detail: '2 signatures in force', faults: [] });
    const server = world.workload(0);
    const send = `const s = require('dgram').createSocket('udp4'); s.send('dfw-marker', 9999, process.argv[1], () => s.close());`;
    await mustRun(...inNetns(world.workload(1).netns, process.execPath, ['-e', send, server.ipv4]));
    const alert = await eventually('the new alert', () => Promise.resolve(driver.alerts.list().find((each) => each.signatureId === 9000001)), 5_000);
    expect(alert).toMatchObject({ protocol: 'udp', severity: 3, destination: { address: server.ipv4, port: 9999 } });
    await writeFile(file, 'alert udp any any -> any 9999 (this is no option;)\n');
    expect(await driver.reload()).toMatchObject({ reloaded: false, faults: [{ file, line: 1, reason: 'Signature missing required value "sid".' }] });
    expect(driver.status()).toMatchObject({ engine: { rules: { loaded: 2, failed: 0 } }, signatures: { refused: { faults: [{ file }] } } });
  });

  test('eve.json renamed away: the engine opens a new one and no alert is lost', async () => {
    const server = world.workload(0);
    const before = driver.alerts.list().length;
    const eve = path.join(directory, 'log/eve.json');
    await mustRun('mv', [eve, `${eve}.old`]);
    await exchange(world, { netns: server.netns, address: server.ipv4 }, world.workload(1).netns, 8082, ROOT_ID);
    await eventually('the alert in the renamed file', () => Promise.resolve(driver.alerts.list().length === before + 1 ? true : undefined), 5_000);
    const pid = driver.status().engine?.pid;
    expect(pid).toBeDefined();
    await mustRun('kill', ['-HUP', String(pid)]);
    await exchange(world, { netns: server.netns, address: server.ipv4 }, world.workload(1).netns, 8083, ROOT_ID);
    await eventually('the alert in the new file', () => Promise.resolve(driver.alerts.list().length === before + 2 ? true : undefined), 5_000);
    expect(driver.status().tail.rotations).toBe(1);
  });

  test('a killed engine comes back by itself', async () => {
    const pid = driver.status().engine?.pid;
    await mustRun('kill', ['-KILL', String(pid)]);
    await eventually('the end to be noticed', () => Promise.resolve(driver.status().engine?.state === 'running' ? undefined : true), 5_000);
    await running();
    expect(driver.status().engine?.restarts).toBe(1);
    expect(driver.status().engine?.pid).not.toBe(pid);
  });

  test('stop ends the process', async () => {
    const pid = driver.status().engine?.pid;
    await driver.stop();
    expect(driver.status().engine).toMatchObject({ state: 'stopped', pid: undefined });
    await expect(readFile(`/proc/${String(pid)}/stat`, 'utf8')).rejects.toThrow('ENOENT');
  });
});
