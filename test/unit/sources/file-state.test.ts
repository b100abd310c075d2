import { describe, expect, it } from 'vitest';
import { Decoder } from '../../../src/sources/manifests/decode.js';
import { EMPTY_FILE, nextState, type FileState } from '../../../src/sources/file/file-state.js';
import { mergeFiles } from '../../../src/sources/file/merge.js';
import { parseFile } from '../../../src/sources/file/parse-file.js';

const decoder = new Decoder();
const set = (name: string, address = '10.0.0.1'): string => `kind: AddressSet\nmetadata: {name: ${name}}\nspec: {addresses: ["${address}"]}\n`;
const load = (previous: FileState, text: string, name = 'm/a.yaml'): FileState => nextState(previous, name, parseFile(name, text, decoder));
const summary = (state: FileState): string[] => state.objects.map(([key, { kept }]) => (kept ? `${key} kept` : key));

describe('a file over time', () => {
  const abc = load(EMPTY_FILE, [set('a'), set('b'), set('c')].join('---\n'));

  it('has the objects of its documents', () => {
    expect(summary(abc)).toEqual(['AddressSet/a', 'AddressSet/b', 'AddressSet/c']);
    expect(abc.problems).toEqual([]);
  });

  it('keeps the last good version of an invalid document; the others take effect', () => {
    const next = load(abc, [set('a', '10.0.0.2'), set('b', 'nonsense'), set('d')].join('---\n'));
    expect(summary(next)).toEqual(['AddressSet/a', 'AddressSet/d', 'AddressSet/b kept']);
    expect(next.problems).toEqual([{ object: 'm/a.yaml#2', code: 'E_INVALID', path: 'spec.addresses[0]', message: expect.stringContaining('"nonsense" is not an address') }]);
    expect(summary(load(next, [set('a'), set('b', 'still bad')].join('---\n')))).toEqual(['AddressSet/a', 'AddressSet/b kept']);
    expect(summary(load(next, [set('a'), set('b')].join('---\n')))).toEqual(['AddressSet/a', 'AddressSet/b']);
    expect(summary(load(next, set('a')))).toEqual(['AddressSet/a']);
  });

  it('keeps an invalid document that moved, by its name', () => {
    expect(summary(load(abc, [set('c', 'bad'), set('a'), set('b')].join('---\n')))).toEqual(['AddressSet/a', 'AddressSet/b', 'AddressSet/c kept']);
  });

  it('keeps the one of the API group that the invalid document is of', () => {
    const kubernetes = (spec: string): string => `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: ${spec}\n`;
    const antrea = (spec: string): string => `apiVersion: crd.antrea.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: ${spec}\n`;
    const [ofKubernetes, ofAntrea] = ['{podSelector: {}}', '{priority: 5, appliedTo: [{podSelector: {}}]}'];
    const both = load(EMPTY_FILE, [kubernetes(ofKubernetes), antrea(ofAntrea)].join('---\n'));
    expect(summary(both)).toEqual(['NetworkPolicy/default/p', 'AntreaNetworkPolicy/default/p']);
    expect(summary(load(both, [antrea('{}'), kubernetes(ofKubernetes)].join('---\n')))).toEqual(['NetworkPolicy/default/p', 'AntreaNetworkPolicy/default/p kept']);
    expect(summary(load(both, [antrea(ofAntrea), kubernetes('{}')].join('---\n')))).toEqual(['AntreaNetworkPolicy/default/p', 'NetworkPolicy/default/p kept']);
  });

  it('keeps an unreadable document by its place', () => {
    expect(summary(load(abc, [set('a'), 'kind: [\n'].join('---\n')))).toEqual(['AddressSet/a', 'AddressSet/b kept']);
    expect(summary(load(abc, ['x: "', set('c')].join('\n---\n')))).toEqual(['AddressSet/c', 'AddressSet/a kept']);
  });

  it('keeps what nothing accounts for when the place says nothing', () => {
    expect(summary(load(abc, [set('x'), set('a'), set('y'), set('z'), 'kind: [\n'].join('---\n'))))
      .toEqual(['AddressSet/x', 'AddressSet/a', 'AddressSet/y', 'AddressSet/z', 'AddressSet/b kept', 'AddressSet/c kept']);
  });

  it('keeps the old object when a document was renamed and broken at once', () => {
    expect(summary(load(abc, [set('a'), set('new', 'bad'), set('c')].join('---\n')))).toEqual(['AddressSet/a', 'AddressSet/c', 'AddressSet/b kept']);
  });

  it('is one document when it is rules text', () => {
    const rules = (action: string): string => `ruleset x {\nrule 1 in protocol any from any to any ${action};\n}\nruleset y {\n}\n`;
    const good = load(EMPTY_FILE, rules('drop'), 'm/r.rules');
    expect(summary(good)).toEqual(['RuleTable/x', 'RuleTable/y']);
    const bad = load(good, rules('dorp'), 'm/r.rules');
    expect(summary(bad)).toEqual(['RuleTable/x kept', 'RuleTable/y kept']);
    expect(bad.problems).toEqual([{ object: 'm/r.rules', code: 'E_PARSE', path: 'line 2', message: expect.stringContaining('found "dorp"') }]);
    expect(bad.problems[0]?.message).toContain('rule 1 in protocol any from any to any dorp;');
  });

  it('names the item of a List', () => {
    const items = (address: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items: ['a', address].map((each, index) => ({ kind: 'AddressSet', metadata: { name: `s${index}` }, spec: { addresses: [index === 0 ? '10.0.0.1' : each] } })) });
    const bad = load(load(EMPTY_FILE, items('10.0.0.2')), items('x'));
    expect(summary(bad)).toEqual(['AddressSet/s0', 'AddressSet/s1 kept']);
    expect(bad.problems[0]).toMatchObject({ object: 'm/a.yaml#1', path: 'items[1].spec.addresses[0]' });
  });
});

describe('several files', () => {
  it('define an object once: the first by name wins', () => {
    const merged = mergeFiles([load(EMPTY_FILE, set('a', '10.0.0.1')), load(EMPTY_FILE, [set('b'), set('a', '10.0.0.2')].join('---\n'), 'm/b.yaml')]);
    expect([...merged.objects.keys()]).toEqual(['AddressSet/a', 'AddressSet/b']);
    expect(merged.objects.get('AddressSet/a')).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(merged.problems).toEqual([{ object: 'm/b.yaml#2', code: 'E_CONFLICT', path: 'metadata.name', message: 'AddressSet/a is already defined by m/a.yaml#1' }]);
  });

  it('prefer what is valid now to what was kept', () => {
    const kept = load(load(EMPTY_FILE, set('a', '10.0.0.1')), set('a', 'bad'));
    const merged = mergeFiles([kept, load(EMPTY_FILE, set('a', '10.0.0.2'), 'm/b.yaml')]);
    expect(merged.objects.get('AddressSet/a')).toMatchObject({ addresses: ['10.0.0.2'] });
    expect(merged.problems).toHaveLength(1);
  });

  it('report a name that comes twice in one file', () => {
    expect(mergeFiles([load(EMPTY_FILE, [set('a'), set('a')].join('---\n'))]).problems).toMatchObject([{ object: 'm/a.yaml#2', code: 'E_CONFLICT' }]);
  });
});
