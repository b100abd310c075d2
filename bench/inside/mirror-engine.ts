/** The agent's own engine behind the tap: what it loses of copies by ours and by tc, and how long alerts take. */
import { join } from 'node:path';
import { suricataCommand } from '../../src/drivers/ids/command-socket.js';
import type { Copies, EngineAnswer, EngineRequest } from '../benches/mirror-request.js';
import { pause } from '../lib/agent-process.js';
import { ROOT } from '../lib/datapath.js';
import { LineChild } from '../lib/line-child.js';
import { MirrorHost, SENSOR, WORK, type Copier } from '../lib/mirror-host.js';
import { prepareNamespaces } from '../lib/routers.js';

const request: EngineRequest = JSON.parse(process.argv[2] ?? '{}');
const PACE = join(ROOT, '.cache/bench/packet-pace');
const PORT = 8080;
/** Answers each connection with the line that the test signature is about. */
const SERVER = `require('net').createServer((c) => c.once('data', () => c.end('uid=0(root) gid=0(root) groups=0(root)'))).listen(${PORT}, () => console.log('ready'))`;
/** For each line it gets, a request; prints when it was sent and from which port, once it is answered. */
const CLIENT = `require('readline').createInterface({ input: process.stdin }).on('line', () => { let at; const s = require('net').connect(${PORT}, '${WORK}', () => { s.port = s.localPort; at = process.hrtime.bigint(); s.write('id\\n'); });
s.on('data', () => undefined); s.on('close', () => console.log(JSON.stringify({ at: String(at), port: s.port }))); });`;

await prepareNamespaces();
const host = new MirrorHost(request.directory, { engine: 'suricata' });
await host.start();
await host.until('a running engine', async () => (await host.agent.agentctl('ids', 'status', '-o', 'json')).stdout.includes('"running"'), 60_000);
const socket = join(request.directory, 'agent/state/ids/suricata.sock');

/** What came to its socket, and what it was too slow for. It brings them up to date each second. */
async function engineCounts(): Promise<{ readonly packets: number; readonly lost: number }> {
  await pause(2_500);
  const answer = await suricataCommand(socket, 'iface-stat', { timeoutMs: 10_000 }, { iface: SENSOR });
  const { pkts, drop } = answer as { pkts: number; drop: number };
  return { packets: pkts, lost: drop };
}

async function copiesOf<T>(copier: Copier, run: () => Promise<T>): Promise<{ readonly copies: Copies; readonly result: T }> {
  await host.copyBy(copier);
  const before = { engine: await engineCounts(), copied: (await host.copied()) ?? 0 };
  const result = await run();
  const after = { engine: await engineCounts(), copied: (await host.copied()) ?? 0 };
  const copied = after.copied - before.copied;
  // The kernel's count of frames includes those that found no room.
  return { copies: { copied, lost: after.engine.lost - before.engine.lost, uncounted: copied - (after.engine.packets - before.engine.packets) }, result };
}

async function tcp(bits: number): Promise<number> {
  const { stdout } = await host.inNetns('peer', 'iperf3', '-c', WORK, '-t', String(request.seconds), '-b', String(bits), '-J');
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second;
}

/** Lines of the engine's log and of getalerts, until both have told of the connection. */
async function alerts(): Promise<Pick<EngineAnswer, 'lineMs' | 'alertMs'>> {
  await host.copyBy('ours');
  const server = new LineChild('ip', ['netns', 'exec', 'work', process.execPath, '-e', SERVER]);
  await server.next(10_000);
  const client = new LineChild('ip', ['netns', 'exec', 'peer', process.execPath, '-e', CLIENT]);
  const eve = new LineChild('tail', ['-n', '0', '-F', join(request.directory, 'log/eve.json')]);
  const follow = new LineChild(join(ROOT, 'bin/agentctl'), ['--socket', join(request.directory, 'agent/agent.sock'), 'getalerts', '--follow', '-o', 'json']);
  // Until one alert has come through: whoever follows may take its time to begin.
  for (let tries = 0; ; tries += 1) {
    await client.ask('');
    if (await follow.next(1_000).then(() => true, () => false)) break;
    if (tries === 30) throw new Error(`no alert comes through: ${(await host.agent.log()).slice(-2000)}`);
  }
  const until = async (lines: LineChild, found: (line: unknown) => boolean): Promise<bigint> => {
    for (;;) {
      const { text, at } = await lines.next(10_000);
      if (found(JSON.parse(text))) return at;
    }
  };
  const lineMs: number[] = [], alertMs: number[] = [];
  for (let index = 0; index < request.requests; index += 1) {
    const { at, port } = await client.ask('') as { at: string; port: number };
    const line = await until(eve, (record) => (record as { event_type: string }).event_type === 'alert' && (record as { dest_port: number }).dest_port === port);
    const alert = await until(follow, (view) => (view as { destination: { port: number } }).destination.port === port);
    lineMs.push(Number(line - BigInt(at)) / 1e6);
    alertMs.push(Number(alert - BigInt(at)) / 1e6);
    // Out of step with every clock of the engine and the agent.
    await pause(5 + (index * 37) % 260);
  }
  for (const child of [server, client, eve, follow]) child.stop();
  return { lineMs, alertMs };
}

const times = await alerts();
const iperf = new LineChild('ip', ['netns', 'exec', 'work', 'iperf3', '-s', '--forceflush']);
const { forward, reply } = await host.frames();
await host.inNetns('peer', PACE, 'eth0', forward, '1000', '16');
await host.inNetns('work', PACE, 'eth0', reply, '1000', '16');
const answer = {
  ...times, small: { ours: [] as Copies[], tc: [] as Copies[] }, tcpBits: { ours: [] as number[], tc: [] as number[] }, tcp: { ours: [] as Copies[], tc: [] as Copies[] },
} satisfies EngineAnswer;
for (let round = 0; round < request.rounds; round += 1) {
  const turn = round % 2 === 0 ? ['ours', 'tc'] as const : ['tc', 'ours'] as const;
  for (const copier of turn) {
    const { copies } = await copiesOf(copier, () => host.inNetns('peer', PACE, 'eth0', forward, String(request.rate), String(request.packets)));
    answer.small[copier].push(copies);
  }
  for (const copier of turn) {
    let highest = 0;
    for (const bits of request.tcpRates) {
      const { copies, result } = await copiesOf(copier, () => tcp(bits));
      answer.tcp[copier].push(copies);
      if (copies.lost > 0) break;
      highest = result;
    }
    answer.tcpBits[copier].push(highest);
  }
}
await host.agent.stop();
iperf.stop();
console.log(JSON.stringify(answer));
