import { describe, expect, test } from 'vitest';
import { announcement } from '../../../../src/drivers/egress/announcement.js';
import { internetChecksum } from '../../../../src/model/checksum.js';

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');

describe('announcements', () => {
  test('ARP: a request to all, sender and target are the address', () => {
    expect(hex(announcement('192.0.2.101', '02:df:00:00:00:01'))).toBe(
      'ffffffffffff' + '02df00000001' + '0806' + '0001' + '0800' + '06' + '04' + '0001' + '02df00000001' + 'c0000265' + '000000000000' + 'c0000265',
    );
  });
  test('IPv6: an unsolicited advertisement that overrides, from the address to all nodes', () => {
    const frame = announcement('2001:db8::7', '02:df:00:00:00:01') ?? new Uint8Array(0);
    const address = '20010db8000000000000000000000007';
    const allNodes = 'ff020000000000000000000000000001';
    expect(hex(frame.subarray(0, 54))).toBe(`333300000001${'02df00000001'}86dd60000000${'0020'}3aff${address}${allNodes}`);
    expect(hex(frame.subarray(58))).toBe(`20000000${address}0201${'02df00000001'}`);
    expect(hex(frame.subarray(54, 56))).toBe('8800');
    // Over the pseudo header (RFC 8200 section 8.1) it comes out as 0.
    expect(internetChecksum([frame.subarray(22, 54), Uint8Array.of(0, 0, 0, 32, 0, 0, 0, 58), frame.subarray(54)])).toBe(0);
  });
  test('nothing for interfaces without a MAC address, and for what is no address', () => {
    expect([announcement('192.0.2.1', ''), announcement('nowhere', '02:df:00:00:00:01')]).toEqual([undefined, undefined]);
  });
});
