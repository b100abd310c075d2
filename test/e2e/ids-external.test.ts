/** An engine that is not the agent's: started by the test with bin/dfw-engine, as a unit or a container would, configured and watched by the agent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AlertView, IdsStatusView, TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, inNetns } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { LineProcess } from '../support/probe/line-process.js';

const ENGINE = fileURLToPath(new URL('../../bin/dfw-engine', import.meta.url));
const ROOT_ID = 'uid=0(root) gid=0(root) groups=0(root)';
const BAD = 'uid=7(intruder)';
const RULE = `drop tcp any any -> any any (msg:"test: an answer that must not arrive"; content:"uid=7|28|intruder|29|"; classtype:bad-unknown; sid:9000007; rev:1;)\n`;
const SECOND = RULE.replace('uid=7|28|intruder|29|', 'uid=8|28|other|29|').replace('9000007', '9000008');
/** Answers /id with the line of the test signature, all else with what must not arrive. */
const SERVER = `require('http').createServer((request, response) => response.end(request.url === '/id' ? process.argv[1] : process.argv[2])).listen(80, '::', () => console.log('{}'));`;
const CLIENT = `let text = ''; const end = (how) => { console.log(JSON.stringify({ how, text })); process.exit(); }; setTimeout(() => end('timeout'), Number(process.argv[2]));
require('http').get(process.argv[1], (response) => { response.on('data', (d) => { text += d; }); response.on('end', () => end('end')); response.on('error', (e) => end(e.code)); response.on('aborted', () => end('aborted')); }).on('error', (e) => end(e.code));`;

class Site {
  world!: World;
  agent!: Agent;
  directory = '';
  private engine: ChildProcess | undefined;
  private said = '';

  constructor(private readonly datapath: WorldDatapath, private readonly mode: 'ids' | 'ips') {}

  /** No engine runs yet. */
  async start(): Promise<void> {
    this.world = await createWorld({ workloads: [{ name: 'web' }, { name: 'server' }], datapath: this.datapath });
    // Short: a socket stands in it.
    this.directory = await mkdtemp(join(tmpdir(), 'dfwx-'));
    this.world.cleanup.defer('engine directory', () => rm(this.directory, { recursive: true, force: true }));
    this.world.cleanup.defer('engine', () => this.endEngine('SIGKILL'));
    for (const name of ['signatures', 'log', 'run']) await mkdir(join(this.directory, name));
    await writeFile(join(this.directory, 'signatures/first.rules'), RULE);
    const web = this.world.workload('web');
    this.agent = await Agent.run(this.world, {
      config: {
        ids: {
          enabled: true, mode: this.mode, engine: 'external', engineDirectory: join(this.directory, 'engine'), commandSocket: join(this.directory, 'run/command.socket'),
          signatures: join(this.directory, 'signatures'), eveFile: join(this.directory, 'log/eve.json'), alertWindow: 0,
        },
      },
      manifests: {
        'pods.yaml': [
          { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
          { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name: 'web', labels: { app: 'web' } }, spec: {}, status: { podIPs: [{ ip: web.ipv4 }, { ip: web.ipv6 }] } },
          {
            apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'web' },
            spec: { workload: { kind: 'Pod', namespace: 'default', name: 'web' }, vnic: 'eth0', interface: web.interface, mac: web.mac, addresses: [web.ipv4, web.ipv6] },
          },
        ],
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1006, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      },
    });
    const server = new LineProcess('ip', ['netns', 'exec', this.world.workload('server').netns, process.execPath, '-e', SERVER, ROOT_ID, BAD]);
    this.world.cleanup.defer('server', () => server.stop());
    await server.start({});
  }

  /** As its unit does; returns at once. */
  startEngine(): void {
    const [program, args] = inNetns(this.world.host, ENGINE, [join(this.directory, 'engine')]);
    const engine = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [engine.stdout, engine.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.said = (this.said + chunk.toString()).slice(-3_000);
      });
    }
    this.engine = engine;
  }

  /** The program becomes Suricata: signals reach it. */
  signal(signal: NodeJS.Signals): void {
    this.engine?.kill(signal);
  }

  async endEngine(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { engine } = this;
    if (engine === undefined || engine.exitCode !== null || engine.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => {
      engine.once('exit', () => resolve());
    });
    engine.kill(signal);
    await ended;
  }

  async policy(...specs: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    await this.agent.write('ids.yaml', specs.map((spec): Manifest => ({
      apiVersion: 'crd.antrea.io/v1alpha1', kind: 'IDPSPolicy', metadata: { name: 'web-ids' }, spec: { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, ...spec },
    })));
    await this.agent.agentctl('sync'); // says no while a policy is not in force
  }

  /** By the inspected pod. */
  async fetch(path: string, timeoutMs = 20_000): Promise<{ readonly how: string; readonly text: string }> {
    const { ipv4 } = this.world.workload('server');
    const { stdout } = await command(...inNetns(this.world.workload('web').netns, process.execPath, ['-e', CLIENT, `http://${ipv4}${path}`, String(timeoutMs)]), { timeoutMs: timeoutMs + 10_000 });
    return JSON.parse(stdout) as { how: string; text: string };
  }

  status(): Promise<IdsStatusView> {
    return this.agent.ask<IdsStatusView>('ids', 'status');
  }

  async becomes(state: string, withinMs: number): Promise<void> {
    await eventually(`the engine ${state}`, async () => ((await this.status()).engine.state === state ? true : undefined), withinMs, 50);
  }

  async control(text: string, withinMs: number): Promise<void> {
    const state = async (): Promise<string> => (await this.agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls[0]?.state ?? '';
    await eventually(`the control: ${text}`, async () => ((await state()).includes(text) ? true : undefined), withinMs, 20);
  }

  readonly alerts = async (sid: number): Promise<number> => (await this.agent.ask<{ alerts: AlertView[] }>('getalerts')).alerts.filter(({ signatureId }) => signatureId === sid).length;
  readonly report = async (): Promise<void> => console.log(await this.agent.tail(), this.said, JSON.stringify(await this.status().catch(String)));
}

describe('detect, on nftables', () => {
  const site = new Site('nftables', 'ids');
  beforeAll(() => site.start(), 120_000);
  afterAll(() => site.world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(site.report));

  it('the configuration is there before the engine is, and says where to listen', async () => {
    await site.becomes('absent', 10_000);
    const text = await readFile(join(site.directory, 'engine/suricata.yaml'), 'utf8');
    expect(text).toContain(`filename: ${JSON.stringify(join(site.directory, 'run/command.socket'))}`);
    expect(text).toContain(`${join(site.directory, 'engine/signatures')}/.sets/`);
    expect((await site.status()).engine).toMatchObject({ kind: 'external', restarts: 0 });
    expect((await site.agent.agentctl('ids', 'reload')).stdout).toContain('it reads the signatures when it is started');
  });

  it('once it is started it is running, with our signatures, and its alerts are enriched', async () => {
    site.startEngine();
    await site.becomes('running', 60_000);
    expect((await site.status()).signatures).toMatchObject({ loaded: 2, failed: 0 });
    await site.policy({});
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    await eventually('the alert', async () => ((await site.alerts(2100498)) > 0 ? true : undefined), 15_000, 100);
  }, 90_000);

  it('reloads a changed directory by the command socket', async () => {
    await writeFile(join(site.directory, 'signatures/second.rules'), SECOND);
    expect((await site.agent.agentctl('ids', 'reload')).stdout).toContain('3 signatures in force');
    expect((await site.status()).signatures).toMatchObject({ loaded: 3 });
    await writeFile(join(site.directory, 'signatures/broken.rules'), RULE.replace('content:', 'contents:').replace('9000007', '9000009'));
    const refused = await site.agent.agentctl('ids', 'reload');
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain('broken.rules');
    await rm(join(site.directory, 'signatures/broken.rules'));
    expect((await site.status()).signatures).toMatchObject({ loaded: 3 });
  }, 90_000);

  it('ended, it is absent; the one after it has the signatures in force', async () => {
    await site.endEngine('SIGTERM');
    await site.becomes('absent', 3_000);
    site.startEngine();
    await site.becomes('running', 60_000);
    expect(await site.status()).toMatchObject({ engine: { restarts: 1 }, signatures: { loaded: 3 } });
  }, 90_000);

  it('the agent stops: the engine goes on, and the next agent finds it', async () => {
    const before = await site.alerts(2100498);
    await site.agent.stop();
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    await site.agent.start();
    await site.becomes('running', 20_000);
    expect((await site.status()).engine).toMatchObject({ restarts: 0, reason: '' });
    await eventually('the late alert', async () => ((await site.alerts(2100498)) > before ? true : undefined), 15_000, 100);
  }, 90_000);

  it('says when the engine runs with a configuration of before', async () => {
    await site.agent.stop();
    await site.agent.configure('ids', { homeNetworks: ['10.0.0.0/8'] });
    await site.agent.start();
    await eventually('the reason', async () => ((await site.status()).engine.reason.includes('must be started anew') ? true : undefined), 20_000, 100);
    await site.endEngine('SIGTERM');
    await site.becomes('absent', 3_000);
    site.startEngine();
    await site.becomes('running', 60_000);
    expect((await site.status()).engine.reason).toBe('');
  }, 120_000);
});

describe.each<WorldDatapath>(['ovs', 'nftables'])('prevent, on %s', (datapath) => {
  const site = new Site(datapath, 'ips');
  beforeAll(() => site.start(), 120_000);
  afterAll(() => site.world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(site.report));

  it('before there is an engine, traffic passes or not, as the policy says', async () => {
    await site.policy({ mode: 'prevent', onFailure: 'block' });
    await site.control('traffic is dropped', 5_000);
    expect(await site.fetch('/id', 700)).toMatchObject({ how: 'timeout' });
    await site.policy({ mode: 'prevent', onFailure: 'bypass' });
    await site.control('passes uninspected', 5_000);
    expect(await site.fetch('/bad')).toMatchObject({ how: 'end', text: BAD });
  }, 90_000);

  it('with it, what a signature drops does not arrive, all else does', async () => {
    await site.policy({ mode: 'prevent', onFailure: 'block' });
    site.startEngine();
    await site.control('active', 60_000);
    expect((await site.fetch('/bad', 2_000)).text).toBe('');
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    await eventually('the alert', async () => ((await site.alerts(9000007)) > 0 ? true : undefined), 15_000, 100);
  }, 120_000);

  it('killed: block, until the one after it answers', async () => {
    await site.endEngine('SIGKILL');
    await site.control('traffic is dropped', 2_500);
    expect(await site.fetch('/id', 700)).toMatchObject({ how: 'timeout' });
    site.startEngine();
    await site.control('active', 60_000);
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    expect((await site.fetch('/bad', 2_000)).text).toBe('');
  }, 120_000);

  it('hung: bypass, also after the time in which an engine of ours would be ended, and back when it answers', async () => {
    await site.policy({ mode: 'prevent', onFailure: 'bypass' });
    await site.control('active', 10_000);
    site.signal('SIGSTOP');
    try {
      await site.control('passes uninspected', 3_000);
      expect((await site.status()).engine.state).toBe('hanging');
      expect(await site.fetch('/bad')).toMatchObject({ how: 'end', text: BAD });
      // Once is enough for what no datapath has a part in.
      if (datapath === 'nftables') await new Promise((resolve) => setTimeout(resolve, 17_000));
      expect((await site.status()).engine.state).toBe('hanging');
    } finally {
      site.signal('SIGCONT');
    }
    await site.control('active', 10_000);
    expect((await site.fetch('/bad', 2_000)).text).toBe('');
  }, 120_000);

  it('the agent stops and the engine does not: what must be inspected still is', async () => {
    await site.agent.stop();
    expect((await site.fetch('/bad', 2_000)).text).toBe('');
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    await site.agent.start();
    await site.control('active', 20_000);
  }, 90_000);

  it('both are stopped, and the agent knew that they would be: what may pass uninspected passes', async () => {
    await site.agent.stop();
    await site.agent.configure('ids', { endsWithAgent: true });
    await site.agent.start();
    await site.control('active', 20_000);
    expect((await site.fetch('/bad', 2_000)).text).toBe('');
    await site.agent.stop();
    await site.endEngine('SIGTERM');
    expect(await site.fetch('/bad')).toMatchObject({ how: 'end', text: BAD });
  }, 90_000);
});
