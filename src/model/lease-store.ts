/**
 * What leases need of a store that all nodes share (etcd, the Kubernetes API): records, read all at one moment, and changed only by
 * who knows what is there. No clock of the store counts: `drivers/egress/session-leases.ts` says why that is enough.
 */
export interface LeaseRecord {
  /** Two parts and a slash between them, the second of any characters. */
  readonly name: string;
  readonly text: string;
  /** Another one with every change of the record; never used again for the same name. */
  readonly version: string;
}

export interface LeaseSnapshot {
  readonly records: readonly LeaseRecord[];
  /** Which store it is; '' where that cannot be told. */
  readonly history: string;
  /** Grows with every change; one that shrinks is an older store in the place of this one. 0 where that cannot be told. */
  readonly revision: number;
}

/** Each call has its time limit, and rejects with AgentError where it is unknown what happened. */
export interface LeaseStore {
  /** All records at one moment, which is not before the call. */
  read(): Promise<LeaseSnapshot>;
  /**
   * Writes the record if the one that is there has this version (undefined: if there is none). Resolves to its new version, to undefined when something else
   * is there: nothing was written then, or it was by an attempt of this very call whose answer got lost.
   */
  write(name: string, text: string, version: string | undefined): Promise<string | undefined>;
  /** Removes the record if it has this version; whether it did. */
  remove(name: string, version: string): Promise<boolean>;
  /** Called soon after records came, went or changed, as far as the store can tell; returns the unsubscribe function. */
  onChange(listener: () => void): () => void;
}
