/** One piece of work at a time. */
export class Turnstile {
  private last: Promise<unknown> = Promise.resolve();

  /** Rejects as the work does; the next one goes on. */
  async alone(work: () => Promise<void>): Promise<void> {
    const mine = this.last.then(work);
    this.last = mine.catch(() => undefined);
    return mine;
  }
}
