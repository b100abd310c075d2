/** etcd: one changed set until the kernel has it, and a fleet of agents on one etcd. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { row, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import type { BenchContext } from './bench.js';

interface Used { readonly residentMb: number; readonly cpuMs: number }
interface FleetAnswer {
  readonly syncMs: number; readonly changeMs: readonly number[]; readonly returnMs: number; readonly keys: number; readonly bytes: number;
  readonly etcd: { readonly before: Used; readonly synced: Used; readonly changed: Used; readonly returned: Used };
  readonly agentCpuMs: number; readonly agentMb: number;
}

export async function etcdRows(context: BenchContext): Promise<{ rows: Row[]; notes: string[] }> {
  const latency = context.quick ? { rounds: 20, addresses: 100 } : { rounds: 400, addresses: 1_000 };
  const fleet = context.quick ? { processes: 2, each: 10, rounds: 3, objects: 100 } : { processes: 10, each: 50, rounds: 20, objects: 1_000 };
  const { committedMs, watchedMs } = await measured(context, 'etcd-latency', 'one set changed in etcd', latency) as { committedMs: number[]; watchedMs: number[] };
  const { syncMs, changeMs, returnMs, keys, bytes, etcd, agentCpuMs, agentMb } = await measured(context, 'etcd-fleet', 'many agents on one etcd', fleet) as FleetAnswer;
  const agents = fleet.processes * fleet.each;
  const all = `${agents} agents on one etcd`;
  return {
    rows: [
      row({
        measure: `put of a set of ${latency.addresses} addresses into etcd until the kernel's commit`, unit: 'ms', ours: committedMs, peer: { name: 'etcdctl watch, until its line', values: watchedMs },
        goals: [{ kind: 'at most', value: 5, of: 'median' }, { kind: 'at most', value: 20, of: 'p99' }],
      }),
      row({ measure: 'of that, behind etcdctl watch', unit: 'ms', ours: committedMs.map((ms, index) => ms - (watchedMs[index] ?? 0)) }),
      row({ measure: `${all}: a put until the last has decoded it`, unit: 'ms', ours: changeMs, goals: [{ kind: 'at most', value: 2_000, of: 'p99' }] }),
      row({ measure: `${all}: all read ${keys} keys (${Math.round(bytes / 1000)} kB) at once`, unit: 'ms', ours: [syncMs] }),
      row({ measure: `${all}: all follow it again after a restart`, unit: 'ms', ours: [returnMs] }),
      row({ measure: 'memory of etcd for each agent', unit: 'kB', ours: [((etcd.synced.residentMb - etcd.before.residentMb) * 1024) / agents] }),
      row({ measure: 'processor time of etcd for each agent that reads everything', unit: 'ms', ours: [(etcd.synced.cpuMs - etcd.before.cpuMs) / agents] }),
      row({ measure: 'processor time of etcd for each agent told of a change', unit: 'ms', ours: [(etcd.changed.cpuMs - etcd.synced.cpuMs) / agents / fleet.rounds] }),
    ],
    notes: [
      'commit: the kernel\'s own notice of a new generation, read by another process; lone changes, 40 to 80 ms apart',
      `a simulated agent is the agent's source with a connection of its own, without a datapath, ${fleet.each} in a process: ${Math.round(agentCpuMs)} ms of processor and ${amount(agentMb)} MB each, on the same machine as etcd (${Math.round(etcd.synced.residentMb)} MB)`,
    ],
  };
}

function amount(value: number): string {
  return value.toPrecision(2);
}

async function measured(context: BenchContext, name: string, what: string, request: object): Promise<unknown> {
  context.progress(what);
  // Short: sockets stand in it.
  const directory = await mkdtemp(join(tmpdir(), 'dfwb-'));
  try {
    return await inSandbox(name, { ...request, directory }, { timeoutMs: 580_000 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
