import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { GROUP_OBJECTS } from '../../../../src/model/policy-objects.js';
import { LIMITS } from '../../../../src/model/rule.js';
import { accept, refuse } from '../../../support/decode.js';

const policy = (spec: object): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'SecurityPolicy', metadata: { name: 'p' }, spec });
const rule = (extra: object): unknown => policy({ rules: [extra] });
const service = (extra: object): unknown => rule({ services: [extra] });
const yaml = (text: string): unknown => parse(text);

describe('SecurityPolicy', () => {
  it('of the contract is taken', () => {
    expect(accept('SecurityPolicy', yaml(`
kind: SecurityPolicy
metadata: { name: db-access }
spec:
  category: Application
  sequence: 10
  appliedTo: [{ group: demo-vms }]
  rules:
    - { name: mongo, sources: [{ group: kube-demo-a-nodes }], destinations: [{ group: demo-vms }], services: [{ protocol: TCP, ports: ["27017"] }], action: Allow, direction: InOut, logged: true, disabled: false }
`))).toEqual({
      kind: 'SecurityPolicy', metadata: { name: 'db-access', labels: {} }, category: 'Application', sequence: 10, disabled: false, appliedTo: [{ group: 'demo-vms' }],
      rules: [{
        name: 'mongo', sources: [{ group: 'kube-demo-a-nodes' }], sourcesExcluded: false, destinations: [{ group: 'demo-vms' }], destinationsExcluded: false,
        services: [{ protocol: 6, ports: [{ first: 27017, last: 27017 }], sourcePorts: [] }], action: 'Allow', direction: 'InOut', log: true, disabled: false, appliedTo: [],
      }],
    });
  });

  it('has defaults', () => {
    expect(accept('SecurityPolicy', policy({ rules: [{}, { name: '規則 1', id: 7, tag: 'x' }] }))).toEqual({
      kind: 'SecurityPolicy', metadata: { name: 'p', labels: {} }, category: 'Application', sequence: 0, disabled: false, appliedTo: [],
      rules: [
        { name: 'rule-1', sources: [], sourcesExcluded: false, destinations: [], destinationsExcluded: false, services: [], action: 'Allow', direction: 'InOut', log: false, disabled: false, appliedTo: [] },
        { name: '規則 1', id: 7, tag: 'x', sources: [], sourcesExcluded: false, destinations: [], destinationsExcluded: false, services: [], action: 'Allow', direction: 'InOut', log: false, disabled: false, appliedTo: [] },
      ],
    });
    expect(accept('SecurityPolicy', policy({})).rules).toEqual([]);
  });

  it('has addresses, exclusions and targets', () => {
    expect(accept('SecurityPolicy', policy({
      category: 'Emergency', disabled: true, appliedTo: [{ workload: { kind: 'Pod', name: 'web' } }, { workload: { kind: 'VirtualMachine', name: 'db-vm' } }],
      rules: [{
        sources: [{ addresses: ['10.0.0.1', '10.0.0.0/8', '10.0.0.1-10.0.0.9', 'FD00::/8'] }], sourcesExcluded: true, destinations: [{ group: 'a' }], destinationsExcluded: true,
        action: 'Reject', direction: 'In', appliedTo: [{ group: 'b' }],
      }],
    }))).toMatchObject({
      category: 'Emergency', disabled: true, appliedTo: [{ workload: { kind: 'Pod', namespace: 'default', name: 'web' } }, { workload: { kind: 'VirtualMachine', name: 'db-vm' } }],
      rules: [{
        sources: [{ addresses: ['10.0.0.1', '10.0.0.0/8', '10.0.0.1-10.0.0.9', 'fd00::/8'] }], sourcesExcluded: true, destinationsExcluded: true, action: 'Reject', direction: 'In', appliedTo: [{ group: 'b' }],
      }],
    });
  });

  it.each<[object, object]>([
    [{ protocol: 'UDP', ports: ['53', 8000, '8000-8100'], sourcePorts: ['1024-65535'] }, { protocol: 17, ports: [{ first: 53, last: 53 }, { first: 8000, last: 8100 }], sourcePorts: [{ first: 1024, last: 65535 }] }],
    [{ protocol: 'SCTP' }, { protocol: 132, ports: [], sourcePorts: [] }],
    [{ protocol: 'ICMP', icmpType: 8 }, { protocol: 1, ports: [], sourcePorts: [], icmp: { type: 8 } }],
    [{ protocol: 'ICMPv6', icmpType: 1, icmpCode: 0 }, { protocol: 58, ports: [], sourcePorts: [], icmp: { type: 1, code: 0 } }],
    [{ protocol: 47 }, { protocol: 47, ports: [], sourcePorts: [] }],
    [{ protocol: 'any' }, { ports: [], sourcePorts: [] }],
    [{}, { ports: [], sourcePorts: [] }],
  ])('takes service %j', (given, expected) => {
    expect(accept('SecurityPolicy', service(given)).rules[0]?.services).toEqual([expected]);
  });

  it.each<[unknown, string, string]>([
    [policy({ category: 'application' }), 'spec.category', 'did you mean Application?'], [policy({ sequence: -1 }), 'spec.sequence', 'at least 0'], [policy({ priority: 5 }), 'spec.priority', 'unknown field'],
    [policy({ appliedTo: [{}] }), 'spec.appliedTo[0]', 'give one of group, workload'], [policy({ appliedTo: [{ group: 'a', workload: { kind: 'Node', name: 'n' } }] }), 'spec.appliedTo[0]', 'give only one of'],
    [policy({ appliedTo: [{ group: 'a b' }] }), 'spec.appliedTo[0].group', 'the group name "a b"'],
    [rule({ source: [] }), 'spec.rules[0].source', 'did you mean sources?'], [rule({ sources: null }), 'spec.rules[0].sources', 'must be a list, is empty'], [rule({ sources: [{}] }), 'spec.rules[0].sources[0]', 'give one of group, addresses'],
    [rule({ sources: [{ group: 'a', addresses: ['10.0.0.1'] }] }), 'spec.rules[0].sources[0]', 'give only one of'], [rule({ sources: [{ addresses: [] }] }), 'spec.rules[0].sources[0].addresses', 'leave the whole list out'],
    [rule({ sources: [{ addresses: ['10.0.0.1/8'] }] }), 'spec.rules[0].sources[0].addresses[0]', 'has host bits set'],
    [rule({ destinations: [{ addresses: ['10.0.0.1', '00:50:56:00:00:01'] }] }), 'spec.rules[0].destinations[0].addresses[1]', 'use layer2Rules'],
    [rule({ sourcesExcluded: true }), 'spec.rules[0].sourcesExcluded', 'nothing to exclude'], [rule({ destinationsExcluded: true }), 'spec.rules[0].destinationsExcluded', 'nothing to exclude'],
    [rule({ action: 'accept' }), 'spec.rules[0].action', 'must be one of Allow, Drop, Reject, Pass'], [rule({ direction: 'inout' }), 'spec.rules[0].direction', 'did you mean InOut?'], [rule({ logged: 1 }), 'spec.rules[0].logged', 'true or false'],
    [rule({ tag: "it's" }), 'spec.rules[0].tag', 'no quotes'], [rule({ name: '' }), 'spec.rules[0].name', 'is empty'], [rule({ id: 0 }), 'spec.rules[0].id', 'at least 1'],
    [policy({ rules: [{ name: 'a' }, { name: 'a' }] }), 'spec.rules[1].name', 'the rule name a is already that of spec.rules[0].name'], [policy({ rules: [{ name: 'rule-2' }, {}] }), 'spec.rules[1].name', 'rule-2'],
    [policy({ rules: [{ id: 5 }, {}, { id: 5 }] }), 'spec.rules[2].id', 'the rule id 5 is already that of spec.rules[0].id'],
    [service({ protocol: 'TPC' }), 'spec.rules[0].services[0].protocol', 'did you mean tcp?'], [service({ protocol: 256 }), 'spec.rules[0].services[0].protocol', 'from 0 to 255'],
    [service({ ports: ['80'] }), 'spec.rules[0].services[0].ports', 'a service without a protocol has no ports'], [service({ protocol: 'ICMP', ports: ['80'] }), 'spec.rules[0].services[0].ports', 'protocol icmp has no ports'],
    [service({ protocol: 47, sourcePorts: ['80'] }), 'spec.rules[0].services[0].sourcePorts', 'protocol gre has no ports'], [service({ protocol: 'TCP', ports: ['90-80'] }), 'spec.rules[0].services[0].ports[0]', 'is not a port'],
    [service({ protocol: 'TCP', icmpType: 8 }), 'spec.rules[0].services[0].icmpType', 'protocol tcp has no ICMP type'], [service({ protocol: 'ICMP', icmpCode: 8 }), 'spec.rules[0].services[0].icmpCode', 'needs an icmpType'],
  ])('refuses %j', (document, path, message) => {
    const problem = refuse(document);
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });

  it('has at most 4,000 rules', () => {
    const rules = Array.from({ length: LIMITS.rulesPerPolicy + 1 }, () => ({}));
    expect(refuse(policy({ rules }))).toMatchObject({ code: 'E_LIMIT', path: 'spec' });
    expect(accept('SecurityPolicy', policy({ rules: rules.slice(1) })).rules).toHaveLength(LIMITS.rulesPerPolicy);
  });
});

describe('Group', () => {
  const group = (spec: object): unknown => ({ apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: 'g' }, spec });
  const expression = (extra: object): unknown => group({ criteria: [{ all: [{ object: 'Pod', key: 'Name', operator: 'Equals', ...extra }] }] });

  it('of the contract is taken', () => {
    expect(accept('Group', yaml(`
kind: Group
metadata: { name: kube-demo-a-nodes }
spec:
  criteria:
    - all:
        - { object: KubernetesCluster, key: Name, operator: Equals, value: kube-demo-a }
        - { object: KubernetesNode, key: Name, operator: StartsWith, value: "" }
  addresses: [192.0.2.7]
`))).toEqual({
      kind: 'Group', metadata: { name: 'kube-demo-a-nodes', labels: {} },
      criteria: [[
        { object: 'KubernetesCluster', key: 'Name', operator: 'Equals', values: ['kube-demo-a'] }, { object: 'KubernetesNode', key: 'Name', operator: 'StartsWith', values: [''] },
      ]],
      addresses: ['192.0.2.7'], workloads: [], groups: [],
    });
  });

  it('has every kind of member', () => {
    expect(accept('Group', group({ addresses: ['10.0.0.0/8'], workloads: [{ kind: 'VirtualMachine', name: 'vm' }, { kind: 'Pod', name: 'p' }], groups: ['a', 'b'] }))).toMatchObject({
      criteria: [], addresses: ['10.0.0.0/8'], workloads: [{ kind: 'VirtualMachine', name: 'vm' }, { kind: 'Pod', namespace: 'default', name: 'p' }], groups: ['a', 'b'],
    });
    for (const object of GROUP_OBJECTS) expect(accept('Group', expression({ object, value: 'x' })).criteria[0]?.[0]?.object).toBe(object);
  });

  it.each<[object, string[]]>([
    [{ operator: 'In', values: ['a', 'b'] }, ['a', 'b']], [{ operator: 'NotIn', value: 'a' }, ['a']], [{ operator: 'Exists' }, []], [{ operator: 'Exists', key: 'Tag', value: 'app' }, ['app']],
    [{ operator: 'Contains', value: 'x', key: 'Label' }, ['x']],
  ])('takes expression %j', (extra, values) => {
    expect(accept('Group', expression(extra)).criteria[0]?.[0]?.values).toEqual(values);
  });

  it.each<[unknown, string, string]>([
    [group({ criteria: [{ all: [] }] }), 'spec.criteria[0].all', 'is empty'], [group({ criteria: [{}] }), 'spec.criteria[0]', 'all is missing'], [group({ criteria: [{ any: [] }] }), 'spec.criteria[0].any', 'unknown field'],
    [expression({ object: 'KubernetesPod', value: 'x' }), 'spec.criteria[0].all[0].object', 'must be one of'], [expression({ key: 'name', value: 'x' }), 'spec.criteria[0].all[0].key', 'did you mean Name?'],
    [expression({ operator: 'Like', value: 'x' }), 'spec.criteria[0].all[0].operator', 'must be one of'], [expression({}), 'spec.criteria[0].all[0]', 'the field value is missing'],
    [expression({ value: 'a', values: ['b'] }), 'spec.criteria[0].all[0]', 'give only one of value, values'], [expression({ values: ['b'] }), 'spec.criteria[0].all[0].values', 'takes value, not values'],
    [expression({ operator: 'In', values: [] }), 'spec.criteria[0].all[0]', 'needs values'], [expression({ operator: 'Exists', value: 'x' }), 'spec.criteria[0].all[0]', 'takes no value'],
    [expression({ operator: 'Exists', key: 'Tag', values: ['a', 'b'] }), 'spec.criteria[0].all[0]', 'takes one value'], [expression({ value: 5 }), 'spec.criteria[0].all[0].value', 'put it in quotes'],
    [group({ groups: ['g'] }), 'spec.groups[0]', 'cannot be a member of itself'], [group({ groups: ['a', 'a'] }), 'spec.groups[1]', 'already'], [group({ addresses: ['00:50:56:00:00:01'] }), 'spec.addresses[0]', 'IP addresses only'],
    [group({ addresses: ['x'] }), 'spec.addresses[0]', 'is not an address'], [group({ workloads: [{ kind: 'Service', name: 'x' }] }), 'spec.workloads[0].kind', 'must be one of'], [group({ criterias: [] }), 'spec.criterias', 'did you mean criteria?'],
  ])('refuses %j', (document, path, message) => {
    const problem = refuse(document);
    expect(problem.path).toBe(path);
    expect(problem.message).toContain(message);
  });
});
