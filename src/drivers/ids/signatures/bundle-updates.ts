import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, isAgentError } from '../../../model/errors.js';
import type { BundleFetchResult, BundleView, SignatureChangeView } from '../../../model/views.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import { sleep } from '../../../platform/sleep.js';
import type { BundleSource, FetchState } from './bundle-source.js';
import { FETCHED, parseRecord, type VersionStore } from './version-store.js';

export interface UpdateOptions {
  /** Between two fetches, ms; 0: only when asked, and when a local file changes. */
  readonly intervalMs: number;
  /** How often a local file is looked at, ms. */
  readonly lookMs: number;
  /** From 0 to 1, another one each time. */
  readonly random: () => number;
}
export interface TakenBundle {
  readonly archive: string;
  readonly incoming: string;
  readonly sha256: string;
  readonly source: string;
}
/** What the schedule asks of its owner. */
export interface UpdateTarget {
  /** Whether a version of the bundle is in force. */
  readonly kept: () => boolean;
  readonly update: (explicit: boolean) => Promise<unknown>;
}
interface LastFetch extends FetchState { readonly source: string; readonly at: number; readonly result: BundleFetchResult; readonly detail: string }

const FIRST_PAUSE_MS = 60_000;
/** Hosts that start together do not ask together. */
const JITTER = 0.1;

/** When the bundle is fetched, what came of it, and what the next fetch may leave out. */
export class BundleUpdates {
  /** By result, since the start. */
  readonly fetches = new Map<BundleFetchResult, number>();
  #last: LastFetch | undefined;
  #failures = 0;
  #next: number | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly source: BundleSource, private readonly store: VersionStore, private readonly options: UpdateOptions, private readonly clock: Clock, private readonly log: Logger) {}

  /** Begins the schedule, until the signal fires. At once where no version is kept; else when the last fetch is `intervalMs` old. */
  start(signal: AbortSignal, target: UpdateTarget): void {
    this.#running = this.#schedule(signal, target).catch((error: unknown) => this.log.error('ids.bundle.schedule', { reason: describeError(error) }));
  }

  /** Resolves when the schedule has ended, after its signal has fired. */
  async stop(): Promise<void> {
    await this.#running;
  }

  view(): BundleView {
    const last = this.#last;
    return {
      source: this.source.shown,
      ...(last === undefined ? {} : { lastFetch: { at: new Date(last.at).toISOString(), result: last.result, detail: last.detail } }),
      ...(this.#next === undefined ? {} : { nextFetch: new Date(this.#next).toISOString() }),
    };
  }

  /**
   * One fetch; a bundle that is another goes to `take`, whose answer is the result. An explicit one also looks again at what was refused. Never rejects.
   */
  async attempt(explicit: boolean, signal: AbortSignal, take: (bundle: TakenBundle) => Promise<SignatureChangeView>): Promise<SignatureChangeView> {
    const { store } = this;
    const last = await this.#recall();
    const { etag, lastModified, sha256 } = last ?? {};
    const state: FetchState = last === undefined || (explicit && last.result === 'refused') ? {} : {
      ...(etag === undefined ? {} : { etag }), ...(lastModified === undefined ? {} : { lastModified }), ...(sha256 === undefined ? {} : { sha256 }),
    };
    const { version } = store.inForce ?? {};
    const answerOf = (outcome: 'unchanged' | 'failed', detail: string): SignatureChangeView => ({ outcome, detail, ...(version === undefined ? {} : { version }), faults: [] });
    let fetched: FetchState = { ...(etag === undefined ? {} : { etag }), ...(lastModified === undefined ? {} : { lastModified }), ...(sha256 === undefined ? {} : { sha256 }) };
    try {
      const incoming = await store.incoming();
      const archive = join(incoming, 'bundle');
      const answer = await this.source.fetch(archive, state, signal);
      if (answer.kind === 'unchanged') {
        const stillRefused = last?.result === 'refused';
        await this.#note(fetched, stillRefused ? 'refused' : 'unchanged', stillRefused ? last.detail : 'as before');
        return stillRefused ? answerOf('failed', `the bundle is still the one that was refused: ${last.detail}`) : answerOf('unchanged', 'the bundle is as before');
      }
      fetched = { ...answer.validators, sha256: answer.sha256 };
      const change = await take({ archive, incoming, sha256: answer.sha256, source: this.source.shown });
      if (signal.aborted) return change;
      // Changed or not: an engine that does not run reads the new version when it starts.
      const taken = store.inForce?.version !== version;
      await this.#note(fetched, taken ? 'updated' : change.outcome === 'unchanged' ? 'unchanged' : 'refused', change.detail);
      return change;
    } catch (error) {
      if (signal.aborted) return answerOf('failed', 'cancelled: the agent stops');
      const detail = describeError(error);
      // What an archive holds is refused as it is until it is another; what could not be had is tried again.
      const refused = fetched.sha256 !== sha256 && isAgentError(error) && !error.retryable;
      await this.#note(refused ? fetched : (last ?? {}), refused ? 'refused' : 'failed', detail);
      return answerOf('failed', detail);
    }
  }

  async #note({ etag, lastModified, sha256 }: FetchState, result: BundleFetchResult, detail: string): Promise<void> {
    this.fetches.set(result, (this.fetches.get(result) ?? 0) + 1);
    this.#failures = result === 'failed' ? this.#failures + 1 : 0;
    this.#last = {
      source: this.source.shown, at: this.clock.now(), result, detail,
      ...(etag === undefined ? {} : { etag }), ...(lastModified === undefined ? {} : { lastModified }), ...(sha256 === undefined ? {} : { sha256 }),
    };
    this.log[result === 'failed' || result === 'refused' ? 'warn' : 'info']('ids.bundle.fetch', { result, detail, source: this.source.shown });
    try {
      await this.store.disk.replace(join(this.store.directory, FETCHED), `${JSON.stringify(this.#last)}\n`);
    } catch (error) {
      // Worth a fetch more after the next start.
      this.log.warn('ids.bundle.not-noted', { reason: describeError(error) });
    }
  }

  /** What the last fetch from this source left. Nothing is left out without a version that it led to. */
  async #recall(): Promise<LastFetch | undefined> {
    this.#last ??= parseLastFetch(await this.store.disk.read(join(this.store.directory, FETCHED)).then(parseRecord, () => undefined));
    if (this.#last?.source !== this.source.shown) return undefined;
    return this.#last.result === 'refused' || (this.#last.sha256 !== undefined && await keeps(this.store, this.#last.sha256)) ? this.#last : undefined;
  }

  async #schedule(signal: AbortSignal, { kept, update }: UpdateTarget): Promise<void> {
    const { intervalMs, lookMs } = this.options;
    let seen = '';
    let taken = await fileState(this.source.path);
    const last = await this.#recall();
    // Only a look into it tells whether a file changed while the agent was away; it costs a copy.
    if (!kept() || last === undefined || this.source.path !== undefined) this.#next = this.clock.now();
    else this.#next = this.#later(Math.max(intervalMs - (this.clock.now() - last.at), this.options.random() * Math.min(FIRST_PAUSE_MS, intervalMs)));
    while (!signal.aborted) {
      const now = this.clock.now();
      const state = await fileState(this.source.path);
      // Twice alike: nobody is writing it any more.
      const changed = state !== '' && state !== taken && state === seen;
      seen = state;
      if (changed || (this.#next !== undefined && now >= this.#next)) {
        taken = state;
        await update(false);
        this.#next = this.#later(this.#failures === 0 ? intervalMs : Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), Math.max(intervalMs, FIRST_PAUSE_MS)));
      }
      const left = this.#next === undefined ? LONGEST_SLEEP_MS : Math.max(0, this.#next - this.clock.now());
      await sleep(this.clock, Math.min(left, this.source.path === undefined ? LONGEST_SLEEP_MS : lookMs), signal);
    }
    this.#next = undefined;
  }

  #later(pauseMs: number): number | undefined {
    if (this.options.intervalMs === 0) return undefined;
    return this.clock.now() + Math.round(pauseMs * (1 - JITTER + 2 * JITTER * this.options.random()));
  }
}

/** Timers of more than 24 days fire at once. */
const LONGEST_SLEEP_MS = 3_600_000;

async function keeps(store: VersionStore, sha256: string): Promise<boolean> {
  for (const version of [store.inForce?.version, store.inForce?.previous]) {
    if (version !== undefined && (await store.manifest(version))?.sha256 === sha256) return true;
  }
  return false;
}

/** What tells one content of a file from another without reading it; '' when there is none. */
async function fileState(path: string | undefined): Promise<string> {
  if (path === undefined) return '';
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${String(ino)}:${String(size)}:${String(mtimeMs)}`;
  } catch {
    return '';
  }
}

const RESULTS: readonly BundleFetchResult[] = ['updated', 'unchanged', 'refused', 'failed'];

function parseLastFetch(record: Readonly<Record<string, unknown>> | undefined): LastFetch | undefined {
  const { source, at, result: given, detail, etag, lastModified, sha256 } = record ?? {};
  const result = RESULTS.find((known) => known === given);
  if (typeof source !== 'string' || typeof at !== 'number' || result === undefined || typeof detail !== 'string') return undefined;
  return {
    source, at, result, detail,
    ...(typeof etag === 'string' ? { etag } : {}), ...(typeof lastModified === 'string' ? { lastModified } : {}), ...(typeof sha256 === 'string' ? { sha256 } : {}),
  };
}
