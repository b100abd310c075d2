import { defineConfig } from 'vitest/config';

const project = (name: string, timeout: number, parallel: boolean) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeout,
    hookTimeout: timeout,
    fileParallelism: parallel,
    pool: 'forks' as const,
    // Real engines and kernels on shared machines: one more try before a test has failed; unit tests get none.
    retry: name === 'unit' ? 0 : 1,
  },
});

export default defineConfig({
  test: {
    projects: [project('unit', 20_000, true), project('contract', 60_000, false), project('netns', 180_000, false), project('ovs', 180_000, false), project('e2e', 180_000, false)],
  },
});
