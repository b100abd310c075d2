/** What the kernel of a test namespace, or its switch, holds; read with other people's tools. */
import { fileURLToPath } from 'node:url';
import type { World } from './netns.js';
import { mustRun } from './command.js';

/** Watches the datapath. Each call of the answer says whether anybody has written to it since this one: the same again also counts. */
export async function watchWrites({ host, ovs }: Pick<World, 'host' | 'ovs'>): Promise<() => Promise<boolean>> {
  if (ovs === undefined) {
    const generation = await nftGeneration(host);
    return async () => (await nftGeneration(host)) !== generation;
  }
  const before = (await ovs.ownFlows()).map(({ text }) => text);
  const began = performance.now();
  return async () => {
    const elapsed = performance.now() - began;
    const now = await ovs.ownFlows();
    return now.length !== before.length || now.some(({ text, ageMs }, index) => text !== before[index] || ageMs < elapsed);
  };
}

/** nf_tables generation id: it changes with every committed batch, whoever wrote it. */
async function nftGeneration(netns: string): Promise<number> {
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
