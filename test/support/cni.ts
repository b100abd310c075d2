/**
 * What a container runtime does with CNI plugins, by hand: a network namespace, a first plugin of the kind that routes (a veth pair, the pod's address
 * as a route on the host), and dfw-cni behind it, started as the specification says: environment, configuration on stdin, result on stdout.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from './cleanup.js';
import { mustRun } from './command.js';
import { Namespaces } from './namespaces.js';
import { BRIDGE_MAC, OUTSIDE_IPV4, WORLD_BRIDGE, type World } from './netns.js';
import { LineProcess } from './probe/line-process.js';

export const DFW_CNI = fileURLToPath(new URL('../../build/Release/dfw-cni', import.meta.url));
const FIRST_PACKETS = fileURLToPath(new URL('./probe/first_packets.py', import.meta.url));
const PORT = 7000;
const HOST_MAC = '02:c0:ff:ee:ff:ff';

export interface CniPod {
  readonly namespace: string;
  readonly name: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ipv4: string;
  /** Host side. */
  readonly interface: string;
  readonly mac: string;
}

export interface PluginResult {
  readonly code: number;
  /** stdout as JSON; undefined when it is empty. */
  readonly answer: unknown;
  readonly stderr: string;
  readonly ms: number;
}

export interface Counts {
  readonly sent: number;
  /** There was no interface, or no route. */
  readonly unsent: number;
  /** Of the pod's datagrams, outside. */
  readonly arrived: number;
  /** By the pod, from outside. */
  readonly received: number;
}

export interface PluginChange {
  /** Laid over the configuration; undefined removes a key. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export class CniRuntime {
  private readonly namespaces: Namespaces;
  private readonly senders: LineProcess;
  private count = 0;
  private readonly pods = new Set<CniPod>();
  private readonly sending = new Set<CniPod>();

  private constructor(private readonly world: World, private readonly socket: string, cleanup: Cleanup) {
    this.namespaces = new Namespaces(cleanup);
    this.senders = new LineProcess('/usr/bin/python3', [FIRST_PACKETS]);
    cleanup.defer('senders', () => this.senders.stop());
  }

  /** `world` must have an outside. */
  static async start(world: World, socket: string): Promise<CniRuntime> {
    const runtime = new CniRuntime(world, socket, world.cleanup);
    await runtime.senders.start({});
    await runtime.senders.request({ do: 'sink', netns: `/run/netns/${world.outside ?? ''}`, address: OUTSIDE_IPV4, port: PORT });
    return runtime;
  }

  /** An empty namespace for a pod to be. */
  async sandbox(namespace: string, name?: string): Promise<CniPod> {
    const index = this.count;
    this.count += 1;
    const hex = index.toString(16).padStart(4, '0');
    const netns = `${this.namespaces.base}-c${index}`;
    await this.namespaces.add([netns]);
    const pod = {
      namespace, name: name ?? `pod-${index}`, containerId: `c0ffee${hex}`, netns, ipv4: `10.40.${index >> 8}.${(index & 255) + 1}`, interface: `vcni${hex}`,
      mac: `02:c0:ff:ee:${hex.slice(0, 2)}:${hex.slice(2)}`,
    };
    this.pods.add(pod);
    return pod;
  }

  /** The first plugin of the chain; resolves with its result. The container's side first, so that what sends there can at the first moment. */
  async connect({ netns, ipv4, mac, interface: device }: CniPod): Promise<unknown> {
    const { host, ovs } = this.world;
    const gateway = ovs === undefined ? HOST_MAC : BRIDGE_MAC;
    const route = ovs === undefined ? device : WORLD_BRIDGE;
    await mustRun('ip', ['-n', host, '-batch', '-'], { input: `link add ${device} address ${HOST_MAC} type veth peer name eth0 address ${mac} netns ${netns}\n` });
    await mustRun('ip', ['-n', netns, '-batch', '-'], {
      input: [
        'link set lo up', 'link set eth0 up', `addr add ${ipv4}/32 dev eth0`, `neigh replace 169.254.1.1 lladdr ${gateway} dev eth0 nud permanent`,
        'route add 169.254.1.1/32 dev eth0', `route add default via 169.254.1.1 dev eth0 src ${ipv4}`,
      ].join('\n'),
    });
    if (ovs?.datapath === 'netdev') await mustRun('ip', ['netns', 'exec', netns, 'ethtool', '-K', 'eth0', 'tx', 'off']);
    await mustRun('ip', ['-n', host, '-batch', '-'], { input: `link set ${device} up\nroute add ${ipv4}/32 dev ${route}\nneigh replace ${ipv4} lladdr ${mac} dev ${route} nud permanent\n` });
    await ovs?.vsctl('add-port', WORLD_BRIDGE, device);
    return {
      cniVersion: '1.0.0',
      interfaces: [{ name: device, mac: HOST_MAC }, { name: 'eth0', mac, sandbox: `/run/netns/${netns}` }],
      ips: [{ address: `${ipv4}/32`, gateway: '169.254.1.1', interface: 1 }], routes: [{ dst: '0.0.0.0/0' }], dns: {},
    };
  }

  /** Runs dfw-cni on the host, as a runtime would. */
  plugin(command: string, pod: CniPod, prevResult: unknown, change: PluginChange = {}): Promise<PluginResult> {
    const config = { cniVersion: '1.0.0', name: 'pods', type: 'dfw-cni', socket: this.socket, prevResult, ...change.config };
    const env: Record<string, string | undefined> = {
      CNI_COMMAND: command, CNI_CONTAINERID: pod.containerId, CNI_NETNS: `/run/netns/${pod.netns}`, CNI_IFNAME: 'eth0', CNI_PATH: join(DFW_CNI, '..'),
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${pod.containerId}`, ...change.env,
    };
    return runPlugin(this.world.host, JSON.stringify(config), env);
  }

  /** A process of the pod sends from now on, and outside sends to it. */
  async send(pod: CniPod): Promise<void> {
    this.sending.add(pod);
    await this.senders.request({ do: 'send', netns: `/run/netns/${pod.netns}`, name: pod.name, to: OUTSIDE_IPV4, port: PORT });
    await this.senders.request({ do: 'aim', name: pod.name, at: pod.ipv4 });
  }

  look(pod: CniPod): Promise<Counts> {
    return this.senders.request<Counts>({ do: 'look', name: pod.name });
  }

  stop(pod: CniPod): Promise<Counts> {
    this.sending.delete(pod);
    return this.senders.request<Counts>({ do: 'stop', name: pod.name });
  }

  /** The pod's namespace and what is in it go. */
  async remove(pod: CniPod): Promise<void> {
    await this.world.ovs?.vsctl('--if-exists', 'del-port', WORLD_BRIDGE, pod.interface);
    this.pods.delete(pod);
    this.namespaces.remove(pod.netns);
  }

  /** What a test left: DEL, and gone. */
  async removeAll(): Promise<void> {
    for (const pod of this.sending) await this.stop(pod);
    for (const pod of this.pods) {
      await this.plugin('DEL', pod, undefined);
      await this.remove(pod);
    }
  }
}

/** dfw-cni in a network namespace with this and nothing else in its environment. */
export function runPlugin(netns: string, input: string, environment: Readonly<Record<string, string | undefined>>): Promise<PluginResult> {
  return new Promise((resolve, reject) => {
    const env = Object.fromEntries(Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined));
    const began = performance.now();
    const child = spawn('/sbin/ip', ['netns', 'exec', netns, DFW_CNI], { stdio: ['pipe', 'pipe', 'pipe'], env, timeout: 60_000, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin.on('error', () => undefined);
    child.once('error', reject);
    child.once('close', (code) => {
      const ms = performance.now() - began;
      resolve({ code: code ?? -1, answer: stdout === '' ? undefined : (JSON.parse(stdout) as unknown), stderr, ms });
    });
    child.stdin.end(input);
  });
}
