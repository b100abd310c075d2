/** deploy/kubernetes: the agent can do its work with exactly the rights it is given there, and none of them is for nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { Status } from '../../src/model/status.js';
import { KINDS, groupOf } from '../../src/model/kinds.js';
import { loadConfig } from '../../src/app/config.js';
import { SessionLeases } from '../../src/drivers/egress/session-leases.js';
import { systemClock } from '../../src/platform/clock.js';
import { HttpApiClient } from '../../src/sources/kubernetes/api-client.js';
import { KubernetesSource } from '../../src/sources/kubernetes/kubernetes-source.js';
import { LeaseObjects } from '../../src/sources/kubernetes/lease-objects.js';
import { InlineListReader } from '../../src/sources/kubernetes/list-reader.js';
import { InlineCredentials } from '../../src/sources/kubernetes/read-credentials.js';
import { watchedKinds } from '../../src/sources/kubernetes/resources.js';
import { StatusPatches } from '../../src/sources/kubernetes/status-patches.js';
import { StatusWriter } from '../../src/sources/kubernetes/status-writer.js';
import { simpleCrd } from '../support/api-server/definitions.js';
import { startHarness, type Harness } from '../support/api-server/harness.js';
import { QUICK, testLogger } from '../support/api-server/source.js';
import type { StoredObject } from '../support/api-server/storage.js';
import { eventually } from '../support/command.js';

const DEPLOY = join(import.meta.dirname, '../../deploy');
interface Rule { readonly apiGroups: readonly string[]; readonly resources: readonly string[]; readonly verbs: readonly string[] }
type Fields = Record<string, unknown>;

function documents(file: string): Fields[] {
  return parseAllDocuments(readFileSync(join(DEPLOY, 'kubernetes', file), 'utf8')).map((document) => document.toJS() as Fields);
}
/** `list pods.`, `patch ruletables/status.dfw.dev`. */
const granted = new Set(documents('rbac.yaml').filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role').flatMap(({ rules }) => (rules as Rule[]).flatMap(({ apiGroups, resources, verbs }) =>
  apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}.${group}`))))));

describe('deploy/kubernetes/rbac.yaml', () => {
  let harness: Harness;
  let source: KubernetesSource | undefined;
  beforeEach(async () => { harness = await startHarness(); });
  afterEach(async () => {
    await source?.stop();
    await harness.close();
  });

  it('names what is watched, and what is written, and nothing else', () => {
    const needed = new Set(['create events.events.k8s.io', ...['egresses', 'externalippools'].map((plural) => `patch ${plural}/status.crd.antrea.io`), ...['list', 'create', 'update', 'delete'].map((verb) => `${verb} leases.coordination.k8s.io`)]);
    for (const { kind, apiVersions, own } of watchedKinds()) {
      const [plural = ''] = KINDS.find((info) => info.kind === kind)?.names ?? [];
      for (const apiVersion of apiVersions) for (const verb of ['list', 'watch']) needed.add(`${verb} ${plural}.${groupOf(apiVersion)}`);
      if (own) needed.add(`patch ${plural}/status.dfw.dev`);
    }
    expect([...granted].sort()).toEqual([...needed].sort());
  });

  it('is enough for everything the agent does, all of which it does', async () => {
    for (const { kind, written, apiVersions: [apiVersion = ''], builtIn, namespaced, own } of watchedKinds()) {
      const [plural = ''] = KINDS.find((info) => info.kind === kind)?.names ?? [];
      if (own) harness.server.put(parse(readFileSync(join(DEPLOY, 'crds', `dfw.dev_${plural}.yaml`), 'utf8')) as StoredObject);
      else if (!builtIn) harness.server.put(simpleCrd(apiVersion, written, plural, namespaced));
      // One that is refused: its status is written, and an Event.
      if (own) harness.server.put({ apiVersion, kind: written, metadata: { name: 'bad' }, spec: { junk: 1 } } as never);
    }
    const used = new Set<string>();
    const refused: string[] = [];
    harness.server.authorize = ({ verb, resource, group }) => {
      const right = `${verb} ${resource}.${group}`;
      used.add(right);
      if (!granted.has(right)) refused.push(right);
      return granted.has(right);
    };
    const log = testLogger();
    const client = new HttpApiClient({ kubeconfig: harness.kubeconfig, reader: new InlineCredentials(), clock: systemClock });
    const writer = new StatusWriter({ client, node: 'n1', nodes: () => ['n1'], clock: systemClock, log, random: Math.random, times: { turnMs: 1 } });
    source = new KubernetesSource({
      client, node: 'n1', namespaces: [], lists: new InlineListReader(), clock: systemClock, log, random: Math.random, times: QUICK, onJudged: (judgement, resource) => writer.judged(judgement, resource), onStop: () => writer.stop(),
    });
    await source.start(new AbortController().signal);
    // A holder that takes, renews and releases, in the one namespace where it may.
    const [{ metadata } = {}] = documents('rbac.yaml').filter(({ kind }) => kind === 'Role') as { metadata?: { namespace: string } }[];
    const namespace = loadConfig({ argv: [], env: { DFW_NODE: 'n1' }, readFile: () => undefined }).egress.namespace;
    expect(metadata?.namespace).toBe(namespace);
    const leases = new SessionLeases({ store: new LeaseObjects({ client, namespace, timeoutMs: 5_000, clock: systemClock }), holder: 'n1', clock: systemClock, random: () => 1 });
    for (const value of ['', 'other']) await leases.claim({ key: 'node/n1', holder: 'n1', value }, 3_000);
    await leases.release('node/n1', 'n1');
    harness.server.put({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'Egress', metadata: { name: 'e' }, spec: { appliedTo: { podSelector: {} }, externalIPPool: 'p' } } as never);
    harness.server.put({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'ExternalIPPool', metadata: { name: 'p' }, spec: { ipRanges: [{ cidr: '192.0.2.0/24' }], nodeSelector: {} } } as never);
    const ending = new AbortController();
    new StatusPatches({ client, seen: (key) => source?.snapshot().manifests.get(key), served: (kind) => source?.served(kind), clock: systemClock, log, times: { everyMs: 20 } })
      .start(() => new Map<string, Status>([['Egress/e', { egressNode: 'n1' }], ['ExternalIPPool/p', { usage: { total: 254, used: 1 } }]]), ending.signal);
    const legacy = (right: string): boolean => right.endsWith('.security.antrea.tanzu.vmware.com');
    await eventually('every right is used', async () => ([...granted].every((right) => used.has(right) || legacy(right)) ? true : undefined), 20_000, 50);
    ending.abort();
    expect(refused).toEqual([]);
    expect(source.troubles).toEqual([]);
  });
});

describe('deploy/kubernetes', () => {
  it('has a configuration that the agent takes', () => {
    const [{ data } = {}] = documents('configmap.yaml') as { data?: Record<string, string> }[];
    const text = data?.['agent.yaml'];
    const config = loadConfig({ argv: ['--config', '/etc/dfw-agent/agent.yaml'], env: { DFW_NODE: 'n1' }, readFile: () => text });
    expect(config).toMatchObject({ node: 'n1', sources: [{ type: 'kubernetes' }], failurePolicy: 'closed' });
  });

  it('lists its files, and runs the agent with two capabilities in the host network, where its state outlives it', () => {
    const [{ resources = [] } = {}] = documents('kustomization.yaml') as { resources?: string[] }[];
    expect([...resources, 'kustomization.yaml'].sort()).toEqual(readdirSync(join(DEPLOY, 'kubernetes')).filter((name) => name.endsWith('.yaml')).sort());
    const [daemonSet] = documents('daemonset.yaml');
    const template = (daemonSet?.['spec'] as { template: { spec: Fields; metadata: { labels: Fields } }; selector: { matchLabels: Fields }; updateStrategy: Fields });
    expect(template.template.metadata.labels).toMatchObject(template.selector.matchLabels);
    // Two agents at a time would share one table and one socket.
    expect(template.updateStrategy).toMatchObject({ type: 'RollingUpdate', rollingUpdate: { maxSurge: 0 } });
    const spec = template.template.spec as { hostNetwork: boolean; serviceAccountName: string; containers: { securityContext: Fields; volumeMounts: { name: string; mountPath: string }[]; livenessProbe: Fields; readinessProbe: Fields }[]; volumes: Fields[] };
    const [container] = spec.containers;
    expect(spec).toMatchObject({ hostNetwork: true, serviceAccountName: 'dfw-agent' });
    expect(container?.securityContext).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] } });
    expect(spec.volumes).toContainEqual({ name: 'state', hostPath: { path: '/var/lib/dfw-agent', type: 'DirectoryOrCreate' } });
    expect(container?.volumeMounts).toContainEqual({ name: 'state', mountPath: '/var/lib/dfw-agent' });
    expect(container?.livenessProbe).toMatchObject({ httpGet: { path: '/livez' } });
    expect(container?.readinessProbe).toMatchObject({ httpGet: { path: '/healthz' } });
  });
});
