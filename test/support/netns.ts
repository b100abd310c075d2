/**
 * Test worlds in network namespaces: one "host" where the agent runs, workloads behind veth pairs, and optionally an
 * "outside". Names are unique to the process and the world; everything goes away in close(), at process exit and on
 * SIGINT/SIGTERM, and what a killed run left behind is removed by the next one.
 *
 *   workload i:  eth0 10.10.i.2/32, fd10::i:2/128  --- veth<i> 169.254.1.1, fe80::1   host lo: 10.10.255.1, fd10::ffff:1
 *                also routed to it, declared nowhere: 10.20.i.0/24, fd20:0:0:i::/64
 *   On a Linux bridge (datapath bridge) the veths have no addresses: they are ports of br-vms, which has those of the host's side. Every
 *   second pair of workloads talks without the host (oracle/plan.ts, neighbourOf).
 *
 *   outside:     eth0 198.51.100.2 --- uplink 198.51.100.1; default route of the host; 203.0.113.0/24, 2001:db8:cafe::/64 live there
 *
 * Forwarded packets with TTL 98 or 99 (the probe's) are dropped silently on arrival in workloads and outside, after any sniffer
 * has seen them, so that no stack answers them.
 */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { neighbourOf, type AddressPlan, type PlanWorkload } from '../oracle/plan.js';
import { Cleanup } from './cleanup.js';
import { command, eventually, mustRun, type CommandOptions, type CommandResult } from './command.js';
import { DATAPATH, type WorldDatapath } from './datapaths.js';
import { Namespaces } from './namespaces.js';

export const PROBE_TTL = 99;

export interface WorkloadSpec {
  /** Object name; default vm-<i>. */
  readonly name?: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  /** Host side; default veth<i>. */
  readonly interface?: string;
}

export interface WorldWorkload extends PlanWorkload {
  readonly netns: string;
  /** Host side of its veth pair. */
  readonly interface: string;
}

/** DFW_TEST_OVS_DATAPATH=system: on the kernel's Open vSwitch, whose module must be there; the default, netdev, is ovs-vswitchd's own. */
const OVS_DATAPATH: OvsDatapath = process.env['DFW_TEST_OVS_DATAPATH'] === 'system' ? 'system' : 'netdev';

/** As datapath_type of a bridge. */
export type OvsDatapath = 'netdev' | 'system';

export interface WorldOptions {
  /** Default: DFW_TEST_DATAPATH, else nftables. */
  readonly datapath?: WorldDatapath;
  /** Default: DFW_TEST_OVS_DATAPATH, else netdev. */
  readonly ovsDatapath?: OvsDatapath;
  readonly workloads: number | readonly WorkloadSpec[];
  readonly outside?: boolean;
  /** Permanent neighbour entries on both sides, so that no rule about ARP or ND matters. Default true. */
  readonly staticNeighbours?: boolean;
}

export interface World {
  /** Namespace of the host. */
  readonly host: string;
  readonly workloads: readonly WorldWorkload[];
  readonly outside: string | undefined;
  readonly plan: AddressPlan;
  /** The switch, where there is one. */
  readonly ovs: WorldSwitch | undefined;
  readonly cleanup: Cleanup;
  /** By object name or index; throws when there is none. */
  workload(which: string | number): WorldWorkload;
  /** Adds one more workload's namespace and veth pair to the running world. */
  addWorkload(spec: WorkloadSpec): Promise<WorldWorkload>;
  /** Removes the workload's veth pair, as when its sandbox ends; its namespace stays. */
  unplug(which: string | number): Promise<void>;
  /** Makes it again after unplug(). */
  plug(which: string | number): Promise<void>;
  exec(netns: string, program: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  close(): Promise<void>;
}

const SWITCH_SCRIPT = fileURLToPath(new URL('../../scripts/ovs', import.meta.url));
export const WORLD_BRIDGE = 'br-int';
/** Of worlds whose datapath is `bridge`. */
export const LINUX_BRIDGE = 'br-vms';
/** Of the switch's, or the Linux bridge's, own port. */
export const BRIDGE_MAC = '02:dd:00:00:ff:01';

/** The switch of a world's host, by scripts/ovs. */
export class WorldSwitch {
  readonly directory = mkdtempSync(join(tmpdir(), 'dfwt-ovs-'));

  constructor(private readonly netns: string, readonly datapath: OvsDatapath) {}

  /** As the agent's configuration has it. */
  get database(): string {
    return `unix:${this.directory}/db.sock`;
  }

  /** Starts what does not run. */
  async start(): Promise<void> {
    await mustRun(SWITCH_SCRIPT, ['start', '--dir', this.directory, '--netns', this.netns, '--bridge', WORLD_BRIDGE, '--datapath', this.datapath]);
    await this.vsctl('set', 'bridge', WORLD_BRIDGE, `other-config:hwaddr="${BRIDGE_MAC}"`);
    await batch(this.netns, [`link set ${WORLD_BRIDGE} up`, `addr replace 169.254.1.1/32 dev ${WORLD_BRIDGE}`, `addr replace fe80::1/64 dev ${WORLD_BRIDGE} nodad`]);
  }

  async stop(): Promise<void> {
    const keep = process.env['DFW_TEST_OVS_LOG'];
    if (keep !== undefined) copyFileSync(join(this.directory, 'ovs-vswitchd.log'), keep);
    await mustRun(SWITCH_SCRIPT, ['stop', '--dir', this.directory]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  pid(daemon: 'ovsdb-server' | 'ovs-vswitchd'): number {
    return Number(readFileSync(join(this.directory, `${daemon}.pid`), 'utf8').trim());
  }

  /** Ends a daemon the hard way. start() brings it back. */
  async kill(daemon: 'ovsdb-server' | 'ovs-vswitchd'): Promise<void> {
    const pid = this.pid(daemon);
    process.kill(pid, 'SIGKILL');
    await eventually(`the end of ${daemon}`, async () => (existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ') ? undefined : true), 5_000, 10);
  }

  async addPorts(workloads: readonly WorldWorkload[]): Promise<void> {
    if (workloads.length === 0) return;
    for (const workload of workloads) await this.leaveNoChecksums(workload);
    await this.vsctl(...workloads.flatMap(({ interface: device }) => ['--', 'add-port', WORLD_BRIDGE, device]));
    // While it is a plain switch, it knows where each of them is (forwardAll).
    for (const { interface: device, mac } of workloads) await this.appctl('fdb/add', WORLD_BRIDGE, device, '0', mac);
  }

  /** The userspace datapath passes checksums on as it finds them: the workload must make them itself. */
  async leaveNoChecksums({ netns }: WorldWorkload): Promise<void> {
    if (this.datapath === 'netdev') await mustRun('ip', ['netns', 'exec', netns, 'ethtool', '-K', 'eth0', 'tx', 'off']);
  }

  async vsctl(...args: readonly string[]): Promise<string> {
    return mustRun('ovs-vsctl', [`--db=${this.database}`, '--timeout=20', ...args]);
  }

  async ofctl(...args: readonly string[]): Promise<string> {
    return mustRun('ovs-ofctl', ['-O', 'OpenFlow15', ...args.slice(0, 1), `unix:${this.directory}/${WORLD_BRIDGE}.mgmt`, ...args.slice(1)]);
  }

  /** The agent's flows but for those that the switch learns, sorted, without counters; how long each has been there. */
  async ownFlows(): Promise<{ readonly text: string; readonly ageMs: number }[]> {
    const lines = (await this.ofctl('dump-flows')).split('\n').map((line) => /^ cookie=(0xdf77(?!08)\w+), duration=([\d.]+)s, (table=\d+), .*?((?:priority=\d+)?\S* actions=.*)$/.exec(line));
    return lines.flatMap((line) => {
      const [, cookie = '', seconds = '', table = '', rest = ''] = line ?? [];
      return line === null ? [] : [{ text: `${cookie} ${table} ${rest}`, ageMs: Number(seconds) * 1000 }];
    }).sort((a, b) => (a.text < b.text ? -1 : Number(a.text > b.text)));
  }

  /** Until somebody gives it flows, the bridge forwards nothing: now it is a plain switch, as a host without an agent is a plain router. */
  async forwardAll(workloads: readonly WorldWorkload[]): Promise<void> {
    for (const [port, mac] of [...workloads.map((workload) => [workload.interface, workload.mac] as const), [WORLD_BRIDGE, BRIDGE_MAC] as const]) {
      await this.appctl('fdb/add', WORLD_BRIDGE, port, '0', mac);
    }
    await this.ofctl('add-flow', 'priority=0,actions=NORMAL');
  }

  /** ovs-appctl, asked of ovs-vswitchd. */
  async appctl(...args: readonly string[]): Promise<string> {
    const pid = readFileSync(join(this.directory, 'ovs-vswitchd.pid'), 'utf8').trim();
    return mustRun('ovs-appctl', ['-t', join(this.directory, `ovs-vswitchd.${pid}.ctl`), ...args]);
  }
}

export const HOST_IPV4 = '10.10.255.1';
export const HOST_IPV6 = 'fd10::ffff:1';
export const OUTSIDE_IPV4 = '203.0.113.1';
export const OUTSIDE_IPV6 = '2001:db8:cafe::1';

export async function createWorld(options: WorldOptions): Promise<World> {
  const cleanup = new Cleanup();
  const namespaces = new Namespaces(cleanup);
  const { base } = namespaces;
  const host = `${base}-h`;
  const outside = options.outside === true ? `${base}-o` : undefined;
  const specs: readonly WorkloadSpec[] = typeof options.workloads === 'number' ? Array.from({ length: options.workloads }, () => ({})) : options.workloads;
  const workloads = specs.map((spec, index) => planWorkload(base, spec, index));
  const staticNeighbours = options.staticNeighbours ?? true;
  const ovs = (options.datapath ?? DATAPATH) === 'ovs' ? new WorldSwitch(host, options.ovsDatapath ?? OVS_DATAPATH) : undefined;
  const linuxBridge = (options.datapath ?? DATAPATH) === 'bridge';
  const bridge = linuxBridge ? LINUX_BRIDGE : ovs === undefined ? undefined : WORLD_BRIDGE;
  const hostLines = (workload: WorldWorkload): string[] => (bridge === undefined ? hostSide(workload, staticNeighbours) : bridgeSide(bridge, linuxBridge, workload, staticNeighbours));
  if (bridge !== undefined) for (const workload of workloads) Object.assign(workload, { hostMac: BRIDGE_MAC });
  try {
    const names = [host, ...(outside === undefined ? [] : [outside]), ...workloads.map((workload) => workload.netns)];
    await namespaces.add(names);
    await Promise.all(names.map((name) => prepare(name, name === host, bridge !== undefined)));
    await batch(host, ['link set lo up', `addr add ${HOST_IPV4}/32 dev lo`, `addr add ${HOST_IPV6}/128 dev lo nodad`]);
    if (linuxBridge) await makeLinuxBridge(host);
    if (ovs !== undefined) {
      cleanup.defer('switch', () => ovs.stop());
      await ovs.start();
    }
    await batch(host, [
      ...workloads.flatMap(hostLines),
      ...(outside === undefined ? [] : uplink(outside)),
    ]);
    await Promise.all([
      ...workloads.map((workload) => batch(workload.netns, workloadSide(workload, staticNeighbours))),
      ...(outside === undefined ? [] : [batch(outside, outsideSide())]),
    ]);
    await ovs?.addPorts(workloads);
    if (linuxBridge) await Promise.all(workloads.map((workload) => batch(workload.netns, neighbourRoutes(workload, workloads, staticNeighbours))));
  } catch (error) {
    await cleanup.run();
    throw error;
  }
  const all = [...workloads];
  const find = (which: string | number): WorldWorkload => {
    const found = typeof which === 'number' ? all[which] : all.find((workload) => workload.name === which);
    if (found === undefined) throw new Error(`no workload ${which} in this world`);
    return found;
  };
  return {
    host,
    workloads: all,
    outside,
    ovs,
    cleanup,
    plan: {
      workloads: all,
      host: [HOST_IPV4, HOST_IPV6],
      refusedBy: bridge === undefined ? 'host' : 'switch',
      ...(linuxBridge ? { direct: true } : {}),
      outside: outside === undefined ? [] : ['203.0.113.0/24', '2001:db8:cafe::/64'],
    },
    workload: find,
    unplug: (which) => batch(host, [`link del ${find(which).interface}`]),
    async plug(which) {
      const workload = find(which);
      // Routes to a bridge outlive the ports behind it, and the switch takes up the device by its name.
      await batch(host, bridge === undefined ? hostLines(workload) : portLines(workload, linuxBridge));
      await batch(workload.netns, workloadSide(workload, staticNeighbours));
      await ovs?.leaveNoChecksums(workload);
    },
    async addWorkload(spec) {
      const workload = planWorkload(base, spec, all.length);
      await namespaces.add([workload.netns]);
      await prepare(workload.netns, false, bridge !== undefined);
      if (bridge !== undefined) Object.assign(workload, { hostMac: BRIDGE_MAC });
      await batch(host, hostLines(workload));
      await batch(workload.netns, workloadSide(workload, staticNeighbours));
      await ovs?.addPorts([workload]);
      all.push(workload);
      return workload;
    },
    exec: (netns, program, args, execOptions) => command('ip', ['netns', 'exec', netns, program, ...args], execOptions),
    close: () => cleanup.run(),
  };
}

function planWorkload(base: string, spec: WorkloadSpec, index: number): WorldWorkload {
  const byte = (index + 1).toString(16).padStart(2, '0');
  return {
    name: spec.name ?? `vm-${index}`,
    netns: `${base}-w${index}`,
    interface: spec.interface ?? `veth${index}`,
    mac: `02:dd:00:00:${byte}:02`,
    hostMac: `02:dd:00:00:${byte}:01`,
    ipv4: spec.ipv4 ?? `10.10.${index}.2`,
    ipv6: spec.ipv6 ?? `fd10::${index.toString(16)}:2`,
    undeclared: [`10.20.${index}.0/24`, `fd20:0:0:${index.toString(16)}::/64`],
  };
}

function hostSide(workload: WorldWorkload, staticNeighbours: boolean): string[] {
  const { interface: device, netns, mac, hostMac, ipv4, ipv6 } = workload;
  return [
    `link add ${device} address ${hostMac} type veth peer name eth0 address ${mac} netns ${netns}`,
    `addr add 169.254.1.1/32 dev ${device}`,
    `addr add fe80::1/64 dev ${device} nodad`,
    `link set ${device} up`,
    `route add ${ipv4}/32 dev ${device}`,
    `route add ${ipv6}/128 dev ${device}`,
    ...workload.undeclared.map((prefix) => (prefix.includes(':') ? `route add ${prefix} via ${ipv6} dev ${device} onlink` : `route add ${prefix} via ${ipv4} dev ${device} onlink`)),
    ...(staticNeighbours ? [ipv4, ipv6, linkLocal(mac)].map((address) => `neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`) : []),
  ];
}

/** Addresses and routes are as with routed veths, on the bridge's own device. */
async function makeLinuxBridge(host: string): Promise<void> {
  // Its MAC address would follow its ports.
  await batch(host, [
    `link add ${LINUX_BRIDGE} address ${BRIDGE_MAC} type bridge`, `addr add 169.254.1.1/32 dev ${LINUX_BRIDGE}`, `addr add fe80::1/64 dev ${LINUX_BRIDGE} nodad`,
    `link set ${LINUX_BRIDGE} up`,
  ]);
}

function portLines({ interface: device, netns, mac }: WorldWorkload, onLinuxBridge: boolean): string[] {
  return [
    `link add ${device} type veth peer name eth0 address ${mac} netns ${netns}`, ...(onLinuxBridge ? [`link set ${device} master ${LINUX_BRIDGE}`] : []), `link set ${device} up`,
  ];
}

/** The same behind a bridge: its local port is where the host routes. */
function bridgeSide(bridge: string, onLinuxBridge: boolean, workload: WorldWorkload, staticNeighbours: boolean): string[] {
  const { mac, ipv4, ipv6 } = workload;
  return [
    ...portLines(workload, onLinuxBridge),
    `route add ${ipv4}/32 dev ${bridge}`,
    `route add ${ipv6}/128 dev ${bridge}`,
    ...workload.undeclared.map((prefix) => (prefix.includes(':') ? `route add ${prefix} via ${ipv6} dev ${bridge} onlink` : `route add ${prefix} via ${ipv4} dev ${bridge} onlink`)),
    ...(staticNeighbours ? [ipv4, ipv6, linkLocal(mac)].map((address) => `neigh replace ${address} lladdr ${mac} dev ${bridge} nud permanent`) : []),
  ];
}

function workloadSide(workload: WorldWorkload, staticNeighbours: boolean): string[] {
  return [
    'link set lo up',
    'link set eth0 up',
    `addr add ${workload.ipv4}/32 dev eth0`,
    `addr add ${workload.ipv6}/128 dev eth0 nodad`,
    'route add 169.254.1.1/32 dev eth0',
    `route add default via 169.254.1.1 dev eth0 src ${workload.ipv4}`,
    `route add ::/0 via fe80::1 dev eth0 src ${workload.ipv6}`,
    ...(staticNeighbours ? ['169.254.1.1', 'fe80::1'].map((address) => `neigh replace ${address} lladdr ${workload.hostMac} dev eth0 nud permanent`) : []),
  ];
}

/** To workloads that are reached without the host. */
function neighbourRoutes(workload: WorldWorkload, workloads: readonly WorldWorkload[], staticNeighbours: boolean): string[] {
  const plan = { workloads, host: [], outside: [], direct: true };
  return workloads.filter(({ name, mac }) => neighbourOf(plan, workload, name) === mac).flatMap(({ ipv4, ipv6, mac }) => [
    `route add ${ipv4}/32 dev eth0 src ${workload.ipv4}`, `route add ${ipv6}/128 dev eth0 src ${workload.ipv6}`,
    ...(staticNeighbours ? [ipv4, ipv6].map((address) => `neigh replace ${address} lladdr ${mac} dev eth0 nud permanent`) : []),
  ]);
}

function uplink(outside: string): string[] {
  return [
    `link add uplink address 02:dd:ff:00:00:01 type veth peer name eth0 address 02:dd:ff:00:00:02 netns ${outside}`,
    'addr add 198.51.100.1/24 dev uplink',
    'addr add 2001:db8:51::1/64 dev uplink nodad',
    'link set uplink up',
    'route add default via 198.51.100.2 dev uplink',
    'route add ::/0 via 2001:db8:51::2 dev uplink',
    'neigh replace 198.51.100.2 lladdr 02:dd:ff:00:00:02 dev uplink nud permanent',
    'neigh replace 2001:db8:51::2 lladdr 02:dd:ff:00:00:02 dev uplink nud permanent',
  ];
}

function outsideSide(): string[] {
  return [
    'link set lo up',
    'link set eth0 up',
    'addr add 198.51.100.2/24 dev eth0',
    'addr add 2001:db8:51::2/64 dev eth0 nodad',
    `addr add ${OUTSIDE_IPV4}/32 dev lo`,
    `addr add ${OUTSIDE_IPV6}/128 dev lo nodad`,
    `route add default via 198.51.100.1 dev eth0 src ${OUTSIDE_IPV4}`,
    `route add ::/0 via 2001:db8:51::1 dev eth0 src ${OUTSIDE_IPV6}`,
    'neigh replace 198.51.100.1 lladdr 02:dd:ff:00:00:01 dev eth0 nud permanent',
    'neigh replace 2001:db8:51::1 lladdr 02:dd:ff:00:00:01 dev eth0 nud permanent',
  ];
}

/** The address that IPv6 derives from a MAC address (RFC 4291, modified EUI-64). */
export function linkLocal(mac: string): string {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16));
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  const word = (high: number, low: number): string => ((high << 8) | low).toString(16);
  return `fe80::${word(a ^ 2, b)}:${word(c, 0xff)}:${word(0xfe, d)}:${word(e, f)}`;
}

/** sysctl writes and, except on the host, the silence for probe packets. */
async function prepare(netns: string, isHost: boolean, behindSwitch: boolean): Promise<void> {
  const settings: [string, string][] = [
    ['net/ipv4/conf/all/rp_filter', '0'],
    ['net/ipv4/conf/default/rp_filter', '0'],
    ['net/ipv4/conf/all/send_redirects', '0'],
    ['net/ipv4/conf/default/send_redirects', '0'],
    ['net/ipv4/icmp_ratelimit', '0'],
    ['net/ipv4/icmp_ratemask', '0'],
    ['net/ipv4/ping_group_range', '0 2147483647'],
    ['net/ipv6/icmp/ratelimit', '0'],
    ['net/ipv6/conf/all/disable_ipv6', '0'],
    ['net/ipv6/conf/default/disable_ipv6', '0'],
    ['net/ipv6/conf/all/accept_dad', '0'],
    ['net/ipv6/conf/default/accept_dad', '0'],
    ['net/ipv6/conf/default/accept_ra', '0'],
    ['net/ipv6/conf/default/router_solicitations', '0'],
    // Behind a switch the host routes from a port to another of the same device, and would have workloads go past it.
    ['net/ipv6/conf/default/accept_redirects', '0'],
    // A switch in user space may take its time. TCP would send again after 10 ms, and what is lost could not be told from what is late.
    ...(behindSwitch ? ([['net/ipv4/tcp_early_retrans', '0']] satisfies [string, string][]) : []),
    ...(isHost ? ([['net/ipv4/ip_forward', '1'], ['net/ipv6/conf/all/forwarding', '1'], ['net/ipv6/conf/default/forwarding', '1']] satisfies [string, string][]) : []),
  ];
  const script = settings.map(([key, value]) => `echo ${value} > /proc/sys/${key}`);
  // Newer kernels keep the global ICMP limit per namespace; older ones have it for the machine only, out of reach here.
  for (const key of ['icmp_msgs_per_sec', 'icmp_msgs_burst']) script.push(`[ -w /proc/sys/net/ipv4/${key} ] && echo 1000000 > /proc/sys/net/ipv4/${key}`);
  if (!isHost) {
    const drop = `ip ttl { ${PROBE_TTL - 1}, ${PROBE_TTL} } drop; ip6 hoplimit { ${PROBE_TTL - 1}, ${PROBE_TTL} } drop;`;
    script.push(`nft 'table inet quiet { chain arrive { type filter hook prerouting priority -400; ${drop} }; }'`);
  }
  script.push('true');
  await mustRun('ip', ['netns', 'exec', netns, 'sh', '-c', script.join('\n')]);
}

async function batch(netns: string | undefined, lines: readonly string[]): Promise<void> {
  await mustRun('ip', [...(netns === undefined ? [] : ['-n', netns]), '-batch', '-'], { input: `${lines.join('\n')}\n` });
}
