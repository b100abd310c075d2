import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonSplitter } from '../../../../../src/drivers/ovs/ovsdb/json-splitter.js';
import { AgentError } from '../../../../../src/model/errors.js';

function split(bytes: Uint8Array, cuts: readonly number[], longest = 1_000_000): { objects: unknown[]; splitter: JsonSplitter } {
  const splitter = new JsonSplitter(longest, 'peer');
  const objects: unknown[] = [];
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  let begin = 0;
  for (const place of [...places, bytes.length]) {
    splitter.push(bytes.subarray(begin, place), (object) => objects.push(object));
    begin = place;
  }
  return { objects, splitter };
}

const cuts = fc.array(fc.nat(10_000), { maxLength: 12 });
// Strings full of what confuses a scanner: quotes, brackets, backslashes, letters of several bytes.
const awkward = fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', '\n', '\u0000', 'a', 'ö', '💧', '\u2028'), maxLength: 20 });
const objectOf = fc.dictionary(awkward, fc.oneof(awkward, fc.jsonValue({ maxDepth: 4 })), { maxKeys: 4 });
/** As JSON has it: -0 and the like are gone. */
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('JsonSplitter', () => {
  it('gives back the objects of a stream, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(objectOf, fc.constantFrom('', ' ', '\n', '\r\n\t ')), { maxLength: 6 }), cuts, (messages, places) => {
        const bytes = Buffer.from(messages.map(([object, space]) => JSON.stringify(object) + space).join(''));
        const { objects, splitter } = split(bytes, places);
        expect(objects).toEqual(messages.map(([object]) => asJson(object)));
        expect(splitter.empty).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('gives nothing for a message that is not complete', () => {
    fc.assert(
      fc.property(objectOf, cuts, fc.nat(), (object, places, keep) => {
        const bytes = Buffer.from(JSON.stringify(object));
        expect(split(bytes.subarray(0, keep % bytes.length), places).objects).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('ends in objects or an AgentError, whatever comes', () => {
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', ':', '1', ' '), maxLength: 60 }).map((text) => new Uint8Array(Buffer.from(text))));
    fc.assert(
      fc.property(bytes, cuts, (input, places) => {
        try {
          for (const object of split(input, places).objects) expect(typeof object).toBe('object');
        } catch (error) {
          expect(error).toBeInstanceOf(AgentError);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(['[]', 'null', '"x"', '1', '}', '{} x', '{}]', '\u00ef\u00bb\u00bf{}'])('refuses %j: only objects follow each other', (text) => {
    expect(() => split(Buffer.from(text, 'latin1'), [])).toThrow(expect.objectContaining({ code: 'E_PARSE', object: 'peer' }));
  });

  it.each(['{]', '{"a" 1}', '{"a":}', '{"a":"\n"}', '{"a":[1}}'])('refuses %j, which is balanced but no JSON', (text) => {
    expect(() => split(Buffer.from(text), [])).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  });

  it('takes a message of just the greatest length, and none that is longer, complete or not', () => {
    const exact = Buffer.from(JSON.stringify({ a: 'x'.repeat(92) }));
    expect(exact).toHaveLength(100);
    expect(split(Buffer.concat([exact, exact]), [3, 50, 120], 100).objects).toHaveLength(2);
    expect(() => split(Buffer.from(JSON.stringify({ a: 'x'.repeat(93) })), [10], 100)).toThrow(expect.objectContaining({ code: 'E_LIMIT' }));
    const endless = new JsonSplitter(1_000, 'peer');
    expect(() => {
      for (let turn = 0; turn < 100; turn++) endless.push(Buffer.from(turn === 0 ? '{"a":"' : 'x'.repeat(50)), () => undefined);
    }).toThrow(expect.objectContaining({ code: 'E_LIMIT' }));
  });

  it('refuses what is nested deeper than any message', () => {
    expect(split(Buffer.from(`{"a":${'['.repeat(60)}${']'.repeat(60)}}`), []).objects).toHaveLength(1);
    expect(() => split(Buffer.from(`{"a":${'['.repeat(1_000_000)}`), [])).toThrow(expect.objectContaining({ code: 'E_LIMIT' }));
  });

  it('needs time in proportion to the input, also for a string of backslashes that comes byte by byte', () => {
    const count = 200_000;
    const bytes = Buffer.from(`{"a":"${'\\\\'.repeat(count)}"}`);
    const begun = performance.now();
    expect(split(bytes, []).objects).toEqual([{ a: '\\'.repeat(count) }]);
    const splitter = new JsonSplitter(10_000_000, 'peer');
    let found: unknown;
    for (let at = 0; at < bytes.length; at += 7) splitter.push(bytes.subarray(at, at + 7), (object) => { found = object; });
    expect(found).toEqual({ a: '\\'.repeat(count) });
    expect(performance.now() - begun).toBeLessThan(3_000);
  });
});
