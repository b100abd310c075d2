/** Long work in portions: between two of them other events are served. */
import { setImmediate } from 'node:timers/promises';

/** How long a portion may take before the next breath. */
const PORTION_MS = 20;

/** Gives way when the current portion has taken long enough; costs nothing otherwise. */
export class Turns {
  private started = performance.now();

  async breathe(): Promise<void> {
    if (performance.now() - this.started < PORTION_MS) return;
    await this.yield();
  }

  /** Gives way at once. */
  async yield(): Promise<void> {
    await setImmediate();
    this.started = performance.now();
  }
}
