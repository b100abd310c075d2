/** Flows that the caller has come out as those of the kernel do; and a flow table that looks at one zone only. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TrackerFlows } from '../../src/drivers/ovs/tracker/tracker-flows.js';
import { PACKED_FLOW as AT, PACKED_FLOW_WORDS, type FlowFormat, type FlowRecord, type PackedFlows } from '../../src/native/binding.js';
import { loadNative } from '../../src/native/load.js';
import { v4FromText, v6Words } from '../../src/model/address-text.js';
import { createWorld, type World } from '../support/netns.js';
import { TEST_ZONE, trackerTable, type TrackerLine } from '../support/tracker-lines.js';
import { fillConntrack, FlowTableProcess, IN_RULE, NOT_APPLICABLE, OTHER_RULE, OUT_RULE, prepareRouter, type StreamResult } from './flow-world.js';

const text: FlowFormat = { kind: 'text', labelIds: Uint32Array.of(OUT_RULE, IN_RULE), ruleIds: Uint32Array.of(1005, 1006) };
const json: FlowFormat = {
  ...text, kind: 'json', policies: { text: new TextEncoder().encode('{"kind":"é"}'), spans: Uint32Array.of(0, 13, 0, 0) },
};

/** The records as numbers. */
function packed(records: readonly FlowRecord[]): PackedFlows {
  const words = new Uint32Array(records.length * PACKED_FLOW_WORDS);
  const numbers = new Float64Array(records.length * 5);
  for (const [index, record] of records.entries()) {
    const put = (at: number, value: number): void => {
      words[index * PACKED_FLOW_WORDS + at] = value;
    };
    const address = (at: number, value: string): void => (record.family === 4 ? [v4FromText(value) ?? 0] : (v6Words(value) ?? [])).forEach((word, n) => put(at + n, word));
    address(AT.source, record.source);
    address(AT.originalDestination, record.originalDestination);
    address(AT.destination, record.destination);
    put(AT.ports, (record.sourcePort << 16) | record.originalDestinationPort);
    put(AT.kind, (record.destinationPort << 16) | (record.protocol << 8) | record.family);
    for (const [at, value] of [[AT.id, record.id], [AT.ruleOut, record.ruleIdOut], [AT.ruleIn, record.ruleIdIn], [AT.timeout, record.timeoutSeconds], [AT.tcpState, record.tcpState], [AT.status, record.status]] as const) put(at, value);
    numbers.set([record.packets.original, record.bytes.original, record.packets.reply, record.bytes.reply, record.startMs], index * 5);
  }
  return { count: records.length, words, numbers };
}

describe('beside the kernel', () => {
  let world: World;
  let table: FlowTableProcess;

  beforeEach(async () => {
    world = await createWorld({ workloads: 1, datapath: 'nftables' });
    table = new FlowTableProcess(world.host);
    world.cleanup.defer('flow table', () => table.stop());
    await prepareRouter(world.host, []);
  });
  afterEach(() => world.close());

  test('the same flows are the same bytes, text and JSON, whatever is asked', async () => {
    const both = ['--out', String(OUT_RULE), '--in', `${IN_RULE},${OTHER_RULE}`];
    await fillConntrack(world.host, '40', ...both);
    await fillConntrack(world.host, '40', '--family', '6', '--protocol', 'udp', ...both, '--timeout', '100000');
    await fillConntrack(world.host, '10', '--first', '100', '--protocol', 'sctp', '--out', '0', '--in', String(IN_RULE));
    await table.open({ notApplicableIds: new Uint32Array(0) });
    await table.call('start');
    const flows = packed(await table.query({}));
    expect(flows.count).toBe(90);
    const ours = (query: object, format: FlowFormat): Promise<StreamResult> => table.call('streamFlows', flows, query, format);
    // Time goes on between the two.
    const still = (lines: string): string[] => lines.replaceAll(/"timeoutSeconds":\d+/g, '').replaceAll(/"ageSeconds":\d+/g, '').replaceAll(/\) \d+ (EST|-) /g, ') AGE $1 ').split('\n').map((line) => line.replace(/,$/, '')).toSorted();
    for (const query of [{}, { addresses: ['100.64.0.0', 'fd64::'] }, { ruleIds: Uint32Array.of(IN_RULE) }, { addresses: ['10.200.0.3'], ruleIds: Uint32Array.of(OUT_RULE, OTHER_RULE) }, { ruleIds: Uint32Array.of(1) }]) {
      for (const format of [text, json, { ...json, localAddresses: ['100.64.0.0', '10.200.0.3', 'fd64::'] }]) {
        const kernel = await table.stream(query, format);
        const own = await ours(query, format);
        expect(own.count).toBe(kernel.count);
        expect(still(own.text)).toEqual(still(kernel.text));
      }
    }
    expect((await ours({}, text)).count).toBe(170);
    expect((await ours({ limit: 7 }, text)).text.trimEnd().split('\n').length).toBeLessThanOrEqual(8);
  });

  // A small table is dumped to answer, a larger one is not.
  test.each([0, 11_000])('a flow table of one zone sees none of other zones (and %i strangers)', async (strangers) => {
    if (strangers > 0) await fillConntrack(world.host, String(strangers), '--first', '5000', '--out', '0', '--in', '0');
    await fillConntrack(world.host, '5', '--zone', String(TEST_ZONE), '--out', String(OUT_RULE), '--in', '0');
    await fillConntrack(world.host, '7', '--out', String(OUT_RULE), '--in', String(IN_RULE));
    await fillConntrack(world.host, '9', '--zone', '4', '--out', String(OUT_RULE), '--in', String(NOT_APPLICABLE));
    await table.open({ zone: TEST_ZONE });
    await table.call('start');
    expect((await table.stats()).flows).toBe(5);
    expect((await table.query({})).length).toBe(5);
    expect((await table.query({ ruleIds: Uint32Array.of(OUT_RULE) })).length).toBe(5);
    expect((await table.stream({}, text)).count).toBe(5);
    expect((await table.stream({ ruleIds: Uint32Array.of(IN_RULE) }, text)).count).toBe(0);
    expect(await table.call('countByAddress', ['100.64.0.0'])).toBe(5);
    expect(await table.call('ruleTotals')).toMatchObject({ ids: [OUT_RULE], connections: [5] });
  });
});

describe('from a dump of the switch', () => {
  const native = loadNative({ sanitized: process.env['DFW_SANITIZED'] === '1' });
  const listed = async (lines: readonly TrackerLine[], format: FlowFormat, query = {}): Promise<string> => {
    const chunks: Uint8Array[] = [];
    await native.streamFlows(TrackerFlows.of(trackerTable(lines), TEST_ZONE).packed, query, format, (chunk) => void chunks.push(chunk));
    return Buffer.concat(chunks).toString('utf8');
  };
  const withoutIds = (lines: string): string => lines.replaceAll(/^[0-9a-f]{8}0{8} /gm, 'ID ');

  test('lines in the form of the kernel\'s flows: both sides, translated, ICMP, closed', async () => {
    expect(withoutIds(await listed([
      { out: OUT_RULE, in: IN_RULE, destination: '10.99.0.1', destinationPort: 80, answers: '10.0.0.9', answerPort: 8080 },
      { out: 7, protocol: 'icmpv6', source: 'fd00::1', destination: 'fd00::2', sourcePort: 77, destinationPort: 128 * 256 },
      { in: IN_RULE, protocol: 'udp', destinationPort: 53 },
      { in: IN_RULE, sourcePort: 5, states: ['FIN_WAIT_2', 'FIN_WAIT_2'] },
    ], text))).toBe([
      'ID Active tcp 0800 1 1006 0 0  10.0.0.1:Unknown(40000) 10.0.0.9:http-alt(8080) 0 EST 0 0 0 0',
      'ID Active tcp 0800 2 1005 0 0  10.0.0.1:Unknown(40000) 10.0.0.9:http-alt(8080) 0 EST 0 0 0 0',
      'ID Active ipv6-icmp 86dd 2 0 0 0  fd00::1:icmp(77) fd00::2:icmp(128.0) 0 - 0 0 0 0',
      'ID Active udp 0800 1 1006 0 0  10.0.0.1:Unknown(40000) 10.0.0.2:domain(53) 0 - 0 0 0 0',
      'ID InActive tcp 0800 1 1006 0 0  10.0.0.1:Unknown(5) 10.0.0.2:https(443) 0 TIME_WAIT 0 0 0 0',
      '',
    ].join('\n'));
  });

  test('JSON with the policy of the rule and the time left', async () => {
    expect(JSON.parse(`[${await listed([{ out: OUT_RULE, timeout: 86_399 }], json)}]`)).toEqual([expect.objectContaining({
      direction: 'out', ruleId: 1005, policy: { kind: 'é' }, timeoutSeconds: 86_399, ageSeconds: 0, tcpState: 'EST', source: { address: '10.0.0.1', port: 40_000 }, destination: { address: '10.0.0.2', port: 443 },
    })]);
    expect(await listed([], json)).toBe('');
  });

  test('many come in chunks, one after the other, and end with the reader', async () => {
    const { packed: flows } = TrackerFlows.of(trackerTable(Array.from({ length: 20_000 }, (_none, n) => ({ out: OUT_RULE, sourcePort: n + 1 }))), TEST_ZONE);
    let chunks = 0;
    let waiting = 0;
    let lines = 0;
    expect(await native.streamFlows(flows, {}, text, async (chunk) => {
      chunks += 1;
      waiting += 1;
      expect(waiting).toBe(1);
      lines += Buffer.from(chunk).toString('latin1').split('\n').length - 1;
      await new Promise((resolve) => setImmediate(resolve));
      waiting -= 1;
    })).toBe(20_000);
    expect([lines, chunks > 3]).toEqual([20_000, true]);
    await expect(native.streamFlows(flows, {}, text, () => Promise.reject(new Error('the reader has gone')))).rejects.toThrow('the reader has gone');
  });

  test('what does not fit together is refused', async () => {
    const words = new Uint32Array(PACKED_FLOW_WORDS);
    const none = (): void => undefined;
    for (const flows of [{ count: 2, words }, { count: -1, words }, { count: Number.NaN, words }, { count: 1, words, numbers: new Float64Array(4) }]) {
      await expect(native.streamFlows(flows, {}, text, none)).rejects.toMatchObject({ code: 'EINVAL' });
    }
    await expect(native.streamFlows({ count: 1, words }, { addresses: ['x'] }, text, none)).rejects.toMatchObject({ code: 'EINVAL' });
    expect(await native.streamFlows({ count: 0, words: new Uint32Array(0) }, {}, text, none)).toBe(0);
  });
});
