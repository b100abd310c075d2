/** Answers to refused packets: what a client must get to give up at once, and what must never be answered. */
import { describe, expect, it } from 'vitest';
import { answerTo } from '../../../../src/drivers/ovs/answers.js';
import { internetChecksum } from '../../../../src/model/checksum.js';
import { decodePacket } from '../../../../src/model/packet-headers.js';

const ETHERNET = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const V4 = { source: [10, 0, 0, 1], destination: [10, 0, 0, 2] };
const V6 = { source: [0xfd, ...Array.from({ length: 14 }, () => 0), 1], destination: [0xfd, ...Array.from({ length: 14 }, () => 0), 2] };

function frame4(protocol: number, payload: readonly number[], more: { source?: number[]; destination?: number[]; fragment?: number; ethernet?: number[] } = {}): Uint8Array {
  const { source = V4.source, destination = V4.destination, fragment = 0, ethernet = ETHERNET } = more;
  const length = 20 + payload.length;
  return Uint8Array.from([...ethernet, 8, 0, 0x45, 0, length >> 8, length & 255, 0, 1, fragment >> 8, fragment & 255, 64, protocol, 0, 0, ...source, ...destination, ...payload]);
}
const frame6 = (protocol: number, payload: readonly number[], more: { destination?: number[] } = {}): Uint8Array =>
  Uint8Array.from([...ETHERNET, 0x86, 0xdd, 0x60, 0, 0, 0, payload.length >> 8, payload.length & 255, protocol, 64, ...V6.source, ...(more.destination ?? V6.destination), ...payload]);
const tcp = (flags: number, sequence = 1000, acknowledgement = 2000, data = 0): number[] => [
  0x9c, 0x40, 0, 80, 0, 0, sequence >> 8, sequence & 255, 0, 0, acknowledgement >> 8, acknowledgement & 255, 0x50, flags, 1, 0, 0, 0, 0, 0, ...Array.from({ length: data }, () => 7),
];
const UDP = [0x9c, 0x40, 0, 53, 0, 8, 0, 0];

describe('an answer', () => {
  it('to a SYN is a reset that acknowledges it, from where it was sent to', () => {
    const answer = answerTo(frame4(6, tcp(2)), 54) ?? new Uint8Array(0);
    expect([...answer.subarray(0, 12)]).toEqual([...ETHERNET.slice(6), ...ETHERNET.slice(0, 6)]);
    const packet = answer.subarray(14);
    expect(decodePacket(0x0800, packet)).toMatchObject({ source: '10.0.0.2', destination: '10.0.0.1', sourcePort: 80, destinationPort: 40_000, tcpFlags: 0x14 });
    const view = new DataView(packet.buffer, packet.byteOffset);
    expect([view.getUint32(24), view.getUint32(28)]).toEqual([0, 1001]);
    // Right checksums sum up to nothing.
    expect(internetChecksum([packet.subarray(0, 20)])).toBe(0);
    expect(internetChecksum([packet.subarray(12, 20), packet.subarray(20)], 6 + 20)).toBe(0);
  });

  it('to a segment with an acknowledgement takes that for its number; data counts, also what was cut off', () => {
    const established = (answerTo(frame4(6, tcp(0x10)), 54) ?? new Uint8Array(0)).subarray(14);
    expect([new DataView(established.buffer, established.byteOffset).getUint32(24), established[33]]).toEqual([2000, 4]);
    const data = (answerTo(frame4(6, tcp(0, 1000, 0, 10)), 54 + 100) ?? new Uint8Array(0)).subarray(14);
    expect(new DataView(data.buffer, data.byteOffset).getUint32(28)).toBe(1100);
  });

  it('to the rest is "administratively prohibited", in both families, with the packet in it', () => {
    const four = (answerTo(frame4(17, UDP), 42) ?? new Uint8Array(0)).subarray(14);
    expect([...four.subarray(20, 22), ...four.subarray(28, 48)]).toEqual([3, 13, ...frame4(17, UDP).subarray(14, 34)]);
    expect(internetChecksum([four.subarray(20)])).toBe(0);
    const six = (answerTo(frame6(17, UDP), 62) ?? new Uint8Array(0)).subarray(14);
    expect(decodePacket(0x86dd, six)).toMatchObject({ source: 'fd00::2', destination: 'fd00::1', icmpType: 1, icmpCode: 1 });
    expect(internetChecksum([six.subarray(8, 40), six.subarray(40)], 58 + six.length - 40)).toBe(0);
  });

  it('keeps a VLAN tag', () => {
    const plain = frame4(17, UDP);
    const tagged = Uint8Array.from([...plain.subarray(0, 12), 0x81, 0, 0, 7, ...plain.subarray(12)]);
    expect((answerTo(tagged, tagged.length) ?? new Uint8Array(0)).slice(12, 18)).toEqual(Uint8Array.of(0x81, 0, 0, 7, 8, 0));
  });

  it.each([
    ['a reset', frame4(6, tcp(4))],
    ['an ICMP error', frame4(1, [3, 1, 0, 0, 0, 0, 0, 0])],
    ['an ICMPv6 error', frame6(58, [1, 0, 0, 0, 0, 0, 0, 0])],
    ['an ICMPv6 redirect', frame6(58, [137, 0, 0, 0, 0, 0, 0, 0])],
    ['a later fragment', frame4(17, UDP, { fragment: 100 })],
    ['a broadcast', frame4(17, UDP, { ethernet: [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1] })],
    ['what went to a group', frame4(17, UDP, { destination: [224, 0, 0, 1] })],
    ['what went to an IPv6 group', frame6(17, UDP, { destination: [0xff, 2, ...Array.from({ length: 13 }, () => 0), 1] })],
    ['what comes from nobody', frame4(17, UDP, { source: [0, 0, 0, 0] })],
    ['ARP', Uint8Array.from([...ETHERNET, 8, 6, ...Array.from({ length: 28 }, () => 1)])],
    ['a frame cut to pieces', frame4(6, tcp(2)).subarray(0, 40)],
    ['nothing', new Uint8Array(0)],
  ])('is none to %s', (_, frame) => {
    expect(answerTo(frame, frame.length)).toBeUndefined();
  });

  it('is made of anything without a fault', () => {
    let seed = 1;
    const next = (): number => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) >>> 16;
    for (let round = 0; round < 2_000; round += 1) {
      const frame = Uint8Array.from({ length: next() % 90 }, () => next() & 255);
      if (frame.length > 14 && round % 2 === 0) frame.set([8, 0, 0x45], 12);
      expect(() => answerTo(frame, frame.length)).not.toThrow();
    }
  });
});
