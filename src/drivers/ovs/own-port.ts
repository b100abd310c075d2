/** A device that the agent makes a port of the bridge: where copies for the IDS engine go. Marked, so that only what is ours is ever removed. */
import { AgentError } from '../../model/errors.js';
import type { OvsdbClient } from './ovsdb/client.js';
import { byUuid, comment, insertRow, mapJson, mutateRows, namedUuid, setJson, uuidJson } from './ovsdb/operations.js';
import { bridgeFacts, bridgePorts } from './ports.js';

export type PortDatabase = Pick<OvsdbClient, 'replica' | 'transact'>;

/** In external_ids of the Port row. */
const MARK = 'dfw-agent';

/**
 * True when the port was made; false when the bridge has it, whoever made it. Rejects with E_NOT_FOUND, retryable, when there is no such bridge, and as
 * OvsdbClient.transact() does, for instance where another bridge has the device.
 */
export async function ensurePort(database: PortDatabase, bridge: string, device: string): Promise<boolean> {
  const facts = bridgeFacts(database.replica, bridge);
  if (facts === undefined) throw new AgentError('E_NOT_FOUND', `the switch has no bridge ${bridge}`, { object: bridge, retryable: true });
  if (bridgePorts(database.replica, bridge).some(({ name }) => name === device)) return false;
  await database.transact([
    insertRow('Interface', { name: device }, 'device'),
    insertRow('Port', { name: device, interfaces: namedUuid('device'), external_ids: mapJson({ [MARK]: 'tap' }) }, 'port'),
    mutateRows('Bridge', byUuid(facts.uuid), [['ports', 'insert', setJson([namedUuid('port')])]]),
    comment(`dfw-agent: port ${device}`),
  ]);
  return true;
}

/** True when there was a port of this name that ensurePort() had made, and it is gone. */
export async function removePort(database: PortDatabase, bridge: string, device: string): Promise<boolean> {
  const facts = bridgeFacts(database.replica, bridge);
  const [uuid] = [...database.replica.table('Port')].find(([, row]) => {
    const marks = row.get('external_ids');
    return row.get('name') === device && marks instanceof Map && marks.has(MARK);
  }) ?? [];
  if (facts === undefined || uuid === undefined) return false;
  // Rows that nothing points to are gone by themselves.
  await database.transact([mutateRows('Bridge', byUuid(facts.uuid), [['ports', 'delete', setJson([uuidJson(uuid)])]]), comment(`dfw-agent: no port ${device}`)]);
  return true;
}
