/**
 * Which addresses this node has now. A node takes the addresses that are its own by `ownerOf` (compile/egress/owner.ts), over the nodes that are alive, and holds each
 * by a lease that it renews. What it holds ends by its own clock, before anybody else can be given it: whether or not the store answers,
 * and first of all when the process goes on after it was stopped.
 */
import { describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { ADDRESS_PREFIX, NODE_PREFIX, type EgressLeases, type LeaseEntry } from './leases.js';

export interface WantedAddress {
  readonly address: string;
  /** May the node have it? */
  readonly eligible: (node: string) => boolean;
}

/** What a node says of itself. */
export interface NodeRecord {
  readonly node: string;
  /** Where it takes tunnel packets; '' = nowhere. */
  readonly endpoint: string;
}

export interface OwnershipOptions {
  readonly leases: EgressLeases;
  readonly clock: Clock;
  readonly log: Logger;
  readonly node: string;
  /** Of this agent and no other; the same after a restart. */
  readonly identity: string;
  readonly ttlMs: number;
  /** Which of the nodes an address belongs to: the same answer on all of them. */
  readonly ownerOf: (address: string, nodes: Iterable<string>) => string | undefined;
  /** Asked at every renewal. */
  readonly endpoint: () => string;
  /** Asked at every round. */
  readonly wanted: () => readonly WantedAddress[];
  /**
   * Makes true what is held: address → Clock.monotonic() up to which it is. Called at every renewal, and when one is lost. Never two at a
   * time. An address is given up for others after this has resolved without it.
   */
  readonly apply: (held: ReadonlyMap<string, number>) => Promise<void>;
  /** Holders or nodes changed. */
  readonly onChange: () => void;
}

/** An address is renewed so many times in the life of its lease, and looked at by others as often. */
const ROUNDS = 6;
/** Before the lease ends: for clocks that run apart (1 in 1,000 would be much) and a commit that is under way. */
const MARGIN = 1 / 6;
/** So long an answer of the store is waited for. */
const PATIENCE = 1 / 3;

export class Ownership {
  private heldUntil = new Map<string, number>();
  private entries: readonly LeaseEntry[] | undefined;
  private seen = '';
  private failing: { readonly reason: string; readonly sinceMs: number } | undefined;
  private rival: string | undefined;
  private running = false;
  private again = false;
  private idle: Promise<void> = Promise.resolve();
  private cancelTimer: () => void = () => undefined;
  private unsubscribe: () => void = () => undefined;
  private stopped = true;
  taken = 0;

  constructor(private readonly options: OwnershipOptions) {}

  /** Address → until when (Clock.monotonic()). */
  get held(): ReadonlyMap<string, number> {
    return this.heldUntil;
  }

  /** By node; this one is among them once it is known to others. */
  get nodes(): ReadonlyMap<string, NodeRecord> {
    return new Map((this.entries ?? []).flatMap(({ key, value }): [string, NodeRecord][] => (key.startsWith(NODE_PREFIX) ? [[key.slice(NODE_PREFIX.length), record(value)]] : [])));
  }

  /** Address → who has it, as last known; undefined: nothing is known yet. */
  get holders(): ReadonlyMap<string, NodeRecord> | undefined {
    if (this.entries === undefined) return undefined;
    return new Map(this.entries.flatMap(({ key, value }): [string, NodeRecord][] => (key.startsWith(ADDRESS_PREFIX) ? [[key.slice(ADDRESS_PREFIX.length), record(value)]] : [])));
  }

  /** What is not as it should be. */
  get problems(): readonly string[] {
    const { failing, rival, options } = this;
    return [
      ...(failing === undefined ? [] : [`leases cannot be read or renewed: ${failing.reason}`]),
      ...(rival === undefined ? [] : [`another agent calls itself ${options.node}: this one takes no addresses`]),
    ];
  }

  /** Returns at once; rounds go on until the signal fires. What is held then stays until its time, for a process that comes after. */
  start(signal: AbortSignal): void {
    this.stopped = false;
    this.unsubscribe = this.options.leases.onChange(() => this.soon());
    signal.addEventListener('abort', () => {
      this.stopped = true;
      this.cancelTimer();
      this.unsubscribe();
    }, { once: true });
    this.soon();
  }

  /** Begins a round now, or after the one that runs. */
  soon(): void {
    if (this.stopped) return;
    if (this.running) {
      this.again = true;
      return;
    }
    this.cancelTimer();
    this.running = true;
    this.idle = this.round().finally(() => {
      this.running = false;
      if (this.stopped) return;
      const pause = this.again ? 0 : this.options.ttlMs / ROUNDS;
      this.again = false;
      this.cancelTimer = this.options.clock.after(pause, () => this.soon());
    });
  }

  /** Resolves when the round that runs has ended. */
  stopping(): Promise<void> {
    return this.idle;
  }

  /** Gives everything up, so that others need not wait for the leases to end. Nothing is taken any more. */
  async leave(): Promise<void> {
    this.stopped = true;
    this.cancelTimer();
    this.unsubscribe();
    await this.idle;
    const addresses = [...this.heldUntil.keys()];
    this.heldUntil = new Map();
    await this.options.apply(this.heldUntil);
    const { leases, identity, node } = this.options;
    await Promise.all([...addresses.map((address) => ADDRESS_PREFIX + address), NODE_PREFIX + node].map((key) => leases.release(key, identity).catch(() => undefined)));
  }

  private async round(): Promise<void> {
    try {
      // Before anything else, for the process may have been stopped.
      if (this.expire()) await this.apply();
      const wanted = this.options.wanted();
      if (wanted.length === 0 && this.heldUntil.size === 0) return;
      // Who may have none need not be known to others.
      const candidate = wanted.some(({ eligible }) => eligible(this.options.node));
      // Beside all else: leases that can then renew everything with one write.
      const renewing = new Map([...this.heldUntil.keys()].map((address) => [address, this.claim(ADDRESS_PREFIX + address)]));
      for (const renewal of renewing.values()) renewal.catch(() => undefined);
      const [alive, entries] = await Promise.all([candidate ? this.announceNode() : false, this.inTime(this.options.leases.list())]);
      this.know(entries);
      const change = await this.settle(wanted, entries, alive, renewing);
      if (change) this.know(await this.inTime(this.options.leases.list()));
      this.failing = undefined;
    } catch (error) {
      this.expire();
      await this.apply().catch(() => undefined);
      if (this.failing === undefined) this.options.log.warn('egress.leases_failed', { error: describeError(error) });
      this.failing = { reason: describeError(error), sinceMs: this.failing?.sinceMs ?? this.options.clock.now() };
      this.options.onChange();
    }
  }

  /** Takes what is this node's, renews what it has, gives up what is another's. True when holders changed. */
  private async settle(wanted: readonly WantedAddress[], entries: readonly LeaseEntry[], alive: boolean, renewing: ReadonlyMap<string, Promise<number>>): Promise<boolean> {
    const { node, identity, ownerOf } = this.options;
    const others = entries.flatMap(({ key }) => (key.startsWith(NODE_PREFIX) ? [key.slice(NODE_PREFIX.length)] : []));
    const nodes = alive ? [...new Set([...others, node])] : [];
    const mine = new Set(wanted.filter(({ address, eligible }) => ownerOf(address, nodes.filter(eligible)) === node).map(({ address }) => address));
    // Some by claims whose answer came too late, or of a process before this one.
    const ours = entries.flatMap(({ key, holder }) => (holder === identity && key.startsWith(ADDRESS_PREFIX) ? [key.slice(ADDRESS_PREFIX.length)] : []));
    const lost = [...new Set([...this.heldUntil.keys(), ...ours])].filter((address) => !mine.has(address));
    const claims = [...mine].map(async (address) => {
      const before = this.heldUntil.get(address);
      const until = await (renewing.get(address) ?? this.claim(ADDRESS_PREFIX + address)).catch((error: unknown) => {
        this.options.log.debug('egress.claim_failed', { address, error: describeError(error) });
        return before ?? 0;
      });
      return { address, until };
    });
    const results = await Promise.all(claims);
    const held = new Map(results.flatMap(({ address, until }): [string, number][] => (until > this.options.clock.monotonic() ? [[address, until]] : [])));
    const taken = [...held.keys()].filter((address) => !this.heldUntil.has(address));
    const known = this.heldUntil;
    const changed = taken.length > 0 || lost.length > 0 || held.size !== this.heldUntil.size;
    this.heldUntil = held;
    this.taken += taken.length;
    for (const address of taken) this.options.log.info('egress.taken', { address });
    for (const address of lost) this.options.log[known.has(address) ? 'info' : 'debug']('egress.given_up', { address });
    await this.apply();
    await Promise.allSettled(renewing.values());
    await Promise.all(lost.map((address) => this.options.leases.release(ADDRESS_PREFIX + address, identity).catch(() => undefined)));
    return changed;
  }

  /** False when another agent has this node's name. */
  private async announceNode(): Promise<boolean> {
    const { leases, node, identity, ttlMs } = this.options;
    const entry = await this.inTime(leases.claim(this.entry(NODE_PREFIX + node), ttlMs));
    const isOurs = entry.holder === identity;
    this.rival = isOurs ? undefined : entry.holder;
    return isOurs;
  }

  /** Until when we have it, 0 when another does. */
  private async claim(key: string): Promise<number> {
    const { clock, leases, identity, ttlMs } = this.options;
    const before = clock.monotonic();
    const entry = await this.inTime(leases.claim(this.entry(key), ttlMs));
    return entry.holder === identity ? before + ttlMs * (1 - MARGIN) : 0;
  }

  private entry(key: string): LeaseEntry {
    const { identity, node, endpoint } = this.options;
    return { key, holder: identity, value: JSON.stringify({ node, endpoint: endpoint() } satisfies NodeRecord) };
  }

  /** Forgets what is not held any more; true when that was something. */
  private expire(): boolean {
    const now = this.options.clock.monotonic();
    const gone = [...this.heldUntil].filter(([, until]) => until <= now);
    for (const [address] of gone) {
      this.heldUntil.delete(address);
      this.options.log.warn('egress.lost', { address });
    }
    return gone.length > 0;
  }

  private async apply(): Promise<void> {
    try {
      await this.options.apply(this.heldUntil);
    } catch (error) {
      // The kernel lets go by itself; the next round tries again.
      this.options.log.warn('egress.apply_failed', { error: describeError(error) });
    }
  }

  private know(entries: readonly LeaseEntry[]): void {
    const now = entries.map(({ key, holder, value }) => `${key} ${holder} ${value}`).sort().join('\n');
    const first = this.entries === undefined;
    this.entries = entries;
    if (now === this.seen && !first) return;
    this.seen = now;
    this.options.onChange();
  }

  /** A store that hangs must not keep the clock from being looked at. */
  private inTime<T>(work: Promise<T>): Promise<T> {
    const { clock, ttlMs } = this.options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(ttlMs * PATIENCE, () => reject(new Error('no answer in time')));
      work.then(resolve, reject).finally(cancel);
    });
  }
}

function record(value: string): NodeRecord {
  try {
    const { node, endpoint } = JSON.parse(value) as Partial<NodeRecord>;
    return { node: String(node ?? ''), endpoint: String(endpoint ?? '') };
  } catch {
    return { node: '', endpoint: '' };
  }
}
