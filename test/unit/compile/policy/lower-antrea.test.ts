import { describe, expect, it } from 'vitest';
import { targetsOf } from '../../../../src/compile/policy/lower.js';
import type { AntreaPeer, AntreaProtocol, AntreaTarget } from '../../../../src/model/policy-objects.js';
import { antreaRule, clusterPolicy, labels, lower, namespacedPolicy, onlyRule, refusal } from './objects.js';

const web = labels({ app: 'web' });
const prod = labels({ env: 'prod' });
const sourcesOf = (make: typeof clusterPolicy, peer: AntreaPeer): unknown => onlyRule(make({ ingress: [antreaRule({ peers: [peer] })] })).sources;
const targetsIn = (make: typeof clusterPolicy, target: AntreaTarget): unknown => onlyRule(make({ appliedTo: [target], ingress: [antreaRule()] })).targets;

describe('an Antrea policy', () => {
  it('stands in its tier and isolates nobody', () => {
    const redis = [{ select: { of: 'pods', podSelector: labels({ app: 'redis' }) } }];
    expect(lower(clusterPolicy({ ingress: [antreaRule({ peers: [{ podSelector: labels({ app: 'guestbook' }) }], log: true, logLabel: 'to-redis' })] }))).toEqual({
      key: 'AntreaClusterNetworkPolicy/acnp-drop-access-to-redis', kind: 'AntreaClusterNetworkPolicy',
      reference: { kind: 'ClusterNetworkPolicy', name: 'acnp-drop-access-to-redis', group: 'crd.antrea.io' },
      order: { section: 'admin', rank: 100, priority: 5, name: 'AntreaClusterNetworkPolicy:acnp-drop-access-to-redis' },
      isolates: { in: false, out: false, targets: [], log: false },
      rules: [{
        key: 'DropFromGuestbook', name: 'DropFromGuestbook', direction: 'in', action: 'drop',
        sources: [{ select: { of: 'pods', podSelector: labels({ app: 'guestbook' }) } }], sourcesExcluded: false,
        destinations: 'any', destinationsExcluded: false, services: 'any', targets: redis, log: true, tag: 'to-redis',
      }],
    });
    expect(lower(namespacedPolicy()).order).toEqual({ section: 'admin', rank: 250, priority: 5, name: 'AntreaNetworkPolicy:shop/annp' });
    expect(lower(clusterPolicy({ tier: 'mytier', priority: 1.001 })).order).toMatchObject({ section: 'admin', rank: 10, priority: 1.001 });
    expect(lower(clusterPolicy({ tier: 'baseline' })).order).toMatchObject({ section: 'baseline', rank: 253 });
  });

  it('is held while its tier does not exist, and refused for Pass in the last one', () => {
    expect(refusal(clusterPolicy({ tier: 'secops' }))).toMatchObject({ code: 'E_HELD', object: 'AntreaClusterNetworkPolicy/acnp-drop-access-to-redis', path: 'spec.tier' });
    expect(refusal(clusterPolicy({ tier: 'securityop' })).message).toBe('there is no tier "securityop"; did you mean "securityops"?');
    expect(refusal(clusterPolicy({ tier: 'baseline', egress: [antreaRule({ name: 'a', action: 'Reject' }), antreaRule({ action: 'Pass' })] }))).toMatchObject({
      code: 'E_INVALID', path: 'spec.egress[1].action',
    });
  });

  it.each([['Allow', 'accept'], ['Drop', 'drop'], ['Reject', 'reject'], ['Pass', 'pass']] as const)('%s means %s', (written, action) => {
    expect(onlyRule(clusterPolicy({ ingress: [antreaRule({ action: written })] }))).toMatchObject({ action, sources: 'any', destinations: 'any' });
  });

  it('reads ingress before egress, and peers as the other end', () => {
    const peers = [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }];
    const { rules } = lower(clusterPolicy({ ingress: [antreaRule({ name: 'a', peers })], egress: [antreaRule({ name: 'b', peers })] }));
    expect(rules).toMatchObject([{ key: 'a', direction: 'in', sources: peers, destinations: 'any' }, { key: 'b', direction: 'out', sources: 'any', destinations: peers }]);
  });

  it.each<[string, AntreaPeer, unknown, unknown]>([
    ['pods', { podSelector: web }, { select: { of: 'pods', podSelector: web } }, { select: { of: 'pods', namespace: 'shop', podSelector: web } }],
    ['namespaces', { namespaceSelector: prod }, { select: { of: 'pods', namespaceSelector: prod } }, { select: { of: 'pods', namespaceSelector: prod } }],
    ['pods of namespaces', { podSelector: web, namespaceSelector: prod }, { select: { of: 'pods', namespaceSelector: prod, podSelector: web } }, { select: { of: 'pods', namespaceSelector: prod, podSelector: web } }],
    ['entities', { externalEntitySelector: web }, { select: { of: 'externalEntities', selector: web } }, { select: { of: 'externalEntities', namespace: 'shop', selector: web } }],
    ['entities of namespaces', { externalEntitySelector: web, namespaceSelector: prod }, { select: { of: 'externalEntities', namespaceSelector: prod, selector: web } }, { select: { of: 'externalEntities', namespaceSelector: prod, selector: web } }],
    ['nodes', { nodeSelector: web }, { select: { of: 'nodes', nodeSelector: web } }, { select: { of: 'nodes', nodeSelector: web } }],
    ['a group', { group: 'web' }, { group: { kind: 'ClusterGroup', name: 'web' } }, { group: { kind: 'AntreaGroup', namespace: 'shop', name: 'web' } }],
    ['an account', { serviceAccount: { namespace: 'ci', name: 'robot' } }, { select: { of: 'pods', namespace: 'ci', serviceAccount: 'robot' } }, { select: { of: 'pods', namespace: 'ci', serviceAccount: 'robot' } }],
  ])('selects %s as peers and as targets', (_what, selection, ofCluster, ofNamespace) => {
    expect(sourcesOf(clusterPolicy, selection)).toEqual([ofCluster]);
    expect(sourcesOf(namespacedPolicy, selection)).toEqual([ofNamespace]);
    expect(targetsIn(clusterPolicy, selection)).toEqual([ofCluster]);
    expect(targetsIn(namespacedPolicy, selection)).toEqual([ofNamespace]);
  });

  it('has peers relative to each target, by name and by Service', () => {
    expect(sourcesOf(clusterPolicy, { namespaces: { match: 'Self' } })).toEqual([{ scope: { match: 'Self' } }]);
    expect(sourcesOf(clusterPolicy, { namespaces: { sameLabels: ['tier'] }, podSelector: web })).toEqual([{ scope: { sameLabels: ['tier'] }, podSelector: web }]);
    expect(onlyRule(clusterPolicy({ egress: [antreaRule({ peers: [{ fqdn: '*github.com' }] })] })).destinations).toEqual([{ fqdn: '*github.com' }]);
    const services = [{ namespace: 'shop', name: 'db' }, { namespace: 'shop', name: 'cache' }];
    expect(onlyRule(clusterPolicy({ egress: [antreaRule({ action: 'Allow', toServices: services })] }))).toMatchObject({
      sources: 'any', destinations: services.map((service) => ({ service })), services: 'any',
    });
    for (const action of ['Drop', 'Reject', 'Pass'] as const) {
      expect(() => onlyRule(clusterPolicy({ egress: [antreaRule({ action, toServices: services })] }))).toThrow(/by Service cannot be relied on/);
    }
  });

  it('takes source ports with and without destination ports', () => {
    const { services } = onlyRule(clusterPolicy({ ingress: [antreaRule({ ports: [
      { protocol: 6, port: 80 }, { protocol: 6, sourcePort: 30_000, sourceEndPort: 32_000 }, { protocol: 6, port: 'serve-81', sourcePort: 99 },
    ] })] }));
    expect(services).toEqual([
      { protocol: 6, ports: [{ first: 80, last: 80 }], sourcePorts: [] },
      { protocol: 6, ports: [], sourcePorts: [{ first: 30_000, last: 32_000 }] },
      { namedPort: 'serve-81', protocol: 6, sourcePorts: [{ first: 99, last: 99 }] },
    ]);
  });

  it('takes ICMP in both families, whole or by type', () => {
    const whole = (protocol: number): unknown => ({ protocol, ports: [], sourcePorts: [] });
    const services = (...protocols: AntreaProtocol[]): unknown => onlyRule(clusterPolicy({ ingress: [antreaRule({ protocols })] })).services;
    expect(services({ icmp: {} })).toEqual([whole(1), whole(58)]);
    expect(services({ icmp: { type: 8 } }, { icmp: { type: 3, code: 1 } })).toEqual([1, 58].map((protocol) => ({ protocol, icmp: { type: 8 } })).concat([1, 58].map((protocol) => ({ protocol, icmp: { type: 3, code: 1 } }))));
    expect(services({ igmp: { type: 0x11 } }, { igmp: {} })).toEqual([whole(2)]);
    expect(refusal(clusterPolicy({ ingress: [antreaRule({ protocols: [{ icmp: { code: 1 } }] })] }))).toMatchObject({ code: 'E_INVALID', path: 'spec.ingress[0].protocols' });
  });

  it('takes the multicast group of IGMP as the destination, in both directions', () => {
    const igmp = { igmp: { type: 0x11, groupAddress: '224.0.0.1' } };
    for (const direction of ['ingress', 'egress'] as const) {
      expect(onlyRule(clusterPolicy({ [direction]: [antreaRule({ protocols: [igmp] })] }))).toMatchObject({
        key: 'DropFromGuestbook', sources: 'any', destinations: [{ addresses: ['224.0.0.1'] }], services: [{ protocol: 2, ports: [], sourcePorts: [] }],
      });
    }
    const { rules } = lower(clusterPolicy({ egress: [antreaRule({ protocols: [igmp, { icmp: { type: 8 } }, { igmp: { groupAddress: '225.1.2.3' } }] })] }));
    expect(rules).toMatchObject([
      { key: 'DropFromGuestbook', name: 'DropFromGuestbook', destinations: 'any', services: [{ protocol: 1, icmp: { type: 8 } }, { protocol: 58, icmp: { type: 8 } }] },
      { key: 'DropFromGuestbook#igmp', name: 'DropFromGuestbook', destinations: [{ addresses: ['224.0.0.1', '225.1.2.3'] }], services: [{ protocol: 2 }] },
    ]);
  });

  it('applies rules with targets of their own to these', () => {
    const object = clusterPolicy({ appliedTo: [], ingress: [antreaRule({ name: 'a', appliedTo: [{ podSelector: web }] })], egress: [antreaRule({ name: 'b', appliedTo: [{ group: 'g' }] })] });
    const targets = [{ select: { of: 'pods', podSelector: web } }, { group: { kind: 'ClusterGroup', name: 'g' } }];
    expect(lower(object).rules.map((rule) => rule.targets)).toEqual(targets.map((target) => [target]));
    expect(targetsOf(object)).toEqual(targets);
  });

  it('is refused for what it cannot tell or enforce, while its other targets are known', () => {
    const object = clusterPolicy({ appliedTo: [{ podSelector: web }, { service: { namespace: 'shop', name: 'db' } }] });
    expect(refusal(object)).toMatchObject({ code: 'E_INVALID', path: 'spec.appliedTo[1].service' });
    expect(targetsOf(object)).toEqual([{ select: { of: 'pods', podSelector: web } }]);
    expect(refusal(clusterPolicy({ appliedTo: [{}] }))).toMatchObject({ code: 'E_INVALID', path: 'spec.appliedTo[0]' });
    expect(refusal(clusterPolicy({ ingress: [antreaRule({ peers: [{ podSelector: web }, { group: 'g', podSelector: web }] })] })).path).toBe('spec.ingress[0].from[1]');
    expect(refusal(clusterPolicy({ ingress: [antreaRule({ peers: [{ namespaces: { match: 'Self' }, namespaceSelector: prod }] })] })).path).toBe('spec.ingress[0].from[0]');
  });
});
