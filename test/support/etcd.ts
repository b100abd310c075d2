/**
 * A real etcd, one member or several, on loopback addresses (of a network namespace, where one is given) and Unix sockets, with data directories of
 * its own. Everything goes away with the Cleanup it is given.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GrpcEtcd, type GrpcEtcdOptions } from '../../src/sources/etcd/client/grpc-etcd.js';
import { systemClock } from '../../src/platform/clock.js';
import type { Cleanup } from './cleanup.js';
import { command, eventually, mustRun, type CommandResult } from './command.js';
import { silent } from './silent.js';

export interface EtcdOptions {
  readonly members?: number;
  /** Runs there; then clients outside reach it by its Unix socket only. */
  readonly netns?: string;
  /** Further arguments of etcd. */
  readonly args?: readonly string[];
  /** Server certificate, its key, and the authority of clients: https, with client certificates where `clientCa` is there; etcdctl's is `client`. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string; readonly clientCa?: string; readonly client?: { readonly cert: string; readonly key: string } };
}

interface Member {
  readonly name: string;
  readonly client: string;
  readonly peer: string;
  readonly socket: string;
  readonly data: string;
  child: ChildProcess | undefined;
  ended: Promise<void>;
}

export class EtcdServer {
  private readonly members: Member[] = [];

  private constructor(readonly directory: string, private readonly options: EtcdOptions) {}

  /** Ready to be asked. */
  static async start(cleanup: Cleanup, options: EtcdOptions = {}): Promise<EtcdServer> {
    const server = new EtcdServer(await mkdtemp(join(tmpdir(), 'dfwt-etcd-')), options);
    cleanup.defer('etcd directory', () => rm(server.directory, { recursive: true, force: true }));
    cleanup.defer('etcd', () => server.killAll());
    const scheme = options.tls === undefined ? 'http' : 'https';
    for (let index = 0; index < (options.members ?? 1); index += 1) {
      const [client, peer] = options.netns === undefined ? await freePorts() : [22379 + index * 10, 22380 + index * 10];
      server.members.push({
        name: `m${index}`, client: `${scheme}://127.0.0.1:${client}`, peer: `http://127.0.0.1:${peer}`, socket: join(server.directory, `m${index}:1`),
        data: join(server.directory, `m${index}`), child: undefined, ended: Promise.resolve(),
      });
    }
    for (let index = 0; index < server.members.length; index += 1) server.launch(index);
    await server.ready();
    return server;
  }

  /** By loopback. */
  get endpoints(): string[] {
    return this.members.map(({ client }) => client);
  }

  /** From every network namespace. Without TLS only. */
  get sockets(): string[] {
    return this.members.map(({ socket }) => `unix:${socket}`);
  }

  launch(index = 0): void {
    const member = this.member(index);
    const { tls, netns, args = [] } = this.options;
    // The name of a socket has to look like HOST:PORT, and lies in the working directory.
    const listen = tls === undefined ? `${member.client},unix://${member.name}:1` : member.client;
    const line = [
      'etcd', '--name', member.name, '--data-dir', member.data, '--listen-client-urls', listen, '--advertise-client-urls', member.client,
      '--listen-peer-urls', member.peer, '--initial-advertise-peer-urls', member.peer, '--initial-cluster', this.members.map(({ name, peer }) => `${name}=${peer}`).join(','),
      '--initial-cluster-state', 'new', '--logger', 'zap', '--heartbeat-interval', '50', '--election-timeout', '500',
      ...(tls === undefined ? [] : ['--cert-file', tls.cert, '--key-file', tls.key, ...(tls.clientCa === undefined ? [] : ['--client-cert-auth', '--trusted-ca-file', tls.clientCa])]),
      ...args,
    ];
    const [program = '', ...rest] = netns === undefined ? line : ['ip', 'netns', 'exec', netns, ...line];
    // A killed one leaves its socket.
    rmSync(member.socket, { force: true });
    const log = openSync(join(this.directory, `${member.name}.log`), 'a');
    const child = spawn(program, rest, { stdio: ['ignore', log, log], cwd: this.directory, env: { PATH: process.env['PATH'] } });
    closeSync(log);
    member.child = child;
    member.ended = new Promise((resolve) => {
      child.once('error', () => resolve());
      child.once('exit', () => resolve());
    });
  }

  /** SIGKILL, or another signal. */
  async kill(index = 0, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const member = this.member(index);
    member.child?.kill(signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') await member.ended;
  }

  async killAll(): Promise<void> {
    for (const member of this.members) {
      if (member.child?.exitCode === null && member.child.signalCode === null) {
        member.child.kill('SIGCONT');
        member.child.kill('SIGKILL');
      }
    }
    await Promise.all(this.members.map(({ ended }) => ended));
  }

  /** Removes a stopped member's data. */
  async wipe(index = 0): Promise<void> {
    await rm(this.member(index).data, { recursive: true, force: true });
  }

  dataDirectory(index = 0): string {
    return this.member(index).data;
  }

  /** Lines of a shell that call etcdctl; must succeed. */
  async shell(script: string): Promise<void> {
    await mustRun('sh', ['-ec', script], { env: { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: this.endpoints.join(',') } });
  }

  /** Until it answers. */
  async ready(): Promise<void> {
    await eventually('etcd answers', async () => {
      const { code, stderr } = await this.etcdctl('get', '/', '--limit', '1');
      // With authentication a refusal is an answer.
      return code === 0 || /user name is empty|permission denied/.test(stderr) ? true : undefined;
    }, 15_000, 50).catch(async (error: unknown) => {
      const text = await readFile(join(this.directory, 'm0.log'), 'utf8').catch(() => '');
      throw new Error(`${String(error)}\n${text.split('\n').slice(-15).join('\n')}`, { cause: error });
    });
  }

  /** Index of the leader. */
  async leader(): Promise<number> {
    return eventually('etcd has a leader', async () => {
      for (const [index, { client, child }] of this.members.entries()) {
        if (child?.exitCode !== null || child.signalCode !== null) continue;
        const { code, stdout } = await this.etcdctl('--endpoints', client, 'endpoint', 'status', '-w', 'json');
        if (code !== 0) continue;
        const [{ Status: status }] = JSON.parse(stdout) as [{ Status: { header: { member_id: number }; leader: number } }];
        if (status.leader !== 0 && status.leader === status.header.member_id) return index;
      }
      return undefined;
    }, 15_000);
  }

  /** Never rejects for its exit status. */
  async etcdctl(...args: readonly string[]): Promise<CommandResult> {
    return this.run([...(args.includes('--endpoints') ? [] : ['--endpoints', this.endpoints.join(',')]), ...args], undefined);
  }

  /** Must succeed. */
  async put(key: string, value: string | Uint8Array): Promise<void> {
    await this.etcd(['put', key], typeof value === 'string' ? value : Buffer.from(value).toString('latin1'));
  }

  async delete(key: string): Promise<void> {
    await this.etcd(['del', key]);
  }

  async etcd(args: readonly string[], input?: string): Promise<string> {
    const result = await this.run(['--endpoints', this.endpoints.join(','), ...args], input);
    if (result.code !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }

  /** A way to the first member that the test opens and shuts; open at first. */
  async door(cleanup: Cleanup): Promise<{ readonly endpoint: string; open(): Promise<void>; shut(): Promise<void> }> {
    const port = Number(new URL(this.member(0).client).port);
    const sockets = new Set<Socket>();
    let door: Server | undefined;
    const number = (await freePorts())[0];
    const shut = async (): Promise<void> => {
      const closing = door;
      door = undefined;
      for (const socket of sockets) socket.destroy();
      if (closing !== undefined) await new Promise((resolve) => closing.close(resolve));
    };
    const open = async (): Promise<void> => {
      const opening = createServer((inside) => {
        const outside = connect(port, '127.0.0.1');
        for (const [socket, other] of [[inside, outside], [outside, inside]] as const) {
          sockets.add(socket);
          socket.on('error', () => other.destroy());
          socket.on('close', () => {
            sockets.delete(socket);
            other.destroy();
          });
          socket.pipe(other);
        }
      });
      door = opening;
      await new Promise<void>((resolve) => opening.listen(number, '127.0.0.1', resolve));
    };
    cleanup.defer('door', shut);
    await open();
    return { endpoint: `http://127.0.0.1:${number}`, open, shut };
  }

  /** A client of this process, closed with the Cleanup. By loopback, or with a namespace by the sockets. */
  client(cleanup: Cleanup, options: Partial<GrpcEtcdOptions> = {}): GrpcEtcd {
    const client = new GrpcEtcd({ endpoints: this.options.netns === undefined ? this.endpoints : this.sockets, clock: systemClock, log: silent, ...options });
    cleanup.defer('etcd client', () => client.close());
    return client;
  }

  private async run(args: readonly string[], input: string | undefined): Promise<CommandResult> {
    const { netns, tls } = this.options;
    const line = ['etcdctl', ...(tls === undefined ? [] : ['--cacert', tls.ca]), ...(tls?.client === undefined ? [] : ['--cert', tls.client.cert, '--key', tls.client.key]), ...args];
    const [program = '', ...rest] = netns === undefined ? line : ['ip', 'netns', 'exec', netns, ...line];
    return command(program, rest, { env: { ETCDCTL_API: '3' }, ...(input === undefined ? {} : { input }) });
  }

  private member(index: number): Member {
    const member = this.members[index];
    if (member === undefined) throw new Error(`no member ${index}`);
    return member;
  }
}

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const;
  const ports = await Promise.all(servers.map(async (server) => new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  })));
  await Promise.all(servers.map(async (server) => new Promise((resolve) => server.close(resolve))));
  return [ports[0] ?? 0, ports[1] ?? 0];
}

/** An authority, and certificates of it for 127.0.0.1, each with its own common name; PEM files in `directory`. */
export async function authority(directory: string): Promise<{ readonly ca: string; readonly issue: (name: string, days?: number) => Promise<{ cert: string; key: string }> }> {
  const [ca, caKey] = [join(directory, 'ca.pem'), join(directory, 'ca-key.pem')];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await mustRun('openssl', ['req', '-x509', ...ec, '-keyout', caKey, '-out', ca, '-days', '2', '-subj', '/CN=dfw-test-ca']);
  return {
    ca,
    issue: async (name, days = 1) => {
      const [key, cert, request] = [join(directory, `${name}-key.pem`), join(directory, `${name}.pem`), join(directory, `${name}.csr`)];
      await mustRun('openssl', ['req', '-new', ...ec, '-keyout', key, '-out', request, '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-addext', 'extendedKeyUsage=serverAuth,clientAuth']);
      // openssl 3.0 knows -copy_extensions; -days below 0 makes one that has expired.
      await mustRun('openssl', ['x509', '-req', '-in', request, '-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-out', cert, '-days', String(days), '-copy_extensions', 'copy']);
      return { cert, key };
    },
  };
}
