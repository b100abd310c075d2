/** IDPSPolicy, from the seed's walk-through to traffic that the engine ends: a policy becomes a TrafficControl of its name, and what it says comes true. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AlertView, StatusView, TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, inNetns } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World, type WorldWorkload } from '../support/netns.js';
import { LineProcess } from '../support/probe/line-process.js';

const ROOT_ID = 'uid=0(root) gid=0(root) groups=0(root)';
/** Bytes of an ordinary answer. */
const SIZE = Number(process.env['DFW_IPS_BYTES'] ?? 20_000_000);
const DROPPED = 'uid=7(intruder)';
const REJECTED = 'uid=8(intruder)';
const RULES = `drop tcp any any -> any any (msg:"test: an answer that must not arrive"; content:"uid=7|28|intruder|29|"; classtype:bad-unknown; sid:9000007; rev:1;)
rejectboth tcp any any -> any any (msg:"test: an answer that is refused"; content:"uid=8|28|intruder|29|"; classtype:bad-unknown; sid:9000008; rev:1;)\n`;

function pod(workload: WorldWorkload, labels: Readonly<Record<string, string>>): Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name: workload.name, labels }, spec: {}, status: { podIPs: [{ ip: workload.ipv4 }, { ip: workload.ipv6 }] } },
    {
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: workload.name },
      spec: { workload: { kind: 'Pod', namespace: 'default', name: workload.name }, vnic: 'eth0', interface: workload.interface, mac: workload.mac, addresses: [workload.ipv4, workload.ipv6] },
    },
  ];
}
const policy = (spec: Readonly<Record<string, unknown>>): Manifest => ({
  apiVersion: 'crd.antrea.io/v1alpha1', kind: 'IDPSPolicy', metadata: { name: 'web-ids' }, spec: { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, ...spec },
});

/** An HTTP server: /id answers the test site's line, /bad what a signature drops, /good SIZE bytes. */
const SERVER = `const http = require('http'); const block = Buffer.alloc(1 << 16, 'abcdefghijklmnopqrstuvwxyz');
http.createServer((request, response) => {
  if (request.url === '/id') return response.end(process.argv[1]);
  if (request.url === '/bad') return response.end(process.argv[2]);
  if (request.url === '/rejected') return response.end(process.argv[2].replace('7', '8'));
  let left = Number(process.argv[3]);
  const more = () => { while (left > 0) { const n = Math.min(left, block.length); left -= n; if (!response.write(block.subarray(0, n))) return response.once('drain', more); } response.end(); };
  more();
}).listen(80, '::', () => console.log('{}'));`;
const expectedHash = (): string => {
  const block = Buffer.alloc(1 << 16, 'abcdefghijklmnopqrstuvwxyz');
  const hash = createHash('sha256');
  for (let left = SIZE; left > 0; left -= block.length) hash.update(block.subarray(0, Math.min(left, block.length)));
  return hash.digest('hex');
};
/** Fetches a URL; prints the bytes got, their hash, and how it ended. */
const CLIENT = `const hash = require('crypto').createHash('sha256'); let got = 0; let text = '';
const end = (how) => { console.log(JSON.stringify({ how, got, text: text.slice(0, 200), hash: hash.digest('hex') })); process.exit(); };
setTimeout(() => end('timeout'), Number(process.argv[2]));
require('http').get(process.argv[1], (response) => { response.on('data', (d) => { got += d.length; hash.update(d); if (text.length < 200) text += d; }); response.on('end', () => end('end')); response.on('error', (e) => end(e.code)); response.on('aborted', () => end('aborted')); }).on('error', (e) => end(e.code));`;
interface Fetched { readonly how: string; readonly got: number; readonly text: string; readonly hash: string }

class Site {
  world!: World;
  agent!: Agent;
  directory = '';

  constructor(private readonly datapath: WorldDatapath, private readonly mode: 'ids' | 'ips') {}

  async start(): Promise<void> {
    this.world = await createWorld({ workloads: [{ name: 'web' }, { name: 'server' }], datapath: this.datapath });
    this.directory = await mkdtemp(join(tmpdir(), 'dfw-idps-'));
    this.world.cleanup.defer('engine directory', () => rm(this.directory, { recursive: true, force: true }));
    await mkdir(join(this.directory, 'signatures'));
    await writeFile(join(this.directory, 'signatures/drop.rules'), RULES);
    this.agent = await Agent.run(this.world, {
      config: { ids: { enabled: true, mode: this.mode, tap: 'antrea-tap0', sensor: 'suricata-tap0', signatures: join(this.directory, 'signatures'), eveFile: join(this.directory, 'log/eve.json'), alertWindow: 0 } },
      manifests: {
        'pods.yaml': [
          { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
          // The server is somebody else's: no filter.
          ...pod(this.world.workload('web'), { app: 'web' }),
        ],
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1006, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      },
    });
    const server = new LineProcess('ip', ['netns', 'exec', this.world.workload('server').netns, process.execPath, '-e', SERVER, ROOT_ID, DROPPED, String(SIZE)]);
    this.world.cleanup.defer('server', () => server.stop());
    await server.start({});
    await eventually('a running engine', async () => ((await this.engine()) === 'running' ? true : undefined), 60_000, 100);
  }

  async policy(...manifests: readonly Manifest[]): Promise<void> {
    await this.agent.write('ids.yaml', manifests);
    await this.agent.agentctl('sync'); // says no while a policy is not in force
  }

  /** By the pod labelled app=web. */
  async fetch(path: string, { family = 4, timeoutMs = 60_000 }: { family?: 4 | 6; timeoutMs?: number } = {}): Promise<Fetched> {
    const { ipv4, ipv6 } = this.world.workload('server');
    const { stdout, stderr } = await command(...inNetns(this.world.workload('web').netns, process.execPath, ['-e', CLIENT, `http://${family === 4 ? ipv4 : `[${ipv6}]`}${path}`, String(timeoutMs)]), { timeoutMs: timeoutMs + 10_000 });
    if (stderr !== '') throw new Error(stderr);
    return JSON.parse(stdout) as Fetched;
  }

  readonly engine = async (): Promise<string> => (await this.agent.ask<StatusView>('status')).components.find(({ name }) => name === 'ids')?.state ?? '';
  readonly enginePid = async (): Promise<number> => Number(await readFile(join(this.agent.directory, 'state/ids/suricata.pid'), 'utf8'));
  readonly control = async (): Promise<TrafficControlView | undefined> => (await this.agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls[0];
  readonly alerts = async (sid: number): Promise<AlertView[]> => (await this.agent.ask<{ alerts: AlertView[] }>('getalerts', '--workload', 'default/web')).alerts.filter(({ signatureId }) => signatureId === sid);
}

describe.each<WorldDatapath>(['nftables', 'ovs'])('detect, on %s: the walk-through of the seed', (datapath) => {
  const site = new Site(datapath, 'ids');
  beforeAll(() => site.start(), 120_000);
  afterAll(() => site.world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await site.agent.tail())));

  it('the policy becomes a TrafficControl of the same name: Mirror, Both, to antrea-tap0', async () => {
    await site.policy(policy({}));
    expect(await site.control()).toMatchObject({ name: 'web-ids', action: 'Mirror', direction: 'Both', device: 'antrea-tap0', state: 'active', workloads: [{ namespace: 'default', name: 'web' }] });
  });

  it('the request of a pod that it selects gives the alert, in the engine\'s log and in getalerts', async () => {
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    const [alert] = await eventually('the alert', async () => {
      const found = await site.alerts(2100498);
      return found.length > 0 ? found : undefined;
    });
    expect(alert).toMatchObject({ signature: 'GPL ATTACK_RESPONSE id check returned root', workload: { kind: 'Pod', namespace: 'default', name: 'web' } });
    // A switch's own tracker is looked at each second: it may know nothing of so short a connection any more.
    if (datapath === 'nftables') expect(alert?.ruleId).toBe(1006);
    expect(await readFile(join(site.directory, 'log/eve.json'), 'utf8')).toContain('"signature_id":2100498');
  });

  it('what a signature would drop arrives: the engine has only copies', async () => {
    expect(await site.fetch('/bad')).toMatchObject({ how: 'end', text: DROPPED });
  });

  it('chooses signatures, and says what shall become of them', async () => {
    const listed = async (): Promise<string[]> => (await site.agent.ask<{ signatures: { sid: number; action: string; enabled: boolean }[] }>('ids', 'signatures')).signatures
      .filter(({ sid }) => sid === 9_000_007).map(({ sid, action, enabled }) => `${sid} ${action} ${enabled}`);
    const becomes = async (wanted: string): Promise<void> => {
      await eventually('the signatures', async () => ((await listed()).join() === wanted ? true : undefined), 20_000, 200).catch(() => undefined);
      expect((await listed()).join()).toBe(wanted);
    };
    await site.policy(policy({ signatures: { sids: [1], overrides: [{ sid: 9_000_007, action: 'alert' }] } }));
    await becomes('9000007 drop false');
    await site.policy(policy({ signatures: { severities: [1, 2, 3], overrides: [{ sid: 9_000_007, action: 'alert' }] } }));
    await becomes('9000007 alert true');
    await site.policy(policy({}));
    await becomes('9000007 drop true');
  }, 90_000);

  it('a policy that this host cannot keep is not in force, and says why', async () => {
    await site.policy(policy({ mode: 'prevent' }));
    expect((await site.agent.agentctl('status')).stdout).toContain('the engine of this host only gets copies (ids.mode)');
    await site.policy({ apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'web-ids' }, spec: { appliedTo: {}, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'antrea-tap0' } } } }, policy({}));
    expect((await site.agent.agentctl('status')).stdout).toContain('there is a TrafficControl of this name');
    await site.policy();
    expect(await site.control()).toBeUndefined();
  });
});

describe.each<WorldDatapath>(['nftables', 'ovs'])('prevent, on %s', (datapath) => {
  const site = new Site(datapath, 'ips');
  beforeAll(() => site.start(), 120_000);
  afterAll(() => site.world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await site.agent.tail(), await site.agent.agentctl('gettrafficcontrol').then(({ stdout }) => stdout))));
  const running = (): Promise<unknown> => eventually('a running engine', async () => ((await site.engine()) === 'running' ? true : undefined), 60_000, 50);
  const active = (): Promise<unknown> => eventually('the redirect', async () => ((await site.control())?.state === 'active' ? true : undefined), 10_000, 50);

  it('an answer that a signature drops never arrives; others do, bit for bit, in both families', async () => {
    await site.policy(policy({ mode: 'prevent', onFailure: 'block' }));
    await active();
    expect(await site.control()).toMatchObject({ name: 'web-ids', action: 'Redirect', direction: 'Both' });
    for (const family of [4, 6] as const) {
      const bad = await site.fetch('/bad', { family, timeoutMs: 3_000 });
      expect([bad.text, bad.how]).not.toContain(DROPPED);
      expect(bad.got).toBe(0);
      expect(await site.fetch('/id', { family })).toMatchObject({ how: 'end', text: ROOT_ID });
      expect(await site.fetch('/good', { family, timeoutMs: 120_000 })).toMatchObject({ how: 'end', got: SIZE, hash: expectedHash() });
    }
    const [alert] = await eventually('the alert', async () => {
      const found = await site.alerts(9000007);
      return found.length > 0 ? found : undefined;
    });
    expect(alert).toMatchObject({ action: 'blocked', workload: { name: 'web' } });
  }, 300_000);

  it('an answer that a signature rejects never arrives either, and both ends are told at once', async () => {
    await site.policy(policy({ mode: 'prevent', onFailure: 'block' }));
    await active();
    for (const family of [4, 6] as const) {
      const refused = await site.fetch('/rejected', { family, timeoutMs: 3_000 });
      expect([refused.how, refused.got, refused.text]).toEqual(['ECONNRESET', 0, '']);
    }
    expect(await site.fetch('/bad', { timeoutMs: 1 }).then(({ text }) => text)).not.toBe(REJECTED);
  });

  it('copies by a TrafficControl to the internal port antrea-tap0 are inspected beside', async () => {
    await site.policy({
      apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'web-copies' },
      spec: { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort: { [datapath === 'ovs' ? 'ovsInternal' : 'device']: { name: 'antrea-tap0' } } },
    });
    await active();
    const before = (await site.alerts(2100498)).length;
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
    const [alert] = await eventually('the alert', async () => {
      const found = await site.alerts(2100498);
      return found.length > before ? found : undefined;
    });
    expect(alert).toMatchObject({ workload: { kind: 'Pod', namespace: 'default', name: 'web' }, action: 'allowed' });
  });

  it('others are untouched: what no policy selects goes its way', async () => {
    await site.policy({ ...policy({ mode: 'prevent' }), spec: { appliedTo: { podSelector: { matchLabels: { app: 'nobody' } } }, mode: 'prevent' } });
    expect(await site.fetch('/bad')).toMatchObject({ how: 'end', text: DROPPED });
  });

  it.each(['SIGKILL', 'SIGSTOP'] as const)('bypass: the engine gets %s in the middle of a transfer, which goes on within a second', async (signal) => {
    await site.policy(policy({ mode: 'prevent', onFailure: 'bypass' }));
    await active();
    const transfer = site.fetch('/good', { timeoutMs: 120_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const pid = await site.enginePid();
    process.kill(pid, signal);
    try {
      await eventually('the bypass', async () => ((await site.control())?.state.includes('passes uninspected') === true ? true : undefined), 1_500, 20);
      expect(await site.fetch('/bad', { timeoutMs: 5_000 })).toMatchObject({ how: 'end', text: DROPPED });
      expect(await transfer).toMatchObject({ how: 'end', got: SIZE, hash: expectedHash() });
    } finally {
      if (signal === 'SIGSTOP') process.kill(pid, 'SIGCONT');
    }
    await running();
    await active();
    expect((await site.fetch('/bad', { timeoutMs: 2_000 })).got).toBe(0);
  }, 300_000);

  it('an agent that stops takes its engine along, and leaves behind what the policy says', async () => {
    await site.policy(policy({ mode: 'prevent', onFailure: 'bypass' }));
    await active();
    await site.agent.stop();
    expect(await site.fetch('/bad', { timeoutMs: 5_000 })).toMatchObject({ how: 'end', text: DROPPED });
    await site.agent.start();
    await running();
    await active();
    expect((await site.fetch('/bad', { timeoutMs: 2_000 })).got).toBe(0);
    await site.policy(policy({ mode: 'prevent', onFailure: 'block' }));
    await active();
    await site.agent.stop();
    expect(await site.fetch('/id', { timeoutMs: 1_000 })).toMatchObject({ how: 'timeout', got: 0 });
    await site.agent.start();
    await running();
    await active();
    expect(await site.fetch('/id')).toMatchObject({ how: 'end', text: ROOT_ID });
  }, 120_000);

  it('block: nothing passes while the engine is gone, and the transfer goes on when it is back', async () => {
    await site.policy(policy({ mode: 'prevent', onFailure: 'block' }));
    await active();
    process.kill(await site.enginePid(), 'SIGKILL');
    await eventually('the block', async () => ((await site.control())?.state.includes('traffic is dropped') === true ? true : undefined), 1_500, 20);
    expect((await site.agent.agentctl('status')).stdout).toContain('traffic is dropped');
    const transfer = site.fetch('/good', { timeoutMs: 120_000 });
    expect(await site.fetch('/id', { timeoutMs: 500 })).toMatchObject({ how: 'timeout', got: 0 });
    await running();
    await active();
    expect(await transfer).toMatchObject({ how: 'end', got: SIZE, hash: expectedHash() });
  }, 300_000);
});
