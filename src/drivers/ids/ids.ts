import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AgentError } from '../../model/errors.js';
import type { AlertView, SignatureFaultView } from '../../model/views.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { AlertJournal } from './alert-journal.js';
import { AlertStore, type AlertContexts, type AlertStoreStatus } from './alerts.js';
import type { EngineBounds } from './engine-bounds.js';
import { EngineConfig } from './engine-config.js';
import { EngineSupervisor, type Engine, type EngineStatus } from './engine.js';
import { parseEveAlert } from './eve-alert.js';
import { EveRotation } from './eve-rotation.js';
import { parseEveStats, type EngineStats } from './eve-stats.js';
import { EveTail, type EveRecord, type EveTailStatus } from './eve-tail.js';
import { ExternalEngine } from './external-engine.js';
import type { ProcessRunner } from './process-runner.js';
import type { ProcessTable } from './process-table.js';
import { buildSignatures } from './signatures/build.js';
import type { SignatureManager, SignatureStatus } from './signatures/manager.js';
import type { SuricataSettings } from './suricata-config.js';
import { FilePositionStore, type TailPosition } from './tail-position.js';

export interface IdsOptions {
  /** "suricata": the agent runs it; "external": something else does. */
  readonly engine: 'suricata' | 'external';
  /** Executable of the managed engine; default "suricata". */
  readonly program?: string;
  /** Interface where the managed engine gets copies; absent: it gets none. */
  readonly sensor?: string;
  /** Interfaces between which the managed engine stands in the path (mode ips); absent: it does not. */
  readonly inline?: { readonly sensor: string; readonly peer: string };
  /** Directory of *.rules files; may also hold classification.config and reference.config. */
  readonly signatures: string;
  /** Further rule files, absolute: the agent's own test signature. */
  readonly extraRuleFiles: readonly string[];
  /** Directory for the engine's configuration, socket and pid file and the place in eve.json. */
  readonly stateDirectory: string;
  /** eve.json, written by the engine and read by the agent. */
  readonly eveFile: string;
  /** Networks for HOME_NET; empty = any. */
  readonly homeNetworks: readonly string[];
  /** Command socket of an external engine, by which it is told and watched; absent: only its eve.json is read, and nobody knows whether it inspects. */
  readonly externalCommandSocket?: string;
  /** Directory in which an external engine finds its configuration and signatures, which are then ours to manage; goes with its command socket. Absent: they are its owner's. */
  readonly externalDirectory?: string;
  /** Where versions of signatures are kept; default "signatures" beside `stateDirectory`, or in `externalDirectory`. */
  readonly signatureStore?: string;
  readonly bundle?: BundleOptions;
  /** So many signatures may be refused by the engine; default 0. */
  readonly allowedFailures?: number;
  /** eve.json of the managed engine is renamed past this size; default 64 MiB. */
  readonly largestEveFile?: number;
  /** How long alike alerts are counted and not given out, ms; 0 = each is given out; default 60 s. */
  readonly alertWindowMs?: number;
}
export interface BundleOptions {
  /** Absolute path or http(s) URL of a tar.gz or zip archive. */
  readonly source: string;
  /** sha256 in hexadecimal digits, or path or URL of a file that has it; '': not checked. */
  readonly checksum: string;
  /** 0: only when asked, and when a local file changes. */
  readonly intervalSeconds: number;
  /** PEM file of certificate authorities; '': the well-known ones. */
  readonly ca: string;
}
export interface IdsDependencies {
  readonly runner: ProcessRunner;
  readonly processes: ProcessTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly contexts: AlertContexts;
  /** The engine began or ceased to inspect traffic: it runs and answers, or not. Never told of an external one without a command socket. */
  readonly onInspecting?: (inspecting: boolean) => void;
  /** What bounds the managed engine. */
  readonly bounds?: EngineBounds;
  /** Every alert once, enriched, and a second time as a summary where it was repeated. */
  readonly onAlert: (alert: AlertView, kind: 'alert' | 'summary') => void;
  /** All alerts, repetitions too. */
  readonly onCounted: (severity: number, action: string, count: number) => void;
}
export interface IdsStatus {
  readonly kind: 'suricata' | 'external';
  /** undefined for an external engine without a command socket. */
  readonly engine: EngineStatus | undefined;
  readonly tail: EveTailStatus;
  /** Newest stats record of the engine; undefined before the first. */
  readonly stats: EngineStats | undefined;
  /** Alerts by severity since the agent's start. */
  readonly alerts: ReadonlyMap<number, number>;
  readonly store: AlertStoreStatus;
  /** undefined where the signatures are the owner's of an external engine. */
  readonly signatures: SignatureStatus | undefined;
}

const FANOUT_GROUP = 0xd7f1;
const STATS_INTERVAL_S = 60;
const ALERT_WINDOW_MS = 60_000;
const LARGEST_EVE_FILE = 64 * 1024 * 1024;
/** Where the Debian package puts the tables that give signatures their severity. */
const PACKAGE_DIRECTORY = '/etc/suricata';

/** The intrusion detection side of the agent: engine, its alerts, and their way to users. The mirror that feeds it is not its business. */
export class IdsDriver {
  readonly alerts: AlertStore;
  readonly #options: IdsOptions;
  readonly #engine: Engine | undefined;
  readonly #tail: EveTail;
  readonly #rotation: EveRotation | undefined;
  readonly #signatures: SignatureManager | undefined;
  #preparing = false;
  #stopped = false;
  #begun: Promise<void> = Promise.resolve();
  #stats: EngineStats | undefined;

  constructor(options: IdsOptions, dependencies: IdsDependencies) {
    const { clock, log } = dependencies;
    this.#options = options;
    const { contexts, onAlert, onCounted } = dependencies;
    const positions = new FilePositionStore(join(options.stateDirectory, 'eve-position.json'));
    const journal = new AlertJournal(join(options.stateDirectory, 'alerts.jsonl'), positions, log);
    this.alerts = new AlertStore({ windowMs: options.alertWindowMs ?? ALERT_WINDOW_MS }, { contexts, onAlert, onCounted, clock, log, journal });
    this.#tail = new EveTail(options.eveFile, journal, (records, position) => this.#receive(records, position), clock, log);
    const external = options.engine === 'external';
    const { externalCommandSocket: socket, externalDirectory } = options;
    if (external && socket === undefined) return;
    const managed = !external || externalDirectory !== undefined;
    const configuration = {
      settings: settingsOf(options), configFile: join(externalDirectory ?? options.stateDirectory, 'suricata.yaml'), tableDirectories: [options.signatures, PACKAGE_DIRECTORY],
      rules: () => this.#signatures?.load,
    };
    const engine: Engine = external && socket !== undefined
      ? new ExternalEngine({ commandSocket: socket, ...(managed ? { configuration: new EngineConfig(configuration) } : {}) }, dependencies)
      : new EngineSupervisor({ ...configuration, program: options.program ?? 'suricata', pidFile: join(options.stateDirectory, 'suricata.pid') }, dependencies);
    this.#engine = engine;
    if (!managed) return;
    this.#signatures = buildSignatures({
      store: options.signatureStore ?? join(externalDirectory ?? dirname(options.stateDirectory), 'signatures'), scratch: join(options.stateDirectory, 'test'),
      directory: options.signatures, ownFiles: options.extraRuleFiles, packageDirectory: PACKAGE_DIRECTORY, allowedFailures: options.allowedFailures ?? 0,
      bundle: options.bundle, program: options.program ?? 'suricata', settings: settingsOf(options), engine,
    }, dependencies);
    this.#rotation = new EveRotation(options.eveFile, options.largestEveFile ?? LARGEST_EVE_FILE, () => engine.reopenLogs(), clock, log);
  }

  /** Resolves when alerts written from now on are delivered; the engine gets ready after that, see status(). Rejects when the directories cannot be made. */
  async start(signal: AbortSignal): Promise<void> {
    await mkdir(this.#options.stateDirectory, { recursive: true, mode: 0o750 });
    // An external engine may run as another user: its directory is its own to make.
    if (this.#options.engine === 'suricata') await mkdir(dirname(this.#options.eveFile), { recursive: true, mode: 0o750 });
    await this.alerts.start();
    await this.#tail.start(signal);
    this.#begun = this.#begin(signal);
    this.#rotation?.start(signal);
  }

  /** The engine starts with signatures that are known to be good. */
  async #begin(signal: AbortSignal): Promise<void> {
    this.#preparing = true;
    await this.#signatures?.open(signal);
    this.#preparing = false;
    if (this.#stopped || signal.aborted) return;
    this.#engine?.start(signal);
    this.#signatures?.start(signal);
  }

  /** Ends the managed engine first, so that its last alerts are still read. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#signatures?.stop();
    await this.#begun;
    await this.#rotation?.stop();
    await this.#engine?.stop();
    await this.#tail.stop();
    await this.alerts.stop();
  }

  status(): IdsStatus {
    const engine = this.#engine?.status();
    return {
      kind: this.#options.engine,
      engine: engine !== undefined && this.#preparing && this.#options.engine === 'suricata' ? { ...engine, state: 'starting', reason: 'the signatures are tested' } : engine,
      tail: this.#tail.status(), stats: this.#stats, alerts: this.alerts.counts(), store: this.alerts.status(), signatures: this.#signatures?.status(),
    };
  }

  /** Versions, selection and listing of the signatures. Throws E_INVALID where they are those of an external engine's owner. */
  get signatures(): SignatureManager {
    if (this.#signatures === undefined) throw new AgentError('E_INVALID', 'the engine is external: its signatures are managed where it is (ids.engineDirectory)', { object: 'ids.engine' });
    return this.#signatures;
  }

  /** The directory of signatures is read again and tested; what passes comes into force without a gap in inspection. Never rejects. */
  async reload(): Promise<{ readonly reloaded: boolean; readonly detail: string; readonly faults: SignatureFaultView[] }> {
    if (this.#signatures === undefined) {
      const answer = await this.#engine?.reload();
      return { reloaded: answer?.reloaded ?? false, detail: answer?.detail ?? 'the engine is external and its command socket is not configured', faults: [] };
    }
    const { reloaded, detail, faults } = await this.#signatures.reload();
    return { reloaded, detail, faults };
  }

  async #receive(records: readonly EveRecord[], position: TailPosition): Promise<void> {
    const alerts = records.map(parseEveAlert).filter((alert) => alert !== undefined);
    const stats = records.map(parseEveStats).findLast((record) => record !== undefined);
    if (stats !== undefined) this.#stats = stats;
    // Nothing to keep: the place is kept by the tail itself.
    if (alerts.length > 0) await this.alerts.add(alerts, position);
  }
}

function settingsOf(options: IdsOptions): SuricataSettings {
  return {
    ...(options.sensor === undefined ? {} : { sensor: options.sensor }),
    ...(options.inline === undefined ? {} : { inline: options.inline }),
    clusterId: FANOUT_GROUP,
    logDirectory: dirname(options.eveFile),
    eveFile: options.eveFile,
    commandSocket: options.externalCommandSocket ?? join(options.stateDirectory, 'suricata.sock'),
    ruleFiles: [...options.extraRuleFiles, join(options.signatures, '*.rules')],
    homeNetworks: options.homeNetworks,
    statsInterval: STATS_INTERVAL_S,
  };
}
