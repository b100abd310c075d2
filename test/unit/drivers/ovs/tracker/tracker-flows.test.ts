/** A dump as flows: which are ours, who they are, how they are found and how they end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endedBetween } from '../../../../../src/drivers/ovs/tracker/ended-flows.js';
import { isOver, kernelTcpState } from '../../../../../src/drivers/ovs/tracker/tcp-state.js';
import { TrackerFlows } from '../../../../../src/drivers/ovs/tracker/tracker-flows.js';
import { TRACKER_TCP_STATES } from '../../../../../src/drivers/ovs/tracker/connection-table.js';
import { TEST_ZONE as ZONE, trackerTable, type TrackerLine } from '../../../../support/tracker-lines.js';

const flowsOf = (...lines: readonly TrackerLine[]): TrackerFlows => TrackerFlows.of(trackerTable(lines), ZONE);
const records = (flows: TrackerFlows, ...query: Parameters<TrackerFlows['select']>) => flows.select(...query).map((index) => flows.record(index));
const ids = (...values: number[]): Uint32Array => Uint32Array.from(values);

describe('TrackerFlows', () => {
  it('has the connections of the zone that carry a rule id, and no others', () => {
    const flows = flowsOf({ out: 5 }, { sourcePort: 2, in: 6 }, { sourcePort: 3 }, { sourcePort: 4, out: 5, zone: 0 }, { sourcePort: 5, out: 5, zone: ZONE + 1 });
    expect(records(flows, {}, 10).map(({ sourcePort, ruleIdOut, ruleIdIn }) => [sourcePort, ruleIdOut, ruleIdIn])).toEqual([[40_000, 5, 0], [2, 0, 6]]);
    expect(flowsOf({}).length).toBe(0);
  });

  it('names who truly answers, and the request of an ICMP connection', () => {
    const flows = flowsOf(
      { out: 1, destination: '10.99.0.1', destinationPort: 80, answers: '10.0.0.9', answerPort: 8080, timeout: 86_399 },
      { in: 0xf000_000f, protocol: 'icmpv6', source: 'fd00::1', destination: 'fd00::2', sourcePort: 77, destinationPort: 128 * 256 },
    );
    expect(records(flows, {}, 10)).toEqual([
      expect.objectContaining({
        family: 4, protocol: 6, source: '10.0.0.1', sourcePort: 40_000, destination: '10.0.0.9', destinationPort: 8080, originalDestination: '10.99.0.1', originalDestinationPort: 80,
        tcpState: 3, timeoutSeconds: 86_399, startMs: 0, packets: { original: 0, reply: 0 }, bytes: { original: 0, reply: 0 }, status: 0,
      }),
      expect.objectContaining({ family: 6, protocol: 58, source: 'fd00::1', sourcePort: 0, destination: 'fd00::2', destinationPort: 32_768, ruleIdIn: 0xf000_000f, tcpState: 0 }),
    ]);
  });

  it('finds by address, by rule id, and no more than asked', () => {
    const flows = flowsOf({ out: 1 }, { out: 2, source: '10.0.0.3', answers: '10.0.0.1' }, { in: 1, source: 'fd00::3', destination: 'fd00::4' }, { out: 3, source: '10.0.0.1', destination: '10.0.0.1', sourcePort: 9 });
    const found = (...query: Parameters<TrackerFlows['select']>): number[] => flows.select(...query);
    expect(found({ addresses: ['10.0.0.1'] }, 10)).toEqual([0, 1, 3]);
    expect(found({ addresses: ['10.0.0.1'] }, 2)).toEqual([0, 1]);
    expect(found({ addresses: ['fd00::4', 'fd00::9'] }, 10)).toEqual([2]);
    expect(found({ addresses: [] }, 10)).toEqual([]);
    expect(found({ addresses: ['no address'] }, 10)).toEqual([]);
    expect(found({ ruleIds: ids(1) }, 10)).toEqual([0, 2]);
    expect(found({ ruleIds: ids(1), addresses: ['fd00::3'] }, 10)).toEqual([2]);
    expect(flows.countByAddress(['10.0.0.1'])).toBe(3);
    expect(flows.countByAddress(['10.0.0.1', '10.0.0.3'])).toBe(4);
    expect(flows.countByAddress(['fd00::3', 'fd00::4'])).toBe(2);
    expect(flows.countByRule()).toEqual(new Map([[1, 2], [2, 1], [3, 1]]));
  });

  it('gives a connection the same id in every dump, and hardly two the same', () => {
    const line = { out: 1, sourcePort: 5 };
    const [once, again] = [flowsOf(line), flowsOf({ out: 9 }, { ...line, in: 4, states: ['FIN_WAIT_2', 'FIN_WAIT_2'], timeout: 3 })];
    expect(again.record(1).id).toBe(once.record(0).id);
    expect(again.key(1)).toBe(once.key(0));
    const many = flowsOf(...Array.from({ length: 40_000 }, (_none, n) => ({ out: 1, source: `10.1.${(n >> 12) & 15}.${(n >> 8) & 15}`, sourcePort: 1024 + (n & 0xff) })));
    const keys = new Set(Array.from({ length: many.length }, (_none, index) => many.key(index)));
    const seen = new Set(Array.from({ length: many.length }, (_none, index) => many.record(index).id));
    expect(keys.size).toBe(40_000);
    // Chance alone makes 0.2 pairs of them.
    expect(seen.size).toBeGreaterThan(39_990);
    expect(TrackerFlows.of(trackerTable([{ out: 1, zone: 1 }]), 1).record(0).id).not.toBe(flowsOf({ out: 1 }).record(0).id);
  });
});

describe('states of TCP', () => {
  const packed = (original: string, reply: string): number => ((TRACKER_TCP_STATES.findIndex((name) => name === original) + 1) << 8) | (TRACKER_TCP_STATES.findIndex((name) => name === reply) + 1);

  it.each([
    ['SYN_SENT', 'CLOSED', 1], ['ESTABLISHED', 'SYN_SENT', 2], ['ESTABLISHED', 'ESTABLISHED', 3], ['CLOSING', 'ESTABLISHED', 4], ['ESTABLISHED', 'CLOSING', 4],
    ['FIN_WAIT_2', 'ESTABLISHED', 5], ['ESTABLISHED', 'FIN_WAIT_2', 5], ['FIN_WAIT_2', 'CLOSING', 6], ['CLOSING', 'CLOSING', 6], ['FIN_WAIT_2', 'FIN_WAIT_2', 7], ['TIME_WAIT', 'TIME_WAIT', 8],
    ['SYN_SENT', 'SYN_SENT', 9], ['CLOSED', 'CLOSED', 8],
  ])('%s and %s are %i of the kernel', (original, reply, state) => {
    expect(kernelTcpState(packed(original, reply))).toBe(state);
  });

  it('none is none; over is what passes nothing more', () => {
    expect(kernelTcpState(0)).toBe(0);
    expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter(isOver)).toEqual([7, 8]);
  });
});

describe('endedBetween', () => {
  const watched = new Set([1]);
  const ended = (before: readonly TrackerLine[], after: readonly TrackerLine[]) => endedBetween(flowsOf(...before), flowsOf(...after), watched).map(({ sourcePort, tcpState, ruleIdOut, ruleIdIn }) => [sourcePort, tcpState, ruleIdOut, ruleIdIn]);
  const over = ['FIN_WAIT_2', 'FIN_WAIT_2'] as const;
  const reset = ['TIME_WAIT', 'TIME_WAIT'] as const;

  it('tells a TCP connection that was closed or reset once, not again when it goes away', () => {
    expect(ended([{ out: 1 }], [{ out: 1, states: over }])).toEqual([[40_000, 7, 1, 0]]);
    expect(ended([{ in: 1 }], [{ in: 1, states: reset }])).toEqual([[40_000, 8, 0, 1]]);
    expect(ended([{ out: 1, states: over }], [{ out: 1, states: over }])).toEqual([]);
    expect(ended([{ out: 1, states: over }], [])).toEqual([]);
  });

  it('tells what has gone, what began and ended in between, and what began anew', () => {
    expect(ended([{ out: 1 }, { protocol: 'udp', sourcePort: 7, in: 1 }], [])).toEqual([[40_000, 3, 1, 0], [7, 0, 0, 1]]);
    expect(ended([], [{ out: 1, states: reset }])).toEqual([[40_000, 8, 1, 0]]);
    expect(ended([{ out: 1, states: over }], [{ out: 1 }])).toEqual([]);
  });

  it('tells nothing of rules that nobody watches', () => {
    expect(ended([{ out: 2 }, { in: 3, sourcePort: 1 }], [{ out: 2, states: over }])).toEqual([]);
    expect(endedBetween(flowsOf({ out: 1 }), flowsOf(), new Set())).toEqual([]);
  });

  it('over any history, each connection is told as often as it ended', () => {
    // Per step and connection: absent, alive, over. From alive to absent or over, and from absent to over, is one end.
    fc.assert(fc.property(fc.array(fc.array(fc.constantFrom('absent', 'alive', 'over'), { minLength: 4, maxLength: 4 }), { minLength: 2, maxLength: 8 }), (steps) => {
      const dumps = steps.map((states) => flowsOf(...states.flatMap((state, n): TrackerLine[] => (state === 'absent' ? [] : [{ out: 1, sourcePort: n + 1, ...(state === 'over' ? { states: over } : {}) }]))));
      const told = [0, 0, 0, 0];
      const expected = [0, 0, 0, 0];
      for (let step = 1; step < steps.length; step += 1) {
        const [before, after] = [dumps[step - 1], dumps[step]];
        if (before === undefined || after === undefined) throw new Error('unreachable');
        for (const { sourcePort } of endedBetween(before, after, watched)) told[sourcePort - 1] = (told[sourcePort - 1] ?? 0) + 1;
        for (let n = 0; n < 4; n += 1) {
          const [was, is] = [steps[step - 1]?.[n], steps[step]?.[n]];
          if ((was === 'alive' && is !== 'alive') || (was === 'absent' && is === 'over')) expected[n] = (expected[n] ?? 0) + 1;
        }
      }
      expect(told).toEqual(expected);
    }));
  });
});
