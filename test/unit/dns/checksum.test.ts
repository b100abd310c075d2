import fc from 'fast-check';
import { expect, test } from 'vitest';
import { withUdpChecksum } from '../../../src/dns/checksum.js';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

test('a datagram whose sum was added up by hand', () => {
  // c000+0201+c000+0202 + 0011+000a + 0035+1000+000a+6869 = 1fcc6; folded fcc7; its complement 0338.
  const packet = hex('4500001e 00000000 40110000 c0000201 c0000202  0035 1000 000a ffff 6869 eeee');
  const fixed = withUdpChecksum(packet, true, 20);
  expect(Buffer.from(fixed).toString('hex')).toBe(Buffer.from(hex('4500001e 00000000 40110000 c0000201 c0000202  0035 1000 000a 0338 6869')).toString('hex'));
  expect(packet[27]).toBe(0xff);
});

test('adds up with its pseudo header, over both families, whatever stood there', () => {
  fc.assert(fc.property(fc.boolean(), fc.uint8Array({ minLength: 40, maxLength: 40 }), fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 3 }), (isIpv4, header, data, padding) => {
    const offset = isIpv4 ? 20 : 40;
    const length = 8 + data.length;
    const packet = Uint8Array.from([...header.subarray(0, offset), 0, 53, 16, 0, length >> 8, length & 255, 0xaa, 0xbb, ...data, ...padding]);
    const fixed = withUdpChecksum(packet, isIpv4, offset);
    const summed = [...(isIpv4 ? fixed.subarray(12, 20) : fixed.subarray(8, 40)), 0, 17, length >> 8, length & 255, ...fixed.subarray(offset)];
    let sum = 0n;
    for (let at = 0; at < summed.length; at += 2) sum += BigInt((summed[at] ?? 0) << 8 | (summed[at + 1] ?? 0));
    // In ones' complement a sum that is all ones is a multiple of 65535.
    expect(sum % 65_535n).toBe(0n);
    expect(fixed.length).toBe(offset + length);
    expect([...fixed.subarray(offset + 8)]).toEqual([...data]);
    expect([fixed[offset + 6], fixed[offset + 7]]).not.toEqual([0, 0]);
  }), { numRuns: 500 });
});
