/** The API server of the tests, held to Kubernetes' own client library: what it says is what that expects of a real one. */
import { CoordinationV1Api, CoreV1Api, CustomObjectsApi, KubeConfig, makeInformer, NetworkingV1Api, Watch, type V1Lease, type V1Pod } from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simpleCrd } from '../support/api-server/definitions.js';
import { startHarness, TOKEN, type Harness } from '../support/api-server/harness.js';
import { eventually } from '../support/command.js';

let harness: Harness;
let config: KubeConfig;

function load(): KubeConfig {
  const loaded = new KubeConfig();
  loaded.loadFromFile(harness.kubeconfig);
  return loaded;
}

const pod = (name: string, phase = 'Running'): V1Pod & { apiVersion: string; kind: string; metadata: { name: string; namespace: string } } => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } }, spec: { nodeName: 'n1', containers: [] }, status: { phase, podIP: '10.0.0.1' },
});

beforeAll(async () => {
  harness = await startHarness({ bookmarkMs: 100 });
  config = load();
});
afterAll(async () => harness.close());

describe('the API server of the tests, asked by the client library', () => {
  it('lists in pages that are consistent at one revision', async () => {
    for (let index = 0; index < 25; index++) harness.server.put(pod(`p${String(index).padStart(2, '0')}`));
    const api = config.makeApiClient(CoreV1Api);
    const first = await api.listNamespacedPod({ namespace: 'shop', limit: 10 });
    expect(first.items.map((item) => item.metadata?.name)).toEqual(Array.from({ length: 10 }, (_, index) => `p${String(index).padStart(2, '0')}`));
    harness.server.put(pod('p99'));
    harness.server.remove('v1', 'Pod', 'p11', 'shop');
    const second = await api.listNamespacedPod({ namespace: 'shop', limit: 10, _continue: first.metadata?._continue ?? '' });
    const third = await api.listNamespacedPod({ namespace: 'shop', limit: 10, _continue: second.metadata?._continue ?? '' });
    expect([...second.items, ...third.items].map((item) => item.metadata?.name)).toEqual(Array.from({ length: 15 }, (_, index) => `p${index + 10}`));
    expect(third.metadata?._continue ?? '').toBe('');
    expect(third.metadata?.resourceVersion).toBe(first.metadata?.resourceVersion);
    const now = await api.listNamespacedPod({ namespace: 'shop' });
    expect(now.items).toHaveLength(25);
    expect(now.items.some((item) => item.metadata?.name === 'p11')).toBe(false);
  });

  it('refuses a page whose revision was compacted with 410', async () => {
    const api = config.makeApiClient(CoreV1Api);
    const first = await api.listNamespacedPod({ namespace: 'shop', limit: 10 });
    harness.server.put(pod('p00'));
    harness.server.storage.compact();
    await expect(api.listNamespacedPod({ namespace: 'shop', limit: 10, _continue: first.metadata?._continue ?? '' })).rejects.toMatchObject({ code: 410 });
  });

  it('selects by fields, in lists and in watches', async () => {
    const api = config.makeApiClient(CoreV1Api);
    harness.server.put(pod('done', 'Succeeded'));
    const running = await api.listPodForAllNamespaces({ fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed' });
    expect(running.items.some((item) => item.metadata?.name === 'done')).toBe(false);
    const seen: string[] = [];
    const watch = await new Watch(config).watch('/api/v1/pods', { resourceVersion: running.metadata?.resourceVersion, fieldSelector: 'status.phase!=Succeeded' }, (type: string, object: V1Pod) => seen.push(`${type} ${object.metadata?.name}`), () => undefined);
    harness.server.put(pod('p01', 'Succeeded'));
    harness.server.put(pod('p01', 'Running'));
    await eventually('events', async () => (seen.length >= 2 ? true : undefined), 5_000, 20);
    watch.abort();
    // Who no longer matches is gone, who matches again is new.
    expect(seen).toEqual(['DELETED p01', 'ADDED p01']);
  });

  it('feeds an informer: additions, changes, removals, and a new list after 410', async () => {
    const api = config.makeApiClient(CoreV1Api);
    const informer = makeInformer(config, '/api/v1/namespaces/shop/pods', async () => api.listNamespacedPod({ namespace: 'shop' }));
    const known = new Map<string, string>();
    informer.on('add', (object) => known.set(object.metadata?.name ?? '', object.status?.phase ?? ''));
    informer.on('update', (object) => known.set(object.metadata?.name ?? '', object.status?.phase ?? ''));
    informer.on('delete', (object) => known.delete(object.metadata?.name ?? ''));
    informer.on('error', () => { setTimeout(() => void informer.start(), 20); });
    await informer.start();
    expect(known.get('p02')).toBe('Running');
    harness.server.put(pod('fresh', 'Pending'));
    harness.server.put(pod('p02', 'Failed'));
    harness.server.remove('v1', 'Pod', 'p03', 'shop');
    await eventually('the informer follows', async () => (known.get('fresh') === 'Pending' && known.get('p02') === 'Failed' && !known.has('p03') ? true : undefined), 5_000, 20);
    // Its watch ends, and what happened meanwhile is compacted away.
    harness.server.closeWatches();
    harness.server.put(pod('later'));
    harness.server.storage.compact();
    await eventually('the informer lists again', async () => (known.has('later') ? true : undefined), 5_000, 20);
    await informer.stop();
  });

  it('sends bookmarks, and an error event for what was compacted', async () => {
    const seen: string[] = [];
    const watcher = new Watch(config);
    const watch = await watcher.watch('/api/v1/pods', { resourceVersion: String(harness.server.storage.revision), allowWatchBookmarks: true }, (type: string, object: V1Pod) => seen.push(`${type} ${object.metadata?.resourceVersion}`), () => undefined);
    await eventually('a bookmark', async () => (seen.length > 0 ? true : undefined), 5_000, 20);
    watch.abort();
    expect(seen[0]).toBe(`BOOKMARK ${harness.server.storage.revision}`);
    const errors: unknown[] = [];
    const late = await watcher.watch('/api/v1/pods', { resourceVersion: '1' }, (type: string, object: unknown) => errors.push([type, object]), () => undefined);
    await eventually('an error event', async () => (errors.length > 0 ? true : undefined), 5_000, 20);
    late.abort();
    expect(errors[0]).toMatchObject(['ERROR', { kind: 'Status', code: 410, reason: 'Expired' }]);
  });

  it('keeps custom resources, whose status is written apart and with the right version only', async () => {
    const api = config.makeApiClient(CustomObjectsApi);
    const where = { group: 'dfw.dev', version: 'v1', plural: 'addresssets' };
    await expect(api.listClusterCustomObject(where)).rejects.toMatchObject({ code: 404 });
    harness.server.put(simpleCrd('dfw.dev/v1', 'AddressSet', 'addresssets', false));
    const made = await api.createClusterCustomObject({ ...where, body: { apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name: 'a' }, spec: { addresses: [] }, status: { ignored: true } } }) as { metadata: { generation: number }; status?: unknown };
    expect(made.status).toBeUndefined();
    const got = await api.getClusterCustomObject({ ...where, name: 'a' }) as { metadata: { resourceVersion: string } };
    const changed = await api.replaceClusterCustomObjectStatus({ ...where, name: 'a', body: { ...got, spec: { addresses: ['10.0.0.1'] }, status: { ok: true } } }) as { spec: unknown; status: unknown; metadata: { generation: number } };
    expect(changed).toMatchObject({ spec: { addresses: [] }, status: { ok: true }, metadata: { generation: 1 } });
    await expect(api.replaceClusterCustomObject({ ...where, name: 'a', body: got })).rejects.toMatchObject({ code: 409 });
    harness.server.remove('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'addresssets.dfw.dev');
    await expect(api.listClusterCustomObject(where)).rejects.toMatchObject({ code: 404 });
  });

  it('keeps Lease objects, which are replaced and deleted with the right version only', async () => {
    const api = config.makeApiClient(CoordinationV1Api);
    const lease = (holderIdentity: string, version?: string): V1Lease => ({
      apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l', namespace: 'dfw-egress', ...(version === undefined ? {} : { resourceVersion: version }) }, spec: { holderIdentity },
    });
    const at = (object: V1Lease): string => object.metadata?.resourceVersion ?? '';
    const where = { name: 'l', namespace: 'dfw-egress' };
    await expect(api.replaceNamespacedLease({ ...where, body: lease('a') })).rejects.toMatchObject({ code: 404 });
    const made = await api.createNamespacedLease({ namespace: 'dfw-egress', body: lease('a') });
    await expect(api.createNamespacedLease({ namespace: 'dfw-egress', body: lease('a') })).rejects.toMatchObject({ code: 409 });
    const next = await api.replaceNamespacedLease({ ...where, body: lease('b', at(made)) });
    expect(next.spec?.holderIdentity).toBe('b');
    await expect(api.replaceNamespacedLease({ ...where, body: lease('c', at(made)) })).rejects.toMatchObject({ code: 409 });
    await expect(api.deleteNamespacedLease({ ...where, body: { preconditions: { resourceVersion: at(made) } } })).rejects.toMatchObject({ code: 409 });
    expect((await api.listNamespacedLease({ namespace: 'dfw-egress' })).items.map(at)).toEqual([at(next)]);
    await api.deleteNamespacedLease({ ...where, body: { preconditions: { resourceVersion: at(next) } } });
    await expect(api.deleteNamespacedLease(where)).rejects.toMatchObject({ code: 404 });
  });

  it('knows users by token and by certificate, and nobody else', async () => {
    const list = async (): Promise<unknown> => load().makeApiClient(NetworkingV1Api).listNetworkPolicyForAllNamespaces();
    await harness.use({ token: 'wrong' });
    await expect(list()).rejects.toMatchObject({ code: 401 });
    await harness.use({ certificate: await harness.authority.client('agent-1') });
    await list();
    expect(harness.server.requests.at(-1)).toMatchObject({ user: 'agent-1', verb: 'list', group: 'networking.k8s.io', resource: 'networkpolicies' });
    await harness.use({ token: TOKEN });
    harness.server.authorize = ({ verb }) => verb !== 'list';
    await expect(list()).rejects.toMatchObject({ code: 403 });
    harness.server.authorize = () => true;
    await list();
  });

  it('is trusted for the names of its certificate only, and while that is valid', async () => {
    await harness.server.stop();
    await harness.server.start(await harness.authority.server({ expired: true }));
    await expect(load().makeApiClient(CoreV1Api).listNamespace()).rejects.toThrow(/expired/);
    await harness.server.stop();
    await harness.server.start();
    await load().makeApiClient(CoreV1Api).listNamespace();
    await sleep(1);
  });
});
