/** Ports that the agent makes: what is asked of the database, and that others' ports are left alone. */
import { expect, it } from 'vitest';
import { OwnPorts } from '../../../../src/drivers/ovs/own-ports.js';
import type { Operation } from '../../../../src/drivers/ovs/ovsdb/operations.js';
import type { BridgeFacts, BridgePort } from '../../../../src/drivers/ovs/ports.js';
import { CollectingLogger } from '../../../contract/api-support/collecting-logger.js';

const BRIDGE: BridgeFacts = { uuid: 'b', name: 'br-int', datapathType: 'netdev', datapathId: '1', failMode: 'secure', externalIds: new Map() };
const port = (name: string, more: Partial<BridgePort> = {}): BridgePort => ({
  name, port: name, uuid: `i-${name}`, portUuid: `p-${name}`, own: true, options: {}, type: 'internal', mac: '', linkUp: true, error: '', ...more,
});

async function asked(bridge: BridgeFacts | undefined, ports: readonly BridgePort[], wanted: Parameters<OwnPorts['ensure']>[0], alone = true): Promise<{ changed: boolean; operations: readonly Operation[] }> {
  const operations: Operation[] = [];
  const own = new OwnPorts({
    database: {
      bridge, ports, transact: async (all) => {
        operations.push(...all);
        return [];
      },
    },
    log: new CollectingLogger(), alone,
  });
  return { changed: await own.ensure(wanted), operations };
}

it('makes what is missing, in one transaction, marked as ours', async () => {
  const { changed, operations } = await asked(BRIDGE, [], [{ name: 'tap0', type: 'internal', options: {} }, { name: 'dfw1', type: 'vxlan', options: { remote_ip: '192.0.2.1', key: '7' } }]);
  expect(changed).toBe(true);
  expect(operations.map(({ op, table }) => [op, table])).toEqual([['insert', 'Interface'], ['insert', 'Port'], ['mutate', 'Bridge'], ['insert', 'Interface'], ['insert', 'Port'], ['mutate', 'Bridge']]);
  expect(JSON.stringify(operations[3])).toContain('["remote_ip","192.0.2.1"]');
  expect(operations.filter(({ op }) => op === 'insert').every((operation) => JSON.stringify(operation).includes('["dfw-agent","port"]'))).toBe(true);
});

it('does nothing where all is as it should be, where others have the port, and where there is no bridge', async () => {
  const wanted = [{ name: 'tap0', type: 'internal', options: {} }];
  expect(await asked(BRIDGE, [port('tap0')], wanted)).toEqual({ changed: false, operations: [] });
  expect(await asked(BRIDGE, [port('tap0', { own: false, type: '' })], wanted)).toEqual({ changed: false, operations: [] });
  expect(await asked(undefined, [], wanted)).toEqual({ changed: false, operations: [] });
});

it('changes ours that are otherwise, removes ours that nobody wants, leaves others\' alone', async () => {
  const { operations } = await asked(BRIDGE, [port('tap0', { options: { old: '1' } }), port('gone'), port('theirs', { own: false })], [{ name: 'tap0', type: 'internal', options: {} }]);
  expect(operations).toEqual([
    { op: 'update', table: 'Interface', where: [['_uuid', '==', ['uuid', 'i-tap0']]], row: { type: 'internal', options: ['map', []] } },
    { op: 'mutate', table: 'Bridge', where: [['_uuid', '==', ['uuid', 'b']]], mutations: [['ports', 'delete', ['set', [['uuid', 'p-gone']]]]] },
  ]);
});

it('makes the bridge fail secure, unless others forward on it', async () => {
  expect((await asked({ ...BRIDGE, failMode: 'standalone' }, [], [], false)).operations).toEqual([]);
  const { operations } = await asked({ ...BRIDGE, failMode: 'standalone' }, [], []);
  expect(operations).toEqual([{ op: 'update', table: 'Bridge', where: [['_uuid', '==', ['uuid', 'b']]], row: { fail_mode: 'secure' } }]);
});
