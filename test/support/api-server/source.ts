/** A KubernetesSource against the test's API server, quick in everything that takes time. */
import { join } from 'node:path';
import { HttpApiClient } from '../../../src/sources/kubernetes/api-client.js';
import { KubernetesSource, type KubernetesSourceOptions, type KubernetesTimes } from '../../../src/sources/kubernetes/kubernetes-source.js';
import { InlineListReader } from '../../../src/sources/kubernetes/list-reader.js';
import { InlineCredentials } from '../../../src/sources/kubernetes/read-credentials.js';
import { systemClock } from '../../../src/platform/clock.js';
import type { Logger } from '../../../src/platform/logger.js';
import type { Harness } from './harness.js';

export const QUICK: KubernetesTimes = {
  pageSize: 10, watchSeconds: [20, 30], watchIdleMs: 2_000, firstPauseMs: 10, lastPauseMs: 100, discoveryMs: 100, absentMs: 150, answerMs: 100, startMs: 300, suspectMs: 300,
};

export interface TestLogger extends Logger { readonly lines: string[] }

export function testLogger(): TestLogger {
  const lines: string[] = [];
  const add = (level: string) => (event: string, keys?: Readonly<Record<string, unknown>>) => void lines.push(`${level} ${event} ${JSON.stringify(keys ?? {})}`);
  const logger: TestLogger = { lines, error: add('error'), warn: add('warn'), info: add('info'), debug: add('debug'), child: () => logger };
  return logger;
}

export interface TestSource { readonly source: KubernetesSource; readonly log: TestLogger; readonly names: (kind: string) => string[] }

export function makeSource(harness: Harness, options: Partial<KubernetesSourceOptions> & { readonly stored?: boolean } = {}): TestSource {
  const log = testLogger();
  const { stored = false, times, ...rest } = options;
  const source = new KubernetesSource({
    client: new HttpApiClient({ kubeconfig: harness.kubeconfig, reader: new InlineCredentials(), clock: systemClock, connectMs: 1_000, checkMs: 10 }),
    namespaces: [], node: 'host-1', lists: new InlineListReader(), clock: systemClock, log, random: Math.random, times: { ...QUICK, ...times },
    ...(stored ? { stateFile: join(harness.directory, 'state', 'kubernetes.ndjson') } : {}), ...rest,
  });
  return {
    source, log,
    names: (kind) => [...source.snapshot().objects.keys()].filter((key) => key.startsWith(`${kind}/`)).map((key) => key.slice(kind.length + 1)).sort(),
  };
}
