import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Replica } from '../../../../../src/drivers/ovs/ovsdb/replica.js';
import type { RowChange } from '../../../../../src/drivers/ovs/ovsdb/replica.js';
import type { DatabaseSchema } from '../../../../../src/drivers/ovs/ovsdb/schema.js';
import type { Json } from '../../../../../src/drivers/ovs/ovsdb/values.js';

const SCHEMA: DatabaseSchema = {
  name: 'db', version: '1',
  tables: new Map([['T', new Map([
    ['name', { key: 'string', min: 1, max: 1 }], ['number', { key: 'integer', min: 0, max: 1 }],
    ['ids', { key: 'string', value: 'string', min: 0, max: Infinity }], ['tags', { key: 'integer', min: 0, max: Infinity }],
  ] as const)]]),
};
const SELECTION = { T: ['name', 'number', 'ids', 'tags'] };
const uuidOf = (index: number): string => `00000000-0000-0000-0000-${String(index).padStart(12, '0')}`;

interface Model { readonly name: string; readonly number: number | undefined; readonly ids: Readonly<Record<string, string>>; readonly tags: readonly number[] }

const model: fc.Arbitrary<Model> = fc.record({
  name: fc.constantFrom('', 'a', 'b'),
  number: fc.option(fc.nat(3), { nil: undefined }),
  ids: fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.constantFrom('1', '2')),
  tags: fc.uniqueArray(fc.nat(4), { maxLength: 4 }).map((tags) => tags.toSorted((left, right) => left - right)),
});

const rowOf = ({ name, number, ids, tags }: Model): Map<string, unknown> =>
  new Map<string, unknown>([['name', name], ['number', number], ['ids', new Map(Object.entries(ids).toSorted(([left], [right]) => (left < right ? -1 : 1)))], ['tags', tags]]);

/** All columns, or without those that have their default (as "initial" and "insert" go). */
function whole({ name, number, ids, tags }: Model, sparse: boolean): Record<string, Json> {
  const row: Record<string, Json> = { name, number: number === undefined ? ['set', []] : number, ids: ['map', Object.entries(ids)], tags: ['set', tags] };
  if (sparse) {
    if (name === '') delete row['name'];
    if (number === undefined) delete row['number'];
    if (Object.keys(ids).length === 0) delete row['ids'];
    if (tags.length === 0) delete row['tags'];
  }
  return row;
}

function modify(before: Model, after: Model): Record<string, Json> {
  const row: Record<string, Json> = {};
  if (before.name !== after.name) row['name'] = after.name;
  if (before.number !== after.number) row['number'] = after.number === undefined ? ['set', []] : ['set', [after.number]];
  const ids = [...Object.entries(before.ids).filter(([key]) => !(key in after.ids)), ...Object.entries(after.ids).filter(([key, value]) => before.ids[key] !== value)];
  if (ids.length > 0) row['ids'] = ['map', ids];
  const tags = [...before.tags.filter((tag) => !after.tags.includes(tag)), ...after.tags.filter((tag) => !before.tags.includes(tag))];
  if (tags.length > 0) row['tags'] = ['set', tags];
  return row;
}

type World = ReadonlyMap<number, Model>;
const world: fc.Arbitrary<World> = fc.array(fc.tuple(fc.nat(5), model), { maxLength: 6 }).map((rows) => new Map(rows));

function updates(version: 1 | 2, before: World, after: World, first = false): Json {
  const rows: Record<string, Json> = {};
  for (const [index, row] of after) {
    const old = before.get(index);
    if (version === 1) rows[uuidOf(index)] = { new: whole(row, false), ...(old === undefined ? {} : { old: {} }) };
    else if (old === undefined) rows[uuidOf(index)] = { [first ? 'initial' : 'insert']: whole(row, true) };
    else rows[uuidOf(index)] = { modify: modify(old, row) };
  }
  for (const [index, row] of before) if (!after.has(index)) rows[uuidOf(index)] = version === 1 ? { old: whole(row, false) } : { delete: null };
  return Object.keys(rows).length === 0 ? {} : { T: rows };
}

const contents = (replica: Replica): unknown => Object.fromEntries(replica.table('T'));
const expected = (rows: World): unknown => Object.fromEntries([...rows].map(([index, row]) => [uuidOf(index), rowOf(row)]));
/** Changes as from → to, in a comparable form. */
const told = (changes: readonly RowChange[]): unknown => Object.fromEntries(changes.map(({ uuid, before, after }) => [uuid, [before, after]]));
function differing(before: World, after: World): unknown {
  const rows = [...new Set([...before.keys(), ...after.keys()])].map((index) => {
    const old = before.get(index);
    const fresh = after.get(index);
    return [uuidOf(index), [old === undefined ? undefined : rowOf(old), fresh === undefined ? undefined : rowOf(fresh)]] as const;
  });
  const json = (row: Map<string, unknown> | undefined): string => JSON.stringify(row === undefined ? null : [...row].map(([column, value]) => [column, value instanceof Map ? [...value] : value]));
  return Object.fromEntries(rows.filter(([, [old, fresh]]) => json(old) !== json(fresh)));
}

describe('Replica', () => {
  let replica: Replica;
  beforeEach(() => {
    replica = new Replica(SELECTION);
    replica.useSchema(SCHEMA);
  });

  it('holds what the database holds, over any history of updates of either kind, and tells exactly what differs', () => {
    fc.assert(
      fc.property(fc.constantFrom<1 | 2>(1, 2), world, fc.array(fc.tuple(fc.boolean(), world), { maxLength: 6 }), (version, first, history) => {
        const one = new Replica(SELECTION);
        one.useSchema(SCHEMA);
        expect(told(one.replace(updates(version, new Map(), first, true), version))).toEqual(differing(new Map(), first));
        let now = first;
        for (const [reconnected, next] of history) {
          const changes = reconnected ? one.replace(updates(version, new Map(), next, true), version) : version === 1 ? one.apply(updates(1, now, next)) : one.apply2(updates(2, now, next));
          expect(told(changes)).toEqual(differing(now, next));
          expect(contents(one)).toEqual(expected(next));
          now = next;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('keeps the very same row where nothing changed, so that who holds one may compare by identity', () => {
    const one: World = new Map([[1, { name: 'a', number: 1, ids: { x: '1' }, tags: [1] }]]);
    replica.replace(updates(2, new Map(), one, true), 2);
    const row = replica.table('T').get(uuidOf(1));
    expect(replica.replace(updates(2, new Map(), one, true), 2)).toEqual([]);
    expect(replica.apply2({ T: { [uuidOf(1)]: { modify: {} } } })).toEqual([]);
    expect(replica.table('T').get(uuidOf(1))).toBe(row);
  });

  it.each<[string, Json]>([
    ['a change of a row that is not known', { T: { [uuidOf(1)]: { insert: { name: 'new' } }, [uuidOf(9)]: { modify: { name: 'x' } } } }],
    ['a value of another type', { T: { [uuidOf(1)]: { insert: { name: 'new' } }, [uuidOf(0)]: { modify: { number: 'x' } } } }],
    ['a column that was not asked for', { T: { [uuidOf(0)]: { modify: { other: 1 } } } }],
    ['a table that was not asked for', { U: {} }],
    ['an unknown kind of update', { T: { [uuidOf(0)]: { upsert: {} } } }],
    ['no object', []],
    ['rows that are no object', { T: 7 }],
  ])('refuses %s and changes nothing', (_what, update) => {
    const before: World = new Map([[0, { name: 'a', number: 1, ids: {}, tags: [] }]]);
    replica.replace(updates(2, new Map(), before, true), 2);
    expect(() => replica.apply2(update)).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
    expect(contents(replica)).toEqual(expected(before));
  });

  it('says what the schema lacks, and whether rows of before are a base for updates', () => {
    const selective = new Replica({ T: ['name', 'colour'], Nowhere: ['x'] });
    expect(selective.useSchema(SCHEMA)).toEqual({ changed: true, selection: { T: ['name'] }, missing: ['T.colour', 'Nowhere'] });
    expect(selective.useSchema(SCHEMA).changed).toBe(false);
    const upgraded: DatabaseSchema = { ...SCHEMA, tables: new Map([['T', new Map([...(SCHEMA.tables.get('T') ?? []), ['colour', { key: 'string', min: 1, max: 1 }]])]]) };
    expect(selective.useSchema(upgraded)).toEqual({ changed: true, selection: { T: ['name', 'colour'] }, missing: ['Nowhere'] });
    expect(selective.table('Nowhere').size).toBe(0);
  });
});
