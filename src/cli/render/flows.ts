/** Flows as `vsipioctl getflows` prints them, and the framing of a streamed dump. */
import type { FlowCounts, FlowView } from '../../model/views.js';
import { serviceName } from './service-names.js';

export function countsLine(counts: FlowCounts): string {
  return `Count retrieved from kernel active(L3,L4)=${counts.active}, active(L2)+inactive(L3,L4)=${counts.inactive}, drop(L2,L3,L4)=${counts.drop}\n`;
}

/** One line as the agent's own text has it (native/flow_format.cc): id, state, protocol, ethertype, direction (1 in, 2 out), rule, two zeros, ... */
export function flowLine(flow: FlowView): string {
  return [
    flow.id, flow.state, flow.protocol, flow.ethertype, flow.direction === 'in' ? '1' : '2', String(flow.ruleId), '0', '0', '',
    ...endpoints(flow), String(flow.ageSeconds), flow.tcpState === '' ? '-' : flow.tcpState,
    String(flow.bytes.original), String(flow.bytes.reply), String(flow.packets.original), String(flow.packets.reply),
  ].join(' ');
}

/** ICMP has an identifier in the place of the source port and type * 256 + code in that of the destination's. */
function endpoints({ source, destination, protocol }: FlowView): string[] {
  if (protocol === 'icmp' || protocol === 'ipv6-icmp') {
    return [`${source.address}:icmp(${source.port})`, `${destination.address}:icmp(${Math.floor(destination.port / 256)}.${destination.port % 256})`];
  }
  return [source, destination].map(({ address, port }) => `${address}:${serviceName(port, protocol)}(${port})`);
}

/** The agent's JSON chunks hold whole objects with commas between them; whether also between chunks is theirs to choose. */
export class ObjectJoiner {
  #last: number | undefined;

  /** A comma when the chunk that follows needs one before it, else nothing. */
  separator(chunk: Uint8Array): string {
    const first = edge(chunk, 0, 1);
    const previous = this.#last;
    this.#last = edge(chunk, chunk.length - 1, -1) ?? previous;
    return previous === CLOSE && first === OPEN ? ',\n' : '';
  }
}

const OPEN = 0x7b; // {
const CLOSE = 0x7d; // }

/** The first byte that is no white space, seen from one end. */
function edge(chunk: Uint8Array, start: number, step: 1 | -1): number | undefined {
  for (let index = start; index >= 0 && index < chunk.length; index += step) {
    const byte = chunk[index];
    if (byte !== undefined && byte > 0x20) return byte;
  }
  return undefined;
}
