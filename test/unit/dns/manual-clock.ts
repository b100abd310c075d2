import type { Clock } from '../../../src/platform/clock.js';

/** Time that stands still until it is moved; what falls due on the way is done in order. */
export class ManualClock implements Clock {
  private at = 5_000;
  private timers: { readonly due: number; readonly action: () => void }[] = [];

  constructor(private readonly epoch = 1_700_000_000_000) {}

  now = (): number => this.epoch + this.at;
  monotonic = (): number => this.at;
  after = (delayMs: number, action: () => void): (() => void) => {
    const timer = { due: this.at + delayMs, action };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  };

  get pending(): number {
    return this.timers.length;
  }

  move(ms: number): void {
    const end = this.at + ms;
    for (;;) {
      const next = this.timers.filter(({ due }) => due <= end).toSorted((a, b) => a.due - b.due)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.at = Math.max(this.at, next.due);
      next.action();
    }
    this.at = end;
  }
}
