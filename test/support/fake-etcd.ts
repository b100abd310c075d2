/** A store with a history, and a client of it whose connection the test cuts: what etcd does to those who watch it, without etcd. */
import { AgentError } from '../../src/model/errors.js';
import { HistoryLost, type CommitAnswer, type Condition, type EtcdClient, type KeyEvent, type RangeAnswer, type RangeQuery, type WatchBatch, type WatchRequest, type Write } from '../../src/sources/etcd/client/etcd.js';

export class FakeStore {
  private listeners = new Set<() => void>();

  constructor(readonly cluster: string, readonly events: KeyEvent[] = [], public revision = 1, public compacted = 0) {}

  /** As it is now; goes its own way from here. */
  backup(): FakeStore {
    return new FakeStore(this.cluster, [...this.events], this.revision, this.compacted);
  }

  change(key: string, value: Uint8Array | undefined): void {
    this.revision += 1;
    this.events.push({ key, value, modRevision: this.revision, lease: 0 });
    for (const listener of this.listeners) listener();
  }

  compact(revision: number): void {
    this.compacted = Math.max(this.compacted, Math.min(revision, this.revision));
  }

  at(revision: number): Map<string, KeyEvent> {
    const state = new Map<string, KeyEvent>();
    for (const event of this.events) {
      if (event.modRevision > revision) break;
      if (event.value === undefined) state.delete(event.key);
      else state.set(event.key, event);
    }
    return state;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

const unreachable = (): AgentError => new AgentError('E_UNREACHABLE', 'cut', { object: 'fake', retryable: true });

export class FakeEtcd implements EtcdClient {
  readonly endpoint = 'fake';
  connected = true;
  private watches = new Set<() => void>();

  constructor(public store: FakeStore, private readonly page = 2) {}

  /** Ends every watch; calls fail until heal(). */
  cut(): void {
    this.connected = false;
    for (const wake of this.watches) wake();
  }

  heal(): void {
    this.connected = true;
  }

  async range({ range, revision, limit = Infinity }: RangeQuery): Promise<RangeAnswer> {
    await Promise.resolve();
    const { store } = this;
    if (!this.connected) throw unreachable();
    if (revision !== undefined && revision < store.compacted) throw new HistoryLost('compacted', 'compacted');
    if (revision !== undefined && revision > store.revision) throw new HistoryLost('future', 'future');
    const found = [...store.at(revision ?? store.revision).values()].filter(({ key }) => key >= range.from && key < range.to).toSorted((a, b) => (a.key < b.key ? -1 : 1));
    const size = Math.min(limit, this.page);
    return {
      at: { cluster: store.cluster, revision: store.revision }, more: found.length > size,
      found: found.slice(0, size).map(({ key, value = new Uint8Array(0), modRevision, lease }) => ({ key, value, modRevision, lease })),
    };
  }

  async *watch(ranges: readonly WatchRequest[], signal: AbortSignal): AsyncGenerator<WatchBatch> {
    await Promise.resolve();
    const { store } = this;
    if (!this.connected) throw unreachable();
    if (ranges.some(({ from }) => from < store.compacted)) throw new HistoryLost('compacted', 'compacted');
    let wake = (): void => undefined;
    const woken = (): void => wake();
    this.watches.add(woken);
    const forget = store.onChange(woken);
    signal.addEventListener('abort', woken);
    const next = ranges.map(({ from }) => from);
    let cut = false;
    try {
      yield { kind: 'opened', at: { cluster: store.cluster, revision: store.revision } };
      for (;;) {
        if (signal.aborted) return;
        cut ||= !this.connected || this.store !== store;
        if (cut) throw unreachable();
        const upTo = store.revision;
        for (const [range, { range: { from, to } }] of ranges.entries()) {
          const events = store.events.filter(({ key, modRevision }) => modRevision >= (next[range] ?? 0) && modRevision <= upTo && key >= from && key < to);
          next[range] = upTo + 1;
          if (events.length > 0) yield { kind: 'events', range, events };
          else if (upTo % 3 === 0) yield { kind: 'progress', range, revision: upTo };
        }
        if (store.revision === upTo && this.connected && !signal.aborted && this.store === store) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.watches.delete(woken);
      forget();
      signal.removeEventListener('abort', woken);
    }
  }

  async commit(_conditions: readonly Condition[], _writes: readonly Write[]): Promise<CommitAnswer> {
    return Promise.reject(new Error('nobody writes here'));
  }

  async grantLease(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async keepLease(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async leaseTime(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async revokeLease(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.cut();
  }
}
