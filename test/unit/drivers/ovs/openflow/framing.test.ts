import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageSplitter } from '../../../../../src/drivers/ovs/openflow/framing.js';

const message = fc.tuple(fc.uint8Array({ minLength: 2, maxLength: 2 }), fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 300, maxLength: 400 }))).map(
  ([start, xid, body]) => {
    const length = 8 + body.length;
    return Buffer.from([...start, length >> 8, length & 255, ...xid, ...body]);
  },
);

test('any cutting of a stream gives the messages of the whole', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 10 }), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), fc.nat(7), (messages, sizes, tail) => {
      const splitter = new MessageSplitter();
      const bytes = Buffer.concat([...messages, Buffer.from([6, 0, 0, 9, 0, 0, 0]).subarray(0, tail)]);
      const got: Buffer[] = [];
      for (let at = 0, step = 0; at < bytes.length; step += 1) {
        const size = sizes[step % sizes.length] ?? 1;
        const chunk = Buffer.from(bytes.subarray(at, at + size));
        splitter.push(chunk, (one) => got.push(Buffer.from(one)));
        chunk.fill(0xff); // the unfinished message must be a copy
        at += size;
      }
      expect(got).toEqual(messages);
      expect(splitter.pending).toBe(tail);
    }),
    { numRuns: 1000 },
  );
});

test('whole messages share the memory of their chunk', () => {
  const chunk = Buffer.from('0602000800000001' + '0603000900000002ff' + '0602', 'hex');
  const splitter = new MessageSplitter();
  const got: Buffer[] = [];
  splitter.push(chunk, (one) => got.push(one));
  expect(got.map(({ length, buffer }) => [length, buffer === chunk.buffer])).toEqual([[8, true], [9, true]]);
  expect(splitter.pending).toBe(2);
});

test.each([0, 1, 7])('a length of %s is refused, wherever the chunks end', (length) => {
  const bytes = Buffer.from([6, 0, 0, length, 0, 0, 0, 1, 0, 0]);
  for (let cut = 1; cut <= bytes.length; cut += 1) {
    const splitter = new MessageSplitter();
    const feed = (): void => {
      splitter.push(Buffer.from(bytes.subarray(0, cut)), () => undefined);
      splitter.push(Buffer.from(bytes.subarray(cut)), () => undefined);
    };
    expect(feed).toThrow(expect.objectContaining({ code: 'E_PARSE' }));
  }
});

test('never more than one message is kept', () => {
  const splitter = new MessageSplitter();
  const header = Buffer.from('06000000', 'hex');
  header.writeUInt16BE(0xffff, 2);
  splitter.push(header, () => expect.unreachable());
  for (let left = 0xffff - 4; left > 1; ) {
    const size = Math.min(left - 1, 5000);
    splitter.push(Buffer.alloc(size), () => expect.unreachable());
    left -= size;
    expect(splitter.pending).toBe(0xffff - left);
  }
  let got = 0;
  splitter.push(Buffer.alloc(1), ({ length }) => {
    got = length;
  });
  expect(got).toBe(0xffff);
  expect(splitter.pending).toBe(0);
});
