/** At most `burst` at once and `rate` a second on average. Pure: the caller says what time it is (ms, from any start). */
export class TokenBucket {
  #tokens: number;
  #at: number | undefined;

  constructor(private readonly rate: number, private readonly burst: number) {
    this.#tokens = burst;
  }

  /** Takes one; false: there is none left. Time that goes back gives nothing. */
  take(now: number): boolean {
    const passed = this.#at === undefined ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.burst, this.#tokens + (passed * this.rate) / 1_000);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
