/** The Kubernetes source, from its configuration. */
import { join } from 'node:path';
import type { LeaseStore } from '../model/lease-store.js';
import type { Status } from '../model/status.js';
import type { Clock } from '../platform/clock.js';
import type { Heap } from '../platform/heap.js';
import type { Logger } from '../platform/logger.js';
import { HttpApiClient } from '../sources/kubernetes/api-client.js';
import { LeaseObjects } from '../sources/kubernetes/lease-objects.js';
import { KubernetesSource } from '../sources/kubernetes/kubernetes-source.js';
import { StatusPatches } from '../sources/kubernetes/status-patches.js';
import { StatusWriter } from '../sources/kubernetes/status-writer.js';
import { ThreadCredentials } from '../sources/kubernetes/thread-credentials.js';
import { ThreadListReader } from '../sources/kubernetes/thread-list-reader.js';
import type { Source } from '../sources/source.js';
import type { KubernetesSourceConfig, SourceConfig } from './config-schema.js';

/** Part of a lease's time in which the API server has to answer. */
const LEASE_PATIENCE = 1 / 4;

export interface KubernetesWiring {
  readonly source: KubernetesSourceConfig;
  readonly stateDir: string;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly heap: Heap;
}

/** Where the last complete state of the source is kept; of one per configuration, so that another cluster's never comes into force. */
export function kubernetesStateFile(stateDir: string, { kubeconfig, namespaces = [] }: KubernetesSourceConfig): string {
  const name = kubeconfig === undefined && namespaces.length === 0 ? 'in-cluster' : encodeURIComponent([kubeconfig ?? '', ...namespaces].join(',')).slice(-200);
  return join(stateDir, 'kubernetes', name, 'state.ndjson');
}

export interface KubernetesParts {
  readonly source: Source;
  /** Records of leases whose time is `ttlMs`, in a namespace that holds nothing else; until the source is stopped. */
  leases(namespace: string, ttlMs: number): LeaseStore;
  /** Writes the statuses of objects of this source (by object key), asked for again and again, until the signal fires. */
  tell(wanted: () => ReadonlyMap<string, Status>, signal: AbortSignal): void;
}

export function wireKubernetes({ source, stateDir, node, clock, log, heap }: KubernetesWiring): KubernetesParts {
  const { kubeconfig, namespaces = [] } = source;
  const random = (): number => Math.random();
  const client = new HttpApiClient({ ...(kubeconfig === undefined ? {} : { kubeconfig }), reader: new ThreadCredentials(), clock });
  const writer = new StatusWriter({ client, node, nodes: () => made.nodeNames(), clock, log, random });
  const made = new KubernetesSource({
    client, namespaces, node, stateFile: kubernetesStateFile(stateDir, source), clock, log, random, lists: new ThreadListReader({ heap }), onJudged: (judgement, resource) => writer.judged(judgement, resource), onStop: () => writer.stop(),
  });
  const statuses = new StatusPatches({ client, seen: (key) => made.snapshot().manifests.get(key), served: (kind) => made.served(kind), clock, log });
  return {
    source: made, tell: (wanted, signal) => statuses.start(wanted, signal),
    leases: (namespace, ttlMs) => new LeaseObjects({ client, namespace, timeoutMs: ttlMs * LEASE_PATIENCE, clock }),
  };
}

/** As `status` calls it: `kubernetes`, or with its kubeconfig where there are several. */
export function sourceName(sources: readonly SourceConfig[], { kubeconfig }: KubernetesSourceConfig): string {
  return sources.filter(({ type }) => type === 'kubernetes').length > 1 ? `kubernetes:${kubeconfig ?? 'in-cluster'}` : 'kubernetes';
}
