/** The policy oracle against examples worked out by hand: what Antrea's end-to-end tests and the Kubernetes documentation say. */
import { describe, expect, it } from 'vitest';
import type { DesiredObject } from '../../../src/model/objects.js';
import type { AntreaGroupObject, GroupExpression, GroupObject } from '../../../src/model/policy-objects.js';
import {
  addressOf, adminPolicy, adminRule, all, antreaPolicy, antreaRule, ask, kubernetesRule, labels, namespaceObject, networkPolicy, NODE, pairs, podObject, pods, securityPolicy,
  securityRule, space, verdict, worldOf, type Ask,
} from '../../oracle/policy-examples.js';
import type { PolicyWorld } from '../../oracle/policy-world.js';

const SPACES = ['x', 'y', 'z'];
const tcp = (port: number | string, endPort?: number) => ({ protocol: 6, port, ...(endPort === undefined ? {} : { endPort }) });
const defaultDeny = SPACES.map((name) => networkPolicy(`${name}/default-deny`));
/** Pairs that are not `usual`. */
const unusual = (world: PolicyWorld, usual: string, options: Ask = {}): string[] => {
  return Object.entries(pairs(world, options)).flatMap(([pair, found]) => (found === usual ? [] : [`${pair} ${found}`]));
};
const from = (name: string, ...targets: string[]): string[] => targets.map((target) => `${name} ${target}`);

describe('policy basics (antrea 1-9)', () => {
  it('1: connects everything without policies', () => {
    for (const protocol of [6, 17, 132, 1, 47]) expect(unusual(worldOf(), 'Con', { protocol })).toEqual([]);
  });

  it('2: an Allow goes before the isolation of NetworkPolicies', () => {
    const world = worldOf(...defaultDeny, antreaPolicy('allow', {
      appliedTo: [{ podSelector: pods('a') }], ingress: [antreaRule('Allow', { peers: [{ podSelector: pods('b'), namespaceSelector: space('x') }], ports: [tcp(80)] })],
    }));
    expect(unusual(world, 'Drp')).toEqual(from('x/b', 'x/a', 'y/a', 'z/a').map((pair) => `${pair} Con`));
    expect(unusual(world, 'Drp', { port: 81 })).toEqual([]);
  });

  it('3: the same by a named port, which is the target\'s own', () => {
    const world = worldOf(...defaultDeny, ...podObject('y/a', { ports: [{ name: 'serve-81', protocol: 6, port: 81 }] }), antreaPolicy('allow', {
      appliedTo: [{ podSelector: pods('a') }], ingress: [antreaRule('Allow', { peers: [{ podSelector: pods('b'), namespaceSelector: space('x') }], ports: [tcp('serve-81')] })],
    }));
    expect(unusual(world, 'Drp', { port: 81 })).toEqual(['x/b y/a Con']);
    expect(unusual(world, 'Drp', { port: 81, protocol: 17 })).toEqual([]);
  });

  it('4: the lower priority number first', () => {
    const world = worldOf(...defaultDeny,
      antreaPolicy('p2', { priority: 2, appliedTo: [{ namespaceSelector: space('x') }], ingress: [antreaRule('Allow', { peers: [{ namespaceSelector: space('z') }] })] }),
      antreaPolicy('p1', { priority: 1, appliedTo: [{ namespaceSelector: space('x'), podSelector: pods('a') }], ingress: [antreaRule('Drop', { peers: [{ namespaceSelector: space('z') }] })] }));
    const allowed = ['z/a', 'z/b', 'z/c'].flatMap((source) => from(source, 'x/b', 'x/c'));
    expect(unusual(world, 'Drp')).toEqual(allowed.map((pair) => `${pair} Con`));
  });

  it('5: an Allow alone isolates nobody', () => {
    const world = worldOf(antreaPolicy('allow', { appliedTo: [{ namespaceSelector: space('x') }], ingress: [antreaRule('Allow', { peers: [{ namespaceSelector: space('z') }] })] }));
    for (const protocol of [6, 17, 132]) expect(unusual(world, 'Con', { protocol })).toEqual([]);
  });

  it('6: egress to a Namespace', () => {
    const world = worldOf(antreaPolicy('deny', { appliedTo: [{ podSelector: pods('a') }], egress: [antreaRule('Drop', { peers: [{ namespaceSelector: space('z') }] })] }));
    const expected = ['x/a', 'y/a', 'z/a'].flatMap((source) => from(source, 'z/a', 'z/b', 'z/c')).filter((pair) => pair !== 'z/a z/a');
    for (const protocol of [6, 17, 132]) expect(unusual(world, 'Con', { protocol })).toEqual(expected.map((pair) => `${pair} Drp`));
    expect(ask(world, 'x/a', 'z/b').steps).toEqual([{
      filter: 'x/a', direction: 'out', action: 'drop', by: 'policy', policy: { kind: 'ClusterNetworkPolicy', group: 'crd.antrea.io', name: 'deny', rule: 'Drop' },
    }]);
  });

  it('7: a rule without from is about everybody', () => {
    const world = worldOf(antreaPolicy('deny', { appliedTo: [{ namespaceSelector: space('x') }], ingress: [antreaRule('Drop')] }));
    expect(Object.entries(pairs(world)).every(([pair, found]) => (pair.includes(' x/') ? 'Drp' : 'Con') === found)).toBe(true);
    expect(verdict(world, '203.0.113.7', 'x/a')).toBe('Drp');
  });

  it('8: an excepted address goes on to the next rule', () => {
    const block = (...except: string[]) => antreaPolicy('deny', {
      appliedTo: [{ namespaceSelector: space('y'), podSelector: pods('a') }],
      egress: [antreaRule('Drop', { peers: [{ ipBlock: { cidr: '10.0.0.0/16', except: except.map((name) => `${addressOf(name)}/32`) } }] })],
    });
    const results = (world: PolicyWorld) => ['x/a', 'x/b', 'x/c', 'z/a'].map((target) => verdict(world, 'y/a', target));
    expect(results(worldOf(block('x/a', 'x/b')))).toEqual(['Con', 'Con', 'Drp', 'Drp']);
    expect(results(worldOf(block('x/b')))).toEqual(['Drp', 'Con', 'Drp', 'Drp']);
    expect(verdict(worldOf(block()), 'y/a', 'x/a', { family: 6 })).toBe('Con');
  });

  it('9-12: protocols, port ranges, source ports, Reject', () => {
    const one = (spec: Parameters<typeof antreaRule>[1], action: 'Drop' | 'Reject' = 'Drop') => worldOf(antreaPolicy('deny', { egress: [antreaRule(action, spec)] }));
    expect(verdict(one({ ports: [tcp(80)] }), 'x/a', 'y/a')).toBe('Drp');
    expect(verdict(one({ ports: [tcp(80)] }), 'x/a', 'y/a', { protocol: 17 })).toBe('Con');
    expect([8079, 8080, 8082, 8083].map((port) => verdict(one({ ports: [tcp(8080, 8082)] }), 'x/a', 'y/a', { port }))).toEqual(['Con', 'Drp', 'Drp', 'Con']);
    const source = one({ ports: [{ protocol: 6, port: 80, sourcePort: 32_768, sourceEndPort: 60_999 }] });
    expect([32_767, 32_768, 60_999, 61_000].map((sourcePort) => verdict(source, 'x/a', 'y/a', { sourcePort }))).toEqual(['Con', 'Drp', 'Drp', 'Con']);
    expect(verdict(source, 'x/a', 'y/a', { port: 81 })).toBe('Con');
    expect(verdict(one({}, 'Reject'), 'x/a', 'y/a', { protocol: 17 })).toBe('Rej');
  });
});

describe('priority (antrea 15-22)', () => {
  const target = { namespaceSelector: space('x') };
  const drop = antreaRule('Drop', { peers: [{ namespaceSelector: space('z') }] });
  const allow = antreaRule('Allow', { peers: [{ namespaceSelector: space('z') }] });
  const expected = { 'z/b x/a': 'Drp', 'z/a x/a': 'Con', 'z/c x/a': 'Con', 'z/a x/b': 'Drp', 'z/b x/c': 'Drp', 'y/a x/b': 'Con' };

  it('15, 16: by priority, and by tier before it', () => {
    const three = (by: (place: 0 | 1 | 2) => { tier?: string; priority?: number }): DesiredObject[] => [
      antreaPolicy('p3', { ...by(2), appliedTo: [target], ingress: [drop] }),
      antreaPolicy('p1', { ...by(0), appliedTo: [{ ...target, podSelector: pods('a') }], ingress: [antreaRule('Drop', { peers: [{ namespaceSelector: space('z'), podSelector: pods('b') }] })] }),
      antreaPolicy('p2', { ...by(1), appliedTo: [{ ...target, podSelector: pods('a') }], ingress: [allow] }),
    ];
    expect(pairs(worldOf(...three((place) => ({ priority: 1.001 + place * 0.001 }))))).toMatchObject(expected);
    expect(pairs(worldOf(...three((place) => ({ tier: ['emergency', 'securityops', 'application'][place] ?? '', priority: 10 - place }))))).toMatchObject(expected);
  });

  it('17: custom tiers', () => {
    const tier = (name: string, priority: number): DesiredObject => ({ kind: 'Tier', metadata: { name, labels: {} }, priority, description: '' });
    const policies = [antreaPolicy('high', { tier: 'high', priority: 9, appliedTo: [target], ingress: [drop] }), antreaPolicy('low', { tier: 'low', priority: 1, appliedTo: [target], ingress: [allow] })];
    expect(verdict(worldOf(tier('high', 245), tier('low', 246), ...policies), 'z/a', 'x/a')).toBe('Drp');
    expect(verdict(worldOf(tier('high', 246), tier('low', 245), ...policies), 'z/a', 'x/a')).toBe('Con');
    // Without its tier a policy does not act.
    expect(verdict(worldOf(tier('low', 245), ...policies), 'z/a', 'x/a')).toBe('Con');
  });

  it('18, 19: the first of equals by name, and rules in their order', () => {
    const world = worldOf(antreaPolicy('b', { appliedTo: [target], ingress: [allow] }), antreaPolicy('a', { appliedTo: [target], ingress: [drop] }));
    expect(verdict(world, 'z/a', 'x/a')).toBe('Drp');
    expect(verdict(worldOf(antreaPolicy('p', { appliedTo: [target], ingress: [allow, drop] })), 'z/a', 'x/a')).toBe('Con');
    expect(verdict(worldOf(antreaPolicy('p', { appliedTo: [target], ingress: [drop, allow] })), 'z/a', 'x/a')).toBe('Drp');
  });

  it('20: the baseline tier is behind NetworkPolicies', () => {
    const baseline = antreaPolicy('base', {
      tier: 'baseline', appliedTo: [target],
      ingress: [antreaRule('Drop', { peers: [{ namespaceSelector: { matchLabels: {}, matchExpressions: [{ key: 'ns', operator: 'NotIn', values: ['x'] }] } }] })],
    });
    expect(pairs(worldOf(baseline))).toMatchObject({ 'y/a x/a': 'Drp', 'z/b x/b': 'Drp', 'x/b x/a': 'Con' });
    const isolate = networkPolicy('x/np', { podSelector: pods('a'), ingress: [kubernetesRule({ peers: [{ namespaceSelector: space('y'), podSelector: pods('a') }], ports: [tcp(80)] })] });
    expect(pairs(worldOf(baseline, isolate))).toMatchObject({ 'y/a x/a': 'Con', 'x/b x/a': 'Drp', 'x/c x/a': 'Drp', 'z/a x/a': 'Drp', 'y/a x/b': 'Drp' });
    expect(ask(worldOf(baseline, isolate), 'x/b', 'x/a').steps.at(-1)).toEqual({ filter: 'x/a', direction: 'in', action: 'drop', by: 'isolation' });
  });

  it('21, 22: a namespaced policy, before a NetworkPolicy that allows', () => {
    const annp = antreaPolicy('y/annp', { appliedTo: [{ podSelector: pods('a') }], ingress: [antreaRule('Drop', { peers: [{ namespaceSelector: space('x'), podSelector: pods('b') }] })] });
    const np = networkPolicy('y/np', { podSelector: pods('a'), ingress: [kubernetesRule({ peers: [{ namespaceSelector: all }] })] });
    expect(unusual(worldOf(annp), 'Con')).toEqual(['x/b y/a Drp']);
    expect(unusual(worldOf(annp, np), 'Con')).toEqual(['x/b y/a Drp']);
  });
});

describe('appliedTo and scopes (antrea 23-28)', () => {
  it('23, 24: several targets, and targets of a rule', () => {
    const drop = antreaRule('Drop', { peers: [{ namespaceSelector: space('x'), podSelector: pods('b') }] });
    const two = antreaPolicy('y/annp', { appliedTo: [{ podSelector: pods('a') }, { podSelector: pods('nobody') }], ingress: [drop] });
    expect(unusual(worldOf(two), 'Con')).toEqual(['x/b y/a Drp']);
    const perRule = antreaPolicy('acnp', { appliedTo: [], ingress: [
      { ...drop, name: 'one', appliedTo: [{ namespaceSelector: space('y'), podSelector: pods('a') }] }, { ...drop, name: 'two', appliedTo: [{ namespaceSelector: space('z'), podSelector: pods('b') }] },
    ] });
    expect(unusual(worldOf(perRule), 'Con')).toEqual(['x/b y/a Drp', 'x/b z/b Drp']);
  });

  const sameSpace = (pair: string): boolean => pair[0] === pair[4];

  it('25, 26: Self, and Pass on to NetworkPolicies', () => {
    const self = antreaPolicy('self', { appliedTo: [{ namespaceSelector: all }], ingress: [antreaRule('Allow', { peers: [{ namespaces: { match: 'Self' } }] }), antreaRule('Drop')] });
    expect(Object.entries(pairs(worldOf(self))).every(([pair, found]) => (sameSpace(pair) ? 'Con' : 'Drp') === found)).toBe(true);
    const strict = { ...self, ingress: [antreaRule('Pass', { peers: [{ namespaces: { match: 'Self' } }] }), antreaRule('Drop')] };
    const world = worldOf(strict, networkPolicy('x/deny'));
    expect(Object.entries(pairs(world)).every(([pair, found]) => (sameSpace(pair) && !pair.startsWith('x') ? 'Con' : 'Drp') === found)).toBe(true);
  });

  it('27, 28: sameLabels: all of them equal, and none without', () => {
    const spaces = [namespaceObject('x', { tier: 'prod', team: '1' }), namespaceObject('y', { tier: 'prod', team: '2' }), namespaceObject('z', { team: '1' })];
    const policy = (sameLabels: string[]) => antreaPolicy('same', { appliedTo: [{ namespaceSelector: all }], ingress: [antreaRule('Allow', { peers: [{ namespaces: { sameLabels } }] }), antreaRule('Drop')] });
    const byTier = worldOf(...spaces, policy(['tier']));
    expect(pairs(byTier)).toMatchObject({ 'x/a y/a': 'Con', 'x/a x/b': 'Con', 'x/a z/a': 'Drp', 'z/a x/a': 'Drp', 'z/a z/b': 'Drp' });
    expect(pairs(worldOf(...spaces, policy(['tier', 'team'])))).toMatchObject({ 'x/a y/a': 'Drp', 'x/a x/b': 'Con', 'z/a x/a': 'Drp' });
    expect(pairs(worldOf(...spaces, policy(['team'])))).toMatchObject({ 'x/a z/a': 'Con', 'x/a y/a': 'Drp' });
  });
});

describe('groups and peers (antrea 29-36, 41-45)', () => {
  const group = (name: string, spec: Partial<AntreaGroupObject>): AntreaGroupObject => ({ kind: 'ClusterGroup', metadata: { name, labels: {} }, ipBlocks: [], childGroups: [], ...spec });
  const dropFrom = (name: string) => antreaPolicy('deny', { appliedTo: [{ podSelector: pods('a'), namespaceSelector: space('x') }], ingress: [antreaRule('Drop', { peers: [{ group: name }] })] });
  const dropTo = (name: string) => antreaPolicy('deny', { appliedTo: [{ group: name }], ingress: [antreaRule('Drop')] });
  const selection = { podSelector: pods('b'), namespaceSelector: space('y') };
  const block = { cidr: `${addressOf('y/b')}/32`, except: [] };

  it('29, 32-34: selectors, blocks, Services and children, as peer and as target', () => {
    const service: DesiredObject = { kind: 'Service', metadata: { name: 'svc', namespace: 'y', labels: {} }, clusterIps: ['10.96.0.1'], externalIps: [], ingressIps: [], type: 'ClusterIP', ports: [], selector: pods('b') };
    const reference = { namespace: 'y', name: 'svc' };
    for (const objects of [
      [group('g', { selection })], [group('g', { service: reference }), service], [group('g', { childGroups: ['one', 'two'] }), group('one', { selection }), group('two', { ipBlocks: [] })],
    ]) {
      expect(unusual(worldOf(...objects, dropFrom('g')), 'Con')).toEqual(['y/b x/a Drp']);
      expect(unusual(worldOf(...objects, dropTo('g')), 'Con').every((line) => line.endsWith(' y/b Drp'))).toBe(true);
      expect(verdict(worldOf(...objects, dropTo('g')), 'x/a', 'y/b')).toBe('Drp');
    }
    expect(unusual(worldOf(group('g', { ipBlocks: [block] }), dropFrom('g')), 'Con')).toEqual(['y/b x/a Drp']);
    // A target is a workload: blocks choose none.
    expect(unusual(worldOf(group('g', { ipBlocks: [block] }), dropTo('g')), 'Con')).toEqual([]);
    expect(unusual(worldOf(group('g', { service: reference }), dropFrom('g')), 'Con')).toEqual([]);
    // Held without its group.
    expect(unusual(worldOf(dropFrom('g')), 'Con')).toEqual([]);
    expect(unusual(worldOf(group('g', { selection, childGroups: ['gone'] }), dropFrom('g')), 'Con')).toEqual([]);
  });

  it('35, 43: nodes', () => {
    const world = worldOf({ ...NODE, metadata: { name: 'node-1', labels: { role: 'cp' } } }, antreaPolicy('deny', {
      appliedTo: [{ podSelector: pods('a') }], egress: [antreaRule('Drop', { peers: [{ nodeSelector: labels({ role: 'cp' }) }], ports: [tcp(6443)] })],
    }));
    expect([verdict(world, 'x/a', '192.0.2.1', { port: 6443 }), verdict(world, 'x/b', '192.0.2.1', { port: 6443 }), verdict(world, 'x/a', '192.0.2.1')]).toEqual(['Drp', 'Con', 'Con']);
  });

  it('41: toServices is about the cluster address', () => {
    const world = worldOf({
      kind: 'Service', metadata: { name: 'svc', namespace: 'y', labels: {} }, clusterIps: ['10.96.0.1'], externalIps: [], ingressIps: [], type: 'ClusterIP', ports: [{ protocol: 6, port: 80 }], selector: all,
    }, antreaPolicy('deny', { egress: [antreaRule('Drop', { toServices: [{ namespace: 'y', name: 'svc' }] })] }));
    expect([verdict(world, 'x/a', '10.96.0.1'), verdict(world, 'x/a', '10.96.0.1', { port: 81 }), verdict(world, 'x/a', 'y/a')]).toEqual(['Drp', 'Con', 'Con']);
  });

  it('42: service accounts', () => {
    const account = { namespace: 'x', name: 'builder' };
    const builder = podObject('x/b', { serviceAccount: 'builder' });
    expect(unusual(worldOf(...builder, antreaPolicy('deny', { appliedTo: [{ podSelector: pods('a') }], ingress: [antreaRule('Drop', { peers: [{ serviceAccount: account }] })] })), 'Con'))
      .toEqual(['x/b x/a Drp', 'x/b y/a Drp', 'x/b z/a Drp']);
    expect(unusual(worldOf(...builder, antreaPolicy('deny', { appliedTo: [{ serviceAccount: account }], ingress: [antreaRule('Drop', { peers: [{ podSelector: pods('a') }] })] })), 'Con'))
      .toEqual(['x/a x/b Drp', 'y/a x/b Drp', 'z/a x/b Drp']);
  });

  it('45: ICMP by type and code, in both families', () => {
    const world = worldOf(antreaPolicy('icmp', { egress: [
      antreaRule('Reject', { name: 'echo', peers: [{ podSelector: pods('a') }], protocols: [{ icmp: { type: 8, code: 0 } }] }),
      antreaRule('Drop', { name: 'all', peers: [{ podSelector: pods('b') }], protocols: [{ icmp: {} }] }),
    ] }));
    expect([verdict(world, 'x/c', 'y/a', { protocol: 1 }), verdict(world, 'x/c', 'y/a', { protocol: 1, icmpType: 13 }), verdict(world, 'x/c', 'y/b', { protocol: 1 }), verdict(world, 'x/c', 'y/b')]).toEqual(['Rej', 'Con', 'Drp', 'Con']);
    expect([verdict(world, 'x/c', 'y/b', { protocol: 58, family: 6, icmpType: 128 }), verdict(world, 'x/c', 'y/a', { protocol: 58, family: 6, icmpType: 128 })]).toEqual(['Drp', 'Con']);
  });
});

describe('NetworkPolicy (antrea 61-63, Kubernetes)', () => {
  it('61: a name is each target\'s own number on ingress, each peer\'s on egress', () => {
    const servers = [...podObject('y/a', { ports: [{ name: 'web', protocol: 6, port: 80 }] }), ...podObject('y/b', { ports: [{ name: 'web', protocol: 6, port: 81 }] })];
    const ingress = worldOf(...servers, networkPolicy('y/np', { ingress: [kubernetesRule({ ports: [tcp('web')] })] }));
    const egress = worldOf(...servers, networkPolicy('x/np', { policyTypes: ['Egress'], egress: [kubernetesRule({ peers: [{ namespaceSelector: space('y') }], ports: [tcp('web')] })] }));
    const anyPeer = worldOf(...servers, networkPolicy('x/np', { policyTypes: ['Egress'], egress: [kubernetesRule({ ports: [tcp('web')] })] }));
    for (const world of [ingress, egress, anyPeer]) {
      expect([verdict(world, 'x/a', 'y/a'), verdict(world, 'x/a', 'y/a', { port: 81 }), verdict(world, 'x/a', 'y/b'), verdict(world, 'x/a', 'y/b', { port: 81 }), verdict(world, 'x/a', 'y/c')])
        .toEqual(['Con', 'Drp', 'Drp', 'Con', 'Drp']);
    }
    const block = worldOf(...servers, networkPolicy('x/np', { policyTypes: ['Egress'], egress: [kubernetesRule({ peers: [{ ipBlock: { cidr: '10.0.0.0/8', except: [] } }], ports: [tcp('web')] })] }));
    expect(verdict(block, 'x/a', 'y/a')).toBe('Drp');
  });

  it('62: a pod cannot shut its own node out, and anybody else it can', () => {
    const world = worldOf(networkPolicy('x/deny', { policyTypes: ['Ingress', 'Egress'] }));
    expect([verdict(world, '192.0.2.1', 'x/a'), verdict(world, 'x/a', '192.0.2.1'), verdict(world, '192.0.2.2', 'x/a'), verdict(world, '203.0.113.1', 'x/a')]).toEqual(['Con', 'Con', 'Drp', 'Drp']);
    const dropping = worldOf(networkPolicy('x/deny'), antreaPolicy('deny', { ingress: [antreaRule('Drop', { peers: [{ ipBlock: { cidr: '192.0.2.0/24', except: [] } }] })] }));
    expect(verdict(dropping, '192.0.2.1', 'x/a')).toBe('Drp');
  });

  it('63: a protocol without a port, a range of ports', () => {
    const world = worldOf(networkPolicy('x/np', { ingress: [kubernetesRule({ ports: [{ protocol: 17 }, tcp(8080, 8082)] })] }));
    expect([verdict(world, 'y/a', 'x/a', { protocol: 17, port: 5 }), verdict(world, 'y/a', 'x/a', { protocol: 1 }), ...[8079, 8080, 8082, 8083].map((port) => verdict(world, 'y/a', 'x/a', { port }))])
      .toEqual(['Con', 'Drp', 'Drp', 'Con', 'Con', 'Drp']);
  });

  it('adds up what policies allow; an absent selector is not an empty one', () => {
    const world = worldOf(
      networkPolicy('x/one', { ingress: [kubernetesRule({ peers: [{ podSelector: pods('b') }] })] }),
      networkPolicy('x/two', { podSelector: pods('a'), ingress: [kubernetesRule({ peers: [{ namespaceSelector: space('y') }, { namespaceSelector: space('z'), podSelector: pods('c') }] })] }));
    expect(['x/b', 'y/a', 'y/b', 'z/b', 'z/c'].map((source) => verdict(world, source, 'x/a'))).toEqual(['Con', 'Con', 'Con', 'Drp', 'Con']);
    expect(['x/b', 'y/b', 'z/c'].map((source) => verdict(world, source, 'x/c'))).toEqual(['Con', 'Drp', 'Drp']);
  });

  it('isolates only in the directions that it names', () => {
    const world = worldOf(networkPolicy('x/np', { policyTypes: ['Egress'], ingress: [kubernetesRule()] }));
    expect([verdict(world, 'y/a', 'x/a'), verdict(world, 'x/a', 'y/a')]).toEqual(['Con', 'Drp']);
  });

  it('selects neither pods of the host network nor their addresses', () => {
    const world = worldOf(...podObject('x/b', { hostNetwork: true }), networkPolicy('x/np', { ingress: [kubernetesRule({ peers: [{ podSelector: pods('b') }] })] }));
    expect([verdict(world, 'x/b', 'x/a'), verdict(world, 'x/a', 'x/b')]).toEqual(['Drp', 'Con']);
  });
});

describe('policy.networking.k8s.io', () => {
  it('goes AdminNetworkPolicy, NetworkPolicy, BaselineAdminNetworkPolicy; Pass skips to the second', () => {
    const baseline = adminPolicy('BaselineAdminNetworkPolicy', 'default', { ingress: [adminRule('Drop')] });
    const allow = networkPolicy('x/np', { podSelector: pods('a'), ingress: [kubernetesRule({ peers: [{ namespaceSelector: space('y') }] })] });
    const world = worldOf(baseline, allow);
    expect(['y/a', 'z/a'].map((source) => verdict(world, source, 'x/a'))).toEqual(['Con', 'Drp']);
    expect(verdict(world, 'y/a', 'x/b')).toBe('Drp');
    const admin = (action: 'Allow' | 'Drop' | 'Pass', priority: number) => adminPolicy('AdminNetworkPolicy', `p${priority}`, { priority, ingress: [adminRule(action)] });
    expect(verdict(worldOf(baseline, allow, admin('Allow', 5)), 'z/a', 'x/a')).toBe('Con');
    expect(verdict(worldOf(baseline, allow, admin('Allow', 5), admin('Pass', 4)), 'z/a', 'x/a')).toBe('Drp');
    expect(verdict(worldOf(baseline, allow, admin('Drop', 5), admin('Pass', 4)), 'y/a', 'x/a')).toBe('Con');
  });

  it('places ClusterNetworkPolicy among the tiers', () => {
    const cnp = adminPolicy('ClusterNetworkPolicy', 'cnp', { tier: 'Admin', priority: 1000, ingress: [adminRule('Drop')] });
    expect(verdict(worldOf(cnp, antreaPolicy('p', { tier: 'platform', ingress: [antreaRule('Allow')] })), 'y/a', 'x/a')).toBe('Con');
    expect(verdict(worldOf(cnp, antreaPolicy('p', { tier: 'application', ingress: [antreaRule('Allow')] })), 'y/a', 'x/a')).toBe('Drp');
    const baseline = { ...cnp, tier: 'Baseline' as const, ingress: [adminRule('Pass'), adminRule('Drop')] };
    expect(ask(worldOf(baseline), 'y/a', 'x/a').steps.at(-1)?.by).toBe('default');
  });

  it('takes a named port without a protocol as the pod has it', () => {
    const target = podObject('x/a', { ports: [{ name: 'dns', protocol: 17, port: 53 }, { name: 'web', protocol: 6, port: 53 }] });
    const world = worldOf(...target, adminPolicy('AdminNetworkPolicy', 'p', { ingress: [adminRule('Drop', { ports: [{ namedPort: 'dns' }] })] }));
    expect([verdict(world, 'y/a', 'x/a', { port: 53, protocol: 17 }), verdict(world, 'y/a', 'x/a', { port: 53 })]).toEqual(['Drp', 'Con']);
  });

  it('names networks and nodes on egress', () => {
    const world = worldOf(adminPolicy('ClusterNetworkPolicy', 'p', { egress: [adminRule('Drop', { peers: [{ networks: ['203.0.113.0/24'] }, { nodes: all }] })] }));
    expect([verdict(world, 'x/a', '203.0.113.9'), verdict(world, 'x/a', '192.0.2.1'), verdict(world, 'x/a', 'y/a')]).toEqual(['Drp', 'Drp', 'Con']);
  });
});

describe('SecurityPolicy', () => {
  const groupOf = (name: string, criteria: readonly (readonly GroupExpression[])[], more: Partial<GroupObject> = {}): GroupObject => {
    return { kind: 'Group', metadata: { name, labels: {} }, criteria, addresses: [], workloads: [], groups: [], ...more };
  };
  const podTag = (text: string): GroupExpression => ({ object: 'Pod', key: 'Tag', operator: 'Equals', values: [text] });

  it('looks at source and destination at both sides', () => {
    const objects = [groupOf('b', [[podTag('pod=b')]]), groupOf('a', [[podTag('pod=a')]])];
    const policy = securityPolicy('p', [securityRule('Drop', { sources: [{ group: 'b' }], destinations: [{ group: 'a' }] })]);
    const expected = ['x/b', 'y/b', 'z/b'].flatMap((source) => from(source, 'x/a', 'y/a', 'z/a')).map((pair) => `${pair} Drp`);
    expect(unusual(worldOf(...objects, policy), 'Con')).toEqual(expected);
    expect(ask(worldOf(...objects, policy), 'x/b', 'y/a').steps.map((step) => step.direction)).toEqual(['out']);
    const applied = { ...policy, appliedTo: [{ group: 'a' }] };
    expect(unusual(worldOf(...objects, applied), 'Con')).toEqual(expected);
    expect(ask(worldOf(...objects, applied), 'x/b', 'y/a').steps.map((step) => step.direction)).toEqual(['out', 'in']);
    expect(unusual(worldOf(...objects, { ...policy, rules: [securityRule('Drop', { direction: 'Out', destinations: [{ group: 'a' }] })], appliedTo: [{ group: 'b' }] }), 'Con')).toEqual(expected);
  });

  it('excludes, narrows, and can be switched off', () => {
    const a = groupOf('a', [[podTag('pod=a')]]);
    const rule = securityRule('Reject', { sources: [{ group: 'a' }], sourcesExcluded: true, destinations: [{ addresses: [addressOf('x/a')] }] });
    expect(unusual(worldOf(a, securityPolicy('p', [rule])), 'Con')).toEqual(['x/b x/a Rej', 'x/c x/a Rej', 'y/b x/a Rej', 'y/c x/a Rej', 'z/b x/a Rej', 'z/c x/a Rej']);
    expect(unusual(worldOf(a, securityPolicy('p', [{ ...rule, disabled: true }])), 'Con')).toEqual([]);
    expect(unusual(worldOf(a, securityPolicy('p', [rule], { disabled: true })), 'Con')).toEqual([]);
    const narrowed = securityPolicy('p', [securityRule('Drop', { direction: 'In', appliedTo: [{ workload: { kind: 'Pod', namespace: 'x', name: 'a' } }] })], { appliedTo: [{ group: 'a' }] });
    expect(unusual(worldOf(a, narrowed), 'Con').every((line) => line.endsWith(' x/a Drp'))).toBe(true);
    expect(unusual(worldOf(narrowed), 'Con')).toEqual([]);
  });

  it('stands by category among the tiers', () => {
    const drop = (category: 'Emergency' | 'Infrastructure' | 'Environment' | 'Application') => securityPolicy('p', [securityRule('Drop')], { category, sequence: 999 });
    const allow = (tier: string) => antreaPolicy('p', { tier, ingress: [antreaRule('Allow')], egress: [antreaRule('Allow')] });
    const order = [[drop('Emergency'), allow('emergency')], [drop('Infrastructure'), allow('emergency')], [drop('Environment'), allow('securityops')], [drop('Application'), allow('platform')], [drop('Application'), allow('application')]];
    expect(order.map((objects) => verdict(worldOf(...objects), 'x/a', 'y/a'))).toEqual(['Drp', 'Con', 'Drp', 'Con', 'Drp']);
  });

  it('ANDs the expressions of a criterion on one thing and where it is, and ORs criteria', () => {
    const expression = (object: GroupExpression['object'], operator: GroupExpression['operator'], ...values: string[]): GroupExpression => ({ object, key: 'Name', operator, values });
    const member = (criteria: readonly (readonly GroupExpression[])[], address: string): string => {
      return verdict(worldOf(groupOf('g', criteria), securityPolicy('p', [securityRule('Drop', { destinations: [{ group: 'g' }] })])), 'x/c', address);
    };
    const nodes = [expression('KubernetesCluster', 'Equals', 'default'), expression('KubernetesNode', 'StartsWith', '')];
    expect([member([nodes], '192.0.2.1'), member([nodes], 'y/a'), member([[expression('KubernetesCluster', 'Equals', 'other'), expression('KubernetesNode', 'StartsWith', '')]], '192.0.2.1')]).toEqual(['Drp', 'Con', 'Con']);
    const inY = [expression('KubernetesNamespace', 'Equals', 'y'), expression('Pod', 'In', 'a', 'b')];
    expect(['y/a', 'y/b', 'y/c', 'z/a'].map((target) => member([inY], target))).toEqual(['Drp', 'Drp', 'Con', 'Con']);
    expect(['y/c', 'z/a'].map((target) => member([inY, [expression('Pod', 'Equals', 'c')]], target))).toEqual(['Drp', 'Con']);
  });
});

it('lets rule tables decide before every policy', () => {
  const any = { not: false, addressSets: [], addresses: [] };
  const table: DesiredObject = {
    kind: 'RuleTable', metadata: { name: 't', labels: {} }, addressSets: [], layer2Rules: [], appliedTo: { workloads: [{ kind: 'Pod', namespace: 'x', name: 'a' }] },
    rules: [{ id: 7, direction: 'in', protocol: 6, source: any, sourcePorts: [], destination: any, ports: [{ first: 80, last: 80 }], action: 'accept', log: false, stateless: false }],
  };
  const world = worldOf(table, networkPolicy('x/deny'));
  expect([verdict(world, 'y/a', 'x/a'), verdict(world, 'y/a', 'x/a', { port: 81 }), verdict(world, 'y/a', 'x/b')]).toEqual(['Con', 'Drp', 'Drp']);
  expect(ask(world, 'y/a', 'x/a').steps.at(-1)).toMatchObject({ by: 'table', table: { name: 't', id: 7 } });
});
