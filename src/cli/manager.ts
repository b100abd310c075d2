/** Where `apply`, `delete`, `get` and `diff` go with --etcd: the store that managers write and agents read, instead of the agent of this host. */
import type { ManifestInput } from '../api/agent-api.js';
import type { ObjectName } from '../api/methods.js';
import type { ChangeView, FaultView, ObjectView } from '../model/views.js';

export interface Manager {
  /** Names of kinds as the user gave them. `refused`: what stands there and is no object. */
  get(kind: string, namespace: string | undefined, name: string | undefined): Promise<{ readonly objects: ObjectView[]; readonly refused: FaultView[] }>;
  /** Changes nothing. */
  diff(documents: readonly ManifestInput[]): Promise<ChangeView[]>;
  apply(documents: readonly ManifestInput[]): Promise<ChangeView[]>;
  /** What the documents, or the names, are about. */
  delete(objects: readonly ObjectName[], dryRun: boolean): Promise<ChangeView[]>;
  close(): void;
}

export interface ManagerChoice {
  /** How to get there: a file. */
  readonly file: string;
  /** Objects of this host alone; absent: of all. */
  readonly host?: string;
}

export type OpenManager = (choice: ManagerChoice, signal: AbortSignal) => Promise<Manager>;

export const etcdOption = { type: 'string', requiresArg: true, describe: 'work on the objects in etcd, reached as this file says: an agent.yaml with an etcd source, or that source alone (docs/etcd.md); $DFW_ETCD' } as const;
export const hostOption = { type: 'string', requiresArg: true, describe: 'with --etcd: objects of this one host' } as const;
