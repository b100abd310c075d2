import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { DATAPATH, filesLeftOut } from './test/support/datapaths.js';
import { PATIENCE } from './test/support/patience.js';
import { FEW_SCENARIOS, SCENARIOS, STORES, type WorldSource } from './test/support/sources.js';

interface More {
  readonly include?: readonly string[];
  readonly source?: WorldSource;
}

const project = (name: string, timeout: number, maxWorkers: number | string, { include = [`test/${name}/**/*.test.ts`], source }: More = {}) => ({
  test: {
    name,
    include: [...include],
    ...(source === undefined ? {} : { env: { DFW_TEST_SOURCE: source } }),
    exclude: filesLeftOut(DATAPATH),
    setupFiles: ['test/support/datapath-setup.ts'],
    testTimeout: timeout * PATIENCE,
    hookTimeout: timeout * PATIENCE,
    // Test files own their namespaces, directories and processes. Those that mostly wait for something may be more than the processors.
    maxWorkers,
    pool: 'forks' as const,
    // Real engines and kernels on shared machines: one more try before a test has failed; unit tests get none.
    retry: name === 'unit' ? 0 : 1,
  },
});

/** Files that take a minute and more: one of them that begins last would be waited for alone. */
const LONG = ['source-chaos', 'idps', 'ids-external', 'bench', 'kubernetes', 'traffic-control-limits', 'egress-fleet', 'mirror-tunnels', 'bad-input', 'cni', 'fleet-s4', 'restart', 'api'];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const index = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return index < 0 ? LONG.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
    projects: [
      project('unit', 60_000, '100%'), project('contract', 60_000, 3), project('netns', 180_000, 2), project('ovs', 180_000, 3), project('e2e', 180_000, 4),
      // Scenarios of e2e with manifests from elsewhere: all, and a few.
      ...STORES.flatMap((source) => [project(`e2e-${source}`, 180_000, 4, { include: SCENARIOS, source }), project(`few-${source}`, 180_000, 4, { include: FEW_SCENARIOS, source })]),
      // In the guest of scripts/test-vm only: it needs the module openvswitch, and connection tracking on bridges.
      project('vm', 180_000, 1),
      // By hand: they last as long as they are told to.
      project('soak', 180_000, 1),
    ],
  },
});
