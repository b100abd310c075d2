/** Records of leases in etcd, below `<prefix>/egress/`: a record's version is the revision of its key's last change. */
import { describeError } from '../../model/errors.js';
import type { LeaseSnapshot, LeaseStore } from '../../model/lease-store.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { sleep } from '../../platform/sleep.js';
import { keysUnder, type EtcdClient } from './client/etcd.js';
import type { EtcdKeys } from './keys.js';
import { Pauses } from './pauses.js';

export interface EtcdLeaseRecordsOptions {
  /** Its time limit is that of a call here. */
  readonly client: EtcdClient;
  readonly keys: EtcdKeys;
  readonly clock: Clock;
  readonly log: Logger;
  /** [0, 1) */
  readonly random: () => number;
}

export class EtcdLeaseRecords implements LeaseStore {
  private readonly listeners = new Set<() => void>();
  private readonly ending = new AbortController();
  private following: AbortController | undefined;

  constructor(private readonly options: EtcdLeaseRecordsOptions) {}

  async read(): Promise<LeaseSnapshot> {
    const { client, keys } = this.options;
    const range = keysUnder(keys.leases());
    const { found, at } = await client.range({ range }, this.ending.signal);
    return {
      history: at.cluster, revision: at.revision,
      records: found.map(({ key, value, modRevision }) => ({ name: nameOf(key.slice(range.from.length)), text: Buffer.from(value).toString(), version: String(modRevision) })),
    };
  }

  async write(name: string, text: string, version: string | undefined): Promise<string | undefined> {
    const { client, keys } = this.options;
    const key = keys.leases() + keyOf(name);
    const { done, at } = await client.commit([{ key, revision: Number(version ?? 0) }], [{ key, value: Buffer.from(text) }], this.ending.signal);
    return done ? String(at.revision) : undefined;
  }

  async remove(name: string, version: string): Promise<boolean> {
    const { client, keys } = this.options;
    const key = keys.leases() + keyOf(name);
    const { done } = await client.commit([{ key, revision: Number(version) }], [{ key, value: undefined }], this.ending.signal);
    return done;
  }

  /** Of entries; sessions change all the time. Changes while etcd is away are told of when it is back. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    if (this.following === undefined && !this.ending.signal.aborted) {
      const following = new AbortController();
      this.following = following;
      this.follow(AbortSignal.any([following.signal, this.ending.signal])).catch(() => undefined);
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0) return;
      this.following?.abort();
      this.following = undefined;
    };
  }

  /** Calls under way are rejected. */
  close(): void {
    this.ending.abort();
    this.options.client.close();
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const { client, keys, clock, log, random } = this.options;
    const pauses = new Pauses({ firstMs: 100, lastMs: 2_000 }, random);
    const range = keysUnder(`${keys.leases()}keys/`);
    while (!signal.aborted) {
      try {
        const { at } = await client.range({ range, limit: 1 }, signal);
        this.tell();
        for await (const { kind } of client.watch([{ range, from: at.revision + 1 }], signal)) {
          pauses.reset();
          if (kind === 'events') this.tell();
        }
      } catch (error) {
        if (signal.aborted) return;
        log.debug('etcd.leases-unwatched', { error: describeError(error) });
      }
      await sleep(clock, pauses.next(), signal);
    }
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** The second part of a name may have slashes, and characters that no key of ours has. */
function keyOf(name: string): string {
  const [folder = '', ...rest] = name.split('/');
  return `${folder}/${encodeURIComponent(rest.join('/'))}`;
}

function nameOf(key: string): string {
  const [folder = '', rest = ''] = key.split('/', 2);
  try {
    return `${folder}/${decodeURIComponent(rest)}`;
  } catch {
    return ''; // not written by us
  }
}
