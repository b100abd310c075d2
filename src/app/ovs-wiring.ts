/** The Open vSwitch datapath, wired: one connection, one driver, one enforcement. */
import { dirname, join } from 'node:path';
import { OvsDriver } from '../drivers/ovs/driver.js';
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

export function wireOvs(config: Config, clock: Clock, log: Logger, onDue: (reason: string) => void): OvsParts {
  const { bridge: bridgeName } = config.ovs;
  const bridge: BridgeConnection = new BridgeConnection({
    path: managementSocket(config.ovs), bridge: bridgeName, controller: CONTROLLER, clock, log,
    onDue: (reason) => {
      if (reason === 'flows') driver.distrust();
      if (reason === 'ports') driver.forgetAddresses().catch((error: unknown) => log.warn('ovs.forget_failed', { error: describeError(error) }));
      onDue(`bridge ${reason}`);
    },
    onPacket: () => undefined,
  });
  const driver: OvsDriver = new OvsDriver({ session: () => bridge.session(), clock, log, bridge: bridgeName, controller: CONTROLLER });
  return { bridge, enforcement: new OvsEnforcement({ driver, bridge, bridgeName }) };
}

/** BRIDGE.mgmt stands beside the database's socket. */
export function managementSocket({ bridge, database }: Config['ovs']): string {
  const path = /^unix:(.*)$/.exec(database)?.[1];
  return join(path === undefined ? RUN_DIRECTORY : dirname(path), `${bridge}.mgmt`);
}
