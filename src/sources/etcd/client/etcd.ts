/**
 * What the agent asks of etcd (v3): reads, compare-and-swap, watches, leases. Keys are bytes, one character each (latin1): others may have
 * put keys there that are no text. Revisions are etcd's: one number for the whole store, growing with every change.
 *
 * Every call takes its time limit from the client, rejects with AgentError E_UNREACHABLE (retryable: network, time, no leader), E_DENIED
 * (user, password, certificate or permission), E_CANCELLED (the signal), E_LIMIT (too large for etcd), E_CONFIG, E_IO (files
 * of certificates), or HistoryLost where it says so; and goes on at the next endpoint by itself where one does not answer.
 */
import { AgentError } from '../../../model/errors.js';

/** Keys from `from` (included) to `to` (excluded). */
export interface KeyRange { readonly from: string; readonly to: string }

export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision of its last change. */
  readonly modRevision: number;
  /** 0 = none. Exact for our own leases only, which are below 2^53. */
  readonly lease: number;
}

/** Where in whose history an answer stands. */
export interface Position {
  /** Decimal. */
  readonly cluster: string;
  readonly revision: number;
}

export interface RangeQuery {
  readonly range: KeyRange;
  /** At this revision; absent: now, as the majority has it. */
  readonly revision?: number;
  /** Most keys of one answer; absent: all. */
  readonly limit?: number;
}
export interface RangeAnswer { readonly at: Position; readonly found: readonly KeyValue[]; readonly more: boolean }

/** A key's `revision` is that of its last change, 0 = it does not exist; `lease`: it exists and has that lease. */
export type Condition = { readonly key: string; readonly revision: number } | { readonly key: string; readonly lease: number };
export type Write = { readonly key: string; readonly value: Uint8Array; readonly lease?: number } | { readonly key: string; readonly value: undefined };
export interface CommitAnswer { readonly at: Position; /** False: a condition did not hold, and nothing was written. */ readonly done: boolean }

export interface WatchRequest {
  readonly range: KeyRange;
  /** First revision whose changes are wanted. */
  readonly from: number;
}
export interface KeyEvent {
  readonly key: string;
  /** undefined: deleted. */
  readonly value: Uint8Array | undefined;
  readonly modRevision: number;
  readonly lease: number;
}
export type WatchBatch =
  /** All ranges are being watched; `at` is where the store stands. */
  | { readonly kind: 'opened'; readonly at: Position }
  /** Changes of one range, in their order; those of one revision are never apart. */
  | { readonly kind: 'events'; readonly range: number; readonly events: readonly KeyEvent[] }
  /** Everything of this range up to the revision was handed out. */
  | { readonly kind: 'progress'; readonly range: number; readonly revision: number };

export interface EtcdClient {
  /** Rejects with HistoryLost when the asked revision is compacted, or none yet. */
  range(query: RangeQuery, signal: AbortSignal): Promise<RangeAnswer>;
  /** All writes in one step, if all conditions hold. Asked again after a lost answer it says false though the first attempt may have written. */
  commit(conditions: readonly Condition[], writes: readonly Write[], signal: AbortSignal): Promise<CommitAnswer>;
  /** Ends by throwing (as calls do; HistoryLost: a range's changes are compacted), or without an error when the signal fires. */
  watch(ranges: readonly WatchRequest[], signal: AbortSignal): AsyncIterable<WatchBatch>;
  /** False: there is such a lease already. Seconds. */
  grantLease(id: number, seconds: number, signal: AbortSignal): Promise<boolean>;
  /** Lets a lease begin anew; false: there is none. */
  keepLease(id: number, signal: AbortSignal): Promise<boolean>;
  /** Seconds left and granted; undefined: there is no such lease. */
  leaseTime(id: number, signal: AbortSignal): Promise<{ readonly left: number; readonly granted: number } | undefined>;
  revokeLease(id: number, signal: AbortSignal): Promise<void>;
  /** The endpoint in use. */
  readonly endpoint: string;
  /** Calls under way are rejected. */
  close(): void;
}

/** What was asked for is not in the store's history: `compacted` long ago, or `future`, where the history is not the one that it was. */
export class HistoryLost extends AgentError {
  constructor(readonly reason: 'compacted' | 'future', message: string) {
    super('E_NOT_FOUND', message, { object: 'etcd', retryable: true });
  }
}

/** The keys that begin with a prefix (which does not end in \xff). */
export function keysUnder(prefix: string): KeyRange {
  return { from: prefix, to: prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1) };
}

export function onlyKey(key: string): KeyRange {
  return { from: key, to: `${key}\0` };
}
