import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PACKET_RECORD_BYTES, type PacketRing, type PacketRingQuery } from '../../src/native/binding.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { NativeHost, type Remote, TestNamespace } from './native-host.js';

const MIB = 1024 * 1024;
const MAC = 'ffffffffffff020000000001';

/** Sends frames (hex), as they are, from an interface. */
const SENDER = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
`;

interface Kept { readonly frame: Buffer; readonly length: number; readonly timeNs: bigint }

function records(bytes: Uint8Array): Kept[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Kept[] = [];
  for (let at = 0; at < view.length;) {
    const size = view.readUInt32LE(at);
    const captured = view.readUInt32LE(at + 4);
    expect(size % 8).toBe(0);
    expect(size).toBeGreaterThanOrEqual(PACKET_RECORD_BYTES + captured);
    found.push({ frame: view.subarray(at + PACKET_RECORD_BYTES, at + PACKET_RECORD_BYTES + captured), length: view.readUInt32LE(at + 8), timeNs: view.readBigUInt64LE(at + 16) });
    at += size;
  }
  return found;
}
const hex = (value: number, bytes: number): string => value.toString(16).padStart(bytes * 2, '0');
const v4 = (text: string): string => text.split('.').map((part) => hex(Number(part), 1)).join('');
const ports = (source: number, destination: number): string => `${hex(source, 2)}${hex(destination, 2)}`;
/** IPv4; `fragment`: flags and offset. */
function ip4(from: string, to: string, protocol: number, rest: string, fragment = 0): string {
  return `${MAC}080045000000${hex(0, 2)}${hex(fragment, 2)}40${hex(protocol, 1)}0000${v4(from)}${v4(to)}${rest}`;
}
const NET6 = 'fd000000000000000000000000000000';
const v6 = (last: number): string => `${NET6.slice(0, 30)}${hex(last, 1)}`;
function ip6(from: number, to: number, next: number, rest: string): string {
  return `${MAC}86dd60000000${hex(rest.length / 2, 2)}${hex(next, 1)}40${v6(from)}${v6(to)}${rest}`;
}

describe('PacketRing', () => {
  let namespace: TestNamespace;
  let host: NativeHost;
  let ring: Remote<PacketRing>;

  beforeEach(async () => {
    namespace = new TestNamespace();
    namespace.run('ip', 'link', 'add', 'tap', 'type', 'veth', 'peer', 'name', 'sensor');
    for (const name of ['tap', 'sensor']) {
      namespace.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`);
      namespace.run('ip', 'link', 'set', name, 'up', 'arp', 'off');
    }
    host = await NativeHost.start(namespace);
    ring = await host.create('PacketRing', { bytes: MIB });
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  const indexOf = (name: string): number => Number(namespace.run('cat', `/sys/class/net/${name}/ifindex`));
  async function send(frames: readonly string[]): Promise<void> {
    const before = (await ring.stats()).packets;
    await mustRun(...inNetns(namespace.name, '/usr/bin/python3', ['-c', SENDER, 'tap']), { input: frames.map((frame) => `${frame}\n`).join('') });
    await eventually('all frames', async () => ((await ring.stats()).packets >= before + frames.length ? true : undefined), 10_000, 10);
  }
  const query = (change: Partial<PacketRingQuery> = {}): PacketRingQuery => ({
    family: 4, protocol: 6, hasPorts: true, a: { address: '10.0.0.1', port: 1000 }, b: { address: '10.0.0.2', port: 80 }, fromMs: 0, toMs: Number.MAX_SAFE_INTEGER, limitBytes: 64 * MIB, ...change,
  });
  const find = async (change: Partial<PacketRingQuery> = {}): Promise<string[]> => records((await ring.find(query(change))).records).map(({ frame }) => frame.toString('hex'));

  it('gives the frames of one connection, both ways, in order, and of no other', async () => {
    await ring.start(indexOf('sensor'));
    const there = ip4('10.0.0.1', '10.0.0.2', 6, ports(1000, 80));
    const back = ip4('10.0.0.2', '10.0.0.1', 6, ports(80, 1000));
    const tagged = there.replace(`${MAC}0800`, `${MAC}810000640800`);
    const others = [
      ip4('10.0.0.1', '10.0.0.2', 6, ports(1001, 80)), ip4('10.0.0.1', '10.0.0.2', 17, ports(1000, 80)), ip4('10.0.0.1', '10.0.0.3', 6, ports(1000, 80)),
      ip4('10.0.0.1', '10.0.0.2', 6, ports(80, 1000)), ip4('10.0.0.1', '10.0.0.2', 6, '03'), `${MAC}080645`, ip4('10.0.0.1', '10.0.0.2', 6, ports(1000, 80)).slice(0, 50),
    ];
    const later = ip4('10.0.0.2', '10.0.0.1', 6, 'ffffffff', 185);
    await send([there, ...others, back, tagged, later]);
    // A tag that the kernel took off is not in the frame.
    const untagged = [tagged, there];
    const found = await find();
    expect(found.slice(0, 2)).toEqual([there, back]);
    expect(untagged).toContain(found[2]);
    expect(found.slice(3)).toEqual([later]);
    expect(await find({ a: { address: '10.0.0.2', port: 80 }, b: { address: '10.0.0.1', port: 1000 } })).toEqual(found);
    expect(await find({ protocol: 17 })).toHaveLength(1);
    expect(await find({ hasPorts: false })).toHaveLength(found.length + 3);
    const [first] = records((await ring.find(query())).records);
    expect(Math.abs(Number((first?.timeNs ?? 0n) / 1_000_000n) - Date.now())).toBeLessThan(60_000);
    expect(await find({ toMs: Number((first?.timeNs ?? 0n) / 1_000_000n) - 1 })).toEqual([]);
    expect(await find({ fromMs: Date.now() + 60_000 })).toEqual([]);
  });

  it('reads IPv6 behind extension headers', async () => {
    await ring.start(indexOf('sensor'));
    const plain = ip6(1, 2, 17, ports(53, 4000));
    const behind = ip6(2, 1, 0, `3c00000000000000${'1100000000000000'}${ports(4000, 53)}`);
    const firstFragment = ip6(1, 2, 44, `1100000100000001${ports(53, 4000)}`);
    const laterFragment = ip6(1, 2, 44, `1100000800000001ffffffff`);
    const cut = ip6(1, 2, 60, '11ff');
    await send([plain, behind, firstFragment, laterFragment, cut, ip6(1, 3, 17, ports(53, 4000))]);
    expect(await find({ family: 6, protocol: 17, a: { address: 'fd00::1', port: 53 }, b: { address: 'fd00::2', port: 4000 } })).toEqual([plain, behind, firstFragment, laterFragment]);
  });

  it('never takes more than its memory: the newest stay, in order', async () => {
    await ring.start(indexOf('sensor'));
    // About 3 MiB through a ring of 1 MiB, frames of many sizes.
    for (let round = 0; round < 4; round += 1) {
      await send(Array.from({ length: 1_000 }, (_, index) => ip4('10.0.0.1', '10.0.0.2', 6, `${ports(1000, 80)}${hex(round * 1_000 + index, 4)}${'ab'.repeat((index * 37) % 1_300)}`)));
    }
    const { packets, dropped, kept, usedBytes, capacityBytes, oldestMs } = await ring.stats();
    expect([packets, dropped, capacityBytes]).toEqual([4_000, 0, MIB]);
    expect(usedBytes).toBeLessThanOrEqual(MIB);
    // No more than the largest record is wasted at the end of the memory.
    expect(usedBytes).toBeGreaterThan(MIB - 2 * 1_400);
    const numbers = (await find()).map((frame) => Number.parseInt(frame.slice((14 + 24) * 2, (14 + 28) * 2), 16));
    expect(numbers).toEqual(Array.from({ length: kept }, (_, index) => 4_000 - kept + index));
    const { complete, records: some } = await ring.find(query({ limitBytes: 10_000 }));
    expect(complete).toBe(false);
    expect(some.length).toBeLessThanOrEqual(10_000);
    expect(oldestMs).toBeGreaterThan(0);
  });

  it('goes on with an interface that was made anew; stops, and starts again empty', async () => {
    await expect(ring.find(query())).rejects.toMatchObject({ code: 'EBADF' });
    await expect(ring.start(999)).rejects.toMatchObject({ code: 'ENODEV' });
    await ring.start(indexOf('sensor'));
    await expect(ring.start(indexOf('sensor'))).rejects.toMatchObject({ code: 'EALREADY' });
    const frame = ip4('10.0.0.1', '10.0.0.2', 6, ports(1000, 80));
    await send([frame]);
    namespace.run('ip', 'link', 'del', 'tap');
    namespace.run('ip', 'link', 'add', 'tap', 'type', 'veth', 'peer', 'name', 'sensor');
    for (const name of ['tap', 'sensor']) {
      namespace.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`);
      namespace.run('ip', 'link', 'set', name, 'up', 'arp', 'off');
    }
    await ring.bind(indexOf('sensor'));
    await send([frame, frame]);
    expect(await find()).toEqual([frame, frame, frame]);
    await ring.stop();
    await ring.stop();
    expect(await ring.stats()).toEqual({ packets: 0, dropped: 0, kept: 0, usedBytes: 0, capacityBytes: 0, oldestMs: 0 });
    await ring.start(indexOf('sensor'));
    expect(await find()).toEqual([]);
  });

  it('refuses sizes and questions that make no sense', async () => {
    await expect(host.create('PacketRing', { bytes: 10 })).rejects.toMatchObject({ code: 'EINVAL' });
    await ring.start(indexOf('sensor'));
    await expect(ring.find(query({ a: { address: 'fd00::1', port: 1 } }))).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(ring.find(query({ protocol: 256 }))).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(ring.bind(0)).rejects.toMatchObject({ code: 'EINVAL' });
  });
});
