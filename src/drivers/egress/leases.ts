/**
 * Who has what, agreed on by all nodes: small entries that end by themselves. Behind it is what the hosts share anyway (etcd, Lease
 * objects of Kubernetes: `session-leases.ts`); `file-leases.ts` is one for processes of one machine.
 */
export interface LeaseEntry {
  readonly key: string;
  /** Who has it: never equal for two agents. */
  readonly holder: string;
  /** What the holder says with it. */
  readonly value: string;
}

export interface EgressLeases {
  /** All entries that have not ended. Rejects when they cannot be told. */
  list(): Promise<readonly LeaseEntry[]>;
  /**
   * Takes the key when nobody has it, or renews it when `holder` has. Resolves to the entry that is there now, which is another's when it
   * is taken. The promise of a grant: until `ttlMs` after this call was made, nobody else is given the key (unless it is released). The
   * caller measures that with a clock of its own. An entry may last for as long as its holder claims anything: what is not wanted any more has
   * to be released. Rejects when it is unknown what happened; the caller then has it only as long as before.
   */
  claim(entry: LeaseEntry, ttlMs: number): Promise<LeaseEntry>;
  /** Gives it up at once; nothing when `holder` does not have it. */
  release(key: string, holder: string): Promise<void>;
  /** Called soon after entries came, changed or went, if that can be noticed; returns the unsubscribe function. */
  onChange(listener: () => void): () => void;
}

export const NODE_PREFIX = 'node/';
export const ADDRESS_PREFIX = 'address/';
