import { describe, expect, it } from 'vitest';
import { accept, refuse } from '../../../support/decode.js';

const EVERYTHING = { matchLabels: {}, matchExpressions: [] };
const ALL = { namespaces: {} };
const anp = (spec: object): unknown => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'AdminNetworkPolicy', metadata: { name: 'p' }, spec: { priority: 5, subject: ALL, ...spec },
});
const banp = (spec: object, name = 'default'): unknown => ({ apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'BaselineAdminNetworkPolicy', metadata: { name }, spec: { subject: ALL, ...spec } });
const cnp = (spec: object): unknown => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name: 'p' }, spec: { tier: 'Admin', priority: 5, subject: ALL, ...spec },
});
const ingress = (rule: object): object => ({ ingress: [{ action: 'Deny', from: [ALL], ...rule }] });
const egress = (rule: object): object => ({ egress: [{ action: 'Deny', to: [ALL], ...rule }] });
const PODS = { pods: { namespaceSelector: {}, podSelector: { matchLabels: { a: 'b' } } } };
const PODS_OBJECT = { pods: { namespaceSelector: EVERYTHING, podSelector: { matchLabels: { a: 'b' }, matchExpressions: [] } } };

describe('AdminNetworkPolicy and BaselineAdminNetworkPolicy', () => {
  it('are read', () => {
    expect(accept('AdminNetworkPolicy', anp({
      priority: 0, subject: PODS,
      ingress: [{ name: 'r 1', action: 'Allow', from: [ALL, PODS], ports: [{ portNumber: { port: 80 } }, { portNumber: { protocol: 'UDP', port: 53 } }, { namedPort: 'http' }, { portRange: { start: 8000, end: 8100, protocol: 'SCTP' } }] }],
      egress: [
        { action: 'Pass', to: [{ nodes: {} }, { networks: ['10.0.0.1/8', 'fd00::/8'] }] }, { action: 'Deny', to: [ALL], ports: null },
        { action: 'Allow', to: [{ domainNames: ['*.Kubernetes.io', 'blog.kubernetes.io.'] }] },
      ],
    }))).toEqual({
      kind: 'AdminNetworkPolicy', metadata: { name: 'p', labels: {} }, tier: 'Admin', priority: 0, subject: PODS_OBJECT,
      ingress: [{
        name: 'r 1', action: 'Allow', peers: [{ namespaces: EVERYTHING }, PODS_OBJECT],
        ports: [{ protocol: 6, port: 80 }, { protocol: 17, port: 53 }, { namedPort: 'http' }, { protocol: 132, port: 8000, endPort: 8100 }],
      }],
      egress: [
        { name: '', action: 'Pass', peers: [{ nodes: EVERYTHING }, { networks: ['10.0.0.0/8', 'fd00::/8'] }], ports: [] }, { name: '', action: 'Drop', peers: [{ namespaces: EVERYTHING }], ports: [] },
        { name: '', action: 'Allow', peers: [{ domainNames: ['*.kubernetes.io', 'blog.kubernetes.io'] }], ports: [] },
      ],
    });
    expect(accept('BaselineAdminNetworkPolicy', banp({ ...ingress({}), egress: null }))).toMatchObject({ tier: 'Baseline', priority: 0, ingress: [{ action: 'Drop' }], egress: [] });
  });

  it.each<[unknown, string, string]>([
    [anp({ priority: 1001 }), 'spec.priority', 'at most 1000'], [anp({ priority: -1 }), 'spec.priority', 'at least 0'], [anp({ priority: 1.5 }), 'spec.priority', 'a whole number'],
    [anp({ priority: undefined }), 'spec', 'priority is missing'], [anp({ subject: {} }), 'spec.subject', 'give one of namespaces, pods'],
    [anp({ subject: { ...ALL, ...PODS } }), 'spec.subject', 'give only one of'], [anp({ subject: { pods: { namespaceSelector: {} } } }), 'spec.subject.pods', 'podSelector is missing'],
    [anp({ tier: 'Admin' }), 'spec.tier', 'unknown field'], [banp({}, 'other'), 'metadata.name', 'its name is default'], [banp({ priority: 5 }), 'spec.priority', 'unknown field'],
    [banp(ingress({ action: 'Pass' })), 'spec.ingress[0].action', 'must be one of Allow, Deny'], [anp(ingress({ action: 'Accept' })), 'spec.ingress[0].action', 'must be one of Allow, Deny, Pass'],
    [anp(ingress({ from: [] })), 'spec.ingress[0].from', 'is empty'], [anp(ingress({ from: undefined })), 'spec.ingress[0]', 'from is missing'], [anp(ingress({ from: [{}] })), 'spec.ingress[0].from[0]', 'is empty'],
    [anp(ingress({ from: [{ ...ALL, ...PODS }] })), 'spec.ingress[0].from[0]', 'give only one of'], [anp(ingress({ from: [{ networks: ['10.0.0.0/8'] }] })), 'spec.ingress[0].from[0].networks', 'unknown field'],
    [anp(ingress({ ports: [] })), 'spec.ingress[0].ports', 'is empty'], [anp(ingress({ ports: [{}] })), 'spec.ingress[0].ports[0]', 'is empty'],
    [anp(ingress({ ports: [{ namedPort: 'x', portNumber: { port: 5 } }] })), 'spec.ingress[0].ports[0]', 'give only one of'],
    [anp(ingress({ ports: [{ portRange: { start: 9, end: 5 } }] })), 'spec.ingress[0].ports[0].portRange.end', '5 is below 9'], [anp(ingress({ ports: [{ namedPort: 'X' }] })), 'spec.ingress[0].ports[0].namedPort', 'port name'],
    [anp(ingress({ ports: [{ portNumber: { port: 0 } }] })), 'spec.ingress[0].ports[0].portNumber.port', 'at least 1'], [anp(ingress({ protocols: [] })), 'spec.ingress[0].protocols', 'unknown field'],
    [anp(ingress({ name: 'x'.repeat(101) })), 'spec.ingress[0].name', 'longer than 100'], [anp(ingress({ name: 'a\u001bb' })), 'spec.ingress[0].name', 'printable'],
    [anp(egress({ to: [{ networks: [] }] })), 'spec.egress[0].to[0].networks', 'is empty'], [anp(egress({ to: [{ networks: ['10.0.0.1'] }] })), 'spec.egress[0].to[0].networks[0]', 'no prefix length'],
    [anp(egress({ to: [{ domainNames: ['a.com'] }] })), 'spec.egress[0].to[0].domainNames', 'not met with Deny'], [anp(egress({ action: 'Allow', to: [{ domainNames: ['a.*.com'] }] })), 'spec.egress[0].to[0].domainNames[0]', 'is not a domain name'],
    [anp(egress({ action: 'Allow', to: [{ domainNames: [] }] })), 'spec.egress[0].to[0].domainNames', 'is empty'],
    [banp(egress({ action: 'Allow', to: [{ domainNames: ['a.com'] }] })), 'spec.egress[0].to[0].domainNames', 'unknown field'],
    [anp(egress({ to: [ALL, { networks: ['10.0.0.0/8'] }], ports: [{ namedPort: 'http' }] })), 'spec.egress[0].to[1]', 'no named ports'],
  ])('refuse %j', (document, path, message) => {
    const problem = refuse(document);
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });
});

describe('ClusterNetworkPolicy', () => {
  it('is read', () => {
    expect(accept('ClusterNetworkPolicy', cnp({
      tier: 'Baseline', priority: 1000,
      ingress: [{
        action: 'Accept', from: [{ pods: { podSelector: {} } }],
        protocols: [{ tcp: { destinationPort: { number: 80 } } }, { udp: { destinationPort: { range: { start: 1, end: 5 } } } }, { sctp: { destinationPort: { number: 7 } } }, { destinationNamedPort: 'http' }],
      }, { action: 'Allow', from: [ALL] }, { action: 'Pass', from: [ALL] }, { action: 'Deny', from: [ALL] }],
      egress: [{ action: 'Deny', to: [{ networks: ['0.0.0.0/0'] }] }],
    }))).toEqual({
      kind: 'ClusterNetworkPolicy', metadata: { name: 'p', labels: {} }, tier: 'Baseline', priority: 1000, subject: { namespaces: EVERYTHING },
      ingress: [
        {
          name: '', action: 'Allow', peers: [{ pods: { namespaceSelector: EVERYTHING, podSelector: EVERYTHING } }],
          ports: [{ protocol: 6, port: 80 }, { protocol: 17, port: 1, endPort: 5 }, { protocol: 132, port: 7 }, { namedPort: 'http' }],
        },
        ...['Allow', 'Pass', 'Drop'].map((action) => ({ name: '', action, peers: [{ namespaces: EVERYTHING }], ports: [] })),
      ],
      egress: [{ name: '', action: 'Drop', peers: [{ networks: ['0.0.0.0/0'] }], ports: [] }],
    });
  });

  it.each<[object, string, string]>([
    [{ tier: 'admin' }, 'spec.tier', 'did you mean Admin?'], [{ tier: undefined }, 'spec', 'tier is missing'], [{ priority: 1001 }, 'spec.priority', 'at most 1000'],
    [ingress({ action: 'Drop' }), 'spec.ingress[0].action', 'must be one of Accept, Allow, Deny, Pass'], [ingress({ ports: [] }), 'spec.ingress[0].ports', 'unknown field'],
    [ingress({ protocols: [{ tcp: {} }] }), 'spec.ingress[0].protocols[0].tcp', 'destinationPort is missing'], [ingress({ protocols: [{}] }), 'spec.ingress[0].protocols[0]', 'is empty'],
    [ingress({ protocols: [{ tcp: { destinationPort: {} } }] }), 'spec.ingress[0].protocols[0].tcp.destinationPort', 'is empty'],
    [ingress({ protocols: [{ tcp: { destinationPort: { range: { start: 5, end: 4 } } } }] }), 'spec.ingress[0].protocols[0].tcp.destinationPort.range.end', '4 is below 5'],
    [ingress({ protocols: [{ icmp: {} }] }), 'spec.ingress[0].protocols[0].icmp', 'unknown field'],
    [egress({ to: [{ nodes: {} }], protocols: [{ destinationNamedPort: 'http' }] }), 'spec.egress[0].to[0]', 'no named ports'],
  ])('refuses %j', (spec, path, message) => {
    const problem = refuse(cnp(spec));
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });
});
