/** The agent's answers to the API: every verb of agentctl. Reads what is in force; writes only desired state. */
import type { AddQuarantineRequest, AgentApi, AttachRequest, DiffRequest, EndpointRequest, FlowsRequest, ManifestInput, ReloadIdsResult } from '../api/agent-api.js';
import type { FlowService } from '../connections/flow-service.js';
import type { IdsDriver } from '../drivers/ids/ids.js';
import { AgentError } from '../model/errors.js';
import { kindsAskedFor } from '../model/kinds.js';
import { nearest } from '../model/nearest.js';
import { objectKey, type DesiredObject } from '../model/objects.js';
import { policyName } from '../model/policy-name.js';
import { POLICY_KINDS, type PolicyObject } from '../model/policy-objects.js';
import type {
  AddressSetsView, AlertSelection, AlertsView, AlertView, ChangeView, ConnCountView, DiffView, EndpointsView, FilterStatView, FilterView, FlowStream, FlowView,
  FqdnAddressView, HealthView, IdsStatusView, ObjectView, QuarantineView, RulesView, SignatureChangeView, SignatureFilter, SignaturesView, StatusView, SyncView,
  TraceRequest, TraceView, TrafficControlView, EgressStateView,
} from '../model/views.js';
import type { ReconcileLoop } from '../reconcile/loop.js';
import type { Alerting } from './alerting.js';
import { capture, type CaptureEffects } from './capture.js';
import type { Datapath } from './datapath.js';
import type { Egress } from './egress.js';
import { egressState, withEgressStatus } from './egress-views.js';
import type { Enforcement } from './enforcement.js';
import { mergeSources, type NamedSource } from './desired.js';
import type { Differences } from './diff.js';
import type { FilterQueries } from './filter-queries.js';
import type { OwnObjects } from './own-objects.js';
import type { PolicyQueries } from './policy-queries.js';
import { idsStatus } from './ids-status.js';
import { refusedCopies } from './mirrors.js';
import { findFilter, type Realized } from './realized.js';
import { lostCopies } from './mirror-tunnels.js';
import type { NameLearning } from './name-learning.js';
import type { Quarantines } from './quarantines.js';
import type { StatusReporter } from './status.js';
import { trace } from './trace.js';

export interface AgentServiceOptions {
  readonly datapath: Datapath;
  readonly loop: ReconcileLoop;
  readonly sources: readonly NamedSource[];
  /** No source is asked to read before. */
  readonly sourcesRead: Promise<void>;
  readonly own: OwnObjects;
  readonly flows: FlowService;
  readonly filters: FilterQueries;
  readonly policies: PolicyQueries;
  readonly differences: Differences;
  readonly enforcement: Enforcement;
  readonly ids: IdsDriver | undefined;
  /** Devices that lead to the IDS engine. */
  readonly engineDevices: readonly string[];
  readonly alerting: Alerting;
  readonly quarantines: Quarantines;
  readonly names: NameLearning;
  readonly egress: Egress | undefined;
  readonly status: StatusReporter;
  readonly failOpen: boolean;
  readonly captures: CaptureEffects;
  readonly setLogLevel: (level: string) => string;
  readonly cleanup: () => Promise<string[]>;
  readonly version: { readonly version: string; readonly node: string; readonly kernel: string };
}

const WATCH_INTERVAL_MS = 500;
const WATCH_LIMIT = 5_000;

export class AgentService implements AgentApi {
  constructor(private readonly options: AgentServiceOptions) {}

  private get realized(): Realized {
    const { realized } = this.options.datapath;
    if (realized === undefined) throw new AgentError('E_UNREACHABLE', 'nothing is in force yet: the agent is starting', { retryable: true });
    return realized;
  }

  async getFilters(): Promise<FilterView[]> {
    const { realized } = this;
    return realized.world.filters.map((filter) => this.options.filters.filter(filter, realized));
  }

  async getRules(name: string, stats: boolean): Promise<RulesView> {
    const filter = findFilter(this.realized.world.filters, name);
    return { filter: filter.name, rulesets: await this.options.filters.rulesets(filter, this.realized, stats) };
  }

  async getAddressSets(name: string): Promise<AddressSetsView> {
    const filter = findFilter(this.realized.world.filters, name);
    return { filter: filter.name, addressSets: this.options.filters.addressSets(filter, this.realized) };
  }

  async getFlows(request: FlowsRequest, signal: AbortSignal): Promise<FlowStream> {
    return this.options.flows.stream(this.scope(request), request.format, signal);
  }

  async *watchFlows(request: FlowsRequest, signal: AbortSignal): AsyncGenerator<{ event: 'new' | 'end'; flow: FlowView }> {
    const scope = this.scope(request);
    let known = new Map<string, FlowView>();
    for (let first = true; !signal.aborted; first = false) {
      const now = new Map((await this.options.flows.list(scope, WATCH_LIMIT)).map((flow) => [`${flow.id} ${flow.direction}`, flow]));
      if (!first) {
        for (const [key, flow] of now) if (!known.has(key)) yield { event: 'new', flow };
        for (const [key, flow] of known) if (!now.has(key)) yield { event: 'end', flow };
      }
      known = now;
      await pause(WATCH_INTERVAL_MS, signal);
    }
  }

  async getFilterStat(name: string): Promise<FilterStatView> {
    return this.options.filters.statistics(findFilter(this.realized.world.filters, name), this.realized);
  }

  async getConnCount(name?: string): Promise<ConnCountView> {
    const filter = name === undefined ? undefined : findFilter(this.realized.world.filters, name);
    return { ...(filter === undefined ? {} : { filter: filter.name }), connections: await this.options.flows.connections(filter) };
  }

  async trace(request: TraceRequest): Promise<TraceView> {
    return trace(request, this.realized, this.options.failOpen);
  }

  async get(kind: string, namespace?: string, name?: string): Promise<ObjectView[]> {
    const { objects, manifests } = mergeSources(this.options.sources);
    const kinds = new Set(kindsAskedFor(kind).map((info) => info.kind));
    const wanted = (object: DesiredObject): boolean => kinds.has(object.kind);
    const found = [...objects.values()].filter((object) => wanted(object)
      && (name === undefined || object.metadata.name === name || (isPolicy(object) && policyName(object.kind, object.metadata) === name))
      && (namespace === undefined || object.metadata.namespace === undefined || object.metadata.namespace === namespace));
    if (found.length === 0 && name !== undefined) {
      const names = [...objects.values()].filter(wanted).map((object) => object.metadata.name);
      const near = nearest(name, names);
      throw new AgentError('E_NOT_FOUND', `there is no ${kind} "${name}"`, { object: name, context: { nearest: near === undefined ? [] : [near] } });
    }
    const policies = this.options.policies.inOrder(found.filter(isPolicy));
    const statuses = await this.options.policies.statuses(policies, name !== undefined);
    return [...found.filter((object) => !isPolicy(object)), ...policies].map((object) => {
      const key = objectKey(object);
      const status = statuses.get(key);
      return {
        kind: object.kind, ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }), name: object.metadata.name,
        source: manifests.get(key)?.source ?? '', manifest: withEgressStatus(object, manifests.get(key)?.manifest, this.options.egress), ...(status === undefined ? {} : { status }),
      };
    });
  }

  async queryEndpoint({ namespace, name }: EndpointRequest): Promise<EndpointsView> {
    return this.options.policies.endpoint(namespace, name);
  }

  async diff(request: DiffRequest): Promise<DiffView> {
    return this.options.differences.diff(request);
  }

  async apply(documents: ManifestInput[], { dryRun }: { dryRun: boolean }): Promise<ChangeView[]> {
    const changes = await this.options.own.apply(documents, dryRun);
    if (!dryRun) await this.options.loop.flush('apply');
    return changes;
  }

  async deleteObjects(objects: { kind: string; namespace?: string; name: string }[]): Promise<ChangeView[]> {
    const changes = await this.options.own.remove(objects);
    await this.options.loop.flush('delete');
    return changes;
  }

  async attach(request: AttachRequest): Promise<ChangeView> {
    const change = await this.options.own.attach(request);
    await this.options.loop.flush('attach');
    return change;
  }

  async detach(name: string): Promise<ChangeView> {
    const filter = findFilter(this.realized.world.filters, name);
    const changes = await this.options.own.remove([{ kind: 'Attachment', name: filter.attachment }]);
    await this.options.loop.flush('detach');
    const [change] = changes;
    if (change === undefined) throw new AgentError('E_INTERNAL', 'detach changed nothing', { object: filter.attachment });
    return change;
  }

  async sync(timeoutMs: number): Promise<SyncView> {
    const started = performance.now();
    const deadline = AbortSignal.timeout(timeoutMs);
    const expired = new Promise<never>((_resolve, reject) => {
      deadline.addEventListener('abort', () => reject(new AgentError('E_CANCELLED', `not in force after ${timeoutMs} ms`, { retryable: true })), { once: true });
    });
    const work = (async () => {
      await this.options.sourcesRead;
      if (deadline.aborted) return;
      await Promise.all(this.options.sources.map(({ source }) => source.sync(deadline)));
      await this.options.loop.flush('sync');
      await this.options.egress?.settled();
      await this.options.enforcement.settled();
    })();
    await Promise.race([work, expired]);
    const errors = this.options.status.errors();
    return { realized: errors.length === 0, generation: this.realized.generation, durationMs: Math.round(performance.now() - started), errors };
  }

  async getEgress(): Promise<EgressStateView> {
    return this.options.egress === undefined ? { egresses: [], pools: [] } : egressState(this.options.egress);
  }

  async getTrafficControl(): Promise<TrafficControlView[]> {
    await this.options.datapath.refreshLinks();
    return Promise.all(this.realized.mirrors.map(async (mirror): Promise<TrafficControlView> => {
      const { name } = mirror.control.metadata;
      const { enforcement } = this.options;
      const { action, direction, target, sampling, rateLimit } = mirror.control;
      const { packets, bytes, capped } = await enforcement.mirrored(name, mirror.filters);
      const dropped = await enforcement.dropped(target.name) ?? lostCopies(target, this.options.datapath.links);
      const engineDropped = this.options.engineDevices.includes(target.name) ? (this.options.ids?.status().stats?.dropped ?? 0) : undefined;
      return {
        name, action, direction, device: target.name,
        state: mirror.pending === undefined ? 'active' : `pending: ${mirror.pending}`,
        workloads: mirror.filters.map((filter) => ({ namespace: filter.workload.namespace ?? 'default', name: filter.workload.name, filter: filter.name })),
        packets: Number(packets), bytes: Number(bytes), capped: Number(capped), dropped, ...(engineDropped === undefined ? {} : { engineDropped }),
        ...(action === 'Mirror' ? { refused: refusedCopies(mirror.control, (side) => enforcement.seesRefused(side)) } : {}),
        ...(sampling === undefined ? {} : { sampling }), ...(rateLimit === undefined ? {} : { rateLimit }),
      };
    }));
  }

  async getFqdnCache(domain?: string): Promise<FqdnAddressView[]> {
    return this.options.names.entries(domain);
  }

  async getAlerts(request: AlertSelection & { sinceMs?: number; limit?: number }): Promise<AlertsView> {
    return { alerts: this.requireIds().alerts.list(request) };
  }

  followAlerts(request: AlertSelection, signal: AbortSignal): AsyncIterable<AlertView> {
    return this.requireIds().alerts.follow(request, signal);
  }

  getAlertPackets(id: string): AsyncIterable<Uint8Array> {
    const alert = this.requireIds().alerts.find(id);
    if (alert === undefined) throw new AgentError('E_NOT_FOUND', `there is no alert "${id}", or it is no longer kept: getalerts -o json shows ids`, { object: id });
    return this.options.alerting.packetsOf(alert);
  }

  async listQuarantines(): Promise<QuarantineView[]> {
    return this.options.quarantines.list();
  }

  async addQuarantine({ workload, durationMs, reason, by }: AddQuarantineRequest): Promise<QuarantineView> {
    if (!(durationMs >= 1_000)) throw new AgentError('E_USAGE', 'a quarantine lasts a second at least', { object: workload.name });
    if (reason.trim() === '') throw new AgentError('E_USAGE', 'a quarantine needs a reason', { object: workload.name });
    const view = await this.options.quarantines.add({ workload, untilMs: Date.now() + durationMs, by, reason });
    await this.options.loop.flush('quarantine');
    return view;
  }

  async releaseQuarantine({ name, by }: { name: string; by: string }): Promise<QuarantineView> {
    const view = await this.options.quarantines.release(name, by);
    await this.options.loop.flush('quarantine');
    return view;
  }

  async reloadIds(): Promise<ReloadIdsResult> {
    return this.requireIds().reload();
  }

  async idsStatus(): Promise<IdsStatusView> {
    return idsStatus(this.requireIds().status());
  }

  async getSignatures(filter: SignatureFilter): Promise<SignaturesView> {
    return this.requireIds().signatures.list(filter);
  }

  async updateSignatures(): Promise<SignatureChangeView> {
    return this.requireIds().signatures.update();
  }

  async rollbackSignatures(): Promise<SignatureChangeView> {
    return this.requireIds().signatures.rollback();
  }

  capture(request: { filter: string; count?: number; seconds?: number; snaplen?: number; expression?: string }, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { filter: name, ...rest } = request;
    const filter = findFilter(this.realized.world.filters, name);
    if (!this.options.datapath.links.has(filter.interface)) {
      throw new AgentError('E_NOT_FOUND', `interface ${filter.interface} of ${filter.name} does not exist now`, { object: filter.name, retryable: true });
    }
    return capture({ interface: filter.interface, ...rest }, this.options.captures, signal);
  }

  async status(): Promise<StatusView> {
    return this.options.status.status();
  }

  async health(): Promise<HealthView> {
    return this.options.status.health();
  }

  version(): { version: string; node: string; kernel: string } {
    return this.options.version;
  }

  setLogLevel(level: string): string {
    return this.options.setLogLevel(level);
  }

  async cleanup(confirm: boolean): Promise<{ removed: string[] }> {
    if (!confirm) throw new AgentError('E_USAGE', 'cleanup ends all enforcement: confirm it');
    return { removed: await this.options.cleanup() };
  }

  private scope(request: FlowsRequest): { filter: Realized['world']['filters'][number] | undefined; ruleId: number | undefined } {
    if (request.filter === undefined && request.all !== true) throw new AgentError('E_USAGE', 'name a filter, or ask for all');
    return { filter: request.filter === undefined ? undefined : findFilter(this.realized.world.filters, request.filter), ruleId: request.ruleId };
  }

  private requireIds(): IdsDriver {
    if (this.options.ids === undefined) throw new AgentError('E_INVALID', 'ids is not enabled: set ids.enabled in the configuration', { object: 'ids' });
    return this.options.ids;
  }
}

function isPolicy(object: DesiredObject): object is PolicyObject {
  return Object.hasOwn(POLICY_KINDS, object.kind);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
