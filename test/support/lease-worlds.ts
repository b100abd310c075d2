/** Stores of leases for the tests that all of them must pass. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { FileLeases } from '../../src/drivers/egress/file-leases.js';
import type { EgressLeases } from '../../src/drivers/egress/leases.js';
import { SessionLeases } from '../../src/drivers/egress/session-leases.js';
import type { LeaseStore } from '../../src/model/lease-store.js';
import { systemClock } from '../../src/platform/clock.js';
import { EtcdKeys } from '../../src/sources/etcd/keys.js';
import { EtcdLeaseRecords } from '../../src/sources/etcd/lease-records.js';
import { HttpApiClient } from '../../src/sources/kubernetes/api-client.js';
import { LeaseObjects } from '../../src/sources/kubernetes/lease-objects.js';
import { InlineCredentials } from '../../src/sources/kubernetes/read-credentials.js';
import { startHarness } from './api-server/harness.js';
import type { Cleanup } from './cleanup.js';
import { EtcdServer } from './etcd.js';
import { silent } from './silent.js';

export interface LeaseWorld {
  /** Of an agent that has just been started. */
  leases(holder: string): EgressLeases;
  /** Nobody reaches the store, until back(). */
  away(): Promise<void>;
  back(): Promise<void>;
  /** What may become of a store of several machines; resolves when all is well again. */
  disturb?(what: 'SIGKILL' | 'SIGSTOP'): Promise<void>;
}

/** Of a lease's time, as the agent has it. */
const PATIENCE = 1 / 8;

export function sessions(store: LeaseStore, holder: string): SessionLeases {
  return new SessionLeases({ store, holder, clock: systemClock, random: () => Math.random() });
}

export async function fileWorld(cleanup: Cleanup): Promise<LeaseWorld> {
  const parent = await mkdtemp(join(tmpdir(), 'dfwt-leases-'));
  cleanup.defer('leases', () => rm(parent, { recursive: true, force: true }));
  const directory = join(parent, 'leases');
  return {
    leases: () => new FileLeases({ directory, now: () => performance.now() }),
    away: async () => {
      await rename(directory, `${directory}-away`);
      await writeFile(directory, 'no directory');
    },
    back: async () => {
      await rm(directory);
      await rename(`${directory}-away`, directory);
    },
  };
}

export async function kubernetesWorld(cleanup: Cleanup, ttlMs: number): Promise<LeaseWorld> {
  const harness = await startHarness();
  cleanup.defer('API server', () => harness.close());
  // Loads the client library: no request waits for that.
  await new InlineCredentials().read(harness.kubeconfig);
  return {
    leases: (holder) => {
      const client = new HttpApiClient({ kubeconfig: harness.kubeconfig, reader: new InlineCredentials(), clock: systemClock });
      cleanup.defer('API client', () => client.close());
      return sessions(new LeaseObjects({ client, namespace: 'dfw-egress', timeoutMs: ttlMs / 2, clock: systemClock }), holder);
    },
    away: () => harness.server.stop(),
    back: () => harness.server.start(),
    // Another instance of it, with what was stored; and one that hangs.
    disturb: async (what) => {
      if (what === 'SIGKILL') {
        await harness.server.stop();
        await pause(ttlMs / 2);
        await harness.server.start();
        return;
      }
      harness.server.fault = () => ({ delayMs: ttlMs });
      await pause(ttlMs * 1.5);
      harness.server.fault = () => undefined;
    },
  };
}

/** Three members. */
export async function etcdWorld(cleanup: Cleanup, ttlMs: number): Promise<LeaseWorld> {
  const etcd = await EtcdServer.start(cleanup, { members: 3 });
  let opened = 0;
  return {
    leases: (holder) => {
      const client = etcd.client(cleanup, { timeoutMs: ttlMs * PATIENCE, first: opened++ });
      const store = new EtcdLeaseRecords({ client, keys: new EtcdKeys('/dfw/v1', holder), clock: systemClock, log: silent, random: () => Math.random() });
      cleanup.defer('lease records', () => store.close());
      return sessions(store, holder);
    },
    away: async () => {
      await Promise.all([etcd.kill(0), etcd.kill(1)]);
    },
    back: async () => {
      etcd.launch(0);
      etcd.launch(1);
      await etcd.leader();
    },
    disturb: async (signal) => {
      const leader = await etcd.leader();
      await etcd.kill(leader, signal);
      await pause(ttlMs * 2);
      if (signal === 'SIGSTOP') await etcd.kill(leader, 'SIGCONT');
      else etcd.launch(leader);
      await etcd.leader();
    },
  };
}
