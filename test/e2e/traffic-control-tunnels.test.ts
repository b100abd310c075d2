/** Copies of pings, counted at the device that gets them, and by who takes them out of a tunnel; and what becomes of the devices that tunnels are, on nftables. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually, mustRun } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { podManifests, ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, WORLD_BRIDGE, type World, type WorldWorkload } from '../support/netns.js';
import { ping } from '../support/probe/ping.js';

const PINGS = 100;
const VNI = 42;
const NAME = /^dfw[0-9a-f]{8}$/;

interface IpLink { readonly ifname: string; readonly ifindex: number; readonly ifalias?: string; readonly mtu: number }

describe.each<WorldDatapath>(['nftables', 'ovs'])('copies of pings on %s', (datapath) => {
  let world: World;
  let agent: Agent;
  let web: WorldWorkload;
  let client: WorldWorkload;
  let collector: WorldWorkload;
  /** Where the collector gets tunnels. */
  let remote: Record<4 | 6, string>;

  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'collector' }], datapath });
    [web, client, collector] = [world.workload('web'), world.workload('client'), world.workload('collector')];
    remote = { 4: collector.ipv4, 6: collector.ipv6 };
    await ip(world.host, 'link', 'add', 'copy0', 'type', 'veth', 'peer', 'name', 'reader0');
    for (const name of ['copy0', 'reader0']) await quietUp(world.host, name);
    if (world.ovs !== undefined) {
      // The switch builds outer headers itself, from a route with an address of its own network.
      remote = { 4: '192.0.2.2', 6: 'fd02::2' };
      for (const [address, other] of [['192.0.2.1/24', '192.0.2.2/24'], ['fd02::1/64', 'fd02::2/64']] as const) {
        await ip(world.host, 'addr', 'add', address, 'dev', WORLD_BRIDGE, ...(address.includes(':') ? ['nodad'] : []));
        await ip(collector.netns, 'addr', 'add', other, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
      }
    }
    agent = await Agent.run(world, {
      manifests: {
        'pods.yaml': podManifests('default', [web, client]),
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] })],
      },
    });
  });
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  const ip = (netns: string, ...args: readonly string[]): Promise<string> => mustRun('ip', ['-n', netns, ...args]);
  const links = async (netns: string, ...args: readonly string[]): Promise<IpLink[]> => JSON.parse(await ip(netns, '-j', 'link', 'show', ...args)) as IpLink[];
  async function quietUp(netns: string, name: string): Promise<void> {
    await world.exec(netns, 'sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
    await ip(netns, 'link', 'set', name, 'up', 'arp', 'off');
  }
  const control = (name: string, targetPort: unknown, more: Readonly<Record<string, unknown>> = {}): Manifest => ({
    apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name },
    spec: { appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort, ...more },
  });
  const vxlan = (family: 4 | 6, more: Readonly<Record<string, unknown>> = {}): unknown => ({ vxlan: { remoteIP: remote[family], vni: VNI, ...more } });
  const controls = async (): Promise<TrafficControlView[]> => (await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls;
  async function load(...documents: readonly Manifest[]): Promise<void> {
    await agent.write('control.yaml', documents);
    await agent.sync();
  }
  async function loadActive(...documents: readonly Manifest[]): Promise<TrafficControlView[]> {
    await load(...documents);
    const list = await eventually('active controls', async () => {
      const all = await controls();
      return all.length === documents.length && all.every(({ state }) => state === 'active') ? all : undefined;
    });
    await world.ovs?.appctl('tnl/neigh/set', WORLD_BRIDGE, remote[4], collector.mac);
    await world.ovs?.appctl('tnl/neigh/set', WORLD_BRIDGE, remote[6], collector.mac);
    return list;
  }
  const counter = async (netns: string, name: string, what = 'rx_packets'): Promise<number> => Number((await world.exec(netns, 'cat', [`/sys/class/net/${name}/statistics/${what}`])).stdout);

  /** Counts echo requests and answers that come in by a device: hosts with IPv6 always have something else to say, too. */
  async function echoes(netns: string, name: string): Promise<() => Promise<number>> {
    const table = `echoes_${name.replace('-', '_')}`;
    const nft = (args: readonly string[], input = ''): Promise<string> => mustRun('ip', ['netns', 'exec', netns, 'nft', ...args], { input });
    await nft(['-f', '-'], `table netdev ${table}\ndelete table netdev ${table}\ntable netdev ${table} { chain c { type filter hook ingress device ${name} priority -500;
      icmp type { echo-request, echo-reply } counter\nicmpv6 type { echo-request, echo-reply } counter\n }\n}\n`);
    return async () => [...(await nft(['list', 'table', 'netdev', table])).matchAll(/counter packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
  }

  /** The other end of a tunnel, for one test: a device in the collector's namespace that counts what it unpacks. */
  async function decapsulator(name: string, ...kind: readonly string[]): Promise<{ read: () => Promise<number>; remove: () => Promise<void> }> {
    const remove = async (): Promise<void> => void (await world.exec(collector.netns, 'ip', ['link', 'del', name]));
    onTestFinished(remove);
    await ip(collector.netns, 'link', 'add', name, 'type', ...kind);
    await quietUp(collector.netns, name);
    return { read: await echoes(collector.netns, name), remove };
  }
  const vxlanEnd = (family: 4 | 6, name = 'dec0', vni = VNI, port = 4789): ReturnType<typeof decapsulator> =>
    decapsulator(name, 'vxlan', 'id', String(vni), 'local', remote[family], 'dstport', String(port));
  /** Pings the pod; what each of the counts rose by. All pings are answered. */
  async function pinged(family: 4 | 6, counts: readonly (() => Promise<number>)[], more: { readonly size?: number; readonly count?: number } = {}): Promise<number[]> {
    const count = more.count ?? PINGS;
    const before = await Promise.all(counts.map((read) => read()));
    expect(await ping(world, { netns: client.netns, destination: family === 4 ? web.ipv4 : web.ipv6, ...more, count })).toBe(count);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const after = await Promise.all(counts.map((read) => read()));
    return after.map((value, index) => value - (before[index] ?? 0));
  }

  it.each([4, 6] as const)('74. mirrored to a port of the switch, or a device: 200 copies of 100 pings, IPv%i', async (family) => {
    const onSwitch = datapath === 'ovs';
    await loadActive(control('ping', onSwitch ? { ovsInternal: { name: 'test-port' } } : { device: { name: 'copy0' } }));
    const name = onSwitch ? 'test-port' : 'reader0';
    const [pings = 0, frames = 0] = await pinged(family, [await echoes(world.host, name), () => counter(world.host, name)]);
    expect(pings).toBe(2 * PINGS);
    expect(frames).toBeLessThanOrEqual(2 * PINGS + 10);
  });

  it.each([[4, 4], [6, 4], [4, 6], [6, 6]] as const)('75. mirrored by vxlan: 200 copies of 100 pings of IPv%i come out at a collector with IPv%i', async (family, outer) => {
    const end = await vxlanEnd(outer);
    const [view] = await loadActive(control('vxlan', vxlan(outer)));
    expect(view?.device).toMatch(NAME);
    expect(await pinged(family, [end.read])).toEqual([2 * PINGS]);
    expect((await controls())[0]?.dropped).toBe(0);
  });

  it.each([[4, undefined], [6, undefined], [4, [{ protocol: 'udp' }, { protocol: 'icmp' }]]] as const)('a copy is not copied again, where the collector with IPv%i is mirrored itself (match: %j)', async (outer, match) => {
    const end = await vxlanEnd(outer);
    await agent.write('pods.yaml', podManifests('default', [web, client, collector]));
    onTestFinished(async () => {
      await load();
      await agent.write('pods.yaml', podManifests('default', [web, client]));
      await agent.sync();
    });
    await loadActive(
      control('all', vxlan(outer), { appliedTo: { podSelector: {} }, ...(match === undefined ? {} : { match }) }),
      control('device', { device: { name: 'copy0' } }, { appliedTo: { podSelector: { matchLabels: { pod: 'collector' } } } }),
    );
    // Each ping and each answer passes two mirrored vNICs. The device gets what the collector gets, which is the copies.
    const [copies, bySecond = 0] = await pinged(4, [end.read, () => counter(world.host, 'reader0')]);
    expect(copies).toBe(4 * PINGS);
    expect(bySecond).toBeGreaterThanOrEqual(4 * PINGS);
    expect(bySecond).toBeLessThanOrEqual(4 * PINGS + 20);
    // In fragments, where they can be.
    if (outer === 4 && datapath === 'nftables') expect(await pinged(4, [end.read], { size: 1472 })).toEqual([4 * PINGS]);
  });

  // The switch makes its own.
  if (datapath === 'nftables') describe('the devices', () => {
    const device = async (): Promise<string> => (await controls())[0]?.device ?? '';
    const ours = async (): Promise<string[]> => (await links(world.host)).map(({ ifname }) => ifname).filter((name) => name.startsWith('dfw')).sort();

    it.each([
      ['geneve', { geneve: { vni: 43 } }, ['geneve', 'id', '43', 'remote', 'HOST']],
      ['gre', { gre: { key: 44 } }, ['gretap', 'key', '44', 'local', 'REMOTE', 'remote', 'HOST']],
      ['erspan, version 1', { erspan: { sessionID: 45, version: 1, index: 3 } }, ['erspan', 'seq', 'key', '45', 'local', 'REMOTE', 'remote', 'HOST', 'erspan_ver', '1', 'erspan', '3']],
      ['erspan, version 2', { erspan: { sessionID: 46, version: 2, dir: 1, hardwareID: 4 } }, ['erspan', 'seq', 'key', '46', 'local', 'REMOTE', 'remote', 'HOST', 'erspan_ver', '2', 'erspan_dir', 'egress', 'erspan_hwid', '4']],
    ] as const)('%s: copies arrive, or the kernel lacks it and the control says so', async (_, target, kind) => {
      const [[type, options] = ['', {}]] = Object.entries(target);
      const document = control('other', { [type]: { remoteIP: remote[4], ...options } });
      const route = (await ip(collector.netns, 'route', 'get', web.ipv4)).includes('src');
      expect(route).toBe(true);
      const args = kind.map((word) => (word === 'HOST' ? '169.254.1.1' : word === 'REMOTE' ? remote[4] : word));
      const known = (await world.exec(collector.netns, 'ip', ['link', 'add', 'dec1', 'type', ...args])).code === 0;
      if (known) {
        onTestFinished(async () => void (await world.exec(collector.netns, 'ip', ['link', 'del', 'dec1'])));
        await quietUp(collector.netns, 'dec1');
        await loadActive(document);
        for (const family of [4, 6] as const) expect(await pinged(family, [await echoes(collector.netns, 'dec1')])).toEqual([2 * PINGS]);
      } else {
        await load(document);
        expect((await controls())[0]?.state).toBe(`pending: the kernel has no tunnels of type ${type}`);
        expect(await ours()).toEqual([]);
        expect(await pinged(4, [], { count: 5 })).toEqual([]);
      }
    });

    it('gre over IPv6 is refused, with the reason', async () => {
      await load(control('gre', { gre: { remoteIP: remote[6], key: 1 } }));
      expect((await controls())[0]?.state).toMatch(/^pending: a gre tunnel over IPv6 is not supported by the nftables datapath/);
    });

    it('go with the control, and leave those of others', async () => {
      const end = await vxlanEnd(4);
      const second = await decapsulator('dec1', 'vxlan', 'id', String(VNI), 'dstport', '4790');
      const [first, other] = await loadActive(control('a', vxlan(4)), control('b', vxlan(4, { destinationPort: 4790 })));
      expect(await pinged(4, [end.read, second.read])).toEqual([2 * PINGS, 2 * PINGS]);
      await loadActive(control('b', vxlan(4, { destinationPort: 4790 })));
      await eventually('one tunnel', async () => ((await ours()).length === 3 ? true : undefined));
      expect((await ours())[0]).toBe(other?.device);
      expect(first?.device).not.toBe(other?.device);
      expect(await pinged(4, [end.read, second.read])).toEqual([0, 2 * PINGS]);
      await load();
      expect(await ours()).toEqual([]);
    });

    it('two collectors may have the same network id and port', async () => {
      // Addresses of the collector that are the same to vxlan devices, which tell nothing but port and id: one counts both.
      await ip(collector.netns, 'addr', 'add', '10.20.2.9/32', 'dev', 'eth0');
      const end = await decapsulator('dec0', 'vxlan', 'id', String(VNI), 'dstport', '4789');
      await loadActive(control('a', vxlan(4)), control('b', { vxlan: { remoteIP: '10.20.2.9', vni: VNI } }));
      expect(await pinged(4, [end.read])).toEqual([4 * PINGS]);
      expect(await ours()).toHaveLength(6);
    });

    it.each(['', '_i', '_t'])('are made again when somebody deletes them: dfw...%s', async (which) => {
      const end = await vxlanEnd(4);
      await loadActive(control('lasting', vxlan(4)));
      const name = await device();
      const before = await links(world.host, `${name}${which}`);
      await ip(world.host, 'link', 'del', `${name}${which}`);
      await eventually('another device', async () => {
        const [now] = await links(world.host, `${name}${which}`);
        return now !== undefined && now.ifindex !== before[0]?.ifindex && (await controls())[0]?.state === 'active' ? true : undefined;
      });
      expect(await pinged(4, [end.read])).toEqual([2 * PINGS]);
    });

    it('are brought up again', async () => {
      const end = await vxlanEnd(4);
      await loadActive(control('lasting', vxlan(4)));
      const name = await device();
      for (const one of [name, `${name}_i`, `${name}_t`]) await ip(world.host, 'link', 'set', one, 'down');
      await eventually('copies', async () => {
        const before = await end.read();
        await ping(world, { netns: client.netns, destination: web.ipv4, count: 2 });
        return (await end.read()) > before ? true : undefined;
      });
      expect(await pinged(4, [end.read])).toEqual([2 * PINGS]);
    });

    it.each(['', '_t'])("one of somebody else's by that name is left alone, and said: dfw...%s", async (which) => {
      await loadActive(control('taken', vxlan(4)));
      const name = await device();
      await load();
      await ip(world.host, 'link', 'add', `${name}${which}`, 'type', 'bridge');
      const [before] = await links(world.host, `${name}${which}`);
      await load(control('taken', vxlan(4)));
      expect((await controls())[0]?.state).toBe(`pending: interface ${name}${which} exists and is not the agent's`);
      await load();
      expect(await links(world.host, `${name}${which}`)).toEqual([before]);
      await load(control('taken', vxlan(4)));
      await ip(world.host, 'link', 'del', `${name}${which}`);
      await eventually('an active control', async () => ((await controls())[0]?.state === 'active' ? true : undefined));
    });

    it('a port that something else uses is said, and tried again', async () => {
      // A device that takes all network ids of its port.
      await ip(world.host, 'link', 'add', 'all0', 'type', 'vxlan', 'external', 'dstport', '4795');
      await ip(world.host, 'link', 'set', 'all0', 'up');
      await load(control('busy', vxlan(4, { destinationPort: 4795 })));
      expect((await controls())[0]?.state).toBe('pending: the port of the vxlan tunnel is in use on this host, by something else');
      expect(await ours()).toEqual([]);
      // Trying makes and removes a device, which must not be the reason for the next try.
      const tries = async (): Promise<number> => (await agent.log()).filter(({ event }) => event === 'apply.done' || event === 'tunnel.failed').length;
      const before = await tries();
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect(await tries()).toBeLessThanOrEqual(before + 1);
      await ip(world.host, 'link', 'del', 'all0');
      await eventually('an active control', async () => ((await controls())[0]?.state === 'active' ? true : undefined), 15_000);
    });

    it('stay over a restart', async () => {
      const end = await vxlanEnd(4);
      await loadActive(control('lasting', vxlan(4)));
      const name = await device();
      const before = await Promise.all(['', '_i', '_t'].map((which) => links(world.host, `${name}${which}`)));
      await agent.kill();
      expect(await pinged(6, [end.read])).toEqual([2 * PINGS]);
      await agent.start();
      expect(await Promise.all(['', '_i', '_t'].map((which) => links(world.host, `${name}${which}`)))).toEqual(before);
      expect(await pinged(4, [end.read])).toEqual([2 * PINGS]);
      await agent.kill();
      await agent.write('control.yaml', []);
      await agent.start();
      expect(await ours()).toEqual([]);
    });

    it('answers that nobody takes copies are not copied either', async () => {
      await agent.write('pods.yaml', podManifests('default', [web, client, collector]));
      await loadActive(control('all', vxlan(4), { appliedTo: { podSelector: {} } }));
      const name = await device();
      const [sent = 0] = await pinged(4, [() => counter(world.host, `${name}_t`, 'tx_packets')]);
      expect(sent).toBeGreaterThanOrEqual(4 * PINGS);
      expect(sent).toBeLessThanOrEqual(4 * PINGS + 10);
      await agent.write('pods.yaml', podManifests('default', [web, client]));
      await agent.sync();
    });

    it.each([4, 6] as const)('frames as large as the way: copies come in fragments, and what they were made of is not told to be smaller, IPv%i', async (family) => {
      const end = await vxlanEnd(4);
      await loadActive(control('large', vxlan(4)));
      expect(await pinged(family, [end.read], { size: family === 4 ? 1472 : 1452 })).toEqual([2 * PINGS]);
      expect(await ip(world.host, 'route', 'get', family === 4 ? web.ipv4 : web.ipv6)).not.toContain('mtu');
    });

    it('frames too large for a way of IPv6 are counted as lost, and what they were made of passes', async () => {
      const end = await vxlanEnd(6);
      await loadActive(control('large', vxlan(6)));
      expect(await pinged(4, [end.read], { size: 1472 })).toEqual([0]);
      expect((await controls())[0]).toMatchObject({ dropped: 2 * PINGS });
      expect(await ip(world.host, 'route', 'get', web.ipv4)).not.toContain('mtu');
    });

    it.each([4, 6] as const)('streams of TCP arrive whole, of IPv%i', async (family) => {
      await vxlanEnd(4);
      const bytes = (): Promise<number> => counter(collector.netns, 'dec0', 'rx_bytes');
      await loadActive(control('stream', vxlan(4)));
      const size = 20_000_000;
      const server = `import socket\ns=socket.create_server(('::',7100),family=socket.AF_INET6,dualstack_ipv6=True)\ns.settimeout(20)\nprint('ready',flush=True)\nc,_=s.accept()\nn=0\nwhile True:\n  d=c.recv(1<<20)\n  if not d: break\n  n+=len(d)\nprint(n)`;
      const before = await bytes();
      const serving = world.exec(web.netns, '/usr/bin/python3', ['-c', server]);
      const sending = `import socket,time\nfor n in range(100):\n  try:\n    s=socket.create_connection(('${family === 4 ? web.ipv4 : web.ipv6}',7100),5); break\n  except OSError: time.sleep(0.05)\ns.sendall(bytes(${size})); s.close()`;
      expect((await world.exec(client.netns, '/usr/bin/python3', ['-c', sending])).code).toBe(0);
      expect((await serving).stdout).toContain(String(size));
      await new Promise((resolve) => setTimeout(resolve, 500));
      const [view] = await controls();
      // Headers and acknowledgements come on top.
      expect({ lost: view?.dropped, whole: (await bytes()) - before >= size }).toEqual({ lost: 0, whole: true });
    });

    it('nothing comes out of a tunnel, whoever sends it', async () => {
      await loadActive(control('oneway', vxlan(4)));
      const name = await device();
      const [shown] = JSON.parse(await ip(world.host, '-d', '-j', 'link', 'show', `${name}_t`)) as { linkinfo: { info_data: { id: number } } }[];
      await decapsulator('dec1', 'vxlan', 'id', String(shown?.linkinfo.info_data.id ?? 0), 'remote', '169.254.1.1', 'dstport', '4789');
      const received = (): Promise<number> => counter(world.host, `${name}_t`);
      const before = await received();
      const send = `import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(('dec1',0))\nfor n in range(5): s.send(b'\\xff'*6+bytes.fromhex('02dd00000302')+b'\\x08\\x00'+bytes(60))`;
      expect((await world.exec(collector.netns, '/usr/bin/python3', ['-c', send])).code).toBe(0);
      await eventually('frames', async () => ((await received()) === before + 5 ? true : undefined));
      expect(await mustRun('ip', ['netns', 'exec', world.host, 'nft', 'list', 'table', 'netdev', 'dfw'])).toMatch(new RegExp(`counter packets 5 bytes \\d+ drop comment "dfw: not wanted, out of ${name}_t`));
    });

    it('the listing of the table loads again', async () => {
      await loadActive(control('a', vxlan(4)), control('b', vxlan(6), { match: [{ protocol: 'tcp', ports: [80] }] }));
      const listing = await mustRun('ip', ['netns', 'exec', world.host, 'nft', 'list', 'table', 'netdev', 'dfw']);
      expect(listing).toContain('fwd to');
      await mustRun('ip', ['netns', 'exec', world.host, 'nft', '-c', '-f', '-'], { input: `delete table netdev dfw\n${listing}` });
    });

    it('go with a cleanup', async () => {
      await loadActive(control('last', vxlan(4)));
      const name = await device();
      const { removed } = await agent.ask<{ removed: string[] }>('cleanup', '--yes');
      expect(removed).toContain(`tunnel ${name}_t`);
      expect(await ours()).toEqual([]);
    });
  });
});
