/** From a put into etcd to the kernel's notice of the commit that it leads to: the agent as it is installed, one set of one rule; beside it etcd's own client, watching. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/platform/clock.js';
import { GrpcEtcd } from '../../src/sources/etcd/client/grpc-etcd.js';
import { DEFAULT_PREFIX, EtcdKeys } from '../../src/sources/etcd/keys.js';
import { RuleTableCodec } from '../../src/sources/etcd/ruletable/codec.js';
import { Cleanup } from '../../test/support/cleanup.js';
import { EtcdServer } from '../../test/support/etcd.js';
import { silent } from '../../test/support/silent.js';
import { AgentProcess, pause } from '../lib/agent-process.js';
import { mustRun } from '../lib/command.js';
import { ROOT } from '../lib/datapath.js';
import { LineChild } from '../lib/line-child.js';
import { addressText } from '../model/policy.js';

interface Request { readonly directory: string; readonly rounds: number; readonly addresses: number }

const request: Request = JSON.parse(process.argv[2] ?? '{}');
const { directory } = request;
await mkdir(directory, { recursive: true });
await mustRun('ip', ['link', 'set', 'lo', 'up']);
const cleanup = new Cleanup();
const signal = new AbortController().signal;
try {
  const server = await EtcdServer.start(cleanup);
  const client = new GrpcEtcd({ endpoints: server.endpoints, clock: systemClock, log: silent });
  cleanup.defer('client', () => client.close());
  const keys = new EtcdKeys(DEFAULT_PREFIX, 'bench');
  const codec = new RuleTableCodec();
  const members = Array.from({ length: request.addresses }, (_, index) => addressText(0x0a00_0000 + index));
  const put = async (round: number): Promise<void> => {
    // One more each time: nothing is lost, and there is one commit.
    const addresses = [...members, ...Array.from({ length: round }, (_, index) => addressText(0x0b00_0000 + index))];
    const value = codec.writeSet({ kind: 'AddressSet', metadata: { name: 'clients', labels: {} }, addresses });
    await client.commit([], [{ key: keys.set('clients'), value }], signal);
  };
  await put(0);
  const agent = new AgentProcess(join(directory, 'agent'), { sources: [{ type: 'etcd', endpoints: server.endpoints }, { type: 'file', path: join(directory, 'agent/manifests') }] });
  cleanup.defer('agent', async () => agent.stop());
  const head = (kind: string, name: string): object => ({ apiVersion: 'dfw.dev/v1', kind, metadata: { name } });
  await agent.start([
    { ...head('VirtualMachine', 'vm'), spec: { nics: [{ name: 'eth0', addresses: ['192.0.2.1'] }] } },
    { ...head('Attachment', 'vm'), spec: { workload: { kind: 'VirtualMachine', name: 'vm' }, interface: 'vnet0' } },
    { ...head('RuleTable', 'web'), spec: { rules: [{ id: 1001, direction: 'in', protocol: 'tcp', action: 'accept', source: { addressSets: ['clients'] }, ports: ['443'] }, { id: 1002, direction: 'inout', protocol: 'any', action: 'drop' }] } },
  ], 300_000);
  const kernel = new LineChild('python3', [join(ROOT, 'bench/children/nft-commits.py')]);
  cleanup.defer('monitor', () => kernel.stop());
  await kernel.next(10_000);
  const peer = new LineChild('etcdctl', ['--endpoints', server.endpoints.join(','), 'watch', keys.set('clients'), '-w', 'json']);
  cleanup.defer('etcdctl', () => peer.stop());
  // It says nothing when it has begun: until it tells of a change.
  let more = 0;
  for (let told = false; !told;) {
    await put(++more);
    told = await peer.next(500).then(() => true, () => false);
  }
  const committedMs: number[] = [];
  const watchedMs: number[] = [];
  const ms = (from: bigint, to: bigint): number => Number(to - from) / 1e6;
  for (let round = 1; round <= request.rounds + 20; round += 1) {
    // Lone changes; what is late from the round before is nobody's.
    await pause(40 + (round * 7) % 40);
    kernel.drain();
    peer.drain();
    const from = process.hrtime.bigint();
    const [, watched, committed] = await Promise.all([put(more + round), peer.next(60_000), kernel.next(60_000)]);
    // Until everything is compiled by the JIT.
    if (round <= 20) continue;
    watchedMs.push(ms(from, watched.at));
    committedMs.push(ms(from, committed.at));
  }
  console.log(JSON.stringify({ committedMs, watchedMs }));
} finally {
  await cleanup.run();
}
process.exit(0);
