import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSchema } from '../../../../../src/drivers/ovs/ovsdb/schema.js';
import { applyDifference, decodeValue, defaultValue, encodeValue, sameValue } from '../../../../../src/drivers/ovs/ovsdb/values.js';
import type { Atom, AtomType, ColumnType, Json, OvsdbValue } from '../../../../../src/drivers/ovs/ovsdb/values.js';
import { AgentError } from '../../../../../src/model/errors.js';

const uuid = fc.uuid();
const atomOf = (type: AtomType): fc.Arbitrary<Atom> =>
  ({ integer: fc.maxSafeInteger(), real: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0), boolean: fc.boolean(), string: fc.string({ maxLength: 6 }), uuid })[type];
const atomType = fc.constantFrom<AtomType>('integer', 'real', 'boolean', 'string', 'uuid');
const columnType: fc.Arbitrary<ColumnType> = fc.oneof(
  atomType.map((key) => ({ key, min: 1, max: 1 })),
  atomType.map((key) => ({ key, min: 0, max: 1 })),
  fc.tuple(atomType, fc.constantFrom(3, Infinity)).map(([key, max]) => ({ key, min: 0, max })),
  fc.tuple(atomType, atomType, fc.constantFrom(1, Infinity)).map(([key, value, max]) => ({ key, value, min: 0, max })),
);

/** What decodeValue would give: sets sorted and without doubles. */
const compare = (left: Atom, right: Atom): number => (left < right ? -1 : Number(left > right));
const setOf = (atoms: readonly Atom[]): Atom[] => [...new Set(atoms)].toSorted(compare);
const mapOf = (pairs: readonly (readonly [Atom, Atom])[]): Map<Atom, Atom> => new Map([...new Map(pairs)].toSorted(([left], [right]) => compare(left, right)));
function valueOf(type: ColumnType): fc.Arbitrary<OvsdbValue> {
  if (type.value !== undefined) return fc.array(fc.tuple(atomOf(type.key), atomOf(type.value)), { maxLength: type.max === 1 ? 1 : 5 }).map(mapOf);
  if (type.max === 1) return type.min === 1 ? atomOf(type.key) : fc.option(atomOf(type.key), { nil: undefined });
  return fc.array(atomOf(type.key), { maxLength: 5 }).map(setOf);
}
const typed = columnType.chain((type) => fc.tuple(fc.constant(type), valueOf(type), valueOf(type)));

/** As ovsdb-server writes a "modify": of columns for more than one element, only what differs. */
function difference(type: ColumnType, before: OvsdbValue, after: OvsdbValue): Json {
  if (type.max === 1) return encodeValue(type, after);
  if (before instanceof Map && after instanceof Map) {
    const old = before as Map<Atom, Atom>;
    const fresh = after as Map<Atom, Atom>;
    const gone = [...old].filter(([key]) => !fresh.has(key));
    return encodeValue(type, new Map([...gone, ...[...fresh].filter(([key, value]) => old.get(key) !== value)]));
  }
  const left = before as Atom[];
  const right = after as Atom[];
  return encodeValue(type, [...left.filter((atom) => !right.includes(atom)), ...right.filter((atom) => !left.includes(atom))]);
}

describe('values of columns', () => {
  it('are the same after writing and reading, through JSON', () => {
    fc.assert(
      fc.property(typed, ([type, value]) => {
        const back = decodeValue(type, JSON.parse(JSON.stringify(encodeValue(type, value))));
        expect(back).toEqual(value);
        expect(sameValue(back, value)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('follow from the value before and the difference that the server sends', () => {
    fc.assert(
      fc.property(typed, ([type, before, after]) => {
        expect(applyDifference(type, before, JSON.parse(JSON.stringify(difference(type, before, after))))).toEqual(after);
      }),
      { numRuns: 500 },
    );
  });

  it('are told apart exactly when they differ', () => {
    fc.assert(
      fc.property(typed, ([type, left, right]) => {
        expect(sameValue(left, right)).toBe(JSON.stringify(encodeValue(type, left)) === JSON.stringify(encodeValue(type, right)));
      }),
      { numRuns: 500 },
    );
  });

  it('that do not fit their type are refused with E_PARSE, whatever they are', () => {
    fc.assert(
      fc.property(columnType, fc.oneof(fc.jsonValue(), fc.tuple(fc.constantFrom('set', 'map', 'uuid'), fc.jsonValue())), (type, json) => {
        try {
          const value = decodeValue(type, json);
          expect(decodeValue(type, encodeValue(type, value))).toEqual(value);
        } catch (error) {
          expect(error).toBeInstanceOf(AgentError);
          expect(error).toMatchObject({ code: 'E_PARSE' });
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('are read as RFC 7047 writes them', () => {
    const optional: ColumnType = { key: 'integer', min: 0, max: 1 };
    const strings: ColumnType = { key: 'string', value: 'string', min: 0, max: Infinity };
    const references: ColumnType = { key: 'uuid', min: 0, max: Infinity };
    expect(decodeValue(optional, ['set', []])).toBeUndefined();
    expect([decodeValue(optional, 3), decodeValue(optional, ['set', [3]])]).toEqual([3, 3]);
    expect(decodeValue(references, ['uuid', '36bef046-7da7-43a5-905a-c17899216fcb'])).toEqual(['36bef046-7da7-43a5-905a-c17899216fcb']);
    expect(decodeValue(strings, ['map', [['b', '2'], ['a', '1']]])).toEqual(new Map([['a', '1'], ['b', '2']]));
    for (const json of [['set', [1, 2]], 'x', 1.5, null, ['set', 1], ['map', []]]) expect(() => decodeValue(optional, json)).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
    for (const json of [['map', [['a']]], ['map', [['a', 1]]], ['set', []], 'a', ['uuid', 'x']]) expect(() => decodeValue(strings, json)).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
    expect(() => decodeValue({ key: 'string', min: 1, max: 1 }, ['set', []])).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  });

  it('that an update leaves out are the type\'s own', () => {
    expect(([[1, 1], [0, 1], [0, Infinity]] as const).map(([min, max]) => defaultValue({ key: 'string', min, max }))).toEqual(['', undefined, []]);
    expect(defaultValue({ key: 'string', value: 'uuid', min: 0, max: 1 })).toEqual(new Map());
    expect((['integer', 'real', 'boolean', 'uuid'] as const).map((key) => defaultValue({ key, min: 1, max: 1 }))).toEqual([0, 0, false, '00000000-0000-0000-0000-000000000000']);
  });
});

describe('parseSchema', () => {
  it('reads every form of a type', () => {
    const column = (type: unknown): unknown => ({ type });
    const schema = parseSchema({
      name: 'db', version: '1.2.3',
      tables: { T: { columns: { a: column('string'), b: column({ key: 'integer', min: 0 }), c: column({ key: { type: 'uuid', refTable: 'T' }, min: 0, max: 'unlimited' }), d: column({ key: 'string', value: { type: 'real' }, min: 1, max: 8 }) } } },
    });
    expect([schema.name, schema.version, [...(schema.tables.get('T') ?? [])]]).toEqual(['db', '1.2.3', [
      ['a', { key: 'string', min: 1, max: 1 }], ['b', { key: 'integer', min: 0, max: 1 }], ['c', { key: 'uuid', min: 0, max: Infinity }], ['d', { key: 'string', value: 'real', min: 1, max: 8 }],
    ]]);
  });

  it('refuses anything else with E_PARSE', () => {
    const schemaWith = (type: unknown): unknown => ({ name: 'db', tables: { T: { columns: { a: { type } } } } });
    for (const json of [null, [], 'x', {}, { tables: [] }, { tables: { T: {} } }, schemaWith('text'), schemaWith(7), schemaWith({ key: 'integer', max: 'many' }), schemaWith({ value: 'integer' })]) {
      expect(() => parseSchema(json)).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
    }
  });
});
