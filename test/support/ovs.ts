/**
 * A switch for a test: ovsdb-server and ovs-vswitchd (userspace datapath) in a namespace of their own, and workloads on its bridge.
 * Made and ended by scripts/ovs, as people do it. Everything goes away in close(), also after a daemon was killed or stopped.
 *
 *   workload i:  eth0 10.30.0.<i+1>/24, fd30::<i+1>/64, MAC 02:dd:30:00:00:<i+1>  --- port <name> of bridge br-int
 *
 * The bridge has no flows and forwards nothing; neighbours are permanent entries, so that no flow for ARP is needed.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cleanup } from './cleanup.js';
import { command, eventually, mustRun, type CommandOptions, type CommandResult } from './command.js';
import { Namespaces } from './namespaces.js';

const SCRIPT = fileURLToPath(new URL('../../scripts/ovs', import.meta.url));
export const BRIDGE = 'br-int';
export type Daemon = 'ovsdb-server' | 'ovs-vswitchd';

export interface SwitchOptions {
  /** Names of the ports to begin with. */
  readonly ports?: readonly string[];
  /** A database that remembers its last transactions. */
  readonly cluster?: boolean;
}

export interface PortOptions {
  readonly externalIds?: Readonly<Record<string, string>>;
  /** Of the Port row, where Antrea writes. */
  readonly portExternalIds?: Readonly<Record<string, string>>;
}

export interface SwitchPort {
  readonly name: string;
  readonly netns: string;
  readonly ofport: number;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export class TestSwitch {
  readonly cleanup = new Cleanup();
  readonly ports = new Map<string, SwitchPort>();
  private added = 0;

  private constructor(
    readonly netns: string,
    /** Where sockets, process ids and logs are. */
    readonly directory: string,
    private readonly namespaces: Namespaces,
    private readonly options: SwitchOptions,
  ) {}

  static async start(options: SwitchOptions = {}): Promise<TestSwitch> {
    const early = new Cleanup();
    const namespaces = new Namespaces(early);
    const directory = await mkdtemp(path.join(tmpdir(), 'dfwt-ovs-'));
    const made = new TestSwitch(`${namespaces.base}-h`, directory, namespaces, options);
    made.cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
    made.cleanup.defer('namespaces', () => early.run());
    made.cleanup.defer('switch', () => mustRun(SCRIPT, ['stop', '--dir', directory]).then(() => undefined));
    try {
      await namespaces.add([made.netns]);
      await mustRun('ip', ['-n', made.netns, 'link', 'set', 'lo', 'up']);
      await made.start();
      for (const port of options.ports ?? []) await made.addPort(port);
    } catch (error) {
      const log = await readFile(path.join(directory, 'ovs-vswitchd.log'), 'utf8').catch(() => '');
      await made.cleanup.run();
      throw new Error(`no switch; the end of its log:\n${log.slice(-2_000)}`, { cause: error });
    }
    return made;
  }

  /** As in the configuration: "unix:PATH". */
  get database(): string {
    return `unix:${this.directory}/db.sock`;
  }

  /** The socket for OpenFlow. */
  get management(): string {
    return `${this.directory}/${BRIDGE}.mgmt`;
  }

  /** Starts what does not run. */
  async start(): Promise<void> {
    await mustRun(SCRIPT, ['start', '--dir', this.directory, '--netns', this.netns, '--bridge', BRIDGE, ...(this.options.cluster === true ? ['--cluster'] : [])]);
  }

  async pid(daemon: Daemon): Promise<number> {
    return Number((await readFile(path.join(this.directory, `${daemon}.pid`), 'utf8')).trim());
  }

  /** Ends a daemon the hard way and waits until it is gone. start() brings it back. */
  async kill(daemon: Daemon): Promise<void> {
    const pid = await this.pid(daemon);
    process.kill(pid, 'SIGKILL');
    await eventually(`the end of ${daemon}`, () => Promise.resolve(exists(pid) ? undefined : true));
  }

  /** The daemon hangs until resume(), kill() or close(). */
  async pause(daemon: Daemon): Promise<void> {
    process.kill(await this.pid(daemon), 'SIGSTOP');
  }

  async resume(daemon: Daemon): Promise<void> {
    process.kill(await this.pid(daemon), 'SIGCONT');
  }

  /** A workload in a namespace of its own, on a new port. */
  async addPort(name: string, options: PortOptions = {}): Promise<SwitchPort> {
    this.added += 1;
    const number = this.added;
    const netns = `${this.namespaces.base}-p${number}`;
    const address = { ipv4: `10.30.0.${number}`, ipv6: `fd30::${number.toString(16)}`, mac: macOf(number) };
    await this.namespaces.add([netns]);
    const others = [...this.ports.values()];
    const neighbours = (port: { ipv4: string; ipv6: string; mac: string }): string[] => [port.ipv4, port.ipv6].map((ip) => `neigh replace ${ip} lladdr ${port.mac} dev eth0 nud permanent`);
    await mustRun('ip', ['netns', 'exec', netns, 'sh', '-c', 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/default/router_solicitations; echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range']);
    await batch(this.netns, [`link add ${name} type veth peer name eth0 address ${address.mac} netns ${netns}`, `link set ${name} up`]);
    await batch(netns, ['link set lo up', 'link set eth0 up', `addr add ${address.ipv4}/24 dev eth0`, `addr add ${address.ipv6}/64 dev eth0 nodad`, ...others.flatMap(neighbours)]);
    for (const other of others) await batch(other.netns, neighbours(address));
    // The userspace datapath takes frames from a packet socket and does not finish the checksums that a sender left to its device.
    await mustRun('ip', ['netns', 'exec', netns, 'ethtool', '-K', 'eth0', 'tx', 'off']);
    const ids = (table: string, pairs: Readonly<Record<string, string>> = {}): string[] => Object.entries(pairs).flatMap(([key, value]) => ['--', 'set', table, name, `external_ids:${JSON.stringify(key)}=${JSON.stringify(value)}`]);
    await this.vsctl('add-port', BRIDGE, name, ...ids('Port', options.portExternalIds), ...ids('Interface', options.externalIds));
    const port: SwitchPort = { name, netns, ofport: Number(await this.vsctl('get', 'Interface', name, 'ofport')), ...address };
    this.ports.set(name, port);
    return port;
  }

  /** The port, its device and its workload. */
  async removePort(name: string): Promise<void> {
    const port = this.port(name);
    this.ports.delete(name);
    await this.vsctl('del-port', BRIDGE, name);
    this.namespaces.remove(port.netns);
  }

  /** Throws when there is none. */
  port(name: string): SwitchPort {
    const port = this.ports.get(name);
    if (port === undefined) throw new Error(`no port ${name} on this switch`);
    return port;
  }

  /** What the tool prints, without white space around. Rejects when it fails. */
  async vsctl(...args: readonly string[]): Promise<string> {
    return (await mustRun('ovs-vsctl', ['--timeout=10', `--db=${this.database}`, ...args])).trim();
  }

  async ofctl(verb: string, ...args: readonly string[]): Promise<string> {
    return mustRun('ovs-ofctl', ['--timeout=20', '-O', 'OpenFlow15', verb, `unix:${this.management}`, ...args]);
  }

  /** ovs-appctl's answer of ovs-vswitchd. */
  async appctl(...args: readonly string[]): Promise<string> {
    return mustRun('ovs-appctl', ['--timeout=10', '-t', path.join(this.directory, `ovs-vswitchd.${await this.pid('ovs-vswitchd')}.ctl`), ...args]);
  }

  /** Lines as in ovs-ofctl(8); all of them or none. */
  async addFlows(lines: readonly string[]): Promise<void> {
    await mustRun('ovs-ofctl', ['--timeout=20', '-O', 'OpenFlow15', '--bundle', 'add-flows', `unix:${this.management}`, '-'], { input: `${lines.join('\n')}\n` });
  }

  /** In a workload, by the port's name. */
  exec(port: string, program: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return command('ip', ['netns', 'exec', this.port(port).netns, program, ...args], options);
  }

  close(): Promise<void> {
    return this.cleanup.run();
  }
}

const macOf = (number: number): string => `02:dd:30:00:00:${number.toString(16).padStart(2, '0')}`;

async function batch(netns: string, lines: readonly string[]): Promise<void> {
  await mustRun('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
