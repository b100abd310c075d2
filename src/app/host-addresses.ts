/** The addresses of the host's own interfaces, looked up from time to time: they change rarely, and asking is slow with many interfaces. */
import { networkInterfaces } from 'node:os';
import { canonicalHost } from '../model/address.js';
import type { Clock } from '../platform/clock.js';

const INTERVAL_MS = 2_000;

export interface HostAddressesOptions {
  readonly read: () => readonly string[];
  readonly clock: Clock;
  readonly onChange: () => void;
}

export class HostAddresses {
  private known: readonly string[] | undefined;

  constructor(private readonly options: HostAddressesOptions) {}

  /** Sorted. The same list as long as nothing changed. */
  get current(): readonly string[] {
    this.known ??= this.options.read();
    return this.known;
  }

  start(signal: AbortSignal): void {
    const next = (): void => {
      if (signal.aborted) return;
      this.look();
      const cancel = this.options.clock.after(INTERVAL_MS, () => {
        signal.removeEventListener('abort', cancel);
        next();
      });
      signal.addEventListener('abort', cancel, { once: true });
    };
    next();
  }

  look(): void {
    const now = this.options.read();
    if (this.known !== undefined && now.join() === this.known.join()) return;
    this.known = now;
    this.options.onChange();
  }
}

/** Of all interfaces, link-local ones included (loopback addresses proper are not: they leave no host): what the host's own packets may come from. Sorted. */
export function hostAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []).map(({ address }) => canonicalHost(address.replace(/%.*$/, '')))
    .filter((address) => address !== '::1' && !address.startsWith('127.'));
  return [...new Set(addresses)].sort();
}
