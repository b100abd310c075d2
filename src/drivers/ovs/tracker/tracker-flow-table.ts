/** Flows from ovs-vswitchd's own tracker, behind the interface of those of the kernel's. */
import { AgentError, describeError } from '../../../model/errors.js';
import type { EndedFlow, FlowFormat, FlowQuery, FlowRecord, FlowTable, FlowTableStats, NativeBinding } from '../../../native/binding.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import { endedBetween } from './ended-flows.js';
import type { ConnectionTracker } from './tracker.js';
import { TrackerFlows } from './tracker-flows.js';

export interface TrackerFlowTableOptions {
  readonly tracker: Pick<ConnectionTracker, 'dump'>;
  /** Zone of our connections; others are not looked at. */
  readonly zone: number;
  readonly format: NativeBinding['streamFlows'];
  /** Packets and bytes under each label id: the tracker counts none. */
  readonly totals: () => Promise<ReadonlyMap<number, { readonly packets: bigint; readonly bytes: bigint }>>;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Dump {
  readonly flows: TrackerFlows;
  readonly begun: number;
  readonly tookMs: number;
}

/** A dump serves everybody for ten times as long as it took: the switch, which does nothing else meanwhile, dumps a tenth of its time at most. */
const REST = 10;
const SHORTEST_MS = 100;
/** Ended connections are looked for this often, while anybody wants to know. */
const ENDS_MS = 2_000;
const MOST_RECORDS = 10_000;

/**
 * A FlowTable without events: questions are answered from a dump that is at most 0.1 s old, or ten times as old as it took to make
 * (some 5 s with 120,000 connections). stats() and countByAddress() answer from the last dump: refresh() first. Connections end for
 * watchEnds() within 2 s or that age; see endedBetween() for what can be missed. Ids are hashes of tuple and zone, so two flows may share one.
 * What the tracker does not have is 0: counters and age.
 *
 * Methods that read reject with what ConnectionTracker.dump does (E_IO, retryable, when the switch does not run), and with E_CANCELLED
 * while it is not started.
 */
export class TrackerFlowTable implements FlowTable {
  private latest: Dump | undefined;
  private reading: Promise<TrackerFlows> | undefined;
  private running: AbortController | undefined;
  private endIds: ReadonlySet<number> = new Set();
  private onEnds: (ended: EndedFlow[]) => void = () => undefined;
  private cancelNext: (() => void) | undefined;
  private dumps = 0;
  private failure: string | undefined;

  constructor(private readonly options: TrackerFlowTableOptions) {}

  /** Resolves after the first dump, also when that failed: later ones may not. Does nothing when it runs already. */
  async start(): Promise<void> {
    if (this.running !== undefined) return;
    this.running = new AbortController();
    await this.look();
  }

  /** What waits is rejected with E_CANCELLED. */
  stop(): void {
    this.running?.abort();
    this.running = undefined;
    this.reading = undefined;
    this.latest = undefined;
    this.cancelNext?.();
    this.cancelNext = undefined;
  }

  /** Why the last dump failed; undefined when it did not. */
  get problem(): string | undefined {
    return this.failure;
  }

  /** `events` is the number of dumps. */
  stats(): FlowTableStats {
    const flows = this.latest?.flows ?? TrackerFlows.EMPTY;
    return { flows: flows.length, events: this.dumps, lost: 0, resyncs: 0, indexBytes: flows.bytes };
  }

  async refresh(): Promise<void> {
    await this.current();
  }

  countByAddress(addresses: readonly string[]): number {
    return this.latest?.flows.countByAddress(addresses) ?? 0;
  }

  /** Rejects with E_LIMIT when more than 10,000 match and no smaller limit is given. */
  async query(query: FlowQuery): Promise<FlowRecord[]> {
    const flows = await this.current();
    const limit = query.limit ?? 0;
    const found = flows.select(query, limit > 0 && limit <= MOST_RECORDS ? limit : MOST_RECORDS + 1);
    if (found.length > MOST_RECORDS) throw new AgentError('E_LIMIT', `more than ${MOST_RECORDS} connections match`, { object: 'connections' });
    return found.map((index) => flows.record(index));
  }

  async stream(query: FlowQuery, format: FlowFormat, onChunk: (chunk: Uint8Array) => Promise<void> | void): Promise<number> {
    const flows = await this.current();
    return this.options.format(flows.packed, query, format, onChunk);
  }

  /** Works also while it is not started. Connections are those of the last dump. */
  async ruleTotals(): ReturnType<FlowTable['ruleTotals']> {
    const totals = [...await this.options.totals()].toSorted(([left], [right]) => left - right);
    const connections = this.latest?.flows.countByRule() ?? new Map<number, number>();
    return {
      ids: Uint32Array.from(totals, ([id]) => id),
      connections: BigUint64Array.from(totals, ([id]) => BigInt(connections.get(id) ?? 0)),
      packets: BigUint64Array.from(totals, ([, { packets }]) => packets),
      bytes: BigUint64Array.from(totals, ([, { bytes }]) => bytes),
    };
  }

  /** Nothing to do: flows of the bridge obey stamps, not the absence of ids. */
  sweepLabels(): Promise<{ scanned: number; cleared: number }> {
    return Promise.resolve({ scanned: 0, cleared: 0 });
  }

  watchEnds(ids: Uint32Array, listener: (ended: EndedFlow[]) => void): void {
    this.endIds = new Set(ids);
    this.onEnds = listener;
    this.lookLater();
  }

  /** The shared dump, a new one when it is too old. */
  private current(): Promise<TrackerFlows> {
    const { running, latest } = this;
    if (running === undefined) return Promise.reject(new AgentError('E_CANCELLED', 'connections are not read now', { object: 'ovs-vswitchd', retryable: true }));
    if (latest !== undefined && this.options.clock.monotonic() - latest.begun < Math.max(SHORTEST_MS, latest.tookMs * REST)) return Promise.resolve(latest.flows);
    if (this.reading !== undefined) return this.reading;
    const reading = this.read(running.signal).finally(() => {
      if (this.reading === reading) this.reading = undefined;
    });
    this.reading = reading;
    return reading;
  }

  private async read(signal: AbortSignal): Promise<TrackerFlows> {
    const { clock, log, tracker, zone } = this.options;
    const begun = clock.monotonic();
    try {
      const { connections, malformed } = await tracker.dump(zone, signal);
      if (signal.aborted) throw new AgentError('E_CANCELLED', 'stopped', { object: 'ovs-vswitchd' });
      if (malformed > 0) log.warn('ovs.connections_unreadable', { lines: malformed });
      const flows = TrackerFlows.of(connections, zone);
      const before = this.latest?.flows;
      this.latest = { flows, begun, tookMs: clock.monotonic() - begun };
      this.dumps += 1;
      this.failure = undefined;
      if (before !== undefined) this.tell(endedBetween(before, flows, this.endIds));
      return flows;
    } catch (error) {
      if (!signal.aborted) this.failure = describeError(error);
      throw error;
    }
  }

  private tell(ended: EndedFlow[]): void {
    if (ended.length === 0) return;
    try {
      this.onEnds(ended);
    } catch (error) {
      this.options.log.error('ovs.ends_failed', { error: describeError(error) });
    }
  }

  private async look(): Promise<void> {
    const before = this.failure;
    try {
      await this.current();
    } catch {
      if (this.failure !== undefined && this.failure !== before) this.options.log.warn('ovs.connections_unread', { error: this.failure });
    }
    this.lookLater();
  }

  /** One timer at most, and none while nobody watches. */
  private lookLater(): void {
    if (this.running === undefined || this.endIds.size === 0 || this.cancelNext !== undefined) return;
    this.cancelNext = this.options.clock.after(Math.max(ENDS_MS, (this.latest?.tookMs ?? 0) * REST), () => {
      this.cancelNext = undefined;
      void this.look();
    });
  }
}
