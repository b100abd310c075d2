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

/** A test that is listed and does not exist makes its file fail, so that the list stays true. */
export const NOT_ON_OVS: readonly Difference[] = [];

/** Files that are left out as a whole. */
export function filesLeftOut(datapath: WorldDatapath): string[] {
  return datapath === 'nftables' ? [] : NOT_ON_OVS.filter(({ tests }) => tests === undefined).map(({ file }) => file);
}

/** Tests of a file that are left out, and why. `file`: absolute, or from the root. */
export function testsLeftOut(datapath: WorldDatapath, file: string): Map<string, string> {
  if (datapath === 'nftables') return new Map();
  return new Map(NOT_ON_OVS.filter((entry) => file.endsWith(entry.file)).flatMap(({ tests, reason }) => (tests ?? []).map((test) => [test, reason])));
}
