/** Flows of the connection tracker that the bridge's datapath uses: the kernel's, or the switch's own. */
import { AgentError, describeError } from '../model/errors.js';
import type { EndedFlow, FlowFormat, FlowQuery, FlowRecord, FlowTable, FlowTableStats } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';

export interface BridgeFlowTableOptions {
  readonly kernel: FlowTable;
  /** The userspace datapath's. */
  readonly tracker: FlowTable;
  /** Why it is not known which of them, for messages. */
  readonly unknown: () => string;
  readonly clock: Clock;
  readonly log: Logger;
}

const EMPTY: FlowTableStats = { flows: 0, events: 0, lost: 0, resyncs: 0, indexBytes: 0 };
const RETRY_MS = 5_000;

/**
 * The bridge's datapath type is known when the switch's database has been read, and may change when the bridge is made anew. Until then there
 * are no flows: what reads them rejects with E_IO (retryable), but start() does not wait for it.
 */
export class BridgeFlowTable implements FlowTable {
  private type: string | undefined;
  private started = false;
  private running: FlowTable | undefined;
  private ends: { readonly ids: Uint32Array; readonly listener: (ended: EndedFlow[]) => void } | undefined;
  private cancelRetry: (() => void) | undefined;

  constructor(private readonly options: BridgeFlowTableOptions) {}

  /** "netdev" = the userspace datapath, any other = the kernel's; undefined: not known now, what was known stays. */
  use(datapathType: string | undefined): void {
    if (datapathType !== undefined) this.type = datapathType;
    const wanted = this.started ? this.wanted : undefined;
    if (wanted === this.running) return;
    this.running?.stop();
    this.running = wanted;
    this.cancelRetry?.();
    if (wanted === undefined) return;
    if (this.ends !== undefined) wanted.watchEnds(this.ends.ids, this.ends.listener);
    this.options.log.info('ovs.connections', { datapath: this.type });
    wanted.start().catch((error: unknown) => this.retry(wanted, error));
  }

  /** Resolves at once. */
  start(): Promise<void> {
    this.started = true;
    this.use(undefined);
    return Promise.resolve();
  }

  stop(): void {
    this.started = false;
    this.use(undefined);
  }

  stats(): FlowTableStats {
    return this.running?.stats() ?? EMPTY;
  }

  async refresh(): Promise<void> {
    await this.known().refresh?.();
  }

  countByAddress(addresses: readonly string[]): number {
    return this.running?.countByAddress(addresses) ?? 0;
  }

  async query(query: FlowQuery): Promise<FlowRecord[]> {
    return this.known().query(query);
  }

  async stream(query: FlowQuery, format: FlowFormat, onChunk: (chunk: Uint8Array) => Promise<void> | void): Promise<number> {
    return this.known().stream(query, format, onChunk);
  }

  /** The switch's flows count for both: what they say needs no database. */
  ruleTotals(): ReturnType<FlowTable['ruleTotals']> {
    return this.options.tracker.ruleTotals();
  }

  async sweepLabels(request: { ids: Uint32Array; known: Uint32Array }): Promise<{ scanned: number; cleared: number }> {
    return this.known().sweepLabels(request);
  }

  watchEnds(ids: Uint32Array, listener: (ended: EndedFlow[]) => void): void {
    this.ends = { ids, listener };
    this.running?.watchEnds(ids, listener);
  }

  private get wanted(): FlowTable | undefined {
    if (this.type === undefined) return undefined;
    return this.type === 'netdev' ? this.options.tracker : this.options.kernel;
  }

  private known(): FlowTable {
    if (this.running !== undefined) return this.running;
    const { unknown } = this.options;
    throw new AgentError('E_IO', `connections cannot be read: ${unknown()}`, { object: 'connections', retryable: true });
  }

  private retry(table: FlowTable, error: unknown): void {
    if (this.running !== table) return;
    this.options.log.warn('ovs.connections_failed', { error: describeError(error) });
    this.running = undefined;
    this.cancelRetry = this.options.clock.after(RETRY_MS, () => this.use(undefined));
  }
}
