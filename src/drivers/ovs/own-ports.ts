/**
 * What the agent writes into the switch's database: ports for copies and redirected traffic, marked as ours, and that the bridge forwards nothing without flows
 * (fail_mode secure). Others' ports are never changed.
 */
import type { Logger } from '../../platform/logger.js';
import { byUuid, insertRow, mapJson, mutateRows, namedUuid, setJson, updateRows, uuidJson, type Operation, type OperationResult } from './ovsdb/operations.js';
import type { BridgeFacts, BridgePort } from './ports.js';

export interface OwnPort {
  readonly name: string;
  /** "" = a device of the host. */
  readonly type: string;
  readonly options: Readonly<Record<string, string>>;
}

/** The switch's database, as far as it is needed here. */
export interface PortDatabase {
  /** Undefined when there is no such bridge, or nothing was read yet. */
  readonly bridge: BridgeFacts | undefined;
  readonly ports: readonly BridgePort[];
  transact(operations: readonly Operation[]): Promise<readonly OperationResult[]>;
}

/** In external_ids of our Port and Interface rows. */
export const OWNER = { key: 'dfw-agent', value: 'port' } as const;

export class OwnPorts {
  constructor(private readonly deps: { readonly database: PortDatabase; readonly log: Logger; /** Nobody else forwards on the bridge: what it does without flows is ours to say. */ readonly alone: boolean }) {}

  /**
   * Makes those that are missing, changes ours that are otherwise, removes ours that nobody wants. A port of somebody else by that name is used as it is.
   * True when something was written. Does nothing while the bridge is not known. Rejects with the database's error: nothing is changed then.
   */
  async ensure(wanted: readonly OwnPort[]): Promise<boolean> {
    const { bridge, ports } = this.deps.database;
    if (bridge === undefined) return false;
    const names = new Map(wanted.map((port) => [port.name, port]));
    const operations: Operation[] = [];
    // Otherwise a switch that starts anew forwards everything until our flows are back.
    if (this.deps.alone && bridge.failMode !== 'secure') operations.push(updateRows('Bridge', byUuid(bridge.uuid), { fail_mode: 'secure' }));
    for (const port of ports) {
      if (!port.own) continue;
      const now = names.get(port.name);
      if (now === undefined) operations.push(...this.remove(bridge, port));
      else if (now.type !== port.type || !sameOptions(now.options, port.options)) {
        operations.push(updateRows('Interface', byUuid(port.uuid), { type: now.type, options: mapJson(now.options) }));
      }
    }
    const present = new Set(ports.map(({ name }) => name));
    [...names.values()].filter(({ name }) => !present.has(name)).forEach((port, index) => operations.push(...this.make(bridge, port, index)));
    if (operations.length === 0) return false;
    await this.deps.database.transact(operations);
    this.deps.log.info('ovs.bridge_changed', { bridge: bridge.name, ports: [...names.keys()], failModeWas: bridge.failMode });
    return true;
  }

  private make(bridge: BridgeFacts, { name, type, options }: OwnPort, index: number): Operation[] {
    const ours = mapJson({ [OWNER.key]: OWNER.value });
    return [
      insertRow('Interface', { name, type, options: mapJson(options), external_ids: ours }, `interface${index}`),
      insertRow('Port', { name, interfaces: namedUuid(`interface${index}`), external_ids: ours }, `port${index}`),
      mutateRows('Bridge', byUuid(bridge.uuid), [['ports', 'insert', setJson([namedUuid(`port${index}`)])]]),
    ];
  }

  /** Rows that nothing refers to go by themselves. */
  private remove(bridge: BridgeFacts, port: BridgePort): Operation[] {
    return [mutateRows('Bridge', byUuid(bridge.uuid), [['ports', 'delete', setJson([uuidJson(port.portUuid)])]])];
  }
}

function sameOptions(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
