/**
 * Kubernetes' default deny: a pod that a NetworkPolicy selects refuses, in that direction, what none allows; but never the node it runs on
 * (Kubernetes: NetworkPolicy does not come between a pod and its node).
 */
import type { RuleTableObject } from '../../model/objects.js';
import type { Rule } from '../../model/rule.js';
import { IPV6_ICMP } from '../../model/protocols.js';
import type { EffectiveTable } from '../effective.js';

const PREFIX = 'K8sNetworkPolicy';
/** Numbers of rules that belong to no policy; given numbers are larger. */
const IDS = { nodeIn: 1, nodeOut: 2, denyIn: 3, denyOut: 4, neighbours: 5, unknown: 6 } as const;
export const FIRST_FREE_RULE_ID = 1001;

export interface Isolation {
  readonly in: boolean;
  readonly out: boolean;
  readonly log: boolean;
}

export interface IsolationTables {
  /** Before all NetworkPolicies. */
  readonly node: EffectiveTable;
  /** After them. */
  readonly deny: readonly EffectiveTable[];
}

/** The tables of isolated filters: the same objects for the same host addresses. */
export class Isolations {
  private hostAddresses: readonly string[] = [];
  /** By directions: a direction that is not isolated asks the baseline section about its node as about everybody else. */
  private readonly nodes = new Map<string, EffectiveTable>();
  private readonly tables = new Map<string, EffectiveTable>();

  setHostAddresses(addresses: readonly string[]): void {
    this.hostAddresses = addresses;
    this.nodes.clear();
  }

  /** Undefined when the filter is not isolated. */
  of(isolation: Isolation): IsolationTables | undefined {
    if (!isolation.in && !isolation.out) return undefined;
    const deny: EffectiveTable[] = [];
    if (isolation.in) deny.push(this.deny('in', isolation.log));
    if (isolation.out) deny.push(this.deny('out', isolation.log));
    return { node: this.node(isolation), deny };
  }

  private node(isolation: Isolation): EffectiveTable {
    const name = `${PREFIX}:node${isolation.out ? '' : '-ingress'}${isolation.in ? '' : '-egress'}`;
    const known = this.nodes.get(name);
    if (known !== undefined) return known;
    const fresh = nodeTable(name, isolation, this.hostAddresses);
    this.nodes.set(name, fresh);
    return fresh;
  }

  private deny(direction: 'in' | 'out', log: boolean): EffectiveTable {
    const name = `isolation-${direction === 'in' ? 'ingress' : 'egress'}`;
    const key = `${PREFIX}:${name}${log ? '-logged' : ''}`;
    const known = this.tables.get(key);
    if (known !== undefined) return known;
    const fresh = table(key, [rule(direction === 'in' ? IDS.denyIn : IDS.denyOut, direction, 'drop', log, name)], new Map());
    this.tables.set(key, fresh);
    return fresh;
  }
}

function nodeTable(name: string, isolation: Isolation, addresses: readonly string[]): EffectiveTable {
  return table(name, [
    ...(isolation.in ? [{ ...rule(IDS.nodeIn, 'in', 'accept', false, 'node'), source: NODE }] : []),
    ...(isolation.out ? [{ ...rule(IDS.nodeOut, 'out', 'accept', false, 'node'), destination: NODE }] : []),
  ], new Map([['node', { key: '//node', members: addresses }]]));
}

const NODE = { not: false, addressSets: ['node'], addresses: [] };
const ANY = { not: false, addressSets: [], addresses: [] };

function rule(id: number, direction: 'in' | 'out', action: 'accept' | 'drop', log: boolean, name: string): Rule {
  return {
    id, direction, protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action, log, stateless: false,
    policy: { kind: 'NetworkPolicy', group: 'networking.k8s.io', name: '*', rule: name },
  };
}

function table(name: string, rules: readonly Rule[], sets: EffectiveTable['sets']): EffectiveTable {
  const object: RuleTableObject = { kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], rules, layer2Rules: [] };
  return { table: object, section: 'kubernetes', sets };
}

/** What rule tables leave open at a filter whose policies cannot be told yet, though some may be there: behind those tables. */
export function policiesUnknown(): EffectiveTable {
  const name = 'policies-unknown';
  const closed: Rule = {
    id: IDS.unknown, direction: 'inout', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action: 'drop', log: false, stateless: false,
  };
  return { table: { kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], rules: [closed], layer2Rules: [] }, section: 'baseline', sets: new Map() };
}

/** Neighbour and router discovery (RFC 4861): without it there is no IPv6 at all, so no policy decides about it. Before all policies. */
export function neighbourDiscovery(): EffectiveTable {
  const name = 'neighbour-discovery';
  const rules = [133, 134, 135, 136, 137].map((type): Rule => ({
    id: IDS.neighbours, direction: 'inout', protocol: IPV6_ICMP, source: ANY, sourcePorts: [], destination: ANY, ports: [], icmp: { type }, action: 'accept',
    log: false, stateless: false,
  }));
  return { table: { kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], rules, layer2Rules: [] }, section: 'admin', sets: new Map() };
}
