import type { Clock } from './clock.js';

export interface ServiceNotifierOptions {
  /** $NOTIFY_SOCKET: a path or "@abstract"; undefined or empty when the agent is no systemd service. */
  readonly socket: string | undefined;
  /** $WATCHDOG_USEC; undefined, empty or no positive number: no watchdog. */
  readonly watchdogMicroseconds: string | undefined;
  /** Sends one datagram; may throw, which is reported to `onError` and nothing else. */
  readonly send: (socket: string, state: string) => void;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

/**
 * Tells systemd how the service is (sd_notify(3)). Every method is harmless without a socket. A datagram that cannot be sent
 * never stops the agent: systemd then acts by its own timeouts.
 */
export class ServiceNotifier {
  readonly #options: ServiceNotifierOptions;
  readonly #intervalMs: number | undefined;
  #lastAlive = Number.NEGATIVE_INFINITY;
  #lastStatus: string | undefined;
  #waited = false;

  constructor(options: ServiceNotifierOptions) {
    this.#options = options;
    const microseconds = Number(options.watchdogMicroseconds ?? '');
    this.#intervalMs = this.#active && Number.isFinite(microseconds) && microseconds > 0 ? microseconds / 2000 : undefined;
  }

  /** How often, at least, alive() must be called: half of what systemd waits. Undefined: no watchdog. */
  get watchdogIntervalMs(): number | undefined {
    return this.#intervalMs;
  }

  /** After the first complete apply, and after a reload. What waiting() said is over. */
  ready(): void {
    this.#send('READY=1');
    if (this.#waited) this.status('');
    this.#waited = false;
  }

  /** Before ready(): what is waited for, and that this, or ready(), comes again within `forMs`. Until then systemd neither gives up the start nor, at a reload, bites. */
  waiting(reason: string, forMs: number): void {
    this.#waited = true;
    this.#send(`EXTEND_TIMEOUT_USEC=${Math.round(forMs * 1000)}`);
    this.status(`waiting: ${reason}`);
    this.alive();
  }

  /** Before reading the configuration again; ready() must follow. */
  reloading(): void {
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${Math.round(this.#options.clock.monotonic() * 1000)}`);
  }

  stopping(): void {
    this.#send('STOPPING=1');
  }

  /** One line for `systemctl status`; the same line twice is sent once. */
  status(text: string): void {
    const line = text.replaceAll(/\s+/g, ' ').trim();
    if (line === this.#lastStatus) return;
    this.#lastStatus = line;
    this.#send(`STATUS=${line}`);
  }

  /** From the apply loop whenever it comes round; sent at most twice per interval. */
  alive(): void {
    const now = this.#options.clock.monotonic();
    if (this.#intervalMs === undefined || now - this.#lastAlive < this.#intervalMs / 2) return;
    this.#lastAlive = now;
    this.#send('WATCHDOG=1');
  }

  get #active(): boolean {
    return this.#options.socket !== undefined && this.#options.socket !== '';
  }

  #send(state: string): void {
    const { socket, send, onError } = this.#options;
    if (socket === undefined || socket === '') return;
    try {
      send(socket, state);
    } catch (error) {
      onError(error);
    }
  }
}
