/** What the kernel of a test namespace holds, read with other people's tools. */
import { fileURLToPath } from 'node:url';
import type { World } from './netns.js';
import { mustRun } from './command.js';

/** nf_tables generation id: it changes with every committed batch, whoever wrote it. */
export async function nftGeneration(netns: string): Promise<number> {
  const script = fileURLToPath(new URL('generation.py', import.meta.url));
  return Number((await mustRun('ip', ['netns', 'exec', netns, '/usr/bin/python3', script])).trim());
}

/** Names as "family name". */
export async function nftTables(netns: string): Promise<string[]> {
  const text = await mustRun('ip', ['netns', 'exec', netns, 'nft', 'list', 'tables']);
  return text.split('\n').filter((line) => line.startsWith('table ')).map((line) => line.slice('table '.length));
}

export async function flushConntrack({ host, ovs }: Pick<World, 'host' | 'ovs'>): Promise<void> {
  await mustRun('ip', ['netns', 'exec', host, 'conntrack', '-F']);
  await ovs?.appctl('dpctl/flush-conntrack');
}
