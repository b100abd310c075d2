/**
 * OVN on a switch of a benchmark's own: both databases, northd, and the controller that writes the switch's flows. Debian's ovn-central and
 * ovn-host. All of it ends with the sandbox.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { installed, type BenchSwitch } from './bench-switch.js';
import { mustRun } from './command.js';

export function ovnInstalled(): Promise<boolean> {
  return installed('ovn-controller').then(async (host) => host && installed('ovn-northd'));
}

export class Ovn {
  private daemonSocket: string | undefined;

  private constructor(
    private readonly ovs: BenchSwitch,
    private readonly directory: string,
  ) {}

  static async start(ovs: BenchSwitch, directory: string): Promise<Ovn> {
    const ovn = new Ovn(ovs, directory);
    await mkdir(directory, { recursive: true });
    for (const name of ['nb', 'sb'] as const) {
      const database = join(directory, `${name}.db`);
      await mustRun('ovsdb-tool', ['create', database, `/usr/share/ovn/ovn-${name}.ovsschema`]);
      await ovn.inNamespace('ovsdb-server', [database, `--remote=punix:${join(directory, `${name}.sock`)}`, ...ovn.detached(`${name}-db`), `--unixctl=${join(directory, `${name}.ctl`)}`]);
    }
    await ovs.vsctl('set', 'Open_vSwitch', '.', `external_ids:ovn-remote=unix:${directory}/sb.sock`, 'external_ids:ovn-encap-type=geneve', 'external_ids:ovn-encap-ip=127.0.0.1',
      'external_ids:system-id=bench', 'external_ids:ovn-monitor-all=true', 'external_ids:ovn-bridge=br-int', 'external_ids:ovn-bridge-datapath-type=netdev');
    await ovn.inNamespace('ovn-northd', [`--ovnnb-db=unix:${directory}/nb.sock`, `--ovnsb-db=unix:${directory}/sb.sock`, ...ovn.detached('northd')]);
    await ovn.inNamespace('ovn-controller', [ovs.database, ...ovn.detached('controller')]);
    return ovn;
  }

  /** One logical switch with these ports, which are ports of the bridge by the same names, all in port group `pg`. */
  async addPorts(names: readonly string[]): Promise<void> {
    await this.nbctl('--wait=hv', 'ls-add', 'ls', ...names.flatMap((name, index) => ['--', 'lsp-add', 'ls', name, '--', 'lsp-set-addresses', name, `${macOf(index)} 10.250.0.${index + 1}`]));
    await this.nbctl('--wait=hv', 'pg-add', 'pg', ...names);
  }

  /** A process of its own, as people run it. Returns how long it took, milliseconds. */
  async nbctl(...args: readonly string[]): Promise<number> {
    // Many objects in one transaction are a long command line.
    const limits = ['--stack=unlimited', 'ovn-nbctl', '--timeout=120', `--db=unix:${this.directory}/nb.sock`];
    return (await mustRun('env', ['-u', 'OVN_NB_DAEMON', 'prlimit', ...limits, ...args])).ms;
  }

  /** The client that stays connected (ovn-nbctl --detach), asked by another ovn-nbctl. */
  async nbctlDaemon(...args: readonly string[]): Promise<number> {
    if (this.daemonSocket === undefined) {
      const { stdout } = await mustRun('env', this.with('ovn-nbctl', [`--db=unix:${this.directory}/nb.sock`, '--pidfile', '--detach', '--log-file']));
      this.daemonSocket = stdout.trim();
    }
    return (await mustRun('env', [`OVN_NB_DAEMON=${this.daemonSocket}`, 'ovn-nbctl', '--timeout=120', ...args])).ms;
  }

  private with(program: string, args: readonly string[]): string[] {
    const { directory, ovs } = this;
    return [`OVN_RUNDIR=${directory}`, `OVN_DBDIR=${directory}`, `OVN_LOGDIR=${directory}`, `OVS_RUNDIR=${ovs.directory}`, program, ...args];
  }

  private detached(name: string): string[] {
    return [`--pidfile=${join(this.directory, `${name}.pid`)}`, `--log-file=${join(this.directory, `${name}.log`)}`, '--detach', '--no-chdir', '-vconsole:off'];
  }

  private async inNamespace(program: string, args: readonly string[]): Promise<void> {
    await mustRun('ip', ['netns', 'exec', this.ovs.netns, 'env', ...this.with(program, args)]);
  }
}

function macOf(index: number): string {
  return `0a:00:00:00:00:${(index + 1).toString(16).padStart(2, '0')}`;
}
