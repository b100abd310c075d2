import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReconcileLoop } from '../../../src/reconcile/loop.js';
import { silent } from '../../support/silent.js';
import { ManualClock } from '../dns/manual-clock.js';

describe('ReconcileLoop', () => {
  let clock: ManualClock;
  let applied: string[];
  let apply: (reason: string) => Promise<void>;
  let loop: ReconcileLoop;
  let ending: AbortController;

  beforeEach(() => {
    clock = new ManualClock();
    applied = [];
    apply = async (reason) => { applied.push(reason); };
    ending = new AbortController();
    loop = new ReconcileLoop({ clock, log: silent, apply: async (reason) => apply(reason), alive: () => undefined, settleMs: 5, leadMs: 1, idleMs: 1_000 });
    loop.start(ending.signal);
  });
  afterEach(async () => {
    ending.abort();
    await loop.stopped();
  });
  const pass = async (ms: number): Promise<void> => {
    await turn();
    clock.move(ms);
    await turn();
  };

  it('applies a lone change after the lead, with what came in it', async () => {
    await pass(100);
    loop.markDirty('a');
    await pass(0.5);
    loop.markDirty('b');
    await turn();
    expect(applied).toEqual([]);
    await pass(0.5);
    expect(applied).toEqual(['a,b']);
  });

  it('gathers changes that follow soon, and takes one after a quiet time for a lone one again', async () => {
    await pass(100);
    loop.markDirty('a');
    await pass(1);
    for (const each of ['b', 'c', 'd']) {
      loop.markDirty(each);
      await pass(1.5);
      expect(applied).toEqual(['a']);
    }
    await pass(1);
    expect(applied).toEqual(['a', 'b,c,d']);
    await pass(30);
    loop.markDirty('e');
    await pass(1);
    expect(applied).toEqual(['a', 'b,c,d', 'e']);
  });

  it('does not let anybody wait who asks', async () => {
    await pass(100);
    loop.markDirty('a');
    await turn();
    const done = loop.flush('asked');
    await turn();
    expect(applied).toEqual(['a,asked']);
    await done;
  });

  it('tells who asked of a failure, tries again, and ends while it settles', async () => {
    apply = async () => { throw new Error('no'); };
    await expect(loop.flush('x')).rejects.toThrow('no');
    expect(loop.error).toBe('no');
    apply = async (reason) => { applied.push(reason); };
    await pass(50);
    await pass(5);
    expect(applied).toEqual(['retry']);
    expect(loop.error).toBeUndefined();
    loop.markDirty('last');
    await turn();
    ending.abort();
    await loop.stopped();
    expect(applied).toEqual(['retry']);
  });
});
