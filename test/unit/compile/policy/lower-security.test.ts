import { describe, expect, it } from 'vitest';
import { targetsOf } from '../../../../src/compile/policy/lower.js';
import { lower, onlyRule, refusal, securityPolicy, securityRule } from './objects.js';

const nodes = { group: 'kube-demo-a-nodes' };
const vms = { group: 'demo-vms' };
const group = (name: string): unknown => ({ group: { kind: 'Group', name } });

describe('a SecurityPolicy', () => {
  it('has rules with both sides', () => {
    const services = [{ protocol: 6, ports: [{ first: 27_017, last: 27_017 }], sourcePorts: [] }];
    expect(lower(securityPolicy({ rules: [securityRule({ id: 2050, sources: [nodes], destinations: [vms], services, log: true, tag: 'mongo' })] }))).toEqual({
      key: 'SecurityPolicy/db-access', kind: 'SecurityPolicy', reference: { kind: 'SecurityPolicy', name: 'db-access', group: 'dfw.dev' },
      order: { section: 'admin', rank: 249.9, priority: 10, name: 'SecurityPolicy:db-access' },
      isolates: { in: false, out: false, targets: [], log: false },
      rules: [{
        key: 'mongo', name: 'mongo', id: 2050, direction: 'inout', action: 'accept', sources: [group('kube-demo-a-nodes')], sourcesExcluded: false,
        destinations: [group('demo-vms')], destinationsExcluded: false, services, targets: [group('demo-vms')], log: true, tag: 'mongo',
      }],
    });
  });

  it.each([['Emergency', -1], ['Infrastructure', 99.3], ['Environment', 99.6], ['Application', 249.9]] as const)('of category %s has rank %d', (category, rank) => {
    expect(lower(securityPolicy({ category })).order).toMatchObject({ section: 'admin', rank });
  });

  it('of category Ethernet is refused, with what to use instead', () => {
    expect(refusal(securityPolicy({ category: 'Ethernet' }))).toEqual({
      code: 'E_INVALID', object: 'SecurityPolicy/db-access', path: 'spec.category', message: "category Ethernet: use a RuleTable's layer2Rules",
    });
  });

  it('leaves out what is disabled, targets too', () => {
    const rules = [securityRule({ name: 'a', disabled: true, appliedTo: [nodes] }), securityRule({ name: 'b' })];
    expect(lower(securityPolicy({ rules })).rules.map(({ key }) => key)).toEqual(['b']);
    expect(targetsOf(securityPolicy({ rules }))).toEqual([group('demo-vms')]);
    expect(lower(securityPolicy({ disabled: true, rules })).rules).toEqual([]);
    expect(targetsOf(securityPolicy({ disabled: true, rules }))).toEqual([]);
  });

  it('applies to every filter where it names none, and rules to their own', () => {
    const rule = securityRule({ appliedTo: [{ workload: { kind: 'VirtualMachine', name: 'db-vm' } }] });
    const own = [{ workload: { kind: 'VirtualMachine', name: 'db-vm' } }];
    expect(onlyRule(securityPolicy({ appliedTo: [], rules: [securityRule()] })).targets).toEqual([{ everything: true }]);
    expect(onlyRule(securityPolicy({ appliedTo: [], rules: [rule] })).targets).toEqual(own);
    expect(targetsOf(securityPolicy({ appliedTo: [], rules: [rule] }))).toEqual(own);
    expect(targetsOf(securityPolicy({ appliedTo: [], rules: [rule, securityRule({ name: 'all' })] }))).toEqual([{ everything: true }, ...own]);
    expect(targetsOf(securityPolicy())).toEqual([]);
  });

  it('negates sides; everything but any is nothing', () => {
    const rule = { sourcesExcluded: true, destinationsExcluded: true };
    expect(onlyRule(securityPolicy({ rules: [securityRule({ ...rule, sources: [nodes, { addresses: ['192.0.2.0/24'] }] })] }))).toMatchObject({
      sources: [group('kube-demo-a-nodes'), { addresses: ['192.0.2.0/24'] }], sourcesExcluded: true, destinations: [], destinationsExcluded: false,
    });
    expect(onlyRule(securityPolicy({ rules: [securityRule({ direction: 'In', sources: [{ group: 'g', addresses: ['192.0.2.1'] }] })] }))).toMatchObject({
      direction: 'in', sources: [group('g'), { addresses: ['192.0.2.1'] }], destinations: 'any',
    });
  });

  it('takes any service where one of them is', () => {
    const icmp = { protocol: 58, ports: [], sourcePorts: [], icmp: { type: 128 } };
    expect(onlyRule(securityPolicy({ rules: [securityRule({ services: [icmp] })] })).services).toEqual([{ protocol: 58, icmp: { type: 128 } }]);
    expect(onlyRule(securityPolicy({ rules: [securityRule({ services: [icmp, { ports: [], sourcePorts: [] }] })] })).services).toBe('any');
    expect(refusal(securityPolicy({ rules: [securityRule({ services: [{ ports: [{ first: 1, last: 2 }], sourcePorts: [] }] })] })).path).toBe('spec.rules[0].services[0]');
  });

  it('is refused for endpoints and targets that select nothing', () => {
    expect(refusal(securityPolicy({ rules: [securityRule({ disabled: true }), securityRule({ destinations: [vms, {}] })] })).path).toBe('spec.rules[1].destinations[1]');
    expect(refusal(securityPolicy({ appliedTo: [{}] })).path).toBe('spec.appliedTo[0]');
    expect(refusal(securityPolicy({ rules: [securityRule({ appliedTo: [{}] })] })).path).toBe('spec.rules[0].appliedTo[0]');
  });

  it('knows rules without a name by what they do', () => {
    const rules = [securityRule({ name: 'rule-1', sources: [nodes] }), securityRule({ name: 'rule-2', sources: [vms] })];
    const moved = [securityRule({ name: 'rule-1', sources: [vms] }), securityRule({ name: 'rule-2', sources: [nodes] })];
    const keys = lower(securityPolicy({ rules })).rules.map(({ key }) => key);
    expect(keys).toEqual([expect.stringMatching(/^inout-[0-9a-f]{8}$/), expect.stringMatching(/^inout-[0-9a-f]{8}$/)]);
    expect(lower(securityPolicy({ rules: moved })).rules.map(({ key }) => key)).toEqual(keys.toReversed());
    expect(lower(securityPolicy({ rules })).rules.map(({ name }) => name)).toEqual(['rule-1', 'rule-2']);
  });
});
