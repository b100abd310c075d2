/** How often the switch is asked, who shares the answer, and what is told of ended connections. */
import { beforeEach, describe, expect, it } from 'vitest';
import { TrackerFlowTable } from '../../../../../src/drivers/ovs/tracker/tracker-flow-table.js';
import { AgentError } from '../../../../../src/model/errors.js';
import type { EndedFlow } from '../../../../../src/native/binding.js';
import type { Logger } from '../../../../../src/platform/logger.js';
import { TEST_ZONE, trackerTable, type TrackerLine } from '../../../../support/tracker-lines.js';
import { ManualClock } from '../../../dns/manual-clock.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const down = new AgentError('E_IO', 'it does not run', { object: 'ovs-vswitchd', retryable: true });

describe('TrackerFlowTable', () => {
  let clock: ManualClock;
  let lines: readonly TrackerLine[];
  let takesMs: number;
  let failure: Error | undefined;
  let asked: { zone: number | undefined; answer: () => void }[];
  let held: boolean;
  let table: TrackerFlowTable;

  beforeEach(() => {
    clock = new ManualClock();
    lines = [{ out: 1 }];
    takesMs = 0;
    failure = undefined;
    asked = [];
    held = false;
    table = new TrackerFlowTable({
      tracker: {
        dump: async (zone, signal) => {
          await new Promise<void>((resolve, reject) => {
            asked.push({ zone, answer: resolve });
            signal?.addEventListener('abort', () => reject(new AgentError('E_CANCELLED', 'cancelled')), { once: true });
            if (!held) resolve();
          });
          clock.move(takesMs);
          if (failure !== undefined) throw failure;
          return { connections: trackerTable(lines), malformed: 0 };
        },
      },
      zone: TEST_ZONE, clock, log: silent, totals: () => Promise.resolve(new Map([[9, { packets: 4n, bytes: 400n }], [1, { packets: 2n, bytes: 200n }]])),
      format: async ({ count }, _query, _format, onChunk) => {
        await onChunk(Buffer.from(`${count} flows`));
        return count;
      },
    });
  });

  /** Lets what waits for promises go on. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };

  it('asks for its zone once, and again when the answer is older than 0.1 s', async () => {
    await table.start();
    expect([await table.query({}), table.stats().flows, table.countByAddress(['10.0.0.2'])]).toMatchObject([[{ ruleIdOut: 1 }], 1, 1]);
    expect(asked.map(({ zone }) => zone)).toEqual([TEST_ZONE]);
    lines = [{ out: 1 }, { out: 1, sourcePort: 1 }];
    clock.move(99);
    expect((await table.query({})).length).toBe(1);
    clock.move(1);
    expect((await table.query({})).length).toBe(2);
    expect(asked.length).toBe(2);
  });

  it('rests ten times as long as a dump took', async () => {
    takesMs = 300;
    await table.start();
    clock.move(2_600);
    await table.refresh();
    expect(asked.length).toBe(1);
    clock.move(101);
    await table.refresh();
    expect(asked.length).toBe(2);
  });

  it('lets all who ask at the same time share one answer', async () => {
    await table.start();
    clock.move(1_000);
    held = true;
    const questions = [table.query({}), table.refresh(), table.stream({}, { kind: 'text', labelIds: new Uint32Array(0), ruleIds: new Uint32Array(0) }, () => undefined)];
    await settle();
    expect(asked.length).toBe(2);
    asked[1]?.answer();
    expect(await Promise.all(questions)).toMatchObject([[{}], undefined, 1]);
  });

  it('answers with objects only when they are few', async () => {
    lines = Array.from({ length: 10_001 }, (_none, n) => ({ out: 1, sourcePort: n + 1 }));
    await table.start();
    await expect(table.query({})).rejects.toMatchObject({ code: 'E_LIMIT' });
    await expect(table.query({ limit: 20_000 })).rejects.toMatchObject({ code: 'E_LIMIT' });
    expect((await table.query({ limit: 10_000 })).length).toBe(10_000);
    expect((await table.query({ limit: 3 })).length).toBe(3);
  });

  it('says why it cannot read, keeps what it knew, and reads again', async () => {
    failure = down;
    await table.start();
    expect(table.problem).toMatch(/does not run/);
    await expect(table.query({})).rejects.toBe(down);
    failure = undefined;
    await table.refresh();
    expect([table.problem, table.stats().flows]).toEqual([undefined, 1]);
    failure = down;
    clock.move(100);
    await expect(table.refresh()).rejects.toBe(down);
    expect(table.stats().flows).toBe(1);
  });

  it('is not read before start() nor after stop(), which ends a dump under way', async () => {
    await expect(table.query({})).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await table.start();
    clock.move(1_000);
    held = true;
    const waiting = table.query({});
    await settle();
    table.stop();
    await expect(waiting).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await expect(table.refresh()).rejects.toMatchObject({ code: 'E_CANCELLED' });
    expect([table.stats().flows, table.problem, clock.pending]).toEqual([0, undefined, 0]);
    held = false;
    await table.start();
    expect(table.stats().flows).toBe(1);
  });

  it('tells watched ends by itself within 2 s, and asks nobody while none are watched', async () => {
    const told: EndedFlow[] = [];
    table.watchEnds(Uint32Array.of(1), (ended) => told.push(...ended));
    await table.start();
    clock.move(2_000);
    await settle();
    expect([asked.length, told]).toEqual([2, []]);
    lines = [{ out: 1, states: ['FIN_WAIT_2', 'FIN_WAIT_2'] }];
    clock.move(2_000);
    await settle();
    expect(told).toMatchObject([{ ruleIdOut: 1, source: '10.0.0.1', destinationPort: 443, tcpState: 7 }]);
    // A failure ends nothing, and no watching.
    failure = down;
    clock.move(2_000);
    await settle();
    failure = undefined;
    lines = [];
    clock.move(2_000);
    await settle();
    expect([asked.length, told.length]).toEqual([5, 1]);
    table.watchEnds(new Uint32Array(0), () => undefined);
    clock.move(60_000);
    await settle();
    const quiet = asked.length;
    clock.move(60_000);
    await settle();
    expect([asked.length, clock.pending]).toEqual([quiet, 0]);
  });

  it('tells ends to the newest listener also from dumps that others asked for, and survives a listener that throws', async () => {
    await table.start();
    table.watchEnds(Uint32Array.of(1), () => {
      throw new Error('a bug');
    });
    lines = [];
    clock.move(100);
    await table.refresh();
    lines = [{ in: 1 }];
    clock.move(100);
    await table.refresh();
    const told: EndedFlow[] = [];
    table.watchEnds(Uint32Array.of(1), (ended) => told.push(...ended));
    lines = [];
    clock.move(100);
    await table.refresh();
    expect(told.length).toBe(1);
    table.stop();
    expect(clock.pending).toBe(0);
  });

  it('has its totals from the flows, and its connections from the last dump; sweeps nothing', async () => {
    expect(await table.ruleTotals()).toEqual({ ids: Uint32Array.of(1, 9), connections: BigUint64Array.of(0n, 0n), packets: BigUint64Array.of(2n, 4n), bytes: BigUint64Array.of(200n, 400n) });
    await table.start();
    expect((await table.ruleTotals()).connections).toEqual(BigUint64Array.of(1n, 0n));
    expect(await table.sweepLabels()).toEqual({ scanned: 0, cleared: 0 });
  });
});
