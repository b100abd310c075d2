/** The ports of a bridge, from the replica of the switch's database: pure. Rows that point to rows not (yet) known are left out. */
import type { Replica, Row } from './ovsdb/replica.js';
import { portOwner, type PortOwner } from './port-owner.js';

export interface BridgePort {
  /** Of the interface; a port that bonds several has several entries. */
  readonly name: string;
  /** Of the Port row; differs from `name` for bonds only. */
  readonly port: string;
  /** UUID of the Interface row. */
  readonly uuid: string;
  /** UUID of the Port row. */
  readonly portUuid: string;
  /** Made by the agent. */
  readonly own: boolean;
  readonly options: Readonly<Record<string, string>>;
  /** OpenFlow port number; absent while the switch has not given it one, or could not (`error`). */
  readonly ofport?: number;
  /** Of the host's device; absent where it is none of this host's (patch, tunnels, vhost-user, another namespace). */
  readonly ifindex?: number;
  /** "" = a device of the host; "internal", "patch", "vxlan", "geneve", "dpdkvhostuserclient" ... */
  readonly type: string;
  /** The device's own address; "" while there is none. */
  readonly mac: string;
  readonly linkUp: boolean;
  /** Access VLAN. */
  readonly tag?: number;
  /** Why the switch could not open it; "" when it could. */
  readonly error: string;
  readonly owner?: PortOwner;
}

export interface SwitchFacts {
  /** "" where it is not said. */
  readonly version: string;
  /** What was asked for, and what ovs-vswitchd has done: equal when it follows. */
  readonly nextConfiguration: number;
  readonly currentConfiguration: number;
  readonly externalIds: ReadonlyMap<unknown, unknown>;
  /** It treats no packet that its cache does not know until somebody takes the word away (ovs-vswitchd.conf.db(5), other_config:flow-restore-wait). */
  readonly waitsForFlows: boolean;
}

export interface BridgeFacts {
  readonly uuid: string;
  readonly name: string;
  /** "system" or "netdev"; "" in the database means "system". */
  readonly datapathType: string;
  /** 16 hexadecimal digits; "" until ovs-vswitchd has made the bridge. */
  readonly datapathId: string;
  readonly failMode: 'secure' | 'standalone';
  readonly externalIds: ReadonlyMap<unknown, unknown>;
}

type Tables = Pick<Replica, 'table'>;

/** In other_config of the switch. */
export const WAIT = 'flow-restore-wait';

/** Undefined before the first synchronization. */
export function switchFacts(replica: Tables): SwitchFacts | undefined {
  for (const row of replica.table('Open_vSwitch').values()) {
    return {
      version: text(row, 'ovs_version'), nextConfiguration: number(row, 'next_cfg') ?? 0, currentConfiguration: number(row, 'cur_cfg') ?? 0,
      externalIds: map(row, 'external_ids'), waitsForFlows: map(row, 'other_config').get(WAIT) === 'true',
    };
  }
  return undefined;
}

/** Undefined when there is no such bridge. */
export function bridgeFacts(replica: Tables, bridge: string): BridgeFacts | undefined {
  const found = bridgeRow(replica, bridge);
  if (found === undefined) return undefined;
  const [uuid, row] = found;
  return {
    uuid,
    name: bridge,
    datapathType: text(row, 'datapath_type') || 'system',
    datapathId: text(row, 'datapath_id'),
    failMode: text(row, 'fail_mode') === 'secure' ? 'secure' : 'standalone',
    externalIds: map(row, 'external_ids'),
  };
}

/** Sorted by name; empty when there is no such bridge. */
export function bridgePorts(replica: Tables, bridge: string): readonly BridgePort[] {
  const ports: BridgePort[] = [];
  for (const portUuid of uuids(bridgeRow(replica, bridge)?.[1], 'ports')) {
    const port = replica.table('Port').get(portUuid);
    for (const uuid of uuids(port, 'interfaces')) {
      const row = replica.table('Interface').get(uuid);
      if (port !== undefined && row !== undefined) ports.push(portOf(uuid, row, portUuid, port));
    }
  }
  return ports.toSorted((left, right) => (left.name < right.name ? -1 : Number(left.name > right.name)));
}

function portOf(uuid: string, row: Row, portUuid: string, port: Row): BridgePort {
  const ofport = number(row, 'ofport');
  const ifindex = number(row, 'ifindex');
  const tag = number(port, 'tag');
  const owner = portOwner(map(port, 'external_ids'), map(row, 'external_ids'));
  return {
    name: text(row, 'name'),
    port: text(port, 'name'),
    uuid,
    portUuid,
    own: map(row, 'external_ids').get('dfw-agent') === 'port',
    options: Object.fromEntries([...map(row, 'options')].map(([key, value]) => [String(key), String(value)])),
    // -1: it could not be opened.
    ...(ofport === undefined || ofport < 0 ? {} : { ofport }),
    ...(ifindex === undefined || ifindex <= 0 ? {} : { ifindex }),
    type: text(row, 'type'),
    mac: text(row, 'mac_in_use'),
    linkUp: text(row, 'link_state') === 'up',
    ...(tag === undefined ? {} : { tag }),
    error: text(row, 'error'),
    ...(owner === undefined ? {} : { owner }),
  };
}

function bridgeRow(replica: Tables, name: string): readonly [string, Row] | undefined {
  for (const entry of replica.table('Bridge')) if (entry[1].get('name') === name) return entry;
  return undefined;
}

function text(row: Row, column: string): string {
  const value = row.get(column);
  return typeof value === 'string' ? value : '';
}

function number(row: Row, column: string): number | undefined {
  const value = row.get(column);
  return typeof value === 'number' ? value : undefined;
}

function map(row: Row, column: string): ReadonlyMap<unknown, unknown> {
  const value = row.get(column);
  return value instanceof Map ? (value as ReadonlyMap<unknown, unknown>) : new Map();
}

/** Of a column of references. One that has just one, as Port.interfaces mostly has, is a set all the same. */
function uuids(row: Row | undefined, column: string): readonly string[] {
  const value = row?.get(column);
  return Array.isArray(value) ? (value as readonly unknown[]).filter((uuid) => typeof uuid === 'string') : [];
}
