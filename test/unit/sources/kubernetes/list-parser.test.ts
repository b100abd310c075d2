import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldsOf } from '../../../../src/model/identity.js';
import { objectShape, type Shape } from '../../../../src/sources/kubernetes/json-cut.js';
import { LineSplitter } from '../../../../src/sources/kubernetes/line-splitter.js';
import { ListParser, type ListEnvelope } from '../../../../src/sources/kubernetes/list-parser.js';

function pick(fields: Readonly<Record<string, unknown>>, name: string, change: (value: unknown) => unknown): object {
  return Object.hasOwn(fields, name) ? { [name]: change(fields[name]) } : {};
}

function parse(text: string, cuts: readonly number[], shape?: Shape): { items: unknown[]; envelope: ListEnvelope } {
  const bytes = Buffer.from(text);
  const parser = new ListParser(shape);
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

  it('gives of each item what its shape keeps, wherever the list is cut', () => {
    const shape = objectShape({ a: 'all', b: objectShape({ c: { items: objectShape({ a: 'all' }) } }) });
    const kept = (value: unknown): unknown => {
      const fields = fieldsOf(value);
      if (fields === undefined) return value;
      const inner = fieldsOf(fields['b']);
      const c = inner?.['c'];
      const cutC = Array.isArray(c) ? c.map((each: unknown) => (fieldsOf(each) === undefined ? each : pick(fieldsOf(each) ?? {}, 'a', (all) => all))) : c;
      return { ...pick(fields, 'a', (all) => all), ...pick(fields, 'b', (b) => (inner === undefined ? b : pick(inner, 'c', () => cutC))) };
    };
    const names = fc.constantFrom('a', 'b', 'c', 'd', 'aa', '', 'ä');
    const scalar = fc.constantFrom(1, -2.5e-3, true, false, null, '', 'x', 'say "]},', '\\', 'ä€');
    const some = { maxLength: 3 };
    const value = fc.oneof(scalar, fc.array(scalar, some), fc.dictionary(names, scalar, { maxKeys: 3 }));
    const inner = fc.dictionary(names, fc.oneof(value, fc.array(value, some)), { maxKeys: 3 });
    const objects = fc.dictionary(names, fc.oneof(value, inner), { maxKeys: 4 });
    fc.assert(fc.property(fc.array(fc.oneof(objects, value), { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 4 }), fc.constantFrom(0, 1), (items, cuts, space) => {
      const text = JSON.stringify({ metadata: { resourceVersion: '1' }, items }, undefined, space);
      expect(parse(text, cuts, shape).items).toEqual((JSON.parse(text) as { items: unknown[] }).items.map((item) => kept(item)));
    }), { numRuns: 500 });
  });

  it('reads names that are written with escapes', () => {
    expect(parse('{"metadata":{},"items":[{"\\u0061":1,"d":2}]}', [], objectShape({ a: 'all' })).items).toEqual([{ a: 1, d: 2 }]);
  });

  it('refuses items that are no JSON also where they are cut down', () => {
    for (const item of ['{"d":b}', '{"d":}', '{"d" 1}', '{"a":nul}', '{"a":[1,]}', '{"d":1,}', '{,"d":1}', '{"d":1 "a":2}', '{"a":1}{"a":2}', '{"d":01x}']) {
      expect(() => parse(`{"metadata":{},"items":[${item}]}`, [], objectShape({ a: 'all' })), item).toThrow('no JSON');
    }
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
