/** DNS replies that the kernel copied for the agent (NFLOG); those that it dropped go to the workload's interface later. */
import { withUdpChecksum } from '../dns/checksum.js';
import { HELD_PREFIX } from '../drivers/nftables/dns-layout.js';
import { decodePacket, ETHERTYPE_IPV4 } from '../model/packet-headers.js';
import type { NflogPacket, NflogReader, PacketSender } from '../native/binding.js';
import type { ReplyReader, SeenReply } from './reply-watch.js';

export class KernelReplies implements ReplyReader {
  constructor(private readonly reader: NflogReader, private readonly sender: PacketSender) {}

  start(use: (replies: readonly SeenReply[]) => void): void {
    this.reader.start((packets) => use(packets.map((packet) => this.reply(packet))));
  }

  stop(): void {
    this.reader.stop();
    this.sender.close();
  }

  private reply(packet: NflogPacket): SeenReply {
    const { ethertype, payload, prefix } = packet;
    return { ethertype, payload, ...(prefix === HELD_PREFIX ? { letGo: () => this.send(packet) } : {}) };
  }

  private send({ ethertype, payload, outdev }: NflogPacket): void {
    const { transportOffset } = decodePacket(ethertype, payload);
    if (transportOffset === undefined || payload.length < transportOffset + UDP_HEADER) return;
    this.sender.send({ interfaceIndex: outdev, ethertype, packet: withUdpChecksum(payload, ethertype === ETHERTYPE_IPV4, transportOffset) });
  }
}

const UDP_HEADER = 8;
