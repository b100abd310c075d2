/** `agentctl status` and `health`: what is in force, and everything that is not as it should be. */
import type { AuditLog } from '../drivers/audit/audit-log.js';
import type { PolicyEngine } from '../compile/policy/policy-engine.js';
import type { IdsDriver } from '../drivers/ids/ids.js';
import { faultText } from '../drivers/ids/signatures/manager.js';
import type { HealthView, SourceStatusView, StatusView } from '../model/views.js';
import type { FlowTable } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { ReconcileLoop } from '../reconcile/loop.js';
import type { Datapath } from './datapath.js';
import type { Alerting } from './alerting.js';
import type { Quarantines } from './quarantines.js';
import type { Egress } from './egress.js';
import type { Enforcement } from './enforcement.js';
import { freshWithin } from './fresh-flows.js';
import { mergeSources, type NamedSource } from './desired.js';

export interface StatusOptions {
  readonly node: string;
  readonly version: string;
  readonly sources: readonly NamedSource[];
  readonly datapath: Datapath;
  readonly enforcement: Enforcement;
  readonly policies: PolicyEngine;
  readonly loop: ReconcileLoop;
  readonly flows: FlowTable;
  readonly audit: AuditLog;
  readonly ids: IdsDriver | undefined;
  readonly alerting: Alerting;
  readonly quarantines: Quarantines;
  readonly clock: Clock;
  readonly egress: Egress | undefined;
  /** What the rules are programmed into, where it is more than the kernel. */
  readonly datapathState: () => Promise<DatapathState>;
}

export interface Component { readonly name: string; readonly state: string; readonly detail: string }
export interface DatapathState {
  readonly components: readonly Component[];
  /** What is not as it should be. */
  readonly degraded: readonly string[];
}
const FRESH_MS = 1_000;
export const NOTHING_MORE: DatapathState = { components: [], degraded: [] };

type ObjectError = { object: string; path: string; message: string };

export class StatusReporter {
  /** When each degradation was first seen. */
  private readonly since = new Map<string, string>();

  constructor(private readonly options: StatusOptions) {}

  /** Refused by a source, in conflict, or held. */
  errors(): ObjectError[] {
    const { sources, datapath } = this.options;
    const refused = sources.flatMap(({ source }) => source.snapshot().errors);
    const held = datapath.realized?.problems ?? mergeSources(sources).problems;
    return [...refused, ...held].map(({ object, path, message }) => ({ object, path, message }));
  }

  async status(): Promise<StatusView> {
    const { datapath, node, version, sources, flows, datapathState } = this.options;
    // Where connections cannot be read, `datapathState` says so.
    await freshWithin(flows, this.options.clock, FRESH_MS);
    const more = await datapathState();
    const { realized } = datapath;
    return {
      node, version, datapath: this.options.enforcement.name,
      sources: sources.map((entry) => this.source(entry)),
      filters: realized?.world.filters.length ?? 0, policies: this.options.policies.policyCount, rules: realized?.compilation.rules ?? 0, addresses: realized?.compilation.addresses ?? 0,
      realized: realized !== undefined && this.options.loop.error === undefined, generation: realized?.generation ?? 0,
      degraded: this.degraded(more.degraded), components: [...more.components, ...this.components()],
    };
  }

  health(): HealthView {
    const { datapath, loop, sources } = this.options;
    const checks = [
      { name: 'datapath', ok: datapath.realized !== undefined && loop.error === undefined, detail: loop.error ?? (datapath.realized === undefined ? 'nothing applied yet' : 'in force') },
      ...sources.map(({ name, source }) => ({ name: `source ${name}`, ok: source.synced, detail: source.synced ? 'read' : (source.troubles?.[0]?.reason ?? 'not read yet') })),
    ];
    return { healthy: checks.every(({ ok }) => ok), checks };
  }

  /** What a source holds that is not in force: refused documents, and objects that are held or in conflict. */
  sourceErrors({ name, source }: NamedSource): ObjectError[] {
    // Earlier sources win, as in mergeSources().
    const owner = (object: string): string | undefined => this.options.sources.find((each) => each.source.overlay !== true && each.source.snapshot().objects.has(object))?.name;
    const held = (this.options.datapath.realized?.problems ?? []).filter(({ object }) => owner(object) === name);
    return [...source.snapshot().errors, ...held].map(({ object, path, message }) => ({ object, path, message }));
  }

  private source(entry: NamedSource): SourceStatusView {
    return { type: entry.name, synced: entry.source.synced, revision: entry.source.snapshot().revision, errors: this.sourceErrors(entry) };
  }

  private degraded(more: readonly string[]): { reason: string; since: string }[] {
    const { datapath, loop, audit, ids, clock } = this.options;
    const reasons: string[] = [...more];
    if (loop.error !== undefined) reasons.push(`the last change is not in force: ${loop.error}`);
    for (const { object, path, message } of datapath.realized?.problems ?? []) reasons.push([object, path, message].filter((part) => part !== '').join(': '));
    for (const mirror of datapath.realized?.mirrors ?? []) {
      if (mirror.pending !== undefined) reasons.push(`TrafficControl/${mirror.control.metadata.name}: ${mirror.pending}`);
    }
    reasons.push(...(this.options.egress?.degraded ?? []));
    const lines = audit.status();
    if (!lines.writable) reasons.push(`audit log ${lines.path}: ${lines.reason}`);
    reasons.push(...this.options.alerting.state(ids?.status()).degraded);
    const engine = ids?.status().engine;
    if (engine !== undefined && engine.state !== 'running' && engine.state !== 'starting') reasons.push(`ids engine: ${engine.state} ${engine.reason ?? ''}`.trim());
    const refused = ids?.status().signatures?.refused;
    if (refused !== undefined) reasons.push(`signatures: ${refused.what}: ${refused.reason}${refused.faults.slice(0, 3).map((fault) => `; ${faultText(fault)}`).join('')}`);
    for (const reason of reasons) if (!this.since.has(reason)) this.since.set(reason, new Date(clock.now()).toISOString());
    for (const reason of this.since.keys()) if (!reasons.includes(reason)) this.since.delete(reason);
    const troubles = this.options.sources.flatMap(({ name, source }) => (source.troubles ?? []).map(({ reason, since }) => ({ reason: `source ${name}: ${reason}`, since: new Date(since).toISOString() })));
    return [...troubles, ...reasons.map((reason) => ({ reason, since: this.since.get(reason) ?? '' }))];
  }

  private components(): Component[] {
    const { flows, audit, ids, datapath } = this.options;
    const stats = flows.stats();
    const lines = audit.status();
    const engine = ids?.status().engine;
    return [
      { name: 'connections', state: 'tracking', detail: `${stats.flows} flows, ${stats.lost} event losses, ${stats.resyncs} resyncs` },
      { name: 'revalidation', state: datapath.settledDown ? 'settled' : 'judging again', detail: '' },
      { name: 'audit', state: lines.writable ? 'writing' : 'degraded', detail: `${lines.suppressed} lines suppressed` },
      { name: 'ids', state: ids === undefined ? 'disabled' : (engine?.state ?? 'external'), detail: engine?.reason ?? '' },
      ...(ids === undefined ? [] : this.options.alerting.state(ids.status()).components),
      ...(this.options.egress === undefined ? [] : [egressComponent(this.options.egress)]),
      { name: 'quarantine', state: this.options.quarantines.size === 0 ? 'none' : 'in force', detail: `${this.options.quarantines.size} workloads` },
    ];
  }
}

function egressComponent({ selection, ownership }: Egress): Component {
  const held = ownership.held.size;
  return { name: 'egress', state: held > 0 ? 'holding' : 'watching', detail: `${held} of ${selection.allocation.addresses.size} addresses, ${ownership.nodes.size} nodes` };
}
