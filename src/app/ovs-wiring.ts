/** The Open vSwitch datapath, wired: one connection, one driver, one enforcement. */
import { dirname, join } from 'node:path';
import { OvsDriver } from '../drivers/ovs/driver.js';
import { UnixctlClient } from '../drivers/ovs/tracker/unixctl.js';
import { Reports, type LoggedPacket } from '../drivers/ovs/reports.js';
import { BridgeConnection } from '../drivers/ovs/session.js';
import { describeError } from '../model/errors.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { Config } from './config.js';
import { OvsEnforcement } from './ovs-enforcement.js';

export interface OvsParts {
  readonly enforcement: OvsEnforcement;
  readonly bridge: BridgeConnection;
}

/** By this id the switch's reports come to us and to nobody else's connection. */
const CONTROLLER = 0xdf77;
/** Where the switch's sockets are when the database is not on this host's file system. */
const RUN_DIRECTORY = '/run/openvswitch';

export interface OvsEvents {
  /** Another apply is due. */
  readonly onDue: (reason: string) => void;
  readonly onLogged: (packet: LoggedPacket) => void;
  /** What somebody else had done to our flows is put right. */
  readonly onRepaired: () => void;
}

export function wireOvs(config: Config, clock: Clock, log: Logger, { onDue, onLogged, onRepaired }: OvsEvents): OvsParts {
  const { bridge: bridgeName } = config.ovs;
  const bridge: BridgeConnection = new BridgeConnection({
    path: join(runDirectory(config.ovs), `${bridgeName}.mgmt`), bridge: bridgeName, controller: CONTROLLER, clock, log,
    onDue: (reason) => {
      if (reason === 'flows') enforcement.distrust();
      if (reason === 'ports') driver.forgetAddresses().catch((error: unknown) => log.warn('ovs.forget_failed', { error: describeError(error) }));
      onDue(`bridge ${reason}`);
    },
    onPacket: (packet) => reports.take(packet),
  });
  const reports = new Reports({ bridge: () => bridge, log, onLogged });
  const control = new UnixctlClient({ directory: runDirectory(config.ovs), program: 'ovs-vswitchd', clock });
  const driver: OvsDriver = new OvsDriver({ session: () => bridge.session(), clock, log, bridge: bridgeName, controller: CONTROLLER, nextRound: async () => void (await control.call('revalidator/wait', [])) });
  const enforcement: OvsEnforcement = new OvsEnforcement({
    driver, bridge, bridgeName,
    onRepaired: (flows) => {
      log.warn('drift.repaired', { bridge: bridgeName, flows });
      onRepaired();
    },
  });
  return { bridge, enforcement };
}

/** Sockets stand beside the database's. */
function runDirectory({ database }: Config['ovs']): string {
  const path = /^unix:(.*)$/.exec(database)?.[1];
  return path === undefined ? RUN_DIRECTORY : dirname(path);
}
