import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../../src/model/rule.js';
import { accept, decode, refuse } from '../../../support/decode.js';

const TARGET = { podSelector: {} };
const acnp = (spec: object, metadata: object = {}): unknown => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'ClusterNetworkPolicy', metadata: { name: 'p', ...metadata }, spec: { priority: 5, appliedTo: [TARGET], ...spec },
});
const annp = (spec: object): unknown => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { priority: 5, appliedTo: [TARGET], ...spec },
});
const ingress = (rule: object): object => ({ ingress: [{ action: 'Allow', ...rule }] });
const egress = (rule: object): object => ({ egress: [{ action: 'Allow', ...rule }] });
const EVERYTHING = { matchLabels: {}, matchExpressions: [] };

describe('Tier', () => {
  const tier = (name: string, priority: unknown, apiVersion = 'crd.antrea.io/v1beta1'): unknown => ({ apiVersion, kind: 'Tier', metadata: { name }, spec: { priority } });

  it('is read from every version of the API', () => {
    for (const version of ['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha1', 'security.antrea.tanzu.vmware.com/v1alpha1']) {
      expect(accept('Tier', tier('mytier', 10, version))).toEqual({ kind: 'Tier', metadata: { name: 'mytier', labels: {} }, priority: 10, description: '' });
    }
    expect(accept('Tier', tier('baseline', 253)).priority).toBe(253);
    expect(accept('Tier', tier('application', 250)).priority).toBe(250);
  });

  it.each<[string, unknown, string]>([
    ['mytier', 250, 'the priority of the built-in tier "application"'], ['mytier', 50, 'the built-in tier "emergency"'], ['mytier', 251, 'must be from 0 to 249'], ['mytier', -1, 'must be from 0 to 249'], ['emergency', 10, 'tier emergency has priority 50, always'],
    ['mytier', 1.5, 'must be a whole number'], ['mytier', '5', 'must be a whole number'],
  ])('refuses %s at %j', (name, priority, message) => {
    const problem = refuse(tier(name, priority));
    expect(problem.path).toBe('spec.priority');
    expect(problem.message).toContain(message);
  });

  it('has no namespace', () => {
    expect(refuse({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'Tier', metadata: { name: 't', namespace: 'x' }, spec: { priority: 5 } }).path).toBe('metadata.namespace');
  });
});

describe('an Antrea policy', () => {
  it('is one of the cluster or of a namespace, in every version of the API', () => {
    for (const apiVersion of ['crd.antrea.io/v1beta1', 'crd.antrea.io/v1alpha1', 'security.antrea.tanzu.vmware.com/v1alpha1']) {
      const spec = { priority: 1, appliedTo: [TARGET] };
      expect(accept('AntreaClusterNetworkPolicy', { apiVersion, kind: 'ClusterNetworkPolicy', metadata: { name: 'p' }, spec })).toEqual({
        kind: 'AntreaClusterNetworkPolicy', metadata: { name: 'p', labels: {} }, tier: 'application', priority: 1, appliedTo: [{ podSelector: EVERYTHING }], ingress: [], egress: [],
      });
      expect(accept('AntreaNetworkPolicy', { apiVersion, kind: 'NetworkPolicy', metadata: { name: 'p' }, spec })).toMatchObject({
        kind: 'AntreaNetworkPolicy', metadata: { name: 'p', namespace: 'default' },
      });
    }
  });

  it('has its tier in lower case and a priority with a fraction', () => {
    expect(accept('AntreaClusterNetworkPolicy', acnp({ tier: 'SecurityOps', priority: 1.001 }))).toMatchObject({ tier: 'securityops', priority: 1.001 });
    expect(accept('AntreaClusterNetworkPolicy', acnp({ tier: '' })).tier).toBe('application');
    expect(accept('AntreaClusterNetworkPolicy', acnp({ priority: 10_000 })).priority).toBe(10_000);
  });

  it('reads rules', () => {
    const object = accept('AntreaClusterNetworkPolicy', acnp({
      ingress: [{
        action: 'Reject', name: 'a', enableLogging: true, logLabel: 'label-1',
        from: [
          { podSelector: {}, namespaceSelector: { matchLabels: { a: 'b' } } }, { ipBlock: { cidr: '10.0.0.1/8', except: ['10.1.0.0/16'] } }, { group: 'cg-1' },
          { serviceAccount: { name: 'sa', namespace: 'ns' } }, { nodeSelector: {} }, { namespaces: { match: 'Self' } }, { namespaces: { sameLabels: ['tier', 'example.com/team'] }, podSelector: {} },
          { externalEntitySelector: {}, namespaceSelector: {} }, { podSelector: {}, scope: 'Cluster' },
        ],
        ports: [{ port: 80, endPort: 90 }, { protocol: 'UDP', sourcePort: 1000, sourceEndPort: 2000 }, { port: 'http' }],
        protocols: [{ icmp: {} }, { icmp: { icmpType: 8 } }, { icmp: { icmpType: 3, icmpCode: 0 } }],
      }, { action: 'Drop', name: 'igmp', protocols: [{ igmp: { igmpType: 0x11, groupAddress: '224.0.0.1' } }] }],
      egress: [
        { action: 'Pass', name: 'b', to: [{ fqdn: '*.Example.com.' }, { fqdn: 'stackoverflow.com' }] },
        { action: 'Allow', name: 'c', toServices: [{ name: 'svc', namespace: 'ns' }] },
        { action: 'Allow', name: 'd', protocols: [{ igmp: { igmpType: 0x16 } }, { igmp: {} }] },
        { action: 'Drop', name: 'e', to: [{ ipBlock: { cidr: '225.1.2.3/32' } }, { ipBlock: { cidr: 'ff02::/16' } }] },
      ],
    }));
    expect(object.ingress[0]).toEqual({
      name: 'a', action: 'Reject', log: true, logLabel: 'label-1', toServices: [], appliedTo: [],
      peers: [
        { podSelector: EVERYTHING, namespaceSelector: { matchLabels: { a: 'b' }, matchExpressions: [] } }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }, { group: 'cg-1' },
        { serviceAccount: { name: 'sa', namespace: 'ns' } }, { nodeSelector: EVERYTHING }, { namespaces: { match: 'Self' } },
        { namespaces: { sameLabels: ['tier', 'example.com/team'] }, podSelector: EVERYTHING }, { externalEntitySelector: EVERYTHING, namespaceSelector: EVERYTHING }, { podSelector: EVERYTHING },
      ],
      ports: [{ protocol: 6, port: 80, endPort: 90 }, { protocol: 17, sourcePort: 1000, sourceEndPort: 2000 }, { protocol: 6, port: 'http' }],
      protocols: [{ icmp: {} }, { icmp: { type: 8 } }, { icmp: { type: 3, code: 0 } }],
    });
    expect(object.ingress[1]?.protocols).toEqual([{ igmp: { type: 0x11, groupAddress: '224.0.0.1' } }]);
    expect(object.egress).toMatchObject([
      { action: 'Pass', peers: [{ fqdn: '*.example.com' }, { fqdn: 'stackoverflow.com' }] }, { toServices: [{ name: 'svc', namespace: 'ns' }], peers: [] },
      { protocols: [{ igmp: { type: 0x16 } }, { igmp: {} }] }, { peers: [{ ipBlock: { cidr: '225.1.2.3' } }, { ipBlock: { cidr: 'ff02::/16' } }] },
    ]);
  });

  it('reads targets', () => {
    const targets = [
      { podSelector: {}, namespaceSelector: {} }, { group: 'g' }, { serviceAccount: { name: 's', namespace: 'n' } }, { nodeSelector: {} }, { externalEntitySelector: {}, namespaceSelector: {} },
    ];
    expect(accept('AntreaClusterNetworkPolicy', acnp({ appliedTo: targets })).appliedTo).toEqual([
      { podSelector: EVERYTHING, namespaceSelector: EVERYTHING }, { group: 'g' }, { serviceAccount: { name: 's', namespace: 'n' } }, { nodeSelector: EVERYTHING },
      { externalEntitySelector: EVERYTHING, namespaceSelector: EVERYTHING },
    ]);
    expect(accept('AntreaNetworkPolicy', annp({ appliedTo: null, ingress: [{ action: 'Drop', appliedTo: [TARGET, { group: 'g' }] }] })))
      .toMatchObject({ appliedTo: [], ingress: [{ appliedTo: [{ podSelector: EVERYTHING }, { group: 'g' }] }] });
    expect(accept('AntreaNetworkPolicy', annp(egress({ toServices: [{ name: 'svc' }] }))).egress[0]?.toServices).toEqual([{ namespace: 'x', name: 'svc' }]);
  });

  it('names rules as Antrea does', () => {
    const rule = (label: string): object => ({ action: 'Allow', from: [{ podSelector: { matchLabels: { [label]: label.replace('foo', 'bar') } } }] });
    const object = accept('AntreaClusterNetworkPolicy', acnp({
      ingress: [rule('foo1'), rule('foo2')], egress: [{ enableLogging: false, to: [{ podSelector: { matchLabels: { foo2: 'bar2' } } }], action: 'Allow', ports: [], name: '' }],
    }));
    // The values of TestMutateAntreaClusterNetworkPolicy in Antrea's own tests.
    expect([...object.ingress, ...object.egress].map(({ name }) => name)).toEqual(['ingress-allow-c4f16d3', 'ingress-allow-be87b58', 'egress-allow-44b2575']);
    const twice = accept('AntreaClusterNetworkPolicy', acnp({ ingress: [rule('foo1'), { ...rule('foo2'), name: 'ingress-allow-c4f16d3-2' }, rule('foo1')] }));
    expect(twice.ingress.map(({ name }) => name)).toEqual(['ingress-allow-c4f16d3', 'ingress-allow-c4f16d3-2', 'ingress-allow-c4f16d3-3']);
  });

  it.each<[object, string, string]>([
    [{ priority: 0 }, 'spec.priority', 'must be at least 1'],
    [{ priority: 10_000.5 }, 'spec.priority', 'must be at most 10000'],
    [{ priority: undefined }, 'spec', 'the field priority is missing'],
    [{ tier: 'my tier' }, 'spec.tier', 'the tier "my tier"'],
    [{ teir: 'x' }, 'spec.teir', 'did you mean tier?'],
    [{ appliedTo: [] }, 'spec.appliedTo', 'give appliedTo to the policy, or to every rule'],
    [{ appliedTo: [], ...ingress({}) }, 'spec.appliedTo', 'give appliedTo to the policy, or to every rule'],
    [{ appliedTo: [], ingress: [{ action: 'Drop', appliedTo: [TARGET] }], egress: [{ action: 'Drop' }] }, 'spec.egress[0].appliedTo', 'is missing'],
    [ingress({ appliedTo: [TARGET] }), 'spec.ingress[0].appliedTo', 'not both'],
    [{ appliedTo: [{}] }, 'spec.appliedTo[0]', 'is empty'],
    [{ appliedTo: [{ service: { name: 'a', namespace: 'b' } }] }, 'spec.appliedTo[0].service', 'NodePort'],
    [{ appliedTo: [{ service: { name: 'a', namespace: 'b' }, podSelector: {} }] }, 'spec.appliedTo[0].service', 'cannot be combined with podSelector'],
    [{ appliedTo: [{ group: 'g', podSelector: {} }] }, 'spec.appliedTo[0].group', 'cannot be combined with podSelector'],
    [{ appliedTo: [{ serviceAccount: { name: 'a', namespace: 'b' }, namespaceSelector: {} }] }, 'spec.appliedTo[0].serviceAccount', 'cannot be combined with namespaceSelector'],
    [{ appliedTo: [{ nodeSelector: {}, podSelector: {} }] }, 'spec.appliedTo[0].nodeSelector', 'cannot be combined'],
    [{ appliedTo: [{ externalEntitySelector: {}, podSelector: {} }] }, 'spec.appliedTo[0].externalEntitySelector', 'cannot be combined'],
    [{ appliedTo: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }, 'spec.appliedTo[0].ipBlock', 'unknown field'],
    [{ appliedTo: [{ serviceAccount: { name: 'a' } }] }, 'spec.appliedTo[0].serviceAccount', 'the field namespace is missing'],
    [{ appliedTo: [{ group: 'g!' }] }, 'spec.appliedTo[0].group', 'the group name "g!"'],
    [{ ingress: [{}] }, 'spec.ingress[0]', 'the field action is missing'],
    [ingress({ action: 'Deny' }), 'spec.ingress[0].action', 'must be one of Allow, Drop, Reject, Pass'],
    [ingress({ to: [{ podSelector: {} }] }), 'spec.ingress[0].to', 'an ingress rule has from, not to'],
    [egress({ from: [{ podSelector: {} }] }), 'spec.egress[0].from', 'an egress rule has to, not from'],
    [ingress({ from: [{}] }), 'spec.ingress[0].from[0]', 'is empty'],
    [ingress({ from: [{ group: 'g', ipBlock: { cidr: '10.0.0.0/8' } }] }), 'spec.ingress[0].from[0].ipBlock', 'cannot be combined with group'],
    [ingress({ from: [{ nodeSelector: {}, podSelector: {} }] }), 'spec.ingress[0].from[0].nodeSelector', 'cannot be combined with podSelector'],
    [ingress({ from: [{ serviceAccount: { name: 'a', namespace: 'b' }, podSelector: {} }] }), 'spec.ingress[0].from[0].serviceAccount', 'cannot be combined with podSelector'],
    [ingress({ from: [{ namespaces: { match: 'Self' }, namespaceSelector: {} }] }), 'spec.ingress[0].from[0].namespaces', 'cannot be combined with namespaceSelector'],
    [ingress({ from: [{ namespaces: { match: 'Self' }, ipBlock: { cidr: '10.0.0.0/8' } }] }), 'spec.ingress[0].from[0].ipBlock', 'cannot be combined with namespaces'],
    [ingress({ from: [{ namespaces: {} }] }), 'spec.ingress[0].from[0].namespaces', 'give one of match, sameLabels'],
    [ingress({ from: [{ namespaces: { match: 'Self', sameLabels: ['a'] } }] }), 'spec.ingress[0].from[0].namespaces', 'give only one of match, sameLabels'],
    [ingress({ from: [{ namespaces: { match: 'Other' } }] }), 'spec.ingress[0].from[0].namespaces.match', 'must be one of Self'],
    [ingress({ from: [{ namespaces: { sameLabels: [] } }] }), 'spec.ingress[0].from[0].namespaces.sameLabels', 'is empty'],
    [ingress({ from: [{ namespaces: { sameLabels: ['ok', 'a b'] } }] }), 'spec.ingress[0].from[0].namespaces.sameLabels[1]', 'the label key "a b"'],
    [ingress({ from: [{ podSelector: {}, scope: 'ClusterSet' }] }), 'spec.ingress[0].from[0].scope', 'not supported by this version'],
    [ingress({ from: [{ fqdn: 'example.com' }] }), 'spec.ingress[0].from[0].fqdn', 'only egress rules can name domains'],
    [egress({ to: [{ fqdn: 'exa mple.com' }] }), 'spec.egress[0].to[0].fqdn', 'is not a domain name'],
    [egress({ to: [{ fqdn: '' }] }), 'spec.egress[0].to[0].fqdn', 'is empty'],
    [egress({ to: [{ fqdn: 'a.com', podSelector: {} }] }), 'spec.egress[0].to[0].fqdn', 'cannot be combined with podSelector'],
    [ingress({ toServices: [{ name: 'a', namespace: 'b' }] }), 'spec.ingress[0].toServices', 'only egress rules can name Services'],
    [egress({ toServices: [] }), 'spec.egress[0].toServices', 'is empty'],
    [egress({ toServices: [{ name: 'a' }] }), 'spec.egress[0].toServices[0]', 'the field namespace is missing'],
    [egress({ toServices: [{ name: 'a', namespace: 'b', scope: 'ClusterSet' }] }), 'spec.egress[0].toServices[0].scope', 'not supported by this version'],
    [egress({ toServices: [{ name: 'a', namespace: 'b' }], to: [{ podSelector: {} }] }), 'spec.egress[0].toServices', 'cannot be combined with to'],
    [egress({ toServices: [{ name: 'a', namespace: 'b' }], ports: [{ port: 80 }] }), 'spec.egress[0].toServices', 'cannot be combined with ports'],
    [egress({ toServices: [{ name: 'a', namespace: 'b' }], protocols: [{ icmp: {} }] }), 'spec.egress[0].toServices', 'cannot be combined with protocols'],
    [ingress({ l7Protocols: [{ http: {} }] }), 'spec.ingress[0].l7Protocols', 'not supported by this version'],
    [ingress({ protocols: [{}] }), 'spec.ingress[0].protocols[0]', 'give one of icmp, igmp'],
    [ingress({ protocols: [{ icmp: { icmpCode: 1 } }] }), 'spec.ingress[0].protocols[0].icmp.icmpCode', 'icmpCode needs an icmpType'],
    [ingress({ protocols: [{ icmp: { icmpType: 256 } }] }), 'spec.ingress[0].protocols[0].icmp.icmpType', 'must be at most 255'],
    [ingress({ protocols: [{ igmp: { igmpType: 0x16 } }] }), 'spec.ingress[0].protocols[0].igmp.igmpType', '22 is not an IGMP message of ingress rules; use 17'],
    [egress({ protocols: [{ igmp: { igmpType: 0x11 } }] }), 'spec.egress[0].protocols[0].igmp.igmpType', 'use 18, 22, 34'],
    [ingress({ protocols: [{ igmp: { groupAddress: '10.0.0.1' } }] }), 'spec.ingress[0].protocols[0].igmp.groupAddress', 'is not a multicast address'],
    [ingress({ protocols: [{ igmp: { groupAddress: 'x' } }] }), 'spec.ingress[0].protocols[0].igmp.groupAddress', 'is not an IP address'],
    [ingress({ protocols: [{ igmp: {} }], from: [{ podSelector: {} }] }), 'spec.ingress[0].protocols', 'igmp cannot be combined with peers'],
    [ingress({ protocols: [{ igmp: {} }], ports: [{ port: 80 }] }), 'spec.ingress[0].protocols', 'igmp cannot be combined with ports'],
    [ingress({ protocols: [{ igmp: {} }, { icmp: {} }] }), 'spec.ingress[0].protocols', 'igmp cannot be combined with icmp'],
    [ingress({ protocols: [{ igmp: {} }], action: 'Reject' }), 'spec.ingress[0].action', 'igmp can be allowed or dropped, not Reject'],
    [egress({ to: [{ ipBlock: { cidr: '225.0.0.0/8' } }], action: 'Pass' }), 'spec.egress[0].action', 'multicast can be allowed or dropped'],
    [egress({ to: [{ ipBlock: { cidr: '225.0.0.0/8' } }, { ipBlock: { cidr: '10.0.0.0/8' } }] }), 'spec.egress[0]', 'multicast and unicast'],
    [ingress({ ports: [{ port: 'http', endPort: 90 }] }), 'spec.ingress[0].ports[0].endPort', 'port is a name'],
    [ingress({ ports: [{ endPort: 90 }] }), 'spec.ingress[0].ports[0].endPort', 'port is absent'],
    [ingress({ ports: [{ port: 90, endPort: 80 }] }), 'spec.ingress[0].ports[0].endPort', '80 is below 90'],
    [ingress({ ports: [{ sourceEndPort: 80 }] }), 'spec.ingress[0].ports[0].sourceEndPort', 'needs a sourcePort'],
    [ingress({ ports: [{ sourcePort: 90, sourceEndPort: 80 }] }), 'spec.ingress[0].ports[0].sourceEndPort', '80 is below 90'],
    [ingress({ ports: [{ sourcePort: 0 }] }), 'spec.ingress[0].ports[0].sourcePort', '0 is not a port'],
    [ingress({ logLabel: 'a b' }), 'spec.ingress[0].logLabel', 'use letters'],
    [ingress({ enableLogging: 'yes' }), 'spec.ingress[0].enableLogging', 'must be true or false'],
    [ingress({ name: 'a"b' }), 'spec.ingress[0].name', 'no double quotes'],
    [ingress({ name: 'a\nb' }), 'spec.ingress[0].name', 'printable'],
    [ingress({ name: 'x'.repeat(254) }), 'spec.ingress[0].name', 'longer than 253'],
    [{ ingress: [{ action: 'Allow', name: 'a' }, { action: 'Drop', name: 'a' }] }, 'spec.ingress[1].name', 'the rule name a is already that of spec.ingress[0].name'],
    [{ ingress: [{ action: 'Allow', name: 'a' }], egress: [{ action: 'Drop', name: 'a' }] }, 'spec.egress[0].name', 'already that of spec.ingress[0].name'],
  ])('of the cluster refuses %j', (spec, path, message) => {
    const problem = refuse(acnp(spec));
    expect(problem).toMatchObject({ code: 'E_INVALID', path });
    expect(problem.message).toContain(message);
  });

  it.each<[object, string]>([
    [{ appliedTo: [{ podSelector: {}, namespaceSelector: {} }] }, 'spec.appliedTo[0].namespaceSelector'],
    [{ appliedTo: [{ nodeSelector: {} }] }, 'spec.appliedTo[0].nodeSelector'],
    [{ appliedTo: [{ serviceAccount: { name: 'a', namespace: 'b' } }] }, 'spec.appliedTo[0].serviceAccount'],
    [{ appliedTo: [], ingress: [{ action: 'Drop', appliedTo: [{ namespaceSelector: {} }] }] }, 'spec.ingress[0].appliedTo[0].namespaceSelector'],
    [ingress({ from: [{ namespaces: { match: 'Self' } }] }), 'spec.ingress[0].from[0].namespaces'],
    [ingress({ from: [{ serviceAccount: { name: 'a', namespace: 'b' } }] }), 'spec.ingress[0].from[0].serviceAccount'],
  ])('of a namespace refuses what reaches beyond it: %j', (spec, path) => {
    const problem = refuse(annp(spec));
    expect(problem.path).toBe(path);
    expect(problem.message).toContain('use a ClusterNetworkPolicy');
  });

  it('of the cluster has no namespace', () => {
    expect(refuse(acnp({}, { namespace: 'x' }))).toMatchObject({ path: 'metadata.namespace', message: expect.stringContaining('leave it out') });
    expect(accept('AntreaClusterNetworkPolicy', acnp({}, { namespace: '' })).metadata).toEqual({ name: 'p', labels: {} });
  });

  it('has at most 4,000 rules', () => {
    const rules = Array.from({ length: LIMITS.rulesPerPolicy + 1 }, () => ({ action: 'Drop' }));
    expect(refuse(acnp({ ingress: rules }))).toMatchObject({ code: 'E_LIMIT', path: 'spec' });
    const decoded = decode(acnp({ ingress: rules.slice(1) }));
    expect('object' in decoded).toBe(true);
  });
});
