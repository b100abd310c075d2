import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../../src/sources/kubernetes/line-splitter.js';
import { ListParser, type ListEnvelope } from '../../../../src/sources/kubernetes/list-parser.js';

function parse(text: string, cuts: readonly number[]): { items: unknown[]; envelope: ListEnvelope } {
  const bytes = Buffer.from(text);
  const parser = new ListParser();
  const items: unknown[] = [];
  let start = 0;
  for (const cut of [...cuts.map((each) => each % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)) {
    // A reader that uses its buffer again.
    const chunk = Uint8Array.from(bytes.subarray(start, cut));
    items.push(...parser.push(chunk));
    chunk.fill(0x7b);
    start = cut;
  }
  return { items, envelope: parser.finish() };
}

const nasty = fc.oneof(fc.json({ maxDepth: 3 }), fc.constantFrom('{"items":[1,2]}', '"\\"items\\":["', '{"a":"]}"}', '"\\\\"', '[]', '{}', '"ä€😀"', '-1.5e3', 'null'));

describe('ListParser', () => {
  it('finds the items of any list, wherever it is cut, and what stands around them', () => {
    fc.assert(fc.property(fc.array(nasty, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 8 }), fc.constantFrom('', ' ', '\n  '), fc.boolean(), (items, cuts, space, metadataFirst) => {
      const metadata = `"metadata":${space}{"resourceVersion":"12","continue":"abc","x":{"items":[{"not":"one"}]}}`;
      const list = `"items"${space}:${space}[${space}${items.join(`${space},${space}`)}${space}]`;
      const text = `{"kind":"PodList",${metadataFirst ? `${metadata},${space}${list}` : `${list},${space}${metadata}`}${space}}\n`;
      const parsed = parse(text, cuts);
      expect(parsed.items).toEqual(items.map((item) => JSON.parse(item) as unknown));
      expect(parsed.envelope).toEqual({ resourceVersion: '12', continueToken: 'abc' });
    }), { numRuns: 500 });
  });

  it('takes null for an empty list, as Go writes it', () => {
    expect(parse('{"metadata":{"resourceVersion":"3"},"items":null}', [])).toEqual({ items: [], envelope: { resourceVersion: '3', continueToken: '' } });
  });

  it('never takes a part for the whole: every cut-off list is refused', () => {
    const text = '{"kind":"PodList","metadata":{"resourceVersion":"12"},"items":[{"a":"}"},{"b":[1]}]}';
    for (let length = 0; length < text.length; length++) expect(() => parse(text.slice(0, length), [])).toThrow();
    expect(parse(text, []).items).toHaveLength(2);
  });

  it('refuses what is no list, and items that are no JSON', () => {
    expect(() => parse('{"kind":"Status","status":"Failure"}', [])).toThrow('no list');
    expect(() => parse('<html>a proxy</html>', [])).toThrow();
    expect(() => parse('{"metadata":{},"items":[{"a":nonsense}]}', [])).toThrow('an item of the list is no JSON');
  });

  it('does not hold more than an item', () => {
    const parser = new ListParser();
    parser.push(Buffer.from('{"metadata":{},"items":[{"a":"'));
    expect(() => { for (let count = 0; count < 40; count++) parser.push(Buffer.alloc(1024 * 1024, 0x61)); }).toThrow('larger than');
    const endless = new ListParser();
    expect(() => { for (let count = 0; count < 40; count++) endless.push(Buffer.alloc(1024 * 1024, 0x20)); }).toThrow('larger than');
  });
});

describe('LineSplitter', () => {
  it('gives the lines of any text, wherever it is cut', () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(/[\n\r]/g, '')), { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 8 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const splitter = new LineSplitter();
      const found: string[] = [];
      let start = 0;
      for (const cut of [...cuts.map((each) => each % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)) {
        found.push(...splitter.push(Uint8Array.from(bytes.subarray(start, cut))));
        start = cut;
      }
      expect(found).toEqual(lines.filter((line) => line.trim() !== ''));
    }));
  });

  it('refuses a line without end', () => {
    const splitter = new LineSplitter();
    expect(() => { for (let count = 0; count < 40; count++) splitter.push(Buffer.alloc(1024 * 1024, 0x61)); }).toThrow('larger than');
  });
});
