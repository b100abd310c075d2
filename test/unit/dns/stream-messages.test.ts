import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReplyPackets } from '../../../src/dns/reply-packets.js';
import { StreamMessages, type Segment } from '../../../src/dns/stream-messages.js';

const framed = (messages: readonly Uint8Array[]): Uint8Array => Uint8Array.from(messages.flatMap((message) => [message.length >> 8, message.length & 255, ...message]));
const segment = (sequence: number, data: Uint8Array, more: Partial<Segment> = {}): Segment => ({ sequence: sequence >>> 0, begins: false, ends: false, data, ...more });
const lists = (messages: readonly Uint8Array[]): number[][] => messages.map((message) => [...message]);

describe('StreamMessages', () => {
  test('gives every message once, however the stream is cut and whatever is sent again', () => {
    const messages = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 5 });
    fc.assert(fc.property(messages, fc.integer({ min: 0, max: 0xffff_ffff }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), fc.array(fc.boolean(), { minLength: 1 }), (sent, initial, cuts, again) => {
      const streams = new StreamMessages();
      const bytes = framed(sent);
      const got: Uint8Array[] = [...streams.take('one', segment(initial, new Uint8Array(0), { begins: true }))];
      for (let at = 0, index = 0; at < bytes.length; index += 1) {
        const length = cuts[index % cuts.length] ?? 1;
        const part = segment(initial + 1 + at, bytes.subarray(at, at + length));
        got.push(...streams.take('one', part));
        if (again[index % again.length] === true) got.push(...streams.take('one', part));
        streams.take('another', segment(7 + index, Uint8Array.of(9)));
        at += length;
      }
      expect(lists(got)).toEqual(lists(sent));
    }), { numRuns: 500 });
  });

  test('a stream seen from its middle begins with a message', () => {
    expect(lists(new StreamMessages().take('one', segment(99, framed([Uint8Array.of(1, 2)]))))).toEqual([[1, 2]]);
  });

  test('after a gap the next whole message counts', () => {
    const streams = new StreamMessages();
    expect(streams.take('one', segment(0, Uint8Array.of(0, 9, 1)))).toEqual([]);
    expect(lists(streams.take('one', segment(50, framed([Uint8Array.of(5)]))))).toEqual([[5]]);
  });

  test('an ended stream is forgotten', () => {
    const streams = new StreamMessages();
    streams.take('one', segment(0, Uint8Array.of(0, 2, 1), { ends: true }));
    expect(lists(streams.take('one', segment(0, framed([Uint8Array.of(3)]))))).toEqual([[3]]);
  });
});

describe('ReplyPackets', () => {
  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

  test('a datagram without the padding behind it', () => {
    const payload = hex('45000020 00000000 40110000 0a000001 0a000002  0035 1000 000c 0000 01020304 ffff');
    expect(new ReplyPackets().messages({ ethertype: 0x0800, payload })).toEqual([{ server: '10.0.0.1', bytes: Uint8Array.of(1, 2, 3, 4) }]);
  });

  test('a TCP segment with options, over IPv6', () => {
    const payload = hex(`60000000 001c 06 40 fd000000000000000000000000000001 fd000000000000000000000000000002
      0035 1000 00000001 00000001 60 18 0000 0000 0000 01010101  0002 0708 ffff`);
    expect(new ReplyPackets().messages({ ethertype: 0x86dd, payload })).toEqual([{ server: 'fd00::1', bytes: Uint8Array.of(7, 8) }]);
  });

  test('no bytes make it throw', () => {
    const packets = new ReplyPackets();
    fc.assert(fc.property(fc.constantFrom(0x0800, 0x86dd, 0x0806), fc.constantFrom(6, 17), fc.uint8Array({ maxLength: 80 }), (ethertype, protocol, bytes) => {
      const payload = Uint8Array.from(bytes);
      if (ethertype === 0x0800 && payload.length > 9) [payload[0], payload[6], payload[7], payload[9]] = [0x45, 0, 0, protocol];
      if (ethertype === 0x86dd && payload.length > 6) [payload[0], payload[6]] = [0x60, protocol];
      expect(packets.messages({ ethertype, payload }).every(({ bytes: message }) => message.length <= payload.length)).toBe(true);
    }), { numRuns: 2_000 });
  });
});
