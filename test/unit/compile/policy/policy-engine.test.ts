import { describe, expect, it } from 'vitest';
import { Compiler } from '../../../../src/compile/compiler.js';
import { PolicyEngine } from '../../../../src/compile/policy/policy-engine.js';
import { WorldState, type ObjectChange } from '../../../../src/compile/world.js';
import type { DesiredObject, NamespaceObject, PodObject } from '../../../../src/model/objects.js';
import { objectKey } from '../../../../src/model/objects.js';
import type { AntreaGroupObject, AntreaPolicyObject, NetworkPolicyObject, SecurityPolicyObject } from '../../../../src/model/policy-objects.js';
import { antreaRule, clusterPolicy, securityPolicy, securityRule } from './objects.js';

const ALL = { matchLabels: {}, matchExpressions: [] };
const labelled = (matchLabels: Record<string, string>) => ({ matchLabels, matchExpressions: [] });

function namespace(name: string, labels: Record<string, string> = {}): NamespaceObject {
  return { kind: 'Namespace', metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } } };
}
function pod(ns: string, name: string, address: string, labels: Record<string, string> = {}): PodObject {
  return { kind: 'Pod', metadata: { name, namespace: ns, labels }, addresses: [address], ports: [{ name: 'web', protocol: 6, port: 8080 }] };
}
function attachment(ns: string, name: string): DesiredObject {
  return { kind: 'Attachment', metadata: { name: `${ns}-${name}`, labels: {} }, workload: { kind: 'Pod', namespace: ns, name }, vnic: 'eth0', interface: `v-${ns}-${name}`, addresses: [] };
}
function networkPolicy(ns: string, name: string, fields: Partial<NetworkPolicyObject>): NetworkPolicyObject {
  return { kind: 'NetworkPolicy', metadata: { name, namespace: ns, labels: {} }, podSelector: ALL, policyTypes: ['Ingress'], ingress: [], egress: [], ...fields };
}

class Harness {
  readonly objects = new Map<string, DesiredObject>();
  /** What DNS replies said, by pattern. */
  readonly names = new Map<string, readonly string[]>();
  private given = 0;
  private readonly numbers = new Map<string, number>();
  readonly engine = new PolicyEngine({
    numbers: { number: (key) => this.numbers.get(key) ?? (this.numbers.set(key, (this.given += 1) + 1000), this.given + 1000) },
    namesOf: (pattern) => this.names.get(pattern) ?? [],
  });
  private readonly filters = new Map<string, number>();
  readonly world = new WorldState({ number: (name) => this.filters.get(name) ?? (this.filters.set(name, this.filters.size + 1), this.filters.size) });

  apply(...objects: DesiredObject[]): void {
    this.update(objects.map((after): ObjectChange => {
      const key = objectKey(after);
      const before = this.objects.get(key);
      this.objects.set(key, after);
      return before === undefined ? { key, after } : { key, before, after };
    }));
  }

  remove(...objects: DesiredObject[]): void {
    this.update(objects.map((object): ObjectChange => {
      const key = objectKey(object);
      this.objects.delete(key);
      return { key, before: object };
    }));
  }

  private update(changes: ObjectChange[]): void {
    this.engine.update(changes, this.world.update(changes).filters);
  }

  /** Rules of a pod's filter as short lines. */
  rules(pod: string): string[] | undefined {
    const filter = this.world.update([]).filters.find(({ workload }) => workload.name === pod);
    const tables = filter === undefined ? undefined : this.engine.tables(filter.name);
    return tables?.flatMap(({ table, sets }) => (table.metadata.name === 'neighbour-discovery' ? [] : table.rules.map((rule) => {
      const side = (match: typeof rule.source): string => [...match.addresses, ...match.addressSets.map((name) => `{${[...(sets.get(name)?.members ?? ['?'])].sort().join(' ')}}`)].join(' ') || 'any';
      return `${table.metadata.name} ${rule.direction} ${rule.protocol} ${side(rule.source)} > ${side(rule.destination)} ${rule.ports.map(({ first }) => first).join()} ${rule.action}`;
    })));
  }
}

function standard(): Harness {
  const harness = new Harness();
  harness.apply(namespace('x', { team: 'a' }), namespace('y'), pod('x', 'a', '10.0.0.1', { app: 'a' }), pod('x', 'b', '10.0.0.2', { app: 'b' }), pod('y', 'c', '10.0.1.1', { app: 'b' }), attachment('x', 'a'));
  return harness;
}

describe('PolicyEngine', () => {
  it('has no opinion about a pod whose namespace is unknown', () => {
    const harness = new Harness();
    harness.apply(pod('x', 'a', '10.0.0.1'), attachment('x', 'a'));
    expect(harness.rules('a')).toBeUndefined();
    harness.apply(namespace('x'));
    expect(harness.rules('a')).toEqual([]);
  });

  it('follows pods and namespaces into and out of peers', () => {
    const harness = standard();
    harness.apply(networkPolicy('x', 'np', { ingress: [{ peers: [{ podSelector: labelled({ app: 'b' }) }, { podSelector: labelled({ app: 'b' }), namespaceSelector: labelled({ team: 'b' }) }], ports: [{ protocol: 6, port: 80 }] }] }));
    const line = (first: string, second: string): string => `K8sNetworkPolicy:x/np in 6 {${first}} {${second}} > any 80 accept`;
    expect(harness.rules('a')).toContain(line('10.0.0.2', ''));
    harness.apply(namespace('y', { team: 'b' }));
    expect(harness.rules('a')).toContain(line('10.0.0.2', '10.0.1.1'));
    harness.apply(pod('y', 'c', '10.0.1.9', { app: 'b' }));
    expect(harness.rules('a')).toContain(line('10.0.0.2', '10.0.1.9'));
    harness.apply(pod('y', 'c', '10.0.1.9', { app: 'z' }), pod('x', 'b', '10.0.0.2', {}));
    expect(harness.rules('a')).toContain(line('', ''));
    harness.remove(networkPolicy('x', 'np', {}));
    expect(harness.rules('a')).toEqual([]);
  });

  it('resolves a named port at the target, and at the peers of an egress rule', () => {
    const harness = standard();
    harness.apply(networkPolicy('x', 'np', {
      policyTypes: ['Ingress', 'Egress'], ingress: [{ peers: [], ports: [{ protocol: 6, port: 'web' }] }],
      egress: [{ peers: [{ namespaceSelector: ALL }], ports: [{ protocol: 6, port: 'web' }] }],
    }));
    expect(harness.rules('a')?.some((line) => line.endsWith('any > any 8080 accept'))).toBe(true);
    expect(harness.rules('a')?.some((line) => line.endsWith('> {10.0.0.1 10.0.0.2 10.0.1.1} 8080 accept'))).toBe(true);
    harness.apply({ ...pod('x', 'b', '10.0.0.2', { app: 'b' }), ports: [{ name: 'web', protocol: 6, port: 81 }] });
    expect(harness.rules('a')?.some((line) => line.endsWith('> {10.0.0.2} 81 accept'))).toBe(true);
    expect(harness.rules('a')?.some((line) => line.endsWith('> {10.0.0.1 10.0.1.1} 8080 accept'))).toBe(true);
  });

  it('follows the addresses of domain names, and tells which filters have such rules', () => {
    const harness = standard();
    const policy: AntreaPolicyObject = {
      kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'names', labels: {} }, tier: 'application', priority: 5, appliedTo: [{ podSelector: labelled({ app: 'a' }) }],
      egress: [{ name: 'no', action: 'Drop', peers: [{ fqdn: '*.example.com' }], ports: [], protocols: [], toServices: [], appliedTo: [], log: false }], ingress: [],
    };
    const rule = (members: string): string[] => [`AntreaClusterNetworkPolicy:names out any any > {${members}}  drop`];
    expect(harness.engine.fqdnPeers()).toEqual({ patterns: new Set(), filters: new Set() });
    harness.names.set('*.example.com', ['192.0.2.1']);
    harness.apply(policy);
    expect(harness.rules('a')).toEqual(rule('192.0.2.1'));
    expect(harness.engine.fqdnPeers().patterns).toEqual(new Set(['*.example.com']));
    expect([...harness.engine.fqdnPeers().filters]).toEqual(harness.world.update([]).filters.map(({ name }) => name));
    harness.names.set('*.example.com', ['192.0.2.2', 'fd00::2']);
    harness.engine.namesChanged();
    harness.apply();
    expect(harness.rules('a')).toEqual(rule('192.0.2.2 fd00::2'));
    harness.remove(policy);
    expect(harness.engine.fqdnPeers()).toEqual({ patterns: new Set(), filters: new Set() });
  });

  it('takes the entities of some namespaces for no pods of them', () => {
    const harness = standard();
    const entity = (ns: string, address: string): DesiredObject => ({ kind: 'ExternalEntity', metadata: { name: 'e', namespace: ns, labels: { role: 'db' } }, addresses: [address], ports: [] });
    const group: AntreaGroupObject = {
      kind: 'ClusterGroup', metadata: { name: 'g', labels: {} }, externalEntitySelector: labelled({ role: 'db' }), selection: { namespaceSelector: labelled({ team: 'a' }) }, ipBlocks: [], childGroups: [],
    };
    const policy: AntreaPolicyObject = {
      kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'p', labels: {} }, tier: 'application', priority: 5, appliedTo: [{ podSelector: ALL }], egress: [],
      ingress: [{ name: 'r', action: 'Allow', peers: [{ group: 'g' }], ports: [], protocols: [], toServices: [], appliedTo: [], log: false }],
    };
    harness.apply(entity('x', '192.0.2.1'), entity('y', '192.0.2.2'), group, policy);
    expect(harness.rules('a')).toEqual(['AntreaClusterNetworkPolicy:p in any {192.0.2.1} > any  accept']);
  });

  it('goes on with a group whose new version cannot be resolved', () => {
    const harness = standard();
    const group = (fields: Partial<AntreaGroupObject>): AntreaGroupObject => ({ kind: 'ClusterGroup', metadata: { name: 'g', labels: {} }, ipBlocks: [], childGroups: [], ...fields });
    harness.apply(group({ selection: { podSelector: labelled({ app: 'b' }) } }));
    harness.apply(group({ childGroups: ['missing'] }));
    expect(harness.engine.problems.map(({ message }) => message).join()).toContain('ClusterGroup/missing does not exist');
    harness.apply({ ...group({ selection: { podSelector: ALL } }), metadata: { name: 'missing', labels: {} } });
    expect(harness.engine.problems).toEqual([]);
  });

  it('wakes a held policy for what it lacks, also after something else of it changed', () => {
    const harness = standard();
    const policy = (tier: string, group: string | undefined): AntreaPolicyObject => ({
      kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'deny', labels: {} }, tier, priority: 5, appliedTo: [{ podSelector: labelled({ app: 'a' }) }], egress: [],
      ingress: [{ name: 'no', action: 'Drop', peers: group === undefined ? [] : [{ group }], ports: [], protocols: [], toServices: [], appliedTo: [], log: false }],
    });
    const tier = (priority: number): DesiredObject => ({ kind: 'Tier', metadata: { name: 'custom', labels: {} }, priority, description: '' });
    harness.apply(tier(101), policy('application', undefined));
    harness.apply(policy('custom', 'late'));
    harness.apply(tier(102));
    expect(harness.engine.problems.map(({ message }) => message).join()).toContain('ClusterGroup/late does not exist; its version before stays in force');
    harness.apply({ kind: 'ClusterGroup', metadata: { name: 'late', labels: {} }, selection: { podSelector: labelled({ app: 'b' }), namespaceSelector: ALL }, ipBlocks: [], childGroups: [] });
    expect(harness.engine.problems).toEqual([]);
    expect(harness.rules('a')).toEqual(['AntreaClusterNetworkPolicy:deny in any {10.0.0.2 10.0.1.1} > any  drop']);
  });

  it('follows a group also where a newer version of the policy comes with its change, and is held', () => {
    const harness = standard();
    const group = (name: string, ...addresses: string[]): DesiredObject => ({ kind: 'Group', metadata: { name, labels: {} }, criteria: [], addresses, workloads: [], groups: [] });
    const policy = (...groups: string[]): SecurityPolicyObject => securityPolicy({
      metadata: { name: 'deny', labels: {} }, appliedTo: [], rules: [securityRule({ direction: 'In', action: 'Drop', sources: groups.map((name) => ({ group: name })) })],
    });
    const rule = (members: string): string[] => [`SecurityPolicy:deny in any {${members}} > any  drop`];
    harness.apply(group('g', '192.0.2.1'), policy('g'));
    harness.apply(policy('g', 'missing'), group('g', '192.0.2.1', '192.0.2.2'));
    expect(harness.rules('a')).toEqual(rule('192.0.2.1 192.0.2.2'));
    expect(harness.engine.problems.map(({ message }) => message)).toEqual(['held: Group/missing: Group/missing does not exist; its version before stays in force']);
    harness.apply(group('missing', '192.0.2.9'));
    expect(harness.rules('a')).toEqual(['SecurityPolicy:deny in any {192.0.2.1 192.0.2.2} {192.0.2.9} > any  drop']);
    expect(harness.engine.problems).toEqual([]);
  });

  it('takes a held version of a group as soon as the deleted group that kept it waiting goes', () => {
    const harness = standard();
    const group = (name: string, fields: Partial<AntreaGroupObject>): AntreaGroupObject => ({ kind: 'ClusterGroup', metadata: { name, labels: {} }, ipBlocks: [], childGroups: [], ...fields });
    const block = (name: string, cidr: string): AntreaGroupObject => group(name, { ipBlocks: [{ cidr, except: [] }] });
    const policy = (name: string): AntreaPolicyObject => clusterPolicy({
      metadata: { name, labels: {} }, tier: 'application', appliedTo: [{ podSelector: ALL }], ingress: [antreaRule({ peers: [{ group: name }] })],
    });
    // Nobody uses `around`; in it, two levels are too deep.
    harness.apply(block('inner', '192.0.2.0/28'), block('g', '192.0.2.16/28'), block('gone', '192.0.2.32/28'), group('around', { childGroups: ['g', 'gone'] }), policy('g'), policy('gone'));
    harness.remove(block('gone', '192.0.2.32/28'));
    harness.apply(group('g', { childGroups: ['inner'] }));
    const rule = (name: string, members: string): string => `AntreaClusterNetworkPolicy:${name} in any {${members}} > any  drop`;
    expect(harness.rules('a')).toEqual([rule('g', '192.0.2.16/28'), rule('gone', '192.0.2.32/28')]);
    expect(harness.engine.problems.map(({ object }) => object).sort()).toEqual(['ClusterGroup/g', 'ClusterGroup/gone']);
    harness.remove(policy('gone'));
    expect(harness.rules('a')).toEqual([rule('g', '192.0.2.0/28')]);
    expect(harness.engine.problems).toEqual([]);
    expect(harness.engine.held()).toEqual([]);
  });

  it('governs a node from the first policy to the last, whomever they concern', () => {
    const harness = standard();
    const node: DesiredObject = { kind: 'Node', metadata: { name: 'n', labels: {} }, addresses: ['192.0.2.1'] };
    harness.apply(node, { kind: 'Attachment', metadata: { name: 'n', labels: {} }, workload: { kind: 'Node', name: 'n' }, vnic: 'eth0', interface: 'v-n', addresses: [] });
    expect(harness.rules('n')).toBeUndefined();
    harness.apply(networkPolicy('x', 'np', {}));
    expect(harness.rules('n')).toEqual([]);
    harness.remove(networkPolicy('x', 'np', {}));
    expect(harness.rules('n')).toBeUndefined();
  });

  it('applies a policy to whoever has the addresses of the external entities that it selects, as these change', () => {
    const harness = standard();
    const entity = (address: string): DesiredObject => ({ kind: 'ExternalEntity', metadata: { name: 'e', namespace: 'y', labels: { role: 'db' } }, addresses: [address], ports: [] });
    const policy = clusterPolicy({
      metadata: { name: 'p', labels: {} }, tier: 'application', ingress: [antreaRule()], appliedTo: [{ externalEntitySelector: labelled({ role: 'db' }), namespaceSelector: labelled({ team: 'b' }) }],
    });
    harness.apply(policy, namespace('y', { team: 'b' }));
    expect(harness.rules('a')).toEqual([]);
    const applied = ['AntreaClusterNetworkPolicy:p in any any > any  drop'];
    harness.apply(entity('10.0.0.1'));
    expect(harness.rules('a')).toEqual(applied);
    harness.apply(entity('10.0.0.9'));
    expect(harness.rules('a')).toEqual([]);
    harness.apply(entity('10.0.0.1'));
    harness.apply(namespace('y', { team: 'c' }));
    expect(harness.rules('a')).toEqual([]);
    harness.apply(namespace('y', { team: 'b' }));
    expect(harness.rules('a')).toEqual(applied);
    harness.remove(entity('10.0.0.1'));
    expect(harness.rules('a')).toEqual([]);
  });

  it('says nothing more of the object of a built-in tier once it is deleted: no policy ever used it', () => {
    const harness = standard();
    const tier: DesiredObject = { kind: 'Tier', metadata: { name: 'application', labels: {} }, priority: 10, description: '' };
    harness.apply(tier, clusterPolicy({ tier: 'application', appliedTo: [{ podSelector: ALL }] }));
    expect(harness.engine.problems.map(({ path }) => path)).toEqual(['spec.priority']);
    harness.remove(tier);
    expect(harness.engine.problems).toEqual([]);
    expect(harness.engine.held()).toEqual([]);
  });

  it("does not take an AddressSet for a policy's set of that name, nor for another table's own", () => {
    const harness = standard();
    const group: AntreaGroupObject = { kind: 'ClusterGroup', metadata: { name: 'g', labels: {} }, selection: { podSelector: labelled({ app: 'b' }), namespaceSelector: ALL }, ipBlocks: [], childGroups: [] };
    const policy: AntreaPolicyObject = {
      kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'p', labels: {} }, tier: 'application', priority: 5, appliedTo: [{ podSelector: ALL }], egress: [],
      ingress: [{ name: 'r', action: 'Allow', peers: [{ group: 'g' }], ports: [], protocols: [], toServices: [], appliedTo: [], log: false }],
    };
    const table = (name: string, set: string, own: readonly string[]): DesiredObject => ({
      kind: 'RuleTable', metadata: { name, labels: {} }, addressSets: own.length === 0 ? [] : [{ name: set, addresses: own }], layer2Rules: [],
      rules: [{ id: 1, direction: 'in', protocol: 'any', source: { not: false, addressSets: [set], addresses: [] }, sourcePorts: [], destination: { not: false, addressSets: [], addresses: [] }, ports: [], action: 'drop', log: false, stateless: false }],
    });
    harness.apply(group, policy, { kind: 'AddressSet', metadata: { name: 'ClusterGroup:g', labels: {} }, addresses: ['192.0.2.9'] }, table('t', 'ClusterGroup:g', []), table('t/a', 'b', ['192.0.2.7']), table('t', 'ClusterGroup:g', []), table('u', 'a/b', ['192.0.2.8']));
    const world = harness.world.update([]);
    const [tables] = new Compiler().compile(world, (filter) => harness.engine.tables(filter)).sources.values();
    const keys = tables?.flatMap(({ sets }) => [...sets.values()].map(({ key, members }) => `${key}: ${members.length}`)) ?? [];
    expect(new Set(keys)).toEqual(new Set(['/ClusterGroup:g: 1', 't/a b: 1', 'u a/b: 1', '//ClusterGroup:g: 2']));
  });

  it('keeps a group that policies use, and a policy whose newest version cannot be resolved', () => {
    const harness = standard();
    const group: AntreaGroupObject = { kind: 'ClusterGroup', metadata: { name: 'bs', labels: {} }, selection: { podSelector: labelled({ app: 'b' }), namespaceSelector: ALL }, ipBlocks: [], childGroups: [] };
    const policy = (name: string): AntreaPolicyObject => ({
      kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'deny', labels: {} }, tier: 'application', priority: 5, appliedTo: [{ podSelector: labelled({ app: 'a' }) }],
      ingress: [{ name: 'no', action: 'Drop', peers: [{ group: name }], ports: [], protocols: [], toServices: [], appliedTo: [], log: false }], egress: [],
    });
    harness.apply(policy('bs'));
    expect(harness.rules('a')).toEqual([]);
    expect(harness.engine.problems.map(({ message }) => message).join()).toContain('ClusterGroup/bs does not exist');
    harness.apply(group);
    const dropped = ['AntreaClusterNetworkPolicy:deny in any {10.0.0.2 10.0.1.1} > any  drop'];
    expect(harness.rules('a')).toEqual(dropped);
    expect(harness.engine.problems).toEqual([]);
    harness.remove(group);
    expect(harness.rules('a')).toEqual(dropped);
    expect(harness.engine.held()).toHaveLength(1);
    harness.apply(policy('other'));
    expect(harness.rules('a')).toEqual(dropped);
    expect(harness.engine.held().map(({ kind }) => kind).sort()).toEqual(['AntreaClusterNetworkPolicy', 'ClusterGroup']);
    harness.remove(policy('other'));
    expect(harness.rules('a')).toEqual([]);
    expect(harness.engine.held()).toEqual([]);
  });
});
