/**
 * What the API server asks of the agent; app/ implements it. Every method rejects with AgentError: E_NOT_FOUND (with the
 * nearest names in context.nearest: string[]), E_INVALID, E_USAGE. A FILTER argument is a filter name, an interface,
 * "namespace/pod[/vnic]" or a VM name.
 */
import type {
  AddressSetsView, AlertSelection, AlertsView, AlertView, ChangeView, ConnCountView, DiffView, EndpointsView, FilterStatView, FilterView, FlowStream, FlowView,
  FqdnAddressView, HealthView, IdsStatusView, LearnedAddressView, ObjectView, QuarantineView, RulesView, SignatureChangeView, SignatureFaultView, SignatureFilter, SignaturesView,
  StatusView, SyncView, TraceRequest, TraceView, TrafficControlView, EgressStateView,
} from '../model/views.js';
import type { WorkloadReference } from '../model/objects.js';

export interface FlowsRequest { filter?: string; all?: boolean; ruleId?: number; format: 'text' | 'json' }
export interface AttachRequest { workload: WorkloadReference; vnic: string; interface: string; mac?: string; addresses: string[] }
/** One manifest document as the user wrote it: parsed YAML/JSON, or the text of a *.rules file. */
export type ManifestInput = { readonly document: unknown } | { readonly rulesText: string; readonly name: string };

/** `own`: as apply or delete would do it, which refuse what belongs to another source; else whoever holds the objects. */
export interface DiffRequest { documents: ManifestInput[]; delete: boolean; own: boolean }
export interface ReloadIdsResult { reloaded: boolean; detail: string; faults: SignatureFaultView[] }
export interface EndpointRequest { namespace: string; name: string }

/** `by`: the account that asks, as it says itself. */
export interface AddQuarantineRequest { workload: WorkloadReference; durationMs: number; reason: string; by: string }

export interface AgentApi {
  getFilters(): Promise<FilterView[]>;
  getRules(filter: string, stats: boolean): Promise<RulesView>;
  getAddressSets(filter: string): Promise<AddressSetsView>;
  /** Text chunks are lines in the NSX column order; JSON chunks are FlowView objects joined by ",\n". */
  getFlows(request: FlowsRequest, signal: AbortSignal): Promise<FlowStream>;
  /** Emits flow changes until the signal fires: new and ended connections of the filter (or of all). */
  watchFlows(request: FlowsRequest, signal: AbortSignal): AsyncIterable<{ event: 'new' | 'end'; flow: FlowView }>;
  getFilterStat(filter: string): Promise<FilterStatView>;
  getConnCount(filter?: string): Promise<ConnCountView>;
  trace(request: TraceRequest): Promise<TraceView>;
  /** Policies have a status. `name` may be the one of PolicyStatusView too. */
  get(kind: string, namespace?: string, name?: string): Promise<ObjectView[]>;
  /** What policies say of a pod; of this host or not. */
  queryEndpoint(request: EndpointRequest): Promise<EndpointsView>;
  /** What applying or deleting the documents would change. Changes nothing. Documents that are refused are errors of the answer. */
  diff(request: DiffRequest): Promise<DiffView>;
  apply(documents: ManifestInput[], options: { dryRun: boolean }): Promise<ChangeView[]>;
  deleteObjects(objects: { kind: string; namespace?: string; name: string }[]): Promise<ChangeView[]>;
  attach(request: AttachRequest): Promise<ChangeView>;
  /** By filter. */
  detach(filter: string): Promise<ChangeView>;
  sync(timeoutMs: number): Promise<SyncView>;
  getTrafficControl(): Promise<TrafficControlView[]>;
  /** Egress objects with the node that has their address; empty where the agent does nothing about them. */
  getEgress(): Promise<EgressStateView>;
  /** By name, then address. `domain`: a name, with * for anything; absent: all. */
  getFqdnCache(domain?: string): Promise<FqdnAddressView[]>;
  /** Newest first. */
  getAlerts(request: AlertSelection & { sinceMs?: number; limit?: number }): Promise<AlertsView>;
  /** Alerts as they come, and again, with their count, at the end of their window. */
  followAlerts(request: AlertSelection, signal: AbortSignal): AsyncIterable<AlertView>;
  /** A pcapng file (header first) of the packets around an alert. E_NOT_FOUND: no such alert, or its packets are gone; E_INVALID: packets are not kept. */
  getAlertPackets(id: string): AsyncIterable<Uint8Array>;
  listQuarantines(): Promise<QuarantineView[]>;
  /** Resolves when it is enforced. */
  addQuarantine(request: AddQuarantineRequest): Promise<QuarantineView>;
  releaseQuarantine(request: { name: string; by: string }): Promise<QuarantineView>;
  /** What was learned; of one filter, or all. */
  listAddresses(filter?: string): Promise<LearnedAddressView[]>;
  /** An address that waits becomes the workload's. Resolves when it is in force. */
  approveAddress(request: { filter: string; address: string }): Promise<LearnedAddressView>;
  /** Forgets an address, or all of the filter's; those that it forgot. Resolves when they are not in force any more. */
  releaseAddresses(request: { filter: string; address?: string }): Promise<LearnedAddressView[]>;
  /** Tests the directory of signatures, and puts it in force when it passes. */
  reloadIds(): Promise<ReloadIdsResult>;
  idsStatus(): Promise<IdsStatusView>;
  /** Those of the set in force; a filter that is absent lets all through. */
  getSignatures(filter: SignatureFilter): Promise<SignaturesView>;
  /** Fetches the bundle of signatures now. */
  updateSignatures(): Promise<SignatureChangeView>;
  /** Puts the version of the bundle before in force. */
  rollbackSignatures(): Promise<SignatureChangeView>;
  /** pcap file bytes (header first) until the signal fires, `count` packets or `seconds` have passed. */
  capture(request: { filter: string; count?: number; seconds?: number; snaplen?: number; expression?: string }, signal: AbortSignal): AsyncIterable<Uint8Array>;
  status(): Promise<StatusView>;
  health(): Promise<HealthView>;
  version(): { version: string; node: string; kernel: string };
  setLogLevel(level: string): string;
  /** Removes the agent's datapath objects. `confirm` must be true. */
  cleanup(confirm: boolean): Promise<{ removed: string[] }>;
}
