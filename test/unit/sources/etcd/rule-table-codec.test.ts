/** Rule tables as protobuf: the way there and back, what a newer writer added, and bytes that are no table. protobuf.js is the oracle of the bytes. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { isAgentError, type ErrorCode } from '../../../../src/model/errors.js';
import type { RuleTableObject } from '../../../../src/model/objects.js';
import { RuleTableCodec, SCHEMA_REVISION } from '../../../../src/sources/etcd/ruletable/codec.js';
import { generateCase } from '../../../oracle/generate.js';
import { tableDocument } from '../../../oracle/manifest.js';
import { accept, decode } from '../../../support/decode.js';

const file = (name: string): string => fileURLToPath(new URL(`../../../../proto/${name}`, import.meta.url));
const { root } = protobuf.parse(readFileSync(file('dfw/v1/rule_table.proto'), 'utf8'));
const RuleTable = root.lookupType('dfw.v1.RuleTable');
const codec = new RuleTableCodec();
const refused = (code: ErrorCode, path?: string) => expect.toSatisfy((error: unknown) => isAgentError(error, code) && (path === undefined || error.path === path));
const plan = {
  host: ['10.10.255.1', 'fd10::ffff:1'], outside: ['203.0.113.0/24', '2001:db8:cafe::/64'],
  workloads: [0, 1, 2].map((index) => ({
    name: `vm-${index}`, mac: `02:dd:00:00:0${index}:02`, hostMac: `02:dd:00:00:0${index}:01`, ipv4: `10.10.${index}.2`, ipv6: `fd10::${index}:2`, undeclared: [`10.20.${index}.0/24`],
  })),
};

const selector = fc.record({
  matchLabels: fc.dictionary(fc.constantFrom('app', 'tier', 'x'), fc.constantFrom('', 'demo', 'b')),
  matchExpressions: fc.array(fc.record({ key: fc.constantFrom('app', 'zone'), operator: fc.constantFrom('In', 'NotIn'), values: fc.array(fc.constantFrom('a', 'b'), { minLength: 1 }) })),
});
const labels = fc.dictionary(fc.constantFrom('owner', 'env'), fc.constantFrom('', 'a b', 'prod'));
/** Tables as the policy engine's own tests throw at it, and what those do not have. */
const tables: fc.Arbitrary<RuleTableObject> = fc.tuple(fc.integer({ min: 0, max: 1e6 }), labels, fc.option(selector)).map(([seed, own, chosen]) => {
  const [table] = generateCase(seed, plan, { packets: 0 }).tables;
  if (table === undefined) throw new Error('no table');
  const document = tableDocument(table) as { metadata: object; spec: { appliedTo?: object } };
  const appliedTo = { ...document.spec.appliedTo, ...(chosen === null ? {} : { selector: chosen }) };
  return accept('RuleTable', {
    ...document, metadata: { ...document.metadata, labels: own }, spec: { ...document.spec, ...(Object.keys(appliedTo).length === 0 ? {} : { appliedTo }) },
  });
});

/** Sets come back with IPv4 hosts first, then IPv6 hosts. */
const inOrder = (table: RuleTableObject): unknown => ({ ...table, addressSets: table.addressSets.map(({ name, addresses }) => ({ name, addresses: addresses.toSorted() })) });

describe('rule tables', () => {
  it('come back as they were', () => {
    fc.assert(fc.property(tables, (table) => {
      const back = accept('RuleTable', codec.readTable(codec.writeTable(table), table.metadata.name));
      expect(inOrder(back)).toEqual(inOrder(table));
    }), { numRuns: 200 });
  });

  it('are what protobuf.js makes of the schema', () => {
    fc.assert(fc.property(tables, (table) => {
      const bytes = codec.writeTable(table);
      const message = RuleTable.decode(bytes);
      expect(RuleTable.toObject(message)).toMatchObject({ name: table.metadata.name });
      const again = Buffer.from(RuleTable.encode(message).finish());
      expect(inOrder(accept('RuleTable', codec.readTable(again, table.metadata.name)))).toEqual(inOrder(table));
    }), { numRuns: 50 });
  });

  it('keep what a newer writer added, of the table and of rules that are still there', () => {
    const next = protobuf.parse(readFileSync(file('dfw/v1/rule_table.proto'), 'utf8')
      .replace('repeated Layer2Rule layer2_rules = 7;', 'repeated Layer2Rule layer2_rules = 7; string owner = 100;').replace('bool stateless = 13;', 'bool stateless = 13; string comment = 101;')).root.lookupType('dfw.v1.RuleTable');
    const newer = Buffer.from(next.encode(next.fromObject({
      name: 't', owner: 'somebody', rules: [{ id: 1, action: 'accept', comment: 'first' }, { id: 2, action: 'drop', comment: 'second' }, { id: 3, action: 'drop' }],
    })).finish());
    const table = accept('RuleTable', codec.readTable(newer, 't'));
    const rewritten = next.toObject(next.decode(codec.writeTable({ ...table, rules: table.rules.filter(({ id }) => id !== 1).toReversed() }, newer)));
    expect(rewritten).toMatchObject({ owner: 'somebody', rules: [{ id: 3 }, { id: 2, comment: 'second' }] });
    expect(JSON.stringify(rewritten)).not.toContain('first');
  });

  it('are refused whole when they need a newer reader, and not overwritten either', () => {
    const newer = Buffer.from(RuleTable.encode(RuleTable.fromObject({ reader: SCHEMA_REVISION + 1, rules: [{ id: 1, action: 'accept' }] })).finish());
    expect(() => codec.readTable(newer, 't')).toThrowError(refused('E_LIMIT', 'reader'));
    const table = accept('RuleTable', { kind: 'RuleTable', metadata: { name: 't' }, spec: { rules: [] } });
    expect(() => codec.writeTable(table, newer)).toThrowError(refused('E_CONFLICT'));
  });

  it('of sets with named parts ask for a reader that knows them, as long as there are any', () => {
    const AddressSet = root.lookupType('dfw.v1.AddressSet');
    const written = (bytes: Uint8Array): object => AddressSet.toObject(AddressSet.decode(bytes));
    const set = accept('AddressSet', { kind: 'AddressSet', metadata: { name: 's', labels: { a: 'b' } }, spec: { addresses: ['10.0.0.1'] } });
    const plain = codec.writeSet(set);
    expect(written(plain)).not.toHaveProperty('reader');
    const pinned = codec.withParts(Buffer.concat([plain, Buffer.from([0xa2, 0x06, 1, 0x78])]), 's', []);
    expect(codec.readSet(pinned, 's')).toEqual({ labels: { a: 'b' }, hosts: ['10.0.0.1'], others: [], parts: [] });
    expect(written(pinned)).toMatchObject({ reader: 2 });
    // A field that this program does not know stays.
    expect(pinned.toString('hex')).toContain('a2060178');
    expect(codec.readSet(codec.writeSet(set, pinned, ['x', 'y']), 's').parts).toEqual(['x', 'y']);
    expect(written(codec.writeSet(set, pinned))).not.toHaveProperty('reader');
  });

  it('that another key names are refused', () => {
    const table = accept('RuleTable', { kind: 'RuleTable', metadata: { name: 't' }, spec: { rules: [] } });
    expect(() => codec.readTable(codec.writeTable(table), 'u')).toThrowError(refused('E_INVALID', 'name'));
  });

  it('of any bytes are a manifest to check, or refused: nothing else comes out', () => {
    const bytes = fc.oneof(fc.uint8Array(), tables.chain((table) => {
      const written = codec.writeTable(table);
      return fc.tuple(fc.nat(written.length), fc.uint8Array({ maxLength: 4 })).map(([at, put]) => Buffer.concat([written.subarray(0, at), put, written.subarray(at + put.length)]));
    }));
    fc.assert(fc.property(bytes, (value) => {
      try {
        decode(codec.readTable(value, 'table'));
      } catch (error) {
        expect(isAgentError(error)).toBe(true);
      }
    }), { numRuns: 300 });
  });
});

describe('address sets', () => {
  const member = fc.oneof(
    fc.ipV4(), fc.ipV6(), fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 31 })).map(([address, length]) => `${address}/${length}`),
    fc.constantFrom('10.0.0.1-10.0.0.9', 'fd00::1-fd00::9', '02:00:00:00:00:01', '::ffff:10.0.0.1', '2001:db8::/32'),
  );

  it('come back with all their members', () => {
    fc.assert(fc.property(fc.array(member), labels, (members, own) => {
      const decoded = decode({ kind: 'AddressSet', metadata: { name: 's', labels: own }, spec: { addresses: members } });
      if (!('object' in decoded) || decoded.object.kind !== 'AddressSet') return;
      const read = codec.readSet(codec.writeSet(decoded.object), 's');
      expect([...read.hosts, ...read.others.map(String)].toSorted()).toEqual(decoded.object.addresses.toSorted());
      expect(read.labels).toEqual(own);
    }));
  });

  it('of 100,000 hosts are 400 kB', () => {
    const addresses = Array.from({ length: 100_000 }, (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
    const bytes = codec.writeSet(accept('AddressSet', { kind: 'AddressSet', metadata: { name: 's' }, spec: { addresses } }));
    expect(bytes.length).toBeLessThan(400_020);
    expect(codec.readSet(bytes, 's').hosts).toEqual(addresses);
  });

  it('of bytes that are no whole addresses are refused', () => {
    const type = root.lookupType('dfw.v1.AddressSet');
    expect(() => codec.readSet(Buffer.from(type.encode(type.fromObject({ addresses: { ipv4: Buffer.alloc(5) } })).finish()), 's')).toThrowError(refused('E_INVALID', 'spec.addresses.ipv4'));
  });
});

it.each(['dfw/v1/rule_table', 'etcd/rpc'])('%s.json is the .proto; scripts/gen-schema writes it', (name) => {
  expect(JSON.parse(readFileSync(file(`${name}.json`), 'utf8'))).toEqual(protobuf.parse(readFileSync(file(`${name}.proto`), 'utf8')).root.toJSON());
});
