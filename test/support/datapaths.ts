/**
 * Which datapath the worlds of a test run have, and the one list of what is not tried on Open vSwitch, with the reasons. The same list
 * is in docs/open-vswitch.md for people.
 */

/**
 * What the host's workloads are connected by: routes to each veth; ports of a Linux bridge behind whose device the host routes; or ports of a bridge of
 * Open vSwitch behind whose local port it does.
 */
export type WorldDatapath = 'nftables' | 'bridge' | 'ovs';

/** DFW_TEST_DATAPATH=ovs runs any test of worlds on Open vSwitch, bridge on a Linux bridge (with a kernel that tracks connections there: scripts/test-vm). */
export const DATAPATH: WorldDatapath = (['bridge', 'ovs'] as const).find((name) => name === process.env['DFW_TEST_DATAPATH']) ?? 'nftables';

export interface Difference {
  /** From the root of the checkout. */
  readonly file: string;
  /** Titles, with those of the groups around them, separated by " > "; absent: the whole file, which is then not even loaded. */
  readonly tests?: readonly string[];
  /**
   * elsewhere: it is about nf_tables itself, and what corresponds to it is tested elsewhere. limit: Open vSwitch, or its place in a host,
   * cannot give it. fault: it should work and does not; the entry goes when it does.
   */
  readonly kind: 'elsewhere' | 'limit' | 'fault';
  /** As in docs/open-vswitch.md. */
  readonly reason: string;
}

const TRANSLATED = 'Services that the host translates: packets come to the switch before, so egress rules see the address of the Service, not that of the pod';

/** A test that is listed and does not exist makes its file fail, so that the list stays true. */
export const NOT_ON_OVS: readonly Difference[] = [
  { file: 'test/e2e/bench.test.ts', kind: 'elsewhere', reason: 'benchmarks choose their datapath themselves' },
  { file: 'test/netns/oracle.test.ts', kind: 'elsewhere', reason: 'the oracle against plain nft rules: no datapath of ours' },
  { file: 'test/netns/nft-matrix.test.ts', kind: 'elsewhere', reason: 'commands of nft on our tables' },
  { file: 'test/e2e/drift.test.ts', kind: 'elsewhere', reason: 'changes of our tables by nft; test/ovs/drift.test.ts does the same to flows' },
  {
    file: 'test/e2e/restart.test.ts', kind: 'elsewhere', reason: 'tables deleted by nft, and cleanup of tables; test/ovs/drift.test.ts has the same for flows',
    tests: [
      'a table that somebody deletes is back within a second, counted, and nothing leaks meanwhile for long', 'survives flush ruleset by others', 'cleanup removes its tables and nothing else',
    ],
  },
  { file: 'test/e2e/cni.test.ts', kind: 'elsewhere', reason: 'pods that are routed; those on a switch are in test/ovs/cni.test.ts' },
  { file: 'test/e2e/pod-routes.test.ts', kind: 'elsewhere', reason: 'ports of a switch are found by its database: test/ovs/discovery.test.ts' },
  { file: 'test/e2e/policy-basics.test.ts', kind: 'limit', reason: TRANSLATED, tests: ['13. reject of traffic to a Service by an egress rule reaches the client'] },
  { file: 'test/e2e/policy-peers.test.ts', kind: 'limit', reason: TRANSLATED, tests: ['Kubernetes NetworkPolicy > 64. a pod and its own Service'] },
  {
    file: 'test/e2e/policy-audit.test.ts', kind: 'limit', reason: 'packets and bytes of a connection: the userspace datapath does not count them; those of rules are of frames',
    tests: ['statistics > 73. sessions, packets and bytes of an allowing and a dropping rule are those of the traffic'],
  },
];

/** Files that are left out as a whole. */
export function filesLeftOut(datapath: WorldDatapath): string[] {
  return datapath !== 'ovs' ? [] : NOT_ON_OVS.filter(({ tests }) => tests === undefined).map(({ file }) => file);
}

/** Tests of a file that are left out, and why. `file`: absolute, or from the root. */
export function testsLeftOut(datapath: WorldDatapath, file: string): Map<string, string> {
  return datapath === 'ovs' ? testsOf(NOT_ON_OVS, file) : new Map();
}

/** Tests of a file that a list names, and the reasons. */
export function testsOf(list: readonly Difference[], file: string): Map<string, string> {
  return new Map(list.filter((entry) => file.endsWith(entry.file)).flatMap(({ tests, reason }) => (tests ?? []).map((test) => [test, reason])));
}
