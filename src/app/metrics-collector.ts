/** Brings the Prometheus figures up to date at every scrape. */
import type { Alerting } from './alerting.js';
import type { LearnedAddresses } from '../discovery/addresses/learned-addresses.js';
import type { Quarantines } from './quarantines.js';
import type { IdsDriver } from '../drivers/ids/ids.js';
import type { FlowTable } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Metrics } from '../platform/metrics.js';
import type { Datapath } from './datapath.js';
import type { Egress } from './egress.js';
import type { Enforcement } from './enforcement.js';
import { freshWithin } from './fresh-flows.js';
import type { NamedSource } from './desired.js';
import { lostCopies } from './mirror-tunnels.js';
import type { NameLearning } from './name-learning.js';
import type { StatusReporter } from './status.js';

export interface CollectorParts {
  readonly metrics: Metrics;
  readonly datapath: Datapath;
  readonly enforcement: Enforcement;
  readonly flows: FlowTable;
  readonly sources: readonly NamedSource[];
  readonly status: StatusReporter;
  readonly ids: IdsDriver | undefined;
  readonly alerting: Alerting;
  readonly quarantines: Quarantines;
  readonly names: NameLearning;
  readonly addresses: Pick<LearnedAddresses, 'rows' | 'sightings'>;
  readonly egress: Egress | undefined;
  readonly clock: Clock;
}

const FRESH_MS = 1_000;

export function collectMetrics(parts: CollectorParts): void {
  const { metrics } = parts;
  metrics.onScrape(() => collectState(parts));
  metrics.onScrape(() => collectRuleHits(parts));
  metrics.onScrape(() => collectMirrors(parts));
  metrics.onScrape(() => {
    metrics.quarantines.set(parts.quarantines.size);
    parts.alerting.collect(parts.ids?.status());
  });
  metrics.onScrape(() => collectSignatures(parts));
  metrics.onScrape(() => collectAddresses(parts));
  metrics.onScrape(() => collectEgress(parts));
}

async function collectState({ metrics, datapath, flows, sources, status, names, clock }: CollectorParts): Promise<void> {
  const { realized } = datapath;
  metrics.filters.set(realized?.world.filters.length ?? 0);
  metrics.rules.set(realized?.compilation.rules ?? 0);
  metrics.addresses.set(realized?.compilation.addresses ?? 0);
  metrics.dnsNames.set(names.size);
  await freshWithin(flows, clock, FRESH_MS);
  const stats = flows.stats();
  metrics.flows.set(stats.flows);
  metrics.setTotal(metrics.flowEventsLost, {}, stats.lost);
  for (const entry of sources) {
    metrics.sourceErrors.set({ source: entry.name }, status.sourceErrors(entry).length);
    metrics.sourceSynced.set({ source: entry.name }, entry.source.synced ? 1 : 0);
  }
}

async function collectRuleHits({ metrics, enforcement }: CollectorParts): Promise<void> {
  const hits = new Map<string, { table: string; rule: string; packets: number }>();
  const { labels } = enforcement;
  for (const [id, { packets }] of await enforcement.ruleCounters()) {
    const label = labels.get(id);
    // A rule that never decided anything is no time series.
    if (label === undefined || packets === 0n) continue;
    const key = `${label.table}/${label.ruleId}`;
    const entry = hits.get(key) ?? { table: label.table === '' ? 'default' : label.table, rule: String(label.ruleId), packets: 0 };
    entry.packets += Number(packets);
    hits.set(key, entry);
  }
  for (const { table, rule, packets } of hits.values()) metrics.setTotal(metrics.ruleHits, { ruleset: table, rule }, packets);
}

async function collectMirrors({ metrics, datapath, enforcement }: CollectorParts): Promise<void> {
  const mirrors = datapath.realized?.mirrors ?? [];
  if (mirrors.length === 0) return;
  for (const { control, filters } of mirrors) {
    const { name } = control.metadata;
    const { packets, bytes, capped } = await enforcement.mirrored(name, filters);
    metrics.setTotal(metrics.mirrorPackets, { policy: name }, Number(packets));
    metrics.setTotal(metrics.mirrorBytes, { policy: name }, Number(bytes));
    if (control.rateLimit !== undefined) metrics.setTotal(metrics.mirrorCapped, { policy: name }, Number(capped));
    metrics.setTotal(metrics.mirrorDropped, { policy: name }, await enforcement.dropped(control.target.name) ?? lostCopies(control.target, datapath.links));
  }
}

function collectSignatures({ metrics, ids }: CollectorParts): void {
  const status = ids?.status();
  if (status?.signatures === undefined) return;
  const { set, bundle, fetches } = status.signatures;
  // The engine's own counts where it runs; those of the test before.
  const loaded = status.engine?.rules?.loaded ?? set?.loaded ?? 0;
  metrics.idsSignatures.set({ state: 'loaded' }, loaded);
  metrics.idsSignatures.set({ state: 'failed' }, (set?.failed ?? 0) + (status.engine?.rules?.failed ?? 0));
  metrics.idsSignatures.set({ state: 'skipped' }, status.engine?.rules?.skipped ?? set?.skipped ?? 0);
  metrics.idsSignaturesVersion.reset();
  if (bundle?.version !== undefined) metrics.idsSignaturesVersion.set({ version: bundle.version }, 1);
  for (const [result, total] of fetches) metrics.setTotal(metrics.idsBundleFetches, { result }, total);
}

function collectAddresses({ metrics, addresses }: CollectorParts): void {
  const rows = addresses.rows();
  for (const state of ['bound', 'pending', 'conflict'] as const) metrics.learnedAddresses.set({ state }, rows.filter((row) => row.state === state).length);
  for (const [by, total] of Object.entries(addresses.sightings)) metrics.setTotal(metrics.addressSightings, { by }, total);
}

function collectEgress({ metrics, egress }: CollectorParts): void {
  if (egress === undefined) return;
  const { allocation, pods } = egress.selection;
  metrics.egressAddresses.set({ state: 'held' }, egress.ownership.held.size);
  metrics.egressAddresses.set({ state: 'known' }, allocation.addresses.size);
  metrics.egressWorkloads.set(pods.length);
  metrics.setTotal(metrics.egressTaken, {}, egress.ownership.taken);
  metrics.egressPool.reset();
  for (const [pool, { total, used }] of allocation.usage) {
    metrics.egressPool.set({ pool, state: 'total' }, total);
    metrics.egressPool.set({ pool, state: 'used' }, used);
  }
}
