/** PacketCapture against the real kernel: what libpcap gives, and that nothing of it outlives its end. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { PacketCapture } from '../../src/native/binding.js';
import { addonPath, eventually, NativeHost, type Remote, sendDatagrams, TestNamespace } from './native-host.js';

const CHILDREN = join(dirname(fileURLToPath(import.meta.url)), 'children');
const LINKTYPE_ETHERNET = 1;
const LINKTYPE_RAW = 101;

interface Packet { readonly at: number; readonly captured: number; readonly length: number; readonly bytes: Uint8Array }

function packetsOf(records: Uint8Array): Packet[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const packets: Packet[] = [];
  for (let offset = 0; offset < records.length;) {
    const captured = view.getUint32(offset + 8, true);
    packets.push({
      at: view.getUint32(offset, true) * 1000 + view.getUint32(offset + 4, true) / 1000, captured, length: view.getUint32(offset + 12, true),
      bytes: records.subarray(offset + 16, offset + 16 + captured),
    });
    offset += 16 + captured;
  }
  return packets;
}

describe('a capture', () => {
  let namespace: TestNamespace;
  let host: NativeHost;

  beforeEach(async () => {
    namespace = new TestNamespace();
    host = await NativeHost.start(namespace);
    namespace.run('ip', 'link', 'set', 'lo', 'up');
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  async function taking(source: Remote<PacketCapture>): Promise<{ packets: Packet[]; linkType: number }> {
    const packets: Packet[] = [];
    const linkType = await source.start((records, number) => {
      const batch = packetsOf(records);
      expect(batch).toHaveLength(number);
      packets.push(...batch);
    });
    return { packets, linkType };
  }
  const open = (options: Readonly<Record<string, unknown>>): Promise<Remote<PacketCapture>> => host.create('PacketCapture', { interface: 'lo', snaplen: 65_536, ...options });

  it('gives time, length and bytes of the packets that the expression selects', async () => {
    const { packets, linkType } = await taking(await open({ filter: 'udp and dst port 4000' }));
    expect(linkType).toBe(LINKTYPE_ETHERNET);
    const before = Date.now();
    namespace.run('python3', '-c', "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes(100), ('127.0.0.1', 4001))");
    sendDatagrams(namespace, '127.0.0.1');
    await eventually(() => (packets.length >= 3 ? true : undefined));
    expect(packets).toHaveLength(3);
    for (const { at, captured, length, bytes } of packets) {
      expect([captured, length, bytes[12], bytes[13], bytes[23]]).toEqual([142, 142, 8, 0, 17]);
      expect(at).toBeGreaterThan(before - 1_000);
      expect(at).toBeLessThan(Date.now() + 1_000);
    }
  });

  it('keeps as many bytes as asked, and knows the whole length', async () => {
    const { packets } = await taking(await open({ snaplen: 20 }));
    sendDatagrams(namespace, '127.0.0.1');
    await eventually(() => (packets.length >= 3 ? true : undefined));
    expect(packets.map(({ captured, length }) => [captured, length])).toEqual(Array.from({ length: 3 }, () => [20, 142]));
  });

  it('names the link type of an interface without Ethernet headers', async () => {
    namespace.run('ip', 'tuntap', 'add', 'dev', 'tun0', 'mode', 'tun');
    namespace.run('ip', 'link', 'set', 'tun0', 'up');
    expect((await taking(await open({ interface: 'tun0' }))).linkType).toBe(LINKTYPE_RAW);
  });

  it('reports refusals with errno, code and call', async () => {
    await expect(open({ interface: '' })).rejects.toMatchObject({ code: 'EINVAL', syscall: 'PacketCapture' });
    for (const snaplen of [0, -1, 262_145, '1']) await expect(open({ snaplen })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(open({ filter: 'x'.repeat(4097) })).rejects.toMatchObject({ code: 'EINVAL' });
    const start = async (options: Readonly<Record<string, unknown>>): Promise<unknown> => (await open(options)).start(() => undefined);
    await expect(start({ interface: 'absent' })).rejects.toMatchObject({ code: 'ENODEV', syscall: 'pcap_activate' });
    await expect(start({ filter: 'nonsense (' })).rejects.toMatchObject({ code: 'EINVAL', syscall: 'pcap_compile' });
    namespace.run('ip', 'link', 'set', 'lo', 'down');
    await expect(start({})).rejects.toMatchObject({ code: 'ENETDOWN', syscall: 'pcap_activate' });
  });

  it('can be started once, stopped as often as wanted, and started again', async () => {
    const source = await open({});
    expect(await source.attached()).toBe(false);
    await taking(source);
    expect(await source.attached()).toBe(true);
    await expect(source.start(() => undefined)).rejects.toMatchObject({ code: 'EALREADY' });
    await source.stop();
    await source.stop();
    expect(await source.attached()).toBe(false);
    const { packets } = await taking(source);
    sendDatagrams(namespace, '127.0.0.1');
    await eventually(() => (packets.length >= 3 ? true : undefined));
    expect(await source.lost()).toBe(0);
  });

  it('goes on when the interface was down for a while, and sees that it has gone', async () => {
    const veth = (): void => {
      namespace.run('ip', 'link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
      for (const name of ['va', 'vb']) namespace.run('ip', 'link', 'set', name, 'up');
    };
    const frame = (): string => namespace.run('python3', '-c', "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('vb', 0)); s.send(bytes(12) + b'\\x88\\xb5' + bytes(46))");
    veth();
    const source = await open({ interface: 'va', filter: 'ether proto 0x88b5' });
    const { packets } = await taking(source);
    frame();
    await eventually(() => (packets.length === 1 ? true : undefined));
    namespace.run('ip', 'link', 'set', 'va', 'down');
    namespace.run('ip', 'link', 'set', 'va', 'up');
    expect(await source.attached()).toBe(true);
    frame();
    await eventually(() => (packets.length === 2 ? true : undefined));
    namespace.run('ip', 'link', 'del', 'va');
    expect(await source.attached()).toBe(false);
    veth(); // the name again, another interface
    expect(await source.attached()).toBe(false);
    frame();
    await source.stop();
    expect(packets).toHaveLength(2);
  });

  it('counts what the kernel left out when nobody reads', async () => {
    const source = await open({});
    const { packets } = await taking(source);
    host.pause();
    try {
      namespace.run('python3', '-c', "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor _ in range(400): s.sendto(bytes(60000), ('127.0.0.1', 4000))");
    } finally {
      host.resume();
    }
    const lost = await source.lost();
    expect(lost).toBeGreaterThan(0);
    await eventually(() => (packets.filter(({ length }) => length > 60_000).length > 20 ? true : undefined));
    await source.stop();
    expect(await source.lost()).toBeGreaterThanOrEqual(lost);
  });

  it('ends in every order without leaving a handle, a descriptor or a socket', () => {
    const rounds = process.env['DFW_SANITIZED'] === '1' ? '6' : '15';
    const result = JSON.parse(namespace.run(process.execPath, '--expose-gc', join(CHILDREN, 'capture-cycles.mjs'), addonPath(), rounds)) as { packets: number };
    expect(result).toEqual({ packets: expect.any(Number) as number, sockets: 0, descriptors: 0 });
    expect(result.packets).toBeGreaterThan(0);
  }, 60_000);
});
