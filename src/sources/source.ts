/** What the agent asks of a source of desired state. Implemented by sources/file, sources/kubernetes and sources/etcd, and by what discovers workloads (discovery/). */
import type { DesiredObject } from '../model/objects.js';

export interface SourceError {
  /** Which object or file: "RuleTable/domain-c25", "manifests/web.yaml#2". */
  readonly object: string;
  /** Place inside it: "spec.rules[3].ports[0]", "line 12", or "". */
  readonly path: string;
  readonly message: string;
}

export interface SourceSnapshot {
  /** Keyed by objectKey(). The last good version of every document: a document that became bad keeps its old value. Another map after each change; an ObjectView (object-store.ts) also tells what changed. */
  readonly objects: ReadonlyMap<string, DesiredObject>;
  /** The manifest of each object as the user wrote it (parsed, unvalidated extras kept), for `agentctl get -o yaml`. */
  readonly manifests: ReadonlyMap<string, unknown>;
  readonly errors: readonly SourceError[];
  /** Grows with every change of the snapshot; starts at 1 with the first complete read. */
  readonly revision: number;
}

export interface SourceTrouble {
  readonly reason: string;
  readonly since: number;
}

export interface Source {
  readonly type: 'file' | 'kubernetes' | 'etcd' | 'ovs' | 'routes' | 'cni' | 'libvirt' | 'node';
  /** Reads everything once, then watches until stop() or the signal; resolves after the first complete read. Rejects (E_IO) when the source cannot be read at all. */
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** False before the first complete read. */
  readonly synced: boolean;
  /** What keeps the source from following what it reads, in words, and since when (ms since 1970). What was read before stays in force. Absent or empty: nothing. */
  readonly troubles?: readonly SourceTrouble[];
  /** Stands behind all others: what they hold too is nobody's conflict. */
  readonly yields?: true;
  snapshot(): SourceSnapshot;
  /** Rereads everything now; resolves when the snapshot reflects it. Not before start() has resolved. */
  sync(signal: AbortSignal): Promise<void>;
  /** Called after each change of the snapshot (content or errors); returns the unsubscribe function. */
  onChange(listener: () => void): () => void;
}
