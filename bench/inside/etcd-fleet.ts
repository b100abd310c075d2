/** Many agents on one etcd: the first reading of all at once, a change until the last of them has decoded it, and a restart of etcd until all follow it again. */
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/platform/clock.js';
import { GrpcEtcd } from '../../src/sources/etcd/client/grpc-etcd.js';
import type { Write } from '../../src/sources/etcd/client/etcd.js';
import { DEFAULT_PREFIX, EtcdKeys } from '../../src/sources/etcd/keys.js';
import { RuleTableCodec } from '../../src/sources/etcd/ruletable/codec.js';
import { Cleanup } from '../../test/support/cleanup.js';
import { silent } from '../../test/support/silent.js';
import { EtcdServer } from '../../test/support/etcd.js';
import { pause } from '../lib/agent-process.js';
import { mustRun } from '../lib/command.js';
import { LineChild } from '../lib/line-child.js';
import { addressText } from '../model/policy.js';

interface Request { readonly directory: string; readonly processes: number; readonly each: number; readonly rounds: number; readonly objects: number }

const request: Request = JSON.parse(process.argv[2] ?? '{}');
await mkdir(request.directory, { recursive: true });
await mustRun('ip', ['link', 'set', 'lo', 'up']);
const PATIENCE_MS = 240_000;
const BATCH = 100;
const cleanup = new Cleanup();
const signal = new AbortController().signal;

/** Resident memory and processor time of etcd. */
async function used(): Promise<{ residentMb: number; cpuMs: number }> {
  const { stdout } = await mustRun('pidof', ['etcd']);
  const pid = stdout.trim().split(' ')[0] ?? '';
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
  return { residentMb: Number(resident) / 1024, cpuMs: (Number(fields[11]) + Number(fields[12])) * 10 };
}

try {
  const server = await EtcdServer.start(cleanup);
  const client = new GrpcEtcd({ endpoints: server.endpoints, clock: systemClock, log: silent });
  cleanup.defer('client', () => client.close());
  const keys = new EtcdKeys(DEFAULT_PREFIX, 'manager');
  const codec = new RuleTableCodec();
  const set = (name: string, first: number, count: number): Write => ({
    key: keys.set(name), value: codec.writeSet({ kind: 'AddressSet', metadata: { name, labels: {} }, addresses: Array.from({ length: count }, (_, index) => addressText(first + index)) }),
  });
  // Half of what there is are sets of a hundred addresses, half workloads that the hosts publish.
  const writes: Write[] = [set('target', 0x0b00_0000, 100)];
  for (let index = 0; index < request.objects; index += 1) {
    if (index % 2 === 0) writes.push(set(`set-${index}`, 0x0a00_0000 + index * 256, 100));
    else {
      const manifest = { apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name: `vm-${index}`, labels: { app: `app-${index % 20}` } }, spec: { nics: [{ name: 'eth0', mac: '52:54:00:00:00:01', addresses: [addressText(0x0c00_0000 + index)] }] } };
      writes.push({ key: new EtcdKeys(DEFAULT_PREFIX, `host-${index % 500}`).workload({ kind: 'VirtualMachine', name: `vm-${index}` }), value: Buffer.from(JSON.stringify(manifest)) });
    }
  }
  let bytes = 0;
  for (let at = 0; at < writes.length; at += BATCH) await client.commit([], writes.slice(at, at + BATCH), signal);
  for (const { value } of writes) bytes += value?.length ?? 0;
  const before = await used();

  const agents = Array.from({ length: request.processes }, (_, index) => new LineChild(process.execPath, [
    '--max-semi-space-size=2', fileURLToPath(new URL('./etcd-agents.js', import.meta.url)), JSON.stringify({ endpoints: server.endpoints, first: index * request.each, agents: request.each }),
  ]));
  cleanup.defer('agents', () => { for (const agent of agents) agent.stop(); });
  const all = async (): Promise<string[]> => Promise.all(agents.map(async (agent) => (await agent.next(PATIENCE_MS)).text));
  const tell = (line: string): void => { for (const agent of agents) agent.write(line); };
  /** Milliseconds from then to the last of them. */
  const last = async (from: bigint): Promise<number> => Math.max(...(await all()).map((at) => Number(BigInt(at) - from) / 1e6));
  await all();

  let from = process.hrtime.bigint();
  tell('start');
  const syncMs = await last(from);
  await pause(2_000);
  const synced = await used();

  const changeMs: number[] = [];
  for (let round = 1; round <= request.rounds; round += 1) {
    tell(String(100 + round));
    await all();
    await pause(100);
    from = process.hrtime.bigint();
    const [, ms] = await Promise.all([client.commit([], [set('target', 0x0b00_0000, 100 + round)], signal), last(from)]);
    changeMs.push(ms);
  }
  const changed = await used();

  // All lose it at once, and come back when they like to.
  await server.kill();
  await pause(1_000);
  server.launch();
  await server.ready();
  from = process.hrtime.bigint();
  for (;;) {
    tell('connected');
    if ((await all()).every((count) => Number(count) === request.each)) break;
    await pause(50);
  }
  const returnMs = Number(process.hrtime.bigint() - from) / 1e6;
  const returned = await used();
  tell('cpu');
  const perProcess = (await all()).map((line) => JSON.parse(line) as { cpuMs: number; residentMb: number });
  const sum = (pick: (each: { cpuMs: number; residentMb: number }) => number): number => perProcess.reduce((total, each) => total + pick(each), 0);
  console.log(JSON.stringify({
    syncMs, changeMs, returnMs, keys: writes.length, bytes, etcd: { before, synced, changed, returned }, agentCpuMs: sum(({ cpuMs }) => cpuMs) / (request.processes * request.each), agentMb: sum(({ residentMb }) => residentMb) / (request.processes * request.each),
  }));
} finally {
  await cleanup.run();
}
process.exit(0);
