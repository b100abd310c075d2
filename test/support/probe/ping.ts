/** Pings between namespaces of a world. */
import { fileURLToPath } from 'node:url';
import type { World } from '../netns.js';

export interface PingRequest {
  readonly netns: string;
  readonly destination: string;
  readonly count: number;
  /** Default 10. */
  readonly intervalMs?: number;
  /** Bytes behind the ICMP header; default 56. Never sent in fragments. */
  readonly size?: number;
}

const SCRIPT = fileURLToPath(new URL('ping.py', import.meta.url));

/** How many were answered. Rejects when one cannot even be sent. */
export async function ping(world: World, { netns, destination, count, intervalMs = 10, size = 56 }: PingRequest): Promise<number> {
  const { code, stdout, stderr } = await world.exec(netns, '/usr/bin/python3', [SCRIPT, destination, String(count), String(intervalMs), String(size)]);
  if (code !== 0) throw new Error(`ping of ${destination}: ${stderr}`);
  return Number(stdout);
}
