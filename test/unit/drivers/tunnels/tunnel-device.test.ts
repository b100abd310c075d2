/** Tunnels as attributes of rtnetlink, read back by an independent reader. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tunnelDevice } from '../../../../src/drivers/tunnels/tunnel-device.js';
import { isTunnel, tunnelEnds, type TunnelTarget, type TunnelType } from '../../../../src/model/tunnel.js';

const target = (type: TunnelType, options: Readonly<Record<string, string>>, name = 'dfw0012abcd'): TunnelTarget => ({ type, name, options });

/** type → payload, as netlink(7) lays attributes out. */
function read(data: Uint8Array): Map<number, Uint8Array> {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const found = new Map<number, Uint8Array>();
  let at = 0;
  while (at < data.length) {
    const length = view.getUint16(at, true);
    expect(length).toBeGreaterThan(4);
    found.set(view.getUint16(at + 2, true), data.slice(at + 4, at + length));
    at += Math.ceil(length / 4) * 4;
  }
  expect(at).toBe(data.length);
  return found;
}
function made(wanted: TunnelTarget): { kind: string; attributes: Map<number, number[]>; destination: unknown } {
  const device = tunnelDevice(wanted);
  if (typeof device === 'string') throw new Error(device);
  return { kind: device.kind, attributes: new Map([...read(device.data)].map(([type, bytes]) => [type, [...bytes]])), destination: device.destination };
}

describe('devices', () => {
  it('vxlan has an id of its own and sends by an entry', () => {
    const { kind, attributes, destination } = made(target('vxlan', { remote_ip: '192.0.2.7', key: '42' }));
    expect(kind).toBe('vxlan');
    expect(attributes).toEqual(new Map([[1, [0xcd, 0xab, 0x12, 0]], [7, [0]], [5, [64]], [15, [0x12, 0xb5]]]));
    expect(destination).toEqual({ address: Uint8Array.of(192, 0, 2, 7), port: 4789, vni: 42 });
  });
  it('vxlan over IPv6, without an id, to another port', () => {
    const { attributes, destination } = made(target('vxlan', { remote_ip: '2001:db8::7', dst_port: '8472' }));
    expect(attributes.get(17)).toEqual(Array.from({ length: 16 }, () => 0));
    expect(attributes.get(15)).toEqual([0x21, 0x18]);
    expect(destination).toEqual({ address: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7), port: 8472, vni: 0 });
  });
  it('geneve', () => {
    expect(made(target('geneve', { remote_ip: '192.0.2.7', key: '70000' }))).toEqual({
      kind: 'geneve', attributes: new Map([[1, [0x70, 0x11, 1, 0]], [2, [192, 0, 2, 7]], [3, [64]], [5, [0x17, 0xc1]]]), destination: undefined,
    });
    expect([...made(target('geneve', { remote_ip: '2001:db8::7' })).attributes.keys()]).toEqual([1, 7, 3, 5]);
  });
  it.each([[{}, [0, 0], [0, 0, 0, 0]], [{ key: '0' }, [0x20, 0], [0, 0, 0, 0]], [{ key: '258' }, [0x20, 0], [0, 0, 1, 2]]])('gre %j: a key where there is one', (options, flags, key) => {
    expect(made(target('gre', { remote_ip: '192.0.2.7', ...options }))).toEqual({
      kind: 'gretap', attributes: new Map([[2, flags], [3, flags], [4, key], [5, key], [7, [192, 0, 2, 7]], [8, [64]], [10, [0]], [19, [1]]]), destination: undefined,
    });
  });
  it('erspan of both versions', () => {
    const one = made(target('erspan', { remote_ip: '192.0.2.7', key: '45', erspan_ver: '1', erspan_idx: '3' }));
    expect(one.kind).toBe('erspan');
    expect([2, 5, 21, 22, 23].map((type) => one.attributes.get(type))).toEqual([[0x30, 0], [0, 0, 0, 45], [3, 0, 0, 0], [1], undefined]);
    const two = made(target('erspan', { remote_ip: '192.0.2.7', erspan_ver: '2', erspan_dir: '1', erspan_hwid: '4' }));
    expect([2, 5, 21, 22, 23, 24].map((type) => two.attributes.get(type))).toEqual([[0x30, 0], [0, 0, 0, 0], undefined, [2], [1], [4, 0]]);
  });
  it.each(['gre', 'erspan'] as const)('%s over IPv6 is refused', (type) => {
    expect(tunnelDevice(target(type, { remote_ip: '2001:db8::7' }))).toMatch(/over IPv6 is not supported by the nftables datapath/);
  });
  it('any tunnel over IPv4 fits into a request, and says where it goes', () => {
    fc.assert(fc.property(
      fc.constantFrom<TunnelType>('vxlan', 'geneve', 'gre', 'erspan'), fc.ipV4(), fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 0, max: 0xffffffff }),
      (type, address, key, port, hash) => {
        const wanted = target(type, { remote_ip: address, key: String(key), dst_port: String(port) }, `dfw${hash.toString(16).padStart(8, '0')}`);
        const device = tunnelDevice(wanted);
        if (typeof device === 'string') throw new Error(device);
        const attributes = read(device.data);
        const bytes = address.split('.').map(Number);
        expect(device.data.length).toBeLessThanOrEqual(512);
        expect([...(device.destination?.address ?? attributes.get(type === 'geneve' ? 2 : 7) ?? [])]).toEqual(bytes);
        expect(tunnelEnds(wanted)).toEqual({ remote: Uint8Array.from(bytes), protocol: type === 'vxlan' || type === 'geneve' ? 17 : 47, port: type === 'vxlan' || type === 'geneve' ? port : undefined });
      },
    ));
  });
});

it('devices and ports of the switch are no tunnels', () => {
  expect((['device', 'internal', 'geneve', 'vxlan', 'gre', 'erspan'] as const).filter((type) => isTunnel({ type, name: 'a', options: {} }))).toEqual(['geneve', 'vxlan', 'gre', 'erspan']);
});
