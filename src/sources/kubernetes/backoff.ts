/** Growing pauses between attempts, spread at random so that many agents do not ask at one time. Pure: randomness is given. */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly lastMs: number;
  /** 0 (inclusive) to 1. */
  readonly random: () => number;
}

export class Backoff {
  private step = 0;

  constructor(private readonly options: BackoffOptions) {}

  /** The next pause: doubled each time up to `lastMs`, of which between half and all is waited. */
  next(): number {
    const { firstMs, lastMs, random } = this.options;
    const whole = Math.min(lastMs, firstMs * 2 ** this.step);
    if (whole < lastMs) this.step++;
    return whole * (0.5 + random() / 2);
  }

  /** After a success. */
  reset(): void {
    this.step = 0;
  }
}
