/** Ethernet frames of 60 bytes with IPv4 and UDP, as bench/native/packet-burst.c sends them. */
import type { Policy } from './policy.js';
import { Random } from './random.js';

export const FRAME_LENGTH = 60;
/** Where the packets of the benchmarks go; the workload behind the vNIC. */
export const SERVER = 0xc612_000a; // 198.18.0.10

export interface Endpoint {
  readonly mac: readonly number[];
  readonly address: number;
  readonly port: number;
}

/** The UDP checksum is zero (none): ports may be changed in place. */
export function udpFrame(source: Endpoint, destination: Endpoint): Uint8Array {
  const frame = new Uint8Array(FRAME_LENGTH);
  const view = new DataView(frame.buffer);
  frame.set(destination.mac, 0);
  frame.set(source.mac, 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, FRAME_LENGTH - 14);
  view.setUint8(22, 64);
  view.setUint8(23, 17);
  view.setUint32(26, source.address);
  view.setUint32(30, destination.address);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(24, ~sum & 0xffff);
  view.setUint16(34, source.port);
  view.setUint16(36, destination.port);
  view.setUint16(38, FRAME_LENGTH - 34);
  return frame;
}

/** Distinct client addresses and server ports that random UDP rules of the policy admit to the workload, spread over all its rules. */
export function admitted(policy: Policy, count: number, seed: number): { address: number; port: number }[] {
  const random = new Random(seed);
  const rules = policy.rules.filter((rule) => rule.protocol === 17 && rule.action === 'accept' && rule.direction !== 'out' && rule.source.addressSets.length > 0);
  const found = new Map<string, { address: number; port: number }>();
  for (let tries = 0; found.size < count && tries < count * 100; tries += 1) {
    const rule = random.pick(rules);
    const group = policy.sets.findIndex((set) => set.name === rule.source.addressSets[0]);
    const hosts = policy.hosts[group] ?? [];
    if (hosts.length === 0) continue;
    const address = random.pick(hosts);
    const [range = { first: 1, last: 65_535 }] = rule.ports;
    const port = random.int(range.first, range.last);
    found.set(`${address} ${port}`, { address, port });
  }
  return [...found.values()];
}

export function concatenated(frames: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(frames.length * FRAME_LENGTH);
  frames.forEach((frame, index) => bytes.set(frame, index * FRAME_LENGTH));
  return bytes;
}
