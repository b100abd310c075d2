/** Wires everything together and owns the order of starting and stopping. Holds no policy of its own. */
import { setMaxListeners } from 'node:events';
import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { CniServer } from '../api/cni-server.js';
import { peerAccess } from '../api/peer-access.js';
import { ApiServer } from '../api/server.js';
import { FlowService } from '../connections/flow-service.js';
import { NOT_APPLICABLE_ID } from '../compile/label-ids.js';
import { AuditLog } from '../drivers/audit/audit-log.js';
import { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import { PolicyEngine } from '../compile/policy/policy-engine.js';
import type { RuleNumbers } from '../compile/policy/policy-table.js';
import { AgentError, describeError } from '../model/errors.js';
import type { FlowTable, LinkSocket, NativeBinding, NflogReader, NftSocket } from '../native/binding.js';
import { writeFileAtomic } from '../platform/atomic-file.js';
import type { Clock } from '../platform/clock.js';
import type { Heap } from '../platform/heap.js';
import type { Logger } from '../platform/logger.js';
import { MetricsServer } from '../platform/metrics-server.js';
import { Metrics } from '../platform/metrics.js';
import { readTextFile } from '../platform/read-file.js';
import type { ServiceNotifier } from '../platform/sd-notify.js';
import { ReconcileLoop } from '../reconcile/loop.js';
import type { EtcdSource } from '../sources/etcd/etcd-source.js';
import { FileSource } from '../sources/file/file-source.js';
import { LocalStore } from '../sources/file/local-store.js';
import type { Source } from '../sources/source.js';
import { CniService } from './cni-service.js';
import type { Config } from './config.js';
import type { EtcdSourceConfig, KubernetesSourceConfig } from './config-schema.js';
import { Datapath } from './datapath.js';
import { DesiredState, type NamedSource } from './desired.js';
import { Differences } from './diff.js';
import { wireDiscovery, type DiscoveryParts } from './discovery-wiring.js';
import { DriftWatch } from './drift-watch.js';
import type { Egress } from './egress.js';
import { wireEgress } from './egress-wiring.js';
import type { Enforcement } from './enforcement.js';
import { ETCD_SOURCE, ETCD_WORKLOADS, EtcdParts } from './etcd-wiring.js';
import { StoredFilterNumbers } from './filter-numbers.js';
import { FilterQueries } from './filter-queries.js';
import { HeldObjects } from './held-objects.js';
import { HeldReplies } from './held-replies.js';
import { hostAddresses, HostAddresses } from './host-addresses.js';
import { idsDevices, inspectionPorts } from './ids-devices.js';
import { wireIds, type IdsParts } from './ids-wiring.js';
import { sourceName, wireKubernetes, type KubernetesParts } from './kubernetes-wiring.js';
import { auditLookups, loggedIds, logReported } from './lookups.js';
import { collectMetrics } from './metrics-collector.js';
import { NameLearning } from './name-learning.js';
import { wireNftables, type NftablesParts } from './nftables-wiring.js';
import { wireOvs, type OvsParts } from './ovs-wiring.js';
import { OWN_SOURCE, OwnObjects } from './own-objects.js';
import { PolicyIndex, policyKey } from './policy-index.js';
import { PolicyQueries } from './policy-queries.js';
import { allowancesOf } from './quarantine-allowances.js';
import { Quarantines } from './quarantines.js';
import { StoredRuleNumbers } from './rule-numbers.js';
import { AgentService } from './service.js';
import { StartWait } from './start-wait.js';
import { StatusReporter } from './status.js';

export interface AgentEnvironment {
  readonly native: NativeBinding;
  readonly clock: Clock;
  readonly log: Logger;
  readonly notifier: ServiceNotifier;
  readonly heap: Heap;
  readonly setLogLevel: (level: string) => string;
  readonly version: string;
  readonly processId: number;
  /** kill(2). */
  readonly sendSignal: (pid: number, signal: 'SIGTERM' | 'SIGKILL') => void;
  /** setpriority(2). Throws. */
  readonly setPriority: (pid: number, nice: number) => void;
  /** PATH for the IDS engine. */
  readonly searchPath: string;
  /** Directory of the installed agent: where its own signatures are. */
  readonly installDir: string;
}

/** Changes that come together are applied together; a lone one need not wait so long: etcd's of one transaction are read within a fraction of that. */
const SETTLE_MS = 5;
const LEAD_MS = 1;
const IDLE_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 5_000;
/** A datapath that hangs must not hold up the end. */
const LEAVE_MS = 3_000;

export class Agent {
  private readonly nft: NftSocket;
  private readonly links: LinkSocket;
  private readonly flowTable: FlowTable;
  private readonly nflog: NflogReader;
  private readonly sources: NamedSource[];
  private readonly datapath: Datapath;
  private readonly loop: ReconcileLoop;
  private readonly audit: AuditLog;
  private readonly quarantines: Quarantines;
  private readonly inspection: IdsParts;
  private readonly api: ApiServer;
  private readonly metrics: Metrics;
  private readonly metricsServer: MetricsServer | undefined;
  private readonly drift: DriftWatch;
  private readonly stopping = new AbortController();
  private sourcesAreRead: () => void = () => undefined;
  /** Resolves when every source was started. One that is asked before that would begin without what it stored. */
  private readonly sourcesRead = new Promise<void>((resolve) => {
    this.sourcesAreRead = resolve;
  });
  /** Nothing is enforced any more; the agent is about to end. */
  private cleanedUp = false;
  private readonly numbers: StoredFilterNumbers;
  private readonly ruleNumbers: StoredRuleNumbers;
  private readonly held: HeldObjects;
  private readonly policies: PolicyEngine;
  private readonly names: NameLearning;
  private readonly hostAddresses: HostAddresses;
  private readonly ovs: OvsParts | undefined;
  private readonly kernel: NftablesParts | undefined;
  private readonly discovery: DiscoveryParts;
  private readonly cni: CniServer | undefined;
  private readonly egress: Egress | undefined;
  private etcd: EtcdParts | undefined;
  private readonly kubernetes: KubernetesParts[] = [];

  constructor(private readonly config: Config, private readonly environment: AgentEnvironment) {
    const { native, clock, log } = environment;
    const failOpen = config.failurePolicy === 'open';
    this.nft = new native.NftSocket();
    this.links = new native.LinkSocket();
    this.ovs = config.datapath === 'ovs' ? this.buildOvs() : undefined;
    this.flowTable = this.ovs?.flows ?? new native.FlowTable({ receiveBuffer: config.conntrack.receiveBuffer, notApplicableIds: Uint32Array.of(NOT_APPLICABLE_ID) });
    this.nflog = new native.NflogReader({ group: config.nflogGroup, copyRange: 256 });
    this.metrics = new Metrics((error) => log.error('metrics.failed', { error: describeError(error) }));

    const store = new LocalStore(join(config.stateDir, 'objects'));
    const own = new FileSource({ path: join(config.stateDir, 'objects'), logger: log.child('source') });
    this.sources = [
      ...config.sources.map((source, index) => {
        if (source.type === 'kubernetes') return { name: sourceName(config.sources, source), source: this.buildKubernetes(source) };
        if (source.type === 'etcd') return { name: ETCD_SOURCE, source: this.buildEtcd(source) };
        return { name: config.sources.length > 1 ? `file:${source.path}` : 'file', source: new FileSource({ path: source.path, logger: log.child('source'), lastGood: join(config.stateDir, 'last-good', String(index)) }) };
      }),
      { name: OWN_SOURCE, source: own },
    ];
    this.discovery = wireDiscovery({ config, native, links: this.links, declared: [...this.sources], ports: this.ovs?.ports, clock, log: log.child('discovery') });
    // Behind all others: what is declared stands.
    this.sources.push(...this.discovery.sources);
    if (this.etcd !== undefined) this.sources.push({ name: ETCD_WORKLOADS, source: this.etcd.source.others });
    this.numbers = new StoredFilterNumbers({
      read: () => readTextFile(join(config.stateDir, 'filters.json')),
      write: (text) => writeFileAtomic(join(config.stateDir, 'filters.json'), text),
    });

    this.kernel = this.ovs === undefined ? this.buildNftables() : undefined;
    const parts = this.ovs ?? this.kernel;
    if (parts === undefined) throw new AgentError('E_INTERNAL', 'no datapath');
    const { enforcement, watch, replies: reader } = parts;
    this.ruleNumbers = new StoredRuleNumbers({
      read: () => readTextFile(join(config.stateDir, 'rules.json')),
      write: (text) => writeFileAtomic(join(config.stateDir, 'rules.json'), text),
    });
    this.held = new HeldObjects({
      read: () => readTextFile(join(config.stateDir, 'held.json')),
      write: (text) => writeFileAtomic(join(config.stateDir, 'held.json'), text),
    }, log.child('held'));
    this.egress = wireEgress({
      config, native, links: this.links, clock, log: log.child('egress'), onCommit: (generation) => this.kernel?.enforcement.committedElsewhere(generation),
      store: (leaseMs) => (config.egress.leases === 'etcd' ? this.etcd?.leases(leaseMs) : this.kubernetes[0]?.leases(config.egress.namespace, leaseMs)),
      tell: (wanted, signal) => this.kubernetes.forEach((source) => source.tell(wanted, signal)),
      isHere: (namespace, name) => this.datapath.realized?.world.filters.some(({ workload }) => workload.kind === 'Pod' && workload.name === name && (workload.namespace ?? 'default') === namespace) === true,
    });
    // Addresses of Egresses come and go, and are nobody's on this host.
    const ownAddresses = (): string[] => hostAddresses().filter((address) => this.egress?.isLeased(address) !== true);
    this.hostAddresses = new HostAddresses({ read: ownAddresses, clock, onChange: () => this.loop.markDirty('host addresses') });
    this.names = new NameLearning({
      watch, reader,
      store: { read: () => readTextFile(join(config.stateDir, 'dns.json')), write: (text) => writeFileAtomic(join(config.stateDir, 'dns.json'), text) },
      clock, log: log.child('dns'), minTtlSeconds: config.dns.minTTL, servers: config.dns.servers,
      // Beside flows of others a reply cannot go on later as it would have: what they know of it is gone.
      held: config.dns.holdReplies && (this.ovs === undefined || config.ovs.nextTable === 0) ? new HeldReplies({ watch, clock, log: log.child('dns') }) : undefined,
      realize: () => this.realizeNames(enforcement),
    });
    const engine = (numbers: RuleNumbers): PolicyEngine => new PolicyEngine({
      numbers, ...(config.cluster === '' ? {} : { cluster: config.cluster }), namesOf: (pattern) => this.names.addressesOf(pattern),
    });
    this.policies = engine(this.ruleNumbers);
    this.quarantines = this.buildQuarantines();
    this.datapath = new Datapath({
      desired: new DesiredState(this.sources), policies: this.policies, ruleNumbers: this.ruleNumbers, held: this.held, hostAddresses: () => this.hostAddresses.current,
      numbers: this.numbers, enforcement, names: this.names, links: this.links, clock, log: log.child('datapath'), egress: this.egress,
      failOpen, inspection: inspectionPorts(config), quarantine: (filter, alone) => this.quarantines.tables(filter, alone), onDue: () => this.loop.markDirty('due'),
    });
    this.loop = new ReconcileLoop({
      clock, log: log.child('reconcile'), settleMs: SETTLE_MS, leadMs: LEAD_MS, idleMs: IDLE_MS,
      apply: (reason) => this.apply(reason),
      alive: () => environment.notifier.alive(),
    });
    this.drift = new DriftWatch({
      clock, log: log.child('drift'), resyncMs: config.resyncSeconds * 1000,
      drifted: async (depth) => (await this.datapath.drifted(depth)) ?? this.egress?.drifted(),
      onDrift: () => {
        this.metrics.driftRepairs.inc({});
        this.loop.markDirty('drift');
      },
    });
    this.audit = new AuditLog({ path: config.audit.path, format: config.audit.format }, {
      lookups: auditLookups(this.datapath), now: () => clock.now(), log: log.child('audit'), onSuppressed: (lines) => this.metrics.auditSuppressed.inc(lines),
    });
    const index = new PolicyIndex(() => this.datapath.realized?.compilation);
    this.inspection = wireIds({
      config, environment, links: this.links, datapath: this.datapath, flows: this.flowTable, audit: this.audit, quarantines: this.quarantines, metrics: this.metrics, index,
      onDue: () => this.loop.markDirty('ids engine'),
    });
    const { ids, alerting } = this.inspection;

    const status = new StatusReporter({
      node: config.node, version: environment.version, sources: this.sources, datapath: this.datapath, enforcement, policies: this.policies, loop: this.loop, flows: this.flowTable, audit: this.audit, ids, alerting, quarantines: this.quarantines, clock, egress: this.egress,
      datapathState: async () => {
        const state = await parts.state();
        return { ...state, degraded: [...state.degraded, ...this.discovery.problems()] };
      },
    });
    const objects = new OwnObjects({ store, sources: this.sources, sourcesRead: this.sourcesRead, reread: () => own.sync(this.stopping.signal) });
    const flows = new FlowService(this.flowTable, () => this.datapath.labels, (table, ruleId) => index.references.get(policyKey(table, ruleId)));
    const filters = new FilterQueries({ enforcement, flows: this.flowTable, refreshLinks: () => this.datapath.refreshLinks(), failOpen });
    const service = new AgentService({
      datapath: this.datapath, loop: this.loop, sources: this.sources, sourcesRead: this.sourcesRead, enforcement, ids, engineDevices: idsDevices(config).map(({ datapath }) => datapath), alerting, quarantines: this.quarantines, names: this.names, status, failOpen, own: objects, flows, filters, egress: this.egress,
      policies: new PolicyQueries({
        engine: this.policies, realized: () => this.datapath.realized, ruleStats: () => filters.ruleStats(), knownNumber: (key) => this.ruleNumbers.known(key),
      }),
      differences: new Differences({
        sources: this.sources, own: objects, datapath: this.datapath, policies: this.policies, engine, ruleNumbers: this.ruleNumbers, numbers: this.numbers,
        hostAddresses: () => this.hostAddresses.current, flows, flowTable: this.flowTable, failOpen, quarantine: (filter, alone) => this.quarantines.tables(filter, alone),
      }),
      captures: { open: (options) => new native.PacketCapture(options), clock },
      setLogLevel: environment.setLogLevel,
      cleanup: () => this.cleanup(),
      version: { version: environment.version, node: config.node, kernel: release() },
    });
    this.api = new ApiServer({
      api: service, socketPath: config.api.socket, group: config.api.group, log: log.child('api'),
      peerCredentials: (fd) => native.peerCredentials(fd), allow: peerAccess(config.api.group),
    });
    this.cni = this.buildCni(enforcement);
    collectMetrics({ metrics: this.metrics, datapath: this.datapath, enforcement, flows: this.flowTable, sources: this.sources, status, ids, alerting, quarantines: this.quarantines, names: this.names, egress: this.egress, clock });
    this.metricsServer = this.buildMetricsServer(status);
  }

  /** Resolves when the desired state is in force for the first time. The signal cancels starting; stop() ends running. */
  async start(): Promise<void> {
    const { log, notifier } = this.environment;
    const { signal } = this.stopping;
    const wait = new StartWait(notifier, this.environment.clock);
    // One of every part, and one of every source: no leak, as Node takes more than ten for.
    setMaxListeners(100, signal);
    mkdirSync(join(this.config.stateDir, 'objects'), { recursive: true, mode: 0o750 });
    this.numbers.load();
    this.ruleNumbers.load();
    this.policies.restore(this.held.load());
    this.names.load();
    this.quarantines.load();
    await this.accounting();
    await this.audit.start();
    this.nflog.start((packets) => this.audit.onPackets(packets));
    await this.inspection.prepare();
    this.ovs?.start(signal);
    await this.etcd?.prepare();
    const reading = this.read(signal);
    // Awaited below; a failure before that is no unhandled one.
    reading.catch(() => undefined);
    // A source may be away for long: status says so, while everything stays as an earlier run left it. The loop waits: half a state is none.
    await this.api.start();
    await this.metricsServer?.start(signal);
    await wait.during(reading, () => this.sources.flatMap(({ name, source: { troubles = [] } }) => troubles.map(({ reason }) => `${name}: ${reason}`))[0] ?? 'desired state is being read');
    for (const { name, source } of this.sources) source.onChange(() => this.loop.markDirty(`source ${name}`));
    this.loop.start(signal);
    await this.firstApply(wait);
    await this.cni?.start();
    this.egress?.start(signal);
    await this.flowTable.start();
    this.links.monitor(() => this.linksChanged());
    // What changed before, by ourselves or by others, came as no event.
    this.linksChanged();
    this.hostAddresses.start(signal);
    this.drift.start(signal);
    await this.inspection.start(signal);
    log.info('agent.ready', { generation: this.datapath.realized?.generation });
    notifier.ready();
  }

  /** Stops serving; everything stays enforced. */
  async stop(): Promise<void> {
    this.environment.notifier.stopping();
    await this.names.stop();
    await this.leaveInspection();
    await this.inspection.stop();
    this.quarantines.stop();
    this.stopping.abort();
    await this.cni?.stop();
    await this.loop.stopped();
    await this.egress?.stopped();
    await this.api.stop();
    for (const { source } of this.sources) await source.stop();
    await this.etcd?.stop();
    this.nflog.stop();
    this.kernel?.stop();
    this.flowTable.stop();
    await this.ovs?.stop();
    await this.audit.stop();
    this.links.close();
    this.nft.close();
  }

  reopenLogs(): void {
    this.audit.reopen();
    this.inspection.alerting.reopen();
  }

  /** What is found comes after what is declared: it leaves that alone. */
  private async read(signal: AbortSignal): Promise<void> {
    const found = this.discovery.sources;
    await Promise.all(this.sources.filter((each) => !found.includes(each)).map(({ source }) => source.start(signal)));
    await Promise.all(found.map(({ source }) => source.start(signal)));
    this.sourcesAreRead();
  }

  /** A kernel that refuses for now is retried by the loop: the agent stays up and says so in its status. */
  private async firstApply(wait: StartWait): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LAST_PAUSE_MS)) {
      try {
        await this.loop.flush('start');
        return;
      } catch (error) {
        if (this.stopping.signal.aborted) throw new AgentError('E_CANCELLED', 'stopped before the first apply', { cause: error });
        wait.again(describeError(error));
        // Asking again at once would end the loop's own pause.
        await new Promise<void>((resolve) => this.environment.clock.after(pause, resolve));
      }
    }
  }

  private async apply(reason: string): Promise<void> {
    if (this.cleanedUp) return;
    const end = this.metrics.applyDuration.startTimer();
    try {
      const { changed } = await this.datapath.apply(reason);
      end({ outcome: 'ok' });
      const { realized } = this.datapath;
      if (realized !== undefined) {
        this.inspection.follow(realized.world.idpsPolicies);
        this.etcd?.follow(realized.world.filters);
      }
      if (changed) this.flowTable.watchEnds(loggedIds(this.datapath), (ended) => this.audit.onEnded(ended));
    } catch (error) {
      end({ outcome: 'failed' });
      throw error;
    }
  }

  /** Before the engine ends: traffic must not be sent to where nobody reads it any more. */
  private async leaveInspection(): Promise<void> {
    this.inspection.leave();
    // Nothing was ever enforced by this run.
    if (this.datapath.realized === undefined) return;
    const { clock, log } = this.environment;
    const applied = this.loop.flush('stopping').catch((error: unknown) => log.warn('ids.leave_failed', { error: describeError(error) }));
    // A time that is over would keep the process from ending.
    await new Promise<void>((resolve) => {
      const cancel = clock.after(LEAVE_MS, resolve);
      void applied.then(() => {
        cancel();
        resolve();
      });
    });
  }

  private async realizeNames(enforcement: Enforcement): Promise<void> {
    this.policies.namesChanged();
    await this.loop.flush('dns');
    await enforcement.settled();
  }

  private linksChanged(): void {
    if (this.cleanedUp) return;
    this.hostAddresses.look();
    this.datapath.linksChanged();
    this.discovery.linksChanged();
    this.loop.markDirty('links');
    this.inspection.linksChanged();
  }

  /**
   * Counters and start times of connections, which getflows shows; and events also for connections that were made while
   * nobody listened. Without the right to switch them on, counters read 0 and ended flows are noticed late.
   */
  private async accounting(): Promise<void> {
    for (const name of ['nf_conntrack_acct', 'nf_conntrack_timestamp', 'nf_conntrack_events']) {
      try {
        await writeFile(`/proc/sys/net/netfilter/${name}`, '1');
      } catch (error) {
        this.environment.log.warn('conntrack.accounting_off', { sysctl: name, error: describeError(error) });
      }
    }
  }

  private async cleanup(): Promise<string[]> {
    // What was removed must not come back, neither by the changes of interfaces that this is nor on the way out: the agent ends after the answer is out.
    this.cleanedUp = true;
    const removed: string[] = [];
    try {
      removed.push(...(await this.datapath.cleanup()), ...(await this.inspection.cleanup()), ...((await this.egress?.cleanup()) ?? []));
    } catch (error) {
      this.cleanedUp = false;
      this.loop.markDirty('cleanup failed');
      throw error;
    }
    this.environment.log.warn('agent.cleanup', { removed });
    this.drift.stop();
    this.environment.clock.after(100, () => this.onCleanup());
    return removed;
  }

  /** Set by main: how the process ends after a cleanup. */
  onCleanup: () => void = () => undefined;

  private buildOvs(): OvsParts {
    const { config, environment: { native, clock, log } } = this;
    return wireOvs({
      config, native, links: this.links, netdev: new NetdevDriver({ socket: this.nft, log: log.child('netdev') }), clock, log: log.child('ovs'),
      onDue: (reason) => this.loop.markDirty(reason), inspecting: () => this.inspection.inspecting, onLogged: (packet) => logReported(this.audit, this.datapath, packet),
      onRepaired: () => this.metrics.driftRepairs.inc({}),
    });
  }

  private buildCni(enforcement: Enforcement): CniServer | undefined {
    const { config, datapath, loop, discovery: { containers }, environment: { native, clock, log } } = this;
    if (containers === undefined) return undefined;
    const service = new CniService({ containers, datapath, loop, enforcement, clock });
    return new CniServer({
      socketPath: config.cni.socket, log: log.child('cni'), handle: (request, signal) => service.handle(request, signal),
      peerCredentials: (fd) => native.peerCredentials(fd), allow: ({ uid }) => uid === 0,
    });
  }

  /** One at most: the configuration is refused otherwise. */
  private buildEtcd(source: EtcdSourceConfig): EtcdSource {
    const { config: { stateDir, node, cluster }, environment: { clock, log, version } } = this;
    this.etcd = new EtcdParts({ source, stateDir, node, cluster, version, sources: () => this.sources, clock, log: log.child('source') });
    return this.etcd.source;
  }

  private buildKubernetes(source: KubernetesSourceConfig): Source {
    const { config: { stateDir, node }, environment: { clock, log, heap } } = this;
    const parts = wireKubernetes({ source, stateDir, node, clock, log: log.child('source'), heap });
    this.kubernetes.push(parts);
    return parts.source;
  }

  private buildNftables(): NftablesParts {
    const { config, environment: { native, clock, log } } = this;
    return wireNftables({
      config, native, nft: this.nft, linkSocket: this.links, flows: this.flowTable, clock, log, inspecting: () => this.inspection.inspecting, onDue: () => this.loop.markDirty('sweep'),
      links: () => this.datapath.links, filters: () => this.datapath.realized?.world.filters ?? [],
    });
  }

  private buildQuarantines(): Quarantines {
    const { config, environment: { clock, log } } = this;
    const file = join(config.stateDir, 'quarantines.json');
    return new Quarantines({
      store: { read: () => readTextFile(file), write: (text) => writeFileAtomic(file, text) },
      allow: allowancesOf(config.ids.quarantine.allow), number: (key) => this.ruleNumbers.number(key), world: () => this.datapath.realized?.world,
      failOpen: config.failurePolicy === 'open', clock, log: log.child('quarantine'),
      onEvent: (event) => this.audit.onQuarantine(event), onChange: () => this.loop.markDirty('quarantine'),
    });
  }

  private buildMetricsServer(status: StatusReporter): MetricsServer | undefined {
    const { listen } = this.config.metrics;
    if (listen === '') return undefined;
    const colon = listen.lastIndexOf(':');
    return new MetricsServer({
      host: listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(listen.slice(colon + 1)), metrics: this.metrics,
      health: () => status.health(), log: this.environment.log.child('metrics'),
    });
  }
}
