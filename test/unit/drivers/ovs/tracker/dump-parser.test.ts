import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TRACKER_TCP_STATES, WORD, tupleText } from '../../../../../src/drivers/ovs/tracker/connection-table.js';
import type { TrackedConnection, TrackedTuple } from '../../../../../src/drivers/ovs/tracker/connection-table.js';
import { ConnectionDumpParser } from '../../../../../src/drivers/ovs/tracker/dump-parser.js';
import { v4ToText, v6ToText } from '../../../../../src/model/address.js';

const NAMES: Readonly<Record<number, string>> = { 1: 'icmp', 2: 'igmp', 6: 'tcp', 17: 'udp', 33: 'dccp', 58: 'icmpv6', 132: 'sctp', 136: 'udplite' };

function parse(text: string | Uint8Array, cuts: readonly number[] = []): { connections: TrackedConnection[]; malformed: number } {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const parser = new ConnectionDumpParser();
  let begin = 0;
  for (const place of [...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((left, right) => left - right), bytes.length]) {
    parser.push(bytes.subarray(begin, place));
    begin = place;
  }
  const table = parser.end();
  const connections = Array.from({ length: table.length }, (_none, index) => table.connection(index)).filter((connection) => connection !== undefined);
  return { connections, malformed: parser.malformed };
}

function tupleLine(tuple: TrackedTuple, protocol: number, counters?: { packets: number; bytes: number }): string {
  const ports = protocol === 1 || protocol === 58 ? `id=${tuple.sourcePort},type=${tuple.destinationPort >> 8},code=${tuple.destinationPort & 0xff}` : `sport=${tuple.sourcePort},dport=${tuple.destinationPort}`;
  return `(src=${tuple.source},dst=${tuple.destination},${ports}${counters === undefined ? '' : `,packets=${counters.packets},bytes=${counters.bytes}`})`;
}

/** As ct_dpif_format_entry() of lib/ct-dpif.c writes it, with -m and -s. */
function lineOf(one: TrackedConnection): string {
  const { zone, mark, label, tcpState, counters, protocol } = one;
  return [
    `${NAMES[protocol] ?? protocol},orig=${tupleLine(one.original, protocol, counters?.original)},reply=${tupleLine(one.reply, protocol, counters?.reply)},id=0`,
    zone === 0 ? '' : `,zone=${zone}`, `,status=0,timeout=${one.timeoutSeconds}`,
    mark === 0 ? '' : `,mark=${mark}`, label === 0n ? '' : `,labels=0x${label.toString(16)}`,
    tcpState === undefined ? '' : `,protoinfo=(state_orig=${tcpState.original},state_reply=${tcpState.reply},wscale_orig=7,wscale_reply=7,flags_orig=WINDOW_SCALE|SACK_PERM,flags_reply=WINDOW_SCALE)`,
  ].join('');
}

const address = (family: 4 | 6): fc.Arbitrary<string> => {
  const half = fc.oneof(fc.constantFrom(0n, 1n, 0xffff_0000_0000_0000n), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
  return family === 4 ? fc.nat(0xffff_ffff).map(v4ToText) : fc.tuple(half, half).map(([high, low]) => v6ToText(high, low));
};
const tuple = (family: 4 | 6): fc.Arbitrary<TrackedTuple> => fc.record({ source: address(family), destination: address(family), sourcePort: fc.nat(65_535), destinationPort: fc.nat(65_535) });
const state = fc.constantFrom(...TRACKER_TCP_STATES);
const count = fc.record({ packets: fc.integer({ min: 1, max: 2 ** 40 }), bytes: fc.nat(2 ** 30) });
const connection: fc.Arbitrary<TrackedConnection> = fc.tuple(fc.constantFrom<4 | 6>(4, 6), fc.constantFrom(1, 2, 6, 17, 33, 58, 132, 136, 47, 255)).chain(([family, protocol]) =>
  fc.record({
    family: fc.constant(family), protocol: fc.constant(protocol), zone: fc.nat(65_535), original: tuple(family), reply: tuple(family), mark: fc.nat(0xffff_ffff),
    label: fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), timeoutSeconds: fc.nat(86_400), startMs: fc.constant(0),
    tcpState: protocol === 6 ? fc.record({ original: state, reply: state }) : fc.constant(undefined),
    counters: fc.option(fc.record({ original: count, reply: count }), { nil: undefined }),
  }).map(({ tcpState, counters, ...rest }) => ({ ...rest, ...(tcpState === undefined ? {} : { tcpState }), ...(counters === undefined ? {} : { counters }) })),
);

describe('ConnectionDumpParser', () => {
  it('reads every connection back, wherever the text is cut', () => {
    fc.assert(
      fc.property(fc.array(connection, { maxLength: 8 }), fc.array(fc.nat(5_000), { maxLength: 8 }), fc.boolean(), (connections, cuts, ended) => {
        const text = connections.map(lineOf).join('\n') + (ended && connections.length > 0 ? '\n' : '');
        expect(parse(text, cuts)).toEqual({ connections, malformed: 0 });
      }),
      { numRuns: 500 },
    );
  });

  it('ends for any text, and counts each line once', () => {
    const line = fc.oneof(
      fc.string({ maxLength: 80 }),
      fc.tuple(connection, fc.nat(), fc.constantFrom('', ')', '(', '=', ',', ':', 'x', '99999999999999999999999')).map(([one, at, piece]) => {
        const text = lineOf(one);
        return text.slice(0, at % text.length) + piece + text.slice((at % text.length) + 1);
      }),
    );
    fc.assert(
      fc.property(fc.array(line.map((text) => text.replaceAll('\n', ' ')), { maxLength: 6 }), fc.array(fc.nat(600), { maxLength: 4 }), (lines, cuts) => {
        const { connections, malformed } = parse(lines.join('\n'), cuts);
        expect(connections.length + malformed).toBe(lines.filter((text) => text !== '').length);
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads what OVS 3.1 printed', () => {
    const text = [
      'udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=35069,dport=53),reply=(src=10.0.0.2,dst=10.0.0.1,sport=53,dport=35069),id=0,zone=7,status=0,timeout=58,mark=5,labels=0x1122334455667788aabbccdd00112233',
      'tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=43230,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=43230),zone=7,mark=5,labels=0x5,protoinfo=(state=ESTABLISHED)',
      '',
    ].join('\n');
    const parser = new ConnectionDumpParser();
    parser.push(Buffer.from(text));
    const table = parser.end();
    expect([table.length, parser.malformed, table.bytes < 200_000]).toEqual([2, 0, true]);
    expect(table.connection(0)).toEqual({
      family: 4, protocol: 17, zone: 7, mark: 5, label: 0x1122334455667788aabbccdd00112233n, timeoutSeconds: 58, startMs: 0,
      original: { source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 35_069, destinationPort: 53 },
      reply: { source: '10.0.0.2', destination: '10.0.0.1', sourcePort: 53, destinationPort: 35_069 },
    });
    expect([0, 1, 2, 3].map((n) => table.labelWord(0, n))).toEqual([0x00112233, 0xaabbccdd, 0x55667788, 0x11223344]);
    expect([table.zone(1), table.protocol(1), table.family(1), table.address(1, WORD.replySource), table.word(1, WORD.mark)]).toEqual([7, 6, 4, '10.0.0.2', 5]);
    expect(table.connection(1)?.tcpState).toEqual({ original: 'ESTABLISHED', reply: 'ESTABLISHED' });
    expect([table.connection(-1), table.connection(2)]).toEqual([undefined, undefined]);
  });

  it('reads start times and counters of the kernel\'s tracker, and forgets them for the next connection', () => {
    const [one, two] = parse([
      'tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2,packets=3,bytes=400),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1,packets=5,bytes=600),start=2026-01-02T03:04:05.678,id=77,status=SEEN_REPLY|ASSURED|CONFIRMED,timeout=9,protoinfo=(state_orig=SYN_SENT,state_reply=CLOSED),helper=ftp,parent=(src=1.1.1.1,dst=2.2.2.2,sport=7,dport=8)',
      'udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1),id=78,timeout=9',
    ].join('\n')).connections;
    expect(one).toMatchObject({ counters: { original: { packets: 3, bytes: 400 }, reply: { packets: 5, bytes: 600 } }, startMs: new Date(2026, 0, 2, 3, 4, 5, 678).getTime(), original: { source: '10.0.0.1', sourcePort: 1 }, tcpState: { original: 'SYN_SENT', reply: 'CLOSED' } });
    expect([two?.counters, two?.startMs, two?.tcpState]).toEqual([undefined, 0, undefined]);
  });

  it.each([
    'tcp', 'tcp,', 'tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2)', 'nosuch,orig=(src=1.1.1.1,dst=1.1.1.1),reply=(src=1.1.1.1,dst=1.1.1.1)',
    '256,orig=(src=1.1.1.1,dst=1.1.1.1),reply=(src=1.1.1.1,dst=1.1.1.1)', 'tcp,orig=(src=1.1.1.1,dst=fd00::1),reply=(src=1.1.1.1,dst=1.1.1.1)',
    'tcp,orig=(src=1.1.1.256,dst=1.1.1.1),reply=(src=1.1.1.1,dst=1.1.1.1)', 'tcp,orig=(src=1.1.1,dst=1.1.1.1),reply=(src=1.1.1.1,dst=1.1.1.1)',
    'tcp,orig=(src=1::2::3,dst=::),reply=(src=::,dst=::)', 'tcp,orig=(src=1:2:3:4:5:6:7,dst=::),reply=(src=::,dst=::)', 'tcp,orig=(src=12345::,dst=::),reply=(src=::,dst=::)', 'tcp,orig=(src=1:,dst=::),reply=(src=::,dst=::)',
    'tcp,orig=(src=::,dst=::,sport=65536,dport=1),reply=(src=::,dst=::)', 'tcp,orig=(src=::,dst=::),reply=(src=::,dst=::),labels=0x123456789012345678901234567890123', 'tcp,orig=(src=::,dst=::),reply=(src=::,dst=::),mark=4294967296',
  ])('leaves %j out', (line) => {
    const good = 'udp,orig=(src=::1,dst=::ffff:1.2.3.4,sport=1,dport=2),reply=(src=::ffff:1.2.3.4,dst=::1,sport=2,dport=1),timeout=1';
    expect(parse(`${line}\n${good}\n`)).toMatchObject({ malformed: 1, connections: [{ family: 6, original: { source: '::1', destination: '::ffff:102:304', sourcePort: 1, destinationPort: 2 } }] });
  });

  it('skips a line without end and goes on behind it', () => {
    const good = 'udp,orig=(src=::1,dst=::2,sport=1,dport=2),reply=(src=::2,dst=::1,sport=2,dport=1),timeout=1';
    expect(parse(`${'x'.repeat(50_000)}\n${good}`, [100, 20_000, 49_000])).toMatchObject({ malformed: 1, connections: [{ timeoutSeconds: 1 }] });
  });

  it('reads 100,000 connections in a moment', () => {
    const lines = Array.from({ length: 100_000 }, (_none, index) =>
      lineOf({ family: 4, protocol: 6, zone: 7, mark: 5, label: 1n << 127n, timeoutSeconds: 86_398, startMs: 0, tcpState: { original: 'ESTABLISHED', reply: 'ESTABLISHED' },
        original: { source: v4ToText(0x0a00_0000 + index), destination: '10.0.0.2', sourcePort: index & 0xffff, destinationPort: 80 },
        reply: { source: '10.0.0.2', destination: v4ToText(0x0a00_0000 + index), sourcePort: 80, destinationPort: index & 0xffff } }));
    const bytes = Buffer.from(lines.join('\n'));
    const times = Array.from({ length: 3 }, () => {
      const begun = performance.now();
      const parser = new ConnectionDumpParser();
      for (let at = 0; at < bytes.length; at += 65_536) parser.push(bytes.subarray(at, at + 65_536));
      expect(parser.end()).toHaveLength(100_000);
      return performance.now() - begun;
    });
    // 0.2 s on a quiet machine.
    expect(Math.min(...times)).toBeLessThan(1_500);
  });
});

describe('tupleText', () => {
  it('writes what dpctl/flush-conntrack reads', () => {
    const [one, two] = parse('tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1),timeout=1\nicmpv6,orig=(src=fd00::1,dst=fd00::2,id=9,type=128,code=0),reply=(src=fd00::2,dst=fd00::1,id=9,type=129,code=0),timeout=1').connections;
    if (one === undefined || two === undefined) throw new Error('not two connections');
    expect(tupleText(one)).toBe('ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=6,ct_tp_src=1,ct_tp_dst=2');
    expect(tupleText(two)).toBe('ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::2,ct_nw_proto=58,icmp_type=128,icmp_code=0,icmp_id=9');
  });
});
