/** Which table a vNIC is enforced in. */
import { describe, expect, it } from 'vitest';
import { Placement } from '../../../src/app/placement.js';
import type { CompiledTable } from '../../../src/compile/compiled.js';
import type { Target, TargetFilter } from '../../../src/compile/target.js';
import type { Link } from '../../../src/native/binding.js';

const link = (index: number, name: string, kind: string, master = 0): Link => ({
  index, name, kind, master, mac: '', mtu: 1500, group: 0, alias: '', up: true, rxBytes: 0, txBytes: 0, rxPackets: 0, rxDropped: 0, txPackets: 0, txDropped: 0, txErrors: 0,
});
const links = (...all: readonly Link[]): ReadonlyMap<string, Link> => new Map(all.map((one) => [one.name, one]));
const filter = (number: number, name: string, table: string | undefined): TargetFilter => ({ number, interface: name, table, failOpen: false, reachesItself: false });
const compiled = (name: string): CompiledTable => ({ name }) as unknown as CompiledTable;
const BRIDGE = link(2, 'br0', 'bridge');

function target(...filters: readonly TargetFilter[]): Target {
  return { filters: new Map(filters.map((one) => [one.interface, one])), tables: new Map([...new Set(filters.flatMap(({ table }) => table ?? []))].map((key) => [key, compiled(key)])) };
}
const tables = ({ filters }: Target): Record<string, string | undefined> => Object.fromEntries([...filters].map(([name, { table }]) => [name, table]));

describe('where an interface is', () => {
  it.each([
    ['a port of a Linux bridge', links(BRIDGE, link(3, 'tap0', 'tun', 2)), 'br0'],
    ['a port of a bond', links(link(2, 'bond0', 'bond'), link(3, 'tap0', 'tun', 2)), undefined],
    ['a port of Open vSwitch', links(link(2, 'ovs-system', 'openvswitch'), link(3, 'tap0', 'tun', 2)), undefined],
    ['no port', links(BRIDGE, link(3, 'tap0', 'tun')), undefined],
    ['a port of something in another namespace', links(link(3, 'tap0', 'tun', 99)), undefined],
    ['not there', links(BRIDGE), undefined],
  ])('%s', (_, found, bridge) => {
    const placement = new Placement();
    placement.update(['tap0'], found);
    expect(placement.bridgeOf('tap0')).toBe(bridge);
  });

  it('an interface that goes stays where it was, until its filter goes', () => {
    const placement = new Placement();
    placement.update(['tap0'], links(BRIDGE, link(3, 'tap0', 'tun', 2)));
    placement.update(['tap0'], links(BRIDGE));
    expect(placement.bridgeOf('tap0')).toBe('br0');
    placement.update([], links(BRIDGE));
    placement.update(['tap0'], links(BRIDGE));
    expect(placement.bridgeOf('tap0')).toBeUndefined();
  });
});

describe('the two targets', () => {
  const both = target(filter(1, 'tap0', '/t'), filter(2, 'veth0', 't'), filter(3, 'tap1', undefined));

  it('without a bridge all rules are for the host, and the bridges shut every vNIC', () => {
    const placement = new Placement();
    const { routed, bridged } = placement.split(both);
    expect(routed).toBe(both);
    expect(tables(bridged)).toEqual({ tap0: undefined, veth0: undefined, tap1: undefined });
    expect(bridged.tables.size).toBe(0);
  });

  it('each vNIC has its rules in one, and is shut in the other', () => {
    const placement = new Placement();
    placement.update(both.filters.keys(), links(BRIDGE, link(3, 'tap0', 'tun', 2), link(4, 'veth0', 'veth'), link(5, 'tap1', 'tun', 2)));
    const { routed, bridged } = placement.split(both);
    expect(tables(routed)).toEqual({ tap0: undefined, veth0: 't', tap1: undefined });
    expect(tables(bridged)).toEqual({ tap0: '/t', veth0: undefined, tap1: undefined });
    expect([[...routed.tables.keys()], [...bridged.tables.keys()]]).toEqual([['t'], ['/t']]);
    expect([routed.bridges, bridged.bridges]).toEqual([new Set(['br0']), undefined]);
  });
});
