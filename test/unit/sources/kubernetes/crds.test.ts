import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { ownDefinitions } from '../../../../src/sources/kubernetes/crd-definitions.js';
import { Decoder } from '../../../../src/sources/manifests/decode.js';

const DIRECTORY = join(import.meta.dirname, '../../../../deploy/crds');

type Fields = Record<string, unknown>;
function walk(schema: Fields, visit: (each: Fields) => void): void {
  visit(schema);
  for (const part of Object.values((schema['properties'] ?? {}) as Record<string, Fields>)) walk(part, visit);
  for (const name of ['items', 'additionalProperties']) if (typeof schema[name] === 'object') walk(schema[name] as Fields, visit);
}

describe('deploy/crds', () => {
  it('is what the decoder checks (scripts/gen-crds writes it)', () => {
    const files = readdirSync(DIRECTORY).filter((name) => name.startsWith('dfw.dev_')).sort();
    expect(files).toEqual(ownDefinitions().map(({ spec }) => `dfw.dev_${spec.names.plural}.yaml`).sort());
    for (const crd of ownDefinitions()) expect(parse(readFileSync(join(DIRECTORY, `dfw.dev_${crd.spec.names.plural}.yaml`), 'utf8'))).toEqual(JSON.parse(JSON.stringify(crd)));
  });

  it('has structural schemas: one type each, no references, no closed objects, items in every array', () => {
    for (const crd of ownDefinitions()) {
      const [version] = crd.spec.versions;
      walk(version?.schema.openAPIV3Schema ?? {}, (schema) => {
        expect(schema['$ref']).toBeUndefined();
        expect(schema['additionalProperties']).not.toBe(false);
        if (schema['x-kubernetes-int-or-string'] === true) expect(schema['type']).toBeUndefined();
        else expect(typeof schema['type']).toBe('string');
        if (schema['type'] === 'array') expect(schema['items']).toBeDefined();
        if (schema['properties'] !== undefined) expect(schema['additionalProperties']).toBeUndefined();
      });
    }
  });

  it('accepts and refuses what the decoder does, but for names that nobody knows, which a server drops', () => {
    const decoder = new Decoder();
    const ajv = new Ajv({ strict: false, formats: { int64: true, 'date-time': true } });
    const validators = new Map(ownDefinitions().map((crd) => {
      const schema = structuredClone(crd.spec.versions[0]?.schema.openAPIV3Schema) as Fields;
      walk(schema, (each) => { if (each['x-kubernetes-int-or-string'] === true) each['type'] = ['integer', 'string']; });
      return [crd.spec.names.kind, ajv.compile(schema)];
    }));
    const cases: readonly (readonly [string, unknown, boolean])[] = [
      ['RuleTable', { appliedTo: { selector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'k', operator: 'In', values: ['v'] }] } }, addressSets: [{ name: 's', addresses: ['10.0.0.1'] }], rules: [{ id: 1, protocol: 'tcp', ports: ['22', 80], action: 'accept' }], layer2Rules: [{ id: 2, ethertype: 2048, action: 'drop' }] }, true],
      ['RuleTable', { rules: [{ id: 'x', action: 'accept' }] }, false],
      ['RuleTable', { rules: [{ id: 1, action: 'allow' }] }, false],
      ['RuleTable', { rules: [{ id: 1 }] }, false],
      ['AddressSet', { addresses: ['10.0.0.1', '10.1.0.0/16'] }, true],
      ['AddressSet', {}, false],
      ['SecurityPolicy', { category: 'Application', sequence: 3, appliedTo: [{ group: 'g' }], rules: [{ name: 'r', services: [{ protocol: 'TCP', ports: ['1'] }], action: 'Allow' }] }, true],
      ['SecurityPolicy', { category: 'Other' }, false],
      ['Group', { criteria: [{ all: [{ object: 'Pod', key: 'Tag', operator: 'Equals', value: 'a=b' }] }], addresses: ['192.0.2.7'] }, true],
      ['Group', { criteria: [{ all: [{ object: 'Thing', key: 'Tag', operator: 'Equals', value: 'a' }] }] }, false],
      ['VirtualMachine', { uuid: 'u', nics: [{ name: 'eth0', addresses: ['10.0.0.1'] }] }, true],
      ['VirtualMachine', { nics: [{ addresses: [] }] }, false],
      ['Attachment', { node: 'host-1', workload: { kind: 'Pod', namespace: 'x', name: 'p' }, interface: 'veth0' }, true],
      ['Attachment', { workload: { kind: 'Pod', name: 'p' } }, false],
    ];
    for (const [kind, spec, good] of cases) {
      const manifest = { apiVersion: 'dfw.dev/v1', kind, metadata: { name: 'a' }, spec };
      expect('object' in decoder.decode(manifest), JSON.stringify(manifest)).toBe(good);
      expect(validators.get(kind)?.(manifest), JSON.stringify(manifest)).toBe(good);
    }
    expect(new Set(cases.map(([kind]) => kind))).toEqual(new Set(validators.keys()));
  });
});
