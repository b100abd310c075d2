import type { FlowTable } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';

/** Brings the figures of a flow table up to date where that takes no longer than `ms`; else, and where they cannot be read, the last ones stay. */
export async function freshWithin(flows: FlowTable, clock: Clock, ms: number): Promise<void> {
  if (flows.refresh === undefined) return;
  let cancel = (): void => undefined;
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  await Promise.race([flows.refresh().catch(() => undefined), late]);
  cancel();
}
