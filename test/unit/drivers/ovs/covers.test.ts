import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { key6, type Key6 } from '../../../../src/compile/key6.js';
import { UNDERLYING, winnerAt, type Segments } from '../../../../src/compile/regions.js';
import { prefixes4, prefixes6 } from '../../../../src/drivers/ovs/pipeline/address-cover.js';
import { coverServices, portShape, type ServiceMatch } from '../../../../src/drivers/ovs/pipeline/service-cover.js';

/** The winner by the most specific match; undefined: none matches. */
function byMatches(matches: readonly ServiceMatch[], protocol: number, port: number): number | undefined {
  let best: ServiceMatch | undefined;
  const depth = (match: ServiceMatch): number => (match.protocol === undefined ? 0 : 1 + match.bits);
  for (const match of matches) {
    if (match.protocol !== undefined && match.protocol !== protocol) continue;
    if (match.port >>> (16 - match.bits) !== port >>> (16 - match.bits)) continue;
    if (best === undefined || depth(match) > depth(best)) best = match;
  }
  return best?.winner;
}

const protocols = [0, 1, 2, 6, 17, 47, 58, 132, 255];
const place = fc.tuple(fc.constantFrom(...protocols), fc.oneof(fc.constantFrom(0, 1, 80, 443, 1023, 1024, 2048, 65535), fc.nat(65535))).map(([protocol, port]) => protocol * 65536 + port);

const painted = fc.tuple(fc.uniqueArray(place, { maxLength: 24 }), fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 25, maxLength: 25 })).map(([places, winners]): Segments => {
  const starts = [0, ...places.filter((x) => x !== 0).sort((a, b) => a - b)];
  const kept: number[] = [];
  const chosen: number[] = [];
  starts.forEach((start, index) => {
    const winner = winners[index] ?? 0;
    if (chosen.at(-1) === winner) return;
    kept.push(start);
    chosen.push(winner);
  });
  return { starts: Uint32Array.from(kept), winners: Uint32Array.from(chosen) };
});

describe('services as matches', () => {
  it.each([undefined, UNDERLYING])('decide every packet as the painting does (open: %s)', (open) => {
    fc.assert(fc.property(painted, fc.array(place, { maxLength: 40 }), (segments, extra) => {
      const matches = coverServices(segments, open);
      const around = [...segments.starts].flatMap((start) => [start - 1, start, start + 1]).filter((x) => x >= 0 && x < 1 << 24);
      for (const x of [...around, ...extra]) {
        const protocol = x >>> 16;
        // Where there is no port, the slot holds 0.
        const port = portShape(protocol) === 'none' ? 0 : x & 0xffff;
        expect(byMatches(matches, protocol, port) ?? open).toBe(winnerAt(segments, protocol * 65536 + port));
      }
      for (const { protocol, bits } of matches) {
        if (protocol !== undefined && portShape(protocol) === 'types') expect([0, 8, 16]).toContain(bits);
        if (protocol !== undefined && portShape(protocol) === 'none') expect(bits).toBe(0);
      }
    }), { numRuns: 300 });
  });

  it('need one match for one port in everything else', () => {
    const segments: Segments = { starts: Uint32Array.of(0, 6 * 65536 + 80, 6 * 65536 + 81), winners: Uint32Array.of(1, 2, 1) };
    expect(coverServices(segments, undefined)).toEqual([
      { protocol: undefined, bits: 0, port: 0, winner: 1 }, { protocol: 6, bits: 16, port: 80, winner: 2 },
    ]);
    expect(coverServices({ ...segments, winners: Uint32Array.of(UNDERLYING, 2, UNDERLYING) }, UNDERLYING)).toEqual([{ protocol: 6, bits: 16, port: 80, winner: 2 }]);
    expect(coverServices({ starts: Uint32Array.of(0), winners: Uint32Array.of(UNDERLYING) }, UNDERLYING)).toEqual([]);
    expect(coverServices({ starts: Uint32Array.of(0), winners: Uint32Array.of(7) }, undefined)).toEqual([{ protocol: undefined, bits: 0, port: 0, winner: 7 }]);
  });
});

describe('intervals as prefixes', () => {
  it('cover just the interval (IPv4)', () => {
    fc.assert(fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), (a, b) => {
      const [first, last] = a < b ? [a, b] : [b, a];
      let next = first;
      for (const { address, bits } of prefixes4(first, last)) {
        expect(address).toBe(next);
        next = address + 2 ** (32 - bits);
        expect(address % 2 ** (32 - bits)).toBe(0);
      }
      expect(next).toBe(last + 1);
    }));
    expect(prefixes4(0, 0xffffffff)).toEqual([{ address: 0, bits: 0 }]);
    expect(prefixes4(5, 5)).toEqual([{ address: 5, bits: 32 }]);
  });

  it('cover just the interval (IPv6)', () => {
    const key = (value: bigint): Key6 => key6(value >> 64n, value & 0xffff_ffff_ffff_ffffn);
    const value = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n });
    fc.assert(fc.property(value, value, (a, b) => {
      const [first, last] = a < b ? [a, b] : [b, a];
      let next = first;
      for (const { address, bits } of prefixes6(key(first), key(last))) {
        expect(address).toBe(key(next));
        next += 1n << BigInt(128 - bits);
      }
      expect(next).toBe(last + 1n);
    }));
    expect(prefixes6(key(0n), key((1n << 128n) - 1n))).toEqual([{ address: key(0n), bits: 0 }]);
  });
});
