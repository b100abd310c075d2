import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { v4ToText, v6ToText } from '../../../src/model/address.js';
import { parseDocuments } from '../../../src/sources/file/documents.js';
import { packLists, splitTexts, unpackLists } from '../../../src/sources/file/packed-lists.js';
import { liftPlainLists, restorePlainLists } from '../../../src/sources/file/plain-lists.js';

const values = (text: string): unknown[] => parseDocuments(text, false).map(({ value }) => value);

describe('documents of a file', () => {
  it('are split at --- and counted by content', () => {
    expect(parseDocuments('# head\n---\na: 1\n---\n# nothing\n---\n\n--- {b: 2}\n', false)).toEqual([
      { index: 1, item: '', value: { a: 1 } }, { index: 2, item: '', value: { b: 2 } },
    ]);
    expect(values('%YAML 1.2\n---\na: 1\n...\n---\nb: 2\n')).toEqual([{ a: 1 }, { b: 2 }]);
    expect(values('\ufeffa: 1\r\n---\r\nb: 2\r\n')).toEqual([{ a: 1 }, { b: 2 }]);
    expect(values('')).toEqual([]);
    expect(values('---\n---\n# x\n')).toEqual([]);
    expect(values('text: |\n  one\n  --- not a marker\n')).toEqual([{ text: 'one\n--- not a marker\n' }]);
  });

  it('fail alone, with the line in the file', () => {
    const documents = parseDocuments('a: 1\n---\nb: [1, 2\nc: 3\n---\n"unclosed\n---\nd: 4\n', false);
    expect(documents.map(({ value }) => value)).toEqual([{ a: 1 }, undefined, undefined, { d: 4 }]);
    expect(documents[1]?.problem).toMatchObject({ path: expect.stringMatching(/^line [34]$/), message: expect.stringContaining('not YAML') });
    expect(documents[2]?.problem?.path).toMatch(/^line [67]$/);
  });

  it('refuse duplicate keys, unresolved and exploding aliases', () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]', ...['b', 'c', 'd', 'e'].map((key, index) => `${key}: &${key} [${Array(10).fill(`*${'abcd'[index] ?? ''}`).join(', ')}]`)].join('\n');
    for (const text of ['a: 1\na: 2\n', 'a: *nothing\n', bomb]) expect(parseDocuments(text, false)[0]?.problem?.message).toContain('not YAML');
  });

  it('keep what looks like a number in YAML 1.1 a string', () => {
    expect(values('mac: 00:50:56:00:00:01\nswitch: on\nwhen: 2026-01-02\n')).toEqual([{ mac: '00:50:56:00:00:01', switch: 'on', when: '2026-01-02' }]);
  });

  it('expand lists', () => {
    expect(parseDocuments('kind: List\nitems:\n- a: 1\n- b: 2\n', false)).toEqual([
      { index: 1, item: 'items[0]', value: { a: 1 } }, { index: 1, item: 'items[1]', value: { b: 2 } },
    ]);
  });

  it('are JSON in a .json file, and where YAML looks like it', () => {
    expect(parseDocuments('{"a": 1}', true)).toEqual([{ index: 1, item: '', value: { a: 1 } }]);
    expect(parseDocuments('', true)).toEqual([]);
    expect(parseDocuments('{"a": ', true)[0]?.problem?.message).toContain('not JSON');
    expect(values('{a: 1}\n---\n{b: 2}\n')).toEqual([{ a: 1 }, { b: 2 }]);
  });
});

const address = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }).map(v4ToText), fc.tuple(fc.bigInt(0n, (1n << 64n) - 1n), fc.bigInt(0n, 3n)).map(([hi, lo]) => v6ToText(hi, lo)),
  fc.constantFrom('10.0.0.0/8', '10.0.0.1-10.0.0.9', '00:50:56:aa:00:01', '1.2', '12', '1:2', 'fd00::', '1e3', 'abc', '- 1.2.3.4', '"1.2.3.4"', "'1.2.3.4'", '1.2.3.4 # note', '::1', '', '~'),
);

describe('lifting long lists', () => {
  it('changes nothing about what the text means', () => {
    const list = fc.array(address, { minLength: 1, maxLength: 40 }).chain((some) => fc.integer({ min: 1, max: 40 }).map((times) => Array.from({ length: times }, () => some).flat()));
    fc.assert(fc.property(list, list, fc.constantFrom('', '  ', '    '), fc.constantFrom('spec:\n  x: 1\n  addresses:\n', 'addresses: |\n', 'addresses: >\n', '#\nx:\n'), (a, b, indent, head) => {
      const text = `${head}${a.map((each) => `  ${indent}- ${each}\n`).join('')}after:\n${b.map((each) => `- ${each}\n`).join('')}`;
      let expected: unknown;
      try {
        expected = parse(text, { merge: true });
      } catch {
        expect(parseDocuments(text, false)[0]?.problem).toBeDefined();
        return;
      }
      expect(values(text)).toEqual([expected]);
    }), { numRuns: 150 });
  });

  it('is done for runs of at least 256 and keeps line numbers', () => {
    const lines = Array.from({ length: 300 }, (_, index) => `  - 10.0.${index >> 8}.${index & 255}`).join('\n');
    expect(liftPlainLists(`a:\n${lines.split('\n').slice(0, 255).join('\n')}\n`)).toBeUndefined();
    const lifted = liftPlainLists(`a:\n${lines}\nb: 1\n`);
    expect(lifted?.lists[0]).toHaveLength(300);
    expect([1, 2, 3].map((line) => lifted?.originalLine(line))).toEqual([1, 2, 302]);
    expect(parseDocuments(`a:\n${lines}\nb: [\n`, false)[0]?.problem?.path).toMatch(/^line 30[23]$/);
  });

  it('notices a marker that did not become an entry', () => {
    expect(restorePlainLists([{ a: 'x lifted-list-0' }], [['1.2.3.4']])).toBe(false);
    expect(restorePlainLists([{ a: [1, 'lifted-list-0'] }], [['1.2.3.4', '1.2.3.5']])).toBe(true);
  });
});

describe('packing lists', () => {
  it('gives the same value on the other side, equal lists shared', async () => {
    const long = Array.from({ length: 50_000 }, (_, index) => `entry ${index}`);
    const make = () => ({ objects: [{ addresses: [...long], manifest: { addresses: [...long], short: ['a'], mixed: [...long, 1] } }], n: 5, nothing: null });
    const value = make();
    const texts = packLists(value);
    expect(texts).toHaveLength(1);
    const received = structuredClone(value);
    let pauses = 0;
    unpackLists(received, await splitTexts(texts, async () => {
      pauses++;
      return Promise.resolve();
    }));
    expect(received).toEqual(make());
    expect(pauses).toBe(4);
    expect(received.objects[0]?.addresses).toBe(received.objects[0]?.manifest.addresses);
  });

  it('leaves lists alone that a line feed cannot separate', () => {
    expect(packLists({ a: Array.from({ length: 3000 }, () => 'x\ny'), b: Array.from({ length: 3000 }, () => '') })).toEqual([]);
  });
});
