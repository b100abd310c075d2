import type { AlertSelection, AlertView } from '../../model/views.js';
import { selects } from './alert-selection.js';

const FOLLOWER_CAPACITY = 1_000;

/** Those who read alerts as they come (`getalerts --follow`). */
export class AlertFollowers {
  readonly #followers = new Set<Follower>();
  #lost = 0;

  /** Alerts that followers were too slow for. */
  get lost(): number {
    return this.#lost;
  }

  give(alert: AlertView): void {
    for (const follower of this.#followers) if (!follower.offer(alert)) this.#lost += 1;
  }

  /** Every alert given from now on that is selected, until the signal fires. A reader slower than 1,000 alerts loses the oldest ones, counted in `lost`. */
  follow(selection: AlertSelection, signal: AbortSignal): AsyncIterable<AlertView> {
    const follower = new Follower(selection, signal);
    // Joined here, not at the first next(): what comes between must not be missed.
    if (!signal.aborted) {
      this.#followers.add(follower);
      signal.addEventListener('abort', () => this.#followers.delete(follower), { once: true });
    }
    const leave = (): void => {
      this.#followers.delete(follower);
    };
    return {
      async *[Symbol.asyncIterator]() {
        try {
          for (let alert = await follower.next(); alert !== undefined; alert = await follower.next()) yield alert;
        } finally {
          leave();
        }
      },
    };
  }
}

class Follower {
  readonly #queue: AlertView[] = [];
  #wake: (() => void) | undefined;

  constructor(private readonly selection: AlertSelection, private readonly signal: AbortSignal) {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  /** False when an older alert had to give way. */
  offer(alert: AlertView): boolean {
    if (!selects(this.selection, alert)) return true;
    this.#queue.push(alert);
    const fits = this.#queue.length <= FOLLOWER_CAPACITY;
    if (!fits) this.#queue.shift();
    this.#wake?.();
    return fits;
  }

  /** undefined when the signal has fired. */
  async next(): Promise<AlertView | undefined> {
    while (!this.signal.aborted) {
      const alert = this.#queue.shift();
      if (alert !== undefined) return alert;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }
}
