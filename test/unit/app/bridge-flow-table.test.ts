/** Which tracker is asked, from when on, and what is said until then. */
import { beforeEach, describe, expect, it } from 'vitest';
import { BridgeFlowTable } from '../../../src/app/bridge-flow-table.js';
import { freshWithin } from '../../../src/app/fresh-flows.js';
import { ovsState, type OvsStateParts } from '../../../src/app/ovs-state.js';
import type { FlowTable } from '../../../src/native/binding.js';
import type { Logger } from '../../../src/platform/logger.js';
import { ManualClock } from '../dns/manual-clock.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
};

describe('BridgeFlowTable', () => {
  let calls: string[];
  let clock: ManualClock;
  let failing: boolean;
  let table: BridgeFlowTable;
  const watched = Uint32Array.of(7);

  function fake(name: string): FlowTable {
    const say = (what: string): void => void calls.push(`${name} ${what}`);
    return {
      start: async () => {
        say('start');
        if (failing) throw new Error('no right to');
      },
      stop: () => say('stop'),
      stats: () => ({ flows: name.length, events: 0, lost: 0, resyncs: 0, indexBytes: 0 }),
      refresh: async () => say('refresh'),
      countByAddress: (addresses) => addresses.length,
      query: async () => {
        say('query');
        return [];
      },
      stream: async () => 1,
      ruleTotals: async () => {
        say('totals');
        return { ids: new Uint32Array(0), connections: new BigUint64Array(0), packets: new BigUint64Array(0), bytes: new BigUint64Array(0) };
      },
      sweepLabels: async () => ({ scanned: 0, cleared: 0 }),
      watchEnds: (ids) => say(`watch ${ids.join()}`),
    };
  }

  beforeEach(() => {
    calls = [];
    failing = false;
    clock = new ManualClock();
    table = new BridgeFlowTable({ kernel: fake('kernel'), tracker: fake('tracker'), unknown: () => 'the database: no connection', clock, log: silent });
  });

  it('starts at once, has no flows until the datapath is known, and says why', async () => {
    await table.start();
    expect([calls, table.stats().flows, table.countByAddress(['10.0.0.1'])]).toEqual([[], 0, 0]);
    for (const reading of [table.query({}), table.refresh(), table.stream({}, { kind: 'text', labelIds: watched, ruleIds: watched }, () => undefined)]) {
      await expect(reading).rejects.toMatchObject({ code: 'E_IO', retryable: true, message: 'connections cannot be read: the database: no connection' });
    }
    await table.ruleTotals();
    expect(calls).toEqual(['tracker totals']);
  });

  it.each([['netdev', 'tracker'], ['system', 'kernel']])('on datapath %s asks the %s, which is told whose ends are watched', async (type, name) => {
    table.watchEnds(watched, () => undefined);
    table.use(type);
    expect(calls).toEqual([]);
    await table.start();
    table.use(type);
    await table.query({});
    await table.refresh();
    expect(calls).toEqual([`${name} watch 7`, `${name} start`, `${name} query`, `${name} refresh`]);
    expect([table.stats().flows, table.countByAddress(['10.0.0.1'])]).toEqual([name.length, 1]);
    table.watchEnds(Uint32Array.of(8, 9), () => undefined);
    table.stop();
    expect(calls.slice(4)).toEqual([`${name} watch 8,9`, `${name} stop`]);
    await expect(table.query({})).rejects.toMatchObject({ code: 'E_IO' });
    table.use('netdev');
    expect(calls.length).toBe(6);
  });

  it('changes over when the bridge is made anew, and keeps what it had while nobody knows', async () => {
    await table.start();
    table.use('system');
    table.use(undefined);
    table.use('netdev');
    await table.query({});
    expect(calls).toEqual(['kernel start', 'kernel stop', 'tracker start', 'tracker query']);
  });

  it('tries again when it cannot start', async () => {
    failing = true;
    await table.start();
    table.use('system');
    await turns();
    await expect(table.query({})).rejects.toMatchObject({ code: 'E_IO' });
    failing = false;
    clock.move(5_000);
    await table.query({});
    expect(calls).toEqual(['kernel start', 'kernel start', 'kernel query']);
    table.stop();
    expect(clock.pending).toBe(0);
  });

  it('freshWithin waits for new figures, but not long, and never fails', async () => {
    await table.start();
    await freshWithin(table, clock, 1_000); // nothing is known: no answer, no failure
    table.use('netdev');
    await freshWithin(table, clock, 1_000);
    expect(calls).toEqual(['tracker start', 'tracker refresh']);
    const slow = freshWithin({ ...fake('slow'), refresh: () => new Promise(() => undefined) }, clock, 1_000);
    clock.move(1_000);
    await slow;
    expect(clock.pending).toBe(0);
  });
});

describe('ovsState', () => {
  const parts = (more: Partial<{ connected: boolean; reason: string; database: string; found: boolean; type: string; tracker: string; flows: number; waiting: boolean }>): OvsStateParts => {
    const { connected = true, reason = '', database = '', found = true, type = 'netdev', tracker, flows, waiting = false } = more;
    return {
      bridgeName: 'br-int', endpoint: 'unix:/db', connections: () => tracker, waiting: () => waiting,
      bridge: { state: { connected, reason, ports: 3 }, flowCount: () => (flows === undefined ? Promise.reject(new Error('busy')) : Promise.resolve(flows)) },
      database: {
        reason: database,
        facts: database === 'never' ? undefined : { version: '3.1.0', nextConfiguration: 1, currentConfiguration: 1, externalIds: new Map(), waitsForFlows: false },
        bridge: found && database !== 'never' ? { uuid: 'u', name: 'br-int', datapathType: type, datapathId: '', failMode: 'secure', externalIds: new Map() } : undefined,
      },
    };
  };
  const told = async (of: OvsStateParts) => {
    const { components, degraded } = await ovsState(of);
    return [...components.map(({ name, state, detail }) => `${name}: ${state}: ${detail}`), ...degraded.map((reason) => `! ${reason}`)];
  };

  it('names what is connected, and every trouble once', async () => {
    expect(await told(parts({ flows: 256 }))).toEqual(['bridge: connected: br-int, 3 ports, 256 flows of ours', 'switch: known: Open vSwitch 3.1.0, datapath netdev', 'switch database: connected: unix:/db']);
    expect((await ovsState(parts({ waiting: true }))).degraded).toEqual([expect.stringContaining('flow-restore-wait')]);
    expect(await told(parts({}))).toContain('bridge: connected: br-int, 3 ports, flows not counted');
    expect(await told(parts({ connected: false, reason: 'no hello' }))).toEqual([
      'bridge: disconnected: no hello', 'switch: known: Open vSwitch 3.1.0, datapath netdev', 'switch database: connected: unix:/db', '! bridge br-int: no hello',
    ]);
    expect(await told(parts({ connected: false, reason: 'no hello', database: 'never', tracker: 'it does not run' }))).toEqual([
      'bridge: disconnected: no hello', 'switch: unknown: ', 'switch database: disconnected: never',
      '! bridge br-int: no hello (ovs-vswitchd answers nobody while its database is away)', '! switch database: never', '! connections: it does not run',
    ]);
    expect(await told(parts({ flows: 0, found: false }))).toEqual([
      'bridge: connected: br-int, 3 ports, 0 flows of ours', 'switch: without the bridge: Open vSwitch 3.1.0', 'switch database: connected: unix:/db', '! the switch\'s database has no bridge br-int',
    ]);
  });
});
