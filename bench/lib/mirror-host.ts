/**
 * A host with one inspected workload and a running agent. Copies are made by ours, or by `tc` in their place: everything else is the same.
 *
 *   peer (netns)  eth0 10.9.1.2 ---- wire0  host (this namespace)  vnic0 ---- eth0 10.9.2.2  work (netns)
 *                                            dfw-tap0 ==== suricata-tap0
 *
 * Needs a sandbox and prepareNamespaces().
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { concatenated, udpFrame } from '../model/frames.js';
import { AgentProcess, pause } from './agent-process.js';
import { command, mustRun, type CommandResult } from './command.js';

export type Copier = 'none' | 'ours' | 'tc';

export const TAP = 'dfw-tap0';
export const SENSOR = 'suricata-tap0';
export const WORK = '10.9.2.2';
const PEER = '10.9.1.2';
const MACS = { peer: [2, 0xbf, 0, 0, 0, 1], wire: [2, 0xbf, 0, 0, 0, 2], vnic: [2, 0xbf, 0, 0, 0, 3], work: [2, 0xbf, 0, 0, 0, 4] } as const;
const SINK_PORT = 9;

export class MirrorHost {
  readonly agent: AgentProcess;
  private readonly sys: string;
  private copier: Copier = 'none';

  /** `ids`: further settings of the agent's section of that name. */
  constructor(private readonly directory: string, ids: Readonly<Record<string, unknown>>) {
    this.sys = join(directory, 'sys');
    this.agent = new AgentProcess(join(directory, 'agent'), { ids: { enabled: true, tap: TAP, sensor: SENSOR, signatures: join(directory, 'signatures'), eveFile: join(directory, 'log/eve.json'), alertWindow: 0, ...ids } });
  }

  /** Resolves when the agent enforces; nothing is copied yet. */
  async start(): Promise<void> {
    const ip = (text: string): Promise<unknown> => mustRun('ip', text.split(' '));
    await ip('link set lo up');
    // What a sandbox sees under /sys is of the namespace it was started from.
    await mkdir(this.sys);
    await mustRun('mount', ['-t', 'sysfs', 'sysfs', this.sys]);
    for (const [netns, device, host, guest, address] of [['peer', 'wire0', MACS.wire, MACS.peer, PEER], ['work', 'vnic0', MACS.vnic, MACS.work, WORK]] as const) {
      const gateway = address.replace(/2$/, '1');
      await ip(`netns add ${netns}`);
      await ip(`link add ${device} address ${macText(host)} type veth peer name eth0 address ${macText(guest)} netns ${netns}`);
      await mustRun('sysctl', ['-qw', `net.ipv6.conf.${device}.disable_ipv6=1`, `net.ipv4.conf.${device}.rp_filter=0`]);
      await ip(`address add ${gateway}/24 dev ${device}`);
      await ip(`link set ${device} up`);
      await mustRun('ip', ['netns', 'exec', netns, 'sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=1']);
      await ip(`-n ${netns} address add ${address}/24 dev eth0`);
      await ip(`-n ${netns} link set lo up`);
      await ip(`-n ${netns} link set eth0 up`);
      await ip(`-n ${netns} route add default via ${gateway}`);
      await ip(`neighbor replace ${address} lladdr ${macText(guest)} dev ${device} nud permanent`);
      await ip(`-n ${netns} neighbor replace ${gateway} lladdr ${macText(host)} dev eth0 nud permanent`);
      // Frames that packet-pace sends end here.
      await mustRun('ip', ['netns', 'exec', netns, 'nft', '-f', '-'], { stdin: `table netdev sink { chain eth0 { type filter hook ingress device "eth0" priority 0; udp dport ${SINK_PORT} drop; udp sport ${SINK_PORT} drop; }; }\n` });
    }
    await mustRun('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0']);
    await this.agent.start(manifests('none'), 30_000);
    await this.flushed();
  }

  /** Who makes the copies from now on; resolves when it is so. */
  async copyBy(copier: Copier): Promise<void> {
    if (this.copier === 'tc') await mustRun('tc', ['qdisc', 'del', 'dev', 'vnic0', 'clsact']);
    if ((this.copier === 'ours') !== (copier === 'ours')) {
      await this.agent.write(manifests(copier));
      await this.until('the mirror of ours', async () => (await this.ourRules()) === (copier === 'ours' ? 2 : 0));
    }
    if (copier === 'tc') {
      await mustRun('tc', ['qdisc', 'add', 'dev', 'vnic0', 'clsact']);
      for (const side of ['ingress', 'egress']) {
        await mustRun('tc', ['filter', 'add', 'dev', 'vnic0', side, 'protocol', 'all', 'u32', 'match', 'u32', '0', '0', 'action', 'mirred', 'egress', 'mirror', 'dev', TAP]);
      }
    }
    this.copier = copier;
  }

  /** Writes the manifests with the workload inspected, or not; does not wait. */
  async label(inspected: boolean): Promise<void> {
    this.copier = inspected ? 'ours' : 'none';
    await this.agent.write(manifests(this.copier));
  }

  /** Frames that it copied: the counters of our rules, since they were made; of tc, what came to the tap. Undefined: nobody copies. */
  async copied(): Promise<number | undefined> {
    if (this.copier === 'none') return undefined;
    if (this.copier === 'ours') {
      const { stdout } = await mustRun('nft', ['list', 'table', 'netdev', 'dfw']);
      return sum(stdout, /counter packets (\d+) bytes \d+ dup to/g);
    }
    // What tc says counts segments, not frames.
    return await this.counter(TAP, 'tx_packets') + await this.counter(TAP, 'tx_dropped');
  }

  /** Of an interface of the host. */
  async counter(device: string, name: string): Promise<number> {
    return Number(await readFile(join(this.sys, 'class/net', device, 'statistics', name), 'utf8'));
  }

  inNetns(netns: 'peer' | 'work', program: string, ...args: readonly string[]): Promise<CommandResult> {
    return mustRun('ip', ['netns', 'exec', netns, program, ...args], { timeoutMs: 120_000 });
  }

  /** Files of frames from 16 clients to the workload, and of their answers. */
  async frames(): Promise<{ readonly forward: string; readonly reply: string }> {
    const forward = join(this.directory, 'forward'), reply = join(this.directory, 'reply');
    const [client, work] = [0x0a090102, 0x0a090202];
    const ports = Array.from({ length: 16 }, (_, index) => 20_000 + index);
    await writeFile(forward, concatenated(ports.map((port) => udpFrame({ mac: MACS.peer, address: client, port }, { mac: MACS.wire, address: work, port: SINK_PORT }))));
    await writeFile(reply, concatenated(ports.map((port) => udpFrame({ mac: MACS.work, address: work, port: SINK_PORT }, { mac: MACS.vnic, address: client, port }))));
    return { forward, reply };
  }

  async until(what: string, check: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!await check()) {
      if (Date.now() > deadline) throw new Error(`${what}: not so within ${timeoutMs} ms\n${(await this.agent.log()).slice(-2000)}`);
      await pause(20);
    }
  }

  private async ourRules(): Promise<number> {
    const { stdout } = await command('nft', ['list', 'table', 'netdev', 'dfw']);
    return stdout.match(/ dup to "/g)?.length ?? 0;
  }

  private async flushed(): Promise<void> {
    await mustRun('conntrack', ['-F']);
  }
}

function sum(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);
}

function macText(mac: readonly number[]): string {
  return mac.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** One pod at vnic0 with one rule; inspected where ours makes the copies. */
export function manifests(copier: Copier): unknown[] {
  const metadata = { namespace: 'default', name: 'web' };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
    { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, labels: { inspect: copier === 'ours' ? 'yes' : 'no' } }, spec: {}, status: { podIPs: [{ ip: WORK }] } },
    { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'web' }, spec: { workload: { kind: 'Pod', ...metadata }, vnic: 'eth0', interface: 'vnic0', addresses: [WORK] } },
    { apiVersion: 'dfw.dev/v1', kind: 'RuleTable', metadata: { name: 'all' }, spec: { rules: [{ id: 1006, direction: 'inout', protocol: 'any', action: 'accept' }] } },
    {
      apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'copies' },
      spec: { appliedTo: { podSelector: { matchLabels: { inspect: 'yes' } } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: TAP } } },
    },
  ];
}
