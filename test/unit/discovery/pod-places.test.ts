import { describe, expect, it } from 'vitest';
import { placePods, type HostView, type LocalPod, type PodPlace, type PodWay } from '../../../src/discovery/pod-places.js';

const A = '10.0.0.2';
const A6 = 'fd00::2';
const MAC = '0a:00:00:00:00:02';
const pod = (name: string, ...addresses: string[]): LocalPod => ({ namespace: 'n', name, addresses });
const direct = (interfaceIndex: number, prefixLength = 32): PodWay => ({ kind: 'direct', interfaceIndex, prefixLength });
const links = [
  { index: 3, name: 'eth0', mac: 'e0', kind: '', master: 0 },
  { index: 5, name: 'veth5', mac: 'm5', kind: 'veth', master: 0 },
  { index: 6, name: 'veth6', mac: 'm6', kind: 'veth', master: 0 },
  { index: 8, name: 'br0', mac: 'm8', kind: 'bridge', master: 0 },
  { index: 9, name: 'port9', mac: 'm9', kind: 'veth', master: 8 },
  { index: 10, name: 'port10', mac: 'm10', kind: 'veth', master: 8 },
  { index: 11, name: 'vx', mac: 'm11', kind: 'vxlan', master: 8 },
];
const view = (ways: Readonly<Record<string, PodWay>>, more: Partial<HostView> = {}): HostView => ({ ways: new Map(Object.entries(ways)), neighbours: [], ports: [], links, ...more });
const place = (over: Partial<PodPlace> = {}): PodPlace => ({ namespace: 'n', name: 'a', addresses: [A], interface: 'veth5', interfaceIndex: 5, interfaceMac: 'm5', ...over });

describe('routed pods', () => {
  it('is where the route to its address leads, with the MAC address of the neighbour there', () => {
    const seen = view({ [A]: direct(5), [A6]: direct(5, 128) }, { neighbours: [{ interfaceIndex: 5, address: A, mac: MAC }, { interfaceIndex: 6, address: A, mac: 'ff' }] });
    expect(placePods([pod('a', A, A6)], seen, [])).toEqual({ problems: [], places: [place({ addresses: [A, A6], mac: MAC })] });
  });

  it.each<[string, Readonly<Record<string, PodWay>>, RegExp]>([
    ['no route', {}, /no route to 10\.0\.0\.2/],
    ['forbidden', { [A]: { kind: 'none', interfaceIndex: 0, prefixLength: 0 } }, /no route/],
    ['an address of the host', { [A]: { kind: 'local', interfaceIndex: 1, prefixLength: 32 } }, /address of this host/],
    ['another host', { [A]: { kind: 'gateway', interfaceIndex: 3, prefixLength: 24 } }, /reached by another host/],
    ['two ways', { [A]: { kind: 'several', interfaceIndex: 0, prefixLength: 32 } }, /more than one way/],
    ['a network card', { [A]: direct(3) }, /eth0, which is no interface of one workload/],
    ['a network behind the interface', { [A]: direct(5, 24) }, /veth5 has a route to more than 10\.0\.0\.2 \(\/24\)/],
    ['an interface that is gone', { [A]: direct(77) }, /not there/],
  ])('has none with %s, and says why', (_, ways, reason) => {
    const { places, problems } = placePods([pod('a', A)], view(ways), []);
    expect(places).toEqual([]);
    expect(problems).toEqual([expect.stringMatching(reason)]);
    expect(problems[0]).toMatch(/^pod n\/a has no filter: /);
  });

  it('has none where its addresses lead to two interfaces, or one of them elsewhere', () => {
    expect(placePods([pod('a', A, A6)], view({ [A]: direct(5), [A6]: direct(6, 128) }), [])).toEqual({ places: [], problems: ['pod n/a has no filter: its addresses are behind veth5 and veth6'] });
    expect(placePods([pod('a', A, A6)], view({ [A]: direct(5), [A6]: { kind: 'gateway', interfaceIndex: 3, prefixLength: 64 } }), []).places).toEqual([]);
  });

  it('gives an interface to neither of two pods', () => {
    const { places, problems } = placePods([pod('a', A), pod('b', '10.0.0.3'), pod('c', '10.0.0.4')], view({ [A]: direct(5), '10.0.0.3': direct(5), '10.0.0.4': direct(6) }), []);
    expect(places.map(({ name }) => name)).toEqual(['c']);
    expect(problems).toEqual(['interface "veth5" has no filter: more than one pod is behind it: n/a, n/b']);
  });
});

describe('bridged pods', () => {
  const way = { [A]: direct(8, 24) };
  const neighbours = [{ interfaceIndex: 8, address: A, mac: MAC }];

  it('is the port behind which the bridge has the MAC address of the neighbour, in whatever VLANs', () => {
    const ports = [{ bridgeIndex: 8, interfaceIndex: 9, mac: MAC }, { bridgeIndex: 8, interfaceIndex: 9, mac: MAC }, { bridgeIndex: 88, interfaceIndex: 10, mac: MAC }];
    expect(placePods([pod('a', A)], view(way, { neighbours, ports }), []).places).toEqual([place({ interface: 'port9', interfaceIndex: 9, interfaceMac: 'm9', mac: MAC })]);
  });

  it.each<[string, Partial<HostView>, RegExp]>([
    ['no neighbour', {}, /no neighbour on br0/],
    ['no port', { neighbours }, /has not learned/],
    ['two ports', { neighbours, ports: [{ bridgeIndex: 8, interfaceIndex: 9, mac: MAC }, { bridgeIndex: 8, interfaceIndex: 10, mac: MAC }] }, /more than one port/],
    ['a tunnel', { neighbours, ports: [{ bridgeIndex: 8, interfaceIndex: 11, mac: MAC }] }, /vx of br0, which is no interface of one workload/],
  ])('has none with %s', (_, more, reason) => {
    const { places, problems } = placePods([pod('a', A)], view(way, more), []);
    expect([places, problems]).toEqual([[], [expect.stringMatching(reason)]]);
  });

  it('stays where it was while it is silent, until something says otherwise', () => {
    const known = [place({ interface: 'port9', interfaceIndex: 9, interfaceMac: 'm9', mac: MAC })];
    expect(placePods([pod('a', A)], view(way), known)).toEqual({ places: known, problems: [] });
    expect(placePods([pod('a', A)], view(way, { neighbours }), known).places).toEqual(known);
    const moved = placePods([pod('a', A)], view(way, { neighbours, ports: [{ bridgeIndex: 8, interfaceIndex: 10, mac: MAC }] }), known);
    expect(moved.places.map((each) => each.interface)).toEqual(['port10']);
    // Another interface has the name, the interface is gone, the pod has another address, the address is elsewhere.
    const replaced = links.map((link) => (link.index === 9 ? { ...link, mac: 'other' } : link));
    expect(placePods([pod('a', A)], view(way, { links: replaced }), known).places).toEqual([]);
    expect(placePods([pod('a', A)], view(way, { links: links.filter(({ index }) => index !== 9) }), known).places).toEqual([]);
    expect(placePods([pod('a', '10.0.0.9')], view({ '10.0.0.9': direct(8, 24) }), known).places).toEqual([]);
    expect(placePods([pod('a', A)], view({ [A]: { kind: 'gateway', interfaceIndex: 3, prefixLength: 24 } }), known).places).toEqual([]);
  });

  it('keeps the MAC address of a pod whose neighbour entry ended', () => {
    const known = [place({ mac: MAC })];
    expect(placePods([pod('a', A)], view({ [A]: direct(5) }), known).places).toEqual(known);
    expect(placePods([pod('a', A)], view({ [A]: direct(6) }), known).places).toEqual([place({ interface: 'veth6', interfaceIndex: 6, interfaceMac: 'm6' })]);
  });
});
