/** Time as an effect, so that tests can turn it. */
export interface Clock {
  /** Milliseconds since 1970, whole; jumps when the host's time is set. For what people read. */
  now(): number;
  /** Milliseconds since an unknown start, with fractions; never goes back. For measuring. */
  monotonic(): number;
  /** Calls `action` once after `delayMs` and keeps the process alive until then; returns the cancellation (harmless afterwards). */
  after(delayMs: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
};
