import { describe, expect, it } from 'vitest';
import { rulesNaming } from '../../../../src/compile/policy/endpoint-rules.js';
import type { Peer, Policy, PolicyRule } from '../../../../src/compile/policy/ir.js';
import type { ResolvedGroup } from '../../../../src/compile/policy/named-groups.js';
import { Population } from '../../../../src/compile/policy/population.js';
import type { PodObject } from '../../../../src/model/objects.js';

const labelled = (matchLabels: Record<string, string>) => ({ matchLabels, matchExpressions: [] });
const pod: PodObject = { kind: 'Pod', metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } }, addresses: ['10.0.0.1'], ports: [] };
const population = new Population();
population.set('Namespace/shop', { kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a' } } });
population.set('Pod/shop/web', pod);
const groups: Record<string, Partial<ResolvedGroup>> = {
  bySelector: { selectors: [{ of: 'pods', namespaceSelector: labelled({ team: 'a' }) }] },
  byCriteria: { elements: [[{ object: 'Pod', key: 'Name', operator: 'StartsWith', values: ['we'] }]] },
  byName: { workloads: [{ kind: 'Pod', namespace: 'shop', name: 'web' }] },
  ofOthers: { workloads: [{ kind: 'Pod', namespace: 'other', name: 'web' }, { kind: 'VirtualMachine', name: 'web' }], selectors: [{ of: 'nodes', nodeSelector: labelled({}) }] },
};
const lookup = {
  population, cluster: undefined,
  group: ({ name }: { readonly name: string }): ResolvedGroup => ({ parts: [], selectors: [], elements: [], workloads: [], dependencies: [], ...groups[name] }),
};

function rule(direction: PolicyRule['direction'], fields: Partial<PolicyRule>): PolicyRule {
  return { key: 'k', direction, action: 'accept', sources: 'any', sourcesExcluded: false, destinations: 'any', destinationsExcluded: false, services: 'any', targets: [], log: false, ...fields };
}
function naming(...rules: readonly PolicyRule[]): string[] {
  const policy: Policy = {
    key: 'NetworkPolicy/shop/p', kind: 'NetworkPolicy', reference: { kind: 'NetworkPolicy', name: 'p' }, order: { section: 'kubernetes', rank: 0, priority: 0, name: 'p' },
    isolates: { in: false, out: false, targets: [], log: false }, rules,
  };
  return rulesNaming(policy, pod, lookup).map(({ direction, index }) => `${direction} ${index}`);
}

describe('rules that name a pod', () => {
  it.each<[string, Peer, boolean]>([
    ['its labels', { select: { of: 'pods', namespace: 'shop', podSelector: labelled({ app: 'web' }) } }, true],
    ['other labels', { select: { of: 'pods', namespace: 'shop', podSelector: labelled({ app: 'db' }) } }, false],
    ['another namespace', { select: { of: 'pods', namespace: 'other' } }, false],
    ['its namespace by label', { select: { of: 'pods', namespaceSelector: labelled({ team: 'a' }) } }, true],
    ['another service account', { select: { of: 'pods', serviceAccount: 'robot' } }, false],
    ['the own namespace of the target', { scope: { match: 'Self' }, podSelector: labelled({ app: 'web' }) }, true],
    ['namespaces alike', { scope: { sameLabels: ['team'] } }, true],
    ['namespaces alike in a label that it has not', { scope: { sameLabels: ['team', 'tier'] } }, false],
    ['a group by selector', { group: { kind: 'ClusterGroup', name: 'bySelector' } }, true],
    ['a group by criteria', { group: { kind: 'Group', name: 'byCriteria' } }, true],
    ['a group by name', { group: { kind: 'Group', name: 'byName' } }, true],
    ['a group of others', { group: { kind: 'Group', name: 'ofOthers' } }, false],
    ['its address', { addresses: ['10.0.0.1'] }, false],
    ['a node', { select: { of: 'nodes', nodeSelector: labelled({}) } }, false],
  ])('%s', (_, peer, expected) => {
    expect(naming(rule('in', { sources: [peer] }))).toEqual(expected ? ['in 0'] : []);
    expect(naming(rule('out', { destinations: [peer] }))).toEqual(expected ? ['out 0'] : []);
    expect(naming(rule('in', { sources: [peer], sourcesExcluded: true }))).toEqual([]);
  });

  it('are counted in their direction; any peer names nobody', () => {
    const web: Peer = { select: { of: 'pods', podSelector: labelled({ app: 'web' }) } };
    expect(naming(rule('in', {}), rule('out', { destinations: [web] }), rule('in', { sources: [web] }), rule('inout', { sources: [web], destinations: [web] }))).toEqual(['out 0', 'in 1', 'in 2', 'out 1']);
  });
});
