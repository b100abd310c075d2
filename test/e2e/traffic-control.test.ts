/** TrafficControl on both datapaths: what is mirrored, counted at the device that gets it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { podManifests, ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const PORT = 7002;
const MESSAGES = 100;
const control = (name: string, spec: Readonly<Record<string, unknown>>): Manifest => ({
  apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name },
  spec: { appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'copy0' } }, ...spec },
});

describe.each<WorldDatapath>(['nftables', 'ovs'])('mirrors on %s', (datapath) => {
  let world: World;
  let traffic: Traffic;
  let agent: Agent;

  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }], datapath });
    traffic = await startTraffic(world);
    // What goes into copyN comes out at readerN, where it is counted and goes no further.
    for (const n of [0, 1]) {
      await world.exec(world.host, 'ip', ['link', 'add', `copy${n}`, 'type', 'veth', 'peer', 'name', `reader${n}`]);
      for (const name of [`copy${n}`, `reader${n}`]) {
        await world.exec(world.host, 'sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
        await world.exec(world.host, 'ip', ['link', 'set', name, 'up', 'arp', 'off']);
      }
    }
    agent = await Agent.run(world, {
      manifests: {
        'pods.yaml': podManifests('default', world.workloads),
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'udp', ports: [String(PORT)], action: 'accept' }, { id: 9, direction: 'inout', protocol: 'any', action: 'drop' }] })],
      },
    });
    await traffic.listen(world.workload('web').netns, PORT, 'udp');
  });
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  const controls = async (): Promise<TrafficControlView[]> => (await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls;
  async function load(...documents: readonly Manifest[]): Promise<void> {
    await agent.write('control.yaml', documents);
    await agent.sync();
    await eventually('active controls', async () => ((await controls()).every(({ state }) => state === 'active') ? true : undefined));
  }
  const read = async (n: number): Promise<number> => Number((await world.exec(world.host, 'cat', [`/sys/class/net/reader${n}/statistics/rx_packets`])).stdout);
  /** Messages from the client to the pod and back; how many packets each reader got meanwhile. */
  async function talk(family: 4 | 6): Promise<[number, number]> {
    const { ipv4, ipv6 } = world.workload('web');
    const connection = await traffic.connect({ netns: world.workload('client').netns, destination: family === 4 ? ipv4 : ipv6, port: PORT, protocol: 'udp' });
    // The first one settles what is not yet known of neighbours and addresses.
    await connection.send();
    await eventually('an echo', async () => ((await connection.stats()).echoed >= 1 ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const before = await Promise.all([read(0), read(1)]);
    const { echoed } = await connection.stats();
    for (let n = 0; n < MESSAGES; n += 1) await connection.send();
    await eventually('all echoes', async () => ((await connection.stats()).echoed >= echoed + MESSAGES ? true : undefined), 10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const after = await Promise.all([read(0), read(1)]);
    await connection.close();
    return [(after[0] ?? 0) - (before[0] ?? 0), (after[1] ?? 0) - (before[1] ?? 0)];
  }

  it.each([4, 6] as const)('74. every packet of both directions once, IPv%i', async (family) => {
    // Neighbours and routers are asked for at any time, in vain by the rules of this world.
    await load(control('both', datapath === 'ovs' ? { refused: 'left-out' } : {}));
    expect(await talk(family)).toEqual([2 * MESSAGES, 0]);
  });

  it.each([['Ingress', MESSAGES], ['Egress', MESSAGES]] as const)('%s: that direction only', async (direction, packets) => {
    await load(control('one', { direction }));
    expect(await talk(4)).toEqual([packets, 0]);
  });

  it('several for one pod: each gets its copies', async () => {
    await load(control('a', {}), control('b', { direction: 'Ingress', targetPort: { device: { name: 'copy1' } } }));
    expect(await talk(4)).toEqual([2 * MESSAGES, MESSAGES]);
  });

  it('only what matches: protocol and ports of either end, once', async () => {
    const match = [{ protocol: 'tcp' }, { protocol: 'udp', ports: ['7000-7010', 7002, '50000-60000'] }];
    await load(control('matching', { match }), control('other', { match: [{ protocol: 'udp', ports: ['1-7001', '7003-7010'] }, { protocol: 'sctp' }], targetPort: { device: { name: 'copy1' } } }));
    expect(await talk(4)).toEqual([2 * MESSAGES, 0]);
    expect(await talk(6)).toEqual([2 * MESSAGES, 0]);
  });

  it('one device gets one copy, however many controls ask for it', async () => {
    await load(control('a', { match: [{ protocol: 'udp' }] }), control('b', {}), control('c', { direction: 'Ingress' }));
    expect(await talk(4)).toEqual([2 * MESSAGES, 0]);
  });

  it('counts what it copied', async () => {
    await load(control('counted', {}));
    const before = (await controls())[0]?.packets ?? 0;
    await talk(4);
    // Flow counters of a switch come with its next look at its cache.
    await eventually('the count', async () => (((await controls())[0]?.packets ?? 0) - before >= 2 * MESSAGES ? true : undefined), 5_000, 200);
    expect(((await controls())[0]?.packets ?? 0) - before).toBeLessThanOrEqual(2 * MESSAGES + 10);
  });

  it('an empty selection is nothing, and nothing is copied when it goes', async () => {
    await load(control('nobody', { appliedTo: {} }));
    expect(await talk(4)).toEqual([0, 0]);
    await load();
    expect(await talk(4)).toEqual([0, 0]);
  });
});
