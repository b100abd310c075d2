import { Chain, type Link } from './chain.js';

/** Alike alerts from the first on until the window's end: one is given out, the others are counted. */
export interface AlertWindow {
  readonly key: string;
  /** Of the alert that opened it. */
  readonly alertId: string;
  /** By the clock of whoever calls, ms. */
  readonly openedAt: number;
  /** Alerts in it, the first included. */
  count: number;
  /** When the last of them was raised, ms since the epoch. */
  lastMs: number;
}

interface Entry {
  readonly window: AlertWindow;
  readonly opened: Link<AlertWindow>;
  used: Link<AlertWindow>;
}

/**
 * The open windows. Pure: whoever calls says what time it is, which must not go back (an earlier one counts as the latest known). At
 * most `capacity` are open; then the one unused for longest is closed early, and counted.
 */
export class AlertWindows {
  readonly #byKey = new Map<string, Entry>();
  readonly #byOpening = new Chain<AlertWindow>();
  readonly #byUse = new Chain<AlertWindow>();
  #now = Number.NEGATIVE_INFINITY;
  #forgotten = 0;

  /** `windowMs` 0: there are no windows, every alert stands for itself. */
  constructor(private readonly windowMs: number, private readonly capacity: number) {}

  get size(): number {
    return this.#byKey.size;
  }

  /** Windows closed before their time for want of room. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Counts the alert where a window of its key is open and gives that window; undefined: it is the first of its kind. */
  count(key: string, alertMs: number, now: number): AlertWindow | undefined {
    const entry = this.#byKey.get(key);
    if (entry === undefined || this.#over(entry.window, this.#tick(now))) return undefined;
    entry.window.count += 1;
    entry.window.lastMs = Math.max(entry.window.lastMs, alertMs);
    this.#byUse.remove(entry.used);
    entry.used = this.#byUse.append(entry.window);
    return entry.window;
  }

  /**
   * Opens a window with its first alert, after `count` said that none is open. Gives the window, where there are any, and those that had
   * to be closed for it.
   */
  open(key: string, alert: { readonly id: string; readonly timeMs: number }, now: number): { readonly window: AlertWindow; readonly closed: readonly AlertWindow[] } {
    const window: AlertWindow = { key, alertId: alert.id, openedAt: this.#tick(now), count: 1, lastMs: alert.timeMs };
    return { window, closed: this.windowMs === 0 ? [] : this.#put(window) };
  }

  /** Puts back a window of an earlier life; of one that would be over now, due() tells. */
  restore(window: AlertWindow): readonly AlertWindow[] {
    return this.windowMs === 0 ? [window] : this.#put(window);
  }

  /** Closes the windows whose time is over, oldest first. */
  due(now: number): AlertWindow[] {
    const time = this.#tick(now);
    const over: AlertWindow[] = [];
    for (let first = this.#byOpening.first; first !== undefined && this.#over(first, time); first = this.#byOpening.first) over.push(this.#close(first));
    return over;
  }

  /** When due() has something to tell next; undefined: nothing is open. */
  get nextDue(): number | undefined {
    const first = this.#byOpening.first;
    return first === undefined ? undefined : first.openedAt + this.windowMs;
  }

  /** Those that are open, oldest first. */
  *windows(): Generator<AlertWindow> {
    yield* this.#byOpening.oldestFirst();
  }

  #put(window: AlertWindow): AlertWindow[] {
    const closed: AlertWindow[] = [];
    const known = this.#byKey.get(window.key);
    if (known !== undefined) closed.push(this.#close(known.window));
    this.#byKey.set(window.key, { window, opened: this.#byOpening.append(window), used: this.#byUse.append(window) });
    if (this.#byKey.size > this.capacity && this.#byUse.first !== undefined) {
      closed.push(this.#close(this.#byUse.first));
      this.#forgotten += 1;
    }
    return closed;
  }

  #close(window: AlertWindow): AlertWindow {
    const entry = this.#byKey.get(window.key);
    if (entry?.window === window) {
      this.#byKey.delete(window.key);
      this.#byOpening.remove(entry.opened);
      this.#byUse.remove(entry.used);
    }
    return window;
  }

  #over({ openedAt }: AlertWindow, now: number): boolean {
    return now >= openedAt + this.windowMs;
  }

  #tick(now: number): number {
    this.#now = Math.max(this.#now, now);
    return this.#now;
  }
}
