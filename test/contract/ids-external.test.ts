/** An engine behind its command socket only, played by a server on a real socket; and bin/dfw-engine, which runs one. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EngineConfig } from '../../src/drivers/ids/engine-config.js';
import { ExternalEngine } from '../../src/drivers/ids/external-engine.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { command, eventually } from '../support/command.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dfwx-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Suricata's side of the socket. */
class Peer {
  asked: string[] = [];
  /** Connections are taken and never answered. */
  silent = false;
  /** It compiles signatures: the socket answers nobody for so long. */
  reloadMs = 0;
  private busy = false;
  private server: Server | undefined;
  private readonly clients = new Set<Socket>();

  async listen(file: string): Promise<void> {
    await rm(file, { force: true });
    const server = createServer((client) => {
      this.clients.add(client);
      client.on('error', () => undefined);
      client.on('data', (data) => void this.answer(client, data.toString()));
    });
    this.server = server;
    await new Promise<void>((resolve) => {
      server.listen(file, resolve);
    });
  }

  /** As a process that ends: the file stays, nobody is behind it. */
  async end(): Promise<void> {
    for (const client of this.clients) client.destroy();
    await new Promise<void>((resolve) => {
      if (this.server === undefined) resolve();
      else this.server.close(() => resolve());
    });
  }

  private async answer(client: Socket, line: string): Promise<void> {
    if (this.silent || this.busy) return;
    const request = JSON.parse(line) as { command?: string };
    if (request.command !== undefined) this.asked.push(request.command);
    if (request.command === 'reload-rules' && this.reloadMs > 0) {
      this.busy = true;
      await new Promise((resolve) => setTimeout(resolve, this.reloadMs));
      this.busy = false;
    }
    const message = request.command === 'ruleset-stats' ? [{ rules_loaded: 7, rules_failed: 0, rules_skipped: 1 }] : 'done';
    client.write(`${JSON.stringify({ return: 'OK', message })}\n`);
  }
}

describe('ExternalEngine', () => {
  let peer: Peer;
  let engine: ExternalEngine;
  let told: boolean[] = [];
  const socket = (): string => path.join(directory, 'c.sock');
  const state = (wanted: string, ms: number): Promise<true> => eventually(`state ${wanted}`, () => Promise.resolve(engine.status().state === wanted ? true : undefined), ms, 5);

  beforeEach(() => {
    told = [];
    peer = new Peer();
    const settings = { sensor: 's0', clusterId: 1, logDirectory: '/log', eveFile: '/log/eve.json', commandSocket: socket(), ruleFiles: [], homeNetworks: [], statsInterval: 60 };
    engine = new ExternalEngine(
      { commandSocket: socket(), configuration: new EngineConfig({ settings, configFile: path.join(directory, 'suricata.yaml'), tableDirectories: [] }) },
      { clock: systemClock, log: silent, onInspecting: (inspecting) => void told.push(inspecting) },
    );
  });
  afterEach(async () => {
    await engine.stop();
    await peer.end();
  });

  test('absent, running, absent again at the next look; each change is told once, a stop is none', async () => {
    engine.start(new AbortController().signal);
    await state('absent', 1_000);
    await eventually('its configuration', () => readFile(path.join(directory, 'suricata.yaml'), 'utf8').catch(() => undefined));
    await peer.listen(socket());
    await state('running', 2_000);
    expect(engine.status()).toMatchObject({ rules: { loaded: 7, skipped: 1 }, restarts: 0, reason: '', pid: undefined });
    await peer.end();
    await state('absent', 1_500);
    expect(engine.status()).toMatchObject({ reason: 'nobody listens on its command socket', rules: undefined });
    await peer.listen(socket());
    await state('running', 2_000);
    expect(engine.status().restarts).toBe(1);
    await engine.stop();
    expect(engine.status().state).toBe('stopped');
    expect(told).toEqual([true, false, true]);
  });

  test('silent: hanging, and not absent; running when it answers', async () => {
    await peer.listen(socket());
    engine.start(new AbortController().signal);
    await state('running', 2_000);
    peer.silent = true;
    const from = performance.now();
    await state('hanging', 3_000);
    expect(performance.now() - from).toBeGreaterThan(240);
    expect(told).toEqual([true, false]);
    peer.silent = false;
    await state('running', 2_000);
    expect(engine.status().restarts).toBe(0);
  });

  test('silent from the beginning: starting, for it may load its signatures', async () => {
    peer.silent = true;
    await peer.listen(socket());
    engine.start(new AbortController().signal);
    await state('starting', 4_000);
    expect(told).toEqual([]);
    peer.silent = false;
    await state('running', 4_000);
  });

  test('a reload is told by the socket; while it lasts the silence is none', async () => {
    await peer.listen(socket());
    engine.start(new AbortController().signal);
    await state('running', 2_000);
    peer.reloadMs = 1_500;
    expect(await engine.reload()).toMatchObject({ reloaded: true, rules: { loaded: 7 }, detail: '7 signatures in force' });
    expect(peer.asked.filter((each) => each !== 'version')).toEqual(['ruleset-stats', 'reload-rules', 'ruleset-stats']);
    expect(told).toEqual([true]);
  });

  test('a reload of one that is not there writes what it will read', async () => {
    engine.start(new AbortController().signal);
    await state('absent', 1_000);
    await rm(path.join(directory, 'suricata.yaml'), { force: true });
    expect(await engine.reload()).toEqual({ reloaded: false, detail: 'suricata does not run (nobody listens on its command socket); it reads the signatures when it is started' });
    expect(await readFile(path.join(directory, 'suricata.yaml'), 'utf8')).toContain('suricata-version');
  });
});

describe('bin/dfw-engine', () => {
  const ENGINE = path.resolve(import.meta.dirname, '../../bin/dfw-engine');
  const NOT_THERE = `dfwx${process.pid.toString(36)}`;

  async function program(): Promise<string> {
    const file = path.join(directory, 'program');
    await writeFile(file, '#!/bin/sh\necho "program $*"\n');
    await chmod(file, 0o755);
    return file;
  }
  const config = (...devices: readonly string[]): Promise<void> => writeFile(
    path.join(directory, 'suricata.yaml'), `af-packet:\n${devices.map((name) => `  - interface: ${JSON.stringify(name)}\n    threads: 1\n    copy-iface: "other"\n`).join('')}`,
  );

  test('becomes the engine, with the configuration it was pointed to', async () => {
    await config('lo');
    const { stdout, stderr, code } = await command(ENGINE, [directory], { env: { DFW_ENGINE_PROGRAM: await program() } });
    expect({ stdout, stderr, code }).toEqual({ stdout: `program -c ${directory}/suricata.yaml --af-packet\n`, stderr: '', code: 0 });
  });

  test('waits for its configuration, then for each device, and says so once', async () => {
    const child = spawn(ENGINE, [directory], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, DFW_ENGINE_PROGRAM: await program() } });
    const closed = new Promise<void>((resolve) => {
      child.once('close', () => resolve());
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (said += chunk.toString()));
    try {
      await eventually('it waits', () => Promise.resolve(said.includes(`waits for ${directory}/suricata.yaml`) ? true : undefined));
      await config('lo', NOT_THERE);
      await eventually('it waits for the device', () => Promise.resolve(said.includes(`waits for interface ${NOT_THERE}`) ? true : undefined));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(said).not.toContain('program');
      expect(said.match(/waits for/g)).toHaveLength(2);
      await config('lo');
      await closed;
      expect(said).toContain('program -c');
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('under systemd: each one that ended within a minute is started later, and a longer life begins anew', async () => {
    await config('lo');
    const run = path.join(directory, 'run');
    await mkdir(run);
    const env = { DFW_ENGINE_PROGRAM: await program(), RUNTIME_DIRECTORY: run };
    const record = async (): Promise<number> => Number((await readFile(path.join(run, 'starts'), 'utf8')).trim().split(' ')[1]);
    const now = (): number => Math.floor(Date.now() / 1_000);
    expect((await command(ENGINE, [directory], { env })).stderr).toBe('');
    expect(await record()).toBe(0);
    expect((await command(ENGINE, [directory], { env })).stderr).toContain('again in 1 s');
    expect((await command(ENGINE, [directory], { env })).stderr).toContain('again in 2 s');
    await writeFile(path.join(run, 'starts'), `${now() - 120} 30\n`);
    expect((await command(ENGINE, [directory], { env })).stderr).toBe('');
    expect(await record()).toBe(0);
  });

  test('--alive: fails where somebody listens and does not answer, and only there', async () => {
    const file = path.join(directory, 'command.socket');
    const alive = async (): Promise<number | null> => (await command(ENGINE, ['--alive', file], { timeoutMs: 20_000 })).code;
    expect(await alive()).toBe(0);
    const peer = new Peer();
    await peer.listen(file);
    expect(await alive()).toBe(0);
    expect(peer.asked).toEqual(['uptime']);
    peer.silent = true;
    expect(await alive()).toBe(1);
    await peer.end();
    expect(await alive()).toBe(0);
  }, 30_000);

  test('without a directory it says how it is used', async () => {
    const { code, stderr } = await command(ENGINE, []);
    expect([code, stderr.includes('usage: dfw-engine DIRECTORY')]).toEqual([2, true]);
  });
});
