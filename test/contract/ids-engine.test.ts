import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { suricataCommand } from '../../src/drivers/ids/command-socket.js';
import { EngineSupervisor } from '../../src/drivers/ids/engine.js';
import { ChildProcessRunner } from '../../src/drivers/ids/process-runner.js';
import { ProcProcessTable } from '../../src/drivers/ids/process-table.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { eventually } from '../support/command.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const processes = new ProcProcessTable((pid, signal) => process.kill(pid, signal));

/** A program with Suricata's command line and command socket; %MODE% is filled in. */
const PROGRAM = `#!${process.execPath}
const fs = require('fs');
const args = process.argv.slice(2);
const option = (name) => args[args.indexOf(name) + 1];
const socket = /filename: "(.*sock)"/.exec(fs.readFileSync(option('-c'), 'utf8'))[1];
if (fs.existsSync(option('--pidfile'))) { console.error('pid file exists'); process.exit(1); }
fs.writeFileSync(option('--pidfile'), process.pid + '\\n');
fs.rmSync(socket, { force: true });
const mode = '%MODE%';
process.on('SIGTERM', () => { if (mode !== 'deaf') process.exit(0); });
require('net').createServer((client) => client.on('data', (text) => {
  const request = JSON.parse(text);
  client.write(JSON.stringify('version' in request ? { return: 'OK' } : { message: [{ rules_loaded: 7, rules_failed: 0, rules_skipped: 0 }], return: 'OK' }) + '\\n');
})).listen(socket);
`;

describe('EngineSupervisor with real processes', () => {
  let directory = '';
  const supervisors: EngineSupervisor[] = [];
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-engine-'));
  });
  afterEach(async () => {
    await Promise.all(supervisors.splice(0).map((each) => each.stop()));
    await rm(directory, { recursive: true, force: true });
  });

  async function program(mode: 'good' | 'deaf'): Promise<string> {
    const file = path.join(directory, 'engine.cjs');
    await writeFile(file, PROGRAM.replace('%MODE%', mode));
    await chmod(file, 0o755);
    return file;
  }
  function supervise(file: string): EngineSupervisor {
    const settings = {
      sensor: 's0', clusterId: 1, logDirectory: path.join(directory, 'log'), eveFile: path.join(directory, 'log/eve.json'), commandSocket: path.join(directory, 'c.sock'),
      ruleFiles: [], homeNetworks: [], statsInterval: 60,
    };
    const options = { program: file, settings, configFile: path.join(directory, 'state/suricata.yaml'), pidFile: path.join(directory, 'pid'), tableDirectories: [] };
    const supervisor = new EngineSupervisor(options, { runner: new ChildProcessRunner(process.env['PATH'] ?? ''), processes, clock: systemClock, log: silent });
    supervisors.push(supervisor);
    return supervisor;
  }
  const state = (engine: EngineSupervisor, wanted: string): Promise<true> =>
    eventually(`state ${wanted}`, () => Promise.resolve(engine.status().state === wanted ? true : undefined), 10_000);
  const alive = async (pid: number | undefined): Promise<boolean> => pid !== undefined && (await processes.commandLine(pid)) !== undefined;

  test('runs, counts its rules, and stops', async () => {
    const engine = supervise(await program('good'));
    engine.start(new AbortController().signal);
    await state(engine, 'running');
    const { pid, rules } = engine.status();
    expect(rules).toEqual({ loaded: 7, failed: 0, skipped: 0 });
    expect(await alive(pid)).toBe(true);
    await engine.stop();
    expect(await alive(pid)).toBe(false);
  });

  test('an engine that ignores SIGTERM is killed', async () => {
    const engine = supervise(await program('deaf'));
    engine.start(new AbortController().signal);
    await state(engine, 'running');
    const { pid } = engine.status();
    await engine.stop();
    expect(await alive(pid)).toBe(false);
  });

  test('a missing and a forbidden executable', async () => {
    const missing = supervise('no-such-suricata');
    missing.start(new AbortController().signal);
    await state(missing, 'failed');
    expect(missing.status().reason).toContain('apt-get install -t bookworm-backports suricata');
    const file = path.join(directory, 'plain');
    await writeFile(file, 'text');
    const forbidden = supervise(file);
    forbidden.start(new AbortController().signal);
    await state(forbidden, 'failed');
    expect(forbidden.status().reason).toContain('EACCES');
  });

  test('the engine of a killed agent is ended first; a foreign process with its number is not', async () => {
    const file = await program('good');
    const first = supervise(file);
    first.start(new AbortController().signal);
    await state(first, 'running');
    await first.stop();
    // As a killed agent leaves it: still running, with its pid file.
    const left = spawn(file, ['-c', path.join(directory, 'state/suricata.yaml'), '--pidfile', path.join(directory, 'pid')], { stdio: 'ignore' });
    await rm(path.join(directory, 'pid'), { force: true });
    await eventually('its pid file', async () => (Number(await readFile(path.join(directory, 'pid'), 'utf8')) === left.pid ? true : undefined));
    const second = supervise(file);
    second.start(new AbortController().signal);
    await state(second, 'running');
    expect(await alive(left.pid)).toBe(false);
    await second.stop();

    const foreign = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    try {
      await writeFile(path.join(directory, 'pid'), `${String(foreign.pid)}\n`);
      const third = supervise(file);
      third.start(new AbortController().signal);
      await state(third, 'running');
      expect(await alive(foreign.pid)).toBe(true);
    } finally {
      foreign.kill('SIGKILL');
    }
  });
});

describe('suricataCommand', () => {
  let directory = '';
  let server: Server | undefined;
  const clients = new Set<Socket>();
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfw-command-'));
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    server = undefined;
    await rm(directory, { recursive: true, force: true });
  });

  /** `answer` gets each request and the connection. */
  async function serve(answer: (request: Record<string, unknown>, client: Socket) => void): Promise<string> {
    const file = path.join(directory, 's');
    server = createServer((client) => {
      clients.add(client);
      client.on('data', (text) => {
        const request: unknown = JSON.parse(text.toString());
        if (typeof request === 'object' && request !== null) answer({ ...request }, client);
      });
    });
    await new Promise<void>((resolve) => server?.listen(file, () => resolve()));
    return file;
  }

  test('handshake, command with arguments, an answer in pieces', async () => {
    const requests: unknown[] = [];
    const file = await serve((request, client) => {
      requests.push(request);
      if ('version' in request) client.write('{"return": "OK"}\n');
      else {
        client.write('{"message": {"a": {"b": 1}');
        setTimeout(() => client.write('}, "return": "OK"}\n'), 50);
      }
    });
    expect(await suricataCommand(file, 'iface-stat', { timeoutMs: 5000 }, { iface: 's0' })).toEqual({ a: { b: 1 } });
    expect(requests).toEqual([{ version: '0.2' }, { command: 'iface-stat', arguments: { iface: 's0' } }]);
  });

  test('a refusal says what the engine said', async () => {
    const file = await serve((request, client) => client.write('version' in request ? '{"return":"OK"}' : '{"return":"NOK","message":"Unknown command"}'));
    await expect(suricataCommand(file, 'x', { timeoutMs: 5000 })).rejects.toMatchObject({ code: 'E_IO', message: 'suricata refused "x": Unknown command' });
  });

  test('nobody there, no answer, cut answer, cancelled', async () => {
    await expect(suricataCommand(path.join(directory, 'none'), 'x', { timeoutMs: 5000 })).rejects.toMatchObject({ code: 'E_UNREACHABLE', retryable: true });
    const silentServer = await serve((request, client) => {
      if ('version' in request) client.write('{"return":"OK"}');
      else if (request['command'] === 'cut') client.end('{"message":');
    });
    await expect(suricataCommand(silentServer, 'x', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'E_UNREACHABLE' });
    await expect(suricataCommand(silentServer, 'cut', { timeoutMs: 5000 })).rejects.toMatchObject({ code: 'E_UNREACHABLE' });
    await expect(suricataCommand(silentServer, 'x', { timeoutMs: 5000, signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await expect(suricataCommand(silentServer, 'x', { timeoutMs: 5000, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });
});
