import { expect, test } from 'vitest';
import { HeldReplies } from '../../../src/app/held-replies.js';
import type { SeenReply } from '../../../src/app/reply-watch.js';
import type { Logger } from '../../../src/platform/logger.js';
import { ManualClock } from '../dns/manual-clock.js';

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => silent };
const passed: SeenReply = { ethertype: 0x0800, payload: new Uint8Array(0) };
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function harness() {
  const clock = new ManualClock();
  const held: (readonly string[])[] = [];
  const sent: number[] = [];
  const replies = new HeldReplies({
    clock, log: silent,
    watch: { hold: async (interfaces) => void held.push(interfaces) },
  });
  const reply = (): SeenReply => ({ ...passed, letGo: () => void sent.push(7) });
  return { clock, held, sent, replies, reply };
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
  const { sent, replies, reply } = harness();
  let realized: () => void = () => undefined;
  replies.release([reply(), passed], new Promise<void>((resolve) => {
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
  const { clock, sent, replies, reply } = harness();
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
