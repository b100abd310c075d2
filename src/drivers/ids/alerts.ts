import type { WorkloadReference } from '../../model/objects.js';
import { describeError } from '../../model/errors.js';
import type { AlertView } from '../../model/views.js';
import type { Logger } from '../../platform/logger.js';
import type { ConnectionTuple, EveAlert } from './eve-alert.js';

/** What the agent knows of the connection an alert speaks of. */
export interface AlertContext {
  readonly filter?: string;
  readonly workload?: WorkloadReference;
  readonly ruleId?: number;
  readonly flowId?: string;
}
/**
 * Finds the connection among the agent's flows and filters. The engine may have seen only the middle of it, so source and
 * destination may be swapped: implementations try both ways. undefined when neither end is a workload of this host. `atMs`
 * tells when the packet was seen; the connection may have ended since.
 */
export interface FlowLookup {
  find(tuple: ConnectionTuple, atMs: number): Promise<AlertContext | undefined>;
}

export interface AlertFilter {
  /** A workload's name, "namespace/name", or a filter's name. */
  readonly workload?: string;
  /** Only alerts at or after this time, ms since the epoch. */
  readonly sinceMs?: number;
  /** Least severe level wanted: 1 is the most severe, so 2 gives levels 1 and 2. */
  readonly minSeverity?: number;
}

const CAPACITY = 10_000;
const FOLLOWER_CAPACITY = 1_000;

/** The last 10,000 alerts, enriched; counts by severity since the start; followers. */
export class AlertStore {
  /** Ring: the oldest is at #next once it is full. */
  readonly #ring: AlertView[] = [];
  #next = 0;
  readonly #known = new Set<string>();
  readonly #bySeverity = new Map<number, number>();
  readonly #followers = new Set<Follower>();
  #followerLost = 0;

  constructor(
    private readonly lookup: FlowLookup,
    /** Gets every alert once, after enrichment, in order. */
    private readonly onAlert: (alert: AlertView) => void,
    private readonly log: Logger,
    private readonly capacity: number = CAPACITY,
  ) {}

  /** Enriches and keeps the alerts. One that is known already (the file was read twice) is left out. */
  async add(alerts: readonly EveAlert[]): Promise<void> {
    for (const alert of alerts) {
      if (this.#known.has(alert.view.id)) continue;
      this.#keep({ ...alert.view, ...(await this.#context(alert)) });
    }
  }

  /** An alert without its context is worth more than none: a failed lookup is logged, and the alert kept. */
  async #context(alert: EveAlert): Promise<AlertContext | undefined> {
    try {
      return await this.lookup.find(alert.connection, alert.timeMs);
    } catch (error) {
      this.log.warn('ids.alert.lookup-failed', { alert: alert.view.id, reason: describeError(error) });
      return undefined;
    }
  }

  /** Newest first; `limit` absent or 0 = all that match. */
  list(filter: AlertFilter & { readonly limit?: number } = {}): AlertView[] {
    const limit = filter.limit === undefined || filter.limit === 0 ? Number.POSITIVE_INFINITY : filter.limit;
    const found: AlertView[] = [];
    const size = this.#ring.length;
    for (let age = 1; age <= size && found.length < limit; age += 1) {
      const alert = this.#ring[(this.#next - age + size) % size];
      if (alert !== undefined && matches(alert, filter)) found.push(alert);
    }
    return found;
  }

  /** Every alert added from now on that matches, until the signal fires. A reader slower than 1,000 alerts loses the oldest ones, counted in followerLost. */
  follow(filter: AlertFilter, signal: AbortSignal): AsyncIterable<AlertView> {
    const follower = new Follower(filter, signal);
    // Joined here, not at the first next(): what comes between must not be missed.
    if (!signal.aborted) {
      this.#followers.add(follower);
      signal.addEventListener('abort', () => this.#followers.delete(follower), { once: true });
    }
    const leave = (): void => {
      this.#followers.delete(follower);
    };
    return {
      async *[Symbol.asyncIterator]() {
        try {
          for (let alert = await follower.next(); alert !== undefined; alert = await follower.next()) yield alert;
        } finally {
          leave();
        }
      },
    };
  }

  /** Alerts by severity since the start. */
  counts(): ReadonlyMap<number, number> {
    return this.#bySeverity;
  }

  get followerLost(): number {
    return this.#followerLost;
  }

  #keep(alert: AlertView): void {
    const oldest = this.#ring[this.#next];
    if (oldest !== undefined) this.#known.delete(oldest.id);
    this.#ring[this.#next] = alert;
    this.#next = (this.#next + 1) % this.capacity;
    this.#known.add(alert.id);
    this.#bySeverity.set(alert.severity, (this.#bySeverity.get(alert.severity) ?? 0) + 1);
    for (const follower of this.#followers) if (!follower.offer(alert)) this.#followerLost += 1;
    this.onAlert(alert);
  }
}

class Follower {
  readonly #queue: AlertView[] = [];
  #wake: (() => void) | undefined;

  constructor(private readonly filter: AlertFilter, private readonly signal: AbortSignal) {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  /** False when an older alert had to give way. */
  offer(alert: AlertView): boolean {
    if (!matches(alert, this.filter)) return true;
    this.#queue.push(alert);
    const fits = this.#queue.length <= FOLLOWER_CAPACITY;
    if (!fits) this.#queue.shift();
    this.#wake?.();
    return fits;
  }

  /** undefined when the signal has fired. */
  async next(): Promise<AlertView | undefined> {
    while (!this.signal.aborted) {
      const alert = this.#queue.shift();
      if (alert !== undefined) return alert;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }
}

function matches(alert: AlertView, filter: AlertFilter): boolean {
  if (filter.minSeverity !== undefined && alert.severity > filter.minSeverity) return false;
  if (filter.sinceMs !== undefined && Date.parse(alert.timestamp) < filter.sinceMs) return false;
  return filter.workload === undefined || names(alert).includes(filter.workload);
}

function names(alert: AlertView): string[] {
  const found = alert.filter === undefined ? [] : [alert.filter];
  if (alert.workload === undefined) return found;
  found.push(alert.workload.name);
  if (alert.workload.namespace !== undefined) found.push(`${alert.workload.namespace}/${alert.workload.name}`);
  return found;
}
