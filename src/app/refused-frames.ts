/**
 * Answers to what rules reject on Linux bridges: the kernel can reject in the bridge's input hook only, so it copies such frames to the agent
 * (NFLOG), which makes the answer. It goes out by the port that the frame came from, past all rules: they have decided. What the host itself
 * sent, or routed to the bridge, is answered through the host's routing.
 *
 * A bridge floods what it has no port for: then a filter also judges frames that are for somebody else, and must not answer for him. So what
 * went to a port with a filter is answered only when that filter's vNIC was meant.
 */
import { macText } from '../model/mac-text.js';
import { answerTo } from '../drivers/ovs/answers.js';
import { describeError } from '../model/errors.js';
import { decodePacket } from '../model/packet-headers.js';
import type { NflogPacket, NflogReader, PacketSender } from '../native/binding.js';
import type { Logger } from '../platform/logger.js';

/** Whose a port is, as far as it is declared. */
export interface PortOwner {
  /** '' = not declared. */
  readonly mac: string;
  readonly addresses: readonly string[];
}

export interface RefusedFramesOptions {
  /** Its group gets whole headers: REFUSED_SNAP_LENGTH of drivers/nftables/bridge-layout. */
  readonly reader: NflogReader;
  readonly sender: PacketSender;
  /** The filter of an interface; undefined: it has none. */
  readonly ownerOf: (interfaceIndex: number) => PortOwner | undefined;
  /** Index of the bridge of a port; 0 = it is no port. */
  readonly bridgeOf: (interfaceIndex: number) => number;
  readonly log: Logger;
}

const ETHERNET = 14;

export class RefusedFrames {
  private running = false;
  private failure: string | undefined;

  constructor(private readonly options: RefusedFramesOptions) {}

  /** Why nothing is answered; undefined: it is, or nobody asked for it. */
  get degraded(): string | undefined {
    return this.failure;
  }

  /** Twice is once. Never throws: what is refused is dropped all the same. */
  start(): void {
    if (this.running) return;
    try {
      this.options.reader.start((packets) => {
        for (const packet of packets) this.take(packet);
      });
      this.running = true;
      this.failure = undefined;
    } catch (error) {
      if (this.failure === undefined) this.options.log.warn('bridge.no_answers', { error: describeError(error) });
      this.failure = `rejected frames are not answered: ${describeError(error)}`;
    }
  }

  stop(): void {
    if (this.running) this.options.reader.stop();
    this.running = false;
    this.options.sender.close();
  }

  private take(packet: NflogPacket): void {
    try {
      this.answer(packet);
    } catch (error) {
      // The port, or the way back, went away meanwhile.
      this.options.log.debug('bridge.answer_failed', { error: describeError(error) });
    }
  }

  private answer(packet: NflogPacket): void {
    const { sender, bridgeOf } = this.options;
    if (packet.indev === 0 || packet.link.length < ETHERNET) {
      const answer = answerTo(withHeader(unaddressed(packet.ethertype), packet), ETHERNET + packet.length);
      if (answer !== undefined) sender.route({ interfaceIndex: bridgeOf(packet.outdev), ethertype: packet.ethertype, packet: answer.subarray(ETHERNET) });
      return;
    }
    const owner = packet.outdev === 0 ? undefined : this.options.ownerOf(packet.outdev);
    if (owner !== undefined && !meant(owner, packet)) return;
    const frame = answerTo(withHeader(packet.link, packet), packet.link.length + packet.length);
    if (frame !== undefined) sender.sendFrame({ interfaceIndex: packet.indev, frame });
  }
}

function withHeader(header: Uint8Array, { payload }: NflogPacket): Uint8Array {
  const frame = new Uint8Array(header.length + payload.length);
  frame.set(header);
  frame.set(payload, header.length);
  return frame;
}

/** A header for what has none: only its EtherType is looked at. */
function unaddressed(ethertype: number): Uint8Array {
  const header = new Uint8Array(ETHERNET);
  header.set([ethertype >>> 8, ethertype & 0xff], ETHERNET - 2);
  return header;
}

function meant({ mac, addresses }: PortOwner, { link, ethertype, payload }: NflogPacket): boolean {
  if (mac !== '') return mac === macText(link);
  return addresses.includes(decodePacket(ethertype, payload).destination ?? '');
}
