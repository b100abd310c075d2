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
  /** Of all kinds; those that are held are among `degraded`. */
  policies: number;
  rules: number;
  addresses: number;
  realized: boolean;
  generation: number;
  degraded: { reason: string; since: string }[];
  components: { name: string; state: string; detail: string }[];
}
export interface HealthView { healthy: boolean; checks: { name: string; ok: boolean; detail: string }[] }
export interface SyncView { realized: boolean; generation: number; durationMs: number; errors: { object: string; path: string; message: string }[] }
/** `status`: of policies only. */
export interface ObjectView { kind: string; namespace?: string; name: string; source: string; manifest: unknown; status?: PolicyStatusView }
export interface FaultView { object: string; path: string; message: string }
export interface PolicyRuleStatusView {
  /** Absent while the rule has none: it never was in force here. */
  id?: number;
  name?: string;
  direction: 'in' | 'out' | 'inout';
  action: RuleAction;
  stats?: RuleStatsView;
}
export interface PolicyStatusView {
  /** `K8sNetworkPolicy:default/web`: unique among policies of all kinds. */
  name: string;
  /**
   * realized: in force at every filter of this host that it applies to; pending: being brought there; not-here: it applies to no
   * workload of this host; held: its newest version is not in force, `problem` says why (an earlier version may be).
   */
  state: 'realized' | 'pending' | 'not-here' | 'held';
  /** Of this host, that it applies to. */
  workloads: number;
  filters: string[];
  /** Of the policy as written. */
  ruleCount: number;
  /** Absent for Kubernetes' own NetworkPolicies, which have neither, and for what is held without an earlier version. */
  tierPriority?: number;
  priority?: number;
  /** New connections judged by its rules. */
  hits: number;
  /** Newest generation of the tables that hold its rules; with state `realized`. */
  generation?: number;
  /** Of the version in force. In lists, those of policies that are `not-here` are left out. */
  rules: PolicyRuleStatusView[];
  problem?: FaultView;
}
export interface EndpointRuleView { policyref: PolicyReference; direction: 'In' | 'Out'; ruleindex: number; rule?: string }
/** As antctl prints them; lists are in order of evaluation. */
export interface EndpointView { namespace: string; name: string; policies: PolicyReference[]; ingresssrcrules: EndpointRuleView[]; egressdstrules: EndpointRuleView[] }
export interface EndpointsView { endpoints: EndpointView[] }
/** `filters`: the names of those where it is so. */
export interface RuleDifferenceView { ruleset: string; filters: string[]; rule: RuleView }
export interface RuleChangeView { ruleset: string; filters: string[]; before: RuleView[]; after: RuleView[] }
export interface SetDifferenceView { name: string; filters: string[]; addresses: string[] }
export interface SetChangeView { name: string; filters: string[]; added: string[]; removed: string[] }
export interface DiffView {
  changes: ChangeView[];
  /** Documents that are refused or would be held, and whatever else would be wrong. */
  errors: FaultView[];
  filters: { added: string[]; removed: string[] };
  /** Filters where rule tables would be evaluated in another order. */
  reordered: { filters: string[]; before: string[]; after: string[] }[];
  rules: { added: RuleDifferenceView[]; removed: RuleDifferenceView[]; changed: RuleChangeView[] };
  addressSets: { added: SetDifferenceView[]; removed: SetDifferenceView[]; changed: SetChangeView[] };
  /** Live connections that would lose their permission. */
  flowsCut: FlowView[];
  /** False: there are more than were looked at. */
  flowsComplete: boolean;
}
export interface ChangeView { object: string; operation: 'created' | 'configured' | 'unchanged' | 'deleted' }
export interface TrafficControlView {
  name: string;
  action: 'Mirror' | 'Redirect';
  direction: 'Ingress' | 'Egress' | 'Both';
  device: string;
  state: string; // "active" | "pending: <why>"
  workloads: { namespace: string; name: string; filter: string }[];
  /** Copies that were made, or what was redirected, since the rules or flows for it were. */
  packets: number;
  bytes: number;
  /** What the device had no room for, whichever TrafficControl sent it there. */
  dropped: number;
  /** Copies that `rateLimit` did not let pass. */
  capped: number;
  /** Where the device leads to the IDS engine: what the engine did not read in time. */
  engineDropped?: number;
  /** Of copies, for each direction that is copied: are packets among them that rules refuse? */
  refused?: { ingress?: RefusedCopies; egress?: RefusedCopies };
  /** One connection in so many; absent: all. */
  sampling?: number;
  rateLimit?: { packetsPerSecond?: number; bytesPerSecond?: number; burst?: number };
}
export type RefusedCopies = 'copied' | 'left-out';
export interface EgressView {
  name: string;
  /** "" = none. */
  address: string;
  pool: string;
  /** That has the address; "" = none. */
  node: string;
  state: string; // "active" | "pending: <why>"
  /** Pods that leave with the address. `node`: "" = not known. */
  workloads: { namespace: string; name: string; node: string; addresses: string[] }[];
}
export interface EgressPoolView { name: string; total: number; used: number }
export interface EgressStateView { egresses: EgressView[]; pools: EgressPoolView[] }
/** An address that a DNS reply gave a name; rules that name it mean the address until then. */
export interface FqdnAddressView {
  fqdn: string;
  address: string;
  expiration: string;
}
export interface AlertView {
  id: string;
  /** Of the first of those that `count` counts. */
  timestamp: string;
  signatureId: number;
  signature: string;
  category: string;
  severity: number;
  /** What the engine did with the packet: "allowed" | "blocked". */
  action: string;
  protocol: string;
  source: FlowEndpoint;
  destination: FlowEndpoint;
  workload?: WorkloadReference;
  filter?: string;
  ruleId?: number;
  flowId?: string;
  /** Alike alerts of one window (docs/ids-alerts.md), this one included; absent = 1. */
  count?: number;
  /** Of the last of them; absent = `timestamp`. */
  last?: string;
  /** Whether the connection was opened to the workload (in) or by it (out). */
  direction?: 'in' | 'out';
  labels?: Record<string, string>;
  namespaceLabels?: Record<string, string>;
  /** The rules refuse the packet: it went no further, and `ruleId` is the rule that says so. */
  refused?: boolean;
  /** Name of the filter whose rule that is. */
  refusedBy?: string;
  /** Rule table of `ruleId`, and the policy that the rule is of. */
  ruleset?: string;
  policy?: PolicyReference;
  connection?: AlertConnectionView;
  /** The other end, where it is a workload of this host. */
  peer?: AlertPeerView;
  communityId?: string;
  /** "http", "tls", "dns" ... as the engine names it. */
  appProtocol?: string;
  http?: AlertHttpView;
  tls?: AlertTlsView;
  dns?: AlertDnsView;
}
/** From the side that opened it; `state`: of a TCP connection as getflows has it, else "". */
export interface AlertConnectionView { source: FlowEndpoint; destination: FlowEndpoint; state: string }
export interface AlertPeerView { workload: WorkloadReference; filter: string }
/** Fields that the engine did not see are absent. */
export interface AlertHttpView { host?: string; url?: string; method?: string; userAgent?: string; status?: number }
export interface AlertTlsView { sni?: string; subject?: string; version?: string }
export interface AlertDnsView { query?: string; type?: string }
export interface AlertsView { alerts: AlertView[] }
/** Which alerts: absent fields select nothing away. */
export interface AlertSelection {
  /** A workload's name, "namespace/name", or a filter's name. */
  workload?: string;
  /** Least severe level wanted: 1 is the most severe, so 2 gives levels 1 and 2. */
  minSeverity?: number;
  signatureId?: number;
  /** Part of the category, in any case. */
  category?: string;
}
export interface QuarantineView {
  /** What `release` takes: namespace/pod or vm/NAME. */
  name: string;
  workload: WorkloadReference;
  filters: string[];
  since: string;
  until: string;
  /** Who: "response" or the account that asked. */
  by: string;
  reason: string;
  /** Of the alert that led to it. */
  alertId?: string;
}

/** An address that a workload was seen to have. */
export interface LearnedAddressView {
  filter: string;
  workload: WorkloadReference;
  vnic: string;
  interface: string;
  /** How addresses of the vNIC are learned: manual, firstUse, aged. */
  mode: string;
  address: string;
  /** arp, nd, dhcp, dhcpv6 */
  by: string;
  /** '' = not known. */
  mac: string;
  /** bound: it is the workload's; pending: waits for approval; conflict: somebody else has it. */
  state: string;
  /** Who has it; '' but for conflicts. */
  owner: string;
  since: string;
  lastSeen: string;
  /** End of the lease. */
  expires?: string;
}

/** A signature that the engine refused. `line` is 0 where the engine did not say it. */
export interface SignatureFaultView { file: string; line: number; sid?: number; reason: string }
/**
 * What became of `ids update` or `rollback`. changed: another set of signatures is in force; unchanged: there was nothing to change;
 * failed: something was wrong, and what was in force still is.
 */
export interface SignatureChangeView {
  outcome: 'changed' | 'unchanged' | 'failed';
  detail: string;
  /** Of the bundle that is in force afterwards. */
  version?: string;
  /** The first 100. */
  faults: SignatureFaultView[];
}
export interface SignatureView {
  sid: number;
  rev: number;
  action: string;
  severity: number;
  category: string;
  message: string;
  /** Where it came from: a path in the bundle, or an absolute one. */
  file: string;
  /** False: commented out, left out by the selection, replaced by one of the same sid, or refused by the engine. */
  enabled: boolean;
}
export interface SignatureFilter { sid?: number; severity?: number; category?: string; enabled?: boolean }
export interface SignaturesView { signatures: SignatureView[] }
export type BundleFetchResult = 'updated' | 'unchanged' | 'refused' | 'failed';
export interface BundleView {
  source: string;
  /** In force. */
  version?: string;
  sha256?: string;
  /** What a rollback leads to. */
  previous?: string;
  lastFetch?: { at: string; result: BundleFetchResult; detail: string };
  nextFetch?: string;
}
export interface IdsStatusView {
  engine: { kind: 'suricata' | 'external'; state: string; reason: string; since: string; pid?: number; restarts: number; bounds?: string };
  /** As the engine says; where its signatures are ours to manage. */
  signatures?: { loaded: number; failed: number; skipped: number; directory: string; testedAt: string };
  bundle?: BundleView;
  /** Newest signatures that are not in force. */
  refused?: { at: string; what: string; reason: string; faults: SignatureFaultView[] };
  /** Counts since the engine's start; packets that came to it, and those it was too slow for. */
  packets: number;
  dropped: number;
  /** Bytes of flows and streams, and how often a memory cap was in the way. */
  memory: number;
  memcapHits: number;
}
