/** Where the manifests of a test run come from (DFW_TEST_SOURCE), which scenarios are tried with each source, and the one list of what is about files. */
import type { Difference } from './datapaths.js';

/** `file`: a directory. `kubernetes`: objects of the test's API server. `etcd`: documents in a real etcd. */
export type WorldSource = 'file' | 'etcd' | 'kubernetes';
export const STORES = ['etcd', 'kubernetes'] as const;

export const SOURCE: WorldSource = STORES.find((name) => name === process.env['DFW_TEST_SOURCE']) ?? 'file';

const files = (...names: readonly string[]): readonly string[] => names.map((name) => `test/e2e/${name}.test.ts`);

/** What policies and rule tables do, whoever brings them: these run unchanged with every source. */
export const SCENARIOS = files(
  'policy-audit', 'policy-bad-input', 'policy-basics', 'policy-churn', 'policy-cli', 'policy-fqdn', 'policy-groups', 'policy-order', 'policy-peers', 'policy-seeds', 'policy-seeds-nsx', 'revocation', 'seed', 'stateless',
);
/** Those of them that scripts/test runs by itself. */
export const FEW_SCENARIOS = files('policy-groups', 'policy-seeds-nsx', 'stateless');

/** A test that is listed and does not exist makes its file fail, so that the list stays true. */
export const ONLY_FROM_FILES: readonly Difference[] = [
  { file: 'test/e2e/policy-bad-input.test.ts', kind: 'elsewhere', reason: 'a store has one object of a name', tests: ['a name that is taken'] },
];

/** Keeps manifests for an agent under names, as files would: what a name held before and does not hold now is deleted. */
export interface ManifestStore {
  /** As `agentctl status` calls it. */
  readonly type: string;
  /** Its entry of the configuration's `sources`. */
  readonly config: object;
  /** False: these are no objects, and nothing was written. */
  write(name: string, documents: readonly unknown[]): Promise<boolean>;
  /** True when there was such a name. */
  delete(name: string): Promise<boolean>;
  names(): readonly string[];
  /** What the agent calls the document when it cannot take it; the first is 1. */
  place(name: string, document: number): string;
}
