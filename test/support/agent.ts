/**
 * The daemon as a user runs it: bin/dfw-agent in a world's host namespace with its own directories, and bin/agentctl
 * against its socket. Ends with the world; its log is at hand when a test fails.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentClient } from '../../src/api/client.js';
import { WorldServer } from './api-server/world-server.js';
import { command, eventually, mustRun, type CommandResult } from './command.js';
import { WORLD_BRIDGE, type World } from './netns.js';
import { PATIENCE } from './patience.js';
import { SOURCE, type ManifestStore } from './sources.js';
import { WorldEtcd } from './world-etcd.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DAEMON = join(ROOT, 'bin/dfw-agent');
const AGENTCTL = join(ROOT, 'bin/agentctl');

export interface AgentOptions {
  /** Laid over the test's configuration, key by key at the top. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Before the manifests of the test. */
  readonly sources?: readonly object[];
  /** Manifests that are there before the first start: file name to documents, or to whole text for `.rules` and broken files. */
  readonly manifests?: Readonly<Record<string, readonly unknown[] | string>>;
}

export interface AgentctlResult extends CommandResult {
  /** stdout as JSON; throws with what was said when it is none. */
  json(): unknown;
}

export class Agent {
  readonly manifests: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly auditLog: string;
  readonly configFile: string;
  private readonly logFile: string;
  /** Where manifests are, if not in files; text stands in files in any case. */
  private store: ManifestStore | undefined;
  private child: ChildProcess | undefined;
  private ended: Promise<number | null> = Promise.resolve(null);

  private constructor(private readonly world: World, readonly directory: string) {
    this.manifests = join(directory, 'manifests');
    this.stateDir = join(directory, 'state');
    this.socket = join(directory, 'agent.sock');
    this.auditLog = join(directory, 'audit.log');
    this.configFile = join(directory, 'agent.yaml');
    this.logFile = join(directory, 'agent.log');
  }

  /** Makes the directories and the configuration; start() runs the daemon. */
  static async prepare(world: World, options: AgentOptions = {}): Promise<Agent> {
    const agent = new Agent(world, await mkdtemp(join(tmpdir(), 'dfwt-')));
    world.cleanup.defer('agent directory', () => rm(agent.directory, { recursive: true, force: true }));
    world.cleanup.defer('agent', () => agent.kill());
    await mkdir(agent.manifests);
    await mkdir(agent.stateDir);
    if (SOURCE === 'kubernetes') agent.store = await WorldServer.create(world);
    if (SOURCE === 'etcd') agent.store = await WorldEtcd.create(world);
    const config = {
      node: 'host-1',
      sources: [...(options.sources ?? []), ...(agent.store === undefined ? [] : [agent.store.config]), { type: 'file', path: agent.manifests }],
      api: { socket: agent.socket, group: 'root' },
      metrics: { listen: '127.0.0.1:9476' },
      audit: { path: agent.auditLog },
      stateDir: agent.stateDir,
      ...(world.ovs === undefined ? {} : { datapath: 'ovs', ovs: { bridge: WORLD_BRIDGE, database: world.ovs.database } }),
      ...options.config,
    };
    await writeFile(agent.configFile, JSON.stringify(config, undefined, 2)); // JSON is YAML
    for (const [name, content] of Object.entries(options.manifests ?? {})) await agent.write(name, content);
    return agent;
  }

  /** Changes one section of the configuration file; the next start() reads it. */
  async configure(section: string, change: Readonly<Record<string, unknown>>): Promise<void> {
    const config = JSON.parse(await readFile(this.configFile, 'utf8')) as Record<string, Record<string, unknown>>;
    await writeFile(this.configFile, JSON.stringify({ ...config, [section]: { ...config[section], ...change } }, undefined, 2));
  }

  /** prepare() and start(). */
  static async run(world: World, options: AgentOptions = {}): Promise<Agent> {
    const agent = await Agent.prepare(world, options);
    await agent.start();
    return agent;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Starts the daemon and waits until all it was given is enforced. Rejects with its log when it ends first. */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.launch(environment);
    const ended = this.ended.then(() => Promise.reject(new Error('the agent ended before it was ready')));
    const ready = eventually(
      'the agent is ready',
      async () => {
        if (!this.running) return false;
        const status = await this.agentctl('status', '-o', 'json');
        return status.code === 0 && (status.json() as { realized?: boolean }).realized === true ? true : undefined;
      },
      40_000 * PATIENCE,
      50,
    );
    await Promise.race([ready, ended]).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await this.tail()}`, { cause: error });
    });
  }

  /** Starts the daemon and does not wait. */
  launch(environment: Readonly<Record<string, string>> = {}): void {
    if (this.running) throw new Error('the agent runs already');
    const log = openSync(this.logFile, 'a');
    const child = spawn('ip', ['netns', 'exec', this.world.host, DAEMON, '--config', this.configFile], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...environment },
      cwd: this.directory,
    });
    closeSync(log);
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once('error', () => resolve(null));
      child.once('exit', (code) => resolve(code));
    });
  }

  /** SIGTERM; resolves with the exit status. Already ended: at once. */
  async stop(): Promise<number | null> {
    if (this.running) this.child?.kill('SIGTERM');
    return this.ended;
  }

  /** SIGKILL, as a crash would end it. */
  async kill(): Promise<void> {
    if (this.running) this.child?.kill('SIGKILL');
    await this.ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** The source of what write() is given, as `agentctl` calls it. */
  get source(): string {
    return this.store?.type ?? 'file';
  }

  /** What the agent calls a document of that name, when it refuses it, or the end of that; the first is 1. */
  place(name: string, document: number): string {
    return this.store?.place(name, document) ?? `${name}#${document}`;
  }

  /** Names of all manifests. */
  async names(): Promise<string[]> {
    return [...(this.store?.names() ?? []), ...await readdir(this.manifests)];
  }

  /** Puts a manifest in place in one step. An array is written as YAML documents, or as objects; text as it is. */
  async write(name: string, content: readonly unknown[] | string): Promise<void> {
    if (typeof content !== 'string' && await this.store?.write(name, content) === true) return;
    const text = typeof content === 'string' ? content : content.map((document) => `---\n${JSON.stringify(document, undefined, 1)}\n`).join('');
    const path = join(this.manifests, name);
    await mkdir(dirname(path), { recursive: true });
    const temporary = join(this.directory, `.${name.replaceAll('/', '_')}.new`);
    await writeFile(temporary, text);
    await rename(temporary, path);
  }

  async remove(name: string): Promise<void> {
    if (await this.store?.delete(name) === true) return;
    await rm(join(this.manifests, name));
  }

  /** Runs bin/agentctl against this agent; never rejects for its exit status. */
  async agentctl(...args: readonly string[]): Promise<AgentctlResult> {
    const result = await command(AGENTCTL, args, { timeoutMs: 60_000, env: { DFW_SOCKET: this.socket } });
    return {
      ...result,
      json: () => {
        try {
          return JSON.parse(result.stdout) as unknown;
        } catch (error) {
          throw new Error(`agentctl ${args.join(' ')} (${result.code}) printed no JSON: ${result.stdout}${result.stderr}`, { cause: error });
        }
      },
    };
  }

  /** A connection to the API, for questions by the thousand; closed with the world. */
  async client(): Promise<AgentClient> {
    const client = await AgentClient.connect(this.socket);
    this.world.cleanup.defer('API connection', () => client.close());
    return client;
  }

  /** agentctl -o json that must succeed. */
  async ask<Answer>(...args: readonly string[]): Promise<Answer> {
    const result = await this.agentctl(...args, '-o', 'json');
    if (result.code !== 0) throw new Error(`agentctl ${args.join(' ')} exited ${result.code}: ${result.stderr}${result.stdout}\n${await this.tail()}`);
    return result.json() as Answer;
  }

  /** Waits until everything in the manifests directory is enforced; rejects when an object was refused. */
  async sync(): Promise<void> {
    await this.ask('sync', '--timeout', `${20 * PATIENCE}s`);
  }

  /** The agent's log lines, oldest first; text that is no JSON comes as { text }. */
  async log(): Promise<Record<string, unknown>[]> {
    const text = await readFile(this.logFile, 'utf8');
    return text.split('\n').filter((line) => line !== '').map((line) => {
      try {
        return JSON.parse(line) as Record<string, unknown>;
      } catch {
        return { text: line };
      }
    });
  }

  /** The end of the log, for failure messages. */
  async tail(lines = 40): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    const state = this.running ? 'running' : `ended: ${this.child?.signalCode ?? this.child?.exitCode ?? 'never started'}`;
    return `--- agent (${state}), its log ---\n${text.split('\n').slice(-lines - 1).join('\n')}`;
  }

  /** Lines of the audit log; none when the file is not there yet. */
  async audit(): Promise<string[]> {
    const text = await readFile(this.auditLog, 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  /** Values of one metric, by the text of its labels ("" without labels); {} when there is none. */
  async metric(name: string): Promise<Record<string, number>> {
    const script = 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:9476/metrics", timeout=5).read().decode())';
    const text = await mustRun('ip', ['netns', 'exec', this.world.host, '/usr/bin/python3', '-c', script]);
    const values: Record<string, number> = {};
    for (const line of text.split('\n')) {
      const match = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
      if (match?.[1] === name) values[match[2] ?? ''] = Number(match[3]);
    }
    return values;
  }
}
