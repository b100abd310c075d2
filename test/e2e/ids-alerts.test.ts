/** Alerts as a product, with the real Suricata on real traffic: what they say, how often, where they go, what survives, the packets behind them, and the response. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AlertView, FlowView, QuarantineView, RulesView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, inNetns, mustRun } from '../support/command.js';
import { podManifests, ruleTable } from '../support/manifests.js';
import { createWorld, type World, type WorldWorkload } from '../support/netns.js';

const RECEIVERS = fileURLToPath(new URL('../support/alert-receivers.py', import.meta.url));
const ROOT_ID = 'uid=0(root) gid=0(root) groups=0(root)';
const SID = 2100498;
const WINDOW_S = 3;
const QUARANTINE_S = 12;
let world: World;
let agent: Agent;
let directory = '';

/** A long-running child that ends with the world. */
function run(program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  world.cleanup.defer(program, () => {
    child.kill('SIGKILL');
  });
  return child;
}
/** Waits for a line of its standard output. */
function said(child: ChildProcess, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes(line)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`ended with ${code} before it said ${line}`)));
  });
}

/** HTTP on port 80 whose every answer is that of `id` run as root, and an echo on port 7. */
async function serve(workload: WorldWorkload): Promise<void> {
  const script = `const body = '${ROOT_ID}\\n'; require('net').createServer((s) => { s.on('error', () => {}); s.pipe(s); }).listen({ host: '::', port: 7 }, () =>
    require('http').createServer((q, r) => r.end(body)).listen({ host: '::', port: 80 }, () => console.log('ready')));`;
  const [program, args] = inNetns(workload.netns, process.execPath, ['-e', script]);
  await said(run(program, args), 'ready');
}
/** The answer of port 80, or undefined when there is none in 2 s. */
async function get(client: WorldWorkload, server: WorldWorkload, path = '/cgi-bin/id'): Promise<string | undefined> {
  const script = `const q = require('http').get({ host: process.argv[1], path: process.argv[2], headers: { host: 'shop.example', 'user-agent': 'probe/1' }, timeout: 2000, agent: false }, (r) => { r.pipe(process.stdout); });
    q.on('timeout', () => q.destroy(new Error('timeout'))); q.on('error', () => process.exit(1));`;
  const result = await command(...inNetns(client.netns, process.execPath, ['-e', script, server.ipv4, path]));
  return result.code === 0 ? result.stdout.trim() : undefined;
}
/** A line to the echo of port 7 comes back within a second. */
async function echoes(client: WorldWorkload, server: WorldWorkload): Promise<boolean> {
  const script = `const s = require('net').connect(7, process.argv[1], () => s.write('x')); s.on('data', () => process.exit(0)); s.on('error', () => process.exit(1)); setTimeout(() => process.exit(1), 1000);`;
  return (await command(...inNetns(client.netns, process.execPath, ['-e', script, server.ipv4]))).code === 0;
}
const alerts = async (...args: readonly string[]): Promise<AlertView[]> => (await agent.ask<{ alerts: AlertView[] }>('getalerts', ...args)).alerts;
const component = async (name: string): Promise<{ state: string; detail: string } | undefined> => (await agent.ask<StatusView>('status')).components.find((each) => each.name === name);
const quarantines = async (): Promise<QuarantineView[]> => (await agent.ask<{ quarantines: QuarantineView[] }>('ids', 'quarantine', 'list')).quarantines;
const engineRuns = (): Promise<true> => eventually('a running engine', async () => ((await component('ids'))?.state === 'running' ? true : undefined), 60_000, 100);
async function received(name: string): Promise<string[]> {
  const text = await readFile(join(directory, name), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}
interface Received extends AlertView { readonly event: 'alert' | 'summary'; readonly node: string }
/** What each receiver got, as the alert in it. */
async function receivedAlerts(name: string): Promise<Received[]> {
  const lines = await received(name);
  if (name === 'http') return lines.flatMap((line) => JSON.parse(line) as Received[]);
  if (name === 'alerts.jsonl') return lines.map((line) => JSON.parse(line) as Received);
  return lines.map((line) => JSON.parse(line.slice(line.indexOf(' - ') + 3)) as Received);
}
/** Until no window is open: what comes then is a first alert again. */
async function windowsClosed(): Promise<void> {
  await eventually('the end of all windows', async () => ((await component('alerts'))?.detail.includes(' 0 windows open') === true ? true : undefined), 30_000, 100);
}
/** The alert of one request, once its window is over. */
async function attack(server: WorldWorkload, path: string, times = 1): Promise<AlertView> {
  await windowsClosed();
  const known = new Set((await alerts()).map(({ id }) => id));
  for (let n = 0; n < times; n += 1) expect(await get(world.workload('client'), server, path)).toBe(ROOT_ID);
  return eventually('an alert', async () => (await alerts('--workload', server.name)).find(({ id, count }) => !known.has(id) && (count ?? 1) >= times), 20_000, 100);
}

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'victim' }, { name: 'admin' }] });
  directory = await mkdtemp(join(tmpdir(), 'dfw-alerts-e2e-'));
  world.cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
  await mustRun('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=log.example', '-addext', 'subjectAltName=DNS:log.example',
    '-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')]);
  await Promise.all([serve(world.workload('web')), serve(world.workload('victim'))]);
  const [program, args] = inNetns(world.host, '/usr/bin/python3', [RECEIVERS, directory]);
  await said(run(program, args), 'ready');
  agent = await Agent.run(world, {
    config: {
      ids: {
        enabled: true, tap: 'dfw-tap0', sensor: 'suricata-tap0', signatures: join(directory, 'signatures'), eveFile: join(directory, 'eve/eve.json'), alertWindow: WINDOW_S,
        pcap: { enabled: true, bytes: 4 * 1024 * 1024 },
        sinks: [
          { type: 'audit' }, { type: 'file', path: join(directory, 'alerts.jsonl') },
          { type: 'http', name: 'hanging', url: 'http://127.0.0.1:8081/', batch: 1 },
          { type: 'syslog', name: 'unix', address: `unix:${join(directory, 'log')}` }, { type: 'syslog', name: 'udp', address: 'udp:127.0.0.1:5514' },
          { type: 'syslog', name: 'tcp', address: 'tcp:127.0.0.1:5601', facility: 'auth' },
          { type: 'syslog', name: 'tls', address: 'tls:127.0.0.1:6514', tls: { ca: join(directory, 'cert.pem'), serverName: 'log.example' } },
          { type: 'syslog', name: 'untrusted', address: 'tls:127.0.0.1:6514', tls: { serverName: 'log.example' } },
          { type: 'http', url: 'http://127.0.0.1:8080/dfw.alerts' },
          { type: 'file', name: 'worst', path: join(directory, 'worst.jsonl'), severity: 1 },
          { type: 'file', name: 'victims', path: join(directory, 'victims.jsonl'), selector: { matchLabels: { pod: 'victim' } } },
        ],
        response: [{ action: 'quarantine', signatureIds: [SID], duration: QUARANTINE_S, except: { matchExpressions: [{ key: 'pod', operator: 'NotIn', values: ['victim'] }] } }],
        quarantine: { allow: [{ addresses: [world.workload('admin').ipv4], protocol: 'tcp', ports: [7] }] },
      },
    },
    manifests: {
      'pods.yaml': podManifests('shop', world.workloads),
      'rules.yaml': [ruleTable('all', { rules: [{ id: 1006, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      'mirror.yaml': [{
        apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'servers' },
        spec: {
          appliedTo: { podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['web', 'victim'] }] } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'dfw-tap0' } },
        },
      }],
    },
  });
  await engineRuns();
});
afterAll(() => world.close());

test('an alert says who, what, by which rule, in which connection, and what was asked for', async () => {
  const [web, client] = [world.workload('web'), world.workload('client')];
  const alert = await attack(web, '/cgi-bin/id?x=1');
  const { filters } = await agent.ask<{ filters: { name: string; interface: string }[] }>('getfilters');
  const filterOf = (workload: WorldWorkload): string | undefined => filters.find((filter) => filter.interface === workload.interface)?.name;
  expect(alert).toMatchObject({
    signatureId: SID, signature: 'GPL ATTACK_RESPONSE id check returned root', category: 'Potentially Bad Traffic', severity: 2, action: 'allowed', protocol: 'tcp',
    source: { address: web.ipv4, port: 80 }, destination: { address: client.ipv4 }, direction: 'in', workload: { kind: 'Pod', namespace: 'shop', name: 'web' }, filter: filterOf(web),
    labels: { pod: 'web' }, namespaceLabels: { ns: 'shop' }, peer: { workload: { kind: 'Pod', namespace: 'shop', name: 'client' }, filter: filterOf(client) },
    ruleId: 1006, ruleset: 'all', connection: { source: { address: client.ipv4 }, destination: { address: web.ipv4, port: 80 } },
    appProtocol: 'http', http: { host: 'shop.example', url: '/cgi-bin/id?x=1', method: 'GET', userAgent: 'probe/1' },
  });
  expect(alert.communityId).toMatch(/^1:/);
  expect(alert.connection?.state).toMatch(/^[A-Z_]+$/);
  const { flows } = await agent.ask<{ flows: FlowView[] }>('getflows', '-f', web.interface);
  expect(flows.filter(({ source, destination }) => destination.port === 80 && source.port === alert.destination.port).map(({ id }) => id)).toEqual([alert.flowId]);
});

test('alike alerts are one, with a count; selections of getalerts', async () => {
  const web = world.workload('web');
  const alert = await attack(web, '/five', 5);
  expect(alert).toMatchObject({ count: 5 });
  expect(Date.parse(alert.last ?? '')).toBeGreaterThan(Date.parse(alert.timestamp));
  const text = await agent.agentctl('getalerts', '--limit', '1');
  expect(text.stdout.split('\n')[0]).toMatch(/TIME +COUNT +LAST/);
  expect(text.stdout.split('\n')[1]).toMatch(new RegExp(`^${alert.timestamp} +5 +${alert.last ?? '-'} +${SID} .* shop/web +1006 +${alert.id} `));
  expect(await alerts('--sid', String(SID), '--category', 'bad traffic', '--severity', '2', '--since', alert.last ?? '')).toHaveLength(1);
  expect(await alerts('--sid', '1')).toEqual([]);
  expect(await alerts('--severity', '1')).toEqual([]);
  expect(await alerts('--category', 'trojan')).toEqual([]);
  await windowsClosed();
  const given = await eventually('the summary', async () => {
    const found = (await receivedAlerts('alerts.jsonl')).filter(({ id }) => id === alert.id);
    return found.length === 2 ? found : undefined;
  }, 10_000, 100);
  expect(given.map(({ event, count }) => [event, count])).toEqual([['alert', 1], ['summary', 5]]);
  const metric = await agent.metric('dfw_ids_alerts_total');
  expect(metric['{severity="2",action="allowed"}']).toBeGreaterThanOrEqual(6);
});

test('every sink gets every alert it selects, though one hangs and one refuses the certificate', async () => {
  await windowsClosed();
  const wanted = (await alerts()).map(({ id }) => id).toSorted();
  expect(wanted.length).toBeGreaterThanOrEqual(2);
  for (const name of ['alerts.jsonl', 'unix', 'udp', 'tcp', 'tls', 'http']) {
    const got = await eventually(`all alerts at ${name}`, async () => {
      const found = (await receivedAlerts(name)).filter(({ event }) => event === 'alert').map(({ id }) => id).toSorted();
      return found.length >= wanted.length ? found : undefined;
    }, 15_000, 100);
    expect(got, name).toEqual(wanted);
  }
  expect((await received('unix'))[0]).toMatch(/^<131>1 \d{4}-\d\d-\d\dT[\d:.]+Z host-1 dfw-agent \d+ ALERT - \{"id":/);
  expect((await received('tcp'))[0]).toMatch(/^<35>1 /);
  expect((await receivedAlerts('http'))[0]).toMatchObject({ node: 'host-1', workload: { name: 'web' }, labels: { pod: 'web' }, signatureId: SID });
  expect((await agent.audit()).filter((line) => line.includes(' alert ') && line.includes('workload/Pod/shop/web')).length).toBeGreaterThanOrEqual(wanted.length);
  expect(await received('worst.jsonl')).toEqual([]);
  expect(await received('victims.jsonl')).toEqual([]);
  const hanging = await eventually('the failure of the one that hangs', async () => {
    const found = await component('alerts to hanging');
    return found?.state === 'failing' ? found : undefined;
  }, 30_000, 200);
  expect(hanging.detail).toContain('nothing was taken within 10000 ms');
  expect((await component('alerts to untrusted'))?.detail).toContain('self-signed');
  expect((await component('alerts to tls'))?.state).toBe('working');
  const [sent, failed] = await Promise.all([agent.metric('dfw_alerts_sink_sent_total'), agent.metric('dfw_alerts_sink_failed_total')]);
  expect(sent['{sink="http"}']).toBeGreaterThanOrEqual(wanted.length);
  expect(sent['{sink="hanging"}']).toBe(0);
  expect(failed['{sink="untrusted"}']).toBeGreaterThan(0);
});

test('the packets of an alert, read by tcpdump: its connection only, both ways, in order', async () => {
  const [web, client] = [world.workload('web'), world.workload('client')];
  const alert = await attack(web, '/packets');
  const file = join(directory, 'attack.pcapng');
  const written = await agent.agentctl('getalerts', '--pcap', alert.id, '-w', file);
  expect([written.code, written.stderr]).toEqual([0, `${(await stat(file)).size} bytes written to ${file}\n`]);
  const lines = (await mustRun('tcpdump', ['-nr', file, '-tt', '--nano'])).split('\n').filter((line) => line !== '');
  const times = lines.map((line) => Number(line.split(' ')[0]));
  expect(lines.length).toBeGreaterThanOrEqual(6);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  const port = alert.destination.port;
  expect(lines.every((line) => line.includes(`${web.ipv4}.80 `) || line.includes(`${web.ipv4}.80:`))).toBe(true);
  expect(lines.some((line) => line.includes(`IP ${client.ipv4}.${port} > ${web.ipv4}.80: Flags [S]`))).toBe(true);
  expect(lines.some((line) => line.includes(`IP ${web.ipv4}.80 > ${client.ipv4}.${port}: Flags [S.]`))).toBe(true);
  expect(lines.every((line) => line.includes(`.${port}`))).toBe(true);
  const bytes = (await readFile(file)).toString('latin1');
  expect(bytes).toContain(ROOT_ID);
  expect(bytes.split(`alert ${alert.id}: ${SID} GPL ATTACK_RESPONSE`)).toHaveLength(3);
  const unknown = await agent.agentctl('getalerts', '--pcap', '00ff', '-w', join(directory, 'none'));
  expect([unknown.code, unknown.stderr]).toEqual([4, expect.stringContaining('no alert "00ff"')]);
  expect((await component('alert packets'))?.detail).toMatch(/^\d+ packets, \d+ of 4194304 bytes, 0 missed, back to /);
});

test('killed and started again: the alerts are there, none is given out twice, new ones come', async () => {
  const web = world.workload('web');
  await windowsClosed();
  const before = await alerts();
  const filed = async (): Promise<string[]> => (await receivedAlerts('alerts.jsonl')).map(({ id, event }) => `${id} ${event}`);
  const given = await filed();
  expect(new Set(given).size).toBe(given.length);
  await agent.kill();
  await agent.start();
  await engineRuns();
  expect(await alerts()).toEqual(before);
  const gone = await agent.agentctl('getalerts', '--pcap', before[0]?.id ?? '', '-w', join(directory, 'none'));
  expect([gone.code, gone.stderr]).toEqual([4, expect.stringMatching(/the packets are gone|no packets were kept yet/)]);
  const alert = await attack(web, '/after');
  await eventually('the new alert in the file', async () => ((await filed()).includes(`${alert.id} alert`) ? true : undefined), 10_000, 100);
  const now = await filed();
  expect(now.slice(0, given.length)).toEqual(given);
  expect(new Set(now).size).toBe(now.length);
  expect(now.slice(given.length)).toEqual([`${alert.id} alert`]);
});

test('the response cuts the attacked pod off, whatever rule tables say, for a time, also over a restart', async () => {
  const [victim, client, admin] = [world.workload('victim'), world.workload('client'), world.workload('admin')];
  // An open connection: it must not outlive the cut.
  const script = `const s = require('net').connect(7, process.argv[1], () => { console.log('open'); let n = 0; setInterval(() => s.write('.'), 50); s.on('data', () => { n += 1; }); setInterval(() => { console.log('echoes ' + n); n = 0; }, 500); }); s.on('error', () => {});`;
  const [program, args] = inNetns(client.netns, process.execPath, ['-e', script, victim.ipv4]);
  const open = run(program, args);
  let lastEchoes = -1;
  open.stdout?.on('data', (chunk: Buffer) => {
    const found = /echoes (\d+)\s*$/.exec(chunk.toString())?.[1];
    if (found !== undefined) lastEchoes = Number(found);
  });
  await eventually('echoes', async () => (lastEchoes > 0 ? true : undefined), 10_000, 100);
  expect(await echoes(client, victim)).toBe(true);
  await windowsClosed();
  await get(client, victim, '/attack');
  const [entry] = await eventually('a quarantine', async () => {
    const found = await quarantines();
    return found.length > 0 ? found : undefined;
  }, 20_000, 100);
  expect(entry).toMatchObject({ name: 'shop/victim', workload: { kind: 'Pod', namespace: 'shop', name: 'victim' }, by: 'response', reason: expect.stringContaining(String(SID)) });
  const [alert] = await alerts('--workload', 'shop/victim');
  expect(entry?.alertId).toBe(alert?.id);
  expect(Date.parse(entry?.until ?? '') - Date.parse(alert?.timestamp ?? '')).toBe(QUARANTINE_S * 1000);
  await eventually('the end of the open connection', async () => (lastEchoes === 0 ? true : undefined), 5_000, 100);
  expect(await echoes(client, victim)).toBe(false);
  expect(await echoes(admin, victim)).toBe(true);
  expect(await get(admin, victim)).toBeUndefined();
  expect(await echoes(client, world.workload('web'))).toBe(true);
  const { rulesets } = await agent.ask<RulesView>('getrules', '-f', victim.interface);
  expect(rulesets.map(({ name }) => name).slice(0, 2)).toEqual(['Quarantine:shop/victim', 'all']);
  expect(rulesets[0]?.rules.at(-1)).toMatchObject({ action: 'drop', direction: 'inout', policy: { kind: 'Quarantine', name: 'shop/victim' } });
  const { steps } = await agent.ask<{ steps: { ruleset: string; action: string }[] }>('trace', '--from', client.interface, '--to', victim.interface, '--proto', 'tcp', '--dport', '7');
  expect(steps.at(-1)).toMatchObject({ ruleset: 'Quarantine:shop/victim', action: 'drop' });
  const difference = await agent.ask<{ rules: unknown }>('diff', '-f', join(agent.manifests, 'rules.yaml'));
  expect(difference.rules).toEqual({ added: [], removed: [], changed: [] });
  await eventually('the sink of victims', async () => ((await received('victims.jsonl')).length > 0 ? true : undefined), 10_000, 100);

  await agent.kill();
  expect(await echoes(client, victim)).toBe(false);
  await agent.start();
  if (Date.now() < Date.parse(entry?.until ?? '')) expect((await quarantines()).map(({ until }) => until)).toEqual([entry?.until]);
  await eventually('the end of the quarantine', async () => ((await quarantines()).length === 0 ? true : undefined), (QUARANTINE_S + 10) * 1000, 100);
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(entry?.until ?? ''));
  await eventually('an echo', async () => ((await echoes(client, victim)) ? true : undefined), 5_000, 100);
  const trail = (await agent.audit()).filter((line) => line.includes('dfw-agent quarantine'));
  expect(trail.map((line) => line.split(' ').slice(3, 5).join(' '))).toEqual(['begin workload/Pod/shop/victim', 'end workload/Pod/shop/victim']);
  expect(trail[0]).toContain(`until/${entry?.until ?? '-'} by/response alert/${entry?.alertId ?? '-'} `);
});

test('quarantine by hand: added, listed, released; usage errors say what is wrong', async () => {
  const [web, client] = [world.workload('web'), world.workload('client')];
  const added = await agent.agentctl('ids', 'quarantine', 'add', 'shop/web', '--for', '10m', '--reason', 'case 4711');
  expect([added.code, added.stdout]).toEqual([0, expect.stringContaining('shop/web is cut off until')]);
  expect(await echoes(client, web)).toBe(false);
  expect(await quarantines()).toMatchObject([{ name: 'shop/web', reason: 'case 4711' }]);
  expect((await agent.metric('dfw_quarantines'))['']).toBe(1);
  expect((await agent.agentctl('ids', 'quarantine', 'release', 'shop/web')).code).toBe(0);
  expect(await echoes(client, web)).toBe(true);
  expect((await agent.agentctl('ids', 'quarantine', 'release', 'shop/web')).code).toBe(4);
  expect((await agent.agentctl('ids', 'quarantine', 'add', 'shop/wep', '--for', '10m', '--reason', 'x')).stderr).toContain('nearest: shop/web');
  expect((await agent.agentctl('ids', 'quarantine', 'add', 'shop/web', '--for', '10m')).code).toBe(2);
});
