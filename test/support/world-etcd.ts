/** The etcd of a test world (DFW_TEST_SOURCE=etcd): manifests are put there as if they were applied and pruned. */
import { identityOf } from '../../src/model/identity.js';
import type { EtcdClient, Write } from '../../src/sources/etcd/client/etcd.js';
import { EtcdKeys } from '../../src/sources/etcd/keys.js';
import { EtcdServer } from './etcd.js';
import type { World } from './netns.js';
import type { ManifestStore } from './sources.js';

const AT_ONCE = 100;

export class WorldEtcd implements ManifestStore {
  readonly type = 'etcd';
  /** By name: key to text, in the documents' order. */
  private readonly held = new Map<string, ReadonlyMap<string, string>>();
  private readonly keys = new EtcdKeys('/dfw/v1', '');

  private constructor(private readonly server: EtcdServer, private readonly client: EtcdClient) {}

  /** Ends with the world. */
  static async create(world: World): Promise<WorldEtcd> {
    const server = await EtcdServer.start(world.cleanup);
    return new WorldEtcd(server, server.client(world.cleanup));
  }

  get config(): object {
    return { type: 'etcd', endpoints: this.server.sockets };
  }

  async write(name: string, documents: readonly unknown[]): Promise<boolean> {
    const wanted = new Map<string, string>();
    for (const document of documents) {
      const identity = identityOf(document);
      if (identity === undefined) return false;
      wanted.set(this.keys.manifest(identity), JSON.stringify(document));
    }
    await this.replace(this.held.get(name) ?? new Map(), wanted);
    this.held.set(name, wanted);
    return true;
  }

  async delete(name: string): Promise<boolean> {
    const held = this.held.get(name);
    if (held === undefined) return false;
    this.held.delete(name);
    await this.replace(held, new Map());
    return true;
  }

  names(): readonly string[] {
    return [...this.held.keys()];
  }

  place(name: string, document: number): string {
    return [...(this.held.get(name)?.keys() ?? [])][document - 1] ?? '';
  }

  private async replace(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Promise<void> {
    const writes: Write[] = [...after].filter(([key, text]) => before.get(key) !== text).map(([key, text]) => ({ key, value: Buffer.from(text) }));
    for (const key of before.keys()) if (!after.has(key)) writes.push({ key, value: undefined });
    for (let at = 0; at < writes.length; at += AT_ONCE) await this.client.commit([], writes.slice(at, at + AT_ONCE), new AbortController().signal);
  }
}
