/** FlowTable against the real conntrack: labelled connections forwarded by a router namespace, and tables filled by ctnetlink. */
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { FlowFormat } from '../../src/native/binding.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';
import { fillConntrack, FlowTableProcess, IN_RULE, labelStatements, NativeCallFailed, NOT_APPLICABLE, OTHER_RULE, OUT_RULE, prepareRouter, setForwardRules } from './flow-world.js';

const BOTH_WORDS = `ct state new ${labelStatements(2, OUT_RULE)} ${labelStatements(3, IN_RULE)}`;
const PING = fileURLToPath(new URL('children/ping.py', import.meta.url));
const text: FlowFormat = { kind: 'text', labelIds: Uint32Array.of(OUT_RULE, IN_RULE), ruleIds: Uint32Array.of(1005, 1006) };
const json: FlowFormat = { ...text, kind: 'json' };

let world: World;
let traffic: Traffic;
let table: FlowTableProcess;
const left = () => world.workload(0);
const right = () => world.workload(1);
const conntrack = (...args: string[]): Promise<string> => mustRun(...inNetns(world.host, 'conntrack', args));

async function open(options: Parameters<FlowTableProcess['open']>[0] = {}): Promise<void> {
  table = new FlowTableProcess(world.host);
  world.cleanup.defer('flow table', () => table.stop());
  await table.open(options);
}
async function started(options: Parameters<FlowTableProcess['open']>[0] = {}): Promise<void> {
  await open(options);
  await table.call('start');
}
/** Connections of others, without a label: more than a dump is cheap for. */
const STRANGERS = 11_000;
const fillWithStrangers = (): Promise<void> => fillConntrack(world.host, String(STRANGERS), '--out', '0', '--in', '0');
const indexed = (count: number): Promise<true> =>
  eventually(`${count} flows in the index`, async () => ((await table.stats()).flows === count ? true : undefined), 10_000);
async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    if (error instanceof NativeCallFailed) return error.failure;
    throw error;
  }
  throw new Error('the call succeeded');
}

beforeEach(async () => {
  world = await createWorld({ workloads: 2 });
  traffic = await startTraffic(world);
});
afterEach(() => world.close());

describe('attribution', () => {
  test('a TCP connection behind DNAT carries both rule ids, both destinations and fresh counters', async () => {
    await prepareRouter(world.host, [BOTH_WORDS]);
    await fillWithStrangers();
    await mustRun(...inNetns(world.host, 'nft', ['-f', '-']), {
      input: `table ip nat {\n chain pre {\n  type nat hook prerouting priority -100\n  ip daddr 10.99.0.1 tcp dport 80 dnat to ${right().ipv4}:8080\n }\n}\n`,
    });
    await started();
    await traffic.listen(right().netns, 8080, 'tcp');
    const connection = await traffic.connect({ netns: left().netns, destination: '10.99.0.1', port: 80 });
    expect(connection.state).toBe('open');
    await indexed(1);
    await connection.send();
    const [flow, ...others] = await eventually('the echo is counted', async () => {
      const flows = await table.query({ addresses: [right().ipv4] });
      return (flows[0]?.packets.reply ?? 0) >= 2 ? flows : undefined;
    });
    expect(others).toEqual([]);
    expect(flow).toMatchObject({
      family: 4, protocol: 6, source: left().ipv4, sourcePort: connection.localPort, destination: right().ipv4, destinationPort: 8080,
      originalDestination: '10.99.0.1', originalDestinationPort: 80, ruleIdOut: OUT_RULE, ruleIdIn: IN_RULE, tcpState: 3,
    });
    expect(flow?.bytes.original).toBeGreaterThan(3 * 52);
    expect(Math.abs(Date.now() - (flow?.startMs ?? 0))).toBeLessThan(30_000);
    // The client asked 10.99.0.1, but the endpoint is the workload: that is what has a filter.
    expect(await table.call('countByAddress', ['10.99.0.1'])).toBe(0);
    expect(await table.call('countByAddress', [left().ipv4, right().ipv4])).toBe(2);
  });

  // A small table is dumped to answer; in a larger one the index names the flows and each is read by its tuple.
  test.each(['small', 'large'])('every protocol and family in a %s table: query reads it back and the listing names it', async (size) => {
    await prepareRouter(world.host, [BOTH_WORDS]);
    if (size === 'large') await fillWithStrangers();
    await started();
    await traffic.listen(right().netns, 22, 'tcp', right().ipv6);
    await traffic.listen(right().netns, 53, 'udp', right().ipv4);
    const ssh = await traffic.connect({ netns: left().netns, destination: right().ipv6, port: 22 });
    expect(ssh.state).toBe('open');
    expect(await traffic.asks({ netns: left().netns, destination: right().ipv4, port: 53, sourcePort: 40_053 })).toBe(true);
    await mustRun(...inNetns(left().netns, 'python3', [PING, right().ipv4, '77']));
    await mustRun(...inNetns(left().netns, 'python3', [PING, right().ipv6, '78']));
    await indexed(4);

    const flows = await table.query({ ruleIds: Uint32Array.of(IN_RULE) });
    expect(flows.map((flow) => `${flow.family} ${flow.protocol} ${flow.destinationPort}`).toSorted()).toEqual(['4 1 2048', '4 17 53', '6 58 32768', '6 6 22']);

    const { text: listing, count } = await table.stream({ addresses: [right().ipv4, right().ipv6] }, { ...text, localAddresses: [right().ipv4, right().ipv6] });
    expect(count).toBe(4);
    const shapes = listing.split('\n').map((line) => line.replace(/^[0-9a-f]{8}0{8} /, 'ID ').replace(/ \d+ (EST|-) \d+ \d+ \d+ \d+$/, ' AGE $1 COUNTERS'));
    expect(shapes.toSorted()).toEqual([
      '',
      `ID Active icmp 0800 1 1006 0 0  ${left().ipv4}:icmp(77) ${right().ipv4}:icmp(8.0) AGE - COUNTERS`,
      `ID Active ipv6-icmp 86dd 1 1006 0 0  fd10::2:icmp(78) ${right().ipv6}:icmp(128.0) AGE - COUNTERS`,
      `ID Active tcp 86dd 1 1006 0 0  fd10::2:Unknown(${ssh.localPort}) ${right().ipv6}:ssh(22) AGE EST COUNTERS`,
      `ID Active udp 0800 1 1006 0 0  ${left().ipv4}:Unknown(40053) ${right().ipv4}:domain(53) AGE - COUNTERS`,
    ]);
    // The other filter of the same connections: direction out, its own rule.
    const outgoing = await table.stream({ addresses: [left().ipv4] }, { ...json, localAddresses: [left().ipv4] });
    const views: unknown = JSON.parse(`[${outgoing.text}]`);
    expect(views).toHaveLength(2);
    expect(views).toContainEqual(expect.objectContaining({
      state: 'Active', protocol: 'udp', ethertype: '0800', direction: 'out', ruleId: 1005, source: { address: left().ipv4, port: 40_053 },
      destination: { address: right().ipv4, port: 53 }, tcpState: '', packets: { original: 1, reply: 1 },
    }));
    // Each label's span of the policies' text, when it has one; one that reaches outside names none. Text has no column for it.
    const encoded = new TextEncoder().encode('{"kind":"é"}{"kind":"in"}');
    for (const [spans, policies] of [[[0, 13, 13, 26], ['é', 'in']], [[0, 13, 7, 7], ['é', undefined]], [[0, 27, 26, 13], [undefined, undefined]], [[0, 13], ['é', undefined]]] as const) {
      const asked = { ...json, labelIds: Uint32Array.of(OUT_RULE, IN_RULE), ruleIds: Uint32Array.of(1005, 1006), policies: { text: encoded, spans: Uint32Array.from(spans) } };
      for (const [index, ids] of [OUT_RULE, IN_RULE].entries()) {
        const answer: { policy?: { kind: string } }[] = JSON.parse(`[${(await table.stream({ ruleIds: Uint32Array.of(ids) }, asked)).text}]`);
        expect(new Set(answer.map(({ policy }) => policy?.kind))).toEqual(new Set([policies[index]]));
      }
    }
  });

  test('without filters asked, one line a side, in first; not-applicable sides and stale ids', async () => {
    await prepareRouter(world.host, []);
    await fillConntrack(world.host, '1', '--out', String(OUT_RULE), '--in', String(IN_RULE));
    await fillConntrack(world.host, '1', '--first', '1', '--out', String(NOT_APPLICABLE), '--in', String(OTHER_RULE));
    await fillConntrack(world.host, '1', '--first', '2', '--out', String(NOT_APPLICABLE), '--in', '0');
    await fillConntrack(world.host, '1', '--first', '3', '--out', '0', '--in', '0');
    await started();
    expect((await table.stats()).flows).toBe(2); // the last two have no rule
    const { text: listing, count } = await table.stream({}, text);
    expect(count).toBe(3);
    const columns = listing.trimEnd().split('\n').map((line) => line.split(' ').slice(4, 6).join(' '));
    expect(columns.toSorted()).toEqual(['1 0', '1 1006', '2 1005']); // OTHER_RULE has no visible id: 0
    const both = listing.split('\n').filter((line) => line.includes('100.64.0.0:Unknown(1024)')).map((line) => line.split(' ')[4]);
    expect(both).toEqual(['1', '2']);
    // Asked for one rule, only the side it admitted.
    expect((await table.stream({ ruleIds: Uint32Array.of(OUT_RULE) }, text)).text).toMatch(/^[0-9a-f]{16} Active tcp 0800 2 1005 [^\n]*\n$/);
  });

  test('connections in a conntrack zone are read and swept by zone', async () => {
    await prepareRouter(world.host, [BOTH_WORDS]);
    await fillWithStrangers();
    await mustRun(...inNetns(world.host, 'nft', ['-f', '-']), { input: 'table inet zones {\n chain pre {\n  type filter hook prerouting priority -300\n  ct zone set 7\n }\n}\n' });
    await started();
    await traffic.listen(right().netns, 5000, 'udp', right().ipv4);
    expect(await traffic.asks({ netns: left().netns, destination: right().ipv4, port: 5000 })).toBe(true);
    await indexed(1);
    expect(await table.query({})).toMatchObject([{ protocol: 17, destinationPort: 5000, ruleIdOut: OUT_RULE }]);
    expect(await table.call('sweepLabels', { ids: Uint32Array.of(OUT_RULE), known: Uint32Array.of(IN_RULE) })).toEqual({ scanned: STRANGERS + 1, cleared: 1 });
    expect(await table.query({})).toMatchObject([{ ruleIdOut: 0, ruleIdIn: IN_RULE }]);
  });
});

describe('the life of a connection', () => {
  test('ended connections are reported for the watched ids only, and stay in the totals', async () => {
    await prepareRouter(world.host, [`udp dport 5001 ${BOTH_WORDS}`, `udp dport 5002 ct state new ${labelStatements(3, OTHER_RULE)}`]);
    await started();
    await table.call('watchEnds', Uint32Array.of(IN_RULE));
    for (const port of [5001, 5002]) {
      await traffic.listen(right().netns, port, 'udp', right().ipv4);
      expect(await traffic.asks({ netns: left().netns, destination: right().ipv4, port, sourcePort: 41_000 + port })).toBe(true);
    }
    await indexed(2);
    const [live, again] = await Promise.all([1, 2].map(() => table.call<{ ids: number[]; connections: number[]; packets: number[] }>('ruleTotals')));
    if (live === undefined) throw new Error('unreachable');
    expect(again).toEqual(live);
    await conntrack('-F');
    await indexed(0);
    expect(await eventually('the end is reported', async () => {
      const ended = await table.ended();
      return ended.length > 0 ? ended : undefined;
    })).toEqual([expect.objectContaining({
      ruleIdOut: OUT_RULE, ruleIdIn: IN_RULE, protocol: 17, source: left().ipv4, destination: right().ipv4, sourcePort: 46_001, destinationPort: 5001,
      tcpState: 0, packets: { original: 1, reply: 1 },
    })]);
    expect(await table.call('ruleTotals')).toEqual(live);
    expect(Object.fromEntries(live.ids.map((id, i) => [id, [live.connections[i], live.packets[i]]]))).toEqual({ [OUT_RULE]: [1, 2], [IN_RULE]: [1, 2], [OTHER_RULE]: [1, 2] });
  });

  test.each(['small', 'large'])('in a %s table a swept word is cleared alone, the flow stays, and the id of its next packet is followed', async (size) => {
    await prepareRouter(world.host, [BOTH_WORDS]);
    if (size === 'large') await fillWithStrangers();
    await started();
    await traffic.listen(right().netns, 7000, 'tcp');
    const connection = await traffic.connect({ netns: left().netns, destination: right().ipv4, port: 7000 });
    await indexed(1);
    await connection.send();
    await eventually('the echo', async () => ((await connection.stats()).echoed === 1 ? true : undefined));
    // No packet may come between the sweep and the look at its result: the rules only label again after it.
    expect(await table.call('sweepLabels', { ids: new Uint32Array(), known: Uint32Array.of(OUT_RULE) })).toMatchObject({ cleared: 1 });
    expect(await table.query({})).toMatchObject([{ ruleIdOut: OUT_RULE, ruleIdIn: 0 }]);
    expect((await table.stream({ addresses: [right().ipv4] }, { ...text, localAddresses: [right().ipv4] })).text).toMatch(/ tcp 0800 1 0 0 0 {2}/);
    await setForwardRules(world.host, [labelStatements(3, OTHER_RULE)]);
    await connection.send();
    await eventually('the new id', async () => ((await table.query({ ruleIds: Uint32Array.of(OTHER_RULE) })).length === 1 ? true : undefined));
    expect(await table.query({ ruleIds: Uint32Array.of(IN_RULE) })).toEqual([]);
    expect((await table.stats()).flows).toBe(1);
  });

  test.each(['small', 'large'])('in a %s table an idle connection that lost both ids stays listed, and its end names the last ones', async (size) => {
    await prepareRouter(world.host, [BOTH_WORDS]);
    if (size === 'large') await fillWithStrangers();
    await started();
    await table.call('watchEnds', Uint32Array.of(IN_RULE));
    await traffic.listen(right().netns, 7002, 'udp', right().ipv6);
    expect(await traffic.asks({ netns: left().netns, destination: right().ipv6, port: 7002 })).toBe(true);
    await indexed(1);
    expect(await table.call('sweepLabels', { ids: Uint32Array.of(IN_RULE, OUT_RULE), known: new Uint32Array() })).toMatchObject({ cleared: 1 });
    expect(await table.query({ addresses: [left().ipv6] })).toMatchObject([{ protocol: 17, ruleIdOut: 0, ruleIdIn: 0 }]);
    expect((await table.stream({ addresses: [right().ipv6] }, { ...text, localAddresses: [right().ipv6] })).text).toMatch(/^[0-9a-f]{16} Active udp 86dd 1 0 0 0 {2}/);
    expect(await table.call('countByAddress', [right().ipv6])).toBe(1);
    await conntrack('-D', '-f', 'ipv6');
    await indexed(0);
    expect(await eventually('the end', async () => {
      const ended = await table.ended();
      return ended.length > 0 ? ended : undefined;
    })).toMatchObject([{ ruleIdOut: OUT_RULE, ruleIdIn: IN_RULE, destination: 'fd10::1:2', destinationPort: 7002 }]);
  });

  test('a connection that gets its first label late is indexed then', async () => {
    await prepareRouter(world.host, [`udp dport 1 ${BOTH_WORDS}`]);
    await started();
    await traffic.listen(right().netns, 7001, 'tcp');
    const connection = await traffic.connect({ netns: left().netns, destination: right().ipv4, port: 7001 });
    expect(connection.state).toBe('open');
    expect(await table.query({})).toEqual([]);
    await setForwardRules(world.host, [labelStatements(3, IN_RULE)]);
    await connection.send();
    await eventually('the flow', async () => ((await table.query({ ruleIds: Uint32Array.of(IN_RULE) })).length === 1 ? true : undefined));
    await indexed(1); // by an audit
    expect(await table.query({})).toMatchObject([{ ruleIdOut: 0, ruleIdIn: IN_RULE, destinationPort: 7001 }]);
  });

  test('lost events are counted and made good by a dump', async () => {
    await prepareRouter(world.host, []);
    await started({ receiveBuffer: 65_536, drainIntervalMs: 1_500 });
    await fillConntrack(world.host, '20000', '--in', String(IN_RULE));
    await indexed(20_000);
    const stats = await table.stats();
    expect(stats.lost).toBeGreaterThan(0);
    expect(stats.resyncs).toBeGreaterThan(0);
    expect(await table.call('countByAddress', ['10.200.0.2'])).toBe(200);
  });

  test('entries whose end made no event leave the index with the next dump', async () => {
    await prepareRouter(world.host, []);
    await mustRun(...inNetns(world.host, 'sysctl', ['-qw', 'net.netfilter.nf_conntrack_events=0']));
    await fillConntrack(world.host, '500', '--in', String(IN_RULE));
    await mustRun(...inNetns(world.host, 'sysctl', ['-qw', 'net.netfilter.nf_conntrack_events=1']));
    await fillConntrack(world.host, '300', '--first', '1000', '--in', String(IN_RULE), '--family', '6', '--protocol', 'sctp');
    await started();
    const before = await table.stats();
    expect(before.flows).toBe(800);
    await conntrack('-D', '-f', 'ipv4');
    expect(await table.query({ addresses: ['10.200.0.2'] })).toEqual([]); // read fresh: gone ones are left out
    await table.call('sweepLabels', { ids: new Uint32Array(), known: Uint32Array.of(IN_RULE) });
    expect(await table.stats()).toMatchObject({ flows: 300, events: before.events });
    expect(await table.query({ addresses: ['fd00:200::2'], limit: 1 })).toMatchObject([{ family: 6, protocol: 132, destination: 'fd00:200::2' }]);
  });
});

describe('many connections', () => {
  const COUNT = 20_000;
  beforeEach(async () => {
    await prepareRouter(world.host, []);
    await fillConntrack(world.host, String(COUNT), '--hosts', '40', '--out', String(NOT_APPLICABLE), '--in', `${IN_RULE},${OTHER_RULE}`);
    await started();
  });

  test('a slow reader holds the producer: one chunk at a time, nothing missing', async () => {
    const result = await table.stream({}, text, { delayMs: 20 });
    expect(result.count).toBe(COUNT);
    expect(result.mostWaiting).toBe(1); // the next chunk comes when the one before is settled
    expect(result.chunks).toBeGreaterThan(5);
    expect(result.largest).toBeLessThan(300_000);
    expect(new Set(result.text.trimEnd().split('\n')).size).toBe(COUNT);
    expect(result.text.endsWith('\n')).toBe(true);
  });

  test('JSON chunks join to one array', async () => {
    const result = await table.stream({}, json);
    const flows: unknown = JSON.parse(`[${result.text}]`);
    expect(flows).toHaveLength(COUNT);
    expect(result.chunks).toBeGreaterThan(10);
  });

  test('selections: one address of many, one rule of two, a limit', async () => {
    expect(await table.call('countByAddress', ['10.200.0.9'])).toBe(COUNT / 40);
    expect((await table.stream({ addresses: ['10.200.0.9'] }, { ...text, localAddresses: ['10.200.0.9'] })).count).toBe(COUNT / 40);
    expect((await table.stream({ ruleIds: Uint32Array.of(OTHER_RULE) }, text)).count).toBe(COUNT / 2);
    expect((await table.stream({ limit: 7 }, text)).text.trimEnd().split('\n')).toHaveLength(7);
    expect(await table.stream({ addresses: ['192.0.2.1'] }, text)).toMatchObject({ count: 0, text: '' });
    expect(await table.query({ limit: 3 })).toHaveLength(3);
  });

  test('refusals: too many for objects, no address, a reader that fails, a second start', async () => {
    expect(await failure(table.query({}))).toMatchObject({ code: 'E2BIG', errno: 7 });
    expect(await failure(table.query({ addresses: ['10.0.0.0/8'] }))).toMatchObject({ code: 'EINVAL' });
    expect(await failure(table.stream({}, text, { failAt: 2 }))).toMatchObject({ message: 'the reader has gone' });
    expect(await failure(table.call('start'))).toMatchObject({ code: 'EALREADY' });
  });

  test('sweeping an id clears every flow that has it and no other', async () => {
    expect(await table.call('sweepLabels', { ids: Uint32Array.of(OTHER_RULE), known: Uint32Array.of(IN_RULE, OTHER_RULE) })).toEqual({ scanned: COUNT, cleared: COUNT / 2 });
    expect((await table.stream({ ruleIds: Uint32Array.of(IN_RULE) }, text)).count).toBe(COUNT / 2);
    expect((await table.stream({ ruleIds: Uint32Array.of(OTHER_RULE) }, text)).count).toBe(0);
  });

  test('stop ends a running stream; the table starts again', async () => {
    const running = failure(table.stream({}, text, { delayMs: 50 }));
    await table.call('stop');
    expect(await running).toMatchObject({ code: 'ECANCELED' });
    expect((await table.stats()).flows).toBe(0);
    await table.call('start');
    expect((await table.stats()).flows).toBe(COUNT);
  });

  test('the process ends by itself in the middle of everything', async () => {
    await table.call('watchEnds', Uint32Array.of(IN_RULE));
    await expect(table.call('exitDuringStream', {}, text)).rejects.toThrow(/ended \(0\)/);
  });
});
