/** Signatures from bundle to alert: fetched over https, tested, put in force while packets pass, refused, gone back on, kept over restarts. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { suricataCommand } from '../../src/drivers/ids/command-socket.js';
import type { AlertView, IdsStatusView, SignatureChangeView, SignatureView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { tarGz, zip } from '../support/archives.js';
import { certificate } from '../support/certificate.js';
import { command, eventually, inNetns } from '../support/command.js';
import { ruleTable } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';

/** In every version of the bundle. */
const MARKER = 'alert udp any any -> any 9999 (msg:"marker"; content:"dfw-marker"; classtype:trojan-activity; sid:9100001; rev:1;)\n';
const extra = (sid: number, rest = ''): string => `alert udp any any -> any 9998 (msg:"extra ${sid}"; ${rest}content:"dfw-extra"; classtype:misc-activity; sid:${sid};)\n`;

let world: World;
let agent: Agent;
let directory = '';
let signatures = '';

/** Serves the directory over https in the host's namespace, with ETags; prints a line when it listens. */
const SERVER = `
const [directory, port] = process.argv.slice(1);
const fs = require('fs'), path = require('path'), crypto = require('crypto');
require('https').createServer({ key: fs.readFileSync(path.join(directory, 'key.pem')), cert: fs.readFileSync(path.join(directory, 'cert.pem')) }, (request, response) => {
  const file = path.join(directory, 'www', path.basename(request.url));
  if (!fs.existsSync(file)) return response.writeHead(404).end();
  const content = fs.readFileSync(file), etag = JSON.stringify(crypto.createHash('md5').update(content).digest('hex'));
  fs.appendFileSync(path.join(directory, 'asked'), request.url + ' ' + (request.headers['if-none-match'] === etag ? 304 : 200) + '\\n');
  if (request.headers['if-none-match'] === etag) return response.writeHead(304, { etag }).end();
  response.writeHead(200, { etag }).end(content);
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));`;

/** Sends datagrams, each from a port of its own, until the file is there (or a minute is over); gives the ports. */
const SENDER = `
const [to, stop, first] = process.argv.slice(1);
const dgram = require('dgram'), fs = require('fs'), ports = [];
(async () => {
  for (const end = Date.now() + 60000; Date.now() < end && (ports.length < 10 || !fs.existsSync(stop));) {
    const socket = dgram.createSocket('udp4'), port = Number(first) + ports.length;
    await new Promise((resolve) => socket.bind(port, resolve));
    await new Promise((resolve) => socket.send('dfw-marker', 9999, to, resolve));
    ports.push(port);
    await new Promise((resolve) => setTimeout(resolve, 10));
    socket.close();
  }
  console.log(JSON.stringify(ports));
})();`;

/** Puts a version of the bundle on the server, with its checksum. */
async function offer(version: string, ...rules: readonly string[]): Promise<void> {
  const archive = await tarGz([{ name: 'rules/vendor.rules', content: MARKER + rules.join('') }, { name: 'version.txt', content: `${version}\n` }]);
  await writeFile(join(directory, 'www/bundle.tar.gz'), archive);
  await writeFile(join(directory, 'www/bundle.tar.gz.sha256'), `${createHash('sha256').update(archive).digest('hex')}  bundle.tar.gz\n`);
}

const status = (): Promise<IdsStatusView> => agent.ask<IdsStatusView>('ids', 'status');
const running = (): Promise<unknown> => eventually('a running engine', async () => ((await status()).engine.state === 'running' ? true : undefined), 60_000, 100);
const version = (wanted: string): Promise<unknown> => eventually(`version ${wanted}`, async () => ((await status()).bundle?.version === wanted ? true : undefined), 60_000, 100);
const sids = async (...args: readonly string[]): Promise<number[]> => (await agent.ask<{ signatures: SignatureView[] }>('ids', 'signatures', ...args)).signatures.map(({ sid }) => sid).toSorted((a, b) => a - b);

async function change(...args: readonly string[]): Promise<{ code: number; change: SignatureChangeView }> {
  const result = await agent.agentctl(...args, '-o', 'json');
  return { code: result.code, change: result.json() as SignatureChangeView };
}

let firstPort = 20_000;

/** Datagrams to the inspected workload before, while and after something happens; every one must give an alert. */
async function inspected(meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<void> {
  const [web, client] = [world.workload('web'), world.workload('client')];
  const stop = join(directory, `stop-${firstPort}`);
  const sending = command(...inNetns(client.netns, process.execPath, ['-e', SENDER, web.ipv4, stop, String(firstPort)]), { timeoutMs: 90_000 });
  firstPort += 6_000;
  const before = await captured();
  await pause(300);
  try {
    await meanwhile();
    await pause(300);
  } finally {
    await writeFile(stop, '');
  }
  const sent = JSON.parse((await sending).stdout) as number[];
  expect(sent.length).toBeGreaterThanOrEqual(10);
  // The engine's own log: how soon the agent delivers alerts is not what is looked at here.
  const missing = async (): Promise<number> => {
    const records = (await readFile(join(directory, 'log/eve.json'), 'utf8')).split('\n').filter((line) => line.includes('"signature_id":9100001'));
    const seen = new Set(records.map((line) => (JSON.parse(line) as { src_port: number }).src_port));
    return sent.filter((port) => !seen.has(port)).length;
  };
  // On a machine that gives the engine no processor for a third of a second its ring overflows; what it got must all have been inspected.
  const dropped = async (): Promise<number> => (await captured()).drop - before.drop;
  await eventually(`an alert for each of ${sent.length} datagrams`, async () => ((await missing()) <= (await dropped()) ? true : undefined), 20_000, 250).catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${await missing()} are missing, ${await dropped()} were dropped`, { cause: error });
  });
  // A test in which most were dropped would show nothing.
  expect(await dropped()).toBeLessThan(sent.length / 4);
}

/** Packets that came to the engine's socket, and those that found no room, as it counts them itself. */
async function captured(): Promise<{ pkts: number; drop: number }> {
  const message = await suricataCommand(join(agent.stateDir, 'ids/suricata.sock'), 'iface-stat', { timeoutMs: 10_000 }, { iface: 'suricata-tap0' });
  return message as { pkts: number; drop: number };
}

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }] });
  directory = await mkdtemp(join(tmpdir(), 'dfw-signatures-e2e-'));
  world.cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
  signatures = join(directory, 'signatures');
  await mkdir(signatures);
  await mkdir(join(directory, 'www'));
  const { key, cert } = await certificate();
  await writeFile(join(directory, 'key.pem'), key);
  await writeFile(join(directory, 'cert.pem'), cert);
  await offer('v1', extra(9_100_011));
  await startServer();
  const web = world.workload('web');
  agent = await Agent.run(world, {
    config: {
      ids: {
        enabled: true, tap: 'dfw-tap0', sensor: 'suricata-tap0', signatures, eveFile: join(directory, 'log/eve.json'), bundleInterval: 0,
        bundle: 'https://127.0.0.1:8443/bundle.tar.gz', bundleChecksum: 'https://127.0.0.1:8443/bundle.tar.gz.sha256', bundleCa: join(directory, 'cert.pem'),
      },
    },
    manifests: {
      'pods.yaml': [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
        { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name: 'web', labels: { app: 'web' } }, spec: {}, status: { podIPs: [{ ip: web.ipv4 }] } },
        {
          apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'web' },
          spec: { workload: { kind: 'Pod', namespace: 'default', name: 'web' }, vnic: 'eth0', interface: web.interface, mac: web.mac, addresses: [web.ipv4, web.ipv6] },
        },
      ],
      'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      'mirror.yaml': [{
        apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'web' },
        spec: { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, direction: 'Ingress', action: 'Mirror', targetPort: { device: { name: 'dfw-tap0' } } },
      }],
    },
  });
  await running();
}, 120_000);
afterAll(() => world.close());

async function startServer(): Promise<void> {
  const child = spawn('ip', ['netns', 'exec', world.host, process.execPath, '-e', SERVER, directory, '8443'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  world.cleanup.defer('server', stop);
  stopServer = stop;
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), ended.then(() => Promise.reject(new Error('the server ended')))]);
}
let stopServer = (): Promise<void> => Promise.resolve();

test('a good bundle is fetched at the start and comes into force; its signatures find packets', async () => {
  await version('v1');
  expect(await status()).toMatchObject({
    engine: { kind: 'suricata', state: 'running' }, signatures: { loaded: 3, failed: 0, skipped: 0 },
    bundle: { source: 'https://127.0.0.1:8443/bundle.tar.gz', version: 'v1', lastFetch: { result: 'updated', detail: '3 signatures in force' } },
  });
  expect(await sids()).toEqual([2_100_498, 9_100_001, 9_100_011]);
  expect(await sids('--severity', '1', '--enabled')).toEqual([9_100_001]);
  expect(await sids('--category', 'misc-activity')).toEqual([9_100_011]);
  expect((await agent.agentctl('ids', 'signatures')).stdout).toMatch(/^9100001    1  alert     1  enabled  trojan-activity  rules\/vendor.rules +marker$/m);
  await inspected();
  await eventually('an alert from the agent', async () => ((await agent.ask<{ alerts: AlertView[] }>('getalerts')).alerts.some((alert) => alert.signatureId === 9_100_001 && alert.severity === 1) ? true : undefined), 20_000, 250);
});

test('what is unchanged is not fetched again', async () => {
  expect(await change('ids', 'update')).toMatchObject({ code: 0, change: { outcome: 'unchanged', version: 'v1' } });
  expect((await readFile(join(directory, 'asked'), 'utf8')).trim().split('\n')).toEqual(['/bundle.tar.gz.sha256 200', '/bundle.tar.gz 200', '/bundle.tar.gz.sha256 200']);
});

test('a bad bundle is refused with file, line, sid and the engine\'s reason; a good one comes into force; no packet goes by uninspected', async () => {
  await inspected(async () => {
    await offer('v2', extra(9_100_012), extra(9_100_013, 'bogus:1; '), extra(9_100_014, 'content:|zz|; '));
    const refused = await change('ids', 'update');
    expect(refused).toMatchObject({ code: 1, change: { outcome: 'failed', version: 'v1', faults: [{ file: 'rules/vendor.rules', line: 3, sid: 9_100_013, reason: "unknown rule keyword 'bogus'." }, { line: 4, sid: 9_100_014 }] } });
    expect((await status()).refused).toMatchObject({ what: 'version v2 of the bundle', faults: [{ sid: 9_100_013 }, { sid: 9_100_014 }] });
    expect((await agent.ask<StatusView>('status')).degraded.map(({ reason }) => reason).join('\n')).toContain('rules/vendor.rules:3 sid 9100013: unknown rule keyword');
    expect((await agent.log()).find((line) => line['event'] === 'ids.signatures.refused' || line['msg'] === 'ids.signatures.refused')).toMatchObject({ signatures: [expect.stringContaining('sid 9100013'), expect.anything()] });
    expect(await sids()).toEqual([2_100_498, 9_100_001, 9_100_011]);
    await offer('v3', extra(9_100_015));
    expect(await change('ids', 'update')).toMatchObject({ code: 0, change: { outcome: 'changed', version: 'v3', detail: '3 signatures in force' } });
  });
  expect((await status()).refused).toBeUndefined();
  expect((await agent.agentctl('ids', 'signatures', '--sid', '9100011')).code).toBe(4);
  expect(await agent.metric('dfw_ids_bundle_fetch_total')).toEqual({ '{result="updated"}': 2, '{result="unchanged"}': 1, '{result="refused"}': 1 });
  expect(await agent.metric('dfw_ids_signatures_version')).toEqual({ '{version="v3"}': 1 });
  expect(await agent.metric('dfw_ids_signatures')).toEqual({ '{state="loaded"}': 3, '{state="failed"}': 0, '{state="skipped"}': 0 });
});

test('back to the version before, and forward again', async () => {
  expect(await change('ids', 'rollback')).toMatchObject({ code: 0, change: { outcome: 'changed', version: 'v1' } });
  expect(await sids()).toEqual([2_100_498, 9_100_001, 9_100_011]);
  expect((await status()).bundle).toMatchObject({ version: 'v1', previous: 'v3' });
  expect((await change('ids', 'rollback')).change.version).toBe('v3');
  expect((await readdir(join(agent.stateDir, 'signatures'))).filter((name) => !name.startsWith('.'))).toEqual(['v1', 'v3']);
});

test('a changed directory changes nothing before a reload, and nothing when it is bad', async () => {
  const file = join(signatures, 'local.rules');
  await writeFile(file, extra(9_200_001, 'bogus:1; '));
  const refused = await agent.agentctl('ids', 'reload');
  expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining(`${file}:1: sid 9200001: unknown rule keyword 'bogus'.`)]);
  expect((await status()).signatures).toMatchObject({ loaded: 3, failed: 0 });
  await writeFile(file, extra(9_200_002));
  expect(await sids('--sid', '2100498')).toEqual([2_100_498]);
  expect((await status()).signatures).toMatchObject({ loaded: 3 });
  expect(await agent.agentctl('ids', 'reload')).toMatchObject({ code: 0, stdout: 'reloaded: 4 signatures in force\n' });
  expect(await sids('--sid', '9200002')).toEqual([9_200_002]);
});

test('the server gone, the agent killed: its successor inspects with the signatures that were in force', async () => {
  await stopServer();
  expect(await change('ids', 'update')).toMatchObject({ code: 1, change: { outcome: 'failed', version: 'v3', detail: expect.stringContaining('ECONNREFUSED') } });
  await writeFile(join(signatures, 'broken.rules'), 'this is no rule\n');
  await agent.kill();
  await agent.start();
  await running();
  expect(await status()).toMatchObject({ signatures: { loaded: 4, failed: 0 }, bundle: { version: 'v3', previous: 'v1' } });
  // What was put there while it was away was tested, and refused.
  await eventually('the refusal', async () => ((await status()).refused?.what === 'what changed while the agent was away' ? true : undefined), 30_000, 100);
  await inspected();
  await rm(join(signatures, 'broken.rules'));
});

test('a bundle that is a file is taken when it changes, zip as well', async () => {
  const bundle = join(directory, 'local.zip');
  const put = async (name: string, sid: number): Promise<void> => {
    await writeFile(`${bundle}.new`, zip([{ name: 'vendor.rules', content: MARKER + extra(sid) }, { name: 'version', content: name }]));
    await rename(`${bundle}.new`, bundle);
  };
  await put('file-1', 9_300_001);
  const config = JSON.parse(await readFile(agent.configFile, 'utf8')) as { ids: Record<string, unknown> };
  Object.assign(config.ids, { bundle, bundleChecksum: '', bundleCa: '' });
  await writeFile(agent.configFile, JSON.stringify(config));
  await agent.stop();
  await agent.start();
  await version('file-1');
  await running();
  await inspected(async () => {
    await put('file-2', 9_300_002);
    await version('file-2');
  });
  expect(await sids('--sid', '9300002')).toEqual([9_300_002]);
  expect((await status()).bundle).toMatchObject({ source: bundle, version: 'file-2', previous: 'file-1' });
});
