/** The Open vSwitch datapath, wired: one connection, one driver, one enforcement; the switch's database, and its connections. */
import { dirname, join } from 'node:path';
import { DnsWatch } from '../drivers/ovs/dns-watch.js';
import type { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import { OvsDriver } from '../drivers/ovs/driver.js';
import { labelTraffic } from '../drivers/ovs/label-traffic.js';
import { ALONE, type Placement } from '../drivers/ovs/pipeline/placement.js';
import { ZONE } from '../drivers/ovs/pipeline/stages.js';
import { RestoreWait } from '../drivers/ovs/restore-wait.js';
import { Reports, type LoggedPacket } from '../drivers/ovs/reports.js';
import { BridgeConnection } from '../drivers/ovs/session.js';
import { SwitchDatabase } from '../drivers/ovs/switch-database.js';
import { SwitchFrames } from '../drivers/ovs/switch-frames.js';
import { SwitchReplies } from '../drivers/ovs/switch-replies.js';
import { ConnectionTracker } from '../drivers/ovs/tracker/tracker.js';
import { TrackerFlowTable } from '../drivers/ovs/tracker/tracker-flow-table.js';
import { UnixctlClient } from '../drivers/ovs/tracker/unixctl.js';
import { describeError } from '../model/errors.js';
import { OwnPorts } from '../drivers/ovs/own-ports.js';
import type { FlowTable, LinkSocket, NativeBinding } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { FrameReader } from '../discovery/addresses/learned-addresses.js';
import type { Filter } from '../model/filter.js';
import type { PortFeed } from '../discovery/ovs-ports.js';
import type { WorkloadPort } from '../discovery/port-attachments.js';
import { BridgeFlowTable } from './bridge-flow-table.js';
import type { Config } from './config.js';
import { OvsEnforcement } from './ovs-enforcement.js';
import { idsDevices } from './ids-devices.js';
import { HostStack } from './host-stack.js';
import { ovsState } from './ovs-state.js';
import type { ReplyReader, ReplyWatch } from './reply-watch.js';
import type { DatapathState } from './status.js';

export interface OvsParts {
  readonly enforcement: OvsEnforcement;
  readonly flows: FlowTable;
  readonly ports: PortFeed;
  /** DNS replies to workloads. */
  readonly replies: ReplyReader;
  readonly watch: ReplyWatch;
  /** Frames that tell addresses. */
  readonly frames: FrameReader;
  /** Connects to the bridge and to the database, in the background. */
  start(signal: AbortSignal): void;
  stop(): Promise<void>;
  state(): Promise<DatapathState>;
}

export interface OvsWiring {
  readonly config: Config;
  readonly native: Pick<NativeBinding, 'FlowTable' | 'streamFlows'>;
  readonly links: LinkSocket;
  readonly netdev: NetdevDriver;
  readonly clock: Clock;
  readonly log: Logger;
  /** Another apply is due. */
  readonly onDue: (reason: string) => void;
  /** The IDS engine runs and answers. */
  readonly inspecting: () => boolean;
  /** Are addresses of the filter's vNIC learned? */
  readonly learns: (filter: Pick<Filter, 'attachment'>) => boolean;
  readonly onLogged: (packet: LoggedPacket) => void;
  /** What somebody else had done to our flows is put right. */
  readonly onRepaired: () => void;
}

/** By this id the switch's reports come to us and to nobody else's connection. */
const CONTROLLER = 0xdf77;
/** A switch that takes in or lets go of 100,000 flows ends a round late. */
const ROUND_MS = 60_000;
/** Where the switch's sockets are when the database is not on this host's file system. */
const RUN_DIRECTORY = '/run/openvswitch';

export function wireOvs({ config, native, links, netdev, clock, log, onDue, inspecting, learns, onLogged, onRepaired }: OvsWiring): OvsParts {
  const { bridge: bridgeName, database: endpoint } = config.ovs;
  const place: Placement = config.ovs.nextTable === 0 ? ALONE : { first: config.ovs.firstTable, next: config.ovs.nextTable };
  const bridge: BridgeConnection = new BridgeConnection({
    place,
    path: join(runDirectory(config.ovs), `${bridgeName}.mgmt`), bridge: bridgeName, controller: CONTROLLER, clock, log,
    onDue: (reason) => {
      if (reason === 'flows') {
        enforcement.distrust();
        watch.distrust();
      }
      onDue(`bridge ${reason}`);
    },
    onGone: (port) => void driver.forgetAddresses(port).catch((error: unknown) => log.warn('ovs.forget_failed', { port, error: describeError(error) })),
    onPacket: (packet) => reports.take(packet),
  });
  const replies = new SwitchReplies(() => bridge);
  const frames = new SwitchFrames((port) => bridge.nameOf(port));
  const watch = new DnsWatch({ session: () => bridge.session(), bridge: bridgeName, controller: CONTROLLER });
  const reports = new Reports({ bridge: () => bridge, log, onLogged, replies, frames });
  const control = new UnixctlClient({ directory: runDirectory(config.ovs), program: 'ovs-vswitchd', clock });
  const driver: OvsDriver = new OvsDriver({ session: () => bridge.session(), clock, log, bridge: bridgeName, controller: CONTROLLER,
    tracksSctp: () => (datapathType() ?? 'netdev') !== 'netdev',
    nextRound: async () => void (await control.call('revalidator/wait', [], { timeoutMs: ROUND_MS })) });
  let lastType: string | undefined;
  /** What it was, while the database is away. */
  const datapathType = (): string | undefined => {
    lastType = database.bridge?.datapathType ?? lastType;
    return lastType;
  };
  const portListeners = new Set<() => void>();
  const database: SwitchDatabase = new SwitchDatabase({
    endpoint, bridge: bridgeName, clock, log, random: () => Math.random(), onChange: () => {
      flows.use(database.bridge?.datapathType);
      for (const listener of portListeners) listener();
      onDue('database');
    },
  });
  const ports = new OwnPorts({ database, log, alone: place.next === undefined });
  const restoreWait = new RestoreWait({ database, log, ends: config.ovs.endRestoreWait });
  const hostStack = new HostStack({ netdev, sensors: idsDevices(config).map(({ engine }) => engine), links, logGroup: config.nflogGroup });
  const enforcement: OvsEnforcement = new OvsEnforcement({
    driver, bridge, bridgeName, ports, hostStack, restoreWait, beside: place.next !== undefined, spoofGuard: { mode: config.spoofGuard, learns }, taps: idsDevices(config).map(({ datapath }) => datapath), inspecting, datapathType,
    bringUp: (name) => links.set(name, { up: true }),
    onRepaired: (flows) => {
      log.warn('drift.repaired', { bridge: bridgeName, flows });
      onRepaired();
    },
  });
  const tracker = new TrackerFlowTable({
    tracker: new ConnectionTracker(control, 'netdev@ovs-netdev'), zone: ZONE, format: native.streamFlows, clock, log, totals: () => labelTraffic(bridge.session()),
  });
  const flows: BridgeFlowTable = new BridgeFlowTable({
    kernel: new native.FlowTable({ receiveBuffer: config.conntrack.receiveBuffer, notApplicableIds: new Uint32Array(0), zone: ZONE }), tracker, clock, log,
    unknown: () => (database.reason === '' ? `the switch has no bridge ${bridgeName}` : `the switch's database: ${database.reason}`),
  });
  return {
    enforcement, flows, replies, watch, frames,
    ports: {
      workloadPorts: () => workloadPorts(database),
      onChange: (listener) => {
        portListeners.add(listener);
        return () => void portListeners.delete(listener);
      },
    },
    start: (signal) => {
      bridge.start(signal);
      database.start(signal);
    },
    stop: () => database.stop(),
    state: () => ovsState({ bridge, bridgeName, database, endpoint, connections: () => tracker.problem, waiting: () => restoreWait.waiting }),
  };
}

/** Sockets stand beside the database's. */
function runDirectory({ database }: Config['ovs']): string {
  const path = /^unix:(.*)$/.exec(database)?.[1];
  return path === undefined ? RUN_DIRECTORY : dirname(path);
}

function workloadPorts(database: SwitchDatabase): readonly WorkloadPort[] | undefined {
  // A bridge that is gone may come back, and its ports with it: without it filters do nothing.
  if (database.bridge === undefined) return undefined;
  return database.ports.flatMap(({ name, own, owner }): WorkloadPort[] => {
    if (own || owner?.workload === undefined) return [];
    const { workload, id, vnic, mac, addresses } = owner;
    return [{
      name, workload: workload.kind === 'Pod' ? { kind: 'Pod', namespace: workload.namespace, name: workload.name } : workload, addresses,
      ...(id === undefined ? {} : { id }), ...(vnic === undefined ? {} : { vnic }), ...(mac === undefined ? {} : { mac }),
    }];
  });
}
