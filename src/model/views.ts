/** Answers of the API, one shape for gRPC, JSON and text output. Keys are the contract of docs/agentctl.md. */
import type { Action, PolicyReference, RuleAction } from './rule.js';
import type { WorkloadReference } from './objects.js';

export interface FilterView {
  name: string; // nic-3-eth0-dfw.2
  hash: number;
  workload: WorkloadReference;
  vnic: string;
  interface: string;
  mac: string;
  addresses: string[];
  slot: number; // 2
  agentName: string; // "dfw-agent"
  /** "attached" = interface present and table in force; "waiting" = interface absent; "closed" | "open" = before its first table. */
  state: 'attached' | 'waiting' | 'closed' | 'open';
  failurePolicy: 'failClosed' | 'failOpen';
  datapath: 'nftables' | 'ovs';
  generation: number;
  realized: boolean;
  /** Names of the rule tables in force, in order of evaluation. */
  rulesets: string[];
}
export interface SideView { any?: true; not?: boolean; addressSets?: string[]; addresses?: string[] }
export interface RuleStatsView { evals: number; packets: { in: number; out: number }; bytes: { in: number; out: number } }
export interface RuleView {
  id: number;
  at: number;
  direction: 'in' | 'out' | 'inout';
  /** "inet" | "inet6", only when restricted. */
  family?: string;
  protocol?: string; // L3: name or number
  ethertype?: string; // L2
  source: SideView;
  sourcePorts?: string[];
  destination: SideView;
  ports?: string[];
  icmp?: { type: number; code?: number };
  action: RuleAction;
  log: boolean;
  tag?: string;
  stateless?: boolean;
  policy?: PolicyReference;
  stats?: RuleStatsView;
}
export interface RulesetView { name: string; layer: 2 | 3; generation: number; realizedAt: string; rules: RuleView[] }
export interface RulesView { filter: string; rulesets: RulesetView[] }
export interface AddressSetView { name: string; addresses: string[] }
export interface AddressSetsView { filter: string; addressSets: AddressSetView[] }
export interface FlowEndpoint { address: string; port: number }
export interface FlowView {
  id: string; // 16 hex digits
  state: 'Active' | 'InActive' | 'Drop';
  protocol: string;
  ethertype: string; // "0800" | "86dd"
  direction: 'in' | 'out';
  ruleId: number;
  policy?: PolicyReference;
  source: FlowEndpoint;
  destination: FlowEndpoint;
  ageSeconds: number;
  timeoutSeconds: number;
  tcpState: string;
  bytes: { original: number; reply: number };
  packets: { original: number; reply: number };
}
export interface FlowCounts { active: number; inactive: number; drop: number }
/** A stream of flows: counts first, then chunks of whole text lines, or of comma-separated JSON objects. */
export interface FlowStream { counts: FlowCounts; chunks: AsyncIterable<Uint8Array> }
export interface FilterStatView {
  filter: string;
  packets: { v4PassIn: number; v4PassOut: number; v4DropIn: number; v4DropOut: number; v6PassIn: number; v6PassOut: number; v6DropIn: number; v6DropOut: number };
  bytes: FilterStatView['packets'];
  /** NSX names: match, state-mismatch, spoofguard, ... */
  dropReasons: Record<string, number>;
  miscellaneous: Record<string, number>;
}
export interface ConnCountView { filter?: string; connections: number }
export interface TraceRequest { from: string; to: string; protocol?: string; sourcePort?: number; destinationPort?: number; icmpType?: number; icmpCode?: number }
export interface TraceStep { filter: string; direction: 'in' | 'out'; ruleset: string; ruleId: number; action: Action; policy?: PolicyReference }
export interface TraceView { verdict: 'allow' | 'drop' | 'reject'; steps: TraceStep[] }
export interface SourceStatusView { type: string; synced: boolean; revision: number; errors: { object: string; path: string; message: string }[] }
export interface StatusView {
  node: string;
  version: string;
  datapath: string;
  sources: SourceStatusView[];
  filters: number;
  rules: number;
  addresses: number;
  realized: boolean;
  generation: number;
  degraded: { reason: string; since: string }[];
  components: { name: string; state: string; detail: string }[];
}
export interface HealthView { healthy: boolean; checks: { name: string; ok: boolean; detail: string }[] }
export interface SyncView { realized: boolean; generation: number; durationMs: number; errors: { object: string; path: string; message: string }[] }
export interface ObjectView { kind: string; namespace?: string; name: string; source: string; manifest: unknown }
export interface ChangeView { object: string; operation: 'created' | 'configured' | 'unchanged' | 'deleted' }
export interface TrafficControlView {
  name: string;
  action: 'Mirror' | 'Redirect';
  direction: 'Ingress' | 'Egress' | 'Both';
  device: string;
  state: string; // "active" | "pending: <why>"
  workloads: { namespace: string; name: string; filter: string }[];
  packets: number;
  bytes: number;
  dropped: number;
}
/** An address that a DNS reply gave a name; rules that name it mean the address until then. */
export interface FqdnAddressView {
  fqdn: string;
  address: string;
  expiration: string;
}
export interface AlertView {
  id: string;
  timestamp: string;
  signatureId: number;
  signature: string;
  category: string;
  severity: number;
  action: string;
  protocol: string;
  source: FlowEndpoint;
  destination: FlowEndpoint;
  workload?: WorkloadReference;
  filter?: string;
  ruleId?: number;
  flowId?: string;
}
export interface AlertsView { alerts: AlertView[] }
