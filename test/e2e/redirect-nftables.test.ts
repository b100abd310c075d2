/** Redirect on the nftables datapath: frames go round once by a pair of devices, and nobody gains by forging them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { podManifests, ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const PORT = 7002;
const MESSAGES = 50;
/** Beside the agent's own tables: a wire between the far ends of both devices, which counts. */
const WIRE = `table netdev wire {
  chain there { type filter hook ingress device far0 priority 0; counter fwd to far1; }
  chain back { type filter hook ingress device far1 priority 0; counter fwd to far0; }
}`;
const FORGE = `import socket, sys
mac = lambda text: bytes(int(part, 16) for part in text.split(':'))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); raw.bind(('eth0', 0))
for _ in range(5): raw.send(mac(sys.argv[1]) + mac(sys.argv[2]) + b'\\x08\\x00' + bytes.fromhex('45000021000000004011') + b'\\0\\0' + socket.inet_aton('10.10.0.2') + socket.inet_aton('10.10.1.2') + bytes.fromhex('000900090005'.ljust(26, '0')))`;

describe('redirect on nftables', () => {
  let world: World;
  let traffic: Traffic;
  let agent: Agent;

  const control = (spec: Readonly<Record<string, unknown>> = {}, name = 'through'): Manifest => ({
    apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name },
    spec: {
      appliedTo: { podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['web', 'client'] }] } }, direction: 'Both', action: 'Redirect',
      targetPort: { device: { name: 'target0' } }, returnPort: { device: { name: 'target1' } }, ...spec,
    },
  });
  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'other' }], datapath: 'nftables', staticNeighbours: false });
    traffic = await startTraffic(world);
    for (const n of [0, 1]) {
      await world.exec(world.host, 'ip', ['link', 'add', `target${n}`, 'type', 'veth', 'peer', 'name', `far${n}`]);
      for (const name of [`target${n}`, `far${n}`]) {
        await world.exec(world.host, 'sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
        await world.exec(world.host, 'ip', ['link', 'set', name, 'up', 'arp', 'off']);
      }
    }
    await world.exec(world.host, 'sh', ['-c', 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $f; done']);
    await world.exec(world.host, 'nft', ['-f', '-'], { input: WIRE });
    agent = await Agent.run(world, {
      manifests: {
        'pods.yaml': podManifests('default', world.workloads),
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'udp', ports: [String(PORT)], action: 'accept' }, { id: 2, direction: 'inout', protocol: 'icmpv6', action: 'accept' }, { id: 9, direction: 'inout', protocol: 'any', action: 'drop' }] })],
      },
    });
    await traffic.listen(world.workload('web').netns, PORT, 'udp');
    await traffic.listen(world.workload('other').netns, PORT, 'udp');
  }, 60_000);
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail(), (await nft('list', 'ruleset')))));

  const nft = async (...args: readonly string[]): Promise<string> => (await world.exec(world.host, 'nft', args)).stdout;
  const states = async (): Promise<TrafficControlView[]> => (await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls;
  const active = async (): Promise<void> => void (await eventually('an active control', async () => ((await states()).every(({ state }) => state === 'active') ? true : undefined)));
  async function load(...documents: readonly Manifest[]): Promise<void> {
    await agent.write('control.yaml', documents);
    await agent.sync();
  }
  /** Frames on the wire: there and back. */
  const wire = async (): Promise<number> => [...(await nft('list', 'table', 'netdev', 'wire')).matchAll(/packets (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  async function talk(family: 4 | 6, to = 'web'): Promise<number> {
    const { ipv4, ipv6 } = world.workload(to);
    const connection = await traffic.connect({ netns: world.workload('client').netns, destination: family === 4 ? ipv4 : ipv6, port: PORT, protocol: 'udp' });
    await connection.send();
    await eventually('an echo', async () => ((await connection.stats()).echoed >= 1 ? true : undefined));
    const before = await wire();
    for (let n = 0; n < MESSAGES; n += 1) await connection.send();
    await eventually('all echoes', async () => ((await connection.stats()).echoed >= MESSAGES + 1 ? true : undefined), 10_000);
    await connection.close();
    return (await wire()) - before;
  }

  it.each([4, 6] as const)('between two that are both selected, each packet goes round once, IPv%i', async (family) => {
    await load(control());
    await active();
    const frames = await talk(family);
    // A few frames of ARP and neighbour discovery go round, too.
    expect(frames).toBeGreaterThanOrEqual(2 * MESSAGES);
    expect(frames).toBeLessThanOrEqual(2 * MESSAGES + 10);
  });

  it('rules judge what comes back as what came: the reverse path, the filter, the rule', async () => {
    await load(control());
    await active();
    expect(await talk(4, 'other')).toBeGreaterThanOrEqual(2 * MESSAGES);
    const refused = await traffic.connect({ netns: world.workload('client').netns, destination: world.workload('web').ipv4, port: 7003, protocol: 'udp' });
    await refused.send();
    const flows = (await agent.agentctl('getflows', '-f', world.workload('client').name, '-o', 'json')).stdout;
    expect(flows).toContain(String(PORT));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await refused.stats()).echoed).toBe(0);
    await refused.close();
  });

  it('by direction and by what matches', async () => {
    await load(control({ direction: 'Ingress', appliedTo: { podSelector: { matchLabels: { pod: 'web' } } } }));
    await active();
    expect(await talk(4)).toBeLessThanOrEqual(MESSAGES + 5);
    await load(control({ match: [{ protocol: 'tcp' }] }));
    await active();
    expect(await talk(4)).toBe(0);
    await load(control({ match: [{ protocol: 'udp', ports: [PORT] }] }));
    await active();
    expect(await talk(6)).toBe(2 * MESSAGES);
  });

  it('copies are made once, of what goes round, too', async () => {
    await world.exec(world.host, 'ip', ['link', 'add', 'copy0', 'type', 'veth', 'peer', 'name', 'reader0']);
    for (const name of ['copy0', 'reader0']) await world.exec(world.host, 'ip', ['link', 'set', name, 'up', 'arp', 'off', 'addrgenmode', 'none']);
    const copies = async (): Promise<number> => Number((await world.exec(world.host, 'cat', ['/sys/class/net/reader0/statistics/rx_packets'])).stdout);
    await load(control({ match: [{ protocol: 'udp' }] }), control({ action: 'Mirror', returnPort: undefined, targetPort: { device: { name: 'copy0' } }, appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, match: [{ protocol: 'udp', ports: [PORT] }] }, 'copied'));
    await active();
    const before = await copies();
    await talk(4);
    expect((await copies()) - before).toBe(2 * MESSAGES + 2);
  });

  it('counts what it sent round', async () => {
    await load(control({ match: [{ protocol: 'udp' }] }));
    await active();
    const before = (await states())[0]?.packets ?? 0;
    await talk(4);
    expect(((await states())[0]?.packets ?? 0) - before).toBe(2 * (MESSAGES + 1));
  });

  it('frames of another\'s MAC address are dropped, not given back as another\'s', async () => {
    await load(control());
    await active();
    const web = world.workload('web');
    const gateway = (await world.exec(world.host, 'cat', [`/sys/class/net/${web.interface}/address`])).stdout.trim();
    const before = await wire();
    await world.exec(web.netns, 'python3', ['-c', FORGE, gateway, world.workload('client').mac]);
    const listed = await nft('list', 'table', 'netdev', 'dfw');
    expect(listed).toMatch(/counter packets 5 bytes \d+ drop comment "dfw: foreign source/);
    expect((await wire()) - before).toBeLessThanOrEqual(2);
  });

  it('its listing loads again', async () => {
    await load(control({ match: [{ protocol: 'udp', ports: ['7000-7010'] }] }));
    await active();
    const listing = await nft('list', 'table', 'netdev', 'dfw');
    expect(listing).toContain('fwd to "target0"');
    await expect(world.exec(world.host, 'nft', ['-c', '-f', '-'], { input: listing })).resolves.toMatchObject({ stderr: '' });
  });

  it('a way back that somebody removes is there again within a second; a restart of the agent changes nothing', async () => {
    await load(control());
    await active();
    await world.exec(world.host, 'tc', ['qdisc', 'del', 'dev', 'target1', 'clsact']);
    await eventually('the way back', async () => ((await world.exec(world.host, 'tc', ['filter', 'show', 'dev', 'target1', 'ingress'])).stdout.includes('dfw_return') ? true : undefined), 1_500, 20);
    expect(await talk(4)).toBeGreaterThanOrEqual(2 * MESSAGES);
    await agent.kill();
    expect(await talk(4)).toBeGreaterThanOrEqual(2 * MESSAGES);
    await agent.start();
    await active();
    expect(await talk(6)).toBeGreaterThanOrEqual(2 * MESSAGES);
  });

  it('what cannot be is said, and traffic passes', async () => {
    const pending = async (): Promise<string> => (await states())[0]?.state ?? '';
    await load(control({ returnPort: { device: { name: 'nowhere0' } } }));
    expect(await pending()).toContain('nowhere0 does not exist');
    expect(await talk(4)).toBe(0);
    await world.exec(world.host, 'ip', ['link', 'set', 'target0', 'mtu', '1400']);
    await load(control());
    await eventually('a word about the MTU', async () => ((await pending()).includes('MTU 1400') ? true : undefined));
    expect(await talk(6)).toBe(0);
    await world.exec(world.host, 'ip', ['link', 'set', 'target0', 'mtu', '1500']);
    await active();
    await load(control({ targetPort: { vxlan: { remoteIP: '198.51.100.9' } } }));
    expect(await pending()).toContain('gives nothing back');
    await load();
    expect(await nft('list', 'tables')).not.toContain('netdev dfw');
    // Frames may have been on their way: the program goes later.
    await eventually('no way back', async () => ((await world.exec(world.host, 'tc', ['filter', 'show', 'dev', 'target1', 'ingress'])).stdout.includes('dfw_return') ? undefined : true), 10_000);
  });
});
