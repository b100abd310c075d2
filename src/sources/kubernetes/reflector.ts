/**
 * Keeps one resource (of the whole cluster, or of one namespace) as the API server has it: reads everything once, page by page, then watches
 * from there on. Kubernetes API concepts, "Efficient detection of changes" and "Retrieving large results sets in chunks".
 *
 * - A list takes effect when its last page is there, never before; what is in force then becomes what it says.
 * - A watch that ends goes on from the last revision (bookmarks keep it young). 410: list again, and apply the difference.
 * - A server that went back in time (a restored backup) is listed again, with everything else. A watch begun at a future revision would be
 *   silent, so a server that may have restarted is looked at first: what fits in a page is listed, else it is asked for its revision.
 * - Failures are retried with growing pauses for ever; `problem` says what is wrong, and since when.
 */
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { Turns } from '../../platform/turns.js';
import type { ApiClient } from './api-client.js';
import { gone, isGone, requestFailure } from './api-errors.js';
import { Backoff } from './backoff.js';
import { LineSplitter } from './line-splitter.js';
import type { ListReader } from './list-reader.js';
import { collectionPath, type ServedResource } from './resources.js';
import { wentBack } from './revisions.js';
import type { ServerHistory } from './server-history.js';
import type { TrimmedItem } from './trimmed-item.js';

/** Where what was read goes. Calls come from one resource in order. */
export interface ReflectorSink {
  /** An object of the API as it is now. */
  change(object: unknown): void;
  remove(object: unknown): void;
  /** A list begins. */
  beginList(): void;
  list(item: TrimmedItem): void;
  /** The list is complete: what it did not hold is gone. True when an object in it is older than the one that was known. */
  endList(): boolean;
  /** The list cannot be had: its items so far never were. */
  dropList(): void;
  /** Objects known. */
  readonly size: number;
}

export interface ReflectorTimes {
  /** Objects a page. */
  readonly pageSize: number;
  /** How long the server is asked to keep a watch open, least and most. */
  readonly watchSeconds: readonly [number, number];
  /** A watch on which nothing comes, not even a bookmark, is given up. Servers send one about every minute. */
  readonly watchIdleMs: number;
  readonly firstPauseMs: number;
  readonly lastPauseMs: number;
  /** A server that may have restarted is looked at no more often. */
  readonly suspectMs: number;
}

export const DEFAULT_TIMES: ReflectorTimes = { pageSize: 500, watchSeconds: [300, 600], watchIdleMs: 150_000, firstPauseMs: 500, lastPauseMs: 30_000, suspectMs: 10_000 };

export interface ReflectorOptions {
  readonly client: ApiClient;
  readonly resource: ServedResource;
  readonly namespace?: string;
  readonly sink: ReflectorSink;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly times: ReflectorTimes;
  readonly history: ServerHistory;
  /** For pages behind the first, and lists that come as one; `firstPages`: for the first, which is all of most lists. */
  readonly lists: ListReader;
  readonly firstPages: ListReader;
  /** The server answers 404: the resource may be gone. */
  readonly onMissing: () => void;
  /** After a list, after events, and when `problem` changed. */
  readonly onProgress: () => void;
  /** A request of this resource succeeded after failures: others may try at once. */
  readonly onRecovered: () => void;
}

export interface ReflectorProblem { readonly reason: string; readonly since: number; readonly error: AgentError }

/** After a watch that lasted less and brought nothing, the next one waits: longer and longer, but not long. */
const SHORT_WATCH_MS = 1_000;
const SHORT_WATCH_PAUSE_MS = 2_000;
interface Waiter { resolve(): void; reject(error: unknown): void }

export class Reflector {
  /** Everything up to here is known. */
  private revision: string | undefined;
  /** What is known does not lead to what the server has now. */
  private mustList = true;
  /** Pages of the last list expired on the way: the next is asked for as a whole. */
  private wholeList = false;
  /** The server may have restarted since. */
  private doubtful = false;
  private current: ReflectorProblem | undefined;
  private readonly waiters: Waiter[] = [];
  /** Of the watch under way. */
  private interrupt = new AbortController();
  private checkedAt = -Infinity;
  /** In which the last list was read. */
  private epoch = 0;
  private readonly ending = new AbortController();
  private running: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private readonly backoff: Backoff;

  constructor(private readonly options: ReflectorOptions) {
    const { times, random } = options;
    this.backoff = new Backoff({ firstMs: times.firstPauseMs, lastMs: times.lastPauseMs, random });
  }

  /** True once a list was complete. */
  get synced(): boolean {
    return this.revision !== undefined;
  }

  get problem(): ReflectorProblem | undefined {
    return this.current;
  }

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.ending.abort();
    this.interrupt.abort();
    this.wake?.();
    await this.running;
  }

  /** Lists again now; resolves when that is done, rejects with why it could not be. */
  async relist(): Promise<void> {
    if (this.ending.signal.aborted) throw new AgentError('E_CANCELLED', 'the source was stopped');
    const done = new Promise<void>((resolve, reject) => this.waiters.push({ resolve, reject }));
    this.interrupt.abort();
    this.wake?.();
    return done;
  }

  /** Ends the watch, because the history's epoch has changed. */
  lookAgain(): void {
    this.interrupt.abort();
    this.wake?.();
  }

  /** Ends a pause between attempts. */
  tryNow(): void {
    if (this.current !== undefined) this.wake?.();
  }

  private async run(): Promise<void> {
    const { clock } = this.options;
    while (!this.ending.signal.aborted) {
      const asked = this.waiters.splice(0);
      try {
        if (this.mustList || this.epoch !== this.options.history.epoch || asked.length > 0) await this.list();
        for (const waiter of asked) waiter.resolve();
        this.interrupt = new AbortController();
        if (this.waiters.length > 0 || this.ending.signal.aborted || this.epoch !== this.options.history.epoch) continue;
        const began = clock.monotonic();
        const events = await this.watch();
        if (events === 0 && clock.monotonic() - began < SHORT_WATCH_MS) await this.pause(Math.min(this.backoff.next(), SHORT_WATCH_PAUSE_MS));
        else this.backoff.reset();
      } catch (error) {
        for (const waiter of asked) waiter.reject(error);
        await this.failed(error);
      }
    }
    for (const waiter of this.waiters.splice(0)) waiter.reject(new AgentError('E_CANCELLED', 'the source was stopped'));
  }

  private async failed(error: unknown): Promise<void> {
    if (this.ending.signal.aborted || (this.interrupt.signal.aborted && isAgentError(error, 'E_CANCELLED'))) return;
    if (isGone(error)) {
      this.options.log.info('kubernetes.expired', { resource: this.name, revision: this.revision });
      this.mustList = true;
      // A server that answers every list so must not be asked without a pause.
      await this.pause(this.backoff.next());
      return;
    }
    this.doubtful = true;
    this.say(error);
    if (isAgentError(error, 'E_NOT_FOUND')) this.options.onMissing();
    const asked = error instanceof AgentError ? Number(error.context['retryAfter']) * 1000 : NaN;
    const pause = this.backoff.next();
    await this.pause(Number.isFinite(asked) ? Math.max(pause, Math.min(asked, this.options.times.lastPauseMs)) : pause);
  }

  private async list(): Promise<void> {
    const { sink, log, clock, times, history } = this.options;
    const began = clock.monotonic();
    const { epoch, mark } = history;
    const whole = this.wholeList;
    this.wholeList = false;
    sink.beginList();
    let items = 0;
    let resourceVersion = '';
    try {
      for (let token: string | undefined = ''; token !== undefined;) {
        const page = await this.page(whole ? undefined : times.pageSize, token);
        items += page.items;
        resourceVersion = page.resourceVersion;
        token = page.continueToken === '' ? undefined : page.continueToken;
      }
      if (resourceVersion === '') throw new AgentError('E_PARSE', 'the list has no resourceVersion', { retryable: true });
    } catch (error) {
      sink.dropList();
      this.wholeList = isGone(error);
      throw error;
    }
    const behind = history.isBehind(resourceVersion, mark);
    const older = sink.endList();
    if (behind || older) this.wentBack(resourceVersion);
    this.epoch = history.epoch === epoch + 1 && (behind || older) ? history.epoch : epoch;
    this.checkedAt = clock.monotonic();
    this.reached(resourceVersion);
    this.mustList = false;
    this.doubtful = false;
    this.succeeded();
    log.debug('kubernetes.listed', { resource: this.name, items, revision: resourceVersion, ms: Math.round(clock.monotonic() - began) });
    this.options.onProgress();
  }

  private async page(limit: number | undefined, token: string): Promise<{ items: number; resourceVersion: string; continueToken: string }> {
    const { client, sink, resource, lists, firstPages } = this.options;
    const query = this.query({ ...(limit === undefined ? {} : { limit: String(limit) }), ...(token === '' ? {} : { continue: token }) });
    const { body, packed } = await client.open({ path: `${this.path}${query}`, signal: this.ending.signal, compressed: true });
    const reader = token === '' && limit !== undefined ? firstPages : lists;
    const { apiVersion, watched } = resource;
    const pages = reader.read({ bytes: body, packed }, { apiVersion, written: watched.written, own: watched.own });
    const turns = new Turns();
    let items = 0;
    try {
      for (;;) {
        const step = await pages.next();
        if (step.done === true) return { items, ...step.value };
        for (const item of step.value) {
          sink.list(item);
          await turns.breathe();
        }
        items += step.value.length;
      }
    } catch (error) {
      throw this.readFailure(error);
    } finally {
      // Ends the answer when it was not read to its end.
      await pages.return({ resourceVersion: '', continueToken: '' }).catch(() => undefined);
    }
  }

  /** Until it ends or is interrupted; resolves with the number of events. */
  private async watch(): Promise<number> {
    const { client, clock, times, random } = this.options;
    const checkIn = this.checkedAt + times.suspectMs - clock.monotonic();
    if (this.doubtful && checkIn <= 0) await this.check();
    if (this.mustList || this.revision === undefined) return 1;
    const [least, most] = times.watchSeconds;
    const seconds = Math.round(least + random() * (most - least));
    const query = this.query({ watch: '1', allowWatchBookmarks: 'true', resourceVersion: this.revision, timeoutSeconds: String(seconds) });
    const { interrupt } = this;
    const { body } = await client.open({ path: `${this.path}${query}`, signal: interrupt.signal, idleMs: times.watchIdleMs, headersMs: times.watchIdleMs });
    const began = clock.monotonic();
    this.succeeded();
    const cancelCheck = this.doubtful ? clock.after(Math.max(checkIn, 0), () => interrupt.abort()) : () => undefined;
    const lines = new LineSplitter();
    let events = 0;
    try {
      for await (const chunk of body) {
        const batch = lines.push(chunk);
        for (const line of batch) this.event(line);
        events += batch.length;
        if (batch.length > 0) this.options.onProgress();
        if (interrupt.signal.aborted) break;
      }
    } catch (error) {
      if (interrupt.signal.aborted) return 1;
      const failure = this.readFailure(error);
      // Connections end: servers restart, balancers forget. Only what keeps the next one from beginning is trouble.
      if (failure.code !== 'E_UNREACHABLE') throw failure;
    } finally {
      cancelCheck();
    }
    // Before its time: the server may have restarted, with an older state.
    if (clock.monotonic() - began < seconds * 900) this.doubtful = true;
    return events;
  }

  private event(line: string): void {
    const { sink } = this.options;
    let event: Readonly<Record<string, unknown>> | undefined;
    try {
      event = fieldsOf(JSON.parse(line));
    } catch (cause) {
      throw new AgentError('E_PARSE', 'an event of the watch is no JSON', { retryable: true, cause });
    }
    const { type, object } = event ?? {};
    if (type === 'ERROR') throw watchError(object, this.path);
    const version = fieldsOf(fieldsOf(object)?.['metadata'])?.['resourceVersion'];
    if (typeof version === 'string' && this.revision !== undefined && wentBack(this.revision, version)) {
      this.wentBack(version);
      throw gone(this.path, ': its revision went backwards');
    }
    if (type === 'ADDED' || type === 'MODIFIED') sink.change(object);
    else if (type === 'DELETED') sink.remove(object);
    else if (type !== 'BOOKMARK') throw new AgentError('E_PARSE', 'an event of the watch has no type that is known', { retryable: true });
    if (typeof version === 'string') this.reached(version);
  }

  /** Whether what is known leads to what the server has now. */
  private async check(): Promise<void> {
    const { client, clock, sink, times, history } = this.options;
    if (sink.size <= times.pageSize) {
      this.mustList = true;
      return;
    }
    const { mark } = history;
    const { revision } = this;
    const answer = fieldsOf(await client.json({ path: `${this.path}${this.query({ limit: '1' })}`, signal: this.interrupt.signal }));
    const now = fieldsOf(answer?.['metadata'])?.['resourceVersion'];
    this.checkedAt = clock.monotonic();
    this.doubtful = false;
    if (typeof now === 'string' && (history.isBehind(now, mark) || (revision !== undefined && wentBack(revision, now)))) this.wentBack(now);
  }

  private reached(revision: string): void {
    this.revision = revision;
    this.options.history.seen(revision);
  }

  private wentBack(revision: string): void {
    this.options.log.warn('kubernetes.went_back', { resource: this.name, from: this.revision, to: revision });
    this.mustList = true;
    this.options.history.back(this.epoch, revision);
  }

  private readFailure(error: unknown): AgentError {
    return requestFailure(error, this.path, this.options.clock.now());
  }

  private say(error: unknown): void {
    const reason = describeError(error);
    if (this.current?.reason !== reason) this.options.log.warn('kubernetes.failed', { resource: this.name, reason });
    const known = error instanceof AgentError ? error : new AgentError('E_INTERNAL', reason, { cause: error });
    this.current = { reason, since: this.current?.since ?? this.options.clock.now(), error: known };
    this.options.onProgress();
  }

  private succeeded(): void {
    if (this.current === undefined) return;
    this.options.log.info('kubernetes.recovered', { resource: this.name, after: this.current.reason });
    this.current = undefined;
    this.backoff.reset();
    this.options.onRecovered();
    this.options.onProgress();
  }

  private async pause(ms: number): Promise<void> {
    if (this.ending.signal.aborted || this.waiters.length > 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.options.clock.after(ms, resolve);
      this.wake = () => {
        cancel();
        resolve();
      };
    });
    this.wake = undefined;
  }

  private get path(): string {
    return collectionPath(this.options.resource, this.options.namespace);
  }

  private get name(): string {
    return `${this.options.resource.apiVersion} ${this.options.resource.plural}`;
  }

  private query(more: Readonly<Record<string, string>>): string {
    const { fieldSelector } = this.options.resource.watched;
    return `?${new URLSearchParams({ ...more, ...(fieldSelector === undefined ? {} : { fieldSelector }) }).toString()}`;
  }
}

/** `object`: a metav1.Status. */
function watchError(object: unknown, path: string): AgentError {
  const { code, message, reason } = fieldsOf(object) ?? {};
  const said = typeof message === 'string' ? `: ${message.slice(0, 200)}` : '';
  if (code === 410 || reason === 'Expired' || reason === 'Gone') return gone(path, said);
  return new AgentError('E_IO', `the watch failed${said}`, { object: path, retryable: true, context: { status: code } });
}
