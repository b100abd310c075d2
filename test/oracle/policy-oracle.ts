/**
 * The policy oracle: what a filter must do with a packet when policies of every kind stand beside rule tables. Slow and obvious,
 * read from the contract, Kubernetes and Antrea's semantics; shares no code with the compiler and keeps no state.
 *
 * At a filter, each direction on its own:
 *   1. rules of its rule tables, by name of the table; the first match decides;
 *   2. section `admin` in order of rank, priority, name; the first match decides, Pass goes on with 3;
 *   3. section `kubernetes`: what any NetworkPolicy allows is accepted, and what the workload and its own Node send each other;
 *      everything else is dropped if a NetworkPolicy isolates the workload in this direction;
 *   4. section `baseline` in order; the first match decides, Pass goes on with 5;
 *   5. accept.
 * Where policies cannot be told, there is only 1, and without rule tables what the failure policy says.
 */
import type { DesiredObject, RuleTableObject } from '../../src/model/objects.js';
import type { AddressSet } from '../../src/model/rule.js';
import type { OraclePacket } from './packet.js';
import { adminRules } from './policy-admin.js';
import { antreaPolicyIsHeld, antreaRules } from './policy-antrea.js';
import { isolatingPolicies, kubernetesRules } from './policy-kubernetes.js';
import { addressEntity, type Entity } from './policy-members.js';
import { compareOrder, type FilterRule, type PolicyName, type Section } from './policy-rule.js';
import { securityPolicyIsHeld, securityRules } from './policy-security.js';
import { filterNamed, isPolicy, ofKind, selects, selectsWorkload, type Place, type PolicyFilter, type PolicyWorld } from './policy-world.js';
import { ruleMatches } from './oracle.js';

export interface PolicyStep {
  /** The attachment's name. */
  readonly filter: string;
  readonly direction: 'in' | 'out';
  readonly action: 'accept' | 'drop' | 'reject';
  /** What decided. `isolation`: no NetworkPolicy allowed it; `node`: traffic with the workload's own Node. */
  readonly by: 'table' | 'policy' | 'isolation' | 'node' | 'default' | 'failurePolicy';
  readonly policy?: PolicyName & { readonly rule: string };
  readonly table?: { readonly name: string; readonly id: number };
}

export interface PolicyVerdict {
  readonly action: PolicyStep['action'];
  /** In the order of the path; the last one decided. */
  readonly steps: readonly PolicyStep[];
}

/** The attachments that the packet passes: out at `from`, in at `to`. Undefined = that end is no workload of this host. */
export interface PolicyPath {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export function judge(world: PolicyWorld, packet: OraclePacket, path: PolicyPath): PolicyVerdict {
  return oracleOf(world)(packet, path);
}

/** judge() for many packets in one world that does not change: looks up once what stands at each filter. */
export function oracleOf(world: PolicyWorld): (packet: OraclePacket, path: PolicyPath) => PolicyVerdict {
  const sights = new Map<string, Sight>();
  const sightAt = (name: string, direction: 'in' | 'out'): Sight => {
    const key = `${direction} ${name}`;
    const sight = sights.get(key) ?? lookAt({ world, filter: filterNamed(world, name), direction });
    sights.set(key, sight);
    return sight;
  };
  return (packet, path) => {
    const steps: PolicyStep[] = [];
    for (const [name, direction] of [[path.from, 'out'], [path.to, 'in']] as const) {
      if (name === undefined) continue;
      const step = judgeAt(sightAt(name, direction), packet);
      steps.push(step);
      if (step.action !== 'accept') return { action: step.action, steps };
    }
    return { action: 'accept', steps };
  };
}

/** All that can matter at one filter in one direction. */
interface Sight {
  readonly place: Place;
  readonly tables: readonly RuleTableObject[];
  readonly sharedSets: readonly AddressSet[];
  readonly rules: readonly FilterRule[];
  readonly isolated: boolean;
  readonly unknown: boolean;
  readonly ownNode: Entity;
}

function lookAt(place: Place): Sight {
  const { world } = place;
  const tables = tablesOf(place);
  const governed = isGoverned(place);
  return {
    place,
    tables,
    unknown: tables.length === 0 && !governed,
    sharedSets: ofKind(world, 'AddressSet').map((set) => ({ name: set.metadata.name, addresses: set.addresses })),
    rules: governed ? policyRulesAt(place) : [],
    isolated: governed && isolatingPolicies(place).length > 0,
    ownNode: addressEntity(ofKind(world, 'Node').find((node) => node.metadata.name === world.node)?.addresses ?? []),
  };
}

function judgeAt({ place: { world, filter, direction }, tables, sharedSets, rules, isolated, unknown, ownNode }: Sight, packet: OraclePacket): PolicyStep {
  const step = (action: PolicyStep['action'], by: PolicyStep['by'], more: Pick<PolicyStep, 'policy' | 'table'> = {}): PolicyStep => {
    return { filter: filter.name, direction, action, by, ...more };
  };
  if (unknown) return step(world.failurePolicy === 'open' ? 'accept' : 'drop', 'failurePolicy');
  for (const table of tables) {
    for (const rule of table.rules) {
      if (rule.action === 'pass') throw new Error(`rule ${rule.id} of a rule table passes`);
      if (ruleMatches(rule, direction, packet, [...table.addressSets, ...sharedSets])) return step(rule.action, 'table', { table: { name: table.metadata.name, id: rule.id } });
    }
  }
  const decide = (section: Section): PolicyStep | undefined => {
    const rule = rules.find((candidate) => candidate.order.section === section && candidate.matches(packet));
    return rule === undefined || rule.action === 'pass' ? undefined : step(rule.action, 'policy', { policy: { ...rule.policy, rule: rule.rule } });
  };
  const isolation = (): PolicyStep | undefined => {
    if (!isolated) return undefined;
    return ownNode.has(direction === 'in' ? packet.source : packet.destination) ? step('accept', 'node') : step('drop', 'isolation');
  };
  return decide('admin') ?? decide('kubernetes') ?? isolation() ?? decide('baseline') ?? step('accept', 'default');
}

/** A pod's policies are known when it and its Namespace are; a VM's when there are SecurityPolicies, a node's when there are any policies. */
function isGoverned({ world, filter: { workload, object } }: Place): boolean {
  const namespace = workload.namespace ?? 'default';
  switch (workload.kind) {
    case 'Pod': return object !== undefined && ofKind(world, 'Namespace').some(({ metadata }) => metadata.name === namespace);
    case 'VirtualMachine': return ofKind(world, 'SecurityPolicy').length > 0;
    case 'Node': return object !== undefined && world.objects.some(isPolicy);
  }
}

/** A policy that names a tier or group that does not exist: it does not act. */
export function isHeld(world: PolicyWorld, object: DesiredObject): boolean {
  if (object.kind === 'SecurityPolicy') return securityPolicyIsHeld(world, object);
  return (object.kind === 'AntreaClusterNetworkPolicy' || object.kind === 'AntreaNetworkPolicy') && antreaPolicyIsHeld(world, object);
}

/** Every rule of every policy that acts at the filter in this direction, in order of evaluation. */
export function policyRulesAt(place: Place): FilterRule[] {
  const rules = [...securityRules(place), ...antreaRules(place), ...adminRules(place), ...kubernetesRules(place)];
  // Stable: the rules of one policy keep their order.
  return rules.toSorted((a, b) => compareOrder(a.order, b.order));
}

function tablesOf({ world, filter }: Place): RuleTableObject[] {
  return ofKind(world, 'RuleTable')
    .filter((table) => tableApplies(table, filter))
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

function tableApplies({ appliedTo, layer2Rules, metadata }: RuleTableObject, filter: PolicyFilter): boolean {
  if (layer2Rules.length > 0) throw new Error(`the policy oracle sees no frames, but table ${metadata.name} has layer 2 rules`);
  if (appliedTo === undefined) return true;
  if (appliedTo.workloads.some((workload) => selectsWorkload(workload, filter.workload))) return true;
  return appliedTo.selector !== undefined && filter.object !== undefined && selects(appliedTo.selector, filter.object.metadata.labels);
}
