/** What a packet of a generated case must do in a world, in the terms of what a probe can see. */
import type { AddressSet } from '../../src/model/rule.js';
import type { GeneratedPacket, GeneratedTable } from './generate.js';
import { frameOf, judge, judgeFilter, judgeFrame, type OracleFilter, type OracleVerdict } from './oracle.js';
import { endpointOf, HOST, neighbourOf, OUTSIDE, type AddressPlan } from './plan.js';

export interface ExpectedPolicy {
  readonly tables: readonly GeneratedTable[];
  readonly sharedSets: readonly AddressSet[];
  readonly failurePolicy: 'closed' | 'open';
}

export interface Expectation {
  readonly verdict: OracleVerdict;
  /** What a probe may see; more than one where the way back of a refusal is not this packet's own. */
  readonly observations: readonly ('delivered' | 'refused' | 'silent')[];
}

/** The filter of one workload under the policy; `peer`: who it talks to. */
export function filterOf(plan: AddressPlan, policy: ExpectedPolicy, name: string, peer?: string): OracleFilter | undefined {
  const workload = plan.workloads.find((candidate) => candidate.name === name);
  if (workload === undefined) return undefined;
  const tables = policy.tables.filter((table) => table.appliedTo?.includes(name) ?? true);
  return { name, mac: workload.mac, hostMac: neighbourOf(plan, workload, peer), failurePolicy: policy.failurePolicy, tables };
}

export function expectation(plan: AddressPlan, policy: ExpectedPolicy, sent: GeneratedPacket): Expectation {
  const to = endpointOf(plan, sent.packet.destination);
  if (to === undefined) throw new Error(`the world routes ${sent.packet.destination} nowhere`);
  const source = filterOf(plan, policy, sent.from, to);
  const verdict = judge(sent.packet, { source, destination: filterOf(plan, policy, to, sent.from) }, policy.sharedSets);
  if (verdict.action === 'accept') return { verdict, observations: ['delivered'] };
  if (verdict.action === 'drop') {
    // Towards the workload, L2 rules act on the link, behind the rules: a refusal by a rule may be seen though L2 decides.
    const last = verdict.steps.at(-1);
    const destination = filterOf(plan, policy, to, sent.from);
    if (last?.layer !== 2 || last.direction !== 'in' || destination === undefined) return { verdict, observations: ['silent'] };
    const bare = { ...destination, tables: destination.tables.map((table) => ({ ...table, layer2Rules: [] })) };
    const refused = judgeFilter(bare, 'in', sent.packet, policy.sharedSets).action === 'reject';
    return { verdict, observations: refused ? ['silent', 'refused'] : ['silent'] };
  }
  // The refusal goes to the packet's source address. Spoofed: to somebody else, who may or may not get it.
  const home = endpointOf(plan, sent.packet.source) ?? (plan.outside.length > 0 ? OUTSIDE : HOST);
  if (home !== sent.from) return { verdict, observations: ['refused', 'silent'] };
  // L2 rules know no connections: they may stop the refusal on its way to the workload; not a switch's own, which goes straight to the port.
  const stopped = source !== undefined && judgeFrame(source, 'in', frameOf(source, 'in', sent.packet), policy.sharedSets) === 'drop';
  if (!stopped) return { verdict, observations: comesBack(plan, policy, sent, verdict) ? ['refused'] : ['refused', 'silent'] };
  return { verdict, observations: plan.refusedBy === 'switch' ? ['silent', 'refused'] : ['silent'] };
}

/**
 * A switch's refusal of what the host routed to its bridge goes back through the host, and so through the source's filter: as a reply to the
 * connection, which a stateless rule does not admit, and which the switch's tracker does not know of other protocols, of port 0 and of odd queries.
 */
function comesBack(plan: AddressPlan, policy: ExpectedPolicy, { packet }: GeneratedPacket, { steps }: OracleVerdict): boolean {
  const [first, last] = [steps[0], steps.at(-1)];
  if (plan.refusedBy !== 'switch' || last?.direction !== 'in' || first?.direction !== 'out') return true;
  const rule = policy.tables.find(({ name }) => name === first.table)?.rules.find(({ id }) => id === first.ruleId);
  return rule?.stateless !== true && [1, 6, 17, 58].includes(packet.protocol) && packet.sourcePort !== 0 && packet.destinationPort !== 0 && (packet.icmpCode ?? 0) === 0;
}
