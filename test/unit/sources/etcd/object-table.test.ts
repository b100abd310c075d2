/** Which key stands for an object, against the obvious: everything sorted by scope, form and key, the first good one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DesiredObject } from '../../../../src/model/objects.js';
import { EtcdKeys } from '../../../../src/sources/etcd/keys.js';
import { ObjectTable, shown, type KeyChange } from '../../../../src/sources/etcd/object-table.js';
import type { Verdict } from '../../../../src/sources/etcd/values.js';

const keys = new EtcdKeys('/p', 'h');
const SET_KEYS = ['s', 's@1', 's@2'].flatMap((name) => [keys.set(name), keys.set(name, 'h')]);
const KEYS = [...SET_KEYS, keys.manifest({ kind: 'AddressSet', name: 's' }), keys.manifest({ kind: 'AddressSet', name: 's' }, 'h'), keys.table('t'), keys.manifest({ kind: 'RuleTable', name: 't' }), '/p/objects/junk'];

const changeOf = (key: string, number: number | undefined, good = true): KeyChange => {
  const place = keys.parse(key);
  if (place.form === 'none' || place.form === 'workload' || place.form === 'agent') return { key, place: { path: '', message: 'junk' }, verdict: number === undefined ? undefined : { refused: { path: '', message: 'junk' } } };
  const address = `10.0.0.${number ?? 0}`;
  const object: DesiredObject = place.object.startsWith('RuleTable')
    ? { kind: 'RuleTable', metadata: { name: 't', labels: {}, annotations: { number: String(number) } }, addressSets: [], rules: [], layer2Rules: [] }
    : { kind: 'AddressSet', metadata: { name: 's', labels: {} }, addresses: [address] };
  const verdict: Verdict = !good ? { refused: { path: 'x', message: 'bad' } } : { good: place.form === 'addressset' ? { form: 'set', labels: {}, addresses: [address] } : { form: 'object', object, manifest: { number } } };
  return { key, place, verdict: number === undefined ? undefined : verdict };
};
/** What the source holds of a key: its last good number, and whether it is bad now. */
interface Held { readonly good: number | undefined; readonly bad: boolean }

function expectedSet(held: ReadonlyMap<string, Held>): readonly string[] | undefined {
  for (const node of ['h', undefined]) {
    const head = held.get(keys.set('s', node))?.good;
    if (head !== undefined) return [head, ...['s@1', 's@2'].flatMap((name) => held.get(keys.set(name, node))?.good ?? [])].map((number) => `10.0.0.${number}`);
    const manifest = held.get(keys.manifest({ kind: 'AddressSet', name: 's' }, node))?.good;
    if (manifest !== undefined) return [`10.0.0.${manifest}`];
  }
  return undefined;
}

describe('objects of keys', () => {
  it('are those of the strongest claim, whatever came before', () => {
    const step = fc.record({ key: fc.constantFrom(...KEYS), what: fc.constantFrom('good', 'good', 'bad', 'gone') });
    fc.assert(fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 12 }), (history) => {
      const table = new ObjectTable();
      const held = new Map<string, Held>();
      let number = 0;
      for (const batch of history) {
        const before = table.snapshot;
        const seen = JSON.stringify([[...before.objects], before.errors]);
        const changed = table.apply(batch.map(({ key, what }) => {
          number = (number + 1) % 250;
          if (what === 'gone') held.delete(key);
          else held.set(key, what === 'bad' ? { good: held.get(key)?.good, bad: true } : { good: key.includes('junk') ? undefined : number, bad: key.includes('junk') });
          return changeOf(key, what === 'gone' ? undefined : number, what === 'good');
        }));
        const { objects, errors, revision } = table.snapshot;
        const set = objects.get('AddressSet/s');
        expect(set?.kind === 'AddressSet' ? set.addresses : undefined).toEqual(expectedSet(held));
        const rules = objects.get('RuleTable/t');
        expect(rules?.metadata.annotations?.['number']).toBe((held.get(keys.table('t'))?.good ?? held.get(keys.manifest({ kind: 'RuleTable', name: 't' }))?.good)?.toString());
        for (const [key, { bad }] of held) expect([key, errors.some(({ object, message }) => object === key && (message === 'bad' || message === 'junk'))]).toEqual([key, bad]);
        for (const { object } of errors) expect(held.has(object)).toBe(true);
        expect(revision).toBe(before.revision + (changed ? 1 : 0));
        if (!changed) expect(JSON.stringify([[...objects], errors])).toBe(seen);
      }
    }), { numRuns: 300 });
  });

  it('that two keys of one scope claim are an error of the weaker one; across scopes they are none', () => {
    const table = new ObjectTable();
    table.apply([changeOf(keys.set('s'), 1), changeOf(keys.manifest({ kind: 'AddressSet', name: 's' }), 2)]);
    expect(table.snapshot.errors).toEqual([{ object: keys.manifest({ kind: 'AddressSet', name: 's' }), path: '', message: `AddressSet/s is already defined by ${keys.set('s')}` }]);
    table.apply([changeOf(keys.manifest({ kind: 'AddressSet', name: 's' }), undefined), changeOf(keys.set('s', 'h'), 3)]);
    expect(table.snapshot.errors).toEqual([]);
    table.apply([changeOf(keys.set('s', 'h'), undefined), changeOf(keys.set('s'), undefined), changeOf(keys.set('s@1'), 4)]);
    expect(table.snapshot.errors.map(({ object }) => object)).toEqual([keys.set('s@1')]);
    expect(table.snapshot.objects.size).toBe(0);
  });

  it('are shown with every byte of their keys visible', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => {
      expect(shown(Buffer.from(bytes).toString('latin1'))).toMatch(/^[\x20-\x7e]*$/);
    }));
  });
});

describe('a set that names its parts', () => {
  const put = (table: ObjectTable, ...entries: readonly (readonly [name: string, addresses: readonly string[] | undefined, parts?: readonly string[]])[]): void => {
    table.apply(entries.map(([name, addresses, parts]) => {
      const key = keys.set(name);
      const place = keys.parse(key);
      if (place.form !== 'addressset') throw new Error(key);
      return { key, place, verdict: addresses === undefined ? undefined : { good: { form: 'set', labels: {}, addresses, ...(parts === undefined ? {} : { parts }) } } };
    }));
  };
  const held = (table: ObjectTable): DesiredObject | undefined => table.snapshot.objects.get('AddressSet/s');

  it('is made of these in their order, and of no others', () => {
    const table = new ObjectTable();
    put(table, ['s', ['10.0.0.1'], ['b', 'a']], ['s@a', ['10.0.0.3']], ['s@b', ['10.0.0.2']], ['s@c', ['10.0.0.4']]);
    expect(held(table)).toMatchObject({ addresses: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] });
    const before = held(table);
    put(table, ['s@d', ['10.0.0.5']], ['s@c', undefined]);
    expect(held(table)).toBe(before);
    put(table, ['s', ['10.0.0.1'], []]);
    expect(held(table)).toMatchObject({ addresses: ['10.0.0.1'] });
    put(table, ['s', ['10.0.0.1']]);
    expect(held(table)).toMatchObject({ addresses: ['10.0.0.1', '10.0.0.3', '10.0.0.2', '10.0.0.5'] });
  });

  it('stays as it was while one is not there, and says so', () => {
    const table = new ObjectTable();
    put(table, ['s', [], ['a']]);
    expect([held(table), table.snapshot.errors.map(({ object, path }) => `${object} ${path}`)]).toEqual([undefined, ['/p/addresssets/s parts']]);
    put(table, ['s@a', ['10.0.0.1']]);
    expect([held(table), table.snapshot.errors]).toEqual([expect.objectContaining({ addresses: ['10.0.0.1'] }), []]);
    put(table, ['s', [], ['b']], ['s@a', undefined]);
    expect([held(table), table.snapshot.errors.length]).toEqual([expect.objectContaining({ addresses: ['10.0.0.1'] }), 1]);
    put(table, ['s@b', ['10.0.0.2']]);
    expect([held(table), table.snapshot.errors]).toEqual([expect.objectContaining({ addresses: ['10.0.0.2'] }), []]);
  });
});
