import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMember } from '../../../src/model/address.js';
import { parsePrefix, strictlyInside } from '../../../src/model/prefix.js';

const v4 = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([address, length]) => `${address}/${length}`);
const v6 = fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })).map(([address, length]) => `${address}/${length}`)
  // IPv4 inside of IPv6, in whatever spelling, is refused.
  .filter((text) => !text.includes('.') && !/^(::|[0:]*:)ffff:/i.test(text));

/** First and last address as one number each. */
function interval(text: string): readonly [bigint, bigint] {
  const member = parseMember(text);
  if (member.family === 'mac') throw new Error('no prefix');
  return member.family === 4 ? [BigInt(member.first), BigInt(member.last)] : [(member.firstHi << 64n) | member.firstLo, (member.lastHi << 64n) | member.lastLo];
}

describe('a prefix', () => {
  it('is written as the member of an address set with the same addresses', () => {
    fc.assert(fc.property(fc.oneof(v4, v6), (text) => {
      const prefix = parsePrefix(text);
      const bits = prefix.family === 4 ? 32n : 128n;
      const [first, last] = interval(prefix.text);
      const [host] = interval(text.slice(0, text.indexOf('/')));
      const size = 1n << (bits - BigInt(prefix.length));
      expect(last - first + 1n).toBe(size);
      expect(first).toBe(host - (host % size));
      expect(parsePrefix(prefix.text.includes('/') ? prefix.text : `${prefix.text}/${bits}`).text).toBe(prefix.text);
    }));
  });

  it('is inside another one when all of its addresses are, and not all of the other are its', () => {
    const near = fc.tuple(fc.constantFrom('10.0.0.0', '10.128.0.0', '10.128.1.1', '0.0.0.0', '255.255.255.255', 'fd00::', 'fd00::1', 'fd00:0:0:8000::', '::'), fc.integer({ min: 0, max: 32 }))
      .map(([address, length]) => `${address}/${address.includes(':') ? length * 4 : length}`);
    fc.assert(fc.property(near, near, (a, b) => {
      const [inner, outer] = [parsePrefix(a), parsePrefix(b)];
      const [first, last] = interval(inner.text);
      const [begin, end] = interval(outer.text);
      expect(strictlyInside(inner, outer)).toBe(inner.family === outer.family && begin <= first && last <= end && (begin !== first || last !== end));
    }), { numRuns: 2_000 });
  });

  it.each(['', '/', '10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/9', '10.0.0/8', 'fd00::/129', 'fd00::%eth0/64', 'x/8', '10.0.0.0/ 8', '::ffff:10.0.0.0/104', '10.0.0.0-10.0.0.9', '010.0.0.0/8'])('is not %j', (text) => {
    expect(() => parsePrefix(text)).toThrowError(expect.objectContaining({ code: 'E_INVALID' }));
  });
});
