import { describe, expect, it } from 'vitest';
import { identityOf } from '../../../src/model/identity.js';
import { KINDS, exactName, kindMatcher, kindOfManifest, kindsNamed } from '../../../src/model/kinds.js';
import { POLICY_KINDS } from '../../../src/model/policy-objects.js';

const named = (name: string): string[] => kindsNamed(name).map(({ kind }) => kind);

describe('kinds', () => {
  it('are keyed by different names', () => {
    expect(new Set(KINDS.map(({ kind }) => kind)).size).toBe(KINDS.length);
    expect(new Set(KINDS.flatMap(({ groups, written }) => groups.map((group) => `${group}/${written}`))).size).toBe(KINDS.flatMap(({ groups }) => groups).length);
  });

  it.each<[string, string[]]>([
    ['netpol', ['NetworkPolicy', 'AntreaNetworkPolicy']], ['NP', ['NetworkPolicy', 'AntreaNetworkPolicy']], ['networkpolicies', ['NetworkPolicy', 'AntreaNetworkPolicy']],
    ['annp', ['AntreaNetworkPolicy']], ['AntreaNetworkPolicy', ['AntreaNetworkPolicy']], ['networkpolicies.networking.k8s.io', ['NetworkPolicy']], ['networkpolicy.crd.antrea.io', ['AntreaNetworkPolicy']],
    ['clusternetworkpolicy', ['ClusterNetworkPolicy', 'AntreaClusterNetworkPolicy']], ['acnp', ['AntreaClusterNetworkPolicy']], ['cnp', ['ClusterNetworkPolicy']],
    ['groups', ['Group', 'AntreaGroup']], ['grp', ['AntreaGroup']], ['group.dfw.dev', ['Group']], ['cg', ['ClusterGroup']], ['tr', ['Tier']], ['po', ['Pod']], ['nothing', []], ['pod.dfw.dev', []], ['', []],
  ])('%s is %j', (name, kinds) => {
    expect(named(name)).toEqual(kinds);
  });

  it('each have a name that is theirs alone', () => {
    for (const info of KINDS) expect(named(exactName(info))).toEqual([info.kind]);
  });

  it('match objects', () => {
    expect(kindMatcher('np')('AntreaNetworkPolicy')).toBe(true);
    expect(kindMatcher('annp')('NetworkPolicy')).toBe(false);
    expect(kindMatcher('unheardof')('UnheardOf')).toBe(true);
  });

  it('agree with what policies are called', () => {
    for (const [kind, { kind: written, group }] of Object.entries(POLICY_KINDS)) expect(kindOfManifest(`${group}/v1`, written)?.kind).toBe(kind);
  });
});

describe('the identity of a document', () => {
  it.each<[unknown, unknown]>([
    [{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' } }, { kind: 'NetworkPolicy', namespace: 'default', name: 'a' }],
    [{ apiVersion: 'networking.k8s.io/v9', kind: 'NetworkPolicy', metadata: { name: 'a', namespace: 'x' } }, { kind: 'NetworkPolicy', namespace: 'x', name: 'a' }],
    [{ apiVersion: 'crd.antrea.io/v1alpha1', kind: 'NetworkPolicy', metadata: { name: 'a' } }, { kind: 'AntreaNetworkPolicy', namespace: 'default', name: 'a' }],
    [{ apiVersion: 'security.antrea.tanzu.vmware.com/v1alpha1', kind: 'ClusterNetworkPolicy', metadata: { name: 'a', namespace: 'x' } }, { kind: 'AntreaClusterNetworkPolicy', name: 'a' }],
    [{ apiVersion: 'crd.antrea.io/v1beta1', kind: 'Group', metadata: { name: 'a', namespace: '' } }, { kind: 'AntreaGroup', namespace: 'default', name: 'a' }],
    [{ kind: 'Group', metadata: { name: 'a' } }, { kind: 'Group', name: 'a' }],
    [{ kind: 'Pod', metadata: { name: 'a' } }, { kind: 'Pod', namespace: 'default', name: 'a' }],
    [{ apiVersion: 'what', kind: 'NetworkPolicy', metadata: { name: 'a' } }, { kind: 'NetworkPolicy', name: 'a' }],
    [{ apiVersion: 5, kind: 'Deployment', metadata: { name: 'a' } }, { kind: 'Deployment', name: 'a' }],
    [{ kind: 'Pod', metadata: {} }, undefined], [{ metadata: { name: 'a' } }, undefined], [{ kind: 'Pod' }, undefined], [null, undefined], [[], undefined], ['x', undefined],
  ])('%j is %j', (document, identity) => {
    expect(identityOf(document)).toEqual(identity);
  });
});
