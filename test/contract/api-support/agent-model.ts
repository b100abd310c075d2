/** A small agent that lives in memory: gives the API server something to serve. Not a stand-in for the server or the client. */
import type { AddQuarantineRequest, AgentApi, AttachRequest, DiffRequest, EndpointRequest, FlowsRequest, ManifestInput, ReloadIdsResult } from '../../../src/api/agent-api.js';
import { AgentError } from '../../../src/model/errors.js';
import type {
  AddressSetsView, AlertsView, AlertView, ChangeView, ConnCountView, DiffView, EndpointsView, FilterStatView, FqdnAddressView, FilterView, FlowStream, FlowView, HealthView,
  IdsStatusView, LearnedAddressView, ObjectView, QuarantineView, RulesView, SignatureChangeView, SignatureFaultView, SignatureFilter, SignaturesView, SignatureView, StatusView, SyncView, TraceRequest, TraceView, TrafficControlView, EgressStateView,
} from '../../../src/model/views.js';

export const FILTER = 'nic-145244-eth0-dfw.2';

export const filterView: FilterView = {
  name: FILTER, hash: 45228, workload: { kind: 'VirtualMachine', name: 'web-sv-01a' }, vnic: 'eth0', interface: 'tap7', mac: '00:50:56:a6:7a:a2',
  addresses: ['172.16.10.11'], slot: 2, agentName: 'dfw-agent', state: 'attached', failurePolicy: 'failClosed', datapath: 'nftables',
  generation: 7, realized: true, rulesets: ['domain-c25'],
};

export const signatureView: SignatureView = {
  sid: 2_100_498, rev: 1, action: 'alert', severity: 2, category: 'bad-unknown', message: 'GPL ATTACK_RESPONSE id check returned root', file: 'rules/gpl.rules', enabled: true,
};
const signatureFault: SignatureFaultView = { file: 'rules/gpl.rules', line: 7, sid: 2_100_499, reason: "unknown rule keyword 'bogus'." };

const any = { any: true } as const;
const set = (name: string) => ({ not: false, addressSets: [name], addresses: [] });

export const rulesView: RulesView = {
  filter: FILTER,
  rulesets: [
    {
      name: 'domain-c25', layer: 3, generation: 7, realizedAt: '2026-01-02T03:04:05.678Z',
      rules: [
        { id: 1006, at: 1, direction: 'inout', protocol: 'tcp', source: set('ip-vm-33'), destination: set('ip-vm-36'), ports: ['22'], action: 'accept', log: true },
        { id: 1005, at: 2, direction: 'inout', protocol: 'any', source: any, destination: set('ip-ipset-2'), action: 'accept', log: false },
        { id: 1004, at: 3, direction: 'inout', protocol: 'ipv6-icmp', icmp: { type: 135 }, source: any, destination: any, action: 'accept', log: false },
        { id: 1003, at: 5, direction: 'inout', protocol: 'udp', source: any, destination: any, ports: ['67'], action: 'accept', log: false },
        { id: 1002, at: 7, direction: 'inout', protocol: 'any', source: any, destination: any, action: 'reject', log: true },
      ],
    },
    {
      name: 'domain-c25', layer: 2, generation: 7, realizedAt: '2026-01-02T03:04:05.678Z',
      rules: [{ id: 1001, at: 1, direction: 'inout', ethertype: 'any', source: any, destination: any, action: 'accept', log: false }],
    },
  ],
};

export const flowView: FlowView = {
  id: '558a796d00000000', state: 'Active', protocol: 'tcp', ethertype: '0800', direction: 'in', ruleId: 1006,
  source: { address: '172.16.10.12', port: 44194 }, destination: { address: '172.16.10.11', port: 22 }, ageSeconds: 2413, timeoutSeconds: 3600,
  tcpState: 'EST', bytes: { original: 3017, reply: 2957 }, packets: { original: 19, reply: 18 },
};
export const FLOW_LINE = '558a796d00000000 Active tcp 0800 1 1006 0 0  172.16.10.12:Unknown(44194) 172.16.10.11:ssh(22) 2413 EST 3017 2957 19 18\n';

export const PACKETS = Uint8Array.of(10, 13, 13, 10, 1, 2, 3);
export const learnedAddressView: LearnedAddressView = {
  filter: 'nic-2-eth0-dfw.2', workload: { kind: 'VirtualMachine', name: 'web' }, vnic: 'eth0', interface: 'tap1', mode: 'manual', address: '10.0.0.5', by: 'arp', mac: '52:54:00:00:00:01',
  state: 'pending', owner: '', since: '2026-11-22T00:00:00.000Z', lastSeen: '2026-11-22T00:00:01.000Z',
};
export const quarantineView: QuarantineView = {
  name: 'default/web', workload: { kind: 'Pod', namespace: 'default', name: 'web' }, filters: [FILTER], since: '2026-01-02T03:04:05.678Z',
  until: '2026-01-02T03:14:05.678Z', by: 'response', reason: 'alert 2100498', alertId: 'a1',
};
export const alertView: AlertView = {
  id: 'a1', timestamp: '2026-01-02T03:04:05.678Z', signatureId: 2100498, signature: 'GPL ATTACK_RESPONSE id check returned root',
  category: 'Potentially Bad Traffic', severity: 2, action: 'allowed', protocol: 'TCP', source: { address: '192.0.2.3', port: 80 },
  destination: { address: '10.98.0.2', port: 49627 }, workload: { kind: 'Pod', namespace: 'default', name: 'web' }, filter: FILTER, ruleId: 1006,
};

const passDrop = { v4PassIn: 10, v4PassOut: 20, v4DropIn: 1, v4DropOut: 2, v6PassIn: 0, v6PassOut: 0, v6DropIn: 0, v6DropOut: 0 };

export class AgentModel implements AgentApi {
  readonly applied: ManifestInput[] = [];
  readonly deleted: { kind: string; namespace?: string; name: string }[] = [];
  readonly attached: AttachRequest[] = [];
  /** Calls of every streaming method whose signal fired. */
  cancelled = 0;
  /** Bytes of flow text that getFlows({all}) gives. */
  flowBytes = 0;
  cleaned = false;
  syncErrors: SyncView['errors'] = [];
  healthy = true;

  #known(filter: string): void {
    if (filter !== FILTER && filter !== 'tap7' && filter !== 'web-sv-01a') {
      throw new AgentError('E_NOT_FOUND', 'no such filter', { object: filter, context: { nearest: [FILTER] } });
    }
  }

  /** Further filters, as getFilters lists them. */
  readonly others: FilterView[] = [];
  /** What reloadIds waits for. */
  reloading: Promise<void> = Promise.resolve();
  reloads = 0;

  async getFilters(): Promise<FilterView[]> {
    return [filterView, ...this.others];
  }
  async getRules(filter: string, stats: boolean): Promise<RulesView> {
    this.#known(filter);
    if (!stats) return rulesView;
    const counters = { evals: 317802, packets: { in: 2959418, out: 3212647 }, bytes: { in: 648188117, out: 719943929 } };
    return { ...rulesView, rulesets: rulesView.rulesets.map((ruleset) => ({ ...ruleset, rules: ruleset.rules.map((rule) => ({ ...rule, stats: counters })) })) };
  }
  async getAddressSets(filter: string): Promise<AddressSetsView> {
    this.#known(filter);
    return { filter: FILTER, addressSets: [{ name: 'ip-vm-33', addresses: ['172.16.10.12'] }, { name: 'ip-vm-36', addresses: [] }] };
  }
  async getFlows(request: FlowsRequest, signal: AbortSignal): Promise<FlowStream> {
    if (request.filter !== undefined) this.#known(request.filter);
    const chunks = request.all === true && this.flowBytes > 0 ? this.#manyFlows(signal) : this.#oneFlow(request.format);
    return { counts: { active: 3, inactive: 0, drop: 0 }, chunks };
  }
  async *#oneFlow(format: 'text' | 'json'): AsyncGenerator<Uint8Array> {
    if (format === 'text') yield Buffer.from(FLOW_LINE);
    else for (const id of ['558a796d00000000', '558a796d00000001']) yield Buffer.from(JSON.stringify({ ...flowView, id }));
  }
  async *#manyFlows(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const lines = Buffer.from(FLOW_LINE.repeat(Math.floor((256 * 1024) / FLOW_LINE.length)));
    try {
      for (let sent = 0; sent < this.flowBytes && !signal.aborted; sent += lines.length) yield lines;
    } finally {
      if (signal.aborted) this.cancelled += 1;
    }
  }
  async *watchFlows(_request: FlowsRequest, signal: AbortSignal): AsyncGenerator<{ event: 'new' | 'end'; flow: FlowView }> {
    yield { event: 'new', flow: flowView };
    yield { event: 'end', flow: flowView };
    await this.#untilAborted(signal);
  }
  async getFilterStat(filter: string): Promise<FilterStatView> {
    this.#known(filter);
    return { filter: FILTER, packets: passDrop, bytes: passDrop, dropReasons: { match: 3, 'state-mismatch': 0 }, miscellaneous: { 'flow table full': 0 } };
  }
  async getConnCount(filter?: string): Promise<ConnCountView> {
    return filter === undefined ? { connections: 42 } : { filter, connections: 3 };
  }
  async trace(request: TraceRequest): Promise<TraceView> {
    const verdict = request.destinationPort === 22 ? 'allow' : 'reject';
    return { verdict, steps: [{ filter: FILTER, direction: 'in', ruleset: 'domain-c25', ruleId: verdict === 'allow' ? 1006 : 1002, action: verdict === 'allow' ? 'accept' : 'reject' }] };
  }
  async get(kind: string, namespace?: string, name?: string): Promise<ObjectView[]> {
    const object: ObjectView = { kind: 'Pod', namespace: 'default', name: 'web', source: 'file', manifest: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'default' } } };
    const machine: ObjectView = { kind: 'VirtualMachine', name: 'web-sv-01a', source: 'file', manifest: { kind: 'VirtualMachine', spec: { uuid: '5026c7cd-b6f3-f4bc-e533-3d4b255c6277' } } };
    const found = [object, machine].filter((one) => one.kind === kind && (namespace === undefined || one.namespace === namespace) && (name === undefined || one.name === name));
    if (name !== undefined && found.length === 0) throw new AgentError('E_NOT_FOUND', 'no such object', { object: `${kind}/${name}`, context: { nearest: ['web'] } });
    return found;
  }
  async queryEndpoint({ namespace, name }: EndpointRequest): Promise<EndpointsView> {
    return { endpoints: [{ namespace, name, policies: [{ kind: 'NetworkPolicy', group: 'networking.k8s.io', namespace, name: 'web' }], ingresssrcrules: [], egressdstrules: [] }] };
  }
  async diff({ documents, delete: remove }: DiffRequest): Promise<DiffView> {
    return {
      changes: documents.map((_, index) => ({ object: `RuleTable/t${index}`, operation: remove ? 'deleted' : 'created' })), errors: [], filters: { added: [], removed: [] },
      reordered: [], rules: { added: [], removed: [], changed: [] }, addressSets: { added: [], removed: [], changed: [] }, flowsCut: [flowView], flowsComplete: true,
    };
  }
  async apply(documents: ManifestInput[], options: { dryRun: boolean }): Promise<ChangeView[]> {
    if (!options.dryRun) this.applied.push(...documents);
    const first = documents[0];
    if (first !== undefined && 'document' in first && JSON.stringify(first.document).includes('bad')) {
      throw new AgentError('E_INVALID', 'ports must be 1..65535', { object: 'RuleTable/bad', path: 'spec.rules[0].ports[0]' });
    }
    return documents.map((_, index) => ({ object: `RuleTable/t${index}`, operation: 'created' }));
  }
  async deleteObjects(objects: { kind: string; namespace?: string; name: string }[]): Promise<ChangeView[]> {
    this.deleted.push(...objects);
    return objects.map((object) => ({ object: `${object.kind}/${object.name}`, operation: 'deleted' }));
  }
  async attach(request: AttachRequest): Promise<ChangeView> {
    this.attached.push(request);
    return { object: 'Attachment/web-eth0', operation: 'created' };
  }
  async detach(filter: string): Promise<ChangeView> {
    this.#known(filter);
    return { object: 'Attachment/web-eth0', operation: 'deleted' };
  }
  async sync(timeoutMs: number): Promise<SyncView> {
    return { realized: this.syncErrors.length === 0, generation: 8, durationMs: timeoutMs / 1_000, errors: this.syncErrors };
  }
  async getEgress(): Promise<EgressStateView> {
    return {
      egresses: [{ name: 'fruits', address: '172.19.64.101', pool: 'pool-1', node: 'host-1', state: 'active', workloads: [{ namespace: 'default', name: 'web', node: 'host-2', addresses: ['10.1.0.5'] }] }],
      pools: [{ name: 'pool-1', total: 10, used: 1 }],
    };
  }
  async getTrafficControl(): Promise<TrafficControlView[]> {
    return [{
      name: 'web', action: 'Mirror', direction: 'Both', device: 'antrea-tap0', state: 'active', packets: 12, bytes: 3400, dropped: 0, capped: 5, sampling: 10,
      rateLimit: { packetsPerSecond: 500 }, refused: { ingress: 'left-out', egress: 'copied' },
      workloads: [{ namespace: 'default', name: 'web', filter: FILTER }],
    }];
  }
  async getFqdnCache(domain?: string): Promise<FqdnAddressView[]> {
    return [{ fqdn: domain ?? 'www.example.com', address: '192.0.2.1', expiration: '2026-01-02T03:04:05.678Z' }];
  }
  async getAlerts(request: { workload?: string; sinceMs?: number; minSeverity?: number; limit?: number }): Promise<AlertsView> {
    return { alerts: request.sinceMs !== undefined && request.sinceMs > Date.parse(alertView.timestamp) ? [] : [alertView] };
  }
  async *followAlerts(_request: { workload?: string }, signal: AbortSignal): AsyncGenerator<AlertView> {
    yield alertView;
    await this.#untilAborted(signal);
  }
  async *getAlertPackets(id: string): AsyncGenerator<Uint8Array> {
    if (id !== alertView.id) throw new AgentError('E_NOT_FOUND', `there is no alert "${id}"`, { object: id });
    yield PACKETS.subarray(0, 4);
    yield PACKETS.subarray(4);
  }
  async listAddresses(): Promise<LearnedAddressView[]> {
    return [learnedAddressView];
  }
  async approveAddress({ address }: { filter: string; address: string }): Promise<LearnedAddressView> {
    return { ...learnedAddressView, address, state: 'bound' };
  }
  async releaseAddresses(): Promise<LearnedAddressView[]> {
    return [learnedAddressView];
  }
  async listQuarantines(): Promise<QuarantineView[]> {
    return [quarantineView];
  }
  async addQuarantine({ workload, reason, by }: AddQuarantineRequest): Promise<QuarantineView> {
    return { ...quarantineView, workload, reason, by };
  }
  async releaseQuarantine({ name }: { name: string; by: string }): Promise<QuarantineView> {
    return { ...quarantineView, name };
  }
  async reloadIds(): Promise<ReloadIdsResult> {
    this.reloads += 1;
    await this.reloading;
    return { reloaded: true, detail: '31000 signatures', faults: [] };
  }
  async idsStatus(): Promise<IdsStatusView> {
    return {
      engine: { kind: 'suricata', state: 'running', reason: '', since: '2026-01-02T03:04:05.678Z', pid: 4711, restarts: 0 },
      signatures: { loaded: 31_000, failed: 1, skipped: 2, directory: '/etc/dfw-agent/signatures', testedAt: '2026-01-02T03:04:05.678Z' },
      bundle: { source: 'https://rules.example/emerging.tar.gz', version: '10743', lastFetch: { at: '2026-01-02T03:04:05.678Z', result: 'refused', detail: '1 signatures refused by the engine' } },
      refused: { at: '2026-01-02T03:04:05.678Z', what: 'version 10744 of the bundle', reason: '1 signatures refused by the engine', faults: [signatureFault] },
      packets: 12, dropped: 0, memory: 3_000, memcapHits: 0,
    };
  }
  async getSignatures({ sid }: SignatureFilter): Promise<SignaturesView> {
    return { signatures: sid === undefined || sid === signatureView.sid ? [signatureView] : [] };
  }
  async updateSignatures(): Promise<SignatureChangeView> {
    return { outcome: 'failed', detail: 'version 10744 of the bundle: 1 signatures refused by the engine; what was in force stays', version: '10743', faults: [signatureFault] };
  }
  async rollbackSignatures(): Promise<SignatureChangeView> {
    return { outcome: 'changed', detail: '30000 signatures in force', version: '10742', faults: [] };
  }
  async *capture(request: { filter: string; count?: number }, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    this.#known(request.filter);
    yield Uint8Array.of(0xd4, 0xc3, 0xb2, 0xa1);
    for (let packet = 0; packet < (request.count ?? Number.POSITIVE_INFINITY); packet += 1) {
      yield Uint8Array.of(packet);
      if (packet > 2) await this.#untilAborted(signal);
      if (signal.aborted) return;
    }
  }
  async status(): Promise<StatusView> {
    return {
      node: 'host-1', version: '0.1.0', datapath: 'nftables', filters: 1, policies: 2, rules: 6, addresses: 1, realized: true, generation: 7, degraded: [],
      sources: [{ type: 'file', synced: true, revision: 3, errors: [{ object: 'bad.yaml#1', path: 'spec', message: 'expected an object' }] }],
      components: [{ name: 'nftables', state: 'ok', detail: '' }],
    };
  }
  async health(): Promise<HealthView> {
    return { healthy: this.healthy, checks: [{ name: 'datapath', ok: this.healthy, detail: this.healthy ? '' : 'table missing' }] };
  }
  version(): { version: string; node: string; kernel: string } {
    return { version: '0.1.0', node: 'host-1', kernel: '6.18.5' };
  }
  setLogLevel(level: string): string {
    return level;
  }
  async cleanup(confirm: boolean): Promise<{ removed: string[] }> {
    this.cleaned = confirm;
    return { removed: ['table inet dfw'] };
  }

  #untilAborted(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        this.cancelled += 1;
        resolve();
      }, { once: true });
    });
  }
}
