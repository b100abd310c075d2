/** Behaviours 29-36 of docs/behaviours.md: ClusterGroups and Groups as targets and peers, and how they follow what they select. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Cluster, nine, NODE_PORTS, OUTSIDE, tcp } from '../support/cluster.js';
import { OTHER_NODE } from '../support/inventory.js';
import { OUTSIDE_IPV4, OUTSIDE_IPV6 } from '../support/netns.js';
import { acnp, annp, clusterGroup, group, labels, namespace, pods, port, service, type Manifest } from '../support/policies.js';

let cluster: Cluster;
beforeAll(async () => {
  // Behaviour 33 and 34 select by Services, whose selectors are on `app`.
  const { namespaces, pods: nineOf } = nine();
  cluster = await Cluster.create({ namespaces, pods: nineOf.map((pod) => ({ ...pod, labels: { pod: pod.name, app: pod.name } })) });
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await cluster.agent.tail())));
afterEach(() => cluster.reset());

const [TCP80, TCP81] = [tcp(80), tcp(81)];
const drop = (more: Readonly<Record<string, unknown>>): Record<string, unknown> => ({ action: 'Drop', ports: [port(80)], ...more });
const blocks = (...references: readonly string[]): unknown[] => references.flatMap((reference) => {
  const { ipv4, ipv6 } = cluster.pod(reference);
  return [{ cidr: `${ipv4}/32` }, { cidr: `${ipv6}/128` }];
});
const dropOf = (...pairs: readonly (readonly [string | readonly string[], string | readonly string[]])[]): ReturnType<Cluster['all']> =>
  pairs.reduce((matrix, [from, to]) => matrix.set(from, to, 'Drp'), cluster.all('Con'));

describe('29. a group as', () => {
  it('29. target of a policy, created after it', async () => {
    await cluster.policies(acnp('to-group', { appliedTo: [{ group: 'ya' }], ingress: [drop({ from: [pods('b', 'x')], ports: [port('serve-81')] })] }), clusterGroup('ya', pods('a', 'y')));
    await cluster.expectReach([dropOf(['x/b', 'y/a']), TCP81], [cluster.all('Con'), TCP80]);
  });

  it('29. ingress peer', async () => {
    await cluster.policies(clusterGroup('xb', pods('b', 'x')), acnp('from-group', { appliedTo: [pods('a', 'y')], ingress: [drop({ from: [{ group: 'xb' }] })] }));
    await cluster.expectReach([dropOf(['x/b', 'y/a']), TCP80], [cluster.all('Con'), TCP81]);
  });

  it('29. target of a rule', async () => {
    await cluster.policies(acnp('rule', { egress: [drop({ to: [namespace('z')], appliedTo: [{ group: 'pods-a' }] })] }), clusterGroup('pods-a', pods('a')));
    await cluster.expectReach([dropOf(['*/a', 'z/*']), TCP80]);
  });

  it('29. egress peer', async () => {
    await cluster.policies(clusterGroup('ns-z', namespace('z')), acnp('to', { appliedTo: [pods('a')], egress: [drop({ to: [{ group: 'ns-z' }] })] }));
    await cluster.expectReach([dropOf(['*/a', 'z/*']), TCP80]);
  });

  it('29. target and peer of namespaced policies, which find their own namespace\'s Group only', async () => {
    const podsC = (name: string): Manifest[] => [group(name, 'clients', { podSelector: labels({ pod: 'c' }) }), group(name, 'servers', { podSelector: labels({ pod: 'a' }) })];
    await cluster.policies(...podsC('x'), ...podsC('y'), annp('x', 'own', { appliedTo: [{ group: 'servers' }], ingress: [drop({ from: [{ group: 'clients' }] })] }));
    await cluster.expectReach([dropOf(['x/c', 'x/a']), TCP80]);
    await cluster.policies(...podsC('x'), ...podsC('y'), annp('x', 'own', { appliedTo: [{ group: 'servers' }], egress: [drop({ to: [{ group: 'clients' }] })] }));
    await cluster.expectReach([dropOf(['x/a', 'x/c']), TCP80]);
  });
});

describe('30. another selector of the group moves the drop from the old to the new pods', () => {
  it('30. where the group is the target', async () => {
    const policy = acnp('group-to-z', { appliedTo: [{ group: 'moving' }], egress: [drop({ to: [namespace('z')] })] });
    for (const pod of ['a', 'c']) {
      await cluster.policies(policy, clusterGroup('moving', pods(pod)));
      await cluster.expectReach([dropOf([`*/${pod}`, 'z/*']), TCP80]);
    }
  });

  it('30. where it is the peer', async () => {
    const policy = acnp('a-to-group', { appliedTo: [pods('a')], egress: [drop({ to: [{ group: 'moving' }] })] });
    for (const ns of ['z', 'y']) {
      await cluster.policies(policy, clusterGroup('moving', namespace(ns)));
      await cluster.expectReach([dropOf(['*/a', `${ns}/*`]), TCP80]);
    }
  });

  it('30. a namespaced Group, as target and as peer', async () => {
    const policy = annp('x', 'own', { appliedTo: [{ group: 'moving' }], egress: [drop({ to: [pods('b', 'x')] })] });
    const peer = annp('x', 'peer', { appliedTo: [{ podSelector: labels({ pod: 'b' }) }], egress: [drop({ to: [{ group: 'moving' }] })] });
    for (const pod of ['a', 'c']) {
      await cluster.policies(policy, peer, group('x', 'moving', { podSelector: labels({ pod }) }));
      await cluster.expectReach([dropOf([`x/${pod}`, 'x/b'], ['x/b', `x/${pod}`]), TCP80]);
    }
  });
});

it('31. a new pod that a group selects is bound from its first packet, as target and as peer', async () => {
  await cluster.policies(
    clusterGroup('zj', pods('j', 'z')), clusterGroup('zk', pods('k', 'z')),
    acnp('from-group', { appliedTo: [{ group: 'zj' }], egress: [drop({ to: [pods('a', 'x')] })] }),
    acnp('to-group', { appliedTo: [pods('a', 'x')], egress: [drop({ to: [{ group: 'zk' }] })] }),
  );
  await cluster.expectReach([cluster.all('Con'), TCP80]);
  await cluster.addPod({ namespace: 'z', name: 'j', labels: { pod: 'j' } });
  await cluster.addPod({ namespace: 'z', name: 'k', labels: { pod: 'k' } });
  await cluster.expectReach([dropOf(['z/j', 'x/a'], ['x/a', 'z/k']), TCP80], [cluster.all('Con'), TCP81]);
});

it('32. ipBlocks of pod addresses, in a ClusterGroup and in a Group', async () => {
  await cluster.policies(
    clusterGroup('pods-of-x', { ipBlocks: blocks('x/a', 'x/b', 'x/c') }), clusterGroup('za', { ipBlocks: blocks('z/a') }),
    acnp('to-ya', { appliedTo: [pods('a', 'y')], ingress: [drop({ name: 'from-x', from: [{ group: 'pods-of-x' }] }), drop({ name: 'from-za', from: [{ group: 'za' }] })] }),
    group('z', 'bc', { ipBlocks: blocks('z/b', 'z/c') }), annp('z', 'to-za', { appliedTo: [{ podSelector: labels({ pod: 'a' }) }], ingress: [drop({ from: [{ group: 'bc' }] })] }),
  );
  await cluster.expectReach([dropOf([['x/*', 'z/a'], 'y/a'], [['z/b', 'z/c'], 'z/a']), TCP80]);
});

it('33. serviceReference follows the Service: its selector, its deletion, another one', async () => {
  const services = (...selections: readonly (readonly [string, string, string])[]): Promise<void> => cluster.objects(...selections.map(([ns, name, app]) => service(ns, name, { app }, [80])));
  const groups = (second: string): Manifest[] => [clusterGroup('one', { serviceReference: { namespace: 'x', name: 'svc1' } }), clusterGroup('two', { serviceReference: { namespace: 'y', name: second } })];
  const policy = acnp('between-services', { appliedTo: [{ group: 'one' }], ingress: [drop({ from: [{ group: 'two' }] })] });
  await services(['x', 'svc1', 'a'], ['y', 'svc2', 'b']);
  await cluster.policies(...groups('svc2'), policy);
  await cluster.expectReach([dropOf(['y/b', 'x/a']), TCP80], [cluster.all('Con'), TCP81]);
  await services(['x', 'svc1', 'b'], ['y', 'svc3', 'a']);
  await cluster.policies(...groups('svc3'), policy);
  await cluster.expectReach([dropOf(['y/a', 'x/b']), TCP80]);
  await cluster.addPod({ namespace: 'x', name: 'new', labels: { app: 'b' } });
  await cluster.expectReach([dropOf(['y/a', ['x/b', 'x/new']]), TCP80]);
  await cluster.objects();
  await cluster.expectReach([cluster.all('Con'), TCP80]);
});

it('33. serviceReference of a namespaced Group', async () => {
  await cluster.objects(service('x', 'svc1', { app: 'a' }, [80]), service('x', 'svc2', { app: 'b' }, [80]));
  await cluster.policies(
    group('x', 'one', { serviceReference: { namespace: 'x', name: 'svc1' } }), group('x', 'two', { serviceReference: { namespace: 'x', name: 'svc2' } }),
    annp('x', 'between-services', { appliedTo: [{ group: 'one' }], ingress: [drop({ from: [{ group: 'two' }] })] }),
  );
  await cluster.expectReach([dropOf(['x/b', 'x/a']), TCP80]);
  await cluster.objects();
  await cluster.expectReach([cluster.all('Con'), TCP80]);
});

it('34. childGroups are a union that follows its children and their members', async () => {
  const children = [clusterGroup('svc-xa', { serviceReference: { namespace: 'x', name: 'svc1' } }), clusterGroup('yb', pods('b', 'y')), clusterGroup('yc', pods('c', 'y'))];
  const policy = acnp('from-nested', { appliedTo: [namespace('z')], ingress: [drop({ from: [{ group: 'nested' }] })] });
  await cluster.objects(service('x', 'svc1', { app: 'a' }, [80]));
  const nested = (...childGroups: readonly string[]): Promise<void> => cluster.policies(policy, ...children, clusterGroup('nested', { childGroups }));
  await nested('svc-xa');
  await cluster.expectReach([dropOf(['x/a', 'z/*']), TCP80]);
  await nested('svc-xa', 'yb');
  await cluster.expectReach([dropOf([['x/a', 'y/b'], 'z/*']), TCP80]);
  await cluster.addPod({ namespace: 'x', name: 'new', labels: { app: 'a' } });
  await cluster.expectReach([dropOf([['x/a', 'x/new', 'y/b'], 'z/*']), TCP80]);
  await nested('svc-xa', 'yb', 'yc');
  await cluster.expectReach([dropOf([['x/a', 'x/new', 'y/b', 'y/c'], 'z/*']), TCP80]);
  await nested('yc');
  await cluster.expectReach([dropOf(['y/c', 'z/*']), TCP80]);
});

it('34. childGroups of ipBlocks, mixed with one of a selector', async () => {
  const children = [clusterGroup('xa', { ipBlocks: blocks('x/a') }), clusterGroup('xb', { ipBlocks: blocks('x/b') }), clusterGroup('xc', pods('c', 'x'))];
  const policy = acnp('from-parent', { appliedTo: [pods('a', 'y')], ingress: [drop({ from: [{ group: 'parent' }] })] });
  await cluster.policies(policy, ...children, clusterGroup('parent', { childGroups: ['xa', 'xb'] }));
  await cluster.expectReach([dropOf([['x/a', 'x/b'], 'y/a']), TCP80]);
  await cluster.policies(policy, ...children, clusterGroup('parent', { childGroups: ['xa', 'xc'] }));
  await cluster.expectReach([dropOf([['x/a', 'x/c'], 'y/a']), TCP80]);
});

it('34. a namespaced Group of Groups, for all pods of its namespace', async () => {
  const children = [group('x', 'a', { podSelector: labels({ pod: 'a' }) }), group('x', 'b', { podSelector: labels({ pod: 'b' }) })];
  const policy = annp('x', 'nested', { appliedTo: [{ podSelector: {} }], ingress: [drop({ from: [{ group: 'nested' }] })] });
  await cluster.policies(...children, policy, group('x', 'nested', { childGroups: ['a'] }));
  await cluster.expectReach([dropOf(['x/a', 'x/*']), TCP80]);
  await cluster.policies(...children, policy, group('x', 'nested', { childGroups: ['a', 'b'] }));
  await cluster.expectReach([dropOf([['x/a', 'x/b'], 'x/*']), TCP80]);
});

it('35. a group of nodes as peer', async () => {
  const [nodePort = 0] = NODE_PORTS;
  await cluster.policies(
    clusterGroup('control-plane', { nodeSelector: labels({ 'kubernetes.io/hostname': OTHER_NODE }) }),
    acnp('to-node', { appliedTo: [pods('a', 'x')], egress: [drop({ to: [{ group: 'control-plane' }], ports: [port(nodePort)] })] }),
  );
  const nodes = [OUTSIDE_IPV4, OUTSIDE_IPV6];
  await cluster.expectContacts([['x/a', 'Drp'], ['x/b', 'Con']].flatMap(([from, expected]) => nodes.map((address) => ({ ...tcp(nodePort), from: from ?? '', address, expected: expected === 'Drp' ? 'Drp' : 'Con' }))));
  await cluster.expectReach([cluster.all('Con'), TCP80]);
  await cluster.expectContacts(cluster.toPod(OUTSIDE, 'x/a', TCP80, 'Con'));
});

describe('36. what a group may not be', () => {
  interface Refusal { readonly object: string; readonly path: string; readonly message: string }
  async function refusals(...manifests: readonly Manifest[]): Promise<Refusal[]> {
    await cluster.writePolicies(...manifests);
    return (await cluster.client.sync(20_000)).errors;
  }
  const document = (number: number): unknown => expect.stringContaining(cluster.agent.place('policies.yaml', number));

  it('36. two ways to select at once: the group is refused, who uses it is held, others stand', async () => {
    const [kept, usesKept] = [clusterGroup('kept', pods('b', 'x')), acnp('uses-kept', { appliedTo: [pods('a', 'y')], ingress: [drop({ from: [{ group: 'kept' }] })] })];
    const usesBad = acnp('uses-bad', { appliedTo: [{ group: 'bad' }], ingress: [drop({})] });
    for (const spec of [{ ...pods('a'), serviceReference: { namespace: 'x', name: 'svc1' } }, { ...pods('a'), ipBlocks: blocks('x/a') }, { childGroups: ['kept'], ...namespace('z') }]) {
      const found = await refusals(kept, usesKept, clusterGroup('bad', spec), usesBad);
      expect(found).toContainEqual(expect.objectContaining({ object: document(3) }));
      expect(found).toContainEqual(expect.objectContaining({ object: expect.stringContaining('uses-bad'), message: expect.stringContaining('bad') }));
      expect(found).toHaveLength(2);
      await cluster.expectReach([dropOf(['x/b', 'y/a']), TCP80]);
    }
  });

  it('36. a Group that selects in another namespace than its own', async () => {
    expect(await refusals(group('x', 'bad', { serviceReference: { namespace: 'y', name: 'svc1' } }))).toMatchObject([{ object: document(1), path: 'spec.serviceReference.namespace' }]);
  });

  it('36. a third level of groups is said to be too many, and the policy that names it is held', async () => {
    const found = await refusals(
      clusterGroup('third', pods('a', 'x')), clusterGroup('second', { childGroups: ['third'] }), clusterGroup('first', { childGroups: ['second', 'direct'] }), clusterGroup('direct', pods('b', 'x')),
      acnp('uses-first', { appliedTo: [namespace('z')], ingress: [drop({ from: [{ group: 'first' }] })] }),
    );
    // Antrea leaves the third level out; here nothing is guessed: what the policy was to refuse is as it was before it came.
    expect(found).toMatchObject([{ object: 'AntreaClusterNetworkPolicy/uses-first', message: expect.stringContaining('nested too deep') as string }]);
    await cluster.expectReach([cluster.all('Con'), TCP80]);
  });
});
