/** Frames that the kernel copied for the agent (NFLOG) because they say which addresses a workload has (drivers/nftables/learn-layout.ts). */
import type { FrameReader } from '../discovery/addresses/learned-addresses.js';
import type { SeenFrame } from '../discovery/addresses/sightings.js';
import { LEARN_PREFIX } from '../drivers/nftables/learn-layout.js';
import { macText } from '../model/mac-text.js';
import type { Link, NflogPacket, NflogReader } from '../native/binding.js';

const ETHERNET = 14;

export class KernelFrames implements FrameReader {
  private links: ReadonlyMap<string, Link> | undefined;
  private names: ReadonlyMap<number, string> = new Map();

  /** `currentLinks`: by name; the same map while nothing changed. */
  constructor(private readonly reader: NflogReader, private readonly currentLinks: () => ReadonlyMap<string, Link>) {}

  start(use: (frames: readonly SeenFrame[]) => void): void {
    this.reader.start((packets) => use(packets.flatMap((packet) => this.frame(packet))));
  }

  stop(): void {
    this.reader.stop();
  }

  private frame({ prefix, indev, outdev, ethertype, payload, link }: NflogPacket): SeenFrame[] {
    const sent = prefix === LEARN_PREFIX.sent;
    const name = this.nameOf(sent ? indev : outdev);
    if (name === undefined || (!sent && prefix !== LEARN_PREFIX.arrives)) return [];
    const mac = link.length < ETHERNET ? '' : macText(link, 6);
    return [{ interface: name, sent, ethertype, payload, mac }];
  }

  private nameOf(index: number): string | undefined {
    const links = this.currentLinks();
    if (links !== this.links) {
      this.links = links;
      this.names = new Map([...links.values()].map((link) => [link.index, link.name]));
    }
    return this.names.get(index);
  }
}
