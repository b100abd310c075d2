/** The etcd source and what this host publishes there, from the configuration. */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError, describeError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import type { LeaseStore } from '../model/lease-store.js';
import { writeFileAtomic } from '../platform/atomic-file.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { readTextFile } from '../platform/read-file.js';
import { GrpcEtcd, type GrpcEtcdOptions } from '../sources/etcd/client/grpc-etcd.js';
import { EtcdSource } from '../sources/etcd/etcd-source.js';
import { DEFAULT_PREFIX, EtcdKeys } from '../sources/etcd/keys.js';
import { EtcdLeaseRecords } from '../sources/etcd/lease-records.js';
import { LastState } from '../sources/etcd/last-state.js';
import { Publisher, type AgentIdentity } from '../sources/etcd/publisher.js';
import type { EtcdSourceConfig } from './config-schema.js';
import type { NamedSource } from './desired.js';
import { publishedWorkloads } from './published-workloads.js';

export const ETCD_SOURCE = 'etcd';
/** Workloads of other hosts. */
export const ETCD_WORKLOADS = 'etcd:workloads';
const GRACE_SECONDS = 60;
/** Part of a lease's time in which one member of etcd has to answer. */
const LEASE_PATIENCE = 1 / 8;
const INSTANCE = /^[0-9a-f-]{36}$/;

export interface EtcdWiring {
  readonly source: EtcdSourceConfig;
  readonly stateDir: string;
  readonly node: string;
  /** '' = none. */
  readonly cluster: string;
  readonly version: string;
  /** All of the agent. */
  readonly sources: () => readonly NamedSource[];
  readonly clock: Clock;
  readonly log: Logger;
}

export class EtcdParts {
  readonly source: EtcdSource;
  readonly #client: GrpcEtcd;
  #leases: EtcdLeaseRecords | undefined;
  readonly #keys: EtcdKeys;
  readonly #stopping = new AbortController();
  #publisher: Publisher | undefined;
  #told = '';

  constructor(private readonly wiring: EtcdWiring) {
    const { source: { prefix = DEFAULT_PREFIX }, stateDir, node, clock, log } = wiring;
    this.#keys = new EtcdKeys(prefix, node);
    this.#client = this.#connect({});
    this.source = new EtcdSource({
      client: this.#client, keys: this.#keys, state: new LastState(join(stateDir, 'etcd', 'state.jsonl'), JSON.stringify([this.#keys.prefix, node])), clock, log, random: () => Math.random(),
      publishing: () => this.#publisher?.troubles ?? [],
    });
  }

  /** Records of leases whose time is `ttlMs`; open until stop(). Twice: the same. */
  leases(ttlMs: number): LeaseStore {
    const { clock, log } = this.wiring;
    // A connection of its own: one member that hangs must not use up the time in which a lease is renewed elsewhere.
    this.#leases ??= new EtcdLeaseRecords({ client: this.#connect({ timeoutMs: ttlMs * LEASE_PATIENCE }), keys: this.#keys, clock, log, random: () => Math.random() });
    return this.#leases;
  }

  /** Before the sources are started. Makes what is kept in the state directory. */
  async prepare(): Promise<void> {
    const { source: { publish = true, grace = GRACE_SECONDS }, stateDir, version, clock, log } = this.wiring;
    mkdirSync(join(stateDir, 'etcd'), { recursive: true, mode: 0o750 });
    if (!publish) return;
    this.#publisher = new Publisher({
      client: this.#client, keys: this.#keys, identity: await identityOf(join(stateDir, 'etcd', 'instance'), version, log), graceSeconds: grace, clock, log, random: () => Math.random(),
    });
    this.#publisher.start(this.#stopping.signal);
  }

  /** The filters in force, after each apply. */
  follow(filters: readonly Filter[]): void {
    if (this.#publisher === undefined) return;
    const sources = this.wiring.sources();
    const wanted = new Map(publishedWorkloads(filters, this.wiring, (key) => {
      const holder = sources.find(({ source }) => source.yields !== true && source.snapshot().objects.has(key));
      const object = holder?.source.snapshot().objects.get(key);
      return holder === undefined || object === undefined ? undefined : { object, shared: holder.source.type === 'etcd' || holder.source.type === 'kubernetes' };
    }).map(({ workload, manifest }): [string, string] => [this.#keys.workload(workload), JSON.stringify(manifest)]));
    const told = JSON.stringify([...wanted]);
    if (told === this.#told) return;
    this.#told = told;
    this.#publisher.publish(wanted);
  }

  /** After the sources were stopped. What is published stands for the grace time. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#publisher?.stopped();
    this.#leases?.close();
    this.#client.close();
  }

  #connect(more: Partial<GrpcEtcdOptions>): GrpcEtcd {
    const { source: { endpoints, tls, user, passwordFile }, clock, log } = this.wiring;
    return new GrpcEtcd({
      endpoints, clock, log, first: Math.floor(Math.random() * endpoints.length), ...(tls === undefined ? {} : { tls }),
      ...(user === undefined || passwordFile === undefined ? {} : { user: { name: user, password: () => passwordOf(passwordFile) } }), ...more,
    });
  }
}

/** The first line. @throws AgentError E_IO, retryable. */
export async function passwordOf(file: string): Promise<string> {
  try {
    return /^[^\r\n]*/.exec(await readFile(file, 'utf8'))?.[0] ?? '';
  } catch (error) {
    throw new AgentError('E_IO', `the password cannot be read: ${describeError(error)}`, { object: file, retryable: true, cause: error });
  }
}

async function identityOf(file: string, version: string, log: Logger): Promise<AgentIdentity> {
  let instance = readTextFile(file)?.trim() ?? '';
  if (!INSTANCE.test(instance)) {
    instance = randomUUID();
    // Not kept: after a restart the agent waits until its own registration has run out.
    await writeFileAtomic(file, `${instance}\n`).catch((error: unknown) => log.warn('etcd.instance-not-stored', { error: describeError(error) }));
  }
  return { instance, boot: (readTextFile('/proc/sys/kernel/random/boot_id') ?? '').trim(), version };
}

