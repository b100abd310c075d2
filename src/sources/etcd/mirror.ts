/**
 * Keeps up with ranges of keys: reads them completely at one revision, then watches from the next one on. What it hands out is complete
 * or is not handed out. When the connection ends it goes on where it was, if the store's history is still the one it knew
 * (the newest change it saw is looked up at its revision); else, and where what happened meanwhile is compacted, it reads everything again.
 */
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { HistoryLost, onlyKey, type EtcdClient, type KeyEvent, type KeyRange, type KeyValue, type Position, type RangeAnswer, type RangeQuery, type WatchBatch } from './client/etcd.js';
import { Pauses } from './pauses.js';
import { sleep } from '../../platform/sleep.js';

export interface Reading {
  readonly at: Position;
  readonly all: ReadonlyMap<string, KeyValue>;
  /** False: it is another history than what was known before, a restored backup or another cluster. */
  readonly continued: boolean;
  /** Somebody asked for it: sync(). */
  readonly asked: boolean;
}

/** Called one after the other; each is waited for. */
export interface MirrorSink {
  complete(reading: Reading): Promise<void>;
  changed(events: readonly KeyEvent[]): Promise<void>;
}

export interface MirrorOptions {
  readonly client: EtcdClient;
  readonly ranges: readonly KeyRange[];
  readonly sink: MirrorSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** [0, 1) */
  readonly random: () => number;
  /** What an earlier run read up to; its reading is compared with that. */
  readonly known?: Position;
  /** Pauses between attempts, ms; default 100 and 10,000. */
  readonly firstPauseMs?: number;
  readonly lastPauseMs?: number;
}

export interface MirrorState {
  readonly connected: boolean;
  /** Why not; empty when connected. */
  readonly reason: string;
  /** Of the state, ms since 1970. */
  readonly since: number;
  /** The newest revision that is known to be complete; 0: none. */
  readonly revision: number;
}

/** The newest change that was seen. */
interface Anchor { readonly key: string; readonly revision: number; readonly value: Uint8Array | undefined }
interface Asked { readonly resolve: () => void; readonly reject: (error: unknown) => void }

const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 10_000;
/** Keys of the first page; the next ones hold about PAGE_BYTES. */
const FIRST_PAGE = 200;
const PAGE_BYTES = 4 * 1024 * 1024;
const LARGEST_PAGE = 5_000;

export class EtcdMirror {
  readonly #pauses: Pauses;
  #state: MirrorState;
  /** Complete up to these revisions, one a range. */
  #upTo: number[] = [];
  #cluster: string | undefined;
  #highest = 0;
  #anchor: Anchor | undefined;
  #asked: Asked[] = [];
  /** Ends the watch under way, or the pause. */
  #interrupt = new AbortController();
  #running: Promise<void> | undefined;

  constructor(private readonly options: MirrorOptions) {
    const { firstPauseMs = FIRST_PAUSE_MS, lastPauseMs = LAST_PAUSE_MS, random, clock, known } = options;
    this.#pauses = new Pauses({ firstMs: firstPauseMs, lastMs: lastPauseMs }, random);
    this.#state = { connected: false, reason: 'not connected yet', since: clock.now(), revision: 0 };
    this.#cluster = known?.cluster;
    this.#highest = known?.revision ?? 0;
  }

  get state(): MirrorState {
    return this.#state;
  }

  /** Runs until the signal fires. Twice does nothing more. */
  start(signal: AbortSignal): void {
    this.#running ??= this.#run(signal);
  }

  /** Resolves when it has come to its end, after the signal. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  /** Reads everything again now; resolves when the sink has it. Rejects when the next attempt fails, and E_CANCELLED with the signal. */
  async reread(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = (): void => reject(new AgentError('E_CANCELLED', 'reading was cancelled', { object: 'etcd' }));
      if (signal.aborted) {
        cancel();
        return;
      }
      signal.addEventListener('abort', cancel, { once: true });
      const settled = (): void => signal.removeEventListener('abort', cancel);
      this.#asked.push({
        resolve: () => {
          settled();
          resolve();
        },
        reject: (error) => {
          settled();
          reject(error instanceof Error ? error : new AgentError('E_INTERNAL', String(error)));
        },
      });
      this.#interrupt.abort();
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    let readAgain = true;
    let continued = true;
    while (!signal.aborted) {
      this.#interrupt = new AbortController();
      const asked = this.#asked.splice(0);
      const either = AbortSignal.any([signal, this.#interrupt.signal]);
      try {
        const resuming = asked.length === 0 && !readAgain;
        if (!resuming) {
          await this.#read(continued, asked.length > 0, signal);
          readAgain = false;
          continued = true;
        }
        for (const { resolve } of asked.splice(0)) resolve();
        // Asked again meanwhile.
        if (this.#asked.length === 0) await this.#watch(resuming, either);
      } catch (error) {
        for (const { reject } of asked) reject(error);
        if (signal.aborted) break;
        if (error instanceof HistoryLost) {
          this.options.log.warn('etcd.history-lost', { reason: error.reason, error: error.message });
          readAgain = true;
          if (error.reason === 'future') continued = false;
        } else this.#lost(error);
        await sleep(this.options.clock, this.#pauses.next(), either);
      }
    }
    for (const { reject } of this.#asked.splice(0)) reject(new AgentError('E_CANCELLED', 'the etcd source was stopped', { object: 'etcd' }));
  }

  /**
   * The store that is now watched has the newest change that was seen, at its revision; or nothing, where nothing was seen. `resuming`: that revision must not be compacted.
   * @throws HistoryLost where it has not, and as calls do.
   */
  async #checkHistory(resuming: boolean, signal: AbortSignal): Promise<void> {
    try {
      if (await this.#isSame(this.#anchor, signal)) return;
    } catch (error) {
      // What was read a moment ago may be older than what the store keeps.
      if (!resuming && error instanceof HistoryLost && error.reason === 'compacted') return;
      throw error;
    }
    this.options.log.warn('etcd.another-history', { key: this.#anchor?.key, revision: this.#anchor?.revision });
    throw new HistoryLost('future', 'the store has another history than it had');
  }

  async #isSame(anchor: Anchor | undefined, signal: AbortSignal): Promise<boolean> {
    const { client, ranges } = this.options;
    if (anchor === undefined) {
      for (const [index, range] of ranges.entries()) {
        const { found } = await client.range({ range, limit: 1, revision: Math.max(1, this.#upTo[index] ?? 0) }, signal);
        if (found.length > 0) return false;
      }
      return true;
    }
    const { at, found: [found] } = await client.range({ range: onlyKey(anchor.key), revision: anchor.revision }, signal);
    if (at.cluster !== this.#cluster) return false;
    if (anchor.value === undefined) {
      // A key that never was is absent, too: it must have been there just before.
      if (found !== undefined) return false;
      return (await client.range({ range: onlyKey(anchor.key), revision: anchor.revision - 1 }, signal)).found.length > 0;
    }
    return found?.modRevision === anchor.revision && Buffer.compare(found.value, anchor.value) === 0;
  }

  async #read(continued: boolean, asked: boolean, signal: AbortSignal): Promise<void> {
    const { ranges, sink, log, clock } = this.options;
    const began = clock.monotonic();
    const all = new Map<string, KeyValue>();
    let at: Position | undefined;
    for (const range of ranges) at = await this.#readRange(range, at, all, signal);
    if (at === undefined) return;
    const same = continued && (this.#cluster === undefined || this.#cluster === at.cluster) && at.revision >= this.#highest;
    if (!same) log.warn('etcd.other-history-read', { cluster: at.cluster, revision: at.revision, before: this.#highest });
    await sink.complete({ at, all, continued: same, asked });
    this.#cluster = at.cluster;
    this.#highest = at.revision;
    this.#upTo = ranges.map(() => at.revision);
    this.#anchor = newest(all);
    this.#state = { ...this.#state, revision: at.revision };
    log.info('etcd.read', { keys: all.size, revision: at.revision, ms: Math.round(clock.monotonic() - began) });
  }

  /** All pages at one revision: that of the first answer. */
  async #readRange(range: KeyRange, first: Position | undefined, into: Map<string, KeyValue>, signal: AbortSignal): Promise<Position> {
    let at = first;
    let { from } = range;
    let limit = FIRST_PAGE;
    for (;;) {
      const answer = await this.#page({ range: { from, to: range.to }, limit, ...(at === undefined ? {} : { revision: at.revision }) }, signal);
      at ??= answer.at;
      // Endpoints of two clusters would give a mixture.
      if (answer.at.cluster !== at.cluster) throw new AgentError('E_CONFIG', 'the endpoints belong to different clusters', { object: 'etcd', retryable: true });
      let bytes = 0;
      for (const found of answer.found) {
        into.set(found.key, found);
        bytes += found.key.length + found.value.length;
      }
      const last = answer.found.at(-1);
      if (!answer.more) return at;
      if (last === undefined) throw new AgentError('E_UNREACHABLE', 'an empty page', { object: 'etcd', retryable: true });
      from = `${last.key}\0`;
      limit = Math.max(1, Math.min(LARGEST_PAGE, Math.round((PAGE_BYTES * answer.found.length) / Math.max(1, bytes))));
    }
  }

  /** etcd does not say what the user may not read. */
  async #page(query: RangeQuery, signal: AbortSignal): Promise<RangeAnswer> {
    try {
      return await this.options.client.range(query, signal);
    } catch (error) {
      if (!isAgentError(error, 'E_DENIED')) throw error;
      throw new AgentError('E_DENIED', error.message, { object: `${error.object ?? 'etcd'}, reading ${query.range.from}`, retryable: true, cause: error });
    }
  }

  /**
   * Up to the newest change seen the history is known to be the same (#checkHistory). Between that and what was complete nothing happened; in a
   * history that was exchanged something may have: it is watched from there on. After a reading those revisions may be compacted, and there is little doubt about them.
   */
  async #watch(resuming: boolean, signal: AbortSignal): Promise<void> {
    try {
      await this.#follow(this.#anchor?.revision ?? Infinity, resuming, signal);
    } catch (error) {
      if (resuming || !(error instanceof HistoryLost) || error.reason !== 'compacted') throw error;
      await this.#follow(Infinity, false, signal);
    }
  }

  /** From what is complete on, or from `latest` if that is earlier. */
  async #follow(latest: number, resuming: boolean, signal: AbortSignal): Promise<void> {
    const { client, ranges } = this.options;
    const requests = ranges.map((range, index) => ({ range, from: Math.min(this.#upTo[index] ?? 0, latest) + 1 }));
    for await (const batch of client.watch(requests, signal)) await this.#take(batch, resuming, signal);
  }

  async #take(batch: WatchBatch, resuming: boolean, signal: AbortSignal): Promise<void> {
    const { client, sink, clock, log } = this.options;
    switch (batch.kind) {
      case 'opened': {
        const { cluster, revision } = batch.at;
        if (cluster !== this.#cluster || revision < this.#highest) throw new HistoryLost('future', `the store stands at revision ${revision}, after ${this.#highest}`);
        await this.#checkHistory(resuming, signal);
        this.#pauses.reset();
        if (!this.#state.connected) log.info('etcd.connected', { endpoint: client.endpoint, revision });
        this.#state = { ...this.#state, connected: true, reason: '', since: this.#state.connected ? this.#state.since : clock.now() };
        return;
      }
      case 'events': {
        await sink.changed(batch.events);
        for (const { key, modRevision, value } of batch.events) if (modRevision > (this.#anchor?.revision ?? 0)) this.#anchor = { key, revision: modRevision, value };
        this.#reached(batch.range, batch.events.at(-1)?.modRevision ?? 0);
        return;
      }
      case 'progress':
        this.#reached(batch.range, batch.revision);
    }
  }

  #reached(range: number, revision: number): void {
    this.#upTo[range] = Math.max(this.#upTo[range] ?? 0, revision);
    this.#highest = Math.max(this.#highest, revision);
    this.#state = { ...this.#state, revision: this.#highest };
  }

  #lost(error: unknown): void {
    const { client, clock, log } = this.options;
    const reason = isAgentError(error) && error.object !== undefined ? describeError(error) : `${client.endpoint}: ${describeError(error)}`;
    if (this.#state.connected || this.#state.reason !== reason) log.warn('etcd.unreachable', { reason });
    this.#state = { ...this.#state, connected: false, reason, since: this.#state.connected ? clock.now() : this.#state.since };
  }
}

function newest(all: ReadonlyMap<string, KeyValue>): Anchor | undefined {
  let anchor: Anchor | undefined;
  for (const { key, modRevision, value } of all.values()) if (modRevision > (anchor?.revision ?? 0)) anchor = { key, revision: modRevision, value };
  return anchor;
}
