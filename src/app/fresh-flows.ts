import type { FlowTable } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';

/** Brings the figures of a flow table up to date where that takes no longer than `ms`; else, and where they cannot be read, the last ones stay. */
export async function freshWithin(flows: FlowTable, clock: Clock, ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const cancel = clock.after(ms, resolve);
    const done = (): void => {
      cancel();
      resolve();
    };
    (flows.refresh?.() ?? Promise.resolve()).then(done, done);
  });
}
