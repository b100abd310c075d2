/**
 * The API server of a test world: reachable at https://127.0.0.1:16443 in the host's namespace (socat carries it to this process),
 * with the definitions of every kind that the agent knows. Manifests are put there as if they were applied and pruned.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identityOf } from '../../../src/model/identity.js';
import { groupOf, kindOfManifest } from '../../../src/model/kinds.js';
import { objectKey } from '../../../src/model/objects.js';
import { KIND_DECODERS } from '../../../src/sources/manifests/kinds.js';
import { eventually } from '../command.js';
import type { World } from '../netns.js';
import type { ManifestStore } from '../sources.js';
import { Authority } from './certificates.js';
import { BUILT_IN, apiVersionOf } from './definitions.js';
import { TOKEN } from './harness.js';
import { writeKubeconfig } from './kubeconfig.js';
import { ApiServer } from './server.js';
import type { StoredObject } from './storage.js';

/** Where the world's host reaches it. */
export const PORT = 16_443;
/** Antrea before 1.0 keeps its objects in both groups. */
const LEGACY = 'security.antrea.tanzu.vmware.com/v1alpha1';

export class WorldServer implements ManifestStore {
  readonly type = 'kubernetes';
  readonly kubeconfig: string;
  private readonly held = new Map<string, readonly StoredObject[]>();

  private constructor(readonly server: ApiServer, readonly directory: string) {
    this.kubeconfig = join(directory, 'kubeconfig');
  }

  /** Ends with the world. `hosts`: network namespaces where it is to be had. */
  static async create(world: Pick<World, 'host' | 'cleanup' | 'exec'>, hosts: readonly string[] = [world.host]): Promise<WorldServer> {
    const directory = await mkdtemp(join(tmpdir(), 'dfwt-api-'));
    world.cleanup.defer('API server directory', () => rm(directory, { recursive: true, force: true }));
    const authority = await Authority.create();
    world.cleanup.defer('authority', () => authority.close());
    const path = join(directory, 'server.sock');
    const server = new ApiServer({ authority, certificate: await authority.server(), path, port: PORT });
    server.tokens.set(TOKEN, 'system:serviceaccount:kube-system:dfw-agent');
    const made = new WorldServer(server, directory);
    for (const crd of definitions()) server.put(crd);
    await server.start();
    world.cleanup.defer('API server', () => server.stop());
    await Promise.all(hosts.map((host) => carry(world, host, path)));
    await writeKubeconfig(made.kubeconfig, server, authority, { token: TOKEN });
    return made;
  }

  get config(): object {
    return { type: 'kubernetes', kubeconfig: this.kubeconfig };
  }

  /** What the name holds now is there when this returns: nothing has to be waited for. */
  write(name: string, documents: readonly unknown[]): Promise<boolean> {
    if (documents.some((document) => identityOf(document) === undefined)) return Promise.resolve(false);
    const objects = documents.map((document) => current(document as StoredObject));
    const kept = new Set(objects.map(keyOf));
    for (const object of this.held.get(name) ?? []) if (!kept.has(keyOf(object))) this.remove(object);
    const known = new Map((this.held.get(name) ?? []).map((object) => [keyOf(object), JSON.stringify(object)]));
    for (const object of objects) if (known.get(keyOf(object)) !== JSON.stringify(object)) this.server.put(object);
    this.held.set(name, objects);
    return Promise.resolve(true);
  }

  delete(name: string): Promise<boolean> {
    const objects = this.held.get(name);
    for (const object of objects ?? []) this.remove(object);
    return Promise.resolve(this.held.delete(name));
  }

  names(): readonly string[] {
    return [...this.held.keys()];
  }

  place(name: string, document: number): string {
    const identity = identityOf(this.held.get(name)?.[document - 1]);
    if (identity === undefined) return '';
    const { kind, ...metadata } = identity;
    return objectKey({ kind, metadata });
  }

  private remove({ apiVersion, kind, metadata }: StoredObject): void {
    const namespaced = kindOfManifest(apiVersion, kind)?.namespaced === true;
    this.server.remove(apiVersion, kind, metadata.name, namespaced ? (metadata.namespace ?? 'default') : undefined);
  }
}

/** A conversion webhook: of a kind with several versions, one is stored. */
function current(object: StoredObject): StoredObject {
  const apiVersion = (object.apiVersion as string | undefined) ?? 'dfw.dev/v1';
  const [newest] = KIND_DECODERS.find(({ kind, apiVersions }) => kind === object.kind && apiVersions.includes(apiVersion))?.apiVersions ?? [];
  return { ...object, apiVersion: apiVersion === LEGACY && newest !== undefined ? newest : apiVersion };
}

function keyOf({ apiVersion, kind, metadata: { namespace, name } }: StoredObject): string {
  return `${groupOf(apiVersion)}/${kind}/${namespace ?? ''}/${name}`;
}

/** Of all kinds that are not built in, every version. */
export function definitions(): StoredObject[] {
  const crds = new Map<string, StoredObject>();
  for (const { kind, apiVersions } of KIND_DECODERS) {
    for (const apiVersion of apiVersions) {
      if (BUILT_IN.some((each) => apiVersionOf(each) === apiVersion && each.kind === kind) || apiVersion === LEGACY) continue;
      const [group = '', version = ''] = apiVersion.split('/');
      const plural = `${kind.toLowerCase().replace(/y$/, 'ie')}s`;
      const known = crds.get(`${plural}.${group}`) as unknown as { spec: { versions: object[] } } | undefined;
      if (known !== undefined) {
        known.spec.versions.push({ name: version, served: true, storage: false });
        continue;
      }
      crds.set(`${plural}.${group}`, {
        apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${plural}.${group}` },
        spec: {
          group, scope: kindOfManifest(apiVersion, kind)?.namespaced === true ? 'Namespaced' : 'Cluster', names: { kind, plural },
          versions: [{ name: version, served: true, storage: true, subresources: { status: {} } }],
        },
      });
    }
  }
  return [...crds.values()];
}

/** Connections of the host to PORT are carried to the Unix socket, until the world ends. */
export async function carry(world: Pick<World, 'cleanup' | 'exec'>, host: string, path: string): Promise<void> {
  const carrier = spawn('ip', ['netns', 'exec', host, 'socat', `TCP-LISTEN:${PORT},bind=127.0.0.1,fork,reuseaddr`, `UNIX-CONNECT:${path}`], { stdio: 'ignore' });
  world.cleanup.defer('carrier to the API server', () => { carrier.kill('SIGTERM'); });
  await eventually('the carrier listens', async () => ((await world.exec(host, 'ss', ['-ltnH', `sport = :${PORT}`])).stdout.includes('127.0.0.1') ? true : undefined), 5_000, 20);
}
