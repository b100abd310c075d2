/** From a label to an alert: pods picked by TrafficControl are copied to the tap, Suricata reads it, agentctl shows who, by which rule, in which flow. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AlertView, FlowView, IdsStatusView, StatusView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { command, eventually, inNetns } from '../support/command.js';
import { ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World, type WorldWorkload } from '../support/netns.js';

const ROOT_ID = 'uid=0(root) gid=0(root) groups=0(root)';
let world: World;
let agent: Agent;

function podManifests(workload: WorldWorkload, labels: Readonly<Record<string, string>>): Manifest[] {
  const status = { podIPs: [{ ip: workload.ipv4 }, { ip: workload.ipv6 }] };
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name: workload.name, labels }, spec: {}, status };
  const spec = {
    workload: { kind: 'Pod', namespace: 'default', name: workload.name }, vnic: 'eth0', interface: workload.interface, mac: workload.mac, addresses: [workload.ipv4, workload.ipv6],
  };
  return [pod, { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: workload.name }, spec }];
}

/** One line to the server, its answer back; the connection stays open for `holdMs`. */
async function fetchLine(server: WorldWorkload, client: WorldWorkload, port: number, answer: string): Promise<string> {
  const serve = `const a = require('fs').readFileSync(0); const s = require('net').createServer((c) => { s.close(); c.once('data', () => c.end(a)); }); s.listen({ host: '::', port: Number(process.argv[1]) }); setTimeout(() => process.exit(), 15000).unref();`;
  const serving = command(...inNetns(server.netns, process.execPath, ['-e', serve, String(port)]), { input: answer });
  const ask = `const s = require('net').connect(Number(process.argv[2]), process.argv[1], () => s.write('id\\n')); s.pipe(process.stdout); s.on('error', () => process.exit(1));`;
  const got = await eventually('an answer', async () => {
    const result = await command(...inNetns(client.netns, process.execPath, ['-e', ask, server.ipv4, String(port)]));
    return result.code === 0 ? result.stdout : undefined;
  }, 15_000, 100);
  await serving;
  return got;
}
const alerts = async (...args: readonly string[]): Promise<AlertView[]> => (await agent.ask<{ alerts: AlertView[] }>('getalerts', ...args)).alerts;
const engine = async (): Promise<string> => (await agent.ask<StatusView>('status')).components.find(({ name }) => name === 'ids')?.state ?? '';

/** "" when the process is gone, or a zombie that nobody collects. */
const commandLine = (pid: number): Promise<string> => readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'other' }] });
  const directory = await mkdtemp(join(tmpdir(), 'dfw-ids-e2e-'));
  world.cleanup.defer('engine directory', () => rm(directory, { recursive: true, force: true }));
  agent = await Agent.run(world, {
    config: { ids: { enabled: true, tap: 'dfw-tap0', sensor: 'suricata-tap0', signatures: join(directory, 'signatures'), eveFile: join(directory, 'log/eve.json') } },
    manifests: {
      'pods.yaml': [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
        ...podManifests(world.workload('web'), { app: 'web' }), ...podManifests(world.workload('client'), { app: 'client' }), ...podManifests(world.workload('other'), { app: 'other' }),
      ],
      'rules.yaml': [ruleTable('all', { rules: [{ id: 1006, direction: 'inout', protocol: 'any', action: 'accept', log: true }] })],
      'mirror.yaml': [{
        apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'web' },
        spec: { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'dfw-tap0' } } },
      }],
    },
  });
  await eventually('a running engine', async () => ((await engine()) === 'running' ? true : undefined), 30_000, 100);
});
afterAll(() => world.close());

test('an attack on a mirrored pod gives an alert that names the pod, its filter, the rule and the flow', async () => {
  const [web, client] = [world.workload('web'), world.workload('client')];
  expect(await fetchLine(web, client, 8080, ROOT_ID)).toBe(ROOT_ID);
  const [alert] = await eventually('an alert', async () => {
    const found = await alerts('--workload', 'default/web');
    return found.length > 0 ? found : undefined;
  }, 10_000, 100);
  expect(alert).toMatchObject({
    signatureId: 2100498, signature: 'GPL ATTACK_RESPONSE id check returned root', severity: 2, source: { address: web.ipv4, port: 8080 }, destination: { address: client.ipv4 },
    workload: { kind: 'Pod', namespace: 'default', name: 'web' }, ruleId: 1006,
  });
  const { filters } = await agent.ask<{ filters: { name: string; interface: string }[] }>('getfilters');
  expect(alert?.filter).toBe(filters.find((filter) => filter.interface === web.interface)?.name);
  const { flows } = await agent.ask<{ flows: FlowView[] }>('getflows', '-f', web.interface);
  expect(flows.filter((flow) => flow.destination.port === 8080).map((flow) => flow.id)).toContain(alert?.flowId);
  const lines = await eventually('the audit line', async () => {
    const found = (await agent.audit()).filter((line) => line.includes(' alert '));
    return found.length > 0 ? found : undefined;
  });
  expect(lines[0]).toContain('workload/Pod/default/web');
  expect(Object.values(await agent.metric('dfw_ids_alerts_total')).reduce((sum, value) => sum + value, 0)).toBeGreaterThan(0);
});

test('the engine is bounded, and ids status says by what', async () => {
  const { engine: { bounds = '', pid } } = await agent.ask<IdsStatusView>('ids', 'status');
  expect(bounds).toMatch(/\(control group\)$|; no control group: /);
  expect(bounds).toContain('oom_score_adj 500');
  expect(await readFile(`/proc/${String(pid)}/oom_score_adj`, 'utf8')).toBe('500\n');
});

test('a pod that no TrafficControl picks is not inspected', async () => {
  const [other, client] = [world.workload('other'), world.workload('client')];
  await fetchLine(other, client, 8081, ROOT_ID);
  // The next alert of the inspected pod proves that the engine has come past the other one's packets.
  await fetchLine(world.workload('web'), client, 8082, ROOT_ID);
  await eventually('the next alert', async () => ((await alerts()).some(({ source }) => source.port === 8082) ? true : undefined), 10_000, 100);
  expect((await alerts()).map(({ source }) => source.port)).not.toContain(8081);
});

test('ids reload answers with the number of signatures', async () => {
  const answer = await agent.agentctl('ids', 'reload');
  expect(answer.code).toBe(0);
  expect(answer.stdout).toContain('1 signatures in force');
});

test('the agent killed: inspection goes on, its successor delivers the alert late and runs one engine', async () => {
  const pid = async (): Promise<number> => Number(await readFile(join(agent.stateDir, 'ids/suricata.pid'), 'utf8'));
  const orphan = await pid();
  await agent.kill();
  await fetchLine(world.workload('web'), world.workload('client'), 8083, ROOT_ID);
  await agent.start();
  await eventually('the late alert', async () => ((await alerts('--workload', 'web')).some(({ source }) => source.port === 8083) ? true : undefined), 10_000, 100);
  await eventually('a running engine', async () => ((await engine()) === 'running' ? true : undefined), 30_000, 100);
  expect(await pid()).not.toBe(orphan);
  expect(await commandLine(orphan)).toBe('');
});

test('the engine ends with the agent', async () => {
  const pid = Number(await readFile(join(agent.stateDir, 'ids/suricata.pid'), 'utf8'));
  await agent.stop();
  expect(await commandLine(pid)).toBe('');
});
