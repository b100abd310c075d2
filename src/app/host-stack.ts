/**
 * The userspace datapath reads frames from packet sockets: the host's own stack gets the same frames, and would answer ARP for its addresses there, and
 * forward what is sent to the device's own address, past every filter. So it does not get them: dropped at the interface, behind the sockets.
 * The kernel's datapath takes frames off the interface; there nothing is needed.
 */
import type { NetdevDriver } from '../drivers/nftables/netdev-driver.js';
import { netdevImage } from '../drivers/nftables/netdev-layout.js';
import type { Link, LinkSocket } from '../native/binding.js';

export interface HostStackOptions {
  readonly netdev: NetdevDriver;
  /** Interfaces whose frames only the IDS engine reads. */
  readonly sensors: readonly string[];
  readonly links: LinkSocket;
  readonly logGroup: number;
}

export class HostStack {
  /** What table `netdev dfw` was made to be, as text; undefined: not looked at yet. */
  private inForce: string | undefined;

  constructor(private readonly options: HostStackOptions) {}

  /**
   * `datapathType` undefined: not known yet, nothing changes. True when something was written. Rejects with E_KERNEL where the kernel has no netdev hooks of
   * nf_tables: filters of a userspace datapath would not be safe without.
   */
  async keep(interfaces: readonly Link[], datapathType: string | undefined): Promise<boolean> {
    if (datapathType === undefined) return false;
    const { netdev, links, sensors, logGroup } = this.options;
    const own = sensors.length === 0 ? [] : (await links.list()).filter(({ name }) => sensors.includes(name));
    const kept = [...(datapathType === 'netdev' ? interfaces : []), ...own].map(({ name, index }) => ({ interface: name, interfaceIndex: index }));
    const text = JSON.stringify(kept);
    if (text === this.inForce) return false;
    const changed = await netdev.apply(netdevImage([], kept, logGroup, 0));
    this.inForce = text;
    return changed;
  }

  /** Somebody may have changed the table: it is compared at the next call. */
  distrust(): void {
    this.inForce = undefined;
  }

  async cleanup(): Promise<void> {
    this.inForce = undefined;
    await this.options.netdev.cleanup();
  }
}
