import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineSplitter } from '../../../../src/drivers/ids/line-splitter.js';

/** What a reader of the whole text would say. */
function expected(text: string, longest: number): { lines: string[]; oversized: number } {
  const complete = text.split('\n').slice(0, -1);
  const fits = (line: string): boolean => Buffer.byteLength(line) <= longest;
  const rest = text.slice(text.lastIndexOf('\n') + 1);
  return { lines: complete.filter((line) => line !== '' && fits(line)), oversized: complete.filter((line) => !fits(line)).length + (fits(rest) ? 0 : 1) };
}

test('any cutting of a stream gives the lines of the whole', () => {
  const text = fc.array(fc.oneof({ weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) }, fc.constant('\n')), { maxLength: 60 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), fc.integer({ min: 1, max: 20 }), (whole, sizes, longest) => {
      const splitter = new LineSplitter(longest);
      const bytes = Buffer.from(whole);
      const lines: string[] = [];
      for (let at = 0, step = 0; at < bytes.length; step += 1) {
        const size = sizes[step % sizes.length] ?? 1;
        const piece = Buffer.from(bytes.subarray(at, at + size));
        lines.push(...splitter.push(piece));
        piece.fill(0x2a); // the caller may reuse its buffer
        at += size;
      }
      expect({ lines, oversized: splitter.oversized }).toEqual(expected(whole, longest));
      expect(splitter.pending).toBeLessThanOrEqual(longest);
    }),
    { numRuns: 1000 },
  );
});

test('a line whose beginning is unknown is left out and not counted', () => {
  const splitter = new LineSplitter(100);
  splitter.skipToNextLine();
  expect(splitter.push(Buffer.from('tail of a line'))).toEqual([]);
  expect(splitter.push(Buffer.from(' still\nnext\n'))).toEqual(['next']);
  expect(splitter.oversized).toBe(0);
});
