/** Who has which address: limits, first use, ageing, leases, and one owner for each. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BindingTable, type LearningMode, type Outcome } from '../../../../src/discovery/addresses/binding-table.js';
import type { Sighting } from '../../../../src/discovery/addresses/sighting.js';

const LIMITS = { arp: 2, nd: 1, staleMs: 1_000 };
const arp = (address: string): Sighting => ({ kind: 'claim', by: 'arp', address, mac: 'm' });
const ask = (transaction = '1', client = 'c'): Sighting => ({ kind: 'question', by: 'dhcp', client, transaction, mac: client });
const lease = (address: string, seconds: number, transaction = '1', client = 'c'): Sighting => ({ kind: 'answer', by: 'dhcp', client, transaction, server: 's', leases: [{ address, seconds }] });

function table(modes: Readonly<Record<string, LearningMode>>): { see: (key: string, sighting: Sighting, now?: number, owner?: string) => Outcome; table: BindingTable } {
  const made = new BindingTable(LIMITS);
  made.follow(new Map(Object.entries(modes)), 0);
  return { table: made, see: (key, sighting, now = 0, owner) => made.see(key, sighting, now, () => owner) };
}
const states = (of: BindingTable, key: string): string[] => of.bindings(key).map(({ address, state }) => `${address} ${state}`);

describe('first use', () => {
  it('the first ones are bound and stay; what is over the limit is as if it had not been seen', () => {
    const { table: made, see } = table({ a: 'firstUse' });
    expect([see('a', arp('1')), see('a', arp('2')), see('a', arp('3')), see('a', arp('1'), 5)]).toEqual(['changed', 'changed', 'nothing', 'seen']);
    made.expire(1e12);
    expect(see('a', arp('3'), 1e12)).toBe('nothing');
    expect(made.addressesOf('a')).toEqual(['1', '2']);
    expect(made.release('a', '1')).toBe(1);
    expect(see('a', arp('3'), 1e12)).toBe('changed');
    expect(made.addressesOf('a')).toEqual(['2', '3']);
  });
  it('each way of learning has its own limit', () => {
    const { table: made, see } = table({ a: 'firstUse' });
    for (const address of ['1', '2', '3']) see('a', arp(address));
    see('a', { kind: 'claim', by: 'nd', address: 'f', mac: '' });
    expect(made.addressesOf('a')).toEqual(['1', '2', 'f']);
  });
  it('vNICs that nobody follows learn nothing', () => expect(table({}).see('a', arp('1'))).toBe('nothing'));
});

describe('aged', () => {
  it('a new one takes the place of what was not seen for long; without a new one nothing goes', () => {
    const { table: made, see } = table({ a: 'aged' });
    see('a', arp('1'));
    see('a', arp('2'), 500);
    expect(see('a', arp('3'), 999)).toBe('nothing');
    made.expire(1_200);
    expect(made.addressesOf('a')).toEqual(['1', '2']);
    expect(see('a', arp('3'), 1_200)).toBe('changed');
    expect(made.addressesOf('a')).toEqual(['2', '3']);
  });
  it('an address that moved is found at its new place once the old one was silent for long', () => {
    const { table: made, see } = table({ a: 'aged', b: 'aged' });
    see('a', arp('1'));
    expect(see('b', arp('1'), 999)).toBe('noted');
    expect(see('b', arp('1'), 1_000)).toBe('changed');
    expect([made.addressesOf('a'), made.addressesOf('b')]).toEqual([[], ['1']]);
  });
});

describe('manual', () => {
  it('what is seen waits, for a time; what is approved stays, and no lease ends it', () => {
    const { table: made, see } = table({ a: 'manual' });
    expect(see('a', arp('1'))).toBe('noted');
    see('a', ask());
    see('a', lease('2', 60));
    expect([states(made, 'a'), made.addressesOf('a')]).toEqual([['1 pending', '2 pending'], []]);
    expect([made.approve('a', '2'), made.approve('a', '2'), made.approve('a', '9')]).toEqual([true, false, false]);
    expect(made.expire(1_000)).toBe('noted');
    made.expire(1e9);
    expect(states(made, 'a')).toEqual(['2 bound']);
  });
});

describe('leases', () => {
  it('answer a question of the vNIC, end by their time, and are renewed', () => {
    const { table: made, see } = table({ a: 'firstUse', b: 'firstUse' });
    expect(see('a', lease('1', 60))).toBe('nothing');
    see('a', ask());
    // The answer goes to everybody.
    expect([see('b', lease('1', 60)), see('a', lease('1', 60)), see('a', lease('1', 60, '2'))]).toEqual(['nothing', 'changed', 'nothing']);
    expect(made.nextEnd()).toBe(60_000);
    see('a', ask('3'), 30_000);
    expect(see('a', lease('1', 60, '3'), 30_000)).toBe('noted');
    expect(made.expire(60_000)).toBe('nothing');
    expect(made.expire(90_000)).toBe('changed');
    expect(made.addressesOf('a')).toEqual([]);
  });
  it('an answer after a minute answers nothing', () => {
    const { see } = table({ a: 'firstUse' });
    see('a', ask());
    expect(see('a', lease('1', 60), 60_001)).toBe('nothing');
  });
  it('a client has one: the newest; and what it had by ARP is the lease\'s from then on', () => {
    const { table: made, see } = table({ a: 'firstUse' });
    see('a', arp('2'));
    see('a', ask());
    see('a', lease('1', 60));
    expect(see('a', lease('2', 60))).toBe('changed');
    expect(made.bindings('a').map(({ address, by }) => `${address} ${by}`)).toEqual(['2 dhcp']);
    see('a', lease('3', 60));
    expect(made.bindings('a').map(({ address, by }) => `${address} ${by}`)).toEqual(['3 dhcp']);
    see('a', lease('3', 0));
    expect(made.addressesOf('a')).toEqual([]);
  });
  it('one that ended while nobody listened has half its time to be renewed', () => {
    const { table: made, see } = table({ a: 'firstUse' });
    see('a', ask());
    see('a', lease('1', 60));
    const next = new BindingTable(LIMITS);
    next.restore('a', made.bindings('a'), 100_000);
    next.follow(new Map([['a', 'firstUse']]), 100_000);
    expect([next.addressesOf('a'), next.nextEnd()]).toEqual([['1'], 130_000]);
  });
});

describe('owners', () => {
  it('what somebody else declares, or has, is not taken, and is said', () => {
    const { table: made, see } = table({ a: 'firstUse', b: 'firstUse' });
    expect([see('a', arp('1'), 0, 'Pod/x'), see('a', arp('1'), 1, 'Pod/x')]).toEqual(['noted', 'seen']);
    see('b', arp('2'));
    expect(see('a', arp('2'), 2)).toBe('noted');
    expect(made.refusals('a').map(({ address, owner, since, lastSeen }) => [address, owner, since, lastSeen])).toEqual([['1', 'Pod/x', 0, 1], ['2', 'b', 2, 2]]);
    made.release('b');
    expect(see('a', arp('2'), 3)).toBe('changed');
    made.expire(5_000);
    expect(made.refusals('a')).toEqual([]);
  });
  it('a vNIC that went keeps what it had for a day, but nobody from having it meanwhile', () => {
    const { table: made, see } = table({ a: 'firstUse', b: 'firstUse' });
    see('a', arp('1'));
    made.follow(new Map([['b', 'firstUse']]), 10);
    expect([made.addressesOf('a'), see('b', arp('1'), 20)]).toEqual([[], 'changed']);
    made.follow(new Map([['a', 'firstUse'], ['b', 'firstUse']]), 30);
    // The one that has had it longest.
    expect([made.addressesOf('a'), made.addressesOf('b')]).toEqual([['1'], []]);
    made.follow(new Map([['b', 'firstUse']]), 40);
    made.follow(new Map([['b', 'firstUse']]), 40 + 24 * 3_600_000);
    expect([...made.keys()]).toEqual(['b']);
  });
});

it('whatever is sent, every vNIC keeps few things, and every address has one owner', () => {
  const key = fc.constantFrom('a', 'b', 'c');
  const address = fc.nat(40).map(String);
  const sighting: fc.Arbitrary<Sighting> = fc.oneof(
    fc.record({ kind: fc.constant('claim' as const), by: fc.constantFrom('arp' as const, 'nd' as const), address, mac: fc.constant('') }),
    fc.record({ kind: fc.constant('question' as const), by: fc.constantFrom('dhcp' as const, 'dhcpv6' as const), client: fc.constantFrom('x', 'y'), transaction: fc.nat(20).map(String), mac: fc.constantFrom('x', 'y') }),
    fc.record({
      kind: fc.constant('answer' as const), by: fc.constantFrom('dhcp' as const, 'dhcpv6' as const), client: fc.constantFrom('x', 'y'), transaction: fc.nat(20).map(String), server: fc.constant(''),
      leases: fc.array(fc.record({ address, seconds: fc.constantFrom(0, 1, 100, Number.POSITIVE_INFINITY) }), { maxLength: 3 }),
    }),
  );
  const step = fc.oneof(
    fc.record({ key, sighting, owner: fc.option(fc.constant('other'), { nil: undefined, freq: 4 }) }), fc.record({ approve: key, address }), fc.record({ release: key, address }), fc.record({ pass: fc.nat(2_000) }),
    fc.record({ follow: fc.subarray(['a', 'b', 'c']), mode: fc.constantFrom<LearningMode>('manual', 'firstUse', 'aged') }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const made = new BindingTable(LIMITS);
    let now = 0;
    for (const each of steps) {
      if ('sighting' in each) made.see(each.key, each.sighting, now, () => each.owner);
      else if ('approve' in each) made.approve(each.approve, each.address);
      else if ('release' in each) made.release(each.release, each.address);
      else if ('pass' in each) made.expire(now += each.pass);
      else made.follow(new Map(each.follow.map((name) => [name, each.mode])), now);
      const given = [...made.keys()].flatMap((name) => made.addressesOf(name));
      expect(new Set(given).size).toBe(given.length);
      for (const name of made.keys()) {
        const by = (way: string): number => made.bindings(name).filter((binding) => binding.by === way).length;
        expect(by('arp')).toBeLessThanOrEqual(LIMITS.arp);
        expect(by('nd')).toBeLessThanOrEqual(LIMITS.nd);
        for (const way of ['dhcp', 'dhcpv6']) expect(by(way)).toBeLessThanOrEqual(8);
        expect(made.refusals(name).length).toBeLessThanOrEqual(8);
      }
    }
    expect(made.addressesOf('nobody')).toEqual([]);
  }), { numRuns: 200 });
});
