/**
 * The intrusion detection over a long time: labels come and go, signatures are read again, logs are rotated, under steady traffic. By hand:
 *   DFW_SOAK_SECONDS=600 node_modules/.bin/vitest run --project soak
 * Nothing may get lost uncounted, and memory stays where it was.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusView } from '../../src/model/views.js';
import { suricataCommand } from '../../src/drivers/ids/command-socket.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { DATAPATH } from '../support/datapaths.js';
import { podManifests, ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

const SECONDS = Number(process.env['DFW_SOAK_SECONDS'] ?? 30);
const STREAMS = 10;
let world: World;
let traffic: Traffic;
let agent: Agent;
let directory = '';

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }], datapath: DATAPATH });
  traffic = await startTraffic(world);
  directory = await mkdtemp(join(tmpdir(), 'dfw-soak-'));
  world.cleanup.defer('engine directory', () => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, 'signatures'));
  agent = await Agent.run(world, {
    config: { ids: { enabled: true, tap: 'antrea-tap0', sensor: 'suricata-tap0', signatures: join(directory, 'signatures'), eveFile: join(directory, 'log/eve.json') } },
    manifests: {
      'pods.yaml': pods(0),
      'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      'ids.yaml': [{ apiVersion: 'crd.antrea.io/v1alpha1', kind: 'IDPSPolicy', metadata: { name: 'web-ids' }, spec: { appliedTo: { podSelector: { matchLabels: { inspected: 'yes' } } } } }],
    },
  });
  await traffic.listen(world.workload('web').netns, 7002, 'udp');
  await eventually('a running engine', async () => ((await agent.ask<StatusView>('status')).components.find(({ name }) => name === 'ids')?.state === 'running' ? true : undefined), 60_000, 100);
}, 120_000);
afterAll(() => world.close());

/** The engine reads its socket's counters now and then: once they stand still. What it dropped is part of what it had. */
async function settledEngine(): Promise<{ seen: number; dropped: number }> {
  for (let last = await engine(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const next = await engine();
    if (next.seen === last.seen) return next;
    last = next;
  }
}

/** Every third round the pod is not inspected. */
function pods(round: number): Manifest[] {
  return podManifests('default', world.workloads).map((manifest) => (manifest.kind === 'Pod' && manifest.metadata.name === 'web'
    ? { ...manifest, metadata: { ...manifest.metadata, labels: { ...manifest.metadata.labels, inspected: round % 3 === 2 ? 'no' : 'yes', round: String(round) } } } : manifest));
}
const sensed = async (): Promise<number> => Number((await world.exec(world.host, 'cat', ['/sys/class/net/suricata-tap0/statistics/rx_packets'])).stdout);
async function engine(): Promise<{ seen: number; dropped: number }> {
  const answer = await suricataCommand(join(agent.directory, 'state/ids/suricata.sock'), 'iface-stat', { timeoutMs: 5_000 }, { iface: 'suricata-tap0' }) as { pkts: number; drop: number };
  return { seen: answer.pkts, dropped: answer.drop };
}
async function memory(): Promise<{ agent: number; engine: number }> {
  const of = async (pid: number): Promise<number> => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  return { agent: await of(agent.pid), engine: await of(Number(await readFile(join(agent.directory, 'state/ids/suricata.pid'), 'utf8'))) };
}

it(`counts add up over ${SECONDS} s of churn, reloads and rotation`, async () => {
  const streams: TestConnection[] = [];
  for (let n = 0; n < STREAMS; n += 1) {
    streams.push(await traffic.connect({ netns: world.workload('client').netns, destination: world.workload('web').ipv4, port: 7002, protocol: 'udp', interval: 10 }));
  }
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  for (const stream of streams) await stream.pace(0);
  const [settled, before, engineBefore] = [await memory(), await sensed(), await settledEngine()];
  for (const stream of streams) await stream.pace(10);
  const samples: string[] = [];
  const end = Date.now() + SECONDS * 1000;
  let reloads = 0;
  let rotations = 0;
  for (let round = 1; Date.now() < end; round += 1) {
    await agent.write('pods.yaml', pods(round));
    if (round % 5 === 0) {
      await writeFile(join(directory, 'signatures/round.rules'), `alert udp any any -> any 9 (msg:"round ${round}"; sid:${9_100_000 + (round % 7)}; rev:1;)\n`);
      const { reloaded } = await agent.ask<{ reloaded: boolean }>('ids', 'reload');
      if (reloaded) reloads += 1;
    }
    if (round % 7 === 0) {
      await rename(join(directory, 'log/eve.json'), join(directory, 'log/eve.json.1')).then(() => (rotations += 1), () => undefined);
      await suricataCommand(join(agent.directory, 'state/ids/suricata.sock'), 'reopen-log-files', { timeoutMs: 5_000 });
    }
    if (round % 20 === 0) samples.push(JSON.stringify(await memory()));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
  for (const stream of streams) await stream.pace(0);
  await agent.write('pods.yaml', pods(2));
  await agent.sync();
  const after = await settledEngine();
  const [packets, seen, dropped, now] = [await sensed() - before, after.seen - engineBefore.seen, after.dropped - engineBefore.dropped, await memory()];
  const echoes = await Promise.all(streams.map((stream) => stream.stats()));
  console.log(JSON.stringify({ datapath: DATAPATH, packets, seen, dropped, reloads, rotations, settled, now, echoed: echoes.reduce((sum, { echoed }) => sum + echoed, 0), pending: echoes.reduce((sum, { pending }) => sum + pending, 0) }), samples.join('\n'));
  expect(packets).toBeGreaterThan(SECONDS * 100);
  expect(seen).toBe(packets);
  expect(dropped / packets).toBeLessThan(0.01);
  expect(reloads).toBeGreaterThan(0);
  expect(now.agent).toBeLessThan(settled.agent * 1.3 + 10);
  expect(now.engine).toBeLessThan(settled.engine * 1.3 + 10);
}, SECONDS * 1000 + 120_000);
