/**
 * Which datapath the worlds of a test run have, and the one list of what is not tried on Open vSwitch, with the reasons. The same list
 * is in docs/open-vswitch.md for people.
 */

/** What the host's workloads are connected by: routes to each veth, or ports of a bridge of Open vSwitch behind whose local port the host routes. */
export type WorldDatapath = 'nftables' | 'ovs';

/** DFW_TEST_DATAPATH=ovs runs any test of worlds on Open vSwitch. */
export const DATAPATH: WorldDatapath = process.env['DFW_TEST_DATAPATH'] === 'ovs' ? 'ovs' : 'nftables';

export interface Difference {
  /** From the root of the checkout. */
  readonly file: string;
  /** Titles, with those of the groups around them, separated by " > "; absent: the whole file, which is then not even loaded. */
  readonly tests?: readonly string[];
  readonly reason: string;
}

const TRANSLATED = "a Service's address that the host translates is what egress rules see: packets come to the switch before it";

/** A test that is listed and does not exist makes its file fail, so that the list stays true. */
export const NOT_ON_OVS: readonly Difference[] = [
  { file: 'test/e2e/bench.test.ts', reason: 'benchmarks choose their datapath themselves' },
  { file: 'test/netns/oracle.test.ts', reason: 'compares the oracle with plain nft rules: no datapath of ours' },
  { file: 'test/netns/nft-matrix.test.ts', reason: 'is about the tables of nf_tables' },
  { file: 'test/e2e/drift.test.ts', reason: 'changes the tables of nf_tables; test/ovs/drift.test.ts does the same to flows' },
  {
    file: 'test/e2e/restart.test.ts',
    tests: [
      'a table that somebody deletes is back within a second, counted, and nothing leaks meanwhile for long', 'survives flush ruleset by others', 'cleanup removes its tables and nothing else',
    ],
    reason: 'is about the tables of nf_tables; test/ovs/drift.test.ts has the same for flows',
  },
  {
    file: 'test/e2e/policy-basics.test.ts', tests: ['13. reject of traffic to a Service by an egress rule reaches the client'],
    reason: TRANSLATED,
  },
  {
    file: 'test/e2e/policy-basics.test.ts',
    tests: ['6. drop of egress from pods a to namespace z, for SCTP', '12. reject: an ICMP error for SCTP; egress and ingress'],
    reason: 'where two hosts begin SCTP associations with each other, the switch\'s own tracker (without ports) takes those of one for replies to the other\'s',
  },
  { file: 'test/e2e/policy-peers.test.ts', tests: ['Kubernetes NetworkPolicy > 64. a pod and its own Service'], reason: TRANSLATED },
  {
    file: 'test/e2e/policy-audit.test.ts', tests: ['statistics > 73. sessions, packets and bytes of an allowing and a dropping rule are those of the traffic'],
    reason: "the userspace datapath's tracker counts no packets and bytes of connections",
  },
];

/** Files that are left out as a whole. */
export function filesLeftOut(datapath: WorldDatapath): string[] {
  return datapath === 'nftables' ? [] : NOT_ON_OVS.filter(({ tests }) => tests === undefined).map(({ file }) => file);
}

/** Tests of a file that are left out, and why. `file`: absolute, or from the root. */
export function testsLeftOut(datapath: WorldDatapath, file: string): Map<string, string> {
  if (datapath === 'nftables') return new Map();
  return new Map(NOT_ON_OVS.filter((entry) => file.endsWith(entry.file)).flatMap(({ tests, reason }) => (tests ?? []).map((test) => [test, reason])));
}
