/** At most `burst` at once and `rate` a second on average. Pure: the caller says what time it is (ms, from any start). */
export class TokenBucket {
  #tokens: number;
  #at: number | undefined;

  constructor(private readonly rate: number, private readonly burst: number) {
    this.#tokens = burst;
  }

  /** Takes one; false: there is none left. Time that goes back gives nothing, and takes nothing. */
  take(now: number): boolean {
    this.#refill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Nobody has taken anything for so long that it is as new. */
  isFull(now: number): boolean {
    this.#refill(now);
    return this.#tokens >= this.burst;
  }

  #refill(now: number): void {
    const passed = this.#at === undefined ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.burst, this.#tokens + (passed * this.rate) / 1_000);
  }
}
