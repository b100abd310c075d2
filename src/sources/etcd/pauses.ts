/** Pauses between attempts: doubled from the first to the last, each shortened by chance by up to a half, so that many hosts do not come back at once. */
export interface PauseLimits { readonly firstMs: number; readonly lastMs: number }

export class Pauses {
  #nextMs: number;

  /** `random` gives [0, 1). */
  constructor(private readonly limits: PauseLimits, private readonly random: () => number) {
    this.#nextMs = limits.firstMs;
  }

  /** How long to wait this time. */
  next(): number {
    const pause = this.#nextMs;
    this.#nextMs = Math.min(pause * 2, this.limits.lastMs);
    return pause * (1 - this.random() / 2);
  }

  /** After a success. */
  reset(): void {
    this.#nextMs = this.limits.firstMs;
  }
}
