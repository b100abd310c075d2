/** The two stores that agents follow, as a test of chaos sees them: written change by change, and hurt in the ways that stores are. */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { identityOf } from '../../../src/model/identity.js';
import { RuleTableCodec } from '../../../src/sources/etcd/ruletable/codec.js';
import { EtcdKeys } from '../../../src/sources/etcd/keys.js';
import type { EtcdClient } from '../../../src/sources/etcd/client/etcd.js';
import type { Random } from '../../oracle/random.js';
import { ServerProcess } from '../api-server/process.js';
import { command, eventually } from '../command.js';
import { accept } from '../decode.js';
import { EtcdServer } from '../etcd.js';
import type { World } from '../netns.js';
import type { Manifest } from '../policies.js';
import { SocketDoor } from '../socket-door.js';
import type { Change } from './changes.js';

export interface ChaosStore {
  /** As the agent's configuration has it. */
  readonly source: object;
  /** What happens to it, by name; each ends with the store whole again. */
  readonly harms: Readonly<Record<string, (random: Random) => Promise<void>>>;
  /** Documents of one stream come in their order. */
  streamOf(document: Manifest): string;
  /** Resolves when it is stored, however often that must be tried. */
  write(change: Change): Promise<void>;
  /** The same by agentctl; absent: agentctl does not write there. */
  readonly writeByHand?: (change: Change) => Promise<void>;
  /** What it holds now, to go back to; absent: it cannot. Nothing may be written meanwhile. */
  readonly backup?: () => Promise<() => Promise<void>>;
}

const never = new AbortController().signal;
const LIMIT_MS = 30_000;
const pause = async (random: Random, least: number, most: number): Promise<void> => sleep(random.int(least, most));

export class EtcdStore implements ChaosStore {
  private readonly codec = new RuleTableCodec();
  private readonly keys = new EtcdKeys('/dfw/v1', '');

  private constructor(private readonly server: EtcdServer, private readonly client: EtcdClient, private readonly doors: readonly SocketDoor[], private readonly agentctl: string) {}

  /** Three members; ends with the world. */
  static async create(world: World, agentctl: string): Promise<EtcdStore> {
    const server = await EtcdServer.start(world.cleanup, { members: 3 });
    const doors = server.sockets.map((socket, index) => new SocketDoor(join(server.directory, `door${index}:1`), socket.slice('unix:'.length)));
    for (const door of doors) {
      world.cleanup.defer('door', () => door.shut());
      await door.open();
    }
    return new EtcdStore(server, server.client(world.cleanup, { timeoutMs: 1_000 }), doors, agentctl);
  }

  get source(): object {
    return { type: 'etcd', endpoints: this.doors.map(({ path }) => `unix:${path}`), grace: 3 };
  }

  readonly harms = {
    'the leader is killed': async (random: Random): Promise<void> => {
      const leader = await this.server.leader();
      await this.server.kill(leader);
      await pause(random, 50, 1_000);
      this.server.launch(leader);
      await this.server.leader();
    },
    'a member stands still': async (random: Random): Promise<void> => {
      const member = random.int(0, 2);
      await this.server.kill(member, 'SIGSTOP');
      await pause(random, 200, 1_500);
      await this.server.kill(member, 'SIGCONT');
    },
    'history is compacted': async (): Promise<void> => {
      const text = await this.tried(async () => this.server.etcd(['get', '/', '-w', 'json']));
      await this.server.etcdctl('compact', String(Number(/"revision":(\d+)/.exec(text)?.[1])));
    },
    'history is compacted while the agent is cut off': async (random: Random): Promise<void> => {
      await Promise.all(this.doors.map(async (door) => door.shut()));
      await pause(random, 100, 800);
      await this.harms['history is compacted']();
      for (const door of this.doors) await door.open();
    },
    'connections are cut': async (random: Random): Promise<void> => {
      for (let turn = random.int(1, 3); turn > 0; turn -= 1) {
        for (const door of this.doors) door.cut();
        await pause(random, 10, 100);
      }
    },
  };

  streamOf({ kind }: Manifest): string {
    return kind === 'RuleTable' || kind === 'AddressSet' ? kind : 'objects';
  }

  async write({ key, document, before }: Change): Promise<void> {
    const named = document ?? before;
    const identity = named === undefined ? undefined : identityOf(named);
    if (named === undefined || identity === undefined) throw new Error(`${key} names nothing`);
    const { name } = named.metadata;
    const place = named.kind === 'RuleTable' ? this.keys.table(name) : named.kind === 'AddressSet' ? this.keys.set(name) : this.keys.manifest(identity);
    await this.tried(async () => this.client.commit([], [{ key: place, value: document === undefined ? undefined : this.encoded(document) }], never));
  }

  readonly writeByHand = async ({ document, before }: Change): Promise<void> => {
    const file = join(this.server.directory, 'by-hand.json');
    await writeFile(file, JSON.stringify(document ?? before));
    const etcd = join(this.server.directory, 'etcd.json');
    await writeFile(etcd, JSON.stringify({ type: 'etcd', endpoints: this.server.sockets }));
    // It is stored or not where agentctl lost the store meanwhile; then it is asked once more, and what is gone already is gone.
    await this.tried(async () => {
      const { code, stderr, stdout } = await command(this.agentctl, [document === undefined ? 'delete' : 'apply', '-f', file, '--etcd', etcd]);
      if (code !== 0 && !(document === undefined && /there is no|not found/i.test(stderr))) throw new Error(`agentctl: ${code} ${stderr}${stdout}`);
    });
  };

  private encoded(document: Manifest): Uint8Array {
    if (document.kind === 'RuleTable') return this.codec.writeTable(accept('RuleTable', document));
    if (document.kind === 'AddressSet') return this.codec.writeSet(accept('AddressSet', document));
    return Buffer.from(JSON.stringify(document));
  }

  private async tried<T>(work: () => Promise<T>): Promise<T> {
    return (await eventually('etcd takes it', async () => ({ result: await work() }), LIMIT_MS)).result;
  }
}

export class KubernetesStore implements ChaosStore {
  private constructor(private readonly server: ServerProcess) {}

  static async create(world: World): Promise<KubernetesStore> {
    return new KubernetesStore(await ServerProcess.create(world));
  }

  get source(): object {
    return { type: 'kubernetes', kubeconfig: this.server.kubeconfig };
  }

  readonly harms = {
    'the API server is killed': async (random: Random): Promise<void> => {
      await this.server.kill();
      await pause(random, 20, 1_200);
      await this.server.start(random.chance(0.5));
    },
    'watches end': async (random: Random): Promise<void> => {
      await this.tried(async () => this.server.closeWatches(random.chance(0.5)));
    },
    'history is compacted': async (): Promise<void> => this.tried(async () => this.server.compact()),
    'history is compacted while the agent is cut off': async (random: Random): Promise<void> => {
      await this.server.door.shut();
      await pause(random, 100, 800);
      await this.harms['history is compacted']();
      await this.server.door.open();
    },
    'connections are cut': async (random: Random): Promise<void> => {
      for (let turn = random.int(1, 3); turn > 0; turn -= 1) {
        this.server.door.cut();
        await pause(random, 10, 100);
      }
    },
  };

  streamOf({ apiVersion, kind }: Manifest): string {
    return `${apiVersion}/${kind}`;
  }

  async write({ document, before }: Change): Promise<void> {
    if (document !== undefined) return this.tried(async () => this.server.put({ ...document }));
    if (before === undefined) return;
    const { apiVersion, kind, metadata: { name, namespace } } = before;
    return this.tried(async () => this.server.remove(apiVersion, kind, name, namespace));
  }

  readonly backup = async (): Promise<() => Promise<void>> => {
    const size = await this.server.snapshot();
    return async () => this.server.restore(size);
  };

  private async tried(work: () => Promise<void>): Promise<void> {
    await eventually('the API server takes it', async () => {
      await work();
      return true;
    }, LIMIT_MS);
  }
}
