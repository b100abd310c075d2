/** Connections as `dpctl/dump-conntrack -m -s` writes them, for tests without a switch. */
import type { ConnectionTable } from '../../src/drivers/ovs/tracker/connection-table.js';
import { ConnectionDumpParser } from '../../src/drivers/ovs/tracker/dump-parser.js';

export interface TrackerLine {
  readonly protocol?: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  readonly source?: string;
  readonly destination?: string;
  /** Who truly answers; default the destination. */
  readonly answers?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly answerPort?: number;
  readonly zone?: number;
  readonly out?: number;
  readonly in?: number;
  /** Of both ends. */
  readonly states?: readonly [string, string];
  readonly timeout?: number;
}

export const TEST_ZONE = 57_207;

export function trackerLine(line: TrackerLine): string {
  const { protocol = 'tcp', source = '10.0.0.1', destination = '10.0.0.2', sourcePort = 40_000, destinationPort = 443, zone = TEST_ZONE, out = 0, in: inward = 0, states = ['ESTABLISHED', 'ESTABLISHED'], timeout = 600 } = line;
  const { answers = destination, answerPort = destinationPort } = line;
  const icmp = protocol.startsWith('icmp');
  const ports = (from: number, to: number): string => (icmp ? `id=${sourcePort},type=${to >> 8},code=${to & 0xff}` : `sport=${from},dport=${to}`);
  const label = (BigInt(inward) << 96n) | (BigInt(out) << 64n) | 0x1234_0000_5678n;
  return `${protocol},orig=(src=${source},dst=${destination},${ports(sourcePort, destinationPort)}),reply=(src=${answers},dst=${source},${ports(answerPort, icmp ? 0 : sourcePort)})`
    + `,id=0,zone=${zone},status=0,timeout=${timeout},labels=0x${label.toString(16)}${protocol === 'tcp' ? `,protoinfo=(state_orig=${states[0]},state_reply=${states[1]})` : ''}`;
}

export function trackerTable(lines: readonly TrackerLine[]): ConnectionTable {
  const parser = new ConnectionDumpParser();
  parser.push(Buffer.from(lines.map((line) => `${trackerLine(line)}\n`).join('')));
  const table = parser.end();
  if (parser.malformed > 0) throw new Error(`${parser.malformed} lines could not be read`);
  return table;
}
