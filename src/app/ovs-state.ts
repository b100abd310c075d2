/** The switch in `agentctl status`: what is connected, or why not. */
import { COOKIE_MAGIC, COOKIE_MASK } from '../drivers/ovs/pipeline/stages.js';
import type { BridgeConnection } from '../drivers/ovs/session.js';
import type { SwitchDatabase } from '../drivers/ovs/switch-database.js';
import type { Component, DatapathState } from './status.js';

export interface OvsStateParts {
  readonly bridge: Pick<BridgeConnection, 'state' | 'flowCount'>;
  readonly bridgeName: string;
  readonly database: Pick<SwitchDatabase, 'reason' | 'facts' | 'bridge'>;
  readonly endpoint: string;
  /** Why connections were not read the last time; undefined when they were. */
  readonly connections: () => string | undefined;
  /** It was told to wait for its flows, and nobody has told it to go on. */
  readonly waiting: () => boolean;
}

/** A switch that is busy is not waited for. */
const COUNT_MS = 1_000;

/** Never rejects. */
export async function ovsState({ bridge, bridgeName, database, endpoint, connections, waiting }: OvsStateParts): Promise<DatapathState> {
  const { connected, reason, ports } = bridge.state;
  const { facts, bridge: row } = database;
  const trackerProblem = connections();
  // Without its database, ovs-vswitchd talks to nobody, and its userspace datapath moves no packet (bridge_run() of its sources).
  const why = database.reason === '' ? reason : `${reason} (ovs-vswitchd answers nobody while its database is away)`;
  const components: Component[] = [
    { name: 'bridge', state: connected ? 'connected' : 'disconnected', detail: connected ? `${bridgeName}, ${ports} ports, ${await flowsOfOurs(bridge)}` : reason },
    {
      name: 'switch', state: facts === undefined ? 'unknown' : row === undefined ? 'without the bridge' : 'known',
      detail: facts === undefined ? '' : [`Open vSwitch ${facts.version === '' ? 'of unknown version' : facts.version}`, ...(row === undefined ? [] : [`datapath ${row.datapathType}`])].join(', '),
    },
    { name: 'switch database', state: database.reason === '' ? 'connected' : 'disconnected', detail: database.reason === '' ? endpoint : database.reason },
  ];
  return {
    components,
    degraded: [
      ...(connected ? [] : [`bridge ${bridgeName}: ${why}`]),
      ...(database.reason === '' ? [] : [`switch database: ${database.reason}`]),
      ...(database.reason === '' && row === undefined ? [`the switch's database has no bridge ${bridgeName}`] : []),
      ...(waiting() ? ['the switch waits for its flows: nothing new is forwarded until other_config:flow-restore-wait is removed from its database'] : []),
      ...(trackerProblem === undefined ? [] : [`connections: ${trackerProblem}`]),
    ],
  };
}

async function flowsOfOurs(bridge: OvsStateParts['bridge']): Promise<string> {
  try {
    return `${await bridge.flowCount({ cookie: COOKIE_MAGIC << 48n, cookieMask: COOKIE_MASK }, AbortSignal.timeout(COUNT_MS))} flows of ours`;
  } catch {
    return 'flows not counted';
  }
}
