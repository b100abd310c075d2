/** What frames say of addresses, and that no frame can make us read what is not in it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Sighting } from '../../../../src/discovery/addresses/sighting.js';
import { sightingOf } from '../../../../src/discovery/addresses/sightings.js';
import { ADDRESS, ADDRESS6, answer, answer6, arp, association, clientId, dhcp, dhcp6, iaAddress, ipv6, leaseTime, linkLayer, MAC, neighbour, question, serverId, status6, udp4 } from './frames.js';

const OTHER = '52:54:00:00:00:99';
const [ARP, IPV4, IPV6] = [0x0806, 0x0800, 0x86dd];
const sent = (ethertype: number, payload: Uint8Array, mac = MAC): Sighting | undefined => sightingOf({ sent: true, ethertype, payload, mac });
const arrives = (ethertype: number, payload: Uint8Array): Sighting | undefined => sightingOf({ sent: false, ethertype, payload, mac: '' });

describe('ARP', () => {
  it('names its sender, in requests, answers and announcements', () => {
    for (const operation of [1, 2]) expect(sent(ARP, arp({ operation }))).toEqual({ kind: 'claim', by: 'arp', address: ADDRESS, mac: MAC });
  });
  it.each([
    ['a probe', arp({ sender: '0.0.0.0' })], ['loopback', arp({ sender: '127.0.0.1' })], ['a link-local address', arp({ sender: '169.254.169.254' })], ['multicast', arp({ sender: '224.0.0.1' })],
    ['broadcast', arp({ sender: '255.255.255.255' })], ['another sender than the frame', arp({ mac: OTHER })], ['a group for a sender', arp({ mac: '01:00:5e:00:00:01' })],
    ['another kind', arp({ head: [0, 6, 8, 0, 6, 4] })], ['another operation', arp({ operation: 3 })], ['cut', arp().subarray(0, 27)],
  ])('says nothing: %s', (_, payload) => expect(sent(ARP, payload)).toBeUndefined());
  it('of others to the workload says nothing of it', () => expect(arrives(ARP, arp())).toBeUndefined());
});

describe('neighbour discovery', () => {
  const claim = { kind: 'claim', by: 'nd', address: ADDRESS6, mac: MAC };
  it('solicitations name their source, advertisements their target', () => {
    expect(sent(IPV6, ipv6(neighbour(135, 'fd00:0:0:0:0:0:0:9', linkLayer(1))))).toEqual(claim);
    expect(sent(IPV6, ipv6(neighbour(136, undefined, linkLayer(2)), { source: 'fe80:0:0:0:0:0:0:1' }))).toEqual(claim);
    expect(sent(IPV6, ipv6(neighbour(136)))).toEqual(claim);
  });
  it.each([
    ['a test of an own address', ipv6(neighbour(135), { source: '0:0:0:0:0:0:0:0' })], ['link-local', ipv6(neighbour(136, 'fe80:0:0:0:0:0:0:1'))], ['multicast', ipv6(neighbour(136, 'ff02:0:0:0:0:0:0:1'))],
    ['loopback', ipv6(neighbour(136, '0:0:0:0:0:0:0:1'))], ['mapped IPv4', ipv6(neighbour(136, '0:0:0:0:0:ffff:a00:5'))],
    ['routed', ipv6(neighbour(136), { hops: 254 })], ['in the name of another', ipv6(neighbour(136, undefined, linkLayer(2, OTHER)))], ['an option without length', ipv6(neighbour(136, undefined, [2, 0, 1, 2, 3, 4, 5, 6]))],
    ['an option past the end', ipv6(neighbour(136, undefined, [2, 2, 1, 2, 3, 4, 5, 6]))], ['cut', ipv6(neighbour(136).slice(0, 23))], ['behind another header', ipv6(neighbour(136), { next: 44 })],
  ])('says nothing: %s', (_, payload) => expect(sent(IPV6, payload)).toBeUndefined());
});

describe('DHCP', () => {
  it('a question, and the answer to it', () => {
    expect(sent(IPV4, question())).toEqual({ kind: 'question', by: 'dhcp', client: MAC, transaction: '7', mac: MAC });
    expect(arrives(IPV4, answer())).toEqual({ kind: 'answer', by: 'dhcp', client: MAC, transaction: '7', server: '10.0.0.1', leases: [{ address: ADDRESS, seconds: 600 }] });
    expect(arrives(IPV4, answer(ADDRESS, 0xffff_ffff))).toMatchObject({ leases: [{ seconds: Number.POSITIVE_INFINITY }] });
  });
  it('answers of the workload itself, and questions to it, are nothing', () => {
    expect(sent(IPV4, answer())).toBeUndefined();
    expect(arrives(IPV4, question())).toBeUndefined();
    // By the other's ports.
    expect(sent(IPV4, udp4(dhcp({ type: 5, address: ADDRESS, options: leaseTime(600) }), { from: 68, to: 67 }))).toBeUndefined();
  });
  it.each([
    ['an offer', udp4(dhcp({ type: 2, address: ADDRESS, options: leaseTime(600) }))], ['a refusal', udp4(dhcp({ type: 6, options: leaseTime(600) }))], ['to an INFORM', udp4(dhcp({ type: 5 }))],
    ['no usable address', udp4(dhcp({ type: 5, address: '127.0.0.1', options: leaseTime(600) }))], ['a fragment', udp4(dhcp({ type: 5, address: ADDRESS, options: leaseTime(600) }), { fragment: 0x2000 })],
    ['a later fragment', udp4(dhcp({ type: 5, address: ADDRESS, options: leaseTime(600) }), { fragment: 1 })], ['longer than it is', udp4(dhcp({ type: 5, address: ADDRESS, options: leaseTime(600) }), { udpLength: 999 })],
    ['an option past the end', udp4(dhcp({ type: 5, address: ADDRESS, options: [...leaseTime(600), 54, 200] }))], ['a lease of two bytes', udp4(dhcp({ type: 5, address: ADDRESS, options: [51, 2, 0, 9] }))],
  ])('an answer that says nothing: %s', (_, payload) => expect(arrives(IPV4, payload)).toBeUndefined());
  it('a question for somebody else is none', () => expect(sent(IPV4, question(7, OTHER))).toBeUndefined());
  it('the server is the one of the option, else the source', () => {
    expect(arrives(IPV4, udp4(dhcp({ type: 5, address: ADDRESS, options: leaseTime(1) }), { source: '10.0.0.3' }))).toMatchObject({ server: '10.0.0.3' });
    expect(arrives(IPV4, udp4(dhcp({ type: 5, address: ADDRESS, options: [...serverId('10.0.0.4'), ...leaseTime(1)] }), { source: '10.0.0.3' }))).toMatchObject({ server: '10.0.0.4' });
  });
});

describe('DHCPv6', () => {
  const client = '00030001010203';
  it('a question, and the addresses of the answer', () => {
    for (const type of [1, 3, 5, 6]) expect(sent(IPV6, dhcp6(type, clientId()))).toEqual({ kind: 'question', by: 'dhcpv6', client, transaction: '9', mac: MAC });
    expect(arrives(IPV6, answer6())).toEqual({ kind: 'answer', by: 'dhcpv6', client, transaction: '9', server: ADDRESS6, leases: [{ address: ADDRESS6, seconds: 600 }] });
    expect(arrives(IPV6, answer6(0))).toMatchObject({ leases: [{ seconds: 0 }] });
  });
  it('answers of the workload itself are nothing', () => expect(sent(IPV6, answer6())).toBeUndefined());
  it.each([
    ['to nobody', dhcp6(7, association(iaAddress()))], ['a failure', dhcp6(7, [...clientId(), ...status6(2), ...association(iaAddress())])], ['no addresses', dhcp6(7, [...clientId(), ...association(status6(2))])],
    ['addresses that failed', dhcp6(7, [...clientId(), ...association([...iaAddress(), ...status6(2)])])], ['an address that failed', dhcp6(7, [...clientId(), ...association(iaAddress(undefined, 9, status6(4)))])],
    ['an advertisement', dhcp6(2, [...clientId(), ...association(iaAddress())])], ['cut', dhcp6(7, [...clientId(), 0, 3, 0, 99])],
  ])('an answer that says nothing: %s', (_, payload) => expect(arrives(IPV6, payload)).toBeUndefined());
});

const good: readonly (readonly [number, Uint8Array, boolean])[] = [
  [ARP, arp(), true], [IPV6, ipv6(neighbour(135, undefined, linkLayer(1))), true], [IPV6, ipv6(neighbour(136, undefined, linkLayer(2))), true], [IPV4, question(), true], [IPV4, answer(), false],
  [IPV6, dhcp6(3, clientId()), true], [IPV6, answer6(), false],
];

describe('hostile frames', () => {
  it('never throw, whatever is in them', () => {
    fc.assert(fc.property(fc.constantFrom(ARP, IPV4, IPV6, 0x1234), fc.uint8Array({ maxLength: 400 }), fc.boolean(), (ethertype, payload, out) => {
      sightingOf({ sent: out, ethertype, payload, mac: '' });
    }), { numRuns: 2_000 });
  });

  it('nor when they are good ones with bytes changed and cut; and what is behind their end is never read', () => {
    const change = fc.record({ at: fc.nat(400), to: fc.nat(255) });
    fc.assert(fc.property(fc.constantFrom(...good), fc.array(change, { maxLength: 4 }), fc.nat(400), fc.nat(255), (frame, changes, end, poison) => {
      const [ethertype, whole, out] = frame;
      const payload = whole.slice(0, Math.min(end, whole.length));
      for (const { at, to } of changes) if (at < payload.length) payload[at] = to;
      const room = new Uint8Array(payload.length + 600).fill(poison);
      room.set(payload, 300);
      const inside = sightingOf({ sent: out, ethertype, payload: room.subarray(300, 300 + payload.length), mac: MAC });
      expect(inside).toEqual(sightingOf({ sent: out, ethertype, payload, mac: MAC }));
    }), { numRuns: 3_000 });
  });

  it.each(good)('%i cut anywhere says nothing, or the same', (ethertype, payload, out) => {
    const whole = sightingOf({ sent: out, ethertype, payload, mac: MAC });
    expect(whole).toBeDefined();
    for (let end = 0; end < payload.length; end += 1) {
      const part = sightingOf({ sent: out, ethertype, payload: payload.subarray(0, end), mac: MAC });
      if (part !== undefined) expect(part).toEqual(whole);
    }
  });
});
