/** One generated case against a running datapath: load it, send its packets, compare with the oracle, and make failures small. */
import type { TraceRequest, TraceView } from '../../src/model/views.js';
import { expectation, type ExpectedPolicy } from '../oracle/expectation.js';
import type { GeneratedPacket, GeneratedTable } from '../oracle/generate.js';
import { addressSetDocument, describeTable, tableDocument } from '../oracle/manifest.js';
import type { OracleStep } from '../oracle/oracle.js';
import { describePacket } from '../oracle/packet.js';
import { endpointOf, HOST, OUTSIDE, type AddressPlan } from '../oracle/plan.js';
import { observation, type Observation, type Probe } from './probe/probe.js';

export interface Mismatch {
  readonly sent: GeneratedPacket;
  readonly expected: readonly Observation[];
  readonly steps: readonly OracleStep[];
  readonly got: Observation;
  readonly detail: string;
}

/** The manifests of a policy, for one file. */
export function policyDocuments(policy: Pick<ExpectedPolicy, 'tables' | 'sharedSets'>): unknown[] {
  return [...policy.tables.map(tableDocument), ...policy.sharedSets.map(addressSetDocument)];
}

/**
 * Sends the packets once. What went missing though it should have been seen is sent again with more patience, so that
 * a busy machine is not taken for a filter; what passed though it must not have is a mismatch at once.
 */
export async function compare(plan: AddressPlan, policy: ExpectedPolicy, probe: Probe, packets: readonly GeneratedPacket[]): Promise<Mismatch[]> {
  const judgeAll = async (batch: readonly GeneratedPacket[], send: Probe['send'], settleMs: number): Promise<Mismatch[]> => {
    const results = await send(batch.map(({ from, packet }) => ({ ...packet, from })), settleMs);
    return batch.flatMap((sent, index): Mismatch[] => {
      const result = results[index];
      if (result === undefined) throw new Error('the probe answered fewer packets than it was given');
      const { observations, verdict } = expectation(plan, policy, sent);
      const got = observation(result);
      if (observations.includes(got)) return [];
      return [{ sent, expected: observations, steps: verdict.steps, got, detail: JSON.stringify(result) }];
    });
  };
  const first = await judgeAll(packets, probe.send, 25);
  const leaks = first.filter((mismatch) => mismatch.got !== 'silent');
  const missing = first.filter((mismatch) => mismatch.got === 'silent');
  return missing.length === 0 ? leaks : [...leaks, ...(await judgeAll(missing.map((mismatch) => mismatch.sent), probe.sendAgain, 250))];
}

/** What trace says of the packets, also of undeclared and borrowed source addresses. Empty = it agrees with the oracle, rule by rule. */
export async function compareTrace(
  plan: AddressPlan,
  policy: ExpectedPolicy,
  trace: (request: TraceRequest) => Promise<TraceView>,
  packets: readonly GeneratedPacket[],
  interfaceOf: (workload: string) => string,
): Promise<string[]> {
  const differences: string[] = [];
  const end = (address: string, endpoint: string | undefined): string => (endpoint === undefined || endpoint === HOST || endpoint === OUTSIDE ? address : `${address}@${interfaceOf(endpoint)}`);
  for (const { from, packet } of packets) {
    const { verdict } = expectation(plan, policy, { from, packet });
    if (verdict.steps.some((step) => step.layer === 2)) continue; // no frame, no L2 rule
    const view = await trace({
      from: end(packet.source, from),
      to: end(packet.destination, endpointOf(plan, packet.destination)),
      protocol: String(packet.protocol),
      ...(packet.sourcePort === undefined ? {} : { sourcePort: packet.sourcePort }),
      ...(packet.destinationPort === undefined ? {} : { destinationPort: packet.destinationPort }),
      ...(packet.icmpType === undefined ? {} : { icmpType: packet.icmpType }),
      ...(packet.icmpCode === undefined ? {} : { icmpCode: packet.icmpCode }),
    });
    const expected = [verdict.action === 'accept' ? 'allow' : verdict.action, ...verdict.steps.map((step) => `${step.direction} ${step.ruleId} ${step.action}`)];
    const got = [view.verdict, ...view.steps.slice(0, verdict.steps.length).map((step) => `${step.direction} ${step.ruleId} ${step.action}`)];
    if (expected.join(', ') !== got.join(', ')) differences.push(`trace of ${describePacket(packet)}\n  expected ${expected.join(', ')}\n  got ${got.join(', ')}`);
  }
  return differences;
}

export function describeMismatch(mismatch: Mismatch): string {
  const steps = mismatch.steps.map((step) => `${step.filter} ${step.direction}: ${step.action} by ${step.table === '' ? 'default' : `${step.table}/${step.ruleId}`}`).join('; ');
  return `from ${mismatch.sent.from}: ${describePacket(mismatch.sent.packet)}\n  expected ${mismatch.expected.join(' or ')} (${steps})\n  got ${mismatch.got} ${mismatch.detail}`;
}

export function describePolicy(policy: ExpectedPolicy): string {
  return [...policy.sharedSets.map((set) => `addrset ${set.name} { ${set.addresses.join(', ')} }`), ...policy.tables.map(describeTable)].join('\n');
}

/** Removes tables, then rules, as long as the case still fails; at most `tries` loads. */
export async function shrink(policy: ExpectedPolicy, stillFails: (smaller: ExpectedPolicy) => Promise<boolean>, tries = 60): Promise<ExpectedPolicy> {
  let best = policy;
  let left = tries;
  const attempt = async (tables: readonly GeneratedTable[]): Promise<boolean> => {
    left -= 1;
    const smaller = { ...best, tables };
    if (left < 0 || !(await stillFails(smaller))) return false;
    best = smaller;
    return true;
  };
  for (const table of policy.tables) {
    if (best.tables.length > 1) await attempt(best.tables.filter((one) => one !== table));
  }
  for (const name of best.tables.map((table) => table.name)) {
    // Halves, quarters, ... single rules.
    for (let size = Math.ceil((best.tables.find((table) => table.name === name)?.rules.length ?? 0) / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let start = 0; start < (best.tables.find((table) => table.name === name)?.rules.length ?? 0); ) {
        const keep = best.tables.map((table) => (table.name === name ? { ...table, rules: table.rules.toSpliced(start, size) } : table));
        if (!(await attempt(keep))) start += size;
      }
    }
    await attempt(best.tables.map((table) => (table.name === name ? { ...table, layer2Rules: [] } : table)));
  }
  return best;
}
