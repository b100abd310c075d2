/**
 * Desired state from etcd (docs/etcd.md): objects of all hosts and of this one, and the workloads that other hosts publish. Follows changes as they
 * come. The last good state is kept on disk, and is what counts at a start at which etcd is away; until there is either, the
 * source is not synced, and nothing is decided by it.
 */
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import { Turns } from '../../platform/turns.js';
import type { FileParser } from '../file/file-parser.js';
import { ThreadParser } from '../file/thread-parser.js';
import type { Source, SourceSnapshot, SourceTrouble } from '../source.js';
import { HistoryLost, type EtcdClient, type KeyEvent, type Position } from './client/etcd.js';
import type { EtcdKeys, ObjectPlace, Place, WorkloadPlace } from './keys.js';
import type { LastState, StoredState, ValueChange } from './last-state.js';
import { EtcdMirror, type MirrorState, type Reading } from './mirror.js';
import { ObjectTable, type KeyChange } from './object-table.js';
import { OtherWorkloads, type WorkloadChange } from './other-workloads.js';
import { ValueReader, type Verdict } from './values.js';

export interface EtcdSourceOptions {
  readonly client: EtcdClient;
  readonly keys: EtcdKeys;
  readonly state: LastState;
  readonly clock: Clock;
  readonly log: Logger;
  /** [0, 1) */
  readonly random: () => number;
  /** Closed by stop(). Default: a ThreadParser. */
  readonly parser?: FileParser;
  /** How long start() waits for etcd before it takes what was stored, ms; default 3,000. */
  readonly firstReadMs?: number;
  /** What is wrong with what this host publishes itself. */
  readonly publishing?: () => readonly SourceTrouble[];
}

const FIRST_READ_MS = 3_000;

/** A key as it now is. */
interface Arrival { readonly key: string; readonly value: Uint8Array | undefined; readonly modRevision: number }
interface Held { readonly value: Uint8Array; /** The last good one; undefined: none was. */ readonly good: Uint8Array | undefined }

export class EtcdSource implements Source {
  readonly type = 'etcd';
  /** Workloads of other hosts: to be put behind all other sources. */
  readonly others: OtherWorkloads;
  readonly #mirror: EtcdMirror;
  readonly #reader: ValueReader;
  readonly #parser: FileParser;
  readonly #table = new ObjectTable();
  /** Every key of ours and what is there; bytes that are the same again are not read again. */
  readonly #held = new Map<string, Held>();
  readonly #listeners = new Set<() => void>();
  readonly #stopping = new AbortController();
  #stored: StoredState | undefined;
  #at: Position = { cluster: '', revision: 0 };
  #doubt: SourceTrouble | undefined;
  #storeTrouble: SourceTrouble | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** The last change's way to the disk. Never rejects. */
  #storing: Promise<void> = Promise.resolve();
  #ready: () => void = () => undefined;
  #reported = new Set<string>();

  constructor(private readonly options: EtcdSourceOptions) {
    const { client, keys, clock, log, random } = options;
    this.#parser = options.parser ?? new ThreadParser();
    this.#reader = new ValueReader(this.#parser);
    this.#mirror = new EtcdMirror({ client, ranges: keys.ranges(), clock, log, random, sink: { complete: (reading) => this.#complete(reading), changed: (events) => this.#changed(events) } });
    const ready = new Promise<void>((resolve) => {
      this.#ready = resolve;
    });
    const synced = (): boolean => this.synced;
    this.others = new OtherWorkloads({ get synced() { return synced(); }, ready }, options.publishing);
  }

  get synced(): boolean {
    return this.#table.snapshot.revision > 0;
  }

  get state(): MirrorState {
    return this.#mirror.state;
  }

  get troubles(): readonly SourceTrouble[] {
    const { connected, reason, since } = this.#mirror.state;
    const away = connected ? [] : [{
      reason: `etcd cannot be followed: ${reason}; ${this.synced ? `what was read up to revision ${this.#at.revision} stays in force` : 'nothing was read yet'}`, since,
    }];
    return [...away, ...(this.#doubt === undefined ? [] : [this.#doubt]), ...(this.#storeTrouble === undefined ? [] : [this.#storeTrouble])];
  }

  snapshot(): SourceSnapshot {
    return this.#table.snapshot;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /**
   * Resolves after the first complete reading; where etcd does not answer in time with what was stored, and goes on trying. With neither it
   * waits: an empty list would be taken for the truth. Rejects with E_CANCELLED when the signal fires first.
   */
  async start(signal: AbortSignal): Promise<void> {
    const { clock, log, firstReadMs = FIRST_READ_MS } = this.options;
    const abort = (): void => this.#stopping.abort();
    signal.addEventListener('abort', abort, { once: true });
    this.#stopping.signal.addEventListener('abort', () => signal.removeEventListener('abort', abort), { once: true });
    if (signal.aborted) abort();
    try {
      this.#stored = await this.options.state.load();
    } catch (error) {
      log.error('etcd.state-unreadable', { error: describeError(error) });
    }
    if (this.#stored !== undefined) this.#at = this.#stored.at;
    const read = new Promise<void>((resolve) => {
      const unsubscribe = this.onChange(() => {
        unsubscribe();
        resolve();
      });
      this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#mirror.start(this.#stopping.signal);
    const stored = this.#stored;
    if (stored !== undefined) {
      await Promise.race([read, new Promise<void>((resolve) => clock.after(firstReadMs, resolve))]);
      if (!this.synced) await this.#exclusively(async () => this.#restore(stored));
    }
    await read;
    if (this.#stopping.signal.aborted) throw new AgentError('E_CANCELLED', 'the etcd source was stopped', { object: 'etcd' });
    this.#ready();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#ready();
    await this.#parser.close();
    await this.#mirror.stopped();
    await this.#turn;
    await this.#storing;
    await this.options.state.close();
  }

  /** Reads everything again. What is found counts, also where an emptied store was not believed before. */
  async sync(signal: AbortSignal): Promise<void> {
    await this.#mirror.reread(signal);
  }

  async #complete(reading: Reading): Promise<void> {
    await this.#exclusively(async () => {
      const { at, all, continued, asked } = reading;
      if (!this.#isCredible(reading)) return;
      const first = !this.synced;
      const arrivals: Arrival[] = [...all.values()];
      for (const key of this.#held.keys()) if (!all.has(key)) arrivals.push({ key, value: undefined, modRevision: at.revision });
      this.#at = at;
      const { publish } = await this.#take(arrivals, true);
      // Before anybody enforces it: who dies here must not come back with what was before, should etcd be away then.
      await this.#storing;
      await this.#store(() => this.options.state.replace(this.#whole()));
      publish();
      if (first || !continued || asked) this.options.log.info('etcd.loaded', { objects: this.#table.size, errors: this.#table.snapshot.errors.length, revision: at.revision });
    });
  }

  /** A store that lost its history and holds nothing was most likely emptied, or is the wrong one; what is in force stays until somebody says otherwise. */
  #isCredible({ at, all, continued, asked }: Reading): boolean {
    const before = this.synced ? this.#table.size : (this.#stored?.values.size ?? 0);
    const other = this.#doubt !== undefined || !continued || (this.#at.cluster !== '' && (this.#at.cluster !== at.cluster || at.revision < this.#at.revision));
    const objects = [...all.keys()].some((key) => isObject(this.options.keys.parse(key)));
    if (asked || !other || objects || before === 0) {
      this.#doubt = undefined;
      return true;
    }
    this.#doubt ??= {
      reason: `etcd has another history than before (revision ${at.revision} after ${this.#at.revision}) and holds no objects; ${before} that were read before stay in force. If it is meant to be empty: agentctl sync`,
      since: this.options.clock.now(),
    };
    this.options.log.error('etcd.emptied', { revision: at.revision, before: this.#at.revision, objects: before });
    // Not synced yet: what was stored is the state.
    if (!this.synced && this.#stored !== undefined) void this.#exclusively(async () => this.#restore(this.#stored));
    return false;
  }

  async #changed(events: readonly KeyEvent[]): Promise<void> {
    if (this.#doubt !== undefined) {
      // What is in force is not of this history: only all of it together can take its place.
      if (events.some(({ key }) => isObject(this.options.keys.parse(key)))) throw new HistoryLost('compacted', 'the store is being filled again');
      return;
    }
    await this.#exclusively(async () => {
      const latest = new Map(events.map((event): [string, Arrival] => [event.key, event]));
      this.#at = { ...this.#at, revision: Math.max(this.#at.revision, events.at(-1)?.modRevision ?? 0) };
      const { changes, publish } = await this.#take([...latest.values()], false);
      await this.#storing;
      if (changes.length > 0) await this.#store(() => this.options.state.add(changes, this.#at.revision));
      publish();
      // What comes next is read meanwhile.
      this.#storing = this.#store(() => this.options.state.tidy(() => this.#whole()));
    });
  }

  async #restore(stored: StoredState | undefined): Promise<void> {
    if (this.synced || stored === undefined) return;
    const { publish } = await this.#take([...stored.values].map(([key, value]) => ({ key, value, modRevision: 0 })), true);
    publish();
    this.options.log.warn('etcd.restored', { objects: this.#table.size, revision: stored.at.revision, reason: this.#mirror.state.reason });
  }

  /** What of the arrivals changed what is good, for the disk; `publish` makes it known. `whole`: also where nothing changed, if it is the first time. */
  async #take(arrivals: readonly Arrival[], whole: boolean): Promise<{ readonly changes: readonly ValueChange[]; readonly publish: () => void }> {
    const changes: ValueChange[] = [];
    const objects: KeyChange[] = [];
    const workloads: WorkloadChange[] = [];
    const turns = new Turns();
    for (const { key, value, modRevision } of arrivals) {
      const place = this.options.keys.parse(key);
      const held = this.#held.get(key);
      if (place.form === 'agent' || (place.form === 'workload' && place.node === this.options.keys.node)) continue;
      if (value === undefined ? held === undefined : held !== undefined && Buffer.compare(held.value, value) === 0) continue;
      await turns.breathe();
      const good = held === undefined ? this.#stored?.values.get(key) : held.good;
      const verdict = value === undefined ? undefined : place.form === 'none' ? { refused: { path: '', message: place.reason } } : await this.#reader.read(place, value);
      const isGood = verdict !== undefined && 'good' in verdict;
      // The first this run hears of the key is bad: what it was before comes from the disk.
      if (place.form !== 'none' && held === undefined && !isGood && good !== undefined) await this.#revive(key, place, good, modRevision, objects, workloads);
      if (value === undefined) this.#held.delete(key);
      else this.#held.set(key, { value, good: isGood ? value : good });
      if (isGood || value === undefined) changes.push([key, value]);
      if (place.form === 'workload') workloads.push({ key, place, modRevision, verdict });
      else objects.push({ key, place: place.form === 'none' ? { path: '', message: place.reason } : place, verdict });
    }
    return {
      changes,
      publish: () => {
        if (whole) this.#stored = undefined;
        if (workloads.length > 0 || whole) this.others.apply(workloads);
        if ((objects.length > 0 || whole) && this.#table.apply(objects)) this.#published();
      },
    };
  }

  async #revive(key: string, place: ObjectPlace | WorkloadPlace, good: Uint8Array, modRevision: number, objects: KeyChange[], workloads: WorkloadChange[]): Promise<void> {
    const verdict: Verdict = await this.#reader.read(place, good);
    if (!('good' in verdict)) return;
    if (place.form === 'workload') workloads.push({ key, place, modRevision, verdict });
    else objects.push({ key, place, verdict });
  }

  #whole(): StoredState {
    return { at: this.#at, values: new Map([...this.#held].flatMap(([key, { good }]): [string, Uint8Array][] => (good === undefined ? [] : [[key, good]]))) };
  }

  /** Losing what is kept for the next start costs nothing now: it is said, and done as a whole with the next change. */
  async #store(write: () => Promise<void>): Promise<void> {
    try {
      await (this.#storeTrouble === undefined ? write() : this.options.state.replace(this.#whole()));
      this.#storeTrouble = undefined;
    } catch (error) {
      this.#storeTrouble ??= { reason: `what was read from etcd is not stored for the next start: ${describeError(error)}`, since: this.options.clock.now() };
      this.options.log.warn('etcd.not-stored', { error: describeError(error) });
    }
  }

  #published(): void {
    this.#report();
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.options.log.error('source.listener-failed', { reason: describeError(error) });
      }
    }
  }

  /** Logs each refusal once. */
  #report(): void {
    const reported = new Set<string>();
    for (const { object, path, message } of this.#table.snapshot.errors) {
      const text = `${object}\n${path}\n${message}`;
      reported.add(text);
      if (!this.#reported.has(text)) this.options.log.warn('source.refused', { object, path, reason: message });
    }
    this.#reported = reported;
  }

  /** One after the other. A closed parser ends the work at a stop. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work).catch((error: unknown) => {
      if (!this.#stopping.signal.aborted || !isAgentError(error, 'E_CANCELLED')) throw error;
    });
    this.#turn = mine.catch(() => undefined);
    await mine;
  }
}

function isObject(place: Place | { readonly form: 'none' }): boolean {
  return place.form === 'manifest' || place.form === 'ruletable' || place.form === 'addressset';
}

