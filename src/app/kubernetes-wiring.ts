/** The Kubernetes source, from its configuration. */
import { join } from 'node:path';
import type { Clock } from '../platform/clock.js';
import type { Heap } from '../platform/heap.js';
import type { Logger } from '../platform/logger.js';
import { HttpApiClient } from '../sources/kubernetes/api-client.js';
import { KubernetesSource } from '../sources/kubernetes/kubernetes-source.js';
import { StatusWriter } from '../sources/kubernetes/status-writer.js';
import { ThreadCredentials } from '../sources/kubernetes/thread-credentials.js';
import { ThreadListReader } from '../sources/kubernetes/thread-list-reader.js';
import type { Source } from '../sources/source.js';
import type { KubernetesSourceConfig, SourceConfig } from './config-schema.js';

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

export function wireKubernetes({ source, stateDir, node, clock, log, heap }: KubernetesWiring): Source {
  const { kubeconfig, namespaces = [] } = source;
  const random = (): number => Math.random();
  const client = new HttpApiClient({ ...(kubeconfig === undefined ? {} : { kubeconfig }), reader: new ThreadCredentials(), clock });
  const writer = new StatusWriter({ client, node, nodes: () => made.nodeNames(), clock, log, random });
  const made = new KubernetesSource({
    client, namespaces, node, stateFile: kubernetesStateFile(stateDir, source), clock, log, random, lists: new ThreadListReader({ heap }), onJudged: (judgement, resource) => writer.judged(judgement, resource), onStop: () => writer.stop(),
  });
  return made;
}

/** As `status` calls it: `kubernetes`, or with its kubeconfig where there are several. */
export function sourceName(sources: readonly SourceConfig[], { kubeconfig }: KubernetesSourceConfig): string {
  return sources.filter(({ type }) => type === 'kubernetes').length > 1 ? `kubernetes:${kubeconfig ?? 'in-cluster'}` : 'kubernetes';
}
