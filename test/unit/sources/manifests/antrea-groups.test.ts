import { describe, expect, it } from 'vitest';
import { accept, refuse } from '../../../support/decode.js';

const EVERYTHING = { matchLabels: {}, matchExpressions: [] };
const manifest = (kind: string, spec: object | undefined, metadata: object = {}, apiVersion = 'crd.antrea.io/v1beta1'): unknown => ({
  apiVersion, kind, metadata: { name: 'g', ...metadata }, ...(spec === undefined ? {} : { spec }),
});
const clusterGroup = (spec: object): unknown => manifest('ClusterGroup', spec);
const group = (spec: object): unknown => manifest('Group', spec, { namespace: 'x' });
const service = { name: 'svc', namespace: 'ns' };

describe('ClusterGroup and Group', () => {
  it.each<[object, object]>([
    [{ podSelector: {} }, { selection: { podSelector: EVERYTHING } }],
    [{ namespaceSelector: {} }, { selection: { namespaceSelector: EVERYTHING } }],
    [{ namespaceSelector: {}, podSelector: {} }, { selection: { podSelector: EVERYTHING, namespaceSelector: EVERYTHING } }],
    [{ externalEntitySelector: {} }, { externalEntitySelector: EVERYTHING }],
    [{ externalEntitySelector: {}, namespaceSelector: {} }, { externalEntitySelector: EVERYTHING, selection: { namespaceSelector: EVERYTHING } }],
    [{ nodeSelector: {} }, { nodeSelector: EVERYTHING }],
    [{ ipBlock: { cidr: '10.0.0.1/8' } }, { ipBlocks: [{ cidr: '10.0.0.0/8', except: [] }] }],
    [{ ipBlocks: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }, { cidr: 'fd00::/8' }] }, { ipBlocks: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }, { cidr: 'fd00::/8', except: [] }] }],
    [{ serviceReference: service }, { service: { namespace: 'ns', name: 'svc' } }],
    [{ childGroups: ['a', 'b'], podSelector: null }, { childGroups: ['a', 'b'] }],
  ])('select by %j', (spec, expected) => {
    expect(accept('ClusterGroup', clusterGroup(spec))).toEqual({ kind: 'ClusterGroup', metadata: { name: 'g', labels: {} }, ipBlocks: [], childGroups: [], ...expected });
  });

  it('are read in every version in which they were', () => {
    for (const version of ['v1alpha2', 'v1alpha3', 'v1beta1']) expect(accept('ClusterGroup', manifest('ClusterGroup', { podSelector: {} }, {}, `crd.antrea.io/${version}`))).toBeDefined();
    for (const version of ['v1alpha3', 'v1beta1']) expect(accept('AntreaGroup', manifest('Group', { podSelector: {} }, {}, `crd.antrea.io/${version}`)).metadata.namespace).toBe('default');
    expect(refuse(manifest('Group', { podSelector: {} }, {}, 'crd.antrea.io/v1alpha2')).message).toBe('kind Group is crd.antrea.io/v1beta1 or crd.antrea.io/v1alpha3, not "crd.antrea.io/v1alpha2"');
  });

  it('of a namespace name Services and groups there', () => {
    expect(accept('AntreaGroup', group({ serviceReference: { name: 'svc' } })).service).toEqual({ namespace: 'x', name: 'svc' });
    expect(accept('AntreaGroup', group({ serviceReference: { name: 'svc', namespace: 'x' } })).service).toEqual({ namespace: 'x', name: 'svc' });
    expect(refuse(group({ serviceReference: service }))).toMatchObject({ path: 'spec.serviceReference.namespace', message: expect.stringContaining('use a ClusterGroup') });
    expect(refuse(group({ nodeSelector: {} }))).toMatchObject({ path: 'spec.nodeSelector', message: expect.stringContaining('use a ClusterGroup') });
    expect(accept('AntreaGroup', group({ namespaceSelector: {}, podSelector: {} })).selection).toBeDefined();
  });

  it.each<[object, string, string]>([
    [{}, 'spec', 'is empty; give one of'],
    [{ podSelector: {}, ipBlocks: [{ cidr: '10.0.0.0/8' }] }, 'spec', 'podSelector, ipBlocks cannot be combined'],
    [{ podSelector: {}, externalEntitySelector: {} }, 'spec', 'cannot be combined'],
    [{ podSelector: {}, namespaceSelector: {}, externalEntitySelector: {} }, 'spec', 'cannot be combined'],
    [{ nodeSelector: {}, namespaceSelector: {} }, 'spec', 'cannot be combined'],
    [{ serviceReference: service, childGroups: ['a'] }, 'spec', 'cannot be combined'],
    [{ ipBlock: { cidr: '10.0.0.0/8' }, ipBlocks: [] }, 'spec', 'cannot be combined'],
    [{ serviceReference: { name: 'svc' } }, 'spec.serviceReference', 'the field namespace is missing'],
    [{ serviceReference: { namespace: 'ns' } }, 'spec.serviceReference', 'the field name is missing'],
    [{ childGroups: ['g'] }, 'spec.childGroups[0]', 'cannot be its own child'],
    [{ childGroups: ['a', 'a'] }, 'spec.childGroups[1]', 'already that of'],
    [{ childGroups: ['A'] }, 'spec.childGroups[0]', 'the group name "A"'],
    [{ ipBlocks: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/8'] }] }, 'spec.ipBlocks[0].except[0]', 'is not a part of'],
    [{ podSelector: { matchLabels: { 'a b': 'c' } } }, 'spec.podSelector.matchLabels', 'the label key'],
    [{ podselector: {} }, 'spec.podselector', 'did you mean podSelector?'],
  ])('refuse %j', (spec, path, message) => {
    const problem = refuse(clusterGroup(spec));
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });
});

describe('ExternalEntity', () => {
  const entity = (spec?: object): unknown => manifest('ExternalEntity', spec, { labels: { role: 'db' } }, 'crd.antrea.io/v1alpha2');
  it('has addresses and named ports', () => {
    expect(accept('ExternalEntity', entity({
      endpoints: [{ ip: '192.0.2.1', name: 'a' }, { ip: 'FD00::1' }, { ip: '192.0.2.1' }], ports: [{ name: 'db', port: 3306 }, { port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }], externalNode: 'n',
    }))).toEqual({
      kind: 'ExternalEntity', metadata: { name: 'g', namespace: 'default', labels: { role: 'db' } }, addresses: ['192.0.2.1', 'fd00::1'],
      ports: [{ name: 'db', protocol: 6, port: 3306 }, { name: 'dns', protocol: 17, port: 53 }],
    });
    expect(accept('ExternalEntity', entity({}))).toMatchObject({ addresses: [], ports: [] });
  });
  it.each<[object, string]>([
    [{ endpoints: [{ name: 'a' }] }, 'spec.endpoints[0]'], [{ endpoints: [{ ip: 'x' }] }, 'spec.endpoints[0].ip'], [{ ports: [{ name: 'db' }] }, 'spec.ports[0]'],
    [{ ports: [{ name: 'DB', port: 5 }] }, 'spec.ports[0].name'], [{ ports: [{ name: 'db', port: 0 }] }, 'spec.ports[0].port'], [{ endpoint: [] }, 'spec.endpoint'],
  ])('refuses %j', (spec, path) => {
    expect(refuse(entity(spec)).path).toBe(path);
  });
});

describe('Egress', () => {
  const egress = (spec: object, status?: object): unknown => ({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'Egress', metadata: { name: 'e' }, spec, ...(status === undefined ? {} : { status }) });
  const appliedTo = { podSelector: {} };
  it.each<[object, object | undefined, object]>([
    [{ appliedTo, egressIP: '192.0.2.7' }, undefined, { egressIp: '192.0.2.7' }],
    [{ appliedTo, egressIPs: ['FD00::7'] }, undefined, { egressIp: 'fd00::7' }],
    [{ appliedTo, externalIPPool: 'pool' }, undefined, { externalIpPool: 'pool' }],
    [{ appliedTo, externalIPPools: ['pool'], egressIPs: [''] }, { egressIP: '192.0.2.8' }, { externalIpPool: 'pool', egressIp: '192.0.2.8', isGiven: true }],
    [{ appliedTo, externalIPPool: 'pool', egressIP: '192.0.2.7', bandwidth: { rate: '1M', burst: '2M' } }, { egressIP: '192.0.2.8', egressNode: 'n' }, { externalIpPool: 'pool', egressIp: '192.0.2.7', bandwidth: { bitsPerSecond: 1e6, burstBits: 2e6 } }],
  ])('takes %j', (spec, status, expected) => {
    expect(accept('Egress', egress(spec, status))).toEqual({ kind: 'Egress', metadata: { name: 'e', labels: {} }, appliedTo: { podSelector: EVERYTHING }, ...expected });
  });
  it.each([['fast', '2M', 'rate'], ['1M', '10Mbit', 'burst'], ['1k', '1M', 'rate'], ['1M', '1T', 'burst']])('refuses bandwidth %s, %s', (rate, burst, field) => {
    expect(refuse(egress({ appliedTo, egressIP: '192.0.2.7', bandwidth: { rate, burst } })).path).toBe(`spec.bandwidth.${field}`);
  });
  it('may select nothing', () => {
    expect(accept('Egress', egress({ egressIP: '192.0.2.7' })).appliedTo).toEqual({});
    expect(accept('Egress', egress({ appliedTo: { namespaceSelector: {} }, egressIP: '192.0.2.7' })).appliedTo).toEqual({ namespaceSelector: EVERYTHING });
  });
  it.each<[object, string]>([
    [{ appliedTo }, 'spec'], [{ appliedTo, egressIP: '192.0.2.0/24' }, 'spec.egressIP'], [{ appliedTo, egressIP: '192.0.2.7', egressIPs: ['192.0.2.8'] }, 'spec.egressIPs'],
    [{ appliedTo, egressIPs: ['192.0.2.7', '192.0.2.8'] }, 'spec.egressIPs'], [{ appliedTo, externalIPPool: 'Pool' }, 'spec.externalIPPool'],
    [{ appliedTo: { podselector: {} }, egressIP: '192.0.2.7' }, 'spec.appliedTo.podselector'], [{ appliedTo, egressip: '192.0.2.7' }, 'spec.egressip'],
  ])('refuses %j', (spec, path) => {
    expect(refuse(egress(spec)).path).toBe(path);
  });
});

describe('ExternalIPPool', () => {
  const pool = (...ipRanges: object[]): unknown => ({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'ExternalIPPool', metadata: { name: 'p' }, spec: { ipRanges, nodeSelector: {} } });
  it('has prefixes and ranges', () => {
    expect(accept('ExternalIPPool', pool({ cidr: '192.0.2.9/24' }, { start: '198.51.100.1', end: '198.51.100.9' }, { start: 'FD00::1', end: 'fd00::9' }, { start: '198.51.100.1', end: '198.51.100.1' }))).toEqual({
      kind: 'ExternalIPPool', metadata: { name: 'p', labels: {} }, ranges: ['192.0.2.0/24', '198.51.100.1-198.51.100.9', 'fd00::1-fd00::9', '198.51.100.1'], nodeSelector: EVERYTHING,
    });
  });
  it.each<[object, string]>([
    [{}, 'spec.ipRanges[0]'], [{ cidr: '192.0.2.0' }, 'spec.ipRanges[0].cidr'], [{ start: '192.0.2.1' }, 'spec.ipRanges[0]'], [{ cidr: '192.0.2.0/24', start: '192.0.2.1', end: '192.0.2.2' }, 'spec.ipRanges[0]'],
    [{ start: '192.0.2.9', end: '192.0.2.1' }, 'spec.ipRanges[0]'], [{ start: '192.0.2.9', end: 'fd00::1' }, 'spec.ipRanges[0]'], [{ start: 'x', end: 'y' }, 'spec.ipRanges[0].start'], [{ first: 'x' }, 'spec.ipRanges[0].first'],
  ])('refuses %j', (range, path) => {
    expect(refuse(pool(range)).path).toBe(path);
  });
});
