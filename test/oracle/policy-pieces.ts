/** Random parts that policies of several kinds are made of. Dense: few labels, few ports, so that rules overlap and selectors hit. */
import type { LabelRequirement, LabelSelector } from '../../src/model/metadata.js';
import type { IpBlock, PodSelection, PolicyPort } from '../../src/model/policy-objects.js';
import { canonical, parseLiteral } from './addresses.js';
import { PROTOCOL } from './packet.js';
import { LABEL_VALUES, NAMESPACE_LABEL_VALUES, NAMESPACES, POLICY_PROTOCOLS, PORT_NAMES, PORT_NUMBERS, type PolicyPlan } from './policy-inventory.js';
import type { Random } from './random.js';

export const EVERYTHING: LabelSelector = { matchLabels: {}, matchExpressions: [] };

export function selector(random: Random, values: Readonly<Record<string, readonly string[]>>): LabelSelector {
  const form = random.weighted<'all' | 'labels' | 'expressions' | 'both'>([[3, 'all'], [6, 'labels'], [4, 'expressions'], [1, 'both']]);
  if (form === 'all') return EVERYTHING;
  const keys = Object.keys(values);
  const labels = form === 'expressions' ? [] : [random.pick(keys)];
  return {
    matchLabels: Object.fromEntries(labels.map((key) => [key, random.pick(values[key] ?? [''])])),
    matchExpressions: form === 'labels' ? [] : Array.from({ length: random.weighted([[4, 1], [1, 2]]) }, () => requirement(random, values)),
  };
}

function requirement(random: Random, values: Readonly<Record<string, readonly string[]>>): LabelRequirement {
  const key = random.weighted([[9, random.pick(Object.keys(values))], [1, 'unheard-of']]);
  const operator = random.pick(['In', 'NotIn', 'Exists', 'DoesNotExist'] as const);
  const known = values[key] ?? ['anything'];
  if (operator === 'Exists' || operator === 'DoesNotExist') return { key, operator, values: [] };
  const some = random.subset(known, 0.6);
  return { key, operator, values: some.length > 0 ? some : [random.pick(known)] };
}

export function podSelector(random: Random): LabelSelector {
  return selector(random, LABEL_VALUES);
}

export function namespaceSelector(random: Random): LabelSelector {
  return random.chance(0.3)
    ? { matchLabels: { 'kubernetes.io/metadata.name': random.pick(NAMESPACES) }, matchExpressions: [] }
    : selector(random, NAMESPACE_LABEL_VALUES);
}

/** At least one of the two. */
export function podSelection(random: Random): PodSelection {
  switch (random.pick(['pods', 'namespaces', 'both'] as const)) {
    case 'pods': return { podSelector: podSelector(random) };
    case 'namespaces': return { namespaceSelector: namespaceSelector(random) };
    case 'both': return { podSelector: podSelector(random), namespaceSelector: namespaceSelector(random) };
  }
}

/** A prefix around some address of the world. */
export function prefix(random: Random, plan: PolicyPlan): string {
  const workload = random.pick(plan.workloads);
  const literal = random.weighted<string>([
    [3, workload.ipv4], [3, workload.ipv6], [1, random.pick(workload.undeclared)], [1, random.pick(plan.host)], [1, '203.0.113.16/28'], [1, '2001:db8:cafe::10/124'], [1, '203.0.113.17'], [1, '2001:db8:cafe::11'],
  ]);
  const { kind, first } = parseLiteral(literal);
  if (kind === 'mac') throw new Error(`a plan has no MAC addresses: ${literal}`);
  const width = kind === 4 ? 32 : 128;
  const length = random.weighted(kind === 4 ? [[4, 32], [2, 30], [2, 28], [3, 24], [3, 16], [1, 8], [1, 0]] : [[4, 128], [2, 126], [2, 124], [3, 112], [3, 64], [1, 16], [1, 0]]);
  const size = 1n << BigInt(width - length);
  return prefixText(kind, (first / size) * size, length);
}

/** As the model holds it: a prefix of one address is that address. */
function prefixText(kind: 4 | 6, first: bigint, length: number): string {
  const full = length === (kind === 4 ? 32 : 128);
  return full ? canonical(kind, first) : `${canonical(kind, first)}/${length}`;
}

export function ipBlock(random: Random, plan: PolicyPlan): IpBlock {
  const cidr = prefix(random, plan);
  const outer = parseLiteral(cidr);
  if (outer.kind === 'mac') throw new Error(`a prefix of MAC addresses: ${cidr}`);
  const { kind } = outer;
  const holes = random.chance(0.4) ? Array.from({ length: random.int(1, 2) }, () => prefix(random, plan)) : [];
  const inside = holes.map(parseLiteral).filter((hole) => hole.kind === kind && hole.first >= outer.first && hole.last <= outer.last && hole.last - hole.first < outer.last - outer.first);
  return { cidr, except: [...new Set(inside.map((hole) => prefixText(kind, hole.first, lengthOf(hole.last - hole.first, kind))))] };
}

function lengthOf(span: bigint, kind: 4 | 6): number {
  return (kind === 4 ? 32 : 128) - (span + 1n).toString(2).length + 1;
}

export interface PortOptions { readonly source?: boolean }

export function policyPort(random: Random, options: PortOptions = {}): PolicyPort {
  const protocol = random.weighted([[4, PROTOCOL.tcp], [3, PROTOCOL.udp], [2, PROTOCOL.sctp]]);
  const source = options.source === true && random.chance(0.15)
    ? random.pick([{ sourcePort: 32_768, sourceEndPort: 60_999 }, { sourcePort: 40_000 }, { sourcePort: 1_024, sourceEndPort: 32_767 }])
    : {};
  switch (random.weighted<'any' | 'number' | 'range' | 'name'>([[1, 'any'], [4, 'number'], [2, 'range'], [4, 'name']])) {
    case 'any': return { protocol, ...source };
    case 'number': return { protocol, port: random.pick(PORT_NUMBERS), ...source };
    case 'range': return { protocol, ...random.pick([{ port: 8080, endPort: 8082 }, { port: 80, endPort: 443 }, { port: 1, endPort: 1023 }, { port: 9090, endPort: 65_535 }]), ...source };
    case 'name': return { protocol, port: random.pick(PORT_NAMES), ...source };
  }
}

/** No ports = any, often. */
export function policyPorts(random: Random, options: PortOptions = {}): PolicyPort[] {
  return Array.from({ length: random.weighted([[4, 0], [4, 1], [2, 2]]) }, () => policyPort(random, options));
}

export function randomProtocol(random: Random): number {
  return random.pick(POLICY_PROTOCOLS);
}
