/**
 * Several nodes of a cluster on one link, each a network namespace with pods behind routed veth pairs, and a router outside with a server.
 * Nodes know the way to each other's pods; the outside knows none of them: what pods send there is masqueraded by their node.
 *
 *   node i (1...):  uplink 192.0.2.i/24, 2001:db8:2::i/64;  pods 10.60.i.j, fd60:0:0:i::j behind pod<j>
 *   outside:        link 192.0.2.254, 2001:db8:2::fe;  server 203.0.113.1, 2001:db8:cafe::1
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Agent, type AgentOptions } from './agent.js';
import { Cleanup } from './cleanup.js';
import { command, mustRun, type CommandOptions, type CommandResult } from './command.js';
import type { Manifest } from './policies.js';
import { Namespaces } from './namespaces.js';
import type { World } from './netns.js';

export const SERVER_IPV4 = '203.0.113.1';
export const SERVER_IPV6 = '2001:db8:cafe::1';
export const POD_CIDRS = ['10.60.0.0/16', 'fd60::/32'];
export const SERVER_PORT = 8080;
const LINK = 'br0';

export interface FleetPod {
  readonly name: string;
  /** Absent: default. */
  readonly namespace?: string;
  readonly netns: string;
  readonly interface: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly labels: Readonly<Record<string, string>>;
}
export interface FleetNode {
  readonly name: string;
  readonly netns: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly pods: readonly FleetPod[];
  /** Runs bin/dfw-agent there. Once. */
  agent(options: AgentOptions): Promise<Agent>;
}
/** Somebody of the link answered for an address, or sent from it. */
export interface Answer { readonly atMs: number; readonly kind: 'arp' | 'nd' | 'ip'; readonly address: string; readonly mac: string }

export interface Fleet {
  readonly nodes: readonly FleetNode[];
  readonly outside: string;
  readonly cleanup: Cleanup;
  node(name: string): FleetNode;
  pod(name: string): FleetPod;
  /** Namespaces, Nodes, Pods of all nodes, and Attachments of the pods of this one. */
  manifests(node: FleetNode): Manifest[];
  exec(netns: string, program: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** The address that the server sees; undefined when it is not reached within 2 s. */
  seenFrom(pod: FleetPod, family: 4 | 6): Promise<string | undefined>;
  /** Asks the link for the addresses every 10 ms, until stop() returns all answers. */
  listen(addresses: readonly string[]): Promise<{ readonly answers: readonly Answer[]; stop(): Promise<readonly Answer[]> }>;
  close(): Promise<void>;
}

const PROBES = fileURLToPath(new URL('probe/', import.meta.url));
/** Whoever the server says we are. */
const ASK = `import socket, sys
s = socket.create_connection((sys.argv[1], ${SERVER_PORT}), timeout=2); s.settimeout(2); print(s.makefile().readline().strip())`;

export async function createFleet(plan: Readonly<Record<string, readonly Omit<FleetPod, 'netns' | 'interface' | 'ipv4' | 'ipv6'>[]>>): Promise<Fleet> {
  const cleanup = new Cleanup();
  const namespaces = new Namespaces(cleanup);
  const { base } = namespaces;
  const outside = `${base}-o`;
  const exec: Fleet['exec'] = (netns, program, args, options) => command('ip', ['netns', 'exec', netns, program, ...args], options);
  const nodes = Object.entries(plan).map(([name, pods], index): FleetNode => {
    const i = index + 1;
    const netns = `${base}-n${i}`;
    const node: FleetNode = {
      name, netns, mac: `02:df:00:00:00:0${i}`, ipv4: `192.0.2.${i}`, ipv6: `2001:db8:2::${i}`,
      pods: pods.map(({ name: pod, ...more }, at) => ({ name: pod, ...more, netns: `${base}-p${i}${at}`, interface: `pod${at}`, ipv4: `10.60.${i}.${at + 2}`, ipv6: `fd60:0:0:${i}::${at + 2}` })),
      agent: (options) => Agent.run({ host: netns, ovs: undefined, cleanup } as World, { ...options, config: { node: name, ...options.config } }),
    };
    return node;
  });
  try {
    await namespaces.add([outside, ...nodes.flatMap(({ netns, pods }) => [netns, ...pods.map((pod) => pod.netns)])]);
    for (const netns of [outside, ...nodes.flatMap((node) => [node.netns, ...node.pods.map((pod) => pod.netns)])]) await prepare(netns);
    await batch(outside, [
      'link set lo up', `link add ${LINK} address 02:df:00:00:00:fe type bridge`, `link set ${LINK} up`, `addr add 192.0.2.254/24 dev ${LINK}`, `addr add 2001:db8:2::fe/64 dev ${LINK} nodad`,
      `addr add ${SERVER_IPV4}/32 dev lo`, `addr add ${SERVER_IPV6}/128 dev lo nodad`,
    ]);
    for (const [index, node] of nodes.entries()) {
      await batch(node.netns, [
        'link set lo up', `link add uplink address ${node.mac} type veth peer name node${index + 1} netns ${outside}`, 'link set uplink up', `addr add ${node.ipv4}/24 dev uplink`,
        `addr add ${node.ipv6}/64 dev uplink nodad`, 'route add default via 192.0.2.254', 'route add ::/0 via 2001:db8:2::fe',
        ...node.pods.flatMap((pod, at) => podLines(pod, `02:df:00:0${index + 1}:0${at}:02`)),
        ...nodes.flatMap((other, at) => (other === node ? [] : [`route add 10.60.${at + 1}.0/24 via ${other.ipv4}`, `route add fd60:0:0:${at + 1}::/64 via ${other.ipv6}`])),
      ]);
      await batch(outside, [`link set node${index + 1} master ${LINK} up`]);
      for (const pod of node.pods) {
        await batch(pod.netns, [
          'link set lo up', 'link set eth0 up', `addr add ${pod.ipv4}/32 dev eth0`, `addr add ${pod.ipv6}/128 dev eth0 nodad`, 'route add 169.254.1.1/32 dev eth0',
          `route add default via 169.254.1.1 dev eth0 src ${pod.ipv4}`, `route add ::/0 via fe80::1 dev eth0 src ${pod.ipv6}`,
        ]);
      }
      // As CNI plugins and kube-proxy do.
      await mustRun('ip', ['netns', 'exec', node.netns, 'nft', '-f', '-'], { input: `table inet masquerading { chain post { type nat hook postrouting priority 100;
        ip saddr 10.60.0.0/16 ip daddr != { 10.60.0.0/16, 192.0.2.0/24 } masquerade
        ip6 saddr fd60::/32 ip6 daddr != { fd60::/32, 2001:db8:2::/64 } masquerade
      }
 }` });
    }
    await startGreeter(outside, cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
  return {
    nodes, outside, cleanup, exec, manifests: (node) => manifestsOf(nodes, node), close: () => cleanup.run(),
    node: (name) => found(nodes.find((node) => node.name === name), name),
    pod: (name) => found(nodes.flatMap(({ pods }) => pods).find((pod) => pod.name === name), name),
    seenFrom: (pod, family) => seenBy(pod.netns, family === 4 ? SERVER_IPV4 : SERVER_IPV6),
    listen: (addresses) => listen(outside, addresses, cleanup),
  };
}

/** The address that the greeter sees; undefined when it is not reached within 2 s. */
export async function seenBy(netns: string, server: string): Promise<string | undefined> {
  const { code, stdout } = await command('ip', ['netns', 'exec', netns, '/usr/bin/python3', '-c', ASK, server]);
  return code === 0 ? stdout.trim() : undefined;
}

function found<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`there is no ${name} in this fleet`);
  return value;
}

function podLines({ interface: device, netns, ipv4, ipv6 }: FleetPod, mac: string): string[] {
  return [
    `link add ${device} type veth peer name eth0 address ${mac} netns ${netns}`, `addr add 169.254.1.1/32 dev ${device}`, `addr add fe80::1/64 dev ${device} nodad`, `link set ${device} up`,
    `route add ${ipv4}/32 dev ${device}`, `route add ${ipv6}/128 dev ${device}`,
  ];
}

async function prepare(netns: string): Promise<void> {
  const settings = [
    'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1', 'net/ipv6/conf/default/forwarding=1', 'net/ipv4/conf/all/rp_filter=1', 'net/ipv4/conf/default/rp_filter=1', 'net/ipv6/conf/all/disable_ipv6=0',
    'net/ipv6/conf/default/disable_ipv6=0', 'net/ipv6/conf/default/accept_dad=0', 'net/ipv6/conf/default/accept_ra=0', 'net/ipv4/conf/all/send_redirects=0', 'net/ipv4/conf/default/send_redirects=0',
  ];
  await mustRun('ip', ['netns', 'exec', netns, 'sh', '-c', settings.map((setting) => `echo ${setting.replace(/^.*=/, '')} > /proc/sys/${setting.replace(/=.*$/, '')}`).join('\n')]);
}

async function batch(netns: string, lines: readonly string[]): Promise<void> {
  await mustRun('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

function manifestsOf(nodes: readonly FleetNode[], here: FleetNode): Manifest[] {
  return [
    ...[...new Set(['default', ...nodes.flatMap(({ pods }) => pods.map(({ namespace = 'default' }) => namespace))])].map((name): Manifest => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ...nodes.map((node, index): Manifest => ({
      apiVersion: 'v1', kind: 'Node', metadata: { name: node.name, labels: { 'kubernetes.io/hostname': node.name } }, spec: { podCIDRs: [`10.60.${index + 1}.0/24`, `fd60:0:0:${index + 1}::/64`] },
      status: { addresses: [{ type: 'InternalIP', address: node.ipv4 }, { type: 'InternalIP', address: node.ipv6 }] },
    })),
    ...nodes.flatMap((node) => node.pods.map((pod): Manifest => ({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: pod.name, namespace: pod.namespace ?? 'default', labels: pod.labels },
      spec: { nodeName: node.name, containers: [{ name: 'app', image: 'app' }] }, status: { phase: 'Running', podIPs: [{ ip: pod.ipv4 }, { ip: pod.ipv6 }] },
    }))),
    ...here.pods.map((pod): Manifest => ({
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: `${pod.name}-eth0` }, spec: { workload: { kind: 'Pod', namespace: pod.namespace ?? 'default', name: pod.name }, vnic: 'eth0', interface: pod.interface },
    })),
  ];
}

/** Serves SERVER_PORT in the namespace: tells clients who they are, then sends back what they send. */
export async function startGreeter(outside: string, cleanup: Cleanup): Promise<void> {
  const child = spawn('ip', ['netns', 'exec', outside, '/usr/bin/python3', `${PROBES}greeter.py`, String(SERVER_PORT)], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanup.defer('server', () => ended(child));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => reject(new Error('the server ended')));
    child.stdout.once('data', () => resolve());
  });
}

async function listen(outside: string, addresses: readonly string[], cleanup: Cleanup): Promise<{ readonly answers: readonly Answer[]; stop(): Promise<readonly Answer[]> }> {
  const child = spawn('ip', ['netns', 'exec', outside, '/usr/bin/python3', `${PROBES}answers.py`, LINK, ...addresses], { stdio: ['pipe', 'pipe', 'inherit'] });
  cleanup.defer('listener', () => ended(child));
  const answers: Answer[] = [];
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => reject(new Error('the listener ended')));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as Answer | { readonly ready: true };
      if ('ready' in message) resolve();
      else answers.push(message);
    });
  });
  return {
    answers,
    async stop() {
      child.stdin.end();
      await closed;
      return answers;
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.kill('SIGKILL');
  await closed;
}
