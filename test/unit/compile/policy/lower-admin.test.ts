import { describe, expect, it } from 'vitest';
import { targetsOf } from '../../../../src/compile/policy/lower.js';
import { adminPolicy, adminRule, labels, lower, onlyRule, refusal } from './objects.js';

const monitoring = labels({ 'kubernetes.io/metadata.name': 'monitoring' });

describe('a policy of the network policy API', () => {
  it('is ordered by kind and tier', () => {
    expect(lower(adminPolicy()).order).toEqual({ section: 'admin', rank: 251, priority: 30, name: 'AdminNetworkPolicy:isolate-tenants' });
    expect(lower(adminPolicy({ kind: 'ClusterNetworkPolicy' })).order).toEqual({ section: 'admin', rank: 220, priority: 30, name: 'ClusterNetworkPolicy:isolate-tenants' });
    expect(lower(adminPolicy({ kind: 'ClusterNetworkPolicy', tier: 'Baseline' })).order).toMatchObject({ section: 'baseline', rank: 254, priority: 30 });
    expect(lower(adminPolicy({ kind: 'BaselineAdminNetworkPolicy', tier: 'Baseline', priority: 0 })).order).toMatchObject({ section: 'baseline', rank: 254, priority: 0 });
    expect(lower(adminPolicy()).reference).toEqual({ kind: 'AdminNetworkPolicy', name: 'isolate-tenants', group: 'policy.networking.k8s.io' });
  });

  it('selects namespaces or pods, and isolates nobody', () => {
    const all = { select: { of: 'pods', namespaceSelector: labels({ tenant: 'a' }) } };
    const some = { select: { of: 'pods', namespaceSelector: labels(), podSelector: labels({ app: 'dns' }) } };
    const bySubject = adminPolicy({ subject: { pods: { namespaceSelector: labels(), podSelector: labels({ app: 'dns' }) } }, ingress: [adminRule()] });
    expect(onlyRule(adminPolicy({ ingress: [adminRule({ peers: [{ namespaces: monitoring }] })] }))).toMatchObject({
      sources: [{ select: { of: 'pods', namespaceSelector: monitoring } }], destinations: 'any', targets: [all],
    });
    expect(onlyRule(bySubject).targets).toEqual([some]);
    expect(targetsOf(bySubject)).toEqual([some]);
    expect(lower(bySubject).isolates).toMatchObject({ in: false, out: false });
  });

  it('knows nodes, networks and domain names', () => {
    const { destinations } = onlyRule(adminPolicy({ egress: [adminRule({ peers: [
      { nodes: labels({ role: 'control-plane' }) }, { networks: ['192.0.2.0/24', '2001:db8::/32'] }, { domainNames: ['*.example.com', 'example.org'] },
    ] })] }));
    expect(destinations).toEqual([
      { select: { of: 'nodes', nodeSelector: labels({ role: 'control-plane' }) } }, { addresses: ['192.0.2.0/24', '2001:db8::/32'] },
      { fqdn: '*.example.com' }, { fqdn: 'example.org' },
    ]);
  });

  it('takes ports by number and by a name of any protocol', () => {
    const { services } = onlyRule(adminPolicy({ ingress: [adminRule({ ports: [{ namedPort: 'metrics' }, { protocol: 6, port: 8080 }, { protocol: 6, port: 9000, endPort: 9010 }, { namedPort: 'metrics' }] })] }));
    expect(services).toEqual([
      { protocol: 6, ports: [{ first: 8080, last: 8080 }, { first: 9000, last: 9010 }], sourcePorts: [] }, { namedPort: 'metrics', sourcePorts: [] },
    ]);
  });

  it('shows names where there are any, which may repeat', () => {
    const { rules } = lower(adminPolicy({
      ingress: [adminRule({ name: 'dns', action: 'Allow' }), adminRule({ action: 'Pass' })], egress: [adminRule({ name: 'dns' })],
    }));
    expect(rules.map(({ name, action }) => [name, action])).toEqual([['dns', 'accept'], [undefined, 'pass'], ['dns', 'drop']]);
    expect(rules.map(({ key }) => key)).toEqual(['dns', expect.stringMatching(/^in-[0-9a-f]{8}$/) as string, 'dns#2']);
  });

  it('may pass in the Baseline tier of the kind that has tiers, not in a BaselineAdminNetworkPolicy', () => {
    const ingress = [adminRule({ action: 'Pass' })];
    expect(onlyRule(adminPolicy({ kind: 'ClusterNetworkPolicy', tier: 'Baseline', ingress })).action).toBe('pass');
    expect(refusal(adminPolicy({ kind: 'BaselineAdminNetworkPolicy', tier: 'Baseline', ingress }))).toMatchObject({ code: 'E_INVALID', path: 'spec.ingress[0].action' });
  });

  it('is refused where nothing is selected', () => {
    expect(refusal(adminPolicy({ egress: [adminRule({ peers: [] })] })).path).toBe('spec.egress[0].to');
    expect(refusal(adminPolicy({ egress: [adminRule({ peers: [{}] })] })).path).toBe('spec.egress[0].to[0]');
    expect(refusal(adminPolicy({ subject: {} })).path).toBe('spec.subject');
    expect(targetsOf(adminPolicy({ subject: {} }))).toEqual([]);
  });
});
