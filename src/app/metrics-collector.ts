/** Brings the Prometheus figures up to date at every scrape. */
import type { IdsDriver } from '../drivers/ids/ids.js';
import type { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import type { NftablesDriver } from '../drivers/nftables/driver.js';
import type { FlowTable } from '../native/binding.js';
import type { Metrics } from '../platform/metrics.js';
import type { Datapath } from './datapath.js';
import type { NamedSource } from './desired.js';
import type { NameLearning } from './name-learning.js';
import type { StatusReporter } from './status.js';

export interface CollectorParts {
  readonly metrics: Metrics;
  readonly datapath: Datapath;
  readonly driver: NftablesDriver;
  readonly netdev: NetdevDriver;
  readonly flows: FlowTable;
  readonly sources: readonly NamedSource[];
  readonly status: StatusReporter;
  readonly ids: IdsDriver | undefined;
  readonly names: NameLearning;
}

export function collectMetrics(parts: CollectorParts): void {
  const { metrics } = parts;
  metrics.onScrape(() => collectState(parts));
  metrics.onScrape(() => collectRuleHits(parts));
  metrics.onScrape(() => collectMirrors(parts));
}

function collectState({ metrics, datapath, flows, sources, status, names }: CollectorParts): void {
  const { realized } = datapath;
  metrics.filters.set(realized?.world.filters.length ?? 0);
  metrics.rules.set(realized?.compilation.rules ?? 0);
  metrics.addresses.set(realized?.compilation.addresses ?? 0);
  metrics.dnsNames.set(names.size);
  const stats = flows.stats();
  metrics.flows.set(stats.flows);
  metrics.setTotal(metrics.flowEventsLost, {}, stats.lost);
  for (const entry of sources) {
    metrics.sourceErrors.set({ source: entry.name }, status.sourceErrors(entry).length);
    metrics.sourceSynced.set({ source: entry.name }, entry.source.synced ? 1 : 0);
  }
}

async function collectRuleHits({ metrics, driver }: CollectorParts): Promise<void> {
  const hits = new Map<string, { table: string; rule: string; packets: number }>();
  const { labels } = driver;
  for (const [id, { packets }] of await driver.ruleCounters()) {
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

async function collectMirrors({ metrics, datapath, netdev }: CollectorParts): Promise<void> {
  const mirrors = datapath.realized?.mirrors ?? [];
  if (mirrors.length === 0) return;
  const counters = [...(await netdev.counters()).values()].flat();
  for (const { control, device } of mirrors) {
    const { name } = control.metadata;
    const packets = counters.filter(({ comment }) => comment.includes(`mirror ${name} of `)).reduce((sum, entry) => sum + Number(entry.packets), 0);
    metrics.setTotal(metrics.mirrorPackets, { policy: name }, packets);
    metrics.setTotal(metrics.mirrorDropped, { policy: name }, datapath.links.get(device?.name ?? '')?.txDropped ?? 0);
  }
}
