/** The database client against ovsdb-server itself: what others write is seen, what we write is there, and a server that dies or hangs is noticed. */
import { connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { byUuid, comment, deleteRows, insertRow, mutateRows, selectRows, setJson, setKeys, updateRows, waitFor } from '../../src/drivers/ovs/ovsdb/operations.js';
import { OvsdbClient } from '../../src/drivers/ovs/ovsdb/client.js';
import type { MonitorMethod, OvsdbClientOptions, Synchronized } from '../../src/drivers/ovs/ovsdb/client.js';
import type { RowChange } from '../../src/drivers/ovs/ovsdb/replica.js';
import type { AgentError } from '../../src/model/errors.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Logger } from '../../src/platform/logger.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually } from '../support/command.js';
import { BRIDGE, TestSwitch } from '../support/ovs.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

interface Watched {
  readonly client: OvsdbClient;
  readonly changes: RowChange[];
  readonly synchronizations: Synchronized[];
  readonly closings: AgentError[];
}

async function watch(target: TestSwitch, cleanup: Cleanup, options: Partial<OvsdbClientOptions> = {}): Promise<Watched> {
  const changes: RowChange[] = [];
  const synchronizations: Synchronized[] = [];
  const closings: AgentError[] = [];
  const client = new OvsdbClient({
    endpoint: target.database, database: 'Open_vSwitch', clock: systemClock, log: silent, random: Math.random, probeMs: 300,
    selection: {
      Open_vSwitch: ['bridges', 'cur_cfg', 'next_cfg', 'ovs_version', 'external_ids'],
      Bridge: ['name', 'ports', 'fail_mode', 'external_ids', 'datapath_type'],
      Port: ['name', 'interfaces', 'external_ids'],
      Interface: ['name', 'type', 'ofport', 'external_ids', 'mac_in_use', 'error', 'link_state', 'no_such_column'],
    },
    listener: { changed: (batch) => changes.push(...batch), synchronized: (event) => synchronizations.push(event), closed: (error) => closings.push(error) },
    ...options,
  });
  cleanup.defer('client', () => client.stop());
  client.start(new AbortController().signal);
  await client.ready(AbortSignal.timeout(10_000));
  return { client, changes, synchronizations, closings };
}

const named = (client: OvsdbClient, table: string, name: string): [string, ReadonlyMap<string, unknown>] | undefined => [...client.replica.table(table)].find(([, row]) => row.get('name') === name);

function mustFind(client: OvsdbClient, table: string, name: string): [string, ReadonlyMap<string, unknown>] {
  const found = named(client, table, name);
  if (found === undefined) throw new Error(`no ${table} ${name}`);
  return found;
}

/** The whole replica, comparable. */
const whole = (client: OvsdbClient): unknown => Object.fromEntries(['Open_vSwitch', 'Bridge', 'Port', 'Interface'].map((table) => [table, Object.fromEntries(client.replica.table(table))]));

function externalIds(client: OvsdbClient, table: string, uuid: string): Readonly<Record<string, unknown>> {
  const ids = client.replica.table(table).get(uuid)?.get('external_ids');
  return ids instanceof Map ? (Object.fromEntries(ids) as Record<string, unknown>) : {};
}

/** A way to the database that can be cut. */
class Proxy {
  private readonly sockets = new Set<Socket>();
  private open = true;

  static async start(path: string, target: string, cleanup: Cleanup): Promise<Proxy> {
    const proxy = new Proxy();
    const server = createServer((socket) => {
      if (!proxy.open) {
        socket.destroy();
        return;
      }
      const other = connect(target);
      for (const [from, to] of [[socket, other], [other, socket]] as const) {
        proxy.sockets.add(from);
        from.on('error', () => to.destroy()).on('close', () => to.destroy()).pipe(to);
      }
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    cleanup.defer('proxy', () => {
      proxy.cut();
      server.close();
    });
    return proxy;
  }

  cut(): void {
    this.open = false;
    for (const socket of this.sockets) socket.destroy();
  }

  mend(): void {
    this.open = true;
  }
}

describe('a database in one file', () => {
  let ovs: TestSwitch;
  const cleanup = new Cleanup();
  beforeAll(async () => {
    ovs = await TestSwitch.start({ ports: ['p1'] });
  });
  afterEach(() => cleanup.run());
  afterAll(() => ovs.close());

  it('gives the rows and columns asked for, typed, and says what the schema lacks', async () => {
    const { client, synchronizations } = await watch(ovs, cleanup);
    expect(synchronizations).toEqual([{ method: 'monitor_cond_since', how: 'first', missing: ['Interface.no_such_column'] }]);
    const [bridge, bridgeRow] = mustFind(client, 'Bridge', BRIDGE);
    const [port, portRow] = mustFind(client, 'Port', 'p1');
    const [networkInterface, row] = mustFind(client, 'Interface', 'p1');
    expect([...client.replica.table('Open_vSwitch').values()].map((root) => [root.get('bridges'), root.get('ovs_version')])).toEqual([[[bridge], expect.stringMatching(/^\d+\.\d+\.\d+$/)]]);
    expect(bridgeRow.get('ports')).toContain(port);
    expect([bridgeRow.get('fail_mode'), bridgeRow.get('datapath_type'), portRow.get('interfaces')]).toEqual(['secure', 'netdev', [networkInterface]]);
    expect([row.get('ofport'), row.get('type'), row.get('error'), row.get('link_state'), row.get('external_ids')]).toEqual([ovs.port('p1').ofport, '', undefined, 'up', new Map()]);
    expect(row.get('mac_in_use')).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    expect(row.has('no_such_column')).toBe(false);
  });

  it.each<MonitorMethod>(['monitor_cond_since', 'monitor_cond', 'monitor'])('sees by %s what others write: added, changed and removed', async (method) => {
    const { client, changes } = await watch(ovs, cleanup, { methods: [method] });
    changes.length = 0;
    await ovs.vsctl('add-port', BRIDGE, 'p9', '--', 'set', 'Interface', 'p9', 'type=internal', 'external_ids:a=1', 'external_ids:b=2');
    const [uuid] = await eventually('the new interface', () => Promise.resolve(named(client, 'Interface', 'p9')));
    await eventually('its OpenFlow port', () => Promise.resolve(typeof client.replica.table('Interface').get(uuid)?.get('ofport') === 'number' ? true : undefined));
    expect(changes.filter((change) => change.uuid === uuid && change.before === undefined)).toHaveLength(1);
    await ovs.vsctl('set', 'Interface', 'p9', 'external_ids:b=3', '--', 'remove', 'Interface', 'p9', 'external_ids', 'a', '--', 'set', 'Interface', 'p9', 'external_ids:c=4');
    await eventually('the new values', () => Promise.resolve(JSON.stringify(externalIds(client, 'Interface', uuid)) === '{"b":"3","c":"4"}' ? true : undefined));
    await ovs.vsctl('del-port', BRIDGE, 'p9');
    await eventually('its end', () => Promise.resolve(client.replica.table('Interface').has(uuid) ? undefined : true));
    expect(changes.filter((change) => change.uuid === uuid && change.after === undefined)).toHaveLength(1);
    expect(mustFind(client, 'Bridge', BRIDGE)[1].get('ports')).toHaveLength(2);
    const fresh = await watch(ovs, cleanup);
    expect(whole(client)).toEqual(whole(fresh.client));
  });

  it('writes all operations of a transaction or none, and names the one at fault', async () => {
    const { client } = await watch(ovs, cleanup);
    const [bridge] = mustFind(client, 'Bridge', BRIDGE);
    const [root] = [...client.replica.table('Open_vSwitch').keys()];
    expect(await client.transact([setKeys('Bridge', byUuid(bridge), 'external_ids', { 'dfw-round': '7', 'dfw-x': 'y' }), comment('a test')])).toEqual([{ count: 1 }, {}]);
    expect(await ovs.vsctl('get', 'Bridge', BRIDGE, 'external_ids')).toBe('{dfw-round="7", dfw-x=y}');
    await eventually('the replica', () => Promise.resolve(externalIds(client, 'Bridge', bridge)['dfw-round'] === '7' ? true : undefined));

    expect(await client.transact([selectRows('Bridge', byUuid(bridge), ['name'])])).toEqual([{ rows: [{ name: BRIDGE }] }]);
    await client.transact([setKeys('Bridge', byUuid(bridge), 'external_ids', { 'dfw-round': '8' }), mutateRows('Bridge', byUuid(bridge), [['external_ids', 'delete', setJson(['dfw-x'])]])]);
    expect(await ovs.vsctl('get', 'Bridge', BRIDGE, 'external_ids')).toBe('{dfw-round="8"}');

    const good = updateRows('Bridge', byUuid(bridge), { external_ids: ['map', []] });
    const refused = async (operations: Parameters<OvsdbClient['transact']>[0]): Promise<unknown> => client.transact(operations).then(() => 'accepted', (error: unknown) => error);
    expect(await refused([good, updateRows('Bridge', byUuid(bridge), { fail_mode: 'sometimes' })])).toMatchObject({ code: 'E_INVALID', path: 'operation 1 (update Bridge)', retryable: false, context: { error: 'constraint violation', operation: 1 } });
    expect(await refused([good, insertRow('Nix', {})])).toMatchObject({ code: 'E_INVALID', path: 'operation 1 (insert Nix)', context: { error: 'syntax error' } });
    expect(await refused([good, insertRow('Port', { name: 'p1', interfaces: ['uuid', bridge] }, 'new'), mutateRows('Bridge', byUuid(bridge), [['ports', 'insert', setJson([['named-uuid', 'new']])]])])).toMatchObject({ code: 'E_INVALID', path: 'commit', context: { error: 'referential integrity violation' } });
    expect(await refused([waitFor('Bridge', byUuid(bridge), [{ name: 'br-other' }]), good])).toMatchObject({ code: 'E_CONFLICT', retryable: true, context: { error: 'timed out', operation: 0 } });
    expect(await ovs.vsctl('get', 'Bridge', BRIDGE, 'external_ids')).toBe('{dfw-round="8"}');

    const named = await client.transact([
      waitFor('Bridge', byUuid(bridge), [{ name: BRIDGE }]),
      insertRow('Interface', { name: 'p7', type: 'internal' }, 'i'), insertRow('Port', { name: 'p7', interfaces: ['named-uuid', 'i'] }, 'p'),
      mutateRows('Bridge', byUuid(bridge), [['ports', 'insert', setJson([['named-uuid', 'p']])]]),
      mutateRows('Open_vSwitch', byUuid(root ?? ''), [['next_cfg', '+=', 1]]),
    ]);
    expect(await ovs.vsctl('port-to-br', 'p7')).toBe(BRIDGE);
    await client.transact([mutateRows('Bridge', byUuid(bridge), [['ports', 'delete', setJson([['uuid', named[2]?.uuid ?? '']])]]), good]);
    expect(await ovs.vsctl('list-ports', BRIDGE)).toBe('p1');
    expect(await client.transact([deleteRows('QoS', [])])).toEqual([{ count: 0 }]);
    expect(await client.transact([])).toEqual([]);
  });

  it('notices that the server died, refuses writes meanwhile, reads anew and tells only what differs', async () => {
    const { client, changes, synchronizations, closings } = await watch(ovs, cleanup);
    const before = whole(client);
    changes.length = 0;
    await ovs.kill('ovsdb-server');
    await eventually('the end', () => Promise.resolve(closings[0]));
    expect(client.synchronized).toBe(false);
    expect(whole(client)).toEqual(before);
    await expect(client.transact([comment('x')])).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    await ovs.start();
    await client.ready(AbortSignal.timeout(15_000));
    expect(closings).toMatchObject([{ code: 'E_IO', retryable: true }]);
    expect(synchronizations.map(({ how }) => how)).toEqual(['first', 'reread']);
    expect(named(client, 'Interface', 'p1')).toBeDefined();
    // The daemons write their own columns again after a restart; the rows are the same ones.
    expect(changes.filter((change) => change.before === undefined || change.after === undefined)).toEqual([]);
    await ovs.vsctl('set', 'Bridge', BRIDGE, 'external_ids:after=restart');
    await eventually('a change after the restart', () => Promise.resolve(externalIds(client, 'Bridge', mustFind(client, 'Bridge', BRIDGE)[0])['after']));
  });

  it('notices a server that hangs, within twice the probe interval, and comes back when it does', async () => {
    const { client, closings, synchronizations } = await watch(ovs, cleanup);
    await ovs.pause('ovsdb-server');
    const begun = performance.now();
    try {
      const writing = client.transact([comment('nobody reads this')]);
      await expect(writing).rejects.toMatchObject({ code: 'E_IO', retryable: true, context: { outcome: 'unknown' } });
      expect(performance.now() - begun).toBeLessThan(3_000);
      expect(closings).toMatchObject([{ code: 'E_IO', message: 'no sign of life within 600 ms' }]);
    } finally {
      await ovs.resume('ovsdb-server');
    }
    await client.ready(AbortSignal.timeout(20_000));
    expect(synchronizations.at(-1)?.how).toBe('reread');
  });

  it('stays connected to a server that is merely quiet', async () => {
    const { client, closings } = await watch(ovs, cleanup, { probeMs: 60 });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect([client.synchronized, closings]).toEqual([true, []]);
  });

  it('takes a write back that is cancelled while it waits', async () => {
    const { client } = await watch(ovs, cleanup);
    const [bridge] = mustFind(client, 'Bridge', BRIDGE);
    const cancel = new AbortController();
    const waiting = client.transact([waitFor('Bridge', byUuid(bridge), [{ name: 'never' }], 60_000), setKeys('Bridge', byUuid(bridge), 'external_ids', { cancelled: 'no' })], { signal: cancel.signal });
    cancel.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'E_CANCELLED' });
    expect(await client.transact([comment('still open')])).toEqual([{}]);
    expect(await ovs.vsctl('get', 'Bridge', BRIDGE, 'external_ids')).not.toContain('cancelled');
  });
});

describe('a database that remembers its transactions', () => {
  let ovs: TestSwitch;
  const cleanup = new Cleanup();
  beforeAll(async () => {
    ovs = await TestSwitch.start({ cluster: true });
  });
  afterEach(() => cleanup.run());
  afterAll(() => ovs.close());

  it('sends after a broken connection only what was missed', async () => {
    // The server forgets transactions whose rows are together larger than the database; this makes the database large.
    await ovs.vsctl('create', 'QoS', 'type=linux-htb', ...Array.from({ length: 2_000 }, (_none, index) => `other_config:dfw-${index}=${index}`));
    const proxy = await Proxy.start(`${ovs.directory}/proxy.sock`, `${ovs.directory}/db.sock`, cleanup);
    const { client, changes, synchronizations, closings } = await watch(ovs, cleanup, { endpoint: `unix:${ovs.directory}/proxy.sock` });
    await ovs.vsctl('set', 'Bridge', BRIDGE, 'external_ids:seen=1');
    const [bridge] = mustFind(client, 'Bridge', BRIDGE);
    await eventually('a change', () => Promise.resolve(externalIds(client, 'Bridge', bridge)['seen']));
    changes.length = 0;
    proxy.cut();
    await eventually('that it is noticed', () => Promise.resolve(closings[0]));
    await ovs.vsctl('set', 'Bridge', BRIDGE, 'external_ids:seen=2', '--', 'add-port', BRIDGE, 'p5', '--', 'set', 'Interface', 'p5', 'type=internal');
    proxy.mend();
    await client.ready(AbortSignal.timeout(20_000));
    expect(synchronizations.map(({ how }) => how)).toEqual(['first', 'resumed']);
    expect(externalIds(client, 'Bridge', bridge)['seen']).toBe('2');
    const added = changes.filter(({ before }) => before === undefined).map(({ table, after }) => [table, after?.get('name')]);
    expect(added).toHaveLength(2);
    expect(added).toEqual(expect.arrayContaining([['Interface', 'p5'], ['Port', 'p5']]));
    const fresh = await watch(ovs, cleanup);
    expect(whole(client)).toEqual(whole(fresh.client));
    await ovs.vsctl('del-port', 'p5');
    await eventually('a change after it', () => Promise.resolve(named(client, 'Interface', 'p5') === undefined ? true : undefined));
  });

  it('goes on also after the server was killed and started again', async () => {
    const { client, synchronizations } = await watch(ovs, cleanup);
    await ovs.kill('ovsdb-server');
    await eventually('the end', () => Promise.resolve(client.synchronized ? undefined : true));
    await ovs.start();
    await client.ready(AbortSignal.timeout(20_000));
    expect(synchronizations.map(({ how }) => how)).toEqual(['first', 'resumed']);
    expect(mustFind(client, 'Bridge', BRIDGE)[1].get('fail_mode')).toBe('secure');
    const fresh = await watch(ovs, cleanup);
    expect(whole(client)).toEqual(whole(fresh.client));
  });
});
