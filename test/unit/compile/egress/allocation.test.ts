import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate } from '../../../../src/compile/egress/allocation.js';
import { ownerOf } from '../../../../src/compile/egress/owner.js';
import { poolHas, poolRanges } from '../../../../src/compile/egress/pool.js';
import type { EgressObject, ExternalIpPoolObject } from '../../../../src/model/policy-objects.js';

const pool = (name: string, ...ranges: readonly string[]): ExternalIpPoolObject => ({ kind: 'ExternalIPPool', metadata: { name, labels: {} }, ranges, nodeSelector: { matchLabels: {}, matchExpressions: [] } });
const egress = (name: string, from: string | undefined, address?: string): EgressObject => ({
  kind: 'Egress', metadata: { name, labels: {} }, appliedTo: {}, ...(from === undefined ? {} : { externalIpPool: from }), ...(address === undefined ? {} : { egressIp: address }),
});
const NONE = new Map<string, string>();
const messages = (result: ReturnType<typeof allocate>): string[] => result.problems.map(({ object, message }) => `${object}: ${message}`);

describe('allocation', () => {
  test('an address that is named comes before those that are asked for, and before what was given', () => {
    const result = allocate([egress('a', 'p'), egress('z', 'p', '192.0.2.1')], [pool('p', '192.0.2.1-192.0.2.2')], new Map([['a', '192.0.2.1']]));
    expect(Object.fromEntries(result.addresses)).toEqual({ a: '192.0.2.2', z: '192.0.2.1' });
    expect(result.usage.get('p')).toEqual({ total: 2, used: 2 });
  });
  test('what a status says was given is kept before what this agent knows, while the pool has it and nobody else', () => {
    const given = (name: string, address: string): EgressObject => ({ ...egress(name, 'p', address), isGiven: true });
    const before = new Map([['a', '192.0.2.3'], ['b', '192.0.2.2']]);
    const pools = [pool('p', '192.0.2.1-192.0.2.4')];
    expect(Object.fromEntries(allocate([egress('b', 'p'), given('a', '192.0.2.2')], pools, before).addresses)).toMatchObject({ a: '192.0.2.2' });
    expect(allocate([egress('b', 'p'), given('a', '192.0.2.2')], pools, before).addresses.get('b')).not.toBe('192.0.2.2');
    expect(Object.fromEntries(allocate([given('a', '198.51.100.1'), egress('c', 'p', '192.0.2.4')], pools, before).addresses)).toEqual({ a: '192.0.2.3', c: '192.0.2.4' });
    expect(allocate([given('a', '192.0.2.1'), given('b', '192.0.2.1')], pools, before)).toMatchObject({ problems: [] });
    expect(messages(allocate([given('a', '192.0.2.1')], [], before))).toEqual(['Egress/a: there is no ExternalIPPool p']);
  });
  test('conflicts are said', () => {
    const result = allocate([egress('a', 'p', '192.0.2.1'), egress('b', undefined, '192.0.2.1'), egress('c', 'p', '192.0.2.9'), egress('d', 'p'), egress('e', 'q'), egress('f', 'q', '192.0.2.1')], [pool('p', '192.0.2.1')], NONE);
    expect([...result.addresses]).toEqual([['a', '192.0.2.1']]);
    expect(messages(result)).toEqual([
      'Egress/b: 192.0.2.1 is Egress/a\'s', 'Egress/c: 192.0.2.9 is not in ExternalIPPool p', 'Egress/f: there is no ExternalIPPool q',
      'Egress/d: ExternalIPPool p has no address left', 'Egress/e: there is no ExternalIPPool q',
    ]);
  });

  const pools = [pool('p', '10.0.0.0/28'), pool('q', '10.1.0.1-10.1.0.3', 'fd00::1-fd00::5')];
  const names = fc.uniqueArray(fc.record({ name: fc.string({ minLength: 1, maxLength: 8 }), from: fc.constantFrom('p', 'q') }), { selector: ({ name }) => name, maxLength: 25 });
  test('each address once, from its own pool, as many as there are; whatever the order', () => {
    fc.assert(fc.property(names, (wanted) => {
      const egresses = wanted.map(({ name, from }) => egress(name, from));
      const { addresses, usage } = allocate(egresses, pools, NONE);
      expect(new Set(addresses.values()).size).toBe(addresses.size);
      for (const { name, from } of wanted) {
        const address = addresses.get(name);
        if (address !== undefined) expect(poolHas(poolRanges(pools.find(({ metadata }) => metadata.name === from)?.ranges ?? []), address)).toBe(true);
      }
      for (const { metadata } of pools) expect(usage.get(metadata.name)?.used).toBe(Math.min(usage.get(metadata.name)?.total ?? 0, wanted.filter(({ from }) => from === metadata.name).length));
      expect(new Map(allocate(egresses.toReversed(), pools.toReversed(), NONE).addresses)).toEqual(new Map(addresses));
    }), { numRuns: 100 });
  });
  test('what was given stays when others come and go', () => {
    fc.assert(fc.property(names, fc.func(fc.boolean()), names, (first, stays, more) => {
      const before = allocate(first.map(({ name, from }) => egress(name, from)), pools, NONE).addresses;
      const kept = first.filter(({ name }) => stays(name));
      const later = [...kept, ...more.filter(({ name }) => !first.some((one) => one.name === name))];
      const after = allocate(later.map(({ name, from }) => egress(name, from)), pools, before).addresses;
      for (const { name } of kept) if (before.has(name)) expect(after.get(name)).toBe(before.get(name));
    }), { numRuns: 100 });
  });
});

describe('owner of an address', () => {
  const nodes = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 12 });
  const addresses = fc.array(fc.ipV4(), { minLength: 1, maxLength: 60 });
  test('nobody without nodes', () => expect(ownerOf('192.0.2.1', [])).toBeUndefined());
  test('the same whatever the order', () => {
    fc.assert(fc.property(nodes, fc.ipV4(), (list, address) => {
      expect(ownerOf(address, list.toReversed())).toBe(ownerOf(address, list));
    }));
  });
  test('a node that goes moves its own addresses only; one that comes takes only what becomes its own', () => {
    fc.assert(fc.property(nodes, fc.string({ minLength: 13, maxLength: 20 }), addresses, (list, other, all) => {
      for (const address of all) {
        const [before, after] = [ownerOf(address, list), ownerOf(address, [...list, other])];
        if (after !== other) expect(after).toBe(before);
      }
    }));
  });
  test('spreads addresses over nodes', () => {
    const list = Array.from({ length: 10 }, (_, index) => `node-${index}`);
    const counts = new Map<string, number>();
    for (let i = 0; i < 1_000; i += 1) {
      const owner = ownerOf(`10.0.${i >> 8}.${i & 255}`, list) ?? '';
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    for (const node of list) expect(counts.get(node)).toSatisfy((count: number) => count > 60 && count < 150);
  });
});
