/** The API server of a test world in a process of its own: killed and started again with its data, or with older data. */
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import type { World } from '../netns.js';
import { LineProcess } from '../probe/line-process.js';
import { SocketDoor } from '../socket-door.js';
import { Authority } from './certificates.js';
import type { ChildConfig } from './child.js';
import { TOKEN } from './harness.js';
import { writeKubeconfig } from './kubeconfig.js';
import { carry, definitions, PORT } from './world-server.js';
import type { StoredObject } from './storage.js';

export class ServerProcess {
  readonly kubeconfig: string;
  private child: LineProcess | undefined;

  private constructor(private readonly directory: string, private readonly config: Omit<ChildConfig, 'forget'>, readonly door: SocketDoor) {
    this.kubeconfig = join(directory, 'kubeconfig');
  }

  /** Runs, with the definitions of every kind; ends with the world. The world's host reaches it through `door`. */
  static async create(world: World): Promise<ServerProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'dfwt-api-'));
    world.cleanup.defer('API server directory', () => rm(directory, { recursive: true, force: true }));
    const authority = await Authority.create();
    world.cleanup.defer('authority', () => authority.close());
    await bundle(join(directory, 'server.mjs'));
    const path = join(directory, 'server.sock');
    const door = new SocketDoor(join(directory, 'door.sock'), path);
    const made = new ServerProcess(directory, { path, port: PORT, data: join(directory, 'data'), authority: authority.cert, token: TOKEN, ...(await authority.server()) }, door);
    world.cleanup.defer('API server', () => made.kill());
    await made.start(false);
    for (const crd of definitions()) await made.put(crd);
    world.cleanup.defer('door', () => door.shut());
    await door.open();
    await carry(world, world.host, door.path);
    await writeKubeconfig(made.kubeconfig, { url: `https://127.0.0.1:${PORT}` }, authority, { token: TOKEN });
    return made;
  }

  /** `forget`: no history of what it holds. */
  async start(forget: boolean): Promise<void> {
    const child = new LineProcess(process.execPath, [join(this.directory, 'server.mjs')]);
    await child.start({ ...this.config, forget });
    this.child = child;
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    await child?.stop();
  }

  /** Rejects when it is killed meanwhile: then it is or is not stored. */
  async put(object: StoredObject): Promise<void> {
    await this.request({ do: 'put', object });
  }

  async remove(apiVersion: string, kind: string, name: string, namespace: string | undefined): Promise<void> {
    await this.request({ do: 'remove', apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) });
  }

  /** Forgets its history. */
  async compact(): Promise<void> {
    await this.request({ do: 'compact' });
  }

  async closeWatches(cut: boolean): Promise<void> {
    await this.request({ do: 'closeWatches', cut });
  }

  /** What is stored now, for restore(). */
  async snapshot(): Promise<number> {
    return (await stat(this.config.data)).size;
  }

  /** Killed, and started with what was stored then: an older revision and no history. */
  async restore(snapshot: number): Promise<void> {
    await this.kill();
    await truncate(this.config.data, snapshot);
    await this.start(true);
  }

  /** For failure messages. */
  async lines(): Promise<string[]> {
    return (await readFile(this.config.data, 'utf8')).split('\n');
  }

  private async request(body: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.child === undefined) throw new Error('the API server does not run');
    await this.child.request(body);
  }
}

/** One script of child.ts: nothing else compiles what a test's child process runs. */
async function bundle(file: string): Promise<void> {
  const build = await rolldown({ input: fileURLToPath(new URL('child.ts', import.meta.url)), platform: 'node', resolve: { extensionAlias: { '.js': ['.ts', '.js'] } } });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  await writeFile(file, output[0].code);
}
