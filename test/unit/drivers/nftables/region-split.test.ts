/** Asking the hash map by port, then by block, then the interval map, finds the winner of the painting that was split. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paint, SPACE, UNDERLYING, winnerAt, type Segments } from '../../../../src/compile/regions.js';
import { BLOCK_BITS, splitRegions, type SplitRegions } from '../../../../src/drivers/nftables/region-split.js';

const BLOCK = 1 << BLOCK_BITS;

function entries(list: readonly number[]): Map<number, number> {
  return new Map(Array.from({ length: list.length / 2 }, (_, index) => [list[index * 2] ?? 0, list[index * 2 + 1] ?? 0]));
}

function asked({ singles, blocks, rest }: SplitRegions, x: number): number {
  return entries(singles).get(x) ?? entries(blocks).get(x - x % BLOCK) ?? winnerAt({ starts: Uint32Array.from(rest.starts), winners: Uint32Array.from(rest.winners) }, x);
}

const x = fc.oneof(
  fc.integer({ min: 0, max: SPACE - 1 }),
  // Where rules and blocks meet: TCP, UDP, and the bounds of blocks.
  fc.tuple(fc.constantFrom(1, 6, 17, 255), fc.integer({ min: 0, max: 65_536 / BLOCK - 1 }), fc.constantFrom(0, 1, 2, BLOCK - 2, BLOCK - 1))
    .map(([protocol, block, offset]) => protocol * 65_536 + block * BLOCK + offset),
);
const interval = fc.tuple(x, fc.oneof(fc.constant(0), fc.constant(0), fc.nat(3), fc.nat(70_000), fc.nat(SPACE)))
  .map(([first, length]) => Uint32Array.of(first, Math.min(first + length, SPACE - 1)));

/** Any painting: of rules 0.., where rule 0 leaves its place to the painting under it, as nobody's place is. */
const painting = fc.array(interval, { maxLength: 40 }).map((intervals): Segments => {
  const { starts, winners } = paint(intervals.map((_, index) => index), intervals);
  return { starts, winners: winners.map((winner) => (winner >= intervals.length ? UNDERLYING : winner)) };
});

function mattersAt({ starts }: Segments): number[] {
  return [...starts].flatMap((start) => [start - 1, start, start + 1, start - start % BLOCK, start - start % BLOCK + BLOCK - 1, start - start % BLOCK + BLOCK])
    .filter((value) => value >= 0 && value < SPACE);
}

describe('splitting regions', () => {
  it('changes no answer', () => {
    fc.assert(fc.property(painting, fc.array(x, { maxLength: 20 }), (segments, more) => {
      const split = splitRegions(segments);
      for (const at of [...mattersAt(segments), ...more]) expect(asked(split, at), `x ${at}`).toBe(winnerAt(segments, at));
    }), { numRuns: 300 });
  });

  it('keeps regions of one port out of the interval map, and joins what they parted', () => {
    const tcp = (port: number): number => 6 * 65_536 + port;
    const segments = { starts: Uint32Array.of(0, tcp(10), tcp(80), tcp(81), tcp(443), tcp(444), tcp(500)), winners: Uint32Array.of(UNDERLYING, 7, 8, 7, 9, 7, UNDERLYING) };
    const { singles, blocks, rest } = splitRegions(segments);
    expect([...singles]).toEqual([tcp(80), 8, tcp(443), 9]);
    expect([...blocks]).toEqual([]);
    expect(rest.starts).toEqual([0, tcp(10), tcp(500)]);
    expect(rest.winners).toEqual([UNDERLYING, 7, UNDERLYING]);
  });

  it('makes blocks for TCP and UDP only, however wide the region', () => {
    const { blocks, rest } = splitRegions({ starts: Uint32Array.of(0), winners: Uint32Array.of(5) });
    expect(blocks.length / 2).toBe(2 * 65_536 / BLOCK);
    expect(new Set([...entries(blocks).keys()].map((first) => Math.floor(first / 65_536)))).toEqual(new Set([6, 17]));
    expect(rest.winners).toEqual([5]);
  });
});
