/**
 * Many simulated agents in one process: each is the agent's own source, with a connection, watches and decoded objects of its own, without a datapath.
 * Told `start`, all of them read at once. A line for each time that the last of them has what a line asked for: `synced`, `N` members of the set `target`.
 */
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/platform/clock.js';
import { GrpcEtcd } from '../../src/sources/etcd/client/grpc-etcd.js';
import { DEFAULT_PREFIX, EtcdKeys } from '../../src/sources/etcd/keys.js';
import { EtcdSource } from '../../src/sources/etcd/etcd-source.js';
import { LastState } from '../../src/sources/etcd/last-state.js';
import { silent } from '../../test/support/silent.js';

export interface AgentsRequest { readonly endpoints: readonly string[]; readonly first: number; readonly agents: number }

/** A disk of its own has every host, but not every agent here. */
class NoState extends LastState {
  override load(): Promise<undefined> { return Promise.resolve(undefined); }
  override replace(): Promise<void> { return Promise.resolve(); }
  override add(): Promise<void> { return Promise.resolve(); }
}

const request: AgentsRequest = JSON.parse(process.argv[2] ?? '{}');
const sources = Array.from({ length: request.agents }, (_, index) => {
  const node = `host-${request.first + index}`;
  const client = new GrpcEtcd({ endpoints: request.endpoints, clock: systemClock, log: silent });
  return new EtcdSource({ client, keys: new EtcdKeys(DEFAULT_PREFIX, node), state: new NoState('', ''), clock: systemClock, log: silent, random: () => Math.random() });
});
const now = (): string => String(process.hrtime.bigint());
const members = (source: EtcdSource): number => {
  const target = source.snapshot().objects.get('AddressSet/target');
  return target?.kind === 'AddressSet' ? target.addresses.length : 0;
};
/** When each agent had the number of members that is waited for, ms since 1970 by hrtime: all processes of a machine have one. */
let wanted = -1;
let missing = new Set<EtcdSource>();
const look = (source: EtcdSource): void => {
  if (!missing.has(source) || members(source) !== wanted) return;
  missing.delete(source);
  if (missing.size === 0) console.log(now());
};
for (const source of sources) source.onChange(() => look(source));

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'start') {
    void Promise.all(sources.map(async (source) => source.start(new AbortController().signal))).then(() => console.log(now()));
  } else if (line === 'cpu') {
    const { user, system } = process.cpuUsage();
    console.log(JSON.stringify({ cpuMs: (user + system) / 1000, residentMb: process.memoryUsage.rss() / 2 ** 20 }));
  } else if (line === 'connected') {
    // Asked again until all are.
    console.log(String(sources.filter(({ state }) => state.connected).length));
  } else {
    wanted = Number(line);
    missing = new Set(sources);
    console.log('waiting');
    for (const source of sources) look(source);
  }
}).on('close', () => process.exit(0));
console.log('ready');
