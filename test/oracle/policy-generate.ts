/** Random policies of every kind over an inventory, and random edits. From a seed: the same case on every machine. */
import { objectKey, type DesiredObject } from '../../src/model/objects.js';
import type { PolicyObject } from '../../src/model/policy-objects.js';
import type { AddressMatch } from '../../src/model/rule.js';
import { canonicalLiteral } from './addresses.js';
import { adminPolicy, antreaGroups, antreaPolicy, kubernetesPolicy, tiers, type KindContext } from './policy-kinds.js';
import { generateInventory, LABEL_VALUES, NAMESPACES, namedPorts, namespace, randomLabels, referenceOf, type PolicyPlan } from './policy-inventory.js';
import { securityGroups, securityPolicy } from './policy-security-generate.js';
import { generateTable } from './generate.js';
import { isPolicy } from './policy-world.js';
import type { Random } from './random.js';

export interface PolicyOptions {
  /** Policies of a set, at most; default 14. */
  readonly policies?: number;
  /** Some policies name groups and tiers that do not exist. Default false. */
  readonly dangling?: boolean;
}

export function generateObjects(random: Random, plan: PolicyPlan, options: PolicyOptions = {}): DesiredObject[] {
  const inventory = generateInventory(random, plan);
  const groups = [...tiers(random), ...antreaGroups(random, plan), ...securityGroups(random, plan)];
  const context: KindContext = { random, plan, objects: [...inventory, ...groups], dangling: options.dangling ?? false };
  const policies = Array.from({ length: random.int(1, options.policies ?? 14) }, (_, index) => policy(context, index));
  return unique([...inventory, ...groups, ...policies, ...(random.chance(0.2) ? [ruleTable(random, plan)] : [])]);
}

const KINDS = [
  [5, kubernetesPolicy],
  [4, (context: KindContext, index: number) => antreaPolicy(context, index, 'AntreaClusterNetworkPolicy')],
  [3, (context: KindContext, index: number) => antreaPolicy(context, index, 'AntreaNetworkPolicy')],
  [2, (context: KindContext, index: number) => adminPolicy(context, index, 'AdminNetworkPolicy')],
  [2, (context: KindContext, index: number) => adminPolicy(context, index, 'BaselineAdminNetworkPolicy')],
  [3, (context: KindContext, index: number) => adminPolicy(context, index, 'ClusterNetworkPolicy')],
  [4, securityPolicy],
] as const;

function policy(context: KindContext, index: number): PolicyObject {
  return context.random.weighted<(context: KindContext, index: number) => PolicyObject>(KINDS)(context, index);
}

/** A few rules before all policies; never so wide that policies have nothing left to say. */
function ruleTable(random: Random, plan: PolicyPlan): DesiredObject {
  const table = generateTable(random, plan, 'table', random.int(1, 1_000), [], { maxRules: 4, layer2: false });
  const side = (match: AddressMatch): AddressMatch => ({ ...match, addresses: match.addresses.map(canonicalLiteral) });
  const rules = table.rules.filter((rule) => rule.protocol !== 'any')
    .map((rule) => ({ ...rule, source: side(rule.source), destination: side(rule.destination), stateless: false }));
  const addressSets = table.addressSets.map(({ name, addresses }) => ({ name, addresses: addresses.map(canonicalLiteral) }));
  return {
    kind: 'RuleTable', metadata: { name: table.name, labels: {} }, addressSets, rules, layer2Rules: [],
    ...(table.appliedTo === undefined ? {} : { appliedTo: { workloads: table.appliedTo.map(referenceOf) } }),
  };
}

/** One or more random changes: labels, ports, addresses, groups, policies come, go and change. Attachments stay. */
export function edit(random: Random, plan: PolicyPlan, objects: readonly DesiredObject[], options: PolicyOptions = {}): DesiredObject[] {
  let edited = [...objects];
  for (let count = random.weighted([[4, 1], [3, 2], [1, 5]]); count > 0; count -= 1) edited = editOnce(random, plan, edited, options);
  return unique(edited);
}

function editOnce(random: Random, plan: PolicyPlan, objects: DesiredObject[], options: PolicyOptions): DesiredObject[] {
  const context: KindContext = { random, plan, objects, dangling: options.dangling ?? false };
  const replace = (chosen: DesiredObject | undefined, fresh: DesiredObject | undefined): DesiredObject[] => {
    return objects.flatMap((object) => (object === chosen ? fresh ?? [] : [object]));
  };
  const policies = objects.filter(isPolicy);
  const pods = objects.filter((object) => object.kind === 'Pod');
  switch (random.weighted<'add' | 'remove' | 'change' | 'pod' | 'namespace' | 'group' | 'ports' | 'away' | 'arrive' | 'machine'>([
    [3, 'add'], [2, 'remove'], [3, 'change'], [4, 'pod'], [3, 'namespace'], [3, 'group'], [1, 'ports'], [1, 'away'], [1, 'arrive'], [1, 'machine'],
  ])) {
    case 'add': return [...objects, policy(context, random.int(20, 99))];
    case 'remove': return policies.length === 0 ? objects : replace(random.pick(policies), undefined);
    case 'change': {
      if (policies.length === 0) return objects;
      const old = random.pick(policies);
      for (let attempt = 0; attempt < 40; attempt += 1) {
        const fresh = policy(context, 0);
        if (fresh.kind !== old.kind) continue;
        // The same name, new content; a namespaced one keeps its namespace and what goes with it.
        if (fresh.metadata.namespace !== old.metadata.namespace) continue;
        return replace(old, { ...fresh, metadata: old.metadata });
      }
      return objects;
    }
    case 'pod': {
      const old = random.pick(pods);
      return replace(old, { ...old, metadata: { ...old.metadata, labels: { ...randomLabels(random, LABEL_VALUES), pod: old.metadata.name } } });
    }
    case 'ports': {
      const old = random.pick(pods);
      return replace(old, { ...old, ports: namedPorts(random) });
    }
    case 'namespace': {
      const name = random.pick(NAMESPACES);
      const old = objects.find((object) => object.kind === 'Namespace' && object.metadata.name === name);
      return old === undefined ? objects : replace(old, namespace(random, old.metadata.name));
    }
    case 'machine': {
      const old = random.pick(objects.filter((object) => object.kind === 'VirtualMachine'));
      return replace(old, { ...old, metadata: { ...old.metadata, labels: randomLabels(random, LABEL_VALUES) } });
    }
    case 'group': {
      const all = [...antreaGroups(random, plan), ...securityGroups(random, plan)];
      const fresh = random.pick(all);
      const old = objects.find((object) => objectKey(object) === objectKey(fresh));
      return old === undefined ? objects : replace(old, fresh);
    }
    // A remote pod loses its address, or gets another pod's.
    case 'away': {
      const old = random.pick(pods.filter((pod) => pod.nodeName !== 'host-1'));
      return replace(old, { ...old, addresses: [] });
    }
    case 'arrive': {
      const [old, donor] = [random.pick(pods.filter((pod) => pod.nodeName !== 'host-1')), random.pick(pods)];
      return replace(old, { ...old, addresses: donor.addresses });
    }
  }
}

/** The last one of each name. */
function unique(objects: readonly DesiredObject[]): DesiredObject[] {
  return [...new Map(objects.map((object) => [objectKey(object), object])).values()];
}

