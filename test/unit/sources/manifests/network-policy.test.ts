import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../../src/model/rule.js';
import { accept, refuse } from '../../../support/decode.js';

const policy = (spec: object, metadata: object = {}): unknown => ({
  apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', ...metadata }, spec: { podSelector: {}, ...spec },
});
const take = (spec: object): ReturnType<typeof accept<'NetworkPolicy'>> => accept('NetworkPolicy', policy(spec));
const from = (peer: object): object => ({ ingress: [{ from: [peer] }] });
const port = (value: object): object => ({ ingress: [{ ports: [value] }] });
const EVERYTHING = { matchLabels: {}, matchExpressions: [] };

describe('NetworkPolicy', () => {
  it('has the defaults of the API', () => {
    expect(take({})).toEqual({
      kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'default', labels: {} }, podSelector: EVERYTHING, policyTypes: ['Ingress'], ingress: [], egress: [],
    });
    expect(accept('NetworkPolicy', policy({}, { namespace: 'shop', labels: { a: 'b' }, annotations: { x: 'y' }, managedFields: [{}] })).metadata)
      .toEqual({ name: 'p', namespace: 'shop', labels: { a: 'b' } });
  });

  it.each<[object, string[]]>([
    [{}, ['Ingress']], [{ ingress: [{}] }, ['Ingress']], [{ egress: [{}] }, ['Ingress', 'Egress']], [{ egress: [] }, ['Ingress']], [{ egress: null }, ['Ingress']],
    [{ policyTypes: [] }, ['Ingress']], [{ policyTypes: null, egress: [{}] }, ['Ingress', 'Egress']], [{ policyTypes: ['Egress'] }, ['Egress']],
    [{ policyTypes: ['Egress', 'Ingress'] }, ['Ingress', 'Egress']], [{ policyTypes: ['Ingress'], egress: [{}] }, ['Ingress']], [{ policyTypes: ['Egress', 'Egress'] }, ['Egress']],
  ])('%j is of types %j', (spec, types) => {
    expect(take(spec).policyTypes).toEqual(types);
  });

  it('keeps the difference between any, none and absent', () => {
    expect(take({ ingress: null }).ingress).toEqual([]);
    expect(take({ ingress: [] }).ingress).toEqual([]);
    expect(take({ ingress: [{}, { from: [], ports: [] }, { from: null, ports: null }] }).ingress).toEqual([{ peers: [], ports: [] }, { peers: [], ports: [] }, { peers: [], ports: [] }]);
    expect(take(from({ podSelector: {} })).ingress[0]?.peers).toEqual([{ podSelector: EVERYTHING }]);
    expect(take(from({ namespaceSelector: {}, podSelector: null })).ingress[0]?.peers).toEqual([{ namespaceSelector: EVERYTHING }]);
  });

  it('reads peers and ports', () => {
    expect(take({
      egress: [{
        to: [
          { podSelector: { matchLabels: { role: 'frontend' } }, namespaceSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['helidon', ''] }] } },
          { ipBlock: { cidr: '10.0.0.7/8', except: ['10.1.2.3/16', '10.2.0.1/32'] } }, { ipBlock: { cidr: 'FD00::1/64' } }, { ipBlock: { cidr: '192.0.2.1/32', except: [] } },
        ],
        ports: [{ port: 80 }, { protocol: 'UDP', port: 'dns-udp' }, { protocol: 'SCTP' }, { port: 8000, endPort: 8100 }, { port: null, protocol: null }, { port: 5, endPort: 5 }],
      }],
    }).egress).toEqual([{
      peers: [
        {
          podSelector: { matchLabels: { role: 'frontend' }, matchExpressions: [] },
          namespaceSelector: { matchLabels: {}, matchExpressions: [{ key: 'app', operator: 'In', values: ['helidon', ''] }] },
        },
        { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.2.0.1'] } }, { ipBlock: { cidr: 'fd00::/64', except: [] } }, { ipBlock: { cidr: '192.0.2.1', except: [] } },
      ],
      ports: [{ protocol: 6, port: 80 }, { protocol: 17, port: 'dns-udp' }, { protocol: 132 }, { protocol: 6, port: 8000, endPort: 8100 }, { protocol: 6 }, { protocol: 6, port: 5, endPort: 5 }],
    }]);
  });

  it.each<[object, string, string]>([
    [{ podSelector: null }, 'spec.podSelector', 'write {} to select every pod'],
    [{ podSelector: 'app=web' }, 'spec.podSelector', 'must be a mapping or empty, is the string "app=web"'],
    [{ podSelector: { app: 'web' } }, 'spec.podSelector.app', 'unknown field "app"'],
    [{ podSelector: { matchLabels: { app: 5 } } }, 'spec.podSelector.matchLabels.app', 'put it in quotes'],
    [{ podSelector: { matchLabels: { 'a b': 'x' } } }, 'spec.podSelector.matchLabels', 'the label key "a b"'],
    [{ podSelector: { matchLabels: { 'Upper.com/a': 'x' } } }, 'spec.podSelector.matchLabels', 'the label key "Upper.com/a"'],
    [{ podSelector: { matchLabels: { [`${'a'.repeat(254)}/a`]: 'x' } } }, 'spec.podSelector.matchLabels', 'the label key'],
    [{ podSelector: { matchLabels: { a: '-x' } } }, 'spec.podSelector.matchLabels', 'the label value "-x"'],
    [{ podSelector: { matchLabels: { a: 'x'.repeat(64) } } }, 'spec.podSelector.matchLabels', 'the label value'],
    [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'in', values: ['b'] }] } }, 'spec.podSelector.matchExpressions[0].operator', 'did you mean In?'],
    [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }, 'spec.podSelector.matchExpressions[0].values', 'needs at least one value'],
    [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'NotIn', values: [] }] } }, 'spec.podSelector.matchExpressions[0].values', 'needs at least one value'],
    [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'DoesNotExist', values: ['b'] }] } }, 'spec.podSelector.matchExpressions[0].values', 'takes no values'],
    [{ podSelector: { matchExpressions: [{ key: '', operator: 'Exists' }] } }, 'spec.podSelector.matchExpressions[0].key', 'the label key ""'],
    [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: ['ok', 'no!'] }] } }, 'spec.podSelector.matchExpressions[0].values[1]', 'the label value "no!"'],
    [{ policyTypes: ['ingress'] }, 'spec.policyTypes[0]', 'did you mean Ingress?'],
    [{ ingress: [null] }, 'spec.ingress[0]', 'must be a mapping, is empty'],
    [{ ingress: [{ to: [] }] }, 'spec.ingress[0].to', 'unknown field "to"'],
    [{ egress: [{ from: [] }] }, 'spec.egress[0].from', 'unknown field "from"'],
    [{ ingres: [] }, 'spec.ingres', 'did you mean ingress?'],
    [from({}), 'spec.ingress[0].from[0]', 'is empty; give podSelector, namespaceSelector or ipBlock'],
    [from({ podSelector: null }), 'spec.ingress[0].from[0]', 'is empty'],
    [from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }), 'spec.ingress[0].from[0]', 'cannot be combined'],
    [from({ podselector: {} }), 'spec.ingress[0].from[0].podselector', 'did you mean podSelector?'],
    [from({ ipBlock: {} }), 'spec.ingress[0].from[0].ipBlock', 'the field cidr is missing'],
    [from({ ipBlock: { cidr: '10.0.0.1' } }), 'spec.ingress[0].from[0].ipBlock.cidr', 'write 10.0.0.1/32 for the host alone'],
    [from({ ipBlock: { cidr: '10.0.0.0/33' } }), 'spec.ingress[0].from[0].ipBlock.cidr', 'from 0 to 32'],
    [from({ ipBlock: { cidr: '10.0.0.0/08' } }), 'spec.ingress[0].from[0].ipBlock.cidr', 'from 0 to 32'],
    [from({ ipBlock: { cidr: 'fd00::/129' } }), 'spec.ingress[0].from[0].ipBlock.cidr', 'from 0 to 128'],
    [from({ ipBlock: { cidr: '10.0.0.0-10.0.0.9' } }), 'spec.ingress[0].from[0].ipBlock.cidr', 'is not a prefix'],
    [from({ ipBlock: { cidr: '::ffff:10.0.0.0/104' } }), 'spec.ingress[0].from[0].ipBlock.cidr', 'write 10.0.0.0/8'],
    [from({ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }), 'spec.ingress[0].from[0].ipBlock.except[0]', '11.0.0.0/16 is not a part of 10.0.0.0/8'],
    [from({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/16', '10.0.0.0/8'] } }), 'spec.ingress[0].from[0].ipBlock.except[1]', 'is not a part of'],
    [from({ ipBlock: { cidr: '10.0.0.0/8', except: ['0.0.0.0/0'] } }), 'spec.ingress[0].from[0].ipBlock.except[0]', 'is not a part of'],
    [from({ ipBlock: { cidr: '10.0.0.0/8', except: ['fd00::/16'] } }), 'spec.ingress[0].from[0].ipBlock.except[0]', 'is not a part of'],
    [from({ ipBlock: { cidr: 'fd00::/16', except: ['fd01::/32'] } }), 'spec.ingress[0].from[0].ipBlock.except[0]', 'is not a part of'],
    [port({ port: 0 }), 'spec.ingress[0].ports[0].port', '0 is not a port'],
    [port({ port: 65536 }), 'spec.ingress[0].ports[0].port', '65536 is not a port'],
    [port({ port: '80' }), 'spec.ingress[0].ports[0].port', 'write the number without quotes'],
    [port({ port: 'HTTP' }), 'spec.ingress[0].ports[0].port', 'the port name "HTTP"'],
    [port({ port: 'a-name-that-is-too-long' }), 'spec.ingress[0].ports[0].port', 'at most 15 characters'],
    [port({ port: 'a--b' }), 'spec.ingress[0].ports[0].port', 'the port name'],
    [port({ port: 80.5 }), 'spec.ingress[0].ports[0].port', 'must be a whole number'],
    [port({ protocol: 'ICMP' }), 'spec.ingress[0].ports[0].protocol', 'must be one of TCP, UDP, SCTP; is the string "ICMP"'],
    [port({ port: 80, endPort: 79 }), 'spec.ingress[0].ports[0].endPort', '79 is below 80'],
    [port({ port: 80, endPort: 70000 }), 'spec.ingress[0].ports[0].endPort', '70000 is not a port'],
    [port({ port: 'http', endPort: 90 }), 'spec.ingress[0].ports[0].endPort', 'endPort needs a numeric port, and port is a name'],
    [port({ endPort: 90 }), 'spec.ingress[0].ports[0].endPort', 'endPort needs a numeric port, and port is absent'],
    [port({ sourcePort: 80 }), 'spec.ingress[0].ports[0].sourcePort', 'unknown field "sourcePort"'],
  ])('refuses %j', (spec, path, message) => {
    const problem = refuse(policy(spec));
    expect(problem).toMatchObject({ code: 'E_INVALID', path });
    expect(problem.message).toContain(message);
  });

  it('refuses what is not in its spec, and names that Kubernetes has not', () => {
    expect(refuse({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' } }).message).toBe('the field spec is missing');
    expect(refuse({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec: {} })).toMatchObject({ path: 'spec', message: 'the field podSelector is missing' });
    expect(refuse({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec: { podSelector: {} }, ingress: [] }).path).toBe('ingress');
    expect(refuse(policy({}, { name: 'P' })).path).toBe('metadata.name');
    expect(refuse(policy({}, { namespace: 'a.b' })).path).toBe('metadata.namespace');
  });

  it('has at most 4,000 rules', () => {
    const rules = (count: number): object[] => Array.from({ length: count }, () => ({}));
    expect(take({ ingress: rules(LIMITS.rulesPerPolicy - 1), egress: rules(1) }).ingress).toHaveLength(LIMITS.rulesPerPolicy - 1);
    expect(refuse(policy({ ingress: rules(LIMITS.rulesPerPolicy), egress: rules(1) }))).toEqual({ code: 'E_LIMIT', path: 'spec', message: '4001 rules; the limit is 4000 (rulesPerPolicy)' });
  });
});
