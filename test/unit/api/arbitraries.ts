/** Random requests and answers of every API method: fields that may be absent are sometimes absent, lists sometimes empty. */
import fc from 'fast-check';
import type { Arbitrary } from 'fast-check';
import type { AttachRequest, FlowsRequest, ManifestInput } from '../../../src/api/agent-api.js';
import type { CaptureRequest, Empty, FlowEvent, FlowsPart, GetAlertsRequest, methods, ObjectName, StreamMethod, UnaryMethod } from '../../../src/api/methods.js';
import type { WorkloadReference } from '../../../src/model/objects.js';
import type { PolicyReference } from '../../../src/model/rule.js';
import type {
  AddressSetsView, AlertView, BundleView, ChangeView, ConnCountView, DiffView, EndpointsView, FilterStatView, FilterView, FlowView, HealthView, IdsStatusView,
  LearnedAddressView, ObjectView, PolicyStatusView, QuarantineView, RulesView, RuleView, SideView, SignatureChangeView, SignatureFaultView, SignatureView, StatusView, SyncView,
  TraceRequest, TraceView, TrafficControlView, EgressStateView,
} from '../../../src/model/views.js';

const text = fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('__proto__', 'constructor', 'line\nbreak', '日本'));
const count = fc.oneof(fc.constant(0), fc.maxSafeNat());
const small = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const flag = fc.boolean();
const list = <T>(item: Arbitrary<T>): Arbitrary<T[]> => fc.array(item, { maxLength: 3 });
const texts = list(text);

const workload: Arbitrary<WorkloadReference> = fc.record({ kind: fc.constantFrom('Pod', 'VirtualMachine', 'Node'), namespace: text, name: text }, { requiredKeys: ['kind', 'name'] });
const policy: Arbitrary<PolicyReference> = fc.record({ kind: text, namespace: text, name: text, rule: text, group: text }, { requiredKeys: ['kind', 'name'] });
const endpoint = fc.record({ address: text, port: small });
const faults = list(fc.record({ object: text, path: text, message: text }));
const action = fc.constantFrom('accept' as const, 'drop' as const, 'reject' as const);
const oneWay = fc.constantFrom('in' as const, 'out' as const);

const filter: Arbitrary<FilterView> = fc.record({
  name: text, hash: small, workload, vnic: text, interface: text, mac: text, addresses: texts, slot: small, agentName: text,
  state: fc.constantFrom('attached', 'waiting', 'closed', 'open'), failurePolicy: fc.constantFrom('failClosed', 'failOpen'),
  datapath: fc.constantFrom('nftables', 'ovs'), generation: count, realized: flag, rulesets: texts,
});
const side: Arbitrary<SideView> = fc.record({ any: fc.constant(true as const), not: flag, addressSets: texts, addresses: texts }, { requiredKeys: [] });
const inOut = fc.record({ in: count, out: count });
const rule: Arbitrary<RuleView> = fc.record({
  id: count, at: small, direction: fc.constantFrom('in', 'out', 'inout'), family: text, protocol: text, ethertype: text, source: side, sourcePorts: texts,
  destination: side, ports: texts, icmp: fc.record({ type: small, code: small }, { requiredKeys: ['type'] }), action, log: flag, tag: text, stateless: flag,
  policy, stats: fc.record({ evals: count, packets: inOut, bytes: inOut }),
}, { requiredKeys: ['id', 'at', 'direction', 'source', 'destination', 'action', 'log'] });
const rules: Arbitrary<RulesView> = fc.record({
  filter: text,
  rulesets: list(fc.record({ name: text, layer: fc.constantFrom(2 as const, 3 as const), generation: count, realizedAt: text, rules: list(rule) })),
});
const addressSets: Arbitrary<AddressSetsView> = fc.record({ filter: text, addressSets: list(fc.record({ name: text, addresses: texts })) });
const tally = fc.record({ original: count, reply: count });
const flow: Arbitrary<FlowView> = fc.record({
  id: text, state: fc.constantFrom('Active', 'InActive', 'Drop'), protocol: text, ethertype: text, direction: oneWay, ruleId: count, policy,
  source: endpoint, destination: endpoint, ageSeconds: count, timeoutSeconds: count, tcpState: text, bytes: tally, packets: tally,
}, {
  requiredKeys: ['id', 'state', 'protocol', 'ethertype', 'direction', 'ruleId', 'source', 'destination', 'ageSeconds', 'timeoutSeconds', 'tcpState', 'bytes', 'packets'],
});
const passDrop = fc.record({ v4PassIn: count, v4PassOut: count, v4DropIn: count, v4DropOut: count, v6PassIn: count, v6PassOut: count, v6DropIn: count, v6DropOut: count });
const counters = fc.uniqueArray(fc.tuple(text, count), { selector: ([name]) => name, maxLength: 4 }).map((entries): Record<string, number> => Object.fromEntries(entries));
const filterStat: Arbitrary<FilterStatView> = fc.record({ filter: text, packets: passDrop, bytes: passDrop, dropReasons: counters, miscellaneous: counters });
const connCount: Arbitrary<ConnCountView> = fc.record({ filter: text, connections: count }, { requiredKeys: ['connections'] });
const trace: Arbitrary<TraceView> = fc.record({
  verdict: fc.constantFrom('allow', 'drop', 'reject'),
  steps: list(fc.record({ filter: text, direction: oneWay, ruleset: text, ruleId: count, action, policy }, { requiredKeys: ['filter', 'direction', 'ruleset', 'ruleId', 'action'] })),
});
/** JSON has no -0: it comes back as 0. */
const document = fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value)));
const ruleStats = fc.record({ evals: count, packets: inOut, bytes: inOut });
const policyStatus: Arbitrary<PolicyStatusView> = fc.record({
  name: text, state: fc.constantFrom('realized', 'pending', 'not-here', 'held'), workloads: small, filters: texts, ruleCount: small, tierPriority: fc.constantFrom(0, 99.3, 250),
  priority: fc.constantFrom(1, 5.5), hits: count, generation: count, problem: fc.record({ object: text, path: text, message: text }),
  rules: list(fc.record({ id: count, name: text, direction: fc.constantFrom('in', 'out', 'inout'), action: fc.constantFrom('accept', 'drop', 'reject', 'pass'), stats: ruleStats }, { requiredKeys: ['direction', 'action'] })),
}, { requiredKeys: ['name', 'state', 'workloads', 'filters', 'ruleCount', 'hits', 'rules'] });
const endpointRules = list(fc.record({ policyref: policy, direction: fc.constantFrom('In', 'Out'), ruleindex: small, rule: text }, { requiredKeys: ['policyref', 'direction', 'ruleindex'] }));
const endpoints: Arbitrary<EndpointsView> = fc.record({
  endpoints: list(fc.record({ namespace: text, name: text, policies: list(policy), ingresssrcrules: endpointRules, egressdstrules: endpointRules })),
});
const object: Arbitrary<ObjectView> = fc.record({ kind: text, namespace: text, name: text, source: text, manifest: document, status: policyStatus }, { requiredKeys: ['kind', 'name', 'source', 'manifest'] });
const change: Arbitrary<ChangeView> = fc.record({ object: text, operation: fc.constantFrom('created', 'configured', 'unchanged', 'deleted') });
const ruleDifferences = list(fc.record({ ruleset: text, filters: texts, rule }));
const setDifferences = list(fc.record({ name: text, filters: texts, addresses: texts }));
const diff: Arbitrary<DiffView> = fc.record({
  changes: list(change), errors: faults, filters: fc.record({ added: texts, removed: texts }), reordered: list(fc.record({ filters: texts, before: texts, after: texts })),
  rules: fc.record({ added: ruleDifferences, removed: ruleDifferences, changed: list(fc.record({ ruleset: text, filters: texts, before: list(rule), after: list(rule) })) }),
  addressSets: fc.record({ added: setDifferences, removed: setDifferences, changed: list(fc.record({ name: text, filters: texts, added: texts, removed: texts })) }),
  flowsCut: list(flow), flowsComplete: flag,
});
const duration = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const sync: Arbitrary<SyncView> = fc.record({ realized: flag, generation: count, durationMs: duration, errors: faults });
const trafficControl: Arbitrary<TrafficControlView> = fc.record({
  name: text, action: fc.constantFrom('Mirror', 'Redirect'), direction: fc.constantFrom('Ingress', 'Egress', 'Both'), device: text, state: text,
  workloads: list(fc.record({ namespace: text, name: text, filter: text })), packets: count, bytes: count, dropped: count,
  capped: count, engineDropped: count, sampling: small, refused: fc.record({ ingress: fc.constantFrom('copied', 'left-out'), egress: fc.constantFrom('copied', 'left-out') }, { requiredKeys: [] }),
  rateLimit: fc.record({ packetsPerSecond: count, bytesPerSecond: count, burst: count }, { requiredKeys: [] }),
}, { requiredKeys: ['name', 'action', 'direction', 'device', 'state', 'workloads', 'packets', 'bytes', 'dropped', 'capped'] });
const egressState: Arbitrary<EgressStateView> = fc.record({
  egresses: list(fc.record({
    name: text, address: text, pool: text, node: text, state: text, workloads: list(fc.record({ namespace: text, name: text, node: text, addresses: texts })),
  })),
  pools: list(fc.record({ name: text, total: count, used: count })),
});
const textMap = fc.dictionary(text, text, { noNullPrototype: true });
const quarantine: Arbitrary<QuarantineView> = fc.record({
  name: text, workload, filters: texts, since: text, until: text, by: text, reason: text, alertId: text,
}, { requiredKeys: ['name', 'workload', 'filters', 'since', 'until', 'by', 'reason'] });
const learnedAddress: Arbitrary<LearnedAddressView> = fc.record({
  filter: text, workload, vnic: text, interface: text, mode: text, address: text, by: text, mac: text, state: text, owner: text, since: text, lastSeen: text, expires: text,
}, { requiredKeys: ['filter', 'workload', 'vnic', 'interface', 'mode', 'address', 'by', 'mac', 'state', 'owner', 'since', 'lastSeen'] });
const alert: Arbitrary<AlertView> = fc.record({
  id: text, timestamp: text, signatureId: count, signature: text, category: text, severity: small, action: text, protocol: text, source: endpoint,
  destination: endpoint, workload, filter: text, ruleId: count, flowId: text, count, last: text, direction: fc.constantFrom('in', 'out'),
  labels: textMap, namespaceLabels: textMap, ruleset: text, policy, connection: fc.record({ source: endpoint, destination: endpoint, state: text }),
  peer: fc.record({ workload, filter: text }), communityId: text, appProtocol: text,
  http: fc.record({ host: text, url: text, method: text, userAgent: text, status: small }, { requiredKeys: [] }),
  tls: fc.record({ sni: text, subject: text, version: text }, { requiredKeys: [] }), dns: fc.record({ query: text, type: text }, { requiredKeys: [] }),
  refused: flag, refusedBy: text,
}, { requiredKeys: ['id', 'timestamp', 'signatureId', 'signature', 'category', 'severity', 'action', 'protocol', 'source', 'destination'] });
const status: Arbitrary<StatusView> = fc.record({
  node: text, version: text, datapath: text, sources: list(fc.record({ type: text, synced: flag, revision: count, errors: faults })), filters: count,
  policies: small, rules: count, addresses: count, realized: flag, generation: count, degraded: list(fc.record({ reason: text, since: text })),
  components: list(fc.record({ name: text, state: text, detail: text })),
});
const health: Arbitrary<HealthView> = fc.record({ healthy: flag, checks: list(fc.record({ name: text, ok: flag, detail: text })) });

const signatureFault: Arbitrary<SignatureFaultView> = fc.record({ file: text, line: small, sid: count, reason: text }, { requiredKeys: ['file', 'line', 'reason'] });
const signatureChange: Arbitrary<SignatureChangeView> = fc.record({
  outcome: fc.constantFrom('changed', 'unchanged', 'failed'), detail: text, version: text, faults: list(signatureFault),
}, { requiredKeys: ['outcome', 'detail', 'faults'] });
const signature: Arbitrary<SignatureView> = fc.record({ sid: count, rev: count, action: text, severity: count, category: text, message: text, file: text, enabled: flag });
const bundle: Arbitrary<BundleView> = fc.record({
  source: text, version: text, sha256: text, previous: text, nextFetch: text,
  lastFetch: fc.record({ at: text, result: fc.constantFrom('updated', 'unchanged', 'refused', 'failed'), detail: text }),
}, { requiredKeys: ['source'] });
const idsStatus: Arbitrary<IdsStatusView> = fc.record({
  engine: fc.record({ kind: fc.constantFrom('suricata', 'external'), state: text, reason: text, since: text, pid: count, restarts: count }, { requiredKeys: ['kind', 'state', 'reason', 'since', 'restarts'] }),
  signatures: fc.record({ loaded: count, failed: count, skipped: count, directory: text, testedAt: text }), bundle,
  refused: fc.record({ at: text, what: text, reason: text, faults: list(signatureFault) }), packets: count, dropped: count, memory: count, memcapHits: count,
}, { requiredKeys: ['engine', 'packets', 'dropped', 'memory', 'memcapHits'] });

const empty: Arbitrary<Empty> = fc.constant({});
const byFilter = fc.record({ filter: text });
const perhapsFilter: Arbitrary<{ filter?: string }> = fc.record({ filter: text }, { requiredKeys: [] });
const flowsRequest: Arbitrary<FlowsRequest> = fc.record({ filter: text, all: flag, ruleId: count, format: fc.constantFrom('text', 'json') }, { requiredKeys: ['format'] });
const bytes = fc.uint8Array({ maxLength: 40 });
const flowsPart: Arbitrary<FlowsPart> = fc.oneof(
  fc.record({ counts: fc.record({ active: count, inactive: count, drop: count }) }),
  fc.record({ data: bytes }),
);
const manifest: Arbitrary<ManifestInput> = fc.oneof(fc.record({ document }), fc.record({ rulesText: text, name: text }));
const traceRequest: Arbitrary<TraceRequest> = fc.record(
  { from: text, to: text, protocol: text, sourcePort: small, destinationPort: small, icmpType: small, icmpCode: small },
  { requiredKeys: ['from', 'to'] },
);
const objectName: Arbitrary<ObjectName> = fc.record({ kind: text, namespace: text, name: text }, { requiredKeys: ['kind', 'name'] });
const attach: Arbitrary<AttachRequest> = fc.record({ workload, vnic: text, interface: text, mac: text, addresses: texts }, { requiredKeys: ['workload', 'vnic', 'interface', 'addresses'] });
const alertSelection = { workload: text, minSeverity: small, signatureId: count, category: text };
const getAlerts: Arbitrary<GetAlertsRequest> = fc.record({ ...alertSelection, sinceMs: count, limit: small }, { requiredKeys: [] });
const capture: Arbitrary<CaptureRequest> = fc.record({ filter: text, count, seconds: duration, snaplen: small, expression: text }, { requiredKeys: ['filter'] });
const flowEvent: Arbitrary<FlowEvent> = fc.record({ event: fc.constantFrom('new', 'end'), flow });

type Methods = typeof methods;
type Sample<M> = M extends UnaryMethod<infer Q, infer A> | StreamMethod<infer Q, infer A> ? { readonly request: Arbitrary<Q>; readonly response: Arbitrary<A> } : never;

/** Typed over the table of methods: a method without arbitraries does not compile. */
export const samples: { readonly [K in keyof Methods]: Sample<Methods[K]> } = {
  getFilters: { request: empty, response: list(filter) },
  getRules: { request: fc.record({ filter: text, stats: flag }), response: rules },
  getAddressSets: { request: byFilter, response: addressSets },
  getFlows: { request: flowsRequest, response: flowsPart },
  watchFlows: { request: flowsRequest, response: flowEvent },
  getFilterStat: { request: byFilter, response: filterStat },
  getConnCount: { request: perhapsFilter, response: connCount },
  trace: { request: traceRequest, response: trace },
  get: { request: fc.record({ kind: text, namespace: text, name: text }, { requiredKeys: ['kind'] }), response: list(object) },
  queryEndpoint: { request: fc.record({ namespace: text, name: text }), response: endpoints },
  diff: { request: fc.record({ documents: list(manifest), delete: flag, own: flag }), response: diff },
  apply: { request: fc.record({ documents: list(manifest), dryRun: flag }), response: list(change) },
  deleteObjects: { request: list(objectName), response: list(change) },
  attach: { request: attach, response: change },
  detach: { request: byFilter, response: change },
  sync: { request: fc.record({ timeoutMs: count }), response: sync },
  getEgress: { request: empty, response: egressState },
  getTrafficControl: { request: empty, response: list(trafficControl) },
  getFqdnCache: { request: fc.record({ domain: text }, { requiredKeys: [] }), response: list(fc.record({ fqdn: text, address: text, expiration: text })) },
  getAlerts: { request: getAlerts, response: fc.record({ alerts: list(alert) }) },
  followAlerts: { request: fc.record(alertSelection, { requiredKeys: [] }), response: alert },
  getAlertPackets: { request: fc.record({ id: text }), response: fc.record({ data: bytes }) },
  listQuarantines: { request: empty, response: list(quarantine) },
  addQuarantine: { request: fc.record({ workload, durationMs: count, reason: text, by: text }), response: quarantine },
  releaseQuarantine: { request: fc.record({ name: text, by: text }), response: quarantine },
  listAddresses: { request: fc.record({ filter: text }, { requiredKeys: [] }), response: list(learnedAddress) },
  approveAddress: { request: fc.record({ filter: text, address: text }), response: learnedAddress },
  releaseAddresses: { request: fc.record({ filter: text, address: text }, { requiredKeys: ['filter'] }), response: list(learnedAddress) },
  reloadIds: { request: empty, response: fc.record({ reloaded: flag, detail: text, faults: list(signatureFault) }) },
  idsStatus: { request: empty, response: idsStatus },
  getSignatures: { request: fc.record({ sid: count, severity: small, category: text, enabled: flag }, { requiredKeys: [] }), response: fc.record({ signatures: list(signature) }) },
  updateSignatures: { request: empty, response: signatureChange },
  rollbackSignatures: { request: empty, response: signatureChange },
  capture: { request: capture, response: fc.record({ data: bytes }) },
  status: { request: empty, response: status },
  health: { request: empty, response: health },
  version: { request: empty, response: fc.record({ version: text, node: text, kernel: text }) },
  setLogLevel: { request: fc.record({ level: text }), response: fc.record({ level: text }) },
  cleanup: { request: fc.record({ confirm: flag }), response: fc.record({ removed: texts }) },
};
