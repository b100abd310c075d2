import { encode, type Answer, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nameAnswer } from '../../../src/dns/reply.js';

const reply = (answers: readonly Answer[], more: Partial<Packet> = {}): Uint8Array =>
  encode({ type: 'response', id: 7, questions: [{ type: 'A', name: 'WWW.Example.com' }], answers: [...answers], ...more });
const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string, ttl = 60): Answer => ({ type: 'CNAME', name, data, ttl });
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

describe('nameAnswer', () => {
  test('addresses of both families under the name that was asked for', () => {
    const message = reply([a('www.example.com', '192.0.2.1', 30), { type: 'AAAA', name: 'www.example.com', data: '2001:DB8:0:0::1', ttl: 10 }]);
    expect(nameAnswer(message)).toEqual({ name: 'www.example.com', addresses: [{ address: '192.0.2.1', ttlSeconds: 30 }, { address: '2001:db8::1', ttlSeconds: 10 }] });
  });

  test('compressed names (a reply as a server sends it)', () => {
    // www.example.com CNAME cdn.example.com (pointer into the question), A 192.0.2.9 of a pointer to the CNAME's target.
    const message = hex(`0007 8180 0001 0002 0000 0000  03777777 07 6578616d706c65 03636f6d 00 0001 0001
      c00c 0005 0001 0000000a 0006 0363646e c010   c02d 0001 0001 0000003c 0004 c0000209`);
    expect(nameAnswer(message)).toEqual({ name: 'www.example.com', addresses: [{ address: '192.0.2.9', ttlSeconds: 10 }] });
  });

  test('a chain of aliases in any order, with its shortest TTL; records it does not lead to do not count', () => {
    const message = reply([a('c.example.net', '192.0.2.3', 50), cname('b.example.net', 'C.example.net', 5), cname('www.example.com', 'b.example.net'), a('bank.example', '192.0.2.66')]);
    expect(nameAnswer(message)).toEqual({ name: 'www.example.com', addresses: [{ address: '192.0.2.3', ttlSeconds: 5 }] });
  });

  test('an alias that leads to itself ends', () => {
    expect(nameAnswer(reply([cname('www.example.com', 'b.example.net'), cname('b.example.net', 'www.example.com'), a('b.example.net', '192.0.2.1')]))?.addresses).toHaveLength(1);
  });

  test('a TTL with the top bit set is 0', () => {
    expect(nameAnswer(reply([a('www.example.com', '192.0.2.1', 0x8000_0001)]))?.addresses).toEqual([{ address: '192.0.2.1', ttlSeconds: 0 }]);
  });

  test.each<[string, Uint8Array]>([
    ['a query', encode({ type: 'query', questions: [{ type: 'A', name: 'a.example' }] })],
    ['an error', reply([a('www.example.com', '192.0.2.1')], { flags: 3 })],
    ['no address', reply([])],
    ['two questions', reply([a('www.example.com', '192.0.2.1')], { questions: [{ type: 'A', name: 'www.example.com' }, { type: 'A', name: 'b.example' }] })],
    ['another class', reply([{ type: 'A', name: 'www.example.com', data: '192.0.2.1', class: 'CH' }])],
    ['a pointer to itself', hex('0007 8180 0001 0001 0000 0000  c00c 0001 0001')],
    ['nothing', new Uint8Array(0)],
  ])('%s is no answer', (_what, message) => {
    expect(nameAnswer(message)).toBeUndefined();
  });

  test('no bytes make it throw', () => {
    const good = reply([cname('www.example.com', 'b.example.net'), a('b.example.net', '192.0.2.1')]);
    const damaged = fc.tuple(fc.nat(good.length), fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 })).map(([length, bytes]) => {
      const copy = Uint8Array.from(good);
      for (const [at, value] of bytes) copy[at] = value;
      return copy.subarray(0, length);
    });
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), damaged), (bytes) => {
      for (const { address } of nameAnswer(bytes)?.addresses ?? []) expect(address).toMatch(/^[0-9a-f:.]+$/);
    }), { numRuns: 2_000 });
  });
});
