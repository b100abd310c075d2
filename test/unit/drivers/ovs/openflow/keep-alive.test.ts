import { expect, test } from 'vitest';
import { KeepAlive } from '../../../../../src/drivers/ovs/openflow/keep-alive.js';
import type { Clock } from '../../../../../src/platform/clock.js';

class TurnedClock implements Clock {
  #time = 0;
  #actions: { readonly at: number; readonly action: () => void }[] = [];

  now(): number {
    return this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  after(delayMs: number, action: () => void): () => void {
    const entry = { at: this.#time + delayMs, action };
    this.#actions.push(entry);
    return () => {
      this.#actions = this.#actions.filter((other) => other !== entry);
    };
  }

  get waiting(): number {
    return this.#actions.length;
  }

  turn(ms: number): void {
    const end = this.#time + ms;
    for (;;) {
      const next = this.#actions.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#actions = this.#actions.filter((other) => other !== next);
      this.#time = Math.max(this.#time, next.at);
      next.action();
    }
    this.#time = end;
  }

  /** This process did not run: nothing is called, the time is later. */
  sleep(ms: number): void {
    this.#time += ms;
  }
}

function keepAlive(): { readonly clock: TurnedClock; readonly alive: KeepAlive; readonly heard: string[] } {
  const clock = new TurnedClock();
  const heard: string[] = [];
  const alive = new KeepAlive({ clock, intervalMs: 1000, timeoutMs: 3000, ask: () => heard.push(`ask ${String(clock.now())}`), dead: (silence) => heard.push(`dead ${String(silence)}`) });
  alive.start();
  return { clock, alive, heard };
}

test('asks once in a silence, and gives up after it', () => {
  const { clock, heard } = keepAlive();
  clock.turn(999);
  expect(heard).toEqual([]);
  clock.turn(10_000);
  expect(heard).toEqual(['ask 1000', 'dead 3100']);
  expect(clock.waiting).toBe(0);
});

test('whoever speaks is not asked, whoever answers is not given up', () => {
  const { clock, alive, heard } = keepAlive();
  for (let turn = 0; turn < 20; turn += 1) {
    clock.turn(500);
    alive.heard();
  }
  expect(heard).toEqual([]);
  clock.turn(2_500);
  alive.heard();
  clock.turn(2_500);
  expect(heard).toEqual(['ask 11000', 'ask 13500']);
});

test('our own sleep is not the silence of the peer', () => {
  const { clock, alive, heard } = keepAlive();
  clock.turn(500);
  clock.sleep(60_000);
  clock.turn(0);
  expect(heard).toEqual([]);
  // What came meanwhile is read now.
  alive.heard();
  clock.turn(500);
  expect(heard).toEqual([]);
  clock.sleep(60_000);
  clock.turn(200);
  expect(heard.at(-1)).toMatch(/^dead 60/);
});

test('after stop nothing happens', () => {
  const { clock, alive, heard } = keepAlive();
  alive.stop();
  alive.stop();
  clock.turn(10_000);
  expect(heard).toEqual([]);
});
