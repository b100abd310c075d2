/** The connection-tracker table of a full host: all of it, and one filter's part, against `conntrack -L`. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Memory } from '../lib/agent-process.js';
import type { Report } from '../lib/report.js';
import { row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import type { BenchContext } from './bench.js';

interface Answer {
  readonly times: Readonly<Record<'all' | 'list' | 'one' | 'allJson', readonly number[]>>;
  readonly memory: Readonly<Record<'empty' | 'full' | 'peak', Memory>>;
  readonly bytes: { readonly all: number; readonly list: number };
}

/** One limit for all namespaces of the host: raised for the time of the measurement. */
const LIMIT = '/proc/sys/net/netfilter/nf_conntrack_max';

export async function flows(context: BenchContext): Promise<Report> {
  const before = await readFile(LIMIT, 'utf8');
  const needed = context.quick ? 10_000 : 1_200_000;
  if (Number(before) >= needed) return measure(context);
  await writeFile(LIMIT, String(needed));
  try {
    return await measure(context);
  } finally {
    await writeFile(LIMIT, before);
  }
}

async function measure(context: BenchContext): Promise<Report> {
  const size = context.quick ? { connections: 2_000, ofFilter: 100, rounds: 1 } : { connections: 1_000_000, ofFilter: 100, rounds: 5 };
  context.progress(`filling the table with ${size.connections} connections`);
  const answer = await inSandbox('flows', { ...size, directory: context.directory }, { timeoutMs: 540_000 }) as Answer;
  const { times, memory, bytes } = answer;
  const peer = { name: 'conntrack -L to a file', values: times.list };
  return {
    bench: 'flows',
    rows: [
      row({ measure: `getflows --all of ${size.connections} to a file`, unit: 'ms', ours: times.all, peer, goals: [{ kind: 'at most', value: 0.75, of: 'ratio' }] }),
      row({ measure: `getflows -f F, ${size.ofFilter} of them`, unit: 'ms', ours: times.one, peer, goals: [{ kind: 'at most', value: 0.05, of: 'ratio' }] }),
      row({ measure: 'getflows --all -o json', unit: 'ms', ours: times.allJson, peer: { name: 'conntrack -L to a file', values: times.list.slice(0, times.allJson.length) } }),
      row({ measure: 'agent memory: grows while it answers getflows --all', unit: 'MB', ours: [memory.peak.peakMb - memory.full.residentMb], goals: [{ kind: 'at most', value: 100, of: 'median' }] }),
      row({ measure: `agent memory: grows by its index of ${size.connections} and the answers`, unit: 'MB', ours: [memory.peak.peakMb - memory.empty.residentMb], goals: [{ kind: 'at most', value: 100, of: 'median' }] }),
    ],
    notes: [
      'every connection carries the label of one of 20 rules; rounds in turn; times of both commands include their start',
      `output: ours ${bytes.all} bytes, conntrack ${bytes.list} bytes; agent resident: ${Math.round(memory.empty.residentMb)} MB without connections, ${Math.round(memory.full.residentMb)} MB with all in its index`,
    ],
  };
}
