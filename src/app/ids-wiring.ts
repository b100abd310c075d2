/** Puts together what inspects: the devices that lead to the engine, the engine, its signatures, and what becomes of its alerts. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AlertPackets } from '../drivers/ids/alert-packets.js';
import { ProcessBounds } from '../drivers/ids/engine-bounds.js';
import { IdsDriver } from '../drivers/ids/ids.js';
import { ChildProcessRunner } from '../drivers/ids/process-runner.js';
import { ProcProcessTable } from '../drivers/ids/process-table.js';
import type { AuditLog } from '../drivers/audit/audit-log.js';
import { describeError } from '../model/errors.js';
import type { IdpsPolicyObject } from '../model/objects.js';
import type { FlowTable, LinkSocket } from '../native/binding.js';
import type { Metrics } from '../platform/metrics.js';
import type { AgentEnvironment } from './agent.js';
import { TrackedAlerts } from './alert-context.js';
import { AlertResponse } from './alert-response.js';
import { buildSinks, selectorOf } from './alert-sinks.js';
import { Alerting } from './alerting.js';
import type { Config } from './config.js';
import type { Datapath } from './datapath.js';
import { idsDevices } from './ids-devices.js';
import { Inspected } from './mirrors.js';
import { Refusals } from './refusals.js';
import { policyKey, type PolicyIndex } from './policy-index.js';
import type { Quarantines } from './quarantines.js';
import { SignatureChoice } from './signature-choice.js';
import { TapPair } from './tap.js';

/** Where hosts mount control groups of version 2: systemd.io/CGROUP_DELEGATION. */
const CGROUPS = '/sys/fs/cgroup';

export interface IdsWiring {
  readonly config: Config;
  readonly environment: Pick<AgentEnvironment, 'native' | 'clock' | 'log' | 'version' | 'processId' | 'sendSignal' | 'setPriority' | 'searchPath' | 'installDir'>;
  readonly links: LinkSocket;
  readonly datapath: Pick<Datapath, 'realized' | 'labels'>;
  readonly flows: FlowTable;
  readonly audit: AuditLog;
  readonly quarantines: Quarantines;
  readonly metrics: Metrics;
  readonly index: PolicyIndex;
  /** Another apply is due: the engine began or ceased to inspect. */
  readonly onDue: () => void;
}

export interface IdsParts {
  /** Undefined where intrusion detection is off. */
  readonly ids: IdsDriver | undefined;
  readonly alerting: Alerting;
  /** The engine runs and answers. Of an external one without a command socket nobody knows better. */
  readonly inspecting: boolean;
  /** Makes the devices; before the first apply. */
  prepare(): Promise<void>;
  start(signal: AbortSignal): Promise<void>;
  /** The engine will end with the agent: from now on nothing is inspected. The next apply enforces what policies say of that. */
  leave(): void;
  stop(): Promise<void>;
  /** Makes devices that somebody removed. Never throws. */
  linksChanged(): void;
  /** IDPSPolicies in force. */
  follow(policies: readonly IdpsPolicyObject[]): void;
  /** Removes the devices; returns what was removed, in words. */
  cleanup(): Promise<string[]>;
}

export function wireIds(wiring: IdsWiring): IdsParts {
  const { config, environment: { native, log }, links } = wiring;
  const alerting = buildAlerting(wiring);
  const external = config.ids.engine === 'external';
  const stays = external && !config.ids.endsWithAgent;
  let inspecting = config.ids.enabled && external && config.ids.commandSocket === '';
  let leaving = false;
  const ids = config.ids.enabled ? buildIds(wiring, alerting, (now) => {
    inspecting = now && !leaving;
    if (now) signatures?.begin();
    wiring.onDue();
  }) : undefined;
  const signatures = ids === undefined || (external && config.ids.engineDirectory === '') ? undefined
    : new SignatureChoice({ select: (selection) => ids.signatures.select(selection), log: log.child('ids') });
  const taps = idsDevices(config).map(({ datapath, engine, inPath }) => ({
    name: `interfaces ${datapath} and ${engine}`,
    pair: new TapPair({
      links, tap: datapath, sensor: engine, log: log.child('tap'), writeSysctl: (path, value) => writeFile(path, value),
      ...(inPath ? { finishFrames: (name: string) => native.finishFrames(name) } : {}),
    }),
  }));
  const prepare = async (): Promise<void> => {
    for (const { pair } of taps) await pair.ensure();
  };
  return {
    ids, alerting, prepare,
    get inspecting() {
      return inspecting;
    },
    leave: () => {
      leaving = !stays;
      inspecting &&= stays;
    },
    start: async (signal) => {
      await alerting.start(signal);
      await ids?.start(signal);
    },
    stop: async () => {
      await ids?.stop();
      await alerting.stop();
    },
    linksChanged: () => void prepare().then(() => alerting.interfacesChanged()).catch((error: unknown) => log.warn('tap.failed', { error: describeError(error) })),
    follow: (policies) => signatures?.follow(policies),
    cleanup: async () => {
      const removed: string[] = [];
      for (const { name, pair } of taps) if (await pair.remove()) removed.push(name);
      return removed;
    },
  };
}

function buildIds({ config, environment }: IdsWiring, alerting: Alerting, onInspecting: (inspecting: boolean) => void): IdsDriver {
  return new IdsDriver({
    engine: config.ids.engine, program: config.ids.program, sensor: config.ids.sensor,
    ...(config.ids.mode === 'ips' ? { inline: { sensor: config.ids.inlineSensor, peer: config.ids.returnSensor } } : {}), signatures: config.ids.signatures,
    extraRuleFiles: [join(environment.installDir, 'deploy/signatures/dfw-test.rules')],
    stateDirectory: join(config.stateDir, 'ids'), eveFile: config.ids.eveFile === '' ? join(config.stateDir, 'ids', 'eve.json') : config.ids.eveFile,
    ...(config.ids.engineDirectory === '' ? { signatureStore: join(config.stateDir, 'signatures') } : { externalDirectory: config.ids.engineDirectory }), allowedFailures: config.ids.allowFailedSignatures,
    ...(config.ids.bundle === '' ? {} : { bundle: { source: config.ids.bundle, checksum: config.ids.bundleChecksum, intervalSeconds: config.ids.bundleInterval, ca: config.ids.bundleCa } }),
    homeNetworks: config.ids.homeNetworks, alertWindowMs: config.ids.alertWindow * 1000, ...(config.ids.commandSocket === '' ? {} : { externalCommandSocket: config.ids.commandSocket }),
  }, {
    runner: new ChildProcessRunner(environment.searchPath), processes: new ProcProcessTable(environment.sendSignal), clock: environment.clock, log: environment.log.child('ids'),
    bounds: new ProcessBounds({
      memory: config.ids.memoryLimit, processor: config.ids.processorLimit, self: environment.processId, root: CGROUPS, proc: '/proc', setPriority: environment.setPriority, log: environment.log.child('ids'),
    }),
    onInspecting,
    contexts: alerting.contexts, onAlert: (alert, kind) => alerting.onAlert(alert, kind),
    onCounted: (severity, action, count) => alerting.onCounted(severity, action, count),
  });
}

function buildAlerting({ config, environment: { native, clock, log, version, processId }, links, datapath, flows, audit, quarantines, metrics, index }: IdsWiring): Alerting {
  const { sensor, inlineSensor, mode, pcap, sinks, response, enabled } = config.ids;
  const sensors = mode === 'ips' ? [sensor, inlineSensor] : [sensor];
  const inspected = new Inspected(idsDevices(config).map((pair) => pair.datapath), () => datapath.realized?.mirrors);
  return new Alerting({
    contexts: new TrackedAlerts({
      world: () => datapath.realized?.world, labels: () => datapath.labels, inspected: () => inspected.set, policyOf: (table, ruleId) => index.references.get(policyKey(table, ruleId)),
      refusals: new Refusals({ realized: () => datapath.realized, failOpen: config.failurePolicy === 'open' }), flows, clock,
    }),
    sinks: buildSinks(enabled ? sinks : [], {
      node: config.node, processId, audit, sendDatagram: (path, text) => native.sdNotify(path, text), clock, log: log.child('alerts'),
    }),
    response: new AlertResponse(
      response.map(({ signatureIds, severities, duration, except }) => ({
        durationMs: duration * 1000, ...(signatureIds === undefined ? {} : { signatureIds }), ...(severities === undefined ? {} : { severities }),
        ...(except === undefined ? {} : { except: selectorOf(except) }),
      })), quarantines, log.child('response'),
    ),
    packets: enabled && pcap.enabled
      ? new AlertPackets({ sensors: sensors.map((name) => ({ interface: name, ring: new native.PacketRing({ bytes: pcap.bytes }) })), application: `dfw-agent ${version}`, log: log.child('pcap') })
      : undefined,
    metrics,
    interfaces: async () => new Map((await links.list()).map((link): [string, number] => [link.name, link.index])),
  });
}
