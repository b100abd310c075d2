/**
 * The articles' scenarios on Kubernetes policies, step by step, with their own manifests as users apply them: `agentctl apply -f`,
 * real packets, the results that the articles state. Guestbook (Services, two namespaces), then helidon, WordPress, monitoring.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cluster, HOST, tcp, type Contact, type Kind } from '../support/cluster.js';
import type { NamespaceSpec, PodSpec } from '../support/inventory.js';
import type { Verdict } from '../support/probe/reach.js';
import type { Reachability } from '../support/reachability.js';
import { labels, service, type Manifest } from '../support/policies.js';
import { proxyServices } from '../support/service-proxy.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/seeds/${name}.yaml`, import.meta.url));

const GUESTBOOK_IP = '10.109.117.193';
const REDIS_MASTER_IP = '10.98.195.90';
const REDIS_SLAVE_IP = '10.109.248.115';
const WEB = tcp(3000);
const REDIS = tcp(6379);

const pod = (namespace: string, name: string, matching: Readonly<Record<string, string>>): PodSpec => ({ namespace, name, labels: matching });
const guestbook = (namespace: string, ...suffixes: readonly string[]): PodSpec[] => suffixes.map((suffix) => pod(namespace, `guestbook-${suffix}`, { app: 'guestbook' }));
const PODS: readonly PodSpec[] = [
  ...guestbook('default', 'hmsrw', 'nl7xv', 's9spp'),
  pod('default', 'redis-master-z2vjh', { app: 'redis', role: 'master' }),
  ...['cplgv', 'r2tmz'].map((suffix) => pod('default', `redis-slave-${suffix}`, { app: 'redis', role: 'slave' })),
  ...guestbook('test', '5w6ft', 'cfzfd'),
];
const NAMESPACES: readonly NamespaceSpec[] = [{ name: 'default' }, { name: 'test', labels: { project: 'test' } }];
const FRONTENDS = ['default/guestbook-hmsrw', 'default/guestbook-nl7xv', 'default/guestbook-s9spp'];
const MASTER = 'default/redis-master-z2vjh';
const SLAVES = ['default/redis-slave-cplgv', 'default/redis-slave-r2tmz'];
const BACKENDS = [MASTER, ...SLAVES];
const TESTERS = ['test/*'];

let cluster: Cluster;
const applied = new Set<string>();
beforeAll(async () => {
  cluster = await Cluster.create({ namespaces: NAMESPACES, pods: PODS, servedPorts: [80, 3000, 3306, 5000, 6379] });
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await cluster.agent.tail())));
afterEach(async () => {
  if (applied.size > 0) await remove(...applied);
  await cluster.reset();
});

/** As `kubectl apply -f`: in force when it returns. */
async function apply(name: string): Promise<void> {
  applied.add(name);
  const result = await cluster.agent.agentctl('apply', '-f', fixture(name));
  if (result.code !== 0) throw new Error(`apply of ${name}: ${result.stderr}${result.stdout}`);
}

/** As `kubectl delete -f`, of all of them at once. */
async function remove(...names: readonly string[]): Promise<void> {
  for (const name of names) applied.delete(name);
  const file = join(cluster.agent.directory, 'delete.yaml');
  const texts = await Promise.all(names.map((name) => readFile(fixture(name), 'utf8')));
  await writeFile(file, texts.join('---\n'));
  const result = await cluster.agent.agentctl('delete', '-f', file);
  if (result.code !== 0) throw new Error(`delete of ${names.join(', ')}: ${result.stderr}${result.stdout}`);
}

describe('guestbook', () => {
  const services = (): Manifest[] => [
    service('default', 'guestbook', { app: 'guestbook' }, [3000], [GUESTBOOK_IP]),
    service('default', 'redis-master', { app: 'redis', role: 'master' }, [6379], [REDIS_MASTER_IP]),
    service('default', 'redis-slave', { app: 'redis', role: 'slave' }, [6379], [REDIS_SLAVE_IP]),
  ];
  beforeAll(async () => {
    const to = (reference: string): string => cluster.pod(reference).ipv4;
    await proxyServices(cluster.world, [
      { address: GUESTBOOK_IP, port: 3000, to: to('default/guestbook-nl7xv'), toPort: 3000 },
      { address: REDIS_MASTER_IP, port: 6379, to: to(MASTER), toPort: 6379 },
      { address: REDIS_SLAVE_IP, port: 6379, to: to('default/redis-slave-cplgv'), toPort: 6379 },
    ]);
  });
  afterAll(() => proxyServices(cluster.world, []));
  beforeEach(() => cluster.objects(...services()));

  /** What the page of the guestbook does: frontend to both backends, through their Services. */
  const page = (expected: Verdict): Contact[] => [REDIS_MASTER_IP, REDIS_SLAVE_IP].map((address) => ({ ...REDIS, from: 'default/guestbook-hmsrw', address, expected }));
  /** wget of the guestbook's Service in a pod. */
  const wget = (from: string, expected: Verdict): Contact[] => [{ ...WEB, from, address: GUESTBOOK_IP, expected }];
  /** A browser, through a NodePort: what arrives at the pod comes from its node (the article's kube-proxy masquerades). */
  const browser = (expected: Verdict): Contact[] => cluster.toPod(HOST, 'default/guestbook-nl7xv', WEB, expected);
  const both: readonly Kind[] = [WEB, REDIS];
  const all = (): Reachability => cluster.all('Con');

  it('np1: a NetworkPolicy on redis lets nobody in but app=other; deleted, the frontend is back', async () => {
    await cluster.expectContacts([...page('Con'), ...browser('Con')]);
    await apply('np1');
    await cluster.expectContacts([...page('Drp'), ...browser('Con')]);
    await cluster.expectReach([all().set('*/*', BACKENDS, 'Drp'), ...both]);
    await remove('np1');
    await cluster.expectContacts(page('Con'));
  });

  it('np2: the guestbook is closed to pods, also through its ClusterIP, and open to its node', async () => {
    await apply('np2');
    await cluster.expectContacts([...browser('Con'), ...wget('default/guestbook-hmsrw', 'Drp')]);
    await cluster.expectReach([all().set('*/*', FRONTENDS, 'Drp'), ...both]);
    await remove('np2');
    await cluster.expectContacts(wget('default/guestbook-hmsrw', 'Con'));
  });

  it('np3: pods of a namespace labelled project=test come in', async () => {
    await apply('np3');
    await cluster.expectContacts([...wget('test/guestbook-5w6ft', 'Con'), ...wget('default/guestbook-hmsrw', 'Drp')]);
    await cluster.expectReach([all().set('*/*', FRONTENDS, 'Drp').set(TESTERS, FRONTENDS, 'Con'), ...both]);
  });

  it('mytier: a Tier of the old API group exists with its priority', async () => {
    await apply('mytier');
    expect(await cluster.agent.ask('get', 'tier', 'mytier')).toMatchObject({ kind: 'Tier', metadata: { name: 'mytier' }, spec: { priority: 10 } });
    // Before emergency (50), whatever the policies' own priorities.
    const web = (action: string, tier: string, priority: number): Manifest => ({
      apiVersion: 'crd.antrea.io/v1alpha1', kind: 'ClusterNetworkPolicy', metadata: { name: `${tier}-${action}`.toLowerCase() },
      spec: { priority, tier, appliedTo: [{ podSelector: labels({ app: 'guestbook' }) }], ingress: [{ action, from: [{ podSelector: labels({ app: 'guestbook' }) }] }] },
    });
    await cluster.policies(web('Drop', 'emergency', 1));
    await cluster.expectContacts(wget('test/guestbook-5w6ft', 'Drp'));
    await cluster.policies(web('Drop', 'emergency', 1), web('Allow', 'mytier', 5));
    await cluster.expectContacts(wget('test/guestbook-5w6ft', 'Con'));
  });

  it('acnp1: an ACNP that allows app=other isolates nobody', async () => {
    await apply('acnp1');
    await cluster.expectContacts(page('Con'));
    await cluster.expectReach([all(), ...both]);
  });

  it('acnp1 changed to acnp11: the frontend is dropped, redis among itself is not', async () => {
    await apply('acnp1');
    await apply('acnp11');
    applied.delete('acnp1'); // the same object
    await cluster.expectContacts([...page('Drp'), ...browser('Con')]);
    await cluster.expectReach([all().set('*/*', BACKENDS, 'Drp').set(BACKENDS, BACKENDS, 'Con'), ...both]);
  });

  it('np1 with acnp12: the ACNP comes first and lets the frontend in', async () => {
    await apply('np1');
    await cluster.expectContacts(page('Drp'));
    await apply('acnp12');
    await cluster.expectContacts(page('Con'));
    await cluster.expectReach([all().set(BACKENDS, BACKENDS, 'Drp'), ...both]);
  });

  it('np22, acnp2, acnp22: from another namespace only by an ACNP, and by its labels once the namespace has them', async () => {
    await apply('np22');
    const own = (): Reachability => all().set('*/*', FRONTENDS, 'Drp').set(FRONTENDS, FRONTENDS, 'Con');
    await cluster.expectContacts([...wget('test/guestbook-5w6ft', 'Drp'), ...wget('default/guestbook-hmsrw', 'Con')]);
    await cluster.expectReach([own(), ...both]);
    await apply('acnp2');
    await cluster.expectContacts(wget('test/guestbook-5w6ft', 'Con'));
    await cluster.expectReach([own().set(TESTERS, FRONTENDS, 'Con'), ...both]);
    await apply('acnp22');
    applied.delete('acnp2'); // the same object
    await cluster.expectContacts(wget('test/guestbook-5w6ft', 'Drp'));
    await cluster.expectReach([own(), ...both]);
    await cluster.namespace({ name: 'default', labels: { project: 'prod' } });
    await cluster.expectContacts(wget('test/guestbook-5w6ft', 'Con'));
    await cluster.expectReach([own().set(TESTERS, FRONTENDS, 'Con'), ...both]);
  });

  it('acnp-dropany, cg1, acnp3: a baseline drop, and nested ClusterGroups of Services that open what is needed', async () => {
    await cluster.namespace({ name: 'default', labels: { project: 'prod' } });
    await apply('acnp-dropany');
    await cluster.expectContacts([...page('Drp'), ...browser('Con')]);
    await cluster.expectReach([all().set('*/*', 'default/*', 'Drp'), ...both]);
    await apply('cg1');
    await apply('acnp3');
    await cluster.expectContacts([...page('Con'), ...wget('default/guestbook-hmsrw', 'Con')]);
    const clients = [...FRONTENDS, ...TESTERS];
    await cluster.expectReach([all().set('*/*', 'default/*', 'Drp').set(clients, [...FRONTENDS, ...BACKENDS], 'Con').set(MASTER, SLAVES, 'Con'), ...both]);
    await remove('acnp3');
    await cluster.expectContacts(page('Drp'));
  });
});

describe('NetworkPolicy of three articles\' pictures', () => {
  const DATABASE = tcp(3306);
  const only = (expected: Verdict, to: string, kind: Kind, ...from: readonly string[]): Contact[] => from.flatMap((one) => cluster.toPod(one, to, kind, expected));

  it('helidon: "and" within one peer, "or" between two', async () => {
    await cluster.namespace({ name: 'helidon', labels: { app: 'helidon' } });
    await cluster.addPod(pod('default', 'backend', { role: 'backend' }));
    await cluster.addPod(pod('default', 'frontend', { role: 'frontend' }));
    await cluster.addPod(pod('helidon', 'frontend', { role: 'frontend' }));
    await cluster.addPod(pod('helidon', 'batch', { role: 'batch' }));
    await cluster.addPod(pod('test', 'frontend', { role: 'frontend' }));
    const backend = (expected: Verdict, ...from: readonly string[]): Contact[] => only(expected, 'default/backend', tcp(80), ...from);
    await apply('helidon-and');
    await cluster.expectContacts([...backend('Con', 'helidon/frontend'), ...backend('Drp', 'helidon/batch', 'default/frontend', 'test/frontend', 'test/guestbook-5w6ft')]);
    await apply('helidon-or');
    applied.delete('helidon-and'); // the same object
    // The article says "in any namespace" of the second peer; the Kubernetes API says: in the policy's own.
    await cluster.expectContacts([...backend('Con', 'helidon/frontend', 'helidon/batch', 'default/frontend'), ...backend('Drp', 'test/frontend', 'test/guestbook-5w6ft')]);
  });

  it('WordPress reaches MySQL on 3306 only, and nobody else does', async () => {
    await cluster.addPod(pod('default', 'wordpress', { app: 'wordpress', tier: 'frontend' }));
    await cluster.addPod(pod('default', 'mysql', { app: 'wordpress', tier: 'mysql' }));
    await apply('wordpress-mysql');
    await cluster.expectContacts([
      ...only('Con', 'default/mysql', DATABASE, 'default/wordpress'), ...only('Drp', 'default/mysql', tcp(80), 'default/wordpress'),
      ...only('Drp', 'default/mysql', DATABASE, 'test/guestbook-5w6ft', ...FRONTENDS), ...only('Con', 'default/wordpress', tcp(80), 'default/mysql', ...FRONTENDS),
    ]);
  });

  it('the monitoring pod receives on 5000 only, from both applications', async () => {
    await cluster.addPod(pod('default', 'monitoring', { role: 'monitoring' }));
    await apply('monitoring-5000');
    const applications = ['default/guestbook-hmsrw', MASTER];
    await cluster.expectContacts([
      ...only('Con', 'default/monitoring', tcp(5000), ...applications), ...only('Drp', 'default/monitoring', tcp(80), ...applications),
      ...only('Drp', 'default/monitoring', REDIS, ...applications), ...applications.flatMap((one) => cluster.toPod('default/monitoring', one, tcp(80), 'Con')),
    ]);
  });
});
