/** SpoofGuard on nftables: what a workload may call itself. On a Linux bridge frames come to others as they are; its own filters are open where the kernel cannot track there. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { mustRun } from '../support/command.js';
import { spoofGuardTests } from '../support/spoof-guard-tests.js';

const tableOf = (nft: string, host: string): Promise<string> => mustRun('ip', ['netns', 'exec', host, nft, 'list', 'table', 'netdev', 'dfw']);

spoofGuardTests('bridge', { failurePolicy: 'open' }, (world) => tableOf('nft', world.host), (world) => {
  it('stands in the table as text that can be loaded again', async () => {
    for (const nft of ['nft', fileURLToPath(new URL('../../.cache/nft-1.1.3/nft', import.meta.url))]) {
      const listing = await tableOf(nft, world().host);
      expect(listing).toMatch(/arp saddr ip|@nh/);
      // With what copies frames that tell addresses.
      expect(listing.match(/chain learn_\d+_(in|out)/g)).toHaveLength(2);
      await mustRun('ip', ['netns', 'exec', world().host, nft, '-c', '-f', '-'], { input: `delete table netdev dfw\n${listing}` });
      // Loaded in earnest, it lists as before.
      await mustRun('ip', ['netns', 'exec', world().host, nft, '-f', '-'], { input: `delete table netdev dfw\n${listing}` });
      const plain = (text: string): string => text.replaceAll(/packets \d+ bytes \d+/g, '');
      expect(plain(await tableOf(nft, world().host))).toBe(plain(listing));
    }
  });
});
