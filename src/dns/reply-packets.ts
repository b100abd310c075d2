/** The DNS messages in packets that the kernel copied: UDP datagrams whole, TCP streams put together again (RFC 1035 section 4.2). */
import { decodePacket } from '../model/packet-headers.js';
import { TCP, UDP } from '../model/protocols.js';
import { StreamMessages } from './stream-messages.js';

export interface CopiedPacket {
  readonly ethertype: number;
  /** From the network header on. */
  readonly payload: Uint8Array;
}

const UDP_HEADER = 8;
const SYN = 0x02;
const ENDS = 0x05; // FIN, RST

export interface DnsMessage {
  /** Who sent it. */
  readonly server: string;
  readonly bytes: Uint8Array;
}

export class ReplyPackets {
  private readonly streams = new StreamMessages();

  /** Messages that are complete with this packet; none for what is broken, cut or no DNS. */
  messages({ ethertype, payload }: CopiedPacket): DnsMessage[] {
    const { protocol, source, destination, sourcePort, destinationPort, transportOffset, tcpFlags } = decodePacket(ethertype, payload);
    if (source === undefined || transportOffset === undefined || payload.length < transportOffset + UDP_HEADER) return [];
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (protocol === UDP) {
      const length = view.getUint16(transportOffset + 4);
      return [{ server: source, bytes: payload.subarray(transportOffset + UDP_HEADER, transportOffset + Math.max(UDP_HEADER, length)) }];
    }
    if (protocol !== TCP || tcpFlags === undefined) return [];
    const data = payload.subarray(transportOffset + (view.getUint8(transportOffset + 12) >>> 4) * 4, packetEnd(view, ethertype));
    const segment = { sequence: view.getUint32(transportOffset + 4), begins: (tcpFlags & SYN) !== 0, ends: (tcpFlags & ENDS) !== 0, data };
    return this.streams.take(`${source} ${sourcePort} ${destination} ${destinationPort}`, segment).map((bytes) => ({ server: source, bytes }));
  }
}

/** Short Ethernet frames carry padding behind the packet. A length of 0 is that of a packet before segmentation. */
function packetEnd(view: DataView, ethertype: number): number {
  const length = ethertype === 0x0800 ? view.getUint16(2) : 40 + view.getUint16(4);
  return length === 0 || length === 40 ? view.byteLength : Math.min(length, view.byteLength);
}
