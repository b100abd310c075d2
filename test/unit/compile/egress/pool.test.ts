import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { poolAddress, poolHas, poolRanges, poolTotal } from '../../../../src/compile/egress/pool.js';
import { canonicalMember, v4ToText } from '../../../../src/model/address.js';

const all = (...ranges: readonly string[]): (string | undefined)[] => {
  const parsed = poolRanges(ranges.map(canonicalMember));
  return Array.from({ length: poolTotal(parsed) }, (_, place) => poolAddress(parsed, place));
};

describe('addresses of a pool', () => {
  test('start and end belong to a range', () => expect(all('172.19.64.101-172.19.64.103')).toEqual(['172.19.64.101', '172.19.64.102', '172.19.64.103']));
  test('network and broadcast address of an IPv4 prefix do not', () => expect(all('192.0.2.8/29')).toEqual([9, 10, 11, 12, 13, 14].map((last) => `192.0.2.${last}`)));
  test('of an IPv6 prefix only the first does not', () => expect(all('fd00::/126')).toEqual(['fd00::1', 'fd00::2', 'fd00::3']));
  test('counts as Antrea does', () => expect([poolTotal(poolRanges(['169.254.100.0/30'])), poolTotal(poolRanges(['2021:4::aaa0/124'])), all('169.254.100.0/30')[0]]).toEqual([2, 15, '169.254.100.1']));
  test('a prefix of two addresses has none', () => expect(all('192.0.2.8/31')).toEqual([]));
  test('ranges follow each other, of both families', () => expect(all('192.0.2.1-192.0.2.2', 'fd00::ffff-fd00::1:0')).toEqual(['192.0.2.1', '192.0.2.2', 'fd00::ffff', 'fd00::1:0']));
  test('of a large range 65,536 are used, as in Antrea', () => {
    const ranges = poolRanges(['fd00::/64']);
    expect([poolTotal(ranges), poolAddress(ranges, 65_535), poolAddress(ranges, 65_536), poolHas(ranges, 'fd00::1:0'), poolHas(ranges, 'fd00::1:1')]).toEqual([65_536, 'fd00::1:0', undefined, true, false]);
  });
  test('what a pool gives is in it, once, and nothing else is', () => {
    fc.assert(fc.property(fc.nat(0xffff_0000), fc.nat(300), fc.nat(0xffff_ffff), (first, length, other) => {
      const ranges = poolRanges([canonicalMember(`${v4ToText(first)}-${v4ToText(first + length)}`)]);
      const given = new Set(Array.from({ length: poolTotal(ranges) }, (_, place) => poolAddress(ranges, place) ?? ''));
      expect(given.size).toBe(length + 1);
      for (const address of given) expect(poolHas(ranges, address)).toBe(true);
      expect(poolHas(ranges, v4ToText(other))).toBe(given.has(v4ToText(other)));
    }), { numRuns: 50 });
  });
});
