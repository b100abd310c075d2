/** A world where a pod is pinged and its traffic copied: to a device, to a port of the switch, into tunnels to a collector; and what counts the copies. */
import { onTestFinished } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from './agent.js';
import type { Cleanup } from './cleanup.js';
import { eventually, mustRun } from './command.js';
import type { WorldDatapath } from './datapaths.js';
import { podManifests, ruleTable, type Manifest } from './manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldWorkload } from './netns.js';
import { ping } from './probe/ping.js';

export const PINGS = 100;
/** Of tunnels, where nothing else is said. */
export const VNI = 42;

export interface IpLink { readonly ifname: string; readonly ifindex: number; readonly ifalias?: string; readonly mtu: number }
type Count = () => Promise<number>;

/** Workloads web, client and, declared nowhere, collector; device copy0, whose other end reader0 counts. */
export class MirroredPings {
  private constructor(
    readonly world: World, readonly agent: Agent, readonly web: WorldWorkload, readonly client: WorldWorkload, readonly collector: WorldWorkload,
    /** Where the collector gets tunnels. */
    readonly remote: Readonly<Record<4 | 6, string>>,
  ) {}

  /** The world goes with the clean-up, also when the agent does not start. */
  static async start(datapath: WorldDatapath, cleanup: Cleanup): Promise<MirroredPings> {
    const world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'collector' }], datapath });
    cleanup.defer('world', () => world.close());
    const [web, client, collector] = [world.workload('web'), world.workload('client'), world.workload('collector')];
    await ip(world.host, 'link', 'add', 'copy0', 'type', 'veth', 'peer', 'name', 'reader0');
    for (const name of ['copy0', 'reader0']) await quietUp(world, world.host, name);
    if (world.ovs !== undefined) {
      // The switch builds outer headers itself, from a route with an address of its own network.
      for (const [address, other] of [['192.0.2.1/24', '192.0.2.2/24'], ['fd02::1/64', 'fd02::2/64']] as const) {
        await ip(world.host, 'addr', 'add', address, 'dev', WORLD_BRIDGE, ...(address.includes(':') ? ['nodad'] : []));
        await ip(collector.netns, 'addr', 'add', other, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
      }
    }
    const agent = await Agent.run(world, {
      manifests: {
        'pods.yaml': podManifests('default', [web, client]),
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      },
    });
    return new MirroredPings(world, agent, web, client, collector, world.ovs === undefined ? { 4: collector.ipv4, 6: collector.ipv6 } : { 4: '192.0.2.2', 6: 'fd02::2' });
  }

  async links(netns: string, ...args: readonly string[]): Promise<IpLink[]> {
    return JSON.parse(await ip(netns, '-j', 'link', 'show', ...args)) as IpLink[];
  }

  vxlan(family: 4 | 6, more: Readonly<Record<string, unknown>> = {}): unknown {
    return { vxlan: { remoteIP: this.remote[family], vni: VNI, ...more } };
  }

  async controls(): Promise<TrafficControlView[]> {
    return (await this.agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls;
  }

  async load(...documents: readonly Manifest[]): Promise<void> {
    await this.agent.write('control.yaml', documents);
    await this.agent.sync();
  }

  async loadActive(...documents: readonly Manifest[]): Promise<TrafficControlView[]> {
    await this.load(...documents);
    const list = await eventually('active controls', async () => {
      const all = await this.controls();
      return all.length === documents.length && all.every(({ state }) => state === 'active') ? all : undefined;
    });
    for (const family of [4, 6] as const) await this.world.ovs?.appctl('tnl/neigh/set', WORLD_BRIDGE, this.remote[family], this.collector.mac);
    return list;
  }

  /** Until the test ends, the collector is a workload like others. */
  async declareCollector(): Promise<void> {
    const { agent, web, client, collector } = this;
    onTestFinished(async () => {
      await this.load();
      await agent.write('pods.yaml', podManifests('default', [web, client]));
      await agent.sync();
    });
    await agent.write('pods.yaml', podManifests('default', [web, client, collector]));
    await agent.sync();
  }

  async counter(netns: string, name: string, what = 'rx_packets'): Promise<number> {
    return Number((await this.world.exec(netns, 'cat', [`/sys/class/net/${name}/statistics/${what}`])).stdout);
  }

  /** Counts echo requests and answers that come in by a device: hosts with IPv6 always have something else to say, too. */
  async echoes(netns: string, name: string): Promise<Count> {
    const table = `echoes_${name.replace('-', '_')}`;
    const nft = (args: readonly string[], input = ''): Promise<string> => mustRun('ip', ['netns', 'exec', netns, 'nft', ...args], { input });
    await nft(['-f', '-'], `table netdev ${table}\ndelete table netdev ${table}\ntable netdev ${table} { chain c { type filter hook ingress device ${name} priority -500;
      icmp type { echo-request, echo-reply } counter\nicmpv6 type { echo-request, echo-reply } counter\n }\n}\n`);
    return async () => [...(await nft(['list', 'table', 'netdev', table])).matchAll(/counter packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
  }

  /** The other end of a tunnel, until the test ends: a device in the collector's namespace, of this kind; counts the pings that it unpacks. Undefined where the kernel lacks the kind. */
  async decapsulator(name: string, ...kind: readonly string[]): Promise<{ read: Count; remove: () => Promise<void> } | undefined> {
    const { world, collector: { netns } } = this;
    const remove = async (): Promise<void> => void (await world.exec(netns, 'ip', ['link', 'del', name]));
    onTestFinished(remove);
    if ((await world.exec(netns, 'ip', ['link', 'add', name, 'type', ...kind])).code !== 0) return undefined;
    await quietUp(world, netns, name);
    return { read: await this.echoes(netns, name), remove };
  }

  async vxlanEnd(family: 4 | 6): Promise<{ read: Count; remove: () => Promise<void> }> {
    return this.mustUnpack('dec0', 'vxlan', 'id', String(VNI), 'local', this.remote[family], 'dstport', '4789');
  }

  async mustUnpack(name: string, ...kind: readonly string[]): Promise<{ read: Count; remove: () => Promise<void> }> {
    const end = await this.decapsulator(name, ...kind);
    if (end === undefined) throw new Error(`no ${kind.join(' ')}`);
    return end;
  }

  /** Pings the pod; what each of the counts rose by. Throws when a ping is not answered. */
  async pinged(family: 4 | 6, counts: readonly Count[], more: { readonly size?: number; readonly count?: number } = {}): Promise<number[]> {
    const { world, client, web } = this;
    const count = more.count ?? PINGS;
    const before = await Promise.all(counts.map((read) => read()));
    const answered = await ping(world, { netns: client.netns, destination: family === 4 ? web.ipv4 : web.ipv6, ...more, count });
    if (answered !== count) throw new Error(`${answered} of ${count} pings were answered`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const after = await Promise.all(counts.map((read) => read()));
    return after.map((value, index) => value - (before[index] ?? 0));
  }
}

/** Copies of all that the pod web sends and gets, unless `more` says otherwise. */
export function mirror(name: string, targetPort: unknown, more: Readonly<Record<string, unknown>> = {}): Manifest {
  return {
    apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name },
    spec: { appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort, ...more },
  };
}

export function ip(netns: string, ...args: readonly string[]): Promise<string> {
  return mustRun('ip', ['-n', netns, ...args]);
}

/** Without addresses, and nothing of its own to say. */
async function quietUp(world: World, netns: string, name: string): Promise<void> {
  await world.exec(netns, 'sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
  await ip(netns, 'link', 'set', name, 'up', 'arp', 'off');
}
