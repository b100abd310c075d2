/** Throughput, loss at the tap and the time from a label to the first copy: one host, copies made by ours and by tc in turn. */
import { join } from 'node:path';
import type { Copies, RatesAnswer, RatesRequest } from '../benches/mirror-request.js';
import { pause } from '../lib/agent-process.js';
import { ROOT } from '../lib/datapath.js';
import { LineChild } from '../lib/line-child.js';
import { MirrorHost, SENSOR, TAP, WORK, type Copier } from '../lib/mirror-host.js';
import { prepareNamespaces } from '../lib/routers.js';

interface ReaderCounts {
  readonly packets: number;
  readonly lost: number;
}

const request: RatesRequest = JSON.parse(process.argv[2] ?? '{}');
const PACE = join(ROOT, '.cache/bench/packet-pace');

await prepareNamespaces();
// Nobody starts an engine: a reader stands in its place.
const host = new MirrorHost(request.directory, { engine: 'external' });
await host.start();
const reader = new LineChild(join(ROOT, '.cache/bench/tap-reader'), [SENSOR]);
await reader.next(10_000);
const server = new LineChild('ip', ['netns', 'exec', 'work', 'iperf3', '-s', '--forceflush']);
await pause(500);

/** Runs it and says what became of the copies meanwhile. */
async function copiesOf<T>(copier: Copier, run: () => Promise<T>): Promise<{ readonly copies: Copies; readonly result: T }> {
  await host.copyBy(copier);
  // A connection that ends may still send while counters are read: all of them at one moment, or again.
  const state = async (): Promise<{ copied: number; read: ReaderCounts; dropped: number }> => {
    for (;;) {
      const copied = await host.copied();
      const read = await reader.ask('?') as ReaderCounts;
      const dropped = await host.counter(TAP, 'tx_dropped');
      if (copied === await host.copied()) return { copied: copied ?? 0, read, dropped };
    }
  };
  const before = await state();
  const result = await run();
  const after = await state();
  const copied = after.copied - before.copied, lost = copied - (after.read.packets - before.read.packets);
  return { copies: { copied, lost, uncounted: lost - (after.read.lost - before.read.lost) - (after.dropped - before.dropped) }, result };
}

async function tcp(): Promise<number> {
  const { stdout } = await host.inNetns('peer', 'iperf3', '-c', WORK, '-t', String(request.seconds), '-J');
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second;
}

const { forward, reply } = await host.frames();
async function small(): Promise<number> {
  const { stdout } = await host.inNetns('peer', PACE, 'eth0', forward, String(request.rate), String(request.packets));
  const { packets, seconds } = JSON.parse(stdout) as { packets: number; seconds: number };
  return packets / seconds;
}

const answer = {
  tcp: { none: [] as number[], ours: [] as number[], tc: [] as number[] }, tcpCopies: { ours: [] as Copies[], tc: [] as Copies[] },
  rates: { ours: [] as number[], tc: [] as number[] }, smallCopies: { ours: [] as Copies[], tc: [] as Copies[] }, labelMs: [] as number[],
} satisfies RatesAnswer;

await tcp();
for (let round = 0; round < request.tcpRounds; round += 1) {
  // The order turns, so that nobody is always the first after a pause.
  for (const copier of round % 2 === 0 ? ['none', 'ours', 'tc'] as const : ['tc', 'ours', 'none'] as const) {
    const { copies, result } = await copiesOf(copier, tcp);
    answer.tcp[copier].push(result);
    if (copier !== 'none') answer.tcpCopies[copier].push(copies);
  }
}

// Both directions once, so that the connections are established.
await host.inNetns('peer', PACE, 'eth0', forward, '1000', '16');
await host.inNetns('work', PACE, 'eth0', reply, '1000', '16');
for (let round = 0; round < request.rounds; round += 1) {
  for (const copier of round % 2 === 0 ? ['ours', 'tc'] as const : ['tc', 'ours'] as const) {
    const { copies, result } = await copiesOf(copier, small);
    answer.rates[copier].push(result);
    answer.smallCopies[copier].push(copies);
  }
}

// 32 packets every 3.2 ms, and a look at the tap every millisecond: neither takes a processor from the agent.
for (let round = 0; round < request.labels; round += 1) {
  await host.copyBy('none');
  await pause(150 + 40 * (round % 7));
  const flood = host.inNetns('peer', PACE, 'eth0', forward, '10000', '10000');
  await pause(100);
  const copied = await host.counter(TAP, 'tx_packets');
  const started = process.hrtime.bigint();
  await host.label(true);
  const deadline = Date.now() + 800;
  while ((await host.counter(TAP, 'tx_packets')) === copied && Date.now() < deadline) await pause(1);
  answer.labelMs.push((await host.counter(TAP, 'tx_packets')) === copied ? Number.POSITIVE_INFINITY : Number(process.hrtime.bigint() - started) / 1e6);
  await flood;
}

await host.agent.stop();
reader.stop();
server.stop();
console.log(JSON.stringify(answer));
