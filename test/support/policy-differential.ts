/** One generated world of policies against a running agent: its documents, its packets, and what trace says of them. */
import type { DesiredObject } from '../../src/model/objects.js';
import type { RulesView, TraceRequest, TraceView } from '../../src/model/views.js';
import type { GeneratedPacket } from '../oracle/generate.js';
import { describePacket } from '../oracle/packet.js';
import { endpointOf, HOST, OUTSIDE, type AddressPlan, type Endpoint } from '../oracle/plan.js';
import { describeDecision, describeStep, sameDecision } from '../oracle/policy-decision.js';
import { document, noise, type Document } from '../oracle/policy-manifest.js';
import { oracleOf, type PolicyVerdict } from '../oracle/policy-oracle.js';
import { pathOf } from '../oracle/policy-packets.js';
import type { PolicyWorld } from '../oracle/policy-world.js';
import { observation, type Observation, type Probe } from './probe/probe.js';

/** The manifests of a world, with pods among them that no policy may see. */
export function worldDocuments(objects: readonly DesiredObject[]): Document[] {
  return [...objects.map(document), ...noise(objects)];
}

export interface PolicyMismatch {
  readonly sent: GeneratedPacket;
  readonly text: string;
}

/**
 * Sends the packets once. What went missing though it should have been seen is sent again with more patience, so that a busy machine
 * is not taken for a filter; what passed though it must not have is a mismatch at once.
 */
export async function comparePackets(plan: AddressPlan, world: PolicyWorld, probe: Probe, packets: readonly GeneratedPacket[]): Promise<PolicyMismatch[]> {
  const judge = oracleOf(world);
  const judgeAll = async (batch: readonly GeneratedPacket[], send: Probe['send'], settleMs: number): Promise<(PolicyMismatch & { readonly got: Observation })[]> => {
    const results = await send(batch.map(({ from, packet }) => ({ ...packet, from })), settleMs);
    return batch.flatMap((sent, index) => {
      const result = results[index];
      if (result === undefined) throw new Error('the probe answered fewer packets than it was given');
      const verdict = judge(sent.packet, pathOf(plan, sent));
      const expected = expectedObservations(plan, sent, verdict);
      const got = observation(result);
      if (expected.includes(got)) return [];
      const steps = verdict.steps.map((step) => `${step.filter} ${describeStep(step)}`).join('; ');
      return [{ sent, got, text: `from ${sent.from}: ${describePacket(sent.packet)}\n  expected ${expected.join(' or ')} (${steps})\n  got ${got} ${JSON.stringify(result)}` }];
    });
  };
  const first = await judgeAll(packets, probe.send, 25);
  const missing = first.filter(({ got }) => got === 'silent').map(({ sent }) => sent);
  return [...first.filter(({ got }) => got !== 'silent'), ...(missing.length === 0 ? [] : await judgeAll(missing, probe.sendAgain, 250))];
}

function expectedObservations(plan: AddressPlan, sent: GeneratedPacket, verdict: PolicyVerdict): Observation[] {
  if (verdict.action === 'accept') return ['delivered'];
  if (verdict.action === 'drop') return ['silent'];
  // The refusal goes to the packet's source address: borrowed, to somebody else, who may or may not get it.
  if (endpointOf(plan, sent.packet.source) !== sent.from) return ['refused', 'silent'];
  // What a switch answers for a filter behind the host's routes comes back through the source's filter, and its tracker knows few protocols.
  const routed = plan.refusedBy === 'switch' && verdict.steps.length > 1;
  return routed && ![1, 6, 17, 58].includes(sent.packet.protocol) ? ['refused', 'silent'] : ['refused'];
}

export interface TraceAnswers {
  trace(request: TraceRequest): Promise<TraceView>;
  rules(filter: string): Promise<RulesView>;
}

/** What trace says of the packets, rule by rule. Empty = as the oracle. */
export async function comparePolicyTrace(
  plan: AddressPlan, world: PolicyWorld, answers: TraceAnswers, packets: readonly GeneratedPacket[], interfaceOf: (workload: string) => string,
): Promise<string[]> {
  const judge = oracleOf(world);
  const listings = new Map<string, Promise<RulesView>>();
  const ruleName = async (filter: string, ruleset: string, id: number): Promise<string | undefined> => {
    const listing = listings.get(filter) ?? answers.rules(filter);
    listings.set(filter, listing);
    return (await listing).rulesets.find(({ name }) => name === ruleset)?.rules.find((rule) => rule.id === id)?.policy?.rule;
  };
  const end = (address: string, endpoint: Endpoint | undefined): string => {
    return endpoint === undefined || endpoint === HOST || endpoint === OUTSIDE ? address : `${address}@${interfaceOf(endpoint)}`;
  };
  const differences: string[] = [];
  for (const sent of packets) {
    const { from, packet } = sent;
    const { action, steps } = judge(packet, pathOf(plan, sent));
    const view = await answers.trace({
      from: end(packet.source, from), to: end(packet.destination, endpointOf(plan, packet.destination)), protocol: String(packet.protocol),
      ...(packet.sourcePort === undefined ? {} : { sourcePort: packet.sourcePort }), ...(packet.destinationPort === undefined ? {} : { destinationPort: packet.destinationPort }),
      ...(packet.icmpType === undefined ? {} : { icmpType: packet.icmpType }), ...(packet.icmpCode === undefined ? {} : { icmpCode: packet.icmpCode }),
    });
    const expected = [action === 'accept' ? 'allow' : action, ...steps.map(describeStep)];
    const got = [view.verdict, ...(await Promise.all(view.steps.map(async (step, index) => {
      const named = expected[index + 1]?.split(' ').length === 4;
      return describeDecision(step.direction, step.action, step.ruleset, step.ruleId, named ? await ruleName(step.filter, step.ruleset, step.ruleId) : undefined);
    })))];
    const same = expected.length === got.length && expected.every((text, index) => (index === 0 ? text === got[0] : sameDecision(text, got[index] ?? '')));
    if (!same) differences.push(`trace of ${describePacket(packet)} from ${from}\n  expected ${expected.join(', ')}\n  got      ${got.join(', ')}`);
  }
  return differences;
}
