import { defineConfig } from 'vitest/config';
import { DATAPATH, filesLeftOut } from './test/support/datapaths.js';
import { PATIENCE } from './test/support/patience.js';

const project = (name: string, timeout: number, maxWorkers: number | string) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    exclude: filesLeftOut(DATAPATH),
    setupFiles: ['test/support/datapath-setup.ts'],
    testTimeout: timeout * PATIENCE,
    hookTimeout: timeout * PATIENCE,
    // Test files own their namespaces, directories and processes. More than two at a time would be felt where tests wait for something.
    maxWorkers,
    pool: 'forks' as const,
    // Real engines and kernels on shared machines: one more try before a test has failed; unit tests get none.
    retry: name === 'unit' ? 0 : 1,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', 60_000, '100%'), project('contract', 60_000, 2), project('netns', 180_000, 2), project('ovs', 180_000, 2), project('e2e', 180_000, 4),
      // In the guest of scripts/test-vm only: it needs the module openvswitch, and connection tracking on bridges.
      project('vm', 180_000, 1),
      // By hand: they last as long as they are told to.
      project('soak', 180_000, 1),
    ],
  },
});
