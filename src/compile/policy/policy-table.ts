/**
 * A policy's rules as one rule table, as they stand for one kind of target: the rules that apply to it, peers relative to its
 * namespace, named ports as its own containers name them. Filters that are alike in these share the table.
 */
import type { RuleTableObject } from '../../model/objects.js';
import type { EffectiveSet } from '../effective.js';
import type { NamespacedName } from '../../model/policy-objects.js';
import { objectKey } from '../../model/objects.js';
import type { AddressMatch, PortRange, Rule } from '../../model/rule.js';
import { groupKey, selectorPart, type ResolvedGroup } from './named-groups.js';
import type { GroupName, MemberSelector, NamespaceScope, Peer, Policy, PolicyRule, Service } from './ir.js';
import { ipBlockMembers } from './ip-block.js';
import { namedPorts, partKey, readableName, type MemberSet, type MemberSets, type Part, type PortNumbers, type SetDefinition } from './member-sets.js';
import type { Population } from './population.js';
import { memberSelectorKey } from './selector-key.js';

/** What of a target its tables may depend on. */
export interface Subject {
  /** Absent for what is in no namespace. */
  readonly namespace?: string;
  readonly ports: readonly { readonly name: string; readonly protocol: number; readonly port: number }[];
}

/** Gives numeric ids to rules: equal keys, equal numbers, also after a restart. */
export interface RuleNumbers {
  number(key: string): number;
}

/**
 * The number of a rule: one that the user chose, else one that hangs on the rule's key. Never one that the user chose for another rule of
 * the policy: rules of one table and number are one to the kernel. `numberOf` undefined = the rule has none.
 */
export function ruleNumber<N extends number | undefined>({ key, rules }: Pick<Policy, 'key' | 'rules'>, rule: PolicyRule, numberOf: (key: string) => N): number | N {
  if (rule.id !== undefined) return rule.id;
  for (let attempt = 1; ; attempt += 1) {
    const number = numberOf(`${key} ${rule.key}${attempt === 1 ? '' : `\n${attempt}`}`);
    if (number === undefined || !rules.some(({ id }) => id === number)) return number;
  }
}

export interface TableContext {
  readonly sets: MemberSets;
  readonly population: Population;
  readonly numbers: RuleNumbers;
  readonly group: (name: GroupName) => ResolvedGroup;
  /** Addresses that DNS answers gave for a name or pattern. */
  readonly namesOf: (pattern: string) => Iterable<string>;
}

/** Holds what it names until the caller releases it. */
export interface PolicyTable {
  readonly table: RuleTableObject;
  readonly sets: readonly MemberSet[];
  /** The table must be built anew when one of these changes its version. */
  readonly ports: readonly PortNumbers[];
  /** Domain names and patterns among the peers. */
  readonly names: readonly string[];
}

/** The parts of a subject that make a difference to this policy's tables, as text: equal texts, equal tables. */
export function variantKey(policy: Policy, applying: readonly number[], subject: Subject): string {
  const rules = applying.map((index) => policy.rules[index]).filter((rule) => rule !== undefined);
  const parts: string[] = applying.length === policy.rules.length ? [] : [`rules ${applying.join()}`];
  if (rules.some(relative)) parts.push(`in ${subject.namespace ?? ''}`);
  const names = rules.flatMap((rule) => (rule.direction === 'in' && rule.services !== 'any' ? rule.services : []))
    .flatMap((service) => ('namedPort' in service ? namedPorts(subject, portOf(service)).map(({ protocol, port }) => `${service.namedPort}=${protocol}:${port}`) : []));
  if (names.length > 0) parts.push(`ports ${[...new Set(names)].sort().join()}`);
  return parts.join(' ');
}

/** Which namespaces count as alike depends on the target's own labels. */
export function sameLabelsText(policy: Policy, labels: Readonly<Record<string, string>>): string {
  const keys = new Set(policy.rules.flatMap(({ sources, destinations }) => [sources, destinations].flatMap((side) => (side === 'any' ? [] : side)))
    .flatMap((peer) => ('scope' in peer && 'sameLabels' in peer.scope ? peer.scope.sameLabels : [])));
  return [...keys].sort().map((key) => `${key}=${labels[key] ?? '-'}`).join();
}

function relative(rule: PolicyRule): boolean {
  return [rule.sources, rule.destinations].some((side) => side !== 'any' && side.some((peer) => 'scope' in peer));
}

export function buildTable(policy: Policy, variant: string, applying: readonly number[], subject: Subject, context: TableContext): PolicyTable {
  const builder = new TableBuilder(policy, subject, context);
  const rules = applying.flatMap((index) => {
    const rule = policy.rules[index];
    return rule === undefined ? [] : builder.rules(rule);
  });
  const name = variant === '' ? policy.order.name : `${policy.order.name}#${readableName(variant)}`;
  return {
    table: { kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: [], rules, layer2Rules: [] },
    sets: [...builder.sets.values()], ports: builder.ports, names: [...builder.names],
  };
}

/** The members of a table's sets as they are now, by name. */
export function effectiveSets(sets: readonly MemberSet[]): Map<string, EffectiveSet> {
  return new Map(sets.map((set): [string, EffectiveSet] => {
    const { members, change } = set.current;
    return [set.name, { key: `//${set.name}`, members, ...(change === undefined ? {} : { change }) }];
  }));
}

/** One line of a rule: what it matches besides the source. */
interface Line {
  readonly protocol: Rule['protocol'];
  readonly ports: readonly PortRange[];
  readonly sourcePorts: readonly PortRange[];
  readonly icmp?: NonNullable<Rule['icmp']>;
  readonly destination: AddressMatch;
}

const ANY: AddressMatch = { not: false, addressSets: [], addresses: [] };

class TableBuilder {
  readonly sets = new Map<string, MemberSet>();
  readonly ports: PortNumbers[] = [];
  readonly names = new Set<string>();

  constructor(private readonly policy: Policy, private readonly subject: Subject, private readonly context: TableContext) {}

  rules(rule: PolicyRule): Rule[] {
    const id = ruleNumber(this.policy, rule, (key) => this.context.numbers.number(key));
    const source = this.match(rule.sources, rule.sourcesExcluded);
    const { reference } = this.policy;
    const common = {
      id, direction: rule.direction, action: rule.action, log: rule.log, stateless: false,
      ...(rule.tag === undefined || rule.tag === '' ? {} : { tag: rule.tag }),
      policy: { ...reference, ...(rule.name === undefined ? {} : { rule: rule.name }) },
    };
    return this.lines(rule).map((line): Rule => ({ ...common, source, ...line }));
  }

  private lines(rule: PolicyRule): Line[] {
    const services = rule.destinations === 'any' ? [] : rule.destinations.flatMap((peer) => ('service' in peer ? [peer.service] : []));
    if (services.length > 0) return services.flatMap((name) => this.serviceLines(name));
    const wanted = rule.services;
    // Only what has lines needs the destination's sets.
    const destination = this.match(rule.destinations, rule.destinationsExcluded);
    if (wanted === 'any') return [{ protocol: 'any', ports: [], sourcePorts: [], destination }];
    return merged(wanted.flatMap((service) => this.serviceLine(rule, service, destination)));
  }

  private serviceLine(rule: PolicyRule, service: Service, destination: AddressMatch): Line[] {
    if ('icmp' in service) return [{ protocol: service.protocol, ports: [], sourcePorts: [], icmp: service.icmp, destination }];
    if (!('namedPort' in service)) return [{ protocol: service.protocol, ports: service.ports, sourcePorts: service.sourcePorts, destination }];
    const { sourcePorts } = service;
    const port = portOf(service);
    if (rule.direction === 'in') {
      return namedPorts(this.subject, port).map(({ protocol, port: number }) => ({ protocol, ports: [single(number)], sourcePorts, destination }));
    }
    return this.podPeers(rule.destinations).flatMap((selector) => {
      const text = memberSelectorKey(selector);
      const numbers = this.context.sets.acquirePorts(selector, text, port);
      this.ports.push(numbers);
      return numbers.numbers.map(({ protocol, number }): Line => {
        const own: Part = { pods: selector, port: { name: service.namedPort, protocol, number } };
        return { protocol, ports: [single(number)], sourcePorts, destination: this.setMatch([this.use(`pods ${partKey(own)}`, readableName(partKey(own)), [own])]) };
      });
    });
  }

  /** A Service by its own addresses and ports; one that does not exist, or has no address, gives no line. */
  private serviceLines(name: NamespacedName): Line[] {
    const service = this.context.population.get('Service', objectKey({ kind: 'Service', metadata: name }));
    if (service === undefined || service.clusterIps.length === 0) return [];
    const destination: AddressMatch = { not: false, addressSets: [], addresses: service.clusterIps };
    return merged(service.ports.map(({ protocol, port }): Line => ({ protocol, ports: [single(port)], sourcePorts: [], destination })));
  }

  /** Selections of pods among the peers; any peer = any pod. */
  private podPeers(peers: PolicyRule['destinations']): Extract<MemberSelector, { of: 'pods' }>[] {
    if (peers === 'any') return [{ of: 'pods' }];
    return peers.flatMap((peer) => {
      if ('select' in peer) return peer.select.of === 'pods' ? [peer.select] : [];
      if ('scope' in peer) return this.scoped(peer) ?? [];
      if ('group' in peer) return this.context.group(peer.group).selectors.flatMap((selector) => (selector.of === 'pods' ? [selector] : []));
      return [];
    });
  }

  private match(peers: readonly Peer[] | 'any', excluded: boolean): AddressMatch {
    if (peers === 'any') return ANY;
    const addressSets: string[] = [];
    const addresses: string[] = [];
    for (const peer of peers) {
      if ('ipBlock' in peer) addresses.push(...ipBlockMembers(peer.ipBlock));
      else if ('addresses' in peer) addresses.push(...peer.addresses);
      else if (!('service' in peer)) {
        const name = this.peerSet(peer);
        if (name !== undefined) addressSets.push(name);
      }
    }
    if (addressSets.length + addresses.length === 0) return excluded ? ANY : this.setMatch([this.use('nothing', 'nothing', [])]);
    return { not: excluded, addressSets: [...new Set(addressSets)], addresses: [...new Set(addresses)] };
  }

  private peerSet(peer: Exclude<Peer, { ipBlock: unknown } | { addresses: unknown } | { service: unknown }>): string | undefined {
    if ('select' in peer) return this.selectorSet(peer.select);
    if ('scope' in peer) {
      const selector = this.scoped(peer);
      return selector === undefined ? undefined : this.selectorSet(selector);
    }
    if ('fqdn' in peer) {
      const { namesOf } = this.context;
      this.names.add(peer.fqdn);
      return this.use(`fqdn ${peer.fqdn}`, readableName(`fqdn:${peer.fqdn.replaceAll('*', '_')}`), [
        { computed: () => namesOf(peer.fqdn), dependsOn: ['DNS'], text: `fqdn ${peer.fqdn}` },
      ]);
    }
    const { parts } = this.context.group(peer.group);
    return this.use(`${groupKey(peer.group)} ${parts.map(partKey).join(' | ')}`, groupSetName(peer.group), parts);
  }

  private selectorSet(selector: MemberSelector): string {
    const key = memberSelectorKey(selector);
    return this.use(key, readableName(key), [selectorPart(selector, { population: this.context.population, cluster: undefined })]);
  }

  /** Undefined when the target's namespace lacks a label that must be the same. */
  private scoped({ scope, podSelector }: { readonly scope: NamespaceScope; readonly podSelector?: PodSelectorOf }): Extract<MemberSelector, { of: 'pods' }> | undefined {
    const { namespace } = this.subject;
    if (namespace === undefined) return undefined;
    const pods = podSelector === undefined ? {} : { podSelector };
    if ('match' in scope) return { of: 'pods', namespace, ...pods };
    const labels = this.context.population.namespaceLabels(namespace);
    const matchLabels: Record<string, string> = {};
    for (const key of scope.sameLabels) {
      const value = labels[key];
      if (value === undefined) return undefined;
      matchLabels[key] = value;
    }
    return { of: 'pods', namespaceSelector: { matchLabels, matchExpressions: [] }, ...pods };
  }

  private setMatch(names: readonly string[]): AddressMatch {
    return { not: false, addressSets: names, addresses: [] };
  }

  private use(key: string, name: string, parts: readonly Part[]): string {
    const definition: SetDefinition = { key, name, parts };
    const known = this.sets.get(name);
    if (known === undefined) this.sets.set(name, this.context.sets.acquire(definition));
    return name;
  }
}

type PodSelectorOf = NonNullable<Extract<Peer, { scope: unknown }>['podSelector']>;

export function groupSetName({ kind, namespace, name }: GroupName): string {
  return namespace === undefined ? `${kind}:${name}` : `${kind === 'AntreaGroup' ? 'Group' : kind}:${namespace}/${name}`;
}

function portOf(service: Extract<Service, { namedPort: string }>): { name: string; protocol?: number } {
  return { name: service.namedPort, ...(service.protocol === undefined ? {} : { protocol: service.protocol }) };
}

function single(port: number): PortRange {
  return { first: port, last: port };
}

/** Lines that differ only in their destination ports become one. */
function merged(lines: readonly Line[]): Line[] {
  const byRest = new Map<string, Line>();
  for (const line of lines) {
    const key = JSON.stringify([line.protocol, line.sourcePorts, line.icmp, line.destination]);
    const known = byRest.get(key);
    // No ports = all of them.
    const ports = known === undefined ? line.ports : known.ports.length === 0 || line.ports.length === 0 ? [] : [...known.ports, ...line.ports];
    byRest.set(key, { ...line, ports });
  }
  return [...byRest.values()].map((line) => ({ ...line, ports: disjoint(line.ports) }));
}

/** Sorted, without overlap; neighbours joined. */
export function disjoint(ranges: readonly PortRange[]): PortRange[] {
  const found: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const end = found.at(-1);
    if (end !== undefined && first <= end.last + 1) end.last = Math.max(end.last, last);
    else found.push({ first, last });
  }
  return found;
}

