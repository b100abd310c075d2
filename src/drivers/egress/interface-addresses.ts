/** Puts held addresses on the interface by which they are reached, tells the neighbours, and takes them away. */
import { describeError } from '../../model/errors.js';
import { familyOf } from '../../model/family.js';
import type { LinkSocket, PacketSender, AddressSocket } from '../../native/binding.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { announcement } from './announcement.js';

export interface InterfaceAddressesOptions {
  readonly routes: AddressSocket;
  readonly links: LinkSocket;
  readonly sender: Pick<PacketSender, 'sendFrame'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where addresses go; '' = by which the host would send to them. */
  readonly interface: string;
}

const IPV6_SECONDS = 10;
/** Neighbours may miss one. */
const ANNOUNCE_AFTER_MS = [0, 200, 1_000, 2_500];

export class InterfaceAddresses {
  /** Address → interface that we put it on, and Clock.monotonic() from when it is to be renewed. */
  private readonly placed = new Map<string, { readonly interfaceIndex: number; readonly renewAt: number }>();
  private readonly refusals = new Map<string, string>();
  private held: ReadonlyMap<string, number> = new Map();
  /** On an interface for ever: somebody else's doing, left alone. */
  private permanent: ReadonlySet<string> = new Set();

  constructor(private readonly options: InterfaceAddressesOptions) {}

  get fixed(): ReadonlySet<string> {
    return this.permanent;
  }

  /** Why an address is not on any interface though it is held. */
  get problems(): ReadonlyMap<string, string> {
    return this.refusals;
  }

  async refresh(): Promise<void> {
    const all = await this.options.routes.addresses();
    this.permanent = new Set(all.filter(({ validSeconds }) => validSeconds === Infinity).map(({ address }) => address));
  }

  /**
   * `held`: address → Clock.monotonic() up to which it is. The kernel takes each away by itself, IPv4 before that time, IPv6 some seconds after it
   * (the tables end its use in time). Addresses that others put there are neither renewed nor removed.
   */
  async apply(held: ReadonlyMap<string, number>): Promise<void> {
    this.held = held;
    for (const [address, { interfaceIndex }] of this.placed) {
      if (held.has(address)) continue;
      this.placed.delete(address);
      await this.options.routes.deleteAddress({ interfaceIndex, address });
    }
    for (const address of this.refusals.keys()) if (!held.has(address)) this.refusals.delete(address);
    for (const [address, until] of held) {
      if (!this.permanent.has(address)) await this.place(address, until);
    }
  }

  private async place(address: string, until: number): Promise<void> {
    const { routes, clock, log } = this.options;
    const left = until - clock.monotonic();
    if (left <= 0) return;
    try {
      const known = this.placed.get(address);
      if (known !== undefined && clock.monotonic() < known.renewAt) return;
      const interfaceIndex = known?.interfaceIndex ?? await this.interfaceFor(address);
      if (interfaceIndex === undefined) {
        this.refusals.set(address, this.options.interface === '' ? `the host has no route to ${address}: no interface to put it on` : `interface ${this.options.interface} is not there`);
        return;
      }
      // The kernel makes a multicast report of every renewal of an IPv6 address.
      const validSeconds = familyOf(address) === 4 ? Math.max(1, Math.floor(left / 1000)) : IPV6_SECONDS;
      await routes.setAddress({ interfaceIndex, address, validSeconds });
      this.refusals.delete(address);
      this.placed.set(address, { interfaceIndex, renewAt: familyOf(address) === 4 ? 0 : clock.monotonic() + (IPV6_SECONDS * 1000) / 2 });
      if (known === undefined) for (const delay of ANNOUNCE_AFTER_MS) this.announceLater(address, interfaceIndex, delay);
    } catch (error) {
      // The interface may have gone: it is looked for again.
      this.placed.delete(address);
      this.refusals.set(address, describeError(error));
      log.warn('egress.address_failed', { address, error: describeError(error) });
    }
  }

  private announceLater(address: string, interfaceIndex: number, delayMs: number): void {
    if (delayMs === 0) void this.announce(address, interfaceIndex);
    else this.options.clock.after(delayMs, () => void this.announce(address, interfaceIndex));
  }

  private async announce(address: string, interfaceIndex: number): Promise<void> {
    const { links, sender, clock, log } = this.options;
    try {
      const mac = (await links.list()).find(({ index }) => index === interfaceIndex)?.mac ?? '';
      const frame = announcement(address, mac);
      // Read last: these frames pass no rule of the kernel's.
      if (frame !== undefined && (this.held.get(address) ?? 0) > clock.monotonic()) sender.sendFrame({ interfaceIndex, frame });
    } catch (error) {
      log.warn('egress.announcement_failed', { address, error: describeError(error) });
    }
  }

  private async interfaceFor(address: string): Promise<number | undefined> {
    const { routes, links } = this.options;
    const all = await links.list();
    if (this.options.interface !== '') return all.find(({ name }) => name === this.options.interface)?.index;
    const way = await routes.routeTo(address);
    if (way?.type === 'unicast') return way.interfaceIndex;
    if (way?.type !== 'local') return undefined;
    // It is there already, from a process before this one.
    return (await routes.addresses()).find((one) => one.address === address)?.interfaceIndex;
  }
}
