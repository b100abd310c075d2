/**
 * Publishes this host's workloads in etcd, under a lease: the groups of other hosts find them, and they vanish when this host has been gone for the
 * grace time. The lease hangs on a registration, `<prefix>/workloads/<node>/.agent`; every write asks that it is still ours, so that two
 * agents of one name never mix. Nothing is taken back at a stop: an agent that starts again goes on with what stands.
 */
import { AgentError, describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import type { SourceTrouble } from '../source.js';
import { onlyKey, type EtcdClient, type KeyValue, type Write } from './client/etcd.js';
import type { EtcdKeys } from './keys.js';
import { Pauses } from './pauses.js';

export interface AgentIdentity {
  /** Of the state directory. */
  readonly instance: string;
  /** Of this run of the host: a clone of a host has the same instance. */
  readonly boot: string;
  readonly version: string;
}

export interface PublisherOptions {
  readonly client: EtcdClient;
  readonly keys: EtcdKeys;
  readonly identity: AgentIdentity;
  /** How long what is published outlives this host's last word, s; at least 2. */
  readonly graceSeconds: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** [0, 1) */
  readonly random: () => number;
}

/** In one step; etcd takes 128 by its default. */
const WRITES_AT_ONCE = 100;
const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 10_000;
/** Ids of our leases are exact as numbers of JavaScript. */
const LEASE_IDS = 2 ** 52;

interface Registration {
  readonly lease: number;
  /** Leases of what stood here before; to be revoked when nothing needs them any more. */
  readonly old: Set<number>;
  /** What stands in etcd under our lease. */
  readonly published: Map<string, string>;
  /** Stands there, but not under our lease. */
  readonly stale: Set<string>;
}

export class Publisher {
  readonly #pauses: Pauses;
  #wanted: ReadonlyMap<string, string> | undefined;
  #trouble: SourceTrouble | undefined;
  #registration: Registration | undefined;
  #wake: () => void = () => undefined;
  #dirty = false;
  #running: Promise<void> | undefined;

  constructor(private readonly options: PublisherOptions) {
    this.#pauses = new Pauses({ firstMs: FIRST_PAUSE_MS, lastMs: LAST_PAUSE_MS }, options.random);
  }

  get troubles(): readonly SourceTrouble[] {
    return this.#trouble === undefined ? [] : [this.#trouble];
  }

  /** What is to stand in etcd: key to value. Nothing is written before the first call. */
  publish(wanted: ReadonlyMap<string, string>): void {
    this.#wanted = wanted;
    this.#dirty = true;
    this.#wake();
  }

  /** Runs until the signal fires. Twice does nothing more. */
  start(signal: AbortSignal): void {
    this.#running ??= this.#run(signal);
  }

  async stopped(): Promise<void> {
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log, graceSeconds } = this.options;
    const keepMs = (graceSeconds * 1_000) / 3;
    let keepAt = 0;
    while (!signal.aborted) {
      try {
        if (this.#wanted === undefined) {
          await this.#pause(keepMs, signal);
          continue;
        }
        if (this.#registration === undefined) {
          this.#registration = await this.#register(signal);
          keepAt = clock.monotonic() + keepMs;
        }
        if (clock.monotonic() >= keepAt) {
          await this.#keep(this.#registration, signal);
          keepAt = clock.monotonic() + keepMs;
        }
        this.#dirty = false;
        await this.#write(this.#registration, this.#wanted, signal);
        this.#pauses.reset();
        this.#trouble = undefined;
        if (!this.#dirty) await this.#pause(Math.max(0, keepAt - clock.monotonic()), signal);
      } catch (error) {
        if (signal.aborted) return;
        const reason = `workloads of this host are not published: ${describeError(error)}`;
        if (this.#trouble?.reason !== reason) log.warn('etcd.not-published', { error: describeError(error) });
        this.#trouble = { reason, since: this.#trouble?.since ?? clock.now() };
        await this.#pause(Math.min(this.#pauses.next(), keepMs), signal);
      }
    }
  }

  /** And what stands under the lease is what was put there: somebody may have deleted it, or put an older store in the place of this one. */
  async #keep({ lease, published }: Registration, signal: AbortSignal): Promise<void> {
    const { client, keys } = this.options;
    if (!(await client.keepLease(lease, signal))) throw this.#lost('its lease ran out');
    const { found } = await client.range({ range: keys.published() }, signal);
    const ours = found.filter((entry) => entry.lease === lease && (entry.key === keys.agent() || published.get(entry.key) === Buffer.from(entry.value).toString()));
    if (ours.length !== found.length || ours.length !== published.size + 1) throw this.#lost('somebody changed what was published');
  }

  async #register(signal: AbortSignal): Promise<Registration> {
    const { client, keys, graceSeconds, random, log, identity } = this.options;
    const { found: [standing] } = await client.range({ range: onlyKey(keys.agent()) }, signal);
    if (standing !== undefined) await this.#checkStanding(standing, signal);
    const lease = 1 + Math.floor(random() * LEASE_IDS);
    if (!(await client.grantLease(lease, graceSeconds, signal))) throw new AgentError('E_CONFLICT', 'the lease exists already', { object: 'etcd', retryable: true });
    const value = Buffer.from(JSON.stringify({ node: keys.node, ...identity }));
    const { done } = await client.commit([{ key: keys.agent(), revision: standing?.modRevision ?? 0 }], [{ key: keys.agent(), value, lease }], signal);
    if (!done) {
      await client.revokeLease(lease, signal);
      throw new AgentError('E_CONFLICT', `another agent took the name ${keys.node} at this moment`, { object: keys.agent(), retryable: true });
    }
    const { found } = await client.range({ range: keys.published() }, signal);
    const others = found.filter(({ key }) => key !== keys.agent());
    const old = new Set([standing, ...others].flatMap((entry) => (entry === undefined || entry.lease === 0 || entry.lease === lease ? [] : [entry.lease])));
    log.info('etcd.registered', { key: keys.agent(), lease, standing: others.length });
    return { lease, old, published: new Map(), stale: new Set(others.map(({ key }) => key)) };
  }

  /** Who lives renews his lease when a third of it is gone, and does not come down to a third. @throws AgentError E_CONFLICT while somebody else does. */
  async #checkStanding({ value, lease }: KeyValue, signal: AbortSignal): Promise<void> {
    const { client, keys, identity } = this.options;
    const { instance, boot } = fieldsOf(parsed(value)) ?? {};
    if (instance === identity.instance && boot === identity.boot) return;
    const time = lease === 0 ? undefined : await client.leaseTime(lease, signal);
    if (time === undefined || time.left < time.granted / 3) return;
    const who = instance === identity.instance ? 'this host itself, before it was started again, or a clone of it' : `instance ${String(instance)}`;
    throw new AgentError('E_CONFLICT', `another agent has the node name ${keys.node} (${who}); it is known until its ${time.left} s are over. Two hosts must not have one name`, { object: keys.agent(), retryable: true });
  }

  async #write({ lease, old, published, stale }: Registration, wanted: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const { client, keys } = this.options;
    const writes: Write[] = [];
    for (const [key, text] of wanted) if (published.get(key) !== text) writes.push({ key, value: Buffer.from(text), lease });
    for (const key of new Set([...published.keys(), ...stale])) if (!wanted.has(key)) writes.push({ key, value: undefined });
    for (let at = 0; at < writes.length; at += WRITES_AT_ONCE) {
      const some = writes.slice(at, at + WRITES_AT_ONCE);
      const { done } = await client.commit([{ key: keys.agent(), lease }], some, signal);
      if (!done) throw this.#lost('somebody else registered, or the lease ran out');
      for (const { key } of some) {
        stale.delete(key);
        const text = wanted.get(key);
        if (text === undefined) published.delete(key);
        else published.set(key, text);
      }
    }
    for (const id of old) {
      await client.revokeLease(id, signal);
      old.delete(id);
    }
  }

  #lost(reason: string): AgentError {
    this.#registration = undefined;
    return new AgentError('E_CONFLICT', `the registration is no longer ours: ${reason}`, { object: this.options.keys.agent(), retryable: true });
  }

  /** Ended by publish(), too. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.options.clock.after(ms, done);
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
    });
    this.#wake = () => undefined;
  }
}

function parsed(value: Uint8Array): unknown {
  try {
    const read: unknown = JSON.parse(Buffer.from(value).toString());
    return read;
  } catch {
    return undefined;
  }
}
