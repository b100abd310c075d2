import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LabelValues } from 'prom-client';

/** Asked for its figures at every scrape; what throws is reported and costs only its own figures. */
export type Collector = () => void | Promise<void>;

/**
 * Every metric of the agent, declared here and nowhere else (docs/metrics.md). Prefix dfw_; besides them the process_* and
 * nodejs_* of prom-client. One instance per agent; nothing is global.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #collectors = new Set<Collector>();
  readonly #totals = new WeakMap<object, Map<string, number>>();
  readonly #onError: (error: unknown) => void;

  readonly applyDuration = new Histogram({
    name: 'dfw_apply_duration_seconds', help: 'Time of one apply, from target to enforced.', labelNames: ['outcome'] as const, // ok | failed
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], registers: [this.#registry],
  });
  readonly filters = this.#gauge('dfw_filters', 'Filters (vNICs) of this host.', []);
  readonly rules = this.#gauge('dfw_rules', 'Rules in force, summed over the rule tables.', []);
  readonly addresses = this.#gauge('dfw_addresses', 'Members of the address sets in use.', []);
  readonly flows = this.#gauge('dfw_flows', 'Connections in the tracker table.', []);
  readonly dnsNames = this.#gauge('dfw_dns_names', 'Domain names of rules whose addresses are known from DNS replies.', []);
  readonly sourceErrors = this.#gauge('dfw_source_errors', 'Objects refused by a source and not mended yet.', ['source']);
  readonly sourceSynced = this.#gauge('dfw_source_synced', '1 once a source was read completely.', ['source']);
  readonly flowEventsLost = this.#counter('dfw_flow_events_lost_total', 'Connection events lost in the socket buffer, made up for by a dump.', []);
  readonly ruleHits = this.#counter('dfw_rule_hits_total', 'Packets that a rule decided (the first of a connection, and all of a stateless rule).', ['ruleset', 'rule']);
  readonly driftRepairs = this.#counter('dfw_drift_repairs_total', 'Changes that others made to the agent\'s objects, repaired.', []);
  readonly mirrorPackets = this.#counter('dfw_mirror_packets_total', 'Packets copied to a tap.', ['policy']);
  readonly mirrorBytes = this.#counter('dfw_mirror_bytes_total', 'Bytes of the packets copied to a tap.', ['policy']);
  readonly mirrorCapped = this.#counter('dfw_mirror_capped_total', 'Copies that a TrafficControl\'s rateLimit did not let pass; the originals went on.', ['policy']);
  readonly mirrorDropped = this.#counter('dfw_mirror_dropped_total', 'Copies that the tap had no room for; the originals went on.', ['policy']);
  readonly idsAlerts = this.#counter('dfw_ids_alerts_total', 'Alerts of the IDS engine, repetitions included, by severity (1 is the worst) and what the engine did.', ['severity', 'action']);
  readonly idsAlertsDropped = this.#counter('dfw_ids_alerts_dropped_total', 'Alerts that came faster than they could be given out.', []);
  readonly idsWindowsForgotten = this.#counter('dfw_ids_alert_windows_forgotten_total', 'Windows of alike alerts closed early for want of room.', []);
  readonly idsPacketBytes = this.#gauge('dfw_ids_pcap_bytes', 'Memory that packets kept for alerts take.', []);
  readonly idsPacketsMissed = this.#counter('dfw_ids_pcap_missed_total', 'Packets of the sensor that could not be kept in time.', []);
  readonly alertsSinkSent = this.#counter('dfw_alerts_sink_sent_total', 'Alerts that a sink has taken.', ['sink']);
  readonly alertsSinkFailed = this.#counter('dfw_alerts_sink_failed_total', 'Attempts to hand alerts to a sink that failed, one alert or a batch each.', ['sink']);
  readonly alertsSinkDropped = this.#counter('dfw_alerts_sink_dropped_total', 'Alerts that a sink lost: its queue was full, or the other side refused them.', ['sink']);
  readonly quarantines = this.#gauge('dfw_quarantines', 'Workloads in quarantine.', []);
  readonly idsSignatures = this.#gauge('dfw_ids_signatures', 'Signatures of the managed IDS engine: in force (loaded), refused (failed), for another version of the engine (skipped).', ['state']);
  readonly idsSignaturesVersion = this.#gauge('dfw_ids_signatures_version', '1 for the version of the bundle of signatures that is in force.', ['version']);
  readonly idsBundleFetches = this.#counter('dfw_ids_bundle_fetch_total', 'Fetches of the bundle of signatures.', ['result']); // updated | unchanged | refused | failed
  readonly learnedAddresses = this.#gauge('dfw_learned_addresses', 'Addresses that workloads were seen to have: theirs (bound), waiting for approval (pending), somebody else\'s (conflict).', ['state']);
  readonly addressSightings = this.#counter('dfw_address_sightings_total', 'Frames that said which address a workload has, by what said it.', ['by']);
  readonly egressAddresses = this.#gauge('dfw_egress_addresses', 'Addresses of Egress objects: those that this node has (held), and all (known).', ['state']);
  readonly egressWorkloads = this.#gauge('dfw_egress_workloads', 'Pods, of all nodes, that leave with an address of an Egress.', []);
  readonly egressTaken = this.#counter('dfw_egress_taken_total', 'Addresses that this node has taken.', []);
  readonly egressPool = this.#gauge('dfw_egress_pool_addresses', 'Addresses of an ExternalIPPool: all (total), and those that Egress objects have (used).', ['pool', 'state']);
  readonly auditSuppressed = this.#counter('dfw_audit_suppressed_total', 'Audit lines left out by the rate limit.', []);

  /** `onError` hears of collectors that failed. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
    collectDefaultMetrics({ register: this.#registry });
  }

  /** Registers a collector; returns the removal. */
  onScrape(collector: Collector): () => void {
    this.#collectors.add(collector);
    return () => this.#collectors.delete(collector);
  }

  /**
   * Brings a counter to a total that somebody else counts (the kernel, a driver). A total below the last one means that it was
   * started again: it is added whole, so that the counter never goes back.
   */
  setTotal<L extends string>(counter: Counter<L>, labels: LabelValues<L>, total: number): void {
    const totals = this.#totals.get(counter) ?? new Map<string, number>();
    this.#totals.set(counter, totals);
    const key = JSON.stringify(Object.entries(labels).map(([name, value]) => `${name}=${String(value)}`).toSorted());
    const last = totals.get(key) ?? 0;
    counter.inc(labels, total >= last ? total - last : total);
    totals.set(key, total);
  }

  /** The text of /metrics (Prometheus exposition format), after every collector was asked. */
  async render(): Promise<string> {
    for (const collector of this.#collectors) {
      try {
        await collector();
      } catch (error) {
        this.#onError(error);
      }
    }
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }
}
