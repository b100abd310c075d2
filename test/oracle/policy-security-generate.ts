/** Random dfw.dev SecurityPolicies and Groups. */
import type { GroupExpression, GroupObject, GroupObjectType, SecurityEndpoint, SecurityPolicyObject, SecurityRule, SecurityService, SecurityTarget } from '../../src/model/policy-objects.js';
import { prefix, randomProtocol } from './policy-pieces.js';
import { LABEL_VALUES, meta, NAMESPACE_LABEL_VALUES, NODE_LABEL_VALUES, PORT_NUMBERS, referenceOf, type PolicyPlan } from './policy-inventory.js';
import type { KindContext } from './policy-kinds.js';
import { canonical, parseLiteral } from './addresses.js';
import type { Random } from './random.js';

const GROUPS = ['sg-0', 'sg-1', 'sg-2', 'sg-3', 'sg-nested'] as const;

export function securityPolicy(context: KindContext, index: number): SecurityPolicyObject {
  const { random } = context;
  return {
    kind: 'SecurityPolicy', metadata: meta(`sp-${index}`),
    category: random.weighted<SecurityPolicyObject['category']>([[2, 'Emergency'], [2, 'Infrastructure'], [2, 'Environment'], [5, 'Application']]),
    sequence: random.pick([0, 0, 1, 10, 999]),
    disabled: random.chance(0.08),
    appliedTo: random.chance(0.4) ? [] : targets(context, random.int(1, 2)),
    rules: Array.from({ length: random.weighted([[3, 1], [3, 2], [1, 4]]) }, (_, place) => securityRule(context, place)),
  };
}

function securityRule(context: KindContext, place: number): SecurityRule {
  const { random } = context;
  const sources = endpoints(context);
  const destinations = endpoints(context);
  return {
    name: random.chance(0.6) ? `r${place}` : `rule-${place + 1}`,
    // Among the first numbers that rules without one are given.
    ...(random.chance(0.2) ? { id: 1001 + place * 3 + random.int(0, 2) } : {}),
    sources, sourcesExcluded: sources.length > 0 && random.chance(0.2),
    destinations, destinationsExcluded: destinations.length > 0 && random.chance(0.2),
    services: Array.from({ length: random.weighted([[4, 0], [4, 1], [2, 2]]) }, () => service(random)),
    action: random.weighted<SecurityRule['action']>([[5, 'Allow'], [3, 'Drop'], [2, 'Reject'], [2, 'Pass']]),
    direction: random.weighted<SecurityRule['direction']>([[5, 'InOut'], [2, 'In'], [2, 'Out']]),
    log: random.chance(0.1),
    disabled: random.chance(0.1),
    appliedTo: random.chance(0.8) ? [] : targets(context, 1),
  };
}

function targets(context: KindContext, count: number): SecurityTarget[] {
  const { random, plan } = context;
  return Array.from({ length: count }, () => (random.chance(0.6) ? { group: groupName(context) } : { workload: referenceOf(random.pick(plan.workloads).name) }));
}

function endpoints(context: KindContext): SecurityEndpoint[] {
  const { random, plan } = context;
  return Array.from({ length: random.weighted([[4, 0], [5, 1], [2, 2]]) }, () => (random.chance(0.65) ? { group: groupName(context) } : { addresses: [address(random, plan)] }));
}

function groupName({ random, dangling }: KindContext): string {
  return dangling && random.chance(0.25) ? 'sg-nowhere' : random.pick(GROUPS);
}

/** A host, a prefix or a range. */
function address(random: Random, plan: PolicyPlan): string {
  const { kind, first, last } = parseLiteral(prefix(random, plan));
  if (kind === 'mac') throw new Error('a prefix of MAC addresses');
  if (first === last) return canonical(kind, first);
  const length = (kind === 4 ? 32 : 128) - ((last - first).toString(2).length);
  return random.chance(0.6) ? `${canonical(kind, first)}/${length}` : `${canonical(kind, first)}-${canonical(kind, first + (last - first) / 2n)}`;
}

function service(random: Random): SecurityService {
  const form = random.weighted<'ports' | 'icmp' | 'protocol'>([[6, 'ports'], [1, 'icmp'], [2, 'protocol']]);
  if (form === 'icmp') {
    const protocol = random.pick([1, 58]);
    const type = random.pick(protocol === 1 ? [8, 13] : [128, 139]);
    return { protocol, ports: [], sourcePorts: [], icmp: { type, ...(random.chance(0.4) ? { code: 0 } : {}) } };
  }
  const protocol = form === 'protocol' ? random.pick([1, 58, 6, 17, 47, 132]) : randomProtocol(random);
  if (form === 'protocol') return { protocol, ports: [], sourcePorts: [] };
  const first = random.pick(PORT_NUMBERS);
  return {
    protocol,
    ports: random.weighted([[5, [{ first, last: first }]], [2, [{ first: 80, last: 443 }]], [1, [{ first: 53, last: 53 }, { first: 8080, last: 8082 }]]]),
    sourcePorts: random.chance(0.1) ? [{ first: 32_768, last: 60_999 }] : [],
  };
}

export function securityGroups(random: Random, plan: PolicyPlan): GroupObject[] {
  return GROUPS.map((name): GroupObject => {
    if (name === 'sg-nested') {
      return { kind: 'Group', metadata: meta(name), criteria: [], addresses: [], workloads: [], groups: random.subset(['sg-0', 'sg-1', 'sg-2'], 0.6) };
    }
    return {
      kind: 'Group', metadata: meta(name),
      criteria: Array.from({ length: random.weighted([[1, 0], [4, 1], [2, 2]]) }, () => criterion(random)),
      addresses: random.chance(0.25) ? [address(random, plan)] : [],
      workloads: random.chance(0.25) ? [referenceOf(random.pick(plan.workloads).name)] : [],
      groups: [],
    };
  });
}

/** One sort of thing, or where it is, or both. */
function criterion(random: Random): GroupExpression[] {
  const cluster = (): GroupExpression[] => (random.chance(0.3) ? [{ object: 'KubernetesCluster', key: 'Name', operator: 'Equals', values: [random.chance(0.8) ? 'default' : 'elsewhere'] }] : []);
  const inNamespace = (): GroupExpression[] => (random.chance(0.4) ? [expression(random, 'KubernetesNamespace', ['x', 'y', 'z', 'w'], NAMESPACE_LABEL_VALUES)] : []);
  switch (random.weighted<'pod' | 'node' | 'service' | 'machine' | 'namespace' | 'cluster'>([[5, 'pod'], [2, 'node'], [1, 'service'], [3, 'machine'], [1, 'namespace'], [0.5, 'cluster']])) {
    case 'cluster': return [{ object: 'KubernetesCluster', key: 'Name', operator: 'Equals', values: ['default'] }];
    case 'namespace': return [...cluster(), expression(random, 'KubernetesNamespace', ['x', 'y', 'z', 'w'], NAMESPACE_LABEL_VALUES)];
    case 'pod': return [...cluster(), ...inNamespace(), expression(random, 'Pod', ['a', 'b', 'c'], LABEL_VALUES)];
    case 'node': return [...cluster(), expression(random, 'KubernetesNode', ['host-1', 'host-2'], NODE_LABEL_VALUES)];
    case 'service': return [...cluster(), ...inNamespace(), expression(random, 'KubernetesService', ['front', 'back'], LABEL_VALUES)];
    case 'machine': {
      const segment: GroupExpression[] = random.chance(0.4) ? [{ object: 'Segment', key: 'Name', operator: 'StartsWith', values: ['vlan-'] }] : [];
      return [...segment, expression(random, 'VirtualMachine', ['vm', 'vm-far', 'web-vm'], LABEL_VALUES)];
    }
  }
}

function expression(random: Random, object: GroupObjectType, names: readonly string[], labels: Readonly<Record<string, readonly string[]>>): GroupExpression {
  if (random.chance(0.5)) {
    const name = random.pick(names);
    const operator = random.pick(['Equals', 'NotEquals', 'In', 'NotIn', 'Contains', 'StartsWith', 'EndsWith'] as const);
    switch (operator) {
      case 'In':
      case 'NotIn': return { object, key: 'Name', operator, values: [...new Set([name, random.pick(names)])] };
      case 'StartsWith': return { object, key: 'Name', operator, values: [random.pick(['', name.slice(0, 2)])] };
      case 'Contains':
      case 'EndsWith': return { object, key: 'Name', operator, values: [name.slice(1) || name] };
      case 'Equals':
      case 'NotEquals': return { object, key: 'Name', operator, values: [name] };
    }
  }
  const key = random.pick(Object.keys(labels));
  const values = labels[key] ?? [''];
  const value = random.pick(values);
  switch (random.pick(['Equals', 'NotEquals', 'In', 'NotIn', 'Exists', 'StartsWith'] as const)) {
    case 'Equals': return { object, key: 'Tag', operator: 'Equals', values: [`${key}=${value}`] };
    case 'NotEquals': return { object, key: 'Label', operator: 'NotEquals', values: [`${key}=${value}`] };
    case 'In': return { object, key: 'Label', operator: 'In', values: values.map((one) => `${key}=${one}`) };
    case 'NotIn': return { object, key: 'Tag', operator: 'NotIn', values: [`${key}=${value}`] };
    case 'Exists': return { object, key: 'Tag', operator: 'Exists', values: [key] };
    case 'StartsWith': return { object, key: 'Label', operator: 'StartsWith', values: [`${key}=${value.slice(0, 1)}`] };
  }
}
