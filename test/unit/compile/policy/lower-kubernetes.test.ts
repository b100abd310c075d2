import { describe, expect, it } from 'vitest';
import { targetsOf } from '../../../../src/compile/policy/lower.js';
import { labels, lower, networkPolicy, onlyRule, refusal } from './objects.js';

const TCP = 6;
const UDP = 17;
const redis = [{ select: { of: 'pods', namespace: 'default', podSelector: labels({ app: 'redis' }) } }];

describe('a NetworkPolicy', () => {
  it('allows its peers and refuses the rest of the direction', () => {
    const object = networkPolicy({ ingress: [{ peers: [{ podSelector: labels({ app: 'guestbook' }) }], ports: [{ protocol: TCP, port: 6379 }] }] });
    expect(lower(object)).toEqual({
      key: 'NetworkPolicy/default/np1', kind: 'NetworkPolicy',
      reference: { kind: 'NetworkPolicy', namespace: 'default', name: 'np1', group: 'networking.k8s.io' },
      order: { section: 'kubernetes', rank: 0, priority: 0, name: 'K8sNetworkPolicy:default/np1' },
      isolates: { in: true, out: false, targets: redis, log: false },
      rules: [{
        key: expect.stringMatching(/^in-[0-9a-f]{8}$/) as string, direction: 'in', action: 'accept',
        sources: [{ select: { of: 'pods', namespace: 'default', podSelector: labels({ app: 'guestbook' }) } }], sourcesExcluded: false,
        destinations: 'any', destinationsExcluded: false,
        services: [{ protocol: TCP, ports: [{ first: 6379, last: 6379 }], sourcePorts: [] }], targets: redis, log: false,
      }],
    });
    expect(targetsOf(object)).toEqual(redis);
  });

  it('selects peers by their own labels, those of their namespace, or both', () => {
    const app = labels({ app: 'helidon' });
    const team = labels({ team: 'blue' });
    const { sources } = onlyRule(networkPolicy({ ingress: [{
      peers: [{ podSelector: app }, { namespaceSelector: team }, { namespaceSelector: team, podSelector: app }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }], ports: [],
    }] }));
    expect(sources).toEqual([
      { select: { of: 'pods', namespace: 'default', podSelector: app } },
      { select: { of: 'pods', namespaceSelector: team } },
      { select: { of: 'pods', namespaceSelector: team, podSelector: app } },
      { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
    ]);
  });

  it('isolates by policyTypes alone, and knows no rules of other directions', () => {
    const rule = { peers: [], ports: [] };
    expect(lower(networkPolicy({ policyTypes: ['Ingress', 'Egress'] }))).toMatchObject({ isolates: { in: true, out: true }, rules: [] });
    expect(lower(networkPolicy({ policyTypes: ['Egress'], ingress: [rule], egress: [rule] }))).toMatchObject({
      isolates: { in: false, out: true }, rules: [{ direction: 'out', sources: 'any', destinations: 'any', services: 'any' }],
    });
  });

  it('takes all ports of a protocol, ranges and names', () => {
    const { services, destinations } = onlyRule(networkPolicy({ policyTypes: ['Egress'], egress: [{
      peers: [{ podSelector: labels() }],
      ports: [
        { protocol: TCP, port: 443 }, { protocol: UDP }, { protocol: TCP, port: 8000, endPort: 8100 }, { protocol: TCP, port: 'metrics' }, { protocol: 132, port: 3868 }, { protocol: UDP, port: 53 },
      ],
    }] }));
    expect(destinations).toEqual([{ select: { of: 'pods', namespace: 'default', podSelector: labels() } }]);
    expect(services).toEqual([
      { protocol: TCP, ports: [{ first: 443, last: 443 }, { first: 8000, last: 8100 }], sourcePorts: [] },
      { protocol: UDP, ports: [], sourcePorts: [] },
      { namedPort: 'metrics', protocol: TCP, sourcePorts: [] },
      { protocol: 132, ports: [{ first: 3868, last: 3868 }], sourcePorts: [] },
    ]);
  });

  it('logs where its namespace is annotated', () => {
    const policy = lower(networkPolicy({ metadata: { name: 'np1', namespace: 'audited', labels: {} }, ingress: [{ peers: [], ports: [] }] }));
    expect(policy).toMatchObject({ isolates: { log: true }, rules: [{ log: true }] });
  });

  it('is refused for a peer that selects nothing, or in two ways', () => {
    expect(refusal(networkPolicy({ ingress: [{ peers: [], ports: [] }, { peers: [{ podSelector: labels() }, {}], ports: [] }] }))).toMatchObject({
      code: 'E_INVALID', object: 'NetworkPolicy/default/np1', path: 'spec.ingress[1].from[1]',
    });
    expect(refusal(networkPolicy({ policyTypes: ['Egress'], egress: [{ peers: [{ podSelector: labels(), ipBlock: { cidr: '::/0', except: [] } }], ports: [] }] })).path).toBe('spec.egress[0].to[0]');
  });
});
