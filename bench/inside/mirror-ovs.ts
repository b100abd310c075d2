/**
 * Copies on a switch (userspace datapath): two workloads on one bridge, the agent's flows with copies, and those without and copies written by hand
 * above them, in turn. The agent is stopped by then: its flows stay, and nobody mends what is written by hand.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Copies, SwitchAnswer, SwitchRequest } from '../benches/mirror-request.js';
import { AgentProcess, pause } from '../lib/agent-process.js';
import { BenchSwitch, BRIDGE } from '../lib/bench-switch.js';
import { mustRun } from '../lib/command.js';
import { ROOT } from '../lib/datapath.js';
import { LineChild } from '../lib/line-child.js';
import { manifests, SENSOR, TAP, WORK } from '../lib/mirror-host.js';
import { prepareNamespaces } from '../lib/routers.js';

type Flows = 'none' | 'ours' | 'hand';

const request: SwitchRequest = JSON.parse(process.argv[2] ?? '{}');
const file = (name: string): string => join(request.directory, name);

await prepareNamespaces();
await mustRun('ip', ['link', 'set', 'lo', 'up']);
await mkdir(file('sys'));
await mustRun('mount', ['-t', 'sysfs', 'sysfs', file('sys')]);
const ovs = await BenchSwitch.startHere(file('s'));
for (const [netns, device, address] of [['peer', 'wire0', '10.9.2.3'], ['work', 'vnic0', WORK]] as const) {
  await mustRun('ip', ['netns', 'add', netns]);
  await mustRun('ip', ['link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns]);
  // Frames must be finished: a switch in a process sends on what it gets.
  await mustRun('ip', ['netns', 'exec', netns, 'ethtool', '-K', 'eth0', 'tx', 'off']);
  await mustRun('ip', ['-n', netns, 'address', 'add', `${address}/24`, 'dev', 'eth0']);
  await mustRun('ip', ['-n', netns, 'link', 'set', 'eth0', 'up']);
  await mustRun('ip', ['link', 'set', device, 'up']);
  await ovs.vsctl('add-port', BRIDGE, device);
}
const agent = new AgentProcess(file('agent'), {
  datapath: 'ovs', ovs: { bridge: BRIDGE, database: ovs.database },
  ids: { enabled: true, engine: 'external', tap: TAP, sensor: SENSOR, signatures: file('signatures'), eveFile: file('eve.json'), alertWindow: 0 },
});
await agent.start(manifests('ours'), 30_000);
const port = await ovs.vsctl('get', 'Interface', TAP, 'ofport');
const toTap = new RegExp(`\\boutput:${port}(?:,|$)`);
const deadline = Date.now() + 20_000;
let all = await ovs.flows();
for (; !all.some((flow) => toTap.test(flow)); all = await ovs.flows()) {
  if (Date.now() > deadline) throw new Error(`no flows that copy to port ${port}: ${await agent.log()}`);
  await pause(200);
}
await agent.stop();
// Ours asks another table, where the output is; by hand it stands where ours asks.
const table = /\btable=(\d+)/.exec(all.find((flow) => toTap.test(flow)) ?? '')?.[1];
const ask = new RegExp(`set_field:[^,()]*->[^,()]*,resubmit\\(,${table}\\),?`);
const asking = all.filter((flow) => ask.test(flow));
if (asking.length !== 2) throw new Error(`${asking.length} flows ask table ${table} for a copy, and not one for each direction:\n${all.join('\n')}`);
const without = all.map((flow) => flow.replace(ask, ''));
const above = asking.map((flow) => flow.replace(ask, `output:${port},`).replace(/priority=(\d+)/, (_, priority: string) => `priority=${Number(priority) + 1}`).replace(/cookie=0x[0-9a-f]+/, 'cookie=0x1'));
const flows: Readonly<Record<Flows, readonly string[]>> = { none: without, ours: all, hand: [...without, ...above] };
for (const [name, lines] of Object.entries(flows)) await writeFile(file(name), `${lines.join('\n')}\n`);

const reader = new LineChild(join(ROOT, '.cache/bench/tap-reader'), [SENSOR]);
await reader.next(10_000);
const server = new LineChild('ip', ['netns', 'exec', 'work', 'iperf3', '-s', '--forceflush']);
await pause(500);

const counter = async (name: string): Promise<number> => Number(await readFile(join(file('sys'), 'class/net', TAP, 'statistics', name), 'utf8'));
// A connection that ends may still send while counters are read: all of them at one moment, or again.
const state = async (): Promise<{ copied: number; read: number; counted: number }> => {
  for (;;) {
    const sent = await counter('tx_packets'), dropped = await counter('tx_dropped');
    const { packets, lost } = await reader.ask('?') as { packets: number; lost: number };
    if (sent === await counter('tx_packets')) return { copied: sent + dropped, read: packets, counted: lost + dropped };
  }
};

const tcp = { none: [] as number[], ours: [] as number[], hand: [] as number[] };
const copies = { ours: [] as Copies[], hand: [] as Copies[] };
for (let round = 0; round < request.rounds; round += 1) {
  for (const one of round % 2 === 0 ? ['none', 'ours', 'hand'] as const : ['hand', 'ours', 'none'] as const) {
    await ovs.ofctl('replace-flows', file(one));
    const before = await state();
    const { stdout } = await mustRun('ip', ['netns', 'exec', 'peer', 'iperf3', '-c', WORK, '-t', String(request.seconds), '-J'], { timeoutMs: 60_000 });
    const after = await state();
    tcp[one].push((JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second);
    const copied = after.copied - before.copied, lost = copied - (after.read - before.read);
    if (one === 'none' && copied > 100) throw new Error(`${copied} copies without flows that make any`);
    if (one !== 'none' && copied < 100) throw new Error(`only ${copied} copies`);
    if (one !== 'none') copies[one].push({ copied, lost, uncounted: lost - (after.counted - before.counted) });
  }
}
reader.stop();
server.stop();
const answer: SwitchAnswer = { tcp, copies };
console.log(JSON.stringify(answer));
process.exit(0);
