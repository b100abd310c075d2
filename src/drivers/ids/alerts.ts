import { describeError } from '../../model/errors.js';
import type { AlertSelection, AlertView } from '../../model/views.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { AlertFollowers } from './alert-followers.js';
import type { AlertJournal, JournalEntry, RestoredAlert } from './alert-journal.js';
import { selects } from './alert-selection.js';
import { AlertWindows, type AlertWindow } from './alert-windows.js';
import { Chain, type Link } from './chain.js';
import type { ConnectionTuple, EveAlert } from './eve-alert.js';
import type { TailPosition } from './tail-position.js';
import { TokenBucket } from '../../platform/token-bucket.js';

/** Whose alert it is: told from addresses alone. */
export type AlertOwner = Pick<AlertView, 'workload' | 'filter' | 'direction' | 'labels' | 'namespaceLabels' | 'peer'>;
/** What the agent knows of the connection an alert speaks of. */
export type ConnectionFacts = Pick<AlertView, 'ruleId' | 'flowId' | 'ruleset' | 'policy' | 'connection' | 'refused' | 'refusedBy'>;
/** What the rest of the agent knows of alerts. */
export interface AlertContexts {
  /** undefined when neither end is a workload of this host. Called for every alert: must be cheap, and must not fail. */
  owner(tuple: ConnectionTuple): AlertOwner | undefined;
  /**
   * The connection of each of these, in their order. The engine may have seen only the middle of one, so source and destination may be
   * swapped: implementations try both ways. undefined where none is found. `patient`: an alert may come before its connection is
   * known, so it may be waited for, a second or two.
   */
  connections(tuples: readonly ConnectionTuple[], patient: boolean): Promise<readonly (ConnectionFacts | undefined)[]>;
}

export interface AlertStoreOptions {
  /** How long alike alerts are counted and not given out, ms; 0: each is given out. */
  readonly windowMs: number;
  /** Alerts that are kept; default 10,000, and never more than 32 MiB of them. */
  readonly capacity?: number;
  /** Alerts that are no repetition: a second on average, and at once; default 500 and 2,000. What comes above is dropped and counted. */
  readonly rate?: number;
  readonly burst?: number;
  /** Windows that may be open; default 20,000. */
  readonly windows?: number;
}
export interface AlertStoreDependencies {
  readonly contexts: AlertContexts;
  /** Gets every alert once, after enrichment, in order; and a second time at the end of its window, with the count, where it was repeated. */
  readonly onAlert: (alert: AlertView, kind: 'alert' | 'summary') => void;
  /** Hears of all alerts, repetitions and dropped ones too. */
  readonly onCounted: (severity: number, action: string, count: number) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** Absent: nothing survives a restart. */
  readonly journal?: AlertJournal;
}
export interface AlertStoreStatus {
  readonly kept: number;
  readonly windows: number;
  /** Windows closed early for want of room. */
  readonly forgotten: number;
  /** Alerts that came faster than they could be given out. */
  readonly dropped: number;
  readonly followerLost: number;
  /** Why alerts would not survive a restart now; "" when they would. */
  readonly journal: string;
}

const CAPACITY = 10_000;
const KEPT_BYTES = 32 * 1024 * 1024;
const RATE = 500;
const BURST = 2_000;
const WINDOWS = 20_000;
/** Alerts that are worked on before other events are served. */
export const SLICE = 256;
/** More new alerts than this at once are a storm: nobody waits for connections then. */
const PATIENT_UP_TO = 16;
const LEAST_PAUSE_MS = 20;

interface Kept {
  view: AlertView;
  /** While it is open. */
  window: AlertWindow | undefined;
  /** Of its JSON text: what it takes in memory is of that size. */
  readonly size: number;
}

/** Alerts, enriched: alike ones counted, the newest kept and listed, all given on. Memory and work are bounded whatever the engine sends. */
export class AlertStore {
  readonly #options: AlertStoreOptions;
  readonly #dependencies: AlertStoreDependencies;
  readonly #windows: AlertWindows;
  readonly #bucket: TokenBucket;
  readonly #kept = new Map<string, Link<Kept>>();
  readonly #order = new Chain<Kept>();
  #size = 0;
  readonly #bySeverity = new Map<number, number>();
  readonly #followers = new AlertFollowers();
  readonly #journal: AlertJournal | undefined;
  #dropped = 0;
  #turn: Promise<void> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(options: AlertStoreOptions, dependencies: AlertStoreDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#windows = new AlertWindows(options.windowMs, options.windows ?? WINDOWS);
    this.#bucket = new TokenBucket(options.rate ?? RATE, options.burst ?? BURST);
    this.#journal = dependencies.journal;
  }

  /** Takes back what an earlier life kept; windows that were open go on, summaries that are due are given out. */
  async start(): Promise<void> {
    this.#stopped = false;
    const restored = (await this.#journal?.restore(() => this.#newestFirst())) ?? [];
    const closed: AlertWindow[] = [];
    const [now, wall] = [this.#dependencies.clock.monotonic(), this.#dependencies.clock.now()];
    for (const { view, window } of restored) {
      if (window === undefined) {
        this.#keep(view, undefined);
        continue;
      }
      const open: AlertWindow = { key: window.key, alertId: view.id, openedAt: now - Math.max(0, wall - window.openedAt), count: window.count, lastMs: window.lastMs };
      this.#keep(view, open);
      closed.push(...this.#windows.restore(open));
    }
    await this.#exclusively(() => this.#end([...closed, ...this.#windows.due(now)]));
  }

  /** Windows stay open: the next life closes them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#turn;
    await this.#journal?.close();
  }

  /**
   * Enriches, counts, keeps and gives on. One that is known already (the file was read twice) is left out. `position`: the place in eve.json
   * behind them. Resolves when all are given on; never rejects.
   */
  async add(alerts: readonly EveAlert[], position?: TailPosition): Promise<void> {
    await this.#exclusively(() => this.#add(alerts, position));
  }

  /** Newest first; `limit` absent or 0 = all that match. `sinceMs`: ms since the epoch. */
  list(selection: AlertSelection & { readonly sinceMs?: number; readonly limit?: number } = {}): AlertView[] {
    const limit = selection.limit === undefined || selection.limit === 0 ? Number.POSITIVE_INFINITY : selection.limit;
    const found: AlertView[] = [];
    for (const kept of this.#order.newestFirst()) {
      if (found.length >= limit) break;
      const view = viewOf(kept);
      if (selects(selection, view)) found.push(view);
    }
    return found;
  }

  /** undefined when there is no such alert, or it is no longer kept. */
  find(id: string): AlertView | undefined {
    const link = this.#kept.get(id);
    return link === undefined ? undefined : viewOf(link.value);
  }

  /** Every alert added from now on that is selected, and summaries, until the signal fires. A reader slower than 1,000 alerts loses the oldest ones. */
  follow(selection: AlertSelection, signal: AbortSignal): AsyncIterable<AlertView> {
    return this.#followers.follow(selection, signal);
  }

  /** All alerts by severity since the start, repetitions and dropped ones too. */
  counts(): ReadonlyMap<number, number> {
    return this.#bySeverity;
  }

  status(): AlertStoreStatus {
    return {
      kept: this.#order.size, windows: this.#windows.size, forgotten: this.#windows.forgotten, dropped: this.#dropped,
      followerLost: this.#followers.lost, journal: this.#journal?.reason ?? '',
    };
  }

  async #add(alerts: readonly EveAlert[], position: TailPosition | undefined): Promise<void> {
    const fresh: Fresh[] = [];
    const known = new Set<string>();
    const repeated = new Set<AlertWindow>();
    const closed: AlertWindow[] = [];
    const counted = new Map<string, { severity: number; action: string; count: number }>();
    for (const [index, alert] of alerts.entries()) {
      if (index > 0 && index % SLICE === 0) await otherEvents();
      const { view } = alert;
      if (this.#kept.has(view.id) || known.has(view.id)) continue;
      tally(counted, view);
      const owner = this.#dependencies.contexts.owner(alert.connection);
      const key = keyOf(alert, owner);
      const now = this.#dependencies.clock.monotonic();
      const window = this.#windows.count(key, alert.timeMs, now);
      if (window !== undefined) {
        repeated.add(window);
        continue;
      }
      if (!this.#bucket.take(now)) {
        this.#dropped += 1;
        continue;
      }
      known.add(view.id);
      const opened = this.#windows.open(key, { id: view.id, timeMs: alert.timeMs }, now);
      closed.push(...opened.closed);
      fresh.push({ alert, owner, window: this.#options.windowMs === 0 ? undefined : opened.window });
    }
    for (const { severity, action, count } of counted.values()) {
      this.#bySeverity.set(severity, (this.#bySeverity.get(severity) ?? 0) + count);
      this.#dependencies.onCounted(severity, action, count);
    }
    const views = await this.#enriched(fresh);
    await this.#journal?.append([...fresh.map(({ window }, index) => this.#alertEntry(views[index], window)), ...[...repeated].map(countEntry)].flatMap((entry) => entry ?? []), position);
    for (const [index, view] of views.entries()) {
      if (index > 0 && index % SLICE === 0) await otherEvents();
      this.#keep(view, fresh[index]?.window);
      this.#give(view, 'alert');
    }
    await this.#end(closed);
  }

  async #enriched(fresh: readonly Fresh[]): Promise<AlertView[]> {
    const patient = fresh.length <= PATIENT_UP_TO;
    const views: AlertView[] = [];
    for (let at = 0; at < fresh.length; at += SLICE) {
      if (at > 0) await otherEvents();
      const slice = fresh.slice(at, at + SLICE);
      const facts = await this.#facts(slice.map(({ alert }) => alert.connection), patient);
      slice.forEach(({ alert, owner }, index) => views.push({ ...alert.view, ...owner, ...facts[index] }));
    }
    return views;
  }

  /** An alert without its context is worth more than none: a failed lookup is logged, and the alert given on. */
  async #facts(tuples: readonly ConnectionTuple[], patient: boolean): Promise<readonly (ConnectionFacts | undefined)[]> {
    try {
      return await this.#dependencies.contexts.connections(tuples, patient);
    } catch (error) {
      this.#dependencies.log.warn('ids.alert.lookup-failed', { alerts: tuples.length, reason: describeError(error) });
      return [];
    }
  }

  #alertEntry(view: AlertView | undefined, window: AlertWindow | undefined): JournalEntry | undefined {
    if (view === undefined) return undefined;
    return { type: 'alert', view, ...(window === undefined ? {} : { window: { key: window.key, openedAt: this.#wallTime(window.openedAt) } }) };
  }

  #wallTime(monotonic: number): number {
    const { clock } = this.#dependencies;
    return Math.round(clock.now() - (clock.monotonic() - monotonic));
  }

  /** Gives out the summaries of windows that are over. */
  async #end(closed: readonly AlertWindow[]): Promise<void> {
    const summaries: AlertView[] = [];
    const entries: JournalEntry[] = [];
    for (const window of closed) {
      const kept = this.#kept.get(window.alertId)?.value;
      if (kept?.window === window) {
        kept.view = viewOf(kept);
        kept.window = undefined;
      }
      if (window.count === 1) continue;
      if (kept !== undefined) summaries.push(kept.view);
      entries.push(countEntry(window), { type: 'end', id: window.alertId });
    }
    if (entries.length > 0) await this.#journal?.append(entries);
    for (const [index, view] of summaries.entries()) {
      if (index > 0 && index % SLICE === 0) await otherEvents();
      this.#give(view, 'summary');
    }
    this.#schedule();
  }

  #schedule(): void {
    const { nextDue } = this.#windows;
    if (nextDue === undefined || this.#stopped || this.#cancelTimer !== undefined) return;
    const { clock } = this.#dependencies;
    this.#cancelTimer = clock.after(Math.max(LEAST_PAUSE_MS, nextDue - clock.monotonic()), () => {
      this.#cancelTimer = undefined;
      void this.#exclusively(() => this.#end(this.#windows.due(clock.monotonic())));
    });
  }

  #keep(view: AlertView, window: AlertWindow | undefined): void {
    const earlier = this.#kept.get(view.id);
    if (earlier !== undefined) this.#drop(earlier);
    const kept: Kept = { view, window, size: JSON.stringify(view).length };
    this.#kept.set(view.id, this.#order.append(kept));
    this.#size += kept.size;
    while (this.#order.size > (this.#options.capacity ?? CAPACITY) || this.#size > KEPT_BYTES) {
      const oldest = this.#order.first === undefined ? undefined : this.#kept.get(this.#order.first.view.id);
      if (oldest === undefined) break;
      this.#drop(oldest);
    }
  }

  #drop(link: Link<Kept>): void {
    this.#kept.delete(link.value.view.id);
    this.#order.remove(link);
    this.#size -= link.value.size;
  }

  #give(view: AlertView, kind: 'alert' | 'summary'): void {
    this.#followers.give(view);
    this.#dependencies.onAlert(view, kind);
  }

  *#newestFirst(): Generator<RestoredAlert> {
    for (const kept of this.#order.newestFirst()) {
      const { window } = kept;
      yield {
        view: viewOf(kept),
        ...(window === undefined ? {} : { window: { key: window.key, openedAt: this.#wallTime(window.openedAt), count: window.count, lastMs: window.lastMs } }),
      };
    }
  }

  /** Batches, ends of windows and restoring take turns. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work).catch((error: unknown) => this.#dependencies.log.error('ids.alerts.failed', { reason: describeError(error) }));
    this.#turn = mine;
    await mine;
  }
}

interface Fresh {
  readonly alert: EveAlert;
  readonly owner: AlertOwner | undefined;
  readonly window: AlertWindow | undefined;
}

function viewOf({ view, window }: Kept): AlertView {
  return window === undefined || window.count === 1 ? view : { ...view, count: window.count, last: timeText(window.lastMs) };
}

function countEntry(window: AlertWindow): JournalEntry {
  return { type: 'count', id: window.alertId, count: window.count, lastMs: window.lastMs };
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** Alike: the same signature at the same workload, in the same direction, with the same peer, at the same port. */
function keyOf({ view, connection }: EveAlert, owner: AlertOwner | undefined): string {
  const { source, destination } = connection;
  const peer = owner?.direction === undefined ? `${source.address} ${destination.address}` : owner.direction === 'in' ? source.address : destination.address;
  return `${view.signatureId} ${owner?.filter ?? ''} ${owner?.direction ?? ''} ${peer} ${destination.port} ${connection.protocol}`;
}

function tally(counted: Map<string, { severity: number; action: string; count: number }>, { severity, action }: AlertView): void {
  const key = `${severity} ${action}`;
  const entry = counted.get(key);
  if (entry === undefined) counted.set(key, { severity, action, count: 1 });
  else entry.count += 1;
}

function otherEvents(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
