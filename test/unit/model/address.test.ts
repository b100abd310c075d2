import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import {
  buildRangeSet, canonicalHost, canonicalMac, canonicalMember, compareMembers, parseMember, rangeSetContains, rangeSetIsEmpty, rangeToText,
  sortMembers, unionRangeSets, v4FromText, v4ToText, v6FromText, v6ToText, type RangeSet,
} from '../../../src/model/address.js';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

describe('IPv4 text', () => {
  it('round-trips every number', () => {
    fc.assert(fc.property(u32, (value) => v4FromText(v4ToText(value)) === value));
  });

  it('accepts exactly what the operating system accepts as a dotted quad', () => {
    const almost = fc.oneof(fc.ipV4(), fc.stringMatching(/^[0-9.]{0,17}$/), fc.string());
    fc.assert(fc.property(almost, (text) => (v4FromText(text) !== undefined) === isIPv4(text)));
  });

  it.each(['010.0.0.1', '10.1', '1.2.3.4.5', '1.2.3.', '256.0.0.1', '1..2.3', '0x1.2.3.4', ' 1.2.3.4', ''])('refuses %j', (text) => {
    expect(v4FromText(text)).toBeUndefined();
  });
});

describe('IPv6 text', () => {
  it('accepts exactly what the operating system accepts, zones apart', () => {
    const almost = fc.oneof(fc.ipV6(), fc.stringMatching(/^[0-9a-f:]{0,24}$/), fc.string());
    fc.assert(fc.property(almost, (text) => (v6FromText(text) !== undefined) === (isIPv6(text) && !text.includes('%'))), { numRuns: 2000 });
  });

  it('reads the same number as ipaddr.js and writes the same RFC 5952 text', () => {
    fc.assert(fc.property(fc.ipV6(), (text) => {
      const halves = v6FromText(text);
      const peer = ipaddr.IPv6.parse(text);
      const bytes = peer.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
      expect(((halves?.hi ?? 0n) << 64n) | (halves?.lo ?? 0n)).toBe(bytes);
      expect(v6ToText(halves?.hi ?? 0n, halves?.lo ?? 0n)).toBe(peer.toRFC5952String());
    }), { numRuns: 1000 });
  });

  it('round-trips sparse numbers', () => {
    const sparse = fc.array(fc.constantFrom(0n, 0n, 0n, 1n, 0xffffn), { minLength: 4, maxLength: 4 }).map((g) => g.reduce<bigint>((sum, x) => (sum << 16n) | x, 0n));
    fc.assert(fc.property(fc.oneof(u64, sparse), fc.oneof(u64, sparse), (hi, lo) => {
      expect(v6FromText(v6ToText(hi, lo))).toEqual({ hi, lo });
    }));
  });

  it.each([
    ['2001:DB8::0001', '2001:db8::1'], ['0:0:0:0:0:0:0:0', '::'], ['1:0:0:2:0:0:0:3', '1:0:0:2::3'], ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ])('writes %s as %s', (text, canonical) => {
    expect(canonicalHost(text)).toBe(canonical);
  });
});

describe('members', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'], ['10.0.0.0/24', '10.0.0.0/24'], ['10.0.0.1/32', '10.0.0.1'], ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.0.0.1-10.0.0.9', '10.0.0.1-10.0.0.9'], ['10.0.0.1-10.0.0.1', '10.0.0.1'], ['10.0.0.0-10.0.0.255', '10.0.0.0-10.0.0.255'],
    ['FD00::/8', 'fd00::/8'], ['fd00:0::1/128', 'fd00::1'], ['::/0', '::/0'], ['fd00::1-fd00::00ff', 'fd00::1-fd00::ff'],
    ['00-50-56-AB-CD-EF', '00:50:56:ab:cd:ef'],
  ])('%s is %s', (text, canonical) => {
    expect(canonicalMember(text)).toBe(canonical);
    expect(canonicalMember(canonical)).toBe(canonical);
  });

  it.each([
    ['10.0.0.5/24', '"10.0.0.5/24" has host bits set; write 10.0.0.0/24 for the network or 10.0.0.5 for the host alone'],
    ['fd00::5/64', '"fd00::5/64" has host bits set; write fd00::/64 for the network or fd00::5 for the host alone'],
    ['::ffff:10.0.0.1', '"::ffff:10.0.0.1" is an IPv4-mapped IPv6 address; write 10.0.0.1'],
    ['::ffff:10.0.0.0/120', '"::ffff:10.0.0.0/120" is an IPv4-mapped IPv6 address; write 10.0.0.0/24'],
    ['10.0.0.9-10.0.0.1', '"10.0.0.9-10.0.0.1": the range ends before it begins'],
    ['fd00::9-fd00::1', '"fd00::9-fd00::1": the range ends before it begins'],
    ['10.0.0.0/33', '"10.0.0.0/33": the prefix length must be a number from 0 to 32'],
    ['10.0.0.0/024', '"10.0.0.0/024": the prefix length must be a number from 0 to 32'],
    ['fd00::/129', '"fd00::/129": the prefix length must be a number from 0 to 128'],
    ['fe80::1%eth0', '"fe80::1%eth0": an address with a zone (%interface) cannot be used in a rule; leave the zone out'],
  ])('refuses %s', (text, message) => {
    expect(() => canonicalMember(text)).toThrow(message);
  });

  it.each(['', 'any', '10.0.0', '10.0.0.1-fd00::1', '10.0.0.1-', '-', '/', 'fd00::1-10.0.0.1', 'example.org', '10.0.0.1,', '10.0.0.0/24-10.0.1.0/24', ':::', '1:2:3:4:5:6:7:8:9'])(
    'refuses %j as no address', (text) => {
      expect(() => canonicalMember(text)).toThrow('is not an address');
    });

  it('escapes and cuts hostile text in the message', () => {
    expect(() => canonicalMember(`10.0.0.1"; flush ruleset\n${'x'.repeat(5000)}`)).toThrow(/^"10\.0\.0\.1\\"; flush ruleset\\nx+\.\.\." \(5025 characters\) is not an address/);
  });

  it('refuses a prefix where a host is wanted', () => {
    expect(() => canonicalHost('10.0.0.0/24')).toThrow('single host');
  });

  it.each(['0a:58:0a:62:00', '0a:58-0a:62:00:02', '0a:58:0a:62:00:0g', '0a580a620002'])('refuses %s as MAC', (text) => {
    expect(() => canonicalMac(text)).toThrow('is not a MAC address');
  });
});

describe('order', () => {
  it('puts IPv4 before IPv6 before MAC, numbers before texts, and drops duplicates', () => {
    expect(sortMembers(['fe80::1', '10.0.0.10', '00:50:56:00:00:01', '10.0.0.9', 'fd00::/8', '10.0.0.9', '9.0.0.0/8']))
      .toEqual(['9.0.0.0/8', '10.0.0.9', '10.0.0.10', 'fd00::/8', 'fe80::1', '00:50:56:00:00:01']);
    expect(compareMembers('10.0.0.0/24', '10.0.0.0/25')).toBeGreaterThan(0);
  });
});

// Range sets are checked on a universe small enough to enumerate.
const BASE4 = 0x0a00_0000;
const members4 = fc.array(fc.oneof(
  fc.integer({ min: 0, max: 63 }).map((n) => v4ToText(BASE4 + n)),
  fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 9 })).map(([a, n]) => `${v4ToText(BASE4 + a)}-${v4ToText(BASE4 + a + n)}`),
  fc.tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 28, max: 32 })).map(([a, n]) => `${v4ToText(BASE4 + ((4 * a) >> (32 - n) << (32 - n)))}/${n}`),
), { maxLength: 12 });
const text6 = (n: number): string => v6ToText(0xfd00_0000_0000_0000n + (n >= 32 ? 1n : 0n), n >= 32 ? BigInt(n - 32) : (1n << 64n) - 32n + BigInt(n)); // 31→32 crosses the halves
const members6 = fc.array(fc.oneof(
  fc.integer({ min: 0, max: 63 }).map(text6),
  fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 9 })).map(([a, n]) => `${text6(a)}-${text6(a + n)}`),
), { maxLength: 12 });

/** Slow and obvious: does any single member hold the address? */
function inAny(members: readonly string[], address: string): boolean {
  const host = parseMember(address);
  return members.some((text) => {
    const member = parseMember(text);
    if (member.family === 4 && host.family === 4) return member.first <= host.first && host.first <= member.last;
    if (member.family === 6 && host.family === 6) {
      const at = (hi: bigint, lo: bigint): bigint => (hi << 64n) | lo;
      const x = at(host.firstHi, host.firstLo);
      return at(member.firstHi, member.firstLo) <= x && x <= at(member.lastHi, member.lastLo);
    }
    return false;
  });
}

function expectNormal(set: RangeSet): void {
  for (let i = 0; i < set.v4.length; i += 2) {
    expect(set.v4[i]).toBeLessThanOrEqual(set.v4[i + 1] ?? -1);
    if (i > 0) expect(set.v4[i]).toBeGreaterThan((set.v4[i - 1] ?? 0) + 1);
  }
  for (let i = 0; i < set.v6.length; i += 4) {
    const first = ((set.v6[i] ?? 0n) << 64n) | (set.v6[i + 1] ?? 0n);
    const last = ((set.v6[i + 2] ?? 0n) << 64n) | (set.v6[i + 3] ?? 0n);
    expect(first <= last).toBe(true);
    if (i > 0) expect(first > (((set.v6[i - 2] ?? 0n) << 64n) | (set.v6[i - 1] ?? 0n)) + 1n).toBe(true);
  }
}

describe('range sets', () => {
  it('hold exactly the addresses of their members, sorted, disjoint and merged', () => {
    fc.assert(fc.property(members4, members6, (a, b) => {
      const set = buildRangeSet([...a, ...b]);
      expectNormal(set);
      for (let n = -1; n < 80; n++) {
        const host4 = v4ToText(BASE4 + n);
        expect(rangeSetContains(set, host4)).toBe(inAny(a, host4));
        if (n < 0) continue;
        expect(rangeSetContains(set, text6(n))).toBe(inAny(b, text6(n)));
      }
    }), { numRuns: 200 });
  });

  it('unite', () => {
    fc.assert(fc.property(members4, members4, members6, (a, b, c) => {
      expect(unionRangeSets([buildRangeSet(a), buildRangeSet([...b, ...c])])).toEqual(buildRangeSet([...a, ...b, ...c]));
    }));
  });

  it('can be written as texts and built again', () => {
    fc.assert(fc.property(members4, members6, (a, b) => {
      const set = buildRangeSet([...a, ...b]);
      const texts: string[] = [];
      for (let i = 0; i < set.v4.length; i += 2) texts.push(rangeToText({ family: 4, first: set.v4[i] ?? 0, last: set.v4[i + 1] ?? 0 }));
      for (let i = 0; i < set.v6.length; i += 4) {
        texts.push(rangeToText({ family: 6, firstHi: set.v6[i] ?? 0n, firstLo: set.v6[i + 1] ?? 0n, lastHi: set.v6[i + 2] ?? 0n, lastLo: set.v6[i + 3] ?? 0n }));
      }
      expect(buildRangeSet(texts)).toEqual(set);
    }));
  });

  it('reach both ends of both families', () => {
    const all = buildRangeSet(['0.0.0.0/0', '255.255.255.255', '0.0.0.0', '::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']);
    expect([...all.v4]).toEqual([0, 0xffff_ffff]);
    expect([...all.v6]).toEqual([0n, 0n, (1n << 64n) - 1n, (1n << 64n) - 1n]);
    expect([...buildRangeSet(['255.255.255.255', '0.0.0.0']).v4]).toEqual([0, 0, 0xffff_ffff, 0xffff_ffff]);
  });

  it('keep MAC addresses unique and sorted, and say when they are empty', () => {
    const set = buildRangeSet(['00:50:56:00:00:02', '00-50-56-00-00-01', '00:50:56:00:00:02']);
    expect(set.macs).toEqual(['00:50:56:00:00:01', '00:50:56:00:00:02']);
    expect(rangeSetContains(set, '00:50:56:00:00:01')).toBe(true);
    expect(rangeSetIsEmpty(set)).toBe(false);
    expect(rangeSetIsEmpty(buildRangeSet([]))).toBe(true);
    expect(rangeSetIsEmpty(unionRangeSets([]))).toBe(true);
  });

  it('refuse a member that is no address', () => {
    expect(() => buildRangeSet(['10.0.0.1', 'web'])).toThrow('"web" is not an address');
  });
});
