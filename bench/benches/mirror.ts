/** Copies for inspection beside those that tc's mirred makes: throughput, loss, processor time; and how soon an alert, or a changed label, comes through. */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Report } from '../lib/report.js';
import { row, type Goal, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import { median } from '../lib/statistics.js';
import type { BenchContext } from './bench.js';
import type { Copies, CostAnswer, CostRequest, EngineAnswer, EngineRequest, RatesAnswer, RatesRequest, SwitchAnswer, SwitchRequest } from './mirror-request.js';

const PEER = 'tc u32 + mirred';
const SMALL_RATE = 200_000;
/** Rounds whose median is one value of the processor's time: single bursts feel every interrupt. */
const CHUNK = 20;

export async function mirror(context: BenchContext): Promise<Report> {
  const notes: string[] = [];
  const rows: Row[] = [...await rates(context), ...await cost(context), ...await engine(context), ...await onSwitch(context)];
  notes.push('one host, one agent, one workload with one rule; tc copies on the same vNIC to the same tap in place of ours; the order turns every round');
  notes.push('the reader takes frames from a TPACKET_V3 ring of the size of the engine\'s and does nothing with them; one TCP connection of iperf3, frames of up to 64 KB');
  return { bench: 'mirror', rows, notes };
}

async function measured(context: BenchContext, name: string, what: string, request: object): Promise<unknown> {
  context.progress(what);
  // Short: sockets stand in it.
  const directory = await mkdtemp(join(tmpdir(), 'dfwb-'));
  try {
    return await inSandbox(name, { ...request, directory }, { timeoutMs: 590_000 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function rates(context: BenchContext): Promise<Row[]> {
  const request: Omit<RatesRequest, 'directory'> = context.quick
    ? { rounds: 1, tcpRounds: 1, seconds: 1, labels: 2, rate: 20_000, packets: 10_000 }
    : { rounds: 8, tcpRounds: 20, seconds: 1, labels: 40, rate: SMALL_RATE, packets: SMALL_RATE * 3 };
  const { tcp, tcpCopies, rates: reached, smallCopies, labelMs } = await measured(context, 'mirror-rates', 'throughput and loss', request) as RatesAnswer;
  const megabits = (values: readonly number[]): readonly number[] => values.map((bits) => bits / 1e6);
  const slowest = Math.min(...reached.ours, ...reached.tc);
  return [
    row({ measure: 'TCP, copies made, reader keeps up', unit: 'Mbit/s', ours: megabits(tcp.ours), peer: { name: PEER, values: megabits(tcp.tc) }, goals: [{ kind: 'at least', value: 1, of: 'ratio' }] }),
    row({ measure: 'the same beside no copies', unit: 'Mbit/s', ours: megabits(tcp.ours), peer: { name: 'ours, no copies', values: megabits(tcp.none) } }),
    ...losses('that TCP', tcpCopies),
    ...losses(`${request.rate} small packets/s (at least ${Math.round(slowest)} reached)`, smallCopies),
    row({ measure: 'label changed to first copy', unit: 'ms', ours: labelMs, goals: [{ kind: 'at most', value: 200, of: 'median' }, { kind: 'at most', value: 200, of: 'p99' }] }),
  ];
}

/** Nothing is lost where the peer loses nothing, and what is lost is counted. */
function losses(what: string, copies: Readonly<Record<'ours' | 'tc', readonly Copies[]>>, peer = PEER): Row[] {
  const most = Math.max(...copies.tc.map(({ lost }) => lost));
  const made = median(copies.ours.map(({ copied }) => copied));
  return [
    row({ measure: `copies lost, ${what}, of some ${Math.round(made)} a round`, unit: 'frames', ours: copies.ours.map(({ lost }) => lost), goals: [{ kind: 'at most', value: most, of: 'p99' }] }),
    row({ measure: 'of that, in no counter', unit: 'frames', ours: copies.ours.map(({ uncounted }) => Math.abs(uncounted)), goals: [{ kind: 'at most', value: 0, of: 'p99' }] }),
    row({ measure: `copies lost, ${what}, by ${peer}`, unit: 'frames', ours: copies.tc.map(({ lost }) => lost) }),
  ];
}

async function cost(context: BenchContext): Promise<Row[]> {
  const request: Omit<CostRequest, 'directory'> = { rounds: context.quick ? CHUNK * 2 : 2_000, burst: 256, processor: availableParallelism() - 1 };
  const times = await measured(context, 'mirror-cost', 'processor time', request) as CostAnswer;
  return (['in', 'out'] as const).map((side) => {
    const { none, ours, tc } = times[side];
    // Nanoseconds a packet times 100,000 packets a second, as a share of one processor.
    const added = (values: readonly number[]): number[] => chunks(values.map((value, index) => value - (none[index] ?? Number.NaN))).map((each) => median(each) * 1e5 / 1e7);
    return row({
      measure: `processor added by 100,000 copies/s, packets ${side === 'in' ? 'to' : 'from'} the workload (of ${Math.round(median(none))} ns for the packet)`, unit: '%',
      ours: added(ours), peer: { name: PEER, values: added(tc) }, goals: [{ kind: 'at most', value: 1.05, of: 'ratio' }],
    });
  });
}

function chunks(values: readonly number[]): number[][] {
  return Array.from({ length: Math.floor(values.length / CHUNK) }, (_, index) => values.slice(index * CHUNK, (index + 1) * CHUNK));
}

async function engine(context: BenchContext): Promise<Row[]> {
  const request: Omit<EngineRequest, 'directory'> = context.quick
    ? { requests: 5, rounds: 1, tcpRates: [200_000_000], seconds: 1, rate: 20_000, packets: 10_000 }
    : { requests: 200, rounds: 3, tcpRates: [4e9, 8e9, 0], seconds: 2, rate: SMALL_RATE, packets: SMALL_RATE * 2 };
  const { lineMs, alertMs, small, tcpBits, tcp } = await measured(context, 'mirror-engine', 'the engine', request) as EngineAnswer;
  const goals: readonly Goal[] = [{ kind: 'at most', value: 100, of: 'p99' }];
  return [
    row({ measure: 'request to enriched alert', unit: 'ms', ours: alertMs, peer: { name: "Suricata's line in eve.json", values: lineMs } }),
    row({ measure: 'enriched alert behind that line', unit: 'ms', ours: alertMs.map((value, index) => value - (lineMs[index] ?? Number.NaN)), goals }),
    row({
      measure: 'highest TCP rate of which Suricata loses nothing', unit: 'Mbit/s', ours: tcpBits.ours.map((bits) => bits / 1e6), peer: { name: PEER, values: tcpBits.tc.map((bits) => bits / 1e6) },
    }),
    row({ measure: 'copies in no counter, all these rates', unit: 'frames', ours: tcp.ours.map(({ uncounted }) => Math.abs(uncounted)), goals: [{ kind: 'at most', value: 0, of: 'p99' }] }),
    ...losses(`${request.rate} small packets/s, Suricata`, small),
  ];
}

async function onSwitch(context: BenchContext): Promise<Row[]> {
  const request: Omit<SwitchRequest, 'directory'> = { rounds: context.quick ? 1 : 7, seconds: context.quick ? 1 : 2 };
  const { tcp, copies } = await measured(context, 'mirror-ovs', 'Open vSwitch', request) as SwitchAnswer;
  const megabits = (values: readonly number[]): readonly number[] => values.map((bits) => bits / 1e6);
  const name = 'the same rules, flows with output to the tap written by hand';
  return [
    row({ measure: 'ovs: TCP, copies made, reader keeps up', unit: 'Mbit/s', ours: megabits(tcp.ours), peer: { name, values: megabits(tcp.hand) }, goals: [{ kind: 'at least', value: 1, of: 'ratio' }] }),
    row({ measure: 'ovs: the same beside no copies', unit: 'Mbit/s', ours: megabits(tcp.ours), peer: { name: 'ours, no copies', values: megabits(tcp.none) } }),
    ...losses('ovs, that TCP', { ours: copies.ours, tc: copies.hand }, 'flows by hand'),
  ];
}
