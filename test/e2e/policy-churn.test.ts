/** Established connections go on while everything around them changes: not one packet of theirs is lost. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Cluster, nine, tcp } from '../support/cluster.js';
import { eventually } from '../support/command.js';
import { acnp, clusterGroup, denyAll, labels, namespace, networkPolicy, pods, port, service, type Manifest } from '../support/policies.js';
import { startTraffic, type TestConnection, type Traffic } from '../support/probe/traffic.js';

/** Each changes policies and something that they select: more than 200 changes of objects in all. */
const ROUNDS = 70;
const INTERVAL_MS = 4;

let cluster: Cluster;
let traffic: Traffic;
beforeAll(async () => {
  cluster = await Cluster.create(nine());
  traffic = await startTraffic(cluster.world);
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await cluster.agent.tail())));

/** What admits the connections: a NetworkPolicy, an ACNP's rule before isolation, a Group, and nobody (the default rule). */
const admitting: readonly Manifest[] = [
  denyAll('x', 'Ingress'), networkPolicy('x', 'from-y', { podSelector: labels({ pod: 'a' }), ingress: [{ from: [pods('a', 'y')], ports: [port(7001), port(7002, 'UDP')] }] }),
  clusterGroup('clients', { ...pods('a', 'z') }), acnp('to-xb', { priority: 5, appliedTo: [pods('b', 'x')], ingress: [{ action: 'Allow', from: [{ group: 'clients' }], ports: [port(7001), port(7002, 'UDP')] }] }),
];

/** Many, so that a kernel that takes time over them while packets pass is seen to. */
const prefixes = (i: number): unknown[] => Array.from({ length: 200 }, (_, n) => ({ ipBlock: { cidr: `172.${16 + (i % 8)}.${n}.0/24` } }));

/** The i-th change: of other policies (also ones that bind the same pods), pods, labels, groups, Services. */
function changed(i: number): readonly Manifest[] {
  const others: Manifest[] = [];
  if (i % 2 === 1) others.push(networkPolicy('z', `other-${i % 7}`, { podSelector: labels({ pod: 'b' }), ingress: [{ from: [{ podSelector: {} }], ports: [port(1000 + i)] }] }));
  if (i % 3 !== 0) others.push(acnp('in-the-way', { priority: 1 + (i % 9), appliedTo: [namespace('x'), namespace('y')], ingress: [{ action: 'Drop', from: [pods('c'), ...prefixes(i)], ports: [port(2000 + i)] }] }));
  if (i % 5 < 3) others.push(networkPolicy('x', 'more', { podSelector: {}, ingress: [{ from: [pods('b', 'y')], ports: [port(3000 + (i % 4))] }] }));
  if (i % 4 === 0) others.push(clusterGroup('some', pods(['b', 'c'][i % 8 === 0 ? 0 : 1] ?? 'b')), acnp('of-group', { tier: 'emergency', appliedTo: [{ group: 'some' }], egress: [{ action: 'Reject', to: [namespace('y')], ports: [port(4000 + i)] }] }));
  return others;
}

it(`loses no packet of established connections over ${ROUNDS} rounds of changes of policies, pods, labels and Services`, async () => {
  for (const reference of ['x/a', 'x/b', 'y/c']) {
    await traffic.listen(cluster.pod(reference).netns, 7001);
    await traffic.listen(cluster.pod(reference).netns, 7002, 'udp');
  }
  await cluster.policies(...admitting);
  const connections: TestConnection[] = [];
  for (const [from, to] of [['y/a', 'x/a'], ['z/a', 'x/b'], ['z/b', 'y/c']] as const) {
    for (const destination of [cluster.pod(to).ipv4, cluster.pod(to).ipv6]) {
      connections.push(await traffic.connect({ netns: cluster.pod(from).netns, destination, port: 7001, interval: INTERVAL_MS }));
      connections.push(await traffic.connect({ netns: cluster.pod(from).netns, destination, port: 7002, protocol: 'udp', interval: INTERVAL_MS }));
    }
  }
  expect(connections.map(({ state }) => state)).toEqual(connections.map(() => 'open'));
  const rulesBefore = await ruleIds();
  for (let i = 0; i < ROUNDS; i += 1) {
    await cluster.writePolicies(...admitting, ...changed(i));
    switch (i % 4) {
      case 0: await cluster.podLabels('y/b', { pod: 'b', round: `r${i}` }); break;
      case 1: await cluster.podLabels('x/c', i % 8 === 1 ? { pod: 'c', app: 'web' } : { pod: 'c' }); break;
      case 2: await cluster.namespace({ name: 'z', labels: { ns: 'z', round: `r${i}` } }); break;
      default: await cluster.objects(...(i % 8 === 3 ? [service('y', 'web', { pod: 'b' }, [80])] : []));
    }
  }
  await cluster.policies(...admitting);
  expect(await ruleIds()).toEqual(rulesBefore);
  const ends = await Promise.all(connections.map(async (connection) => {
    await connection.pace(0);
    await eventually('the last echoes', async () => ((await connection.stats()).pending === 0 ? true : undefined), 2_000).catch(() => undefined);
    const { state, pending, retransmits, sent } = await connection.stats();
    return { state, pending, retransmits, busy: sent > ROUNDS };
  }));
  expect(ends).toEqual(connections.map(() => ({ state: 'open', pending: 0, retransmits: 0, busy: true })));
  // And it was not because nothing was enforced.
  await cluster.expectContacts([...cluster.toPod('y/b', 'x/a', tcp(80), 'Drp'), ...cluster.toPod('y/a', 'x/a', tcp(80), 'Drp')]);
});

/** Numbers of the admitting rules, by policy. */
async function ruleIds(): Promise<string[]> {
  const views = await Promise.all(['x/a', 'x/b'].map((reference) => cluster.client.getRules(reference, false)));
  return views.flatMap(({ rulesets }) => rulesets.flatMap(({ rules }) => rules.map(({ id, policy }) => `${policy?.name} ${policy?.rule} ${id}`)));
}
