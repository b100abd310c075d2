import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { DesiredObject } from '../../../src/model/objects.js';
import { parseRulesText } from '../../../src/model/rules-text.js';
import { LIMITS } from '../../../src/model/rule.js';
import { Decoder } from '../../../src/sources/manifests/decode.js';
import { objectsOfRulesText } from '../../../src/sources/file/parse-file.js';

const decoder = new Decoder();

function accept(document: unknown): DesiredObject {
  const decoded = decoder.decode(document);
  if ('problems' in decoded) throw new Error(JSON.stringify(decoded.problems));
  return decoded.object;
}
function refuse(document: unknown): { path: string; message: string; code: string } {
  const decoded = decoder.decode(document);
  if ('object' in decoded) throw new Error('accepted');
  expect(decoded.problems).toHaveLength(1);
  return decoded.problems[0] ?? { path: '', message: '', code: '' };
}
const yaml = (text: string): unknown => parse(text);
const table = (spec: object, name = 't'): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'RuleTable', metadata: { name }, spec });
const rule = (extra: object): unknown => table({ rules: [{ id: 1, action: 'accept', ...extra }] });
const attachment = (extra: object): unknown => ({
  apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'a' }, spec: { workload: { kind: 'Pod', name: 'redis' }, vnic: 'eth0', interface: 'veth0', ...extra },
});
const ANY = { not: false, addressSets: [], addresses: [] };

describe('the contract', () => {
  it('takes its RuleTable', () => {
    expect(accept(yaml(`
kind: RuleTable
metadata: { name: domain-c25 }
spec:
  appliedTo: { workloads: [{ kind: VirtualMachine, name: web-sv-01a }] }
  addressSets: [{ name: ip-vm-33, addresses: [172.16.10.12, 10.1.0.0/16, 10.2.0.1-10.2.0.9, "fd00::1"] }]
  rules:
    - { id: 1006, direction: inout, protocol: tcp, source: { addressSets: [ip-vm-33] }, destination: { addressSets: [ip-vm-36] }, ports: ["22", "8000-8100"], action: accept, log: true, tag: ssh }
    - { id: 1002, direction: inout, protocol: any, action: reject, log: true }
  layer2Rules:
    - { id: 1001, direction: inout, ethertype: any, action: accept }
`))).toEqual({
      kind: 'RuleTable',
      metadata: { name: 'domain-c25', labels: {} },
      appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'web-sv-01a' }] },
      addressSets: [{ name: 'ip-vm-33', addresses: ['172.16.10.12', '10.1.0.0/16', '10.2.0.1-10.2.0.9', 'fd00::1'] }],
      rules: [
        {
          id: 1006, direction: 'inout', protocol: 6, source: { ...ANY, addressSets: ['ip-vm-33'] }, sourcePorts: [], destination: { ...ANY, addressSets: ['ip-vm-36'] },
          ports: [{ first: 22, last: 22 }, { first: 8000, last: 8100 }], action: 'accept', log: true, tag: 'ssh', stateless: false,
        },
        { id: 1002, direction: 'inout', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action: 'reject', log: true, stateless: false },
      ],
      layer2Rules: [{ id: 1001, direction: 'inout', ethertype: 'any', source: ANY, destination: ANY, action: 'accept', log: false }],
    });
  });

  it('takes its Attachment and VirtualMachine', () => {
    expect(accept(yaml(`
kind: Attachment
metadata: { name: redis-master-eth0 }
spec:
  workload: { kind: Pod, namespace: default, name: redis-master }
  vnic: eth0
  interface: veth3f2a
  mac: 0A:58:0a:62:00:02
  addresses: [10.98.0.2]
`))).toEqual({
      kind: 'Attachment', metadata: { name: 'redis-master-eth0', labels: {} }, workload: { kind: 'Pod', namespace: 'default', name: 'redis-master' },
      vnic: 'eth0', interface: 'veth3f2a', mac: '0a:58:0a:62:00:02', addresses: ['10.98.0.2'],
    });
    expect(accept(yaml(`
apiVersion: dfw.dev/v1
kind: VirtualMachine
metadata: { name: db-vm, labels: { app: demo } }
spec: { uuid: 4c4c, segment: vlan-64, nics: [{ name: eth0, mac: "00:50:56:00:00:01", addresses: [172.19.2.1] }] }
`))).toEqual({
      kind: 'VirtualMachine', metadata: { name: 'db-vm', labels: { app: 'demo' } }, uuid: '4c4c', segment: 'vlan-64',
      nics: [{ name: 'eth0', mac: '00:50:56:00:00:01', addresses: ['172.19.2.1'] }],
    });
  });

  it('takes Kubernetes objects as the API server returns them, ignoring what it does not need', () => {
    expect(accept(yaml(`
apiVersion: v1
kind: Pod
metadata: { name: redis, labels: { app: redis }, annotations: { x: y }, unknown: 1 }
spec:
  nodeName: host-1
  serviceAccount: default
  containers: [{ name: c, image: redis, ports: [{ name: db, containerPort: 6379 }, { containerPort: 1 }, { name: dns, containerPort: 53, protocol: UDP }] }, { name: d }]
status: { phase: Running, podIP: 10.98.0.2, podIPs: [{ ip: 10.98.0.2 }, { ip: "FD00::2" }] }
`))).toEqual({
      kind: 'Pod', metadata: { name: 'redis', namespace: 'default', labels: { app: 'redis' } }, nodeName: 'host-1', addresses: ['10.98.0.2', 'fd00::2'],
      ports: [{ name: 'db', protocol: 6, port: 6379 }, { name: 'dns', protocol: 17, port: 53 }],
    });
    expect(accept({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n' }, status: { phase: 'Succeeded', podIP: '10.0.0.1' } })).toMatchObject({ addresses: [] });
    expect(accept({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, status: { podIP: '' } })).toMatchObject({ addresses: [] });
    expect(accept({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a' } } }))
      .toMatchObject({ metadata: { labels: { 'kubernetes.io/metadata.name': 'shop', team: 'a' } } });
    expect(accept({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'host-1', labels: null }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }, { type: 'Hostname', address: 'host-1' }] } }))
      .toEqual({ kind: 'Node', metadata: { name: 'host-1', labels: {} }, addresses: ['192.0.2.1'] });
  });

  it('takes TrafficControl', () => {
    const spec = { appliedTo: { podSelector: { matchLabels: { app: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'antrea-tap0' } } };
    const document = (extra: object): unknown => ({ apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'ids' }, spec: { ...spec, ...extra } });
    expect(accept(document({}))).toEqual({
      kind: 'TrafficControl', metadata: { name: 'ids', labels: {} }, appliedTo: { podSelector: { matchLabels: { app: 'web' }, matchExpressions: [] } },
      direction: 'Both', action: 'Mirror', target: { type: 'device', name: 'antrea-tap0', options: {} },
    });
    expect(accept(document({ action: 'Redirect', targetPort: { ovsInternal: { name: 't1' } }, returnPort: { device: { name: 't2' } } }))).toMatchObject({ target: { type: 'internal', name: 't1' }, returnPort: { type: 'device', name: 't2' } });
    expect(accept(document({ targetPort: { vxlan: { remoteIP: '192.0.2.1', vni: 7 } } }))).toMatchObject({ target: { type: 'vxlan', name: expect.stringMatching(/^dfw[0-9a-f]{8}$/), options: { remote_ip: '192.0.2.1', key: '7' } } });
    expect(refuse(document({ targetPort: { geneve: { remoteIP: 'there' } } }))).toMatchObject({ path: 'spec.targetPort.geneve.remoteIP' });
    expect(refuse(document({ targetPort: { erspan: { remoteIP: '192.0.2.1', version: 1, dir: 1 } } }))).toMatchObject({ path: 'spec.targetPort.erspan' });
    expect(refuse(document({ action: 'Redirect', returnPort: { gre: { remoteIP: '192.0.2.1' } } }))).toMatchObject({ path: 'spec.returnPort' });
    expect(accept(document({ match: [{ protocol: 'TCP', ports: [443, '80', '8000-8100'] }, { protocol: 1 }] }))).toMatchObject({
      match: [{ protocol: 6, ports: [{ first: 80, last: 80 }, { first: 443, last: 443 }, { first: 8000, last: 8100 }] }, { protocol: 1, ports: [] }],
    });
    expect(refuse(document({ match: [] }))).toMatchObject({ path: 'spec.match' });
    expect(refuse(document({ match: [{ protocol: 'icmp', ports: [1] }] }))).toMatchObject({ path: 'spec.match[0].ports' });
    expect(refuse(document({ match: [{ protocol: 'any' }] }))).toMatchObject({ path: 'spec.match[0].protocol' });
    expect(refuse(document({ targetPort: {} }))).toMatchObject({ path: 'spec.targetPort' });
    expect(refuse(document({ action: 'Redirect' }))).toMatchObject({ path: 'spec.returnPort' });
    expect(accept(document({ sampling: { connections: 10 }, rateLimit: { packetsPerSecond: 500, bytesPerSecond: 1_000_000, burst: 50 }, refused: 'left-out' }))).toMatchObject({
      sampling: 10, rateLimit: { packetsPerSecond: 500, bytesPerSecond: 1_000_000, burst: 50 }, refused: 'left-out',
    });
    const plain = accept(document({ sampling: { connections: 1 }, rateLimit: null, refused: null }));
    for (const name of ['sampling', 'rateLimit', 'refused']) expect(plain).not.toHaveProperty(name);
    for (const [name, value, path] of [
      ['sampling', { connections: 0 }, 'spec.sampling.connections'], ['sampling', { connections: 65_537 }, 'spec.sampling.connections'], ['rateLimit', {}, 'spec.rateLimit'],
      ['rateLimit', { bytesPerSecond: 1_000, burst: 5 }, 'spec.rateLimit.burst'], ['rateLimit', { packetsPerSecond: 0 }, 'spec.rateLimit.packetsPerSecond'], ['refused', 'dropped', 'spec.refused'],
    ] as const) expect(refuse(document({ [name]: value })), name).toMatchObject({ path });
    for (const [name, value] of [['sampling', { connections: 5 }], ['rateLimit', { packetsPerSecond: 1 }], ['refused', 'copied']] as const) {
      expect(refuse(document({ action: 'Redirect', returnPort: { device: { name: 'back' } }, [name]: value }))).toMatchObject({ path: `spec.${name}` });
    }
    expect(refuse(document({ targetport: {} }))).toMatchObject({ path: 'spec.targetport', message: 'unknown field "targetport"; did you mean targetPort?' });
  });

  it('takes IDPSPolicy', () => {
    const appliedTo = { podSelector: { matchLabels: { app: 'web' } } };
    const document = (extra: object): unknown => ({ apiVersion: 'crd.antrea.io/v1alpha1', kind: 'IDPSPolicy', metadata: { name: 'web-ids' }, spec: { appliedTo, ...extra } });
    expect(accept(document({}))).toEqual({
      kind: 'IDPSPolicy', metadata: { name: 'web-ids', labels: {} }, appliedTo: { podSelector: { matchLabels: { app: 'web' }, matchExpressions: [] } },
      direction: 'Both', mode: 'detect', onFailure: 'bypass', signatures: {},
    });
    expect(accept(document({
      appliedTo: { vmSelector: { matchLabels: { 'any tag': 'of a VM' } } }, mode: 'prevent', onFailure: 'block', direction: 'Ingress',
      signatures: { severities: [1, 2], categories: ['bad-unknown'], sids: [7], disabledSids: [8], overrides: [{ sid: 9, action: 'drop' }] },
    }))).toMatchObject({
      appliedTo: { vmSelector: { matchLabels: { 'any tag': 'of a VM' } } }, mode: 'prevent', onFailure: 'block', direction: 'Ingress',
      signatures: { severities: [1, 2], categories: ['bad-unknown'], sids: [7], disabledSids: [8], actions: { 9: 'drop' } },
    });
    expect(refuse(document({ onFailure: 'block' }))).toMatchObject({ path: 'spec.onFailure', message: expect.stringContaining('needs mode prevent') });
    expect(refuse(document({ mode: 'both' }))).toMatchObject({ path: 'spec.mode' });
    expect(refuse(document({ signatures: { severities: [5] } }))).toMatchObject({ path: 'spec.signatures.severities[0]' });
    expect(refuse(document({ signatures: { overrides: [{ sid: 1, action: 'drop' }, { sid: 1, action: 'pass' }] } }))).toMatchObject({ path: 'spec.signatures.overrides[1]' });
    expect(refuse({ apiVersion: 'crd.antrea.io/v1alpha1', kind: 'IDPSPolicy', metadata: { name: 'x' }, spec: {} })).toMatchObject({ path: 'spec' });
  });

  it('takes AddressSets up to the limit', () => {
    const set = (addresses: unknown): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name: 'ip-ipset-2' }, spec: { addresses } });
    expect(accept(set(['10.0.0.1', 'FD00::/8']))).toMatchObject({ addresses: ['10.0.0.1', 'fd00::/8'] });
    expect(refuse(set(['10.0.0.1', 5]))).toMatchObject({ path: 'spec.addresses[1]', message: 'must be an address in a string, is 5' });
    expect(refuse(set(['10.0.0.1', '10.0.0.5/24']))).toMatchObject({ path: 'spec.addresses[1]', message: expect.stringContaining('write 10.0.0.0/24') });
    expect(refuse(set('10.0.0.1'))).toMatchObject({ path: 'spec.addresses', message: 'must be a list, is the string "10.0.0.1"' });
    expect(refuse(set(Array.from({ length: LIMITS.addressesPerSet + 1 }, () => '10.0.0.1')))).toEqual({ code: 'E_LIMIT', path: 'spec.addresses', message: '1000001 addresses; the limit is 1000000 (addressesPerSet)' });
  });
});

describe('rules', () => {
  it.each<[object, object]>([
    [{ protocol: 47 }, { protocol: 47 }],
    [{ protocol: 'icmp', icmp: { type: 3, code: 1 } }, { protocol: 1, icmp: { type: 3, code: 1 } }],
    [{ protocol: 'udp', ports: [53, '8000-8100', 53], sourcePorts: ['1024-65535'] }, { ports: [{ first: 53, last: 53 }, { first: 8000, last: 8100 }], sourcePorts: [{ first: 1024, last: 65535 }] }],
    [{ family: 'inet6', source: { addresses: ['FD00::1'], not: true } }, { family: 6, source: { not: true, addressSets: [], addresses: ['fd00::1'] } }],
    [{ stateless: true, source: {} }, { stateless: true, direction: 'inout', protocol: 'any', source: ANY }],
    [{ tag: '' }, { log: false }],
  ])('take %j', (extra, expected) => {
    expect(accept(rule(extra))).toMatchObject({ rules: [expected] });
  });

  it.each<[object, string, string]>([
    [{ protocl: 'tcp' }, 'spec.rules[0].protocl', 'unknown field "protocl"; did you mean protocol?'],
    [{ protocol: 'tpc' }, 'spec.rules[0].protocol', 'unknown protocol "tpc"; did you mean tcp?'],
    [{ protocol: 256 }, 'spec.rules[0].protocol', 'unknown protocol "256"; use a name or a number from 0 to 255'],
    [{ action: 'allow' }, 'spec.rules[0].action', 'must be one of accept, drop, reject, pass; is the string "allow"'],
    [{ direction: 'both' }, 'spec.rules[0].direction', 'must be one of in, out, inout; is the string "both"'],
    [{ id: 0 }, 'spec.rules[0].id', 'must be at least 1, is 0'],
    [{ id: 2 ** 31 }, 'spec.rules[0].id', 'must be at most 2147483647, is 2147483648'],
    [{ id: '7' }, 'spec.rules[0].id', 'must be a whole number, is the string "7"'],
    [{ id: 1.5 }, 'spec.rules[0].id', 'must be a whole number, is 1.5'],
    [{ log: 'yes' }, 'spec.rules[0].log', 'must be true or false, is the string "yes"'],
    [{ tag: 5 }, 'spec.rules[0].tag', 'must be a string, is 5; put it in quotes'],
    [{ tag: "it's" }, 'spec.rules[0].tag', 'the tag "it\'s" may hold only printable ASCII characters and no quotes'],
    [{ protocol: 'tcp', ports: ['70000'] }, 'spec.rules[0].ports[0]', '"70000" is not a port or a range of ports; use 22 or 8000-8100, each from 0 to 65535'],
    [{ protocol: 'tcp', ports: ['22', '9-5'] }, 'spec.rules[0].ports[1]', '"9-5" is not a port'],
    [{ protocol: 'tcp', ports: [-1] }, 'spec.rules[0].ports[0]', '"-1" is not a port'],
    [{ protocol: 'tcp', ports: '22' }, 'spec.rules[0].ports', 'must be a list, is the string "22"'],
    [{ ports: ['22'] }, 'spec.rules[0].ports', 'protocol any has no ports'],
    [{ protocol: 'gre', sourcePorts: [22] }, 'spec.rules[0].sourcePorts', 'protocol gre has no ports'],
    [{ protocol: 'tcp', icmp: { type: 8 } }, 'spec.rules[0].icmp', 'protocol tcp has no ICMP type'],
    [{ protocol: 'icmp', icmp: { code: 8 } }, 'spec.rules[0].icmp', 'the field type is missing'],
    [{ protocol: 'icmp', icmp: { type: 256 } }, 'spec.rules[0].icmp.type', 'must be at most 255, is 256'],
    [{ protocol: 'icmp', family: 'inet6' }, 'spec.rules[0].family', 'protocol icmp does not exist in family inet6'],
    [{ protocol: 'ipv6-icmp', family: 'inet' }, 'spec.rules[0].family', 'protocol ipv6-icmp does not exist in family inet'],
    [{ source: { not: true } }, 'spec.rules[0].source.not', 'there is nothing to negate'],
    [{ source: { addresses: ['::ffff:10.0.0.1'] } }, 'spec.rules[0].source.addresses[0]', 'IPv4-mapped IPv6 address; write 10.0.0.1'],
    [{ source: { addresses: ['00:50:56:00:00:01'] } }, 'spec.rules[0].source.addresses[0]', 'MAC addresses belong in layer2Rules'],
    [{ destination: { addressSets: ['a', 'x; flush ruleset'] } }, 'spec.rules[0].destination.addressSets[1]', 'the address set name "x; flush ruleset"'],
    [{ ['a\nb"']: 1 }, 'spec.rules[0]."a\\nb\\""', 'unknown field "a\\nb\\""; known here: id, direction'],
  ])('refuse %j', (extra, path, message) => {
    const problem = refuse(rule(extra));
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });

  it('may share an id on adjacent lines that agree', () => {
    const three = (...rules: object[]): unknown => table({ rules: rules.map((each) => ({ action: 'accept', ...each })) });
    expect(accept(three({ id: 1 }, { id: 1, protocol: 'tcp' }, { id: 2 }))).toBeDefined();
    expect(refuse(three({ id: 1 }, { id: 2 }, { id: 1 }))).toMatchObject({ path: 'spec.rules[2].id', message: expect.stringContaining('(spec.rules[0] and spec.rules[2])') });
    expect(refuse(three({ id: 1 }, { id: 1, stateless: true }))).toMatchObject({ path: 'spec.rules[1].id', message: expect.stringContaining('differ in stateless') });
  });

  it('are at most 4,000 in a table', () => {
    const rules = (count: number): unknown => table({ rules: Array.from({ length: count }, (_, index) => ({ id: index + 1, action: 'drop' })) });
    expect(accept(rules(LIMITS.rulesPerTable))).toBeDefined();
    expect(refuse(rules(LIMITS.rulesPerTable + 1))).toEqual({ code: 'E_LIMIT', path: 'spec.rules', message: '4001 rules; the limit is 4000 (rulesPerTable)' });
  });

  it('cannot reject at layer 2, nor match IP addresses', () => {
    const layer2 = (extra: object): unknown => table({ layer2Rules: [{ id: 1, action: 'drop', ...extra }] });
    expect(accept(layer2({ ethertype: 'arp', source: { addresses: ['00-50-56-00-00-01'] } }))).toMatchObject({ layer2Rules: [{ ethertype: 0x0806, source: { addresses: ['00:50:56:00:00:01'] } }] });
    expect(refuse(layer2({ action: 'reject' })).path).toBe('spec.layer2Rules[0].action');
    expect(refuse(layer2({ ethertype: 5 }))).toMatchObject({ path: 'spec.layer2Rules[0].ethertype' });
    expect(refuse(layer2({ source: { addresses: ['10.0.0.1'] } }))).toMatchObject({ path: 'spec.layer2Rules[0].source.addresses[0]' });
    expect(refuse(layer2({ protocol: 'tcp' })).message).toContain('unknown field "protocol"');
  });
});

describe('refusals', () => {
  it.each<[unknown, string, string]>([
    [null, '', 'a manifest is a mapping with apiVersion, kind and metadata; this is empty'],
    [[1], '', 'this is a list'],
    [{ metadata: {} }, '', 'the field kind is missing'],
    [{ kind: 5 }, 'kind', 'must be a string, is 5'],
    [{ apiVersion: 'apps/v1', kind: 'Deployment' }, 'kind', 'unknown kind "Deployment" in group "apps"; this version knows RuleTable, AddressSet, SecurityPolicy, Group, VirtualMachine, Attachment, Pod, '],
    [{ apiVersion: 'dfw.dev/v1', kind: 'RuleTabel' }, 'kind', 'did you mean RuleTable?'],
    [{ apiVersion: 'crd.antrea.io/v1', kind: 'IDPSPolicy' }, 'apiVersion', 'kind IDPSPolicy is crd.antrea.io/v1alpha2 or crd.antrea.io/v1alpha1'],
    [{ apiVersion: 'extensions/v1beta1', kind: 'NetworkPolicy' }, 'apiVersion', 'kind NetworkPolicy is networking.k8s.io/v1, crd.antrea.io/v1beta1, crd.antrea.io/v1alpha1 or security.antrea.tanzu.vmware.com/v1alpha1, not "extensions/v1beta1"'],
    [{ apiVersion: 'networking.k8s.io/v2', kind: 'NetworkPolicy' }, 'apiVersion', 'kind NetworkPolicy is networking.k8s.io/v1, not "networking.k8s.io/v2"'],
    [{ apiVersion: 'apps/v1', kind: 'Pod' }, 'apiVersion', 'kind Pod is v1, not "apps/v1"'],
    [{ kind: 'Pod' }, 'apiVersion', 'the field apiVersion is missing; Pod is v1'],
    [{ apiVersion: 'crd.antrea.io/v1alpha1', kind: 'TrafficControl' }, 'apiVersion', 'kind TrafficControl is crd.antrea.io/v1alpha2'],
    [{ kind: 'RuleTable', spec: {} }, '', 'the field metadata is missing'],
    [{ kind: 'RuleTable', metadata: {}, spec: {} }, 'metadata', 'the field name is missing'],
    [{ kind: 'RuleTable', metadata: { name: 5 }, spec: {} }, 'metadata.name', 'must be a string, is 5; put it in quotes'],
    [{ kind: 'RuleTable', metadata: { name: 'x', namespace: 'default' }, spec: {} }, 'metadata.namespace', 'unknown field "namespace"'],
    [{ kind: 'RuleTable', metadata: { name: 'x_L2' }, spec: {} }, 'metadata.name', 'ends in _L2'],
    [table({ appliedTo: {} }), 'spec.appliedTo', 'leave appliedTo out'],
    [table({ appliedTo: { workloads: [{ kind: 'Node', namespace: 'x', name: 'y' }] } }), 'spec.appliedTo.workloads[0].namespace', 'a Node has no namespace'],
    [table({ appliedTo: { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } } }), 'spec.appliedTo.selector.matchExpressions[0].values', 'needs at least one value'],
    [table({ appliedTo: { selector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] } } }), 'spec.appliedTo.selector.matchExpressions[0].values', 'takes no values'],
    [table({ addressSets: [{ name: 'a', addresses: [] }, { name: 'a', addresses: [] }] }), 'spec.addressSets[1].name', 'already defined at spec.addressSets[0]'],
    [attachment({ interface: 'veth0; rm -rf /' }), 'spec.interface', 'is not an interface name'],
    [attachment({ interface: 'x'.repeat(16) }), 'spec.interface', 'longer than 15'],
    [attachment({ vnic: 'a/b' }), 'spec.vnic', 'may hold only'],
    [attachment({ mac: 'x' }), 'spec.mac', 'is not a MAC address'],
    [attachment({ addresses: ['10.0.0.0/8'] }), 'spec.addresses[0]', 'single host'],
    [attachment({ workload: { kind: 'Container', name: 'x' } }), 'spec.workload.kind', 'must be one of Pod, VirtualMachine, Node'],
    [attachment({ interfce: 'x' }), 'spec.interfce', 'did you mean interface?'],
    [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'Redis' } }, 'metadata.name', 'is not a DNS name'],
    [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'a.b' } }, 'metadata.namespace', 'is not a DNS label'],
    [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, status: { podIPs: [{ ip: 'x' }] } }, 'status.podIPs[0]', 'is not an IP address'],
    [{ kind: 'VirtualMachine', metadata: { name: 'v' }, spec: { nics: [{ name: 'eth0' }, { name: 'eth0' }] } }, 'spec.nics[1].name', 'two vNICs'],
    [{ kind: 'VirtualMachine', metadata: { name: 'v', annotations: { 'dfw.dev/ip-discovery': 'on' } } }, 'metadata.annotations[dfw.dev/ip-discovery]', 'is none of off, manual'],
  ])('refuse %j', (document, path, message) => {
    const problem = refuse(document);
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });

  it.each(['a"b', 'a\nb', `a${'b'.repeat(4096)}`, 'a; flush ruleset', '$(id)', '{}', ''])('hold a hostile name %j, shown in one short printable line', (name) => {
    const problem = refuse(table({}, name));
    expect(problem.path).toBe('metadata.name');
    expect(problem.message).toMatch(/^[ -~]{5,200}$/);
  });

  it('tell a misspelt required field once, as unknown', () => {
    const { interface: name, ...spec } = { workload: { kind: 'Pod', name: 'p' }, interface: 'veth0' };
    expect(refuse({ kind: 'Attachment', metadata: { name: 'a' }, spec: { ...spec, interfaec: name } }).message).toContain('did you mean interface?');
  });

  it('tell several at once', () => {
    const decoded = decoder.decode(rule({ action: 'allow', direction: 'both', log: 1 }));
    expect('problems' in decoded && decoded.problems.map(({ path }) => path).sort()).toEqual(['spec.rules[0].action', 'spec.rules[0].direction', 'spec.rules[0].log']);
  });
});

describe('rules text', () => {
  it('becomes manifests that mean the same', () => {
    const text = `ruleset mainrs {
rule 1 at 1 inout inet protocol tcp from not {addrset a, ip 10.0.0.0/8} port 5 to addrset a port {22, 80-90} accept with log tag 'x';
rule 2 at 2 in protocol ipv6-icmp with {stateless, typecode 1:3} from any to ip fd00::1 drop;
}
ruleset mainrs_L2 {
rule 3 at 1 in ethertype 0x88cc from mac 00:50:56:00:00:01 to any drop;
}
addrset a {
ip 10.0.0.1,
}
`;
    const [entry] = objectsOfRulesText(parseRulesText(text));
    expect(entry?.object.kind).toBe('RuleTable');
    expect(accept(entry?.manifest)).toEqual(entry?.object);
    const [set] = objectsOfRulesText(parseRulesText('addrset a {\nip 10.0.0.1,\n}\n'));
    expect(accept(set?.manifest)).toEqual(set?.object);
  });
});
