import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePacket, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../../src/model/packet-headers.js';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s/g, ''), 'hex'));

const TCP_SYN = '450000 3c 1c46 4000 40 06 b1e6 c0000203 c0000204  c1db 0050 00000001 00000000 a0 02 7210 0000 0000';
const IPV6_HEADER = (next: string): string => `60000000 0040 ${next} 40 fd000000000000000000000000000001 fd000000000000000000000000000002`;

describe('decodePacket', () => {
  test('TCP over IPv4', () => {
    expect(decodePacket(ETHERTYPE_IPV4, bytes(TCP_SYN))).toMatchObject({
      protocol: 6, source: '192.0.2.3', destination: '192.0.2.4', sourcePort: 49627, destinationPort: 80, tcpFlags: 2, laterFragment: false,
    });
  });

  test('IPv4 options shift the transport header', () => {
    const packet = bytes(`46000020 00000000 40110000 0a000001 0a000002 01010101  0035 1000 0008 0000`);
    expect(decodePacket(ETHERTYPE_IPV4, packet)).toMatchObject({ protocol: 17, sourcePort: 53, destinationPort: 4096 });
  });

  test('a later fragment has no ports', () => {
    const packet = bytes(`45000020 00000003 40110000 0a000001 0a000002 0035 1000 0008 0000`);
    expect(decodePacket(ETHERTYPE_IPV4, packet)).toMatchObject({ protocol: 17, laterFragment: true, sourcePort: undefined });
  });

  test('ICMP echo request', () => {
    expect(decodePacket(ETHERTYPE_IPV4, bytes('4500001c 00000000 40010000 0a000001 0a000002 0800 0000 00000000'))).toMatchObject({ protocol: 1, icmpType: 8, icmpCode: 0 });
  });

  test('a copy cut inside the TCP header keeps the ports', () => {
    expect(decodePacket(ETHERTYPE_IPV4, bytes(TCP_SYN).subarray(0, 24))).toMatchObject({ sourcePort: 49627, destinationPort: 80, tcpFlags: undefined });
  });

  test('IPv6: hop-by-hop, destination options and first fragment before UDP', () => {
    const packet = bytes(`${IPV6_HEADER('00')} 3c00 000000000000  2c01 0000000000000000000000000000  1100 0001 00000007  0222 0223 0008 0000`);
    expect(decodePacket(ETHERTYPE_IPV6, packet)).toMatchObject({ protocol: 17, source: 'fd00::1', destination: 'fd00::2', sourcePort: 546, destinationPort: 547 });
  });

  test('IPv6: a later fragment names the protocol only', () => {
    const packet = bytes(`${IPV6_HEADER('2c')} 0600 0009 00000007 ffff ffff`);
    expect(decodePacket(ETHERTYPE_IPV6, packet)).toMatchObject({ protocol: 6, laterFragment: true, sourcePort: undefined });
  });

  test('IPv6: authentication header counts in words of four bytes', () => {
    const packet = bytes(`${IPV6_HEADER('33')} 3a04 0000 00000001 00000001 000000000000000000000000 8700`);
    expect(decodePacket(ETHERTYPE_IPV6, packet)).toMatchObject({ protocol: 58, icmpType: 135, icmpCode: 0 });
  });

  test('IPv6: an extension header beyond the copy leaves the protocol unknown', () => {
    expect(decodePacket(ETHERTYPE_IPV6, bytes(IPV6_HEADER('00')))).toMatchObject({ source: 'fd00::1', protocol: undefined });
  });

  test('ARP request', () => {
    expect(decodePacket(ETHERTYPE_ARP, bytes('0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002'))).toMatchObject({
      ethertype: 0x0806, protocol: undefined, source: '10.0.0.1', destination: '10.0.0.2',
    });
  });

  test.each([
    ['00000000000000000000000000000001', '::1'],
    ['00000000000000000000000000000000', '::'],
    ['fe80000000000000 68c22364 829e09be', 'fe80::68c2:2364:829e:9be'],
    ['2001 0db8 0000 0001 0001 0001 0001 0001', '2001:db8:0:1:1:1:1:1'],
    ['2001 0db8 0000 0000 0001 0000 0000 0001', '2001:db8::1:0:0:1'],
    ['2001 0db8 0000 0000 0000 0000 0000 0000', '2001:db8::'],
  ])('IPv6 text of %s is %s', (hex, text) => {
    const packet = bytes(`60000000 0000 3b 40 ${hex} ${hex}`);
    expect(decodePacket(ETHERTYPE_IPV6, packet).source).toBe(text);
  });

  test('no input makes it throw, and it reads only the given bytes', () => {
    fc.assert(
      fc.property(fc.constantFrom(ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_ARP, 0x88cc), fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 40 }), (ethertype, payload, behind) => {
        const larger = new Uint8Array([...behind, ...payload, ...behind]);
        const inside = larger.subarray(behind.length, behind.length + payload.length);
        expect(decodePacket(ethertype, inside)).toEqual(decodePacket(ethertype, payload));
      }),
      { numRuns: 2000 },
    );
  });

  test('every prefix of a whole packet agrees with it in what it shows', () => {
    const whole = bytes(TCP_SYN);
    const full = decodePacket(ETHERTYPE_IPV4, whole);
    for (let length = 0; length < whole.length; length += 1) {
      const cut = Object.entries(decodePacket(ETHERTYPE_IPV4, whole.subarray(0, length))).filter(([, value]) => value !== undefined);
      for (const [key, value] of cut) expect(Reflect.get(full, key), `${key} at ${String(length)}`).toBe(value);
    }
  });
});
