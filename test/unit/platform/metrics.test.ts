import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../../src/platform/logger.js';
import { MetricsServer } from '../../../src/platform/metrics-server.js';
import { Metrics } from '../../../src/platform/metrics.js';

const NAMES = [
  'dfw_apply_duration_seconds', 'dfw_filters', 'dfw_rules', 'dfw_addresses', 'dfw_flows', 'dfw_flow_events_lost_total', 'dfw_rule_hits_total', 'dfw_source_errors',
  'dfw_source_synced', 'dfw_drift_repairs_total', 'dfw_mirror_packets_total', 'dfw_mirror_bytes_total', 'dfw_mirror_capped_total', 'dfw_mirror_dropped_total', 'dfw_ids_alerts_total', 'dfw_audit_suppressed_total', 'dfw_dns_names', 'dfw_learned_addresses', 'dfw_address_sightings_total',
  'dfw_egress_addresses', 'dfw_egress_workloads', 'dfw_egress_taken_total', 'dfw_egress_pool_addresses',
  'dfw_ids_signatures', 'dfw_ids_signatures_version', 'dfw_ids_bundle_fetch_total',
  'dfw_ids_alerts_dropped_total', 'dfw_ids_alert_windows_forgotten_total', 'dfw_ids_pcap_bytes', 'dfw_ids_pcap_missed_total', 'dfw_quarantines',
  'dfw_alerts_sink_sent_total', 'dfw_alerts_sink_failed_total', 'dfw_alerts_sink_dropped_total',
];
const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

describe('Metrics', () => {
  it('declares every metric of the contract and those of the process', async () => {
    const text = await new Metrics(() => undefined).render();
    const declared = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] ?? '');
    expect(declared.filter((name) => name.startsWith('dfw_')).toSorted()).toEqual(NAMES.toSorted());
    expect(declared).toContain('process_resident_memory_bytes');
  });

  it('has every metric in docs/metrics.md, and no other', () => {
    const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/metrics.md'), 'utf8');
    const listed = [...page.matchAll(/^\| `(dfw_\w+)` \|/gm)].map((match) => match[1] ?? '');
    expect(listed.toSorted()).toEqual(NAMES.toSorted());
  });

  it('keeps two agents apart', async () => {
    const [one, two] = [new Metrics(() => undefined), new Metrics(() => undefined)];
    one.rules.set(7);
    expect(await one.render()).toContain('\ndfw_rules 7\n');
    expect(await two.render()).toContain('\ndfw_rules 0\n');
  });

  it('follows totals that others count, per label, and never goes back', async () => {
    const metrics = new Metrics(() => undefined);
    for (const total of [5, 9, 9, 2]) metrics.setTotal(metrics.ruleHits, { ruleset: 'domain-c25', rule: '1006' }, total);
    metrics.setTotal(metrics.ruleHits, { ruleset: 'domain-c25', rule: '1002' }, 4);
    metrics.setTotal(metrics.driftRepairs, {}, 3);
    const text = await metrics.render();
    expect(text).toContain('dfw_rule_hits_total{ruleset="domain-c25",rule="1006"} 11\n');
    expect(text).toContain('dfw_rule_hits_total{ruleset="domain-c25",rule="1002"} 4\n');
    expect(text).toContain('\ndfw_drift_repairs_total 3\n');
  });

  it('asks its collectors at every scrape and outlives one that fails', async () => {
    const errors: unknown[] = [];
    const metrics = new Metrics((error) => errors.push(error));
    let scrapes = 0;
    metrics.onScrape(() => Promise.reject(new Error('no kernel')));
    const remove = metrics.onScrape(() => metrics.flows.set(++scrapes));
    expect(await metrics.render()).toContain('\ndfw_flows 1\n');
    remove();
    expect(await metrics.render()).toContain('\ndfw_flows 1\n');
    expect(errors).toEqual([new Error('no kernel'), new Error('no kernel')]);
  });
});

describe('MetricsServer', () => {
  const stops: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).toReversed()) await stop();
  });

  async function serve(healthy: boolean, host = '127.0.0.1'): Promise<string> {
    const server = new MetricsServer({ host, port: 0, metrics: new Metrics(() => undefined), health: () => ({ healthy }), log: silent });
    stops.push(() => server.stop());
    await server.start(new AbortController().signal);
    const address = server.address();
    return `http://${host.includes(':') ? `[${host}]` : host}:${address?.port ?? 0}`;
  }

  it.each(['127.0.0.1', '::1'])('serves /metrics on %s', async (host) => {
    const response = await fetch(`${await serve(true, host)}/metrics?x=1`);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('dfw_filters');
  });

  it.each([[true, 200], [false, 503]])('answers /healthz (healthy %s: %i)', async (healthy, status) => {
    const response = await fetch(`${await serve(healthy)}/healthz`);
    expect([response.status, await response.json()]).toEqual([status, { healthy }]);
  });

  it('answers /livez, healthy or not', async () => {
    expect((await fetch(`${await serve(false)}/livez`)).status).toBe(200);
  });

  it('refuses other paths and methods', async () => {
    const base = await serve(true);
    expect((await fetch(`${base}/`)).status).toBe(404);
    expect((await fetch(`${base}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
  });

  it('says E_IO when the address is taken, and nothing hangs', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    stops.push(() => new Promise((resolve) => { other.close(() => resolve()); }));
    const address = other.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const server = new MetricsServer({ host: '127.0.0.1', port, metrics: new Metrics(() => undefined), health: () => ({ healthy: true }), log: silent });
    await expect(server.start(new AbortController().signal)).rejects.toMatchObject({ code: 'E_IO' });
    await server.stop();
  });

  it('does not start once cancelled', async () => {
    const server = new MetricsServer({ host: '127.0.0.1', port: 0, metrics: new Metrics(() => undefined), health: () => ({ healthy: true }), log: silent });
    await expect(server.start(AbortSignal.abort())).rejects.toMatchObject({ code: 'E_CANCELLED' });
    expect(server.address()).toBeUndefined();
  });
});
