/** Codecs of the views of model/views.ts: one a view, field by field as proto/dfw/v1/agent.proto. */
import type { PolicyReference } from '../model/rule.js';
import type { WorkloadReference } from '../model/objects.js';
import type {
  AddressSetsView, AddressSetView, AlertConnectionView, AlertDnsView, AlertHttpView, AlertPeerView, AlertsView, AlertTlsView, AlertView, BundleView, ChangeView,
  ConnCountView, DiffView, EndpointRuleView, EndpointsView, EndpointView, FaultView, FilterStatView, FilterView, FlowCounts, FlowEndpoint, FlowView, FqdnAddressView,
  HealthView, IdsStatusView, LearnedAddressView, ObjectView, PolicyRuleStatusView, PolicyStatusView, QuarantineView, RuleChangeView, RuleDifferenceView, RulesetView, RuleStatsView,
  RulesView, RuleView, SetChangeView, SetDifferenceView, SideView, SignatureChangeView, SignatureFaultView, SignaturesView, SignatureView, SourceStatusView,
  StatusView, SyncView,
  TraceStep, TraceView, TrafficControlView, EgressPoolView, EgressStateView, EgressView,
} from '../model/views.js';
import { counts, flag, json, list, message, number, oneOf, optional, text, textList, textMap, yes } from './codec.js';

export const workload = message<WorkloadReference>({
  kind: oneOf('Pod', 'VirtualMachine', 'Node'), namespace: optional(text), name: text,
});
const policy = message<PolicyReference>({ kind: text, namespace: optional(text), name: text, rule: optional(text), group: optional(text) });
const endpoint = message<FlowEndpoint>({ address: text, port: number });
const fault = message<FaultView>({ object: text, path: text, message: text });
const action = oneOf('accept', 'drop', 'reject');
const ruleAction = oneOf('accept', 'drop', 'reject', 'pass');
const oneWay = oneOf('in', 'out');

export const filter = message<FilterView>({
  name: text, hash: number, workload, vnic: text, interface: text, mac: text, addresses: list(text), slot: number, agentName: text,
  state: oneOf('attached', 'waiting', 'closed', 'open'), failurePolicy: oneOf('failClosed', 'failOpen'), datapath: oneOf('nftables', 'ovs'),
  generation: number, realized: flag, rulesets: list(text),
});

const side = message<SideView>({ any: optional(yes), not: optional(flag), addressSets: optional(textList), addresses: optional(textList) });
const inOut = message<{ in: number; out: number }>({ in: number, out: number });
const ruleStats = message<RuleStatsView>({ evals: number, packets: inOut, bytes: inOut });
const icmp = message<{ type: number; code?: number }>({ type: number, code: optional(number) });
const rule = message<RuleView>({
  id: number, at: number, direction: oneOf('in', 'out', 'inout'), family: optional(text), protocol: optional(text), ethertype: optional(text),
  source: side, sourcePorts: optional(textList), destination: side, ports: optional(textList), icmp: optional(icmp), action: ruleAction, log: flag,
  tag: optional(text), stateless: optional(flag), policy: optional(policy), stats: optional(ruleStats),
});
const ruleset = message<RulesetView>({ name: text, layer: oneOf(2, 3), generation: number, realizedAt: text, rules: list(rule) });
export const rules = message<RulesView>({ filter: text, rulesets: list(ruleset) });

const addressSet = message<AddressSetView>({ name: text, addresses: list(text) });
export const addressSets = message<AddressSetsView>({ filter: text, addressSets: list(addressSet) });

export const flowCounts = message<FlowCounts>({ active: number, inactive: number, drop: number });
const tally = message<{ original: number; reply: number }>({ original: number, reply: number });
export const flow = message<FlowView>({
  id: text, state: oneOf('Active', 'InActive', 'Drop'), protocol: text, ethertype: text, direction: oneWay, ruleId: number,
  policy: optional(policy), source: endpoint, destination: endpoint, ageSeconds: number, timeoutSeconds: number, tcpState: text,
  bytes: tally, packets: tally,
});

const passDrop = message<FilterStatView['packets']>({
  v4PassIn: number, v4PassOut: number, v4DropIn: number, v4DropOut: number,
  v6PassIn: number, v6PassOut: number, v6DropIn: number, v6DropOut: number,
});
export const filterStat = message<FilterStatView>({ filter: text, packets: passDrop, bytes: passDrop, dropReasons: counts, miscellaneous: counts });
export const connCount = message<ConnCountView>({ filter: optional(text), connections: number });

const traceStep = message<TraceStep>({ filter: text, direction: oneWay, ruleset: text, ruleId: number, action, policy: optional(policy) });
export const trace = message<TraceView>({ verdict: oneOf('allow', 'drop', 'reject'), steps: list(traceStep) });

const policyRuleStatus = message<PolicyRuleStatusView>({
  id: optional(number), name: optional(text), direction: oneOf('in', 'out', 'inout'), action: ruleAction, stats: optional(ruleStats),
});
const policyStatus = message<PolicyStatusView>({
  name: text, state: oneOf('realized', 'pending', 'not-here', 'held'), workloads: number, filters: list(text), ruleCount: number,
  tierPriority: optional(number), priority: optional(number), hits: number, generation: optional(number), rules: list(policyRuleStatus), problem: optional(fault),
});
const endpointRule = message<EndpointRuleView>({ policyref: policy, direction: oneOf('In', 'Out'), ruleindex: number, rule: optional(text) });
const endpointPolicies = message<EndpointView>({
  namespace: text, name: text, policies: list(policy), ingresssrcrules: list(endpointRule), egressdstrules: list(endpointRule),
});
export const endpoints = message<EndpointsView>({ endpoints: list(endpointPolicies) });

export const object = message<ObjectView>(
  { kind: text, namespace: optional(text), name: text, source: text, manifest: json, status: optional(policyStatus) },
  { manifest: 'manifestJson' },
);
export const change = message<ChangeView>({ object: text, operation: oneOf('created', 'configured', 'unchanged', 'deleted') });

const ruleDifference = message<RuleDifferenceView>({ ruleset: text, filters: list(text), rule });
const ruleChange = message<RuleChangeView>({ ruleset: text, filters: list(text), before: list(rule), after: list(rule) });
const setDifference = message<SetDifferenceView>({ name: text, filters: list(text), addresses: list(text) });
const setChange = message<SetChangeView>({ name: text, filters: list(text), added: list(text), removed: list(text) });
export const diff = message<DiffView>({
  changes: list(change), errors: list(fault), filters: message<DiffView['filters']>({ added: list(text), removed: list(text) }),
  reordered: list(message<DiffView['reordered'][number]>({ filters: list(text), before: list(text), after: list(text) })),
  rules: message<DiffView['rules']>({ added: list(ruleDifference), removed: list(ruleDifference), changed: list(ruleChange) }),
  addressSets: message<DiffView['addressSets']>({ added: list(setDifference), removed: list(setDifference), changed: list(setChange) }),
  flowsCut: list(flow), flowsComplete: flag,
});
export const sync = message<SyncView>({ realized: flag, generation: number, durationMs: number, errors: list(fault) });

const refusedCopies = oneOf('copied', 'left-out');
const trafficControlWorkload = message<{ namespace: string; name: string; filter: string }>({ namespace: text, name: text, filter: text });
export const egressState = message<EgressStateView>({
  egresses: list(message<EgressView>({
    name: text, address: text, pool: text, node: text, state: text,
    workloads: list(message<EgressView['workloads'][number]>({ namespace: text, name: text, node: text, addresses: list(text) })),
  })),
  pools: list(message<EgressPoolView>({ name: text, total: number, used: number })),
});
export const trafficControl = message<TrafficControlView>({
  name: text, action: oneOf('Mirror', 'Redirect'), direction: oneOf('Ingress', 'Egress', 'Both'), device: text, state: text,
  workloads: list(trafficControlWorkload), packets: number, bytes: number, dropped: number, capped: number, engineDropped: optional(number),
  refused: optional(message<NonNullable<TrafficControlView['refused']>>({ ingress: optional(refusedCopies), egress: optional(refusedCopies) })),
  sampling: optional(number), rateLimit: optional(message<NonNullable<TrafficControlView['rateLimit']>>({ packetsPerSecond: optional(number), bytesPerSecond: optional(number), burst: optional(number) })),
});

export const fqdnAddress = message<FqdnAddressView>({ fqdn: text, address: text, expiration: text });

const alertConnection = message<AlertConnectionView>({ source: endpoint, destination: endpoint, state: text });
const alertPeer = message<AlertPeerView>({ workload, filter: text });
const alertHttp = message<AlertHttpView>({ host: optional(text), url: optional(text), method: optional(text), userAgent: optional(text), status: optional(number) });
const alertTls = message<AlertTlsView>({ sni: optional(text), subject: optional(text), version: optional(text) });
const alertDns = message<AlertDnsView>({ query: optional(text), type: optional(text) });
export const alert = message<AlertView>({
  id: text, timestamp: text, signatureId: number, signature: text, category: text, severity: number, action: text, protocol: text,
  source: endpoint, destination: endpoint, workload: optional(workload), filter: optional(text), ruleId: optional(number), flowId: optional(text),
  count: optional(number), last: optional(text), direction: optional(oneWay), labels: optional(textMap), namespaceLabels: optional(textMap),
  ruleset: optional(text), policy: optional(policy), connection: optional(alertConnection), peer: optional(alertPeer), communityId: optional(text),
  appProtocol: optional(text), http: optional(alertHttp), tls: optional(alertTls), dns: optional(alertDns),
  refused: optional(flag), refusedBy: optional(text),
});
export const alerts = message<AlertsView>({ alerts: list(alert) });

export const learnedAddress = message<LearnedAddressView>({
  filter: text, workload, vnic: text, interface: text, mode: text, address: text, by: text, mac: text, state: text, owner: text, since: text, lastSeen: text, expires: optional(text),
});
export const quarantine = message<QuarantineView>({
  name: text, workload, filters: list(text), since: text, until: text, by: text, reason: text, alertId: optional(text),
});

export const signatureFault = message<SignatureFaultView>({ file: text, line: number, sid: optional(number), reason: text });
export const signatureChange = message<SignatureChangeView>({ outcome: oneOf('changed', 'unchanged', 'failed'), detail: text, version: optional(text), faults: list(signatureFault) });
const signature = message<SignatureView>({
  sid: number, rev: number, action: text, severity: number, category: text, message: text, file: text, enabled: flag,
});
export const signatures = message<SignaturesView>({ signatures: list(signature) });
const bundleFetch = message<NonNullable<BundleView['lastFetch']>>({ at: text, result: oneOf('updated', 'unchanged', 'refused', 'failed'), detail: text });
const bundle = message<BundleView>({
  source: text, version: optional(text), sha256: optional(text), previous: optional(text), lastFetch: optional(bundleFetch), nextFetch: optional(text),
});
export const idsStatus = message<IdsStatusView>({
  engine: message<IdsStatusView['engine']>({ kind: oneOf('suricata', 'external'), state: text, reason: text, since: text, pid: optional(number), restarts: number, bounds: optional(text) }),
  signatures: optional(message<NonNullable<IdsStatusView['signatures']>>({ loaded: number, failed: number, skipped: number, directory: text, testedAt: text })),
  bundle: optional(bundle),
  refused: optional(message<NonNullable<IdsStatusView['refused']>>({ at: text, what: text, reason: text, faults: list(signatureFault) })),
  packets: number, dropped: number, memory: number, memcapHits: number,
});

const sourceStatus = message<SourceStatusView>({ type: text, synced: flag, revision: number, errors: list(fault) });
const degraded = message<{ reason: string; since: string }>({ reason: text, since: text });
const component = message<{ name: string; state: string; detail: string }>({ name: text, state: text, detail: text });
export const status = message<StatusView>({
  node: text, version: text, datapath: text, sources: list(sourceStatus), filters: number, policies: number, rules: number, addresses: number, realized: flag,
  generation: number, degraded: list(degraded), components: list(component),
});
const check = message<{ name: string; ok: boolean; detail: string }>({ name: text, ok: flag, detail: text });
export const health = message<HealthView>({ healthy: flag, checks: list(check) });
