/** A pair of devices between the datapath and the IDS engine: copies, or the traffic itself, go into one end, the engine reads the other. */
import type { Link, LinkSocket } from '../native/binding.js';
import type { Logger } from '../platform/logger.js';

/** Mirrored frames may be GSO frames of 64 KB: a veth passes them whole, whatever its MTU says. */
export class TapPair {
  constructor(
    private readonly options: {
      readonly links: LinkSocket;
      readonly tap: string;
      readonly sensor: string;
      readonly log: Logger;
      /** Makes the kernel finish frames for a device before it gets them; absent: they may be large and without checksums. */
      readonly finishFrames?: (name: string) => void;
      /** Writes a sysctl; rejects when it cannot be written. */
      readonly writeSysctl: (path: string, value: string) => Promise<void>;
    },
  ) {}

  /** Makes the pair where it is absent and brings it up; does nothing when it is as it should be. */
  async ensure(): Promise<void> {
    const { options } = this;
    const { links, tap, sensor, log } = options;
    let present = new Map((await links.list()).map((link): [string, Link] => [link.name, link]));
    if (!present.has(tap) || !present.has(sensor)) {
      // Half a pair cannot be: with one end gone the kernel removes the other.
      if (!present.has(tap) && !present.has(sensor)) {
        await links.createVeth({ name: tap, peer: sensor });
        log.info('tap.created', { tap, sensor });
      } else log.warn('tap.incomplete', { tap: present.has(tap), sensor: present.has(sensor) });
      present = new Map((await links.list()).map((link): [string, Link] => [link.name, link]));
    }
    for (const name of [tap, sensor]) {
      const link = present.get(name);
      if (link === undefined || link.up) continue;
      await quieten(name, options);
      options.finishFrames?.(name);
      await links.set(name, { up: true, arp: false, promiscuous: name === sensor });
    }
  }

  /** Removes the pair. */
  async remove(): Promise<boolean> {
    const present = (await this.options.links.list()).some((link) => link.name === this.options.tap);
    if (present) await this.options.links.delete(this.options.tap);
    return present;
  }
}

/** No addresses, no neighbour discovery: nothing of the host's own may appear on a device for copies. To be called before it is brought up; never rejects. */
export async function quieten(name: string, { writeSysctl, log }: { readonly writeSysctl: (path: string, value: string) => Promise<void>; readonly log: Logger }): Promise<void> {
  try {
    await writeSysctl(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
  } catch (error) {
    log.debug('tap.ipv6_left_on', { name, error: error instanceof Error ? error.message : String(error) });
  }
}
