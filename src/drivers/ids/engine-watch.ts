/** Whether an engine that runs still answers: one that hangs holds up the traffic that it stands in the path of. */
import type { Clock } from '../../platform/clock.js';
import { sleep } from '../../platform/sleep.js';

export interface EngineWatchOptions {
  readonly clock: Clock;
  /** Resolves when the engine answered; rejects when it did not within `limitMs`, or the signal fired. */
  readonly ask: (limitMs: number, signal: AbortSignal) => Promise<unknown>;
  /** Told of each change; the engine is taken to answer at first. */
  readonly onChange: (answers: boolean) => void;
}

const INTERVAL_MS = 200;
/** One late answer is a busy machine; two, asked at once one after the other, are 0.7 s without inspection. */
const LIMIT_MS = 250;
const MISSED = 2;
/** So long without an answer, it is ended and started anew. */
const GIVE_UP_MS = 15_000;

/** Asks until the signal fires. Resolves with "hung" when the engine has not answered for 15 s; it is not told of again then. */
export async function watchEngine({ clock, ask, onChange }: EngineWatchOptions, signal: AbortSignal): Promise<'ended' | 'hung'> {
  let missed = 0;
  let answered = clock.monotonic();
  while (!signal.aborted) {
    const got = await ask(LIMIT_MS, signal).then(() => true, () => false);
    if (signal.aborted) break;
    if (got) {
      answered = clock.monotonic();
      if (missed >= MISSED) onChange(true);
      missed = 0;
    } else {
      missed += 1;
      if (missed === MISSED) onChange(false);
      if (clock.monotonic() - answered >= GIVE_UP_MS) return 'hung';
    }
    if (missed !== 1) await sleep(clock, INTERVAL_MS, signal);
  }
  return 'ended';
}
