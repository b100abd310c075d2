/** An Open vSwitch of a benchmark's own (scripts/ovs), with the userspace datapath, in a network namespace of its own. Needs a sandbox and prepareNamespaces(). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command, mustRun, type CommandResult } from './command.js';
import { ROOT } from './datapath.js';

export const BRIDGE = 'br-int';

export class BenchSwitch {
  private constructor(
    readonly netns: string,
    /** Where its sockets are. */
    readonly directory: string,
  ) {}

  /** `directory` must be short: sockets stand in it. The switch ends with the sandbox. */
  static async start(netns: string, directory: string): Promise<BenchSwitch> {
    await mustRun('ip', ['netns', 'add', netns]);
    await mustRun('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
    await mustRun(join(ROOT, 'scripts/ovs'), ['start', '--dir', directory, '--netns', netns, '--bridge', BRIDGE]);
    return new BenchSwitch(netns, directory);
  }

  /** In the namespace that this runs in, where an agent's own devices are. */
  static async startHere(directory: string): Promise<BenchSwitch> {
    await mustRun(join(ROOT, 'scripts/ovs'), ['start', '--dir', directory, '--bridge', BRIDGE]);
    return new BenchSwitch('', directory);
  }

  get database(): string {
    return `unix:${this.directory}/db.sock`;
  }

  /** The socket for OpenFlow. */
  get management(): string {
    return `${this.directory}/${BRIDGE}.mgmt`;
  }

  /** Ports without a workload; to OVN they are its logical ports of the same names. */
  async addInternalPorts(names: readonly string[]): Promise<void> {
    await this.vsctl(...names.flatMap((name) => ['--', 'add-port', BRIDGE, name, '--', 'set', 'Interface', name, 'type=internal', `external_ids:iface-id=${name}`]).slice(1));
  }

  async vsctl(...args: readonly string[]): Promise<string> {
    return (await mustRun('ovs-vsctl', ['--timeout=60', `--db=${this.database}`, ...args])).stdout.trim();
  }

  async ofctl(...args: readonly string[]): Promise<CommandResult> {
    const [verb = '', ...rest] = args;
    return mustRun('ovs-ofctl', ['--timeout=120', '-O', 'OpenFlow15', ...(verb === 'replace-flows' ? ['--bundle'] : []), verb, `unix:${this.management}`, ...rest]);
  }

  /** Flows as `ovs-ofctl replace-flows` reads them, without their counters. */
  async flows(): Promise<string[]> {
    const { stdout } = await this.ofctl('dump-flows', '--no-stats', '--no-names');
    return stdout.split('\n').filter((line) => line.includes('actions='));
  }

  async flowCount(): Promise<number> {
    return Number(/flow_count=(\d+)/.exec((await this.ofctl('dump-aggregate')).stdout)?.[1]);
  }

  async appctl(...args: readonly string[]): Promise<string> {
    return (await mustRun('ovs-appctl', ['--timeout=60', '-t', join(this.directory, `ovs-vswitchd.${await this.pid()}.ctl`), ...args])).stdout;
  }

  async pid(): Promise<number> {
    return Number((await readFile(join(this.directory, 'ovs-vswitchd.pid'), 'utf8')).trim());
  }
}

/** Is the program installed? */
export async function installed(program: string): Promise<boolean> {
  return (await command('sh', ['-c', `command -v ${program}`])).code === 0;
}
