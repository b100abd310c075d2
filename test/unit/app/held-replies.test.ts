import { expect, test } from 'vitest';
import { HeldReplies } from '../../../src/app/held-replies.js';
import { HELD_PREFIX } from '../../../src/drivers/nftables/dns-layout.js';
import type { NflogPacket } from '../../../src/native/binding.js';
import type { Logger } from '../../../src/platform/logger.js';
import { ManualClock } from '../dns/manual-clock.js';

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => silent };
const reply = (prefix = HELD_PREFIX): NflogPacket => ({
  prefix, indev: 1, outdev: 7, hook: 4, timestampMs: 0, length: 30, ethertype: 0x0800,
  payload: Uint8Array.from(Buffer.from('4500001e00000000401100000a0000010a00000200351000000a00006869', 'hex')),
});
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function harness() {
  const clock = new ManualClock();
  const held: (readonly string[])[] = [];
  const sent: number[] = [];
  const replies = new HeldReplies({
    clock, log: silent,
    driver: { hold: async (interfaces) => void held.push(interfaces) },
    sender: { send: ({ interfaceIndex }) => void sent.push(interfaceIndex), close: () => undefined },
  });
  return { clock, held, sent, replies };
}

test('says again and again that it is there, until it stops', async () => {
  const { clock, held, replies } = harness();
  await replies.follow(['a', 'b']);
  for (let second = 0; second < 3; second += 1) {
    clock.move(1_000);
    await settled();
  }
  expect(held).toEqual([['a', 'b'], ['a', 'b'], ['a', 'b'], ['a', 'b']]);
  await replies.stop();
  expect([held.at(-1), clock.pending]).toEqual([[], 0]);
});

test('a reply goes on when what it says is in force, and at once when nothing is to come', async () => {
  const { sent, replies } = harness();
  let realized: () => void = () => undefined;
  replies.release([reply(), reply('dfw dns')], new Promise<void>((resolve) => {
    realized = resolve;
  }));
  await settled();
  expect(sent).toEqual([]);
  realized();
  await settled();
  expect(sent).toEqual([7]);
  replies.release([reply()], undefined);
  expect(sent).toEqual([7, 7]);
});

test('a reply whose addresses could not be realized, or not in time, never comes', async () => {
  const { clock, sent, replies } = harness();
  replies.release([reply()], Promise.reject(new Error('refused')));
  let realized: () => void = () => undefined;
  replies.release([reply()], new Promise<void>((resolve) => {
    realized = resolve;
  }));
  clock.move(2_000);
  realized();
  await settled();
  expect(sent).toEqual([]);
});
