/** TrafficControl that copies not everything, on both datapaths: samples, limits, and what rules refuse; counted at the device that gets the copies. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { podManifests, ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { sniff, sniffed } from '../support/probe/sniffer.js';
import { startTraffic } from '../support/probe/traffic.js';

const PORT = 7002;
const REFUSED = 7003;
const control = (name: string, spec: Readonly<Record<string, unknown>>): Manifest => ({
  apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name },
  spec: { appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'copy0' } }, ...spec },
});

/** `connections` one after the other, each with `messages` echoed messages of `size` bytes; says how many were echoed. */
const TALK = `
import socket, sys
address, port, kind, connections, messages, size, first = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]), int(sys.argv[8])
echoed = 0
for n in range(connections):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    s.settimeout(float(sys.argv[7]))
    s.bind(('', first + n))
    s.connect((address, port))
    for _ in range(messages):
        s.send(b'x' * (size - 1) + b'\\n')
        try:
            got = 0
            while got < size: got += len(s.recv(65536))
            echoed += 1
        except (TimeoutError, ConnectionError): pass
    s.close()
print(echoed)
`;

/** Packets of each connection, as tcpdump names it; fragments behind the first have no ports. */
type Seen = ReadonlyMap<string, number>;
const total = (seen: Seen): number => [...seen.values()].reduce((sum, packets) => sum + packets, 0);

describe.each<WorldDatapath>(['nftables', 'ovs'])('copies of %s that are not of everything', (datapath) => {
  let world: World;
  let agent: Agent;
  let nextPort = 10_000;
  /** Counted by the control before: rules and flows that stay count on. */
  let before = { packets: 0, capped: 0 };

  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }], datapath });
    const traffic = await startTraffic(world);
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
        'rules.yaml': [ruleTable('all', {
          rules: [
            { id: 1, direction: 'inout', protocol: 'udp', ports: [String(PORT)], action: 'accept' }, { id: 2, direction: 'inout', protocol: 'tcp', ports: [String(PORT)], action: 'accept' },
            { id: 9, direction: 'inout', protocol: 'any', action: 'drop' },
          ],
          // Only the one who is copied refuses, so that its copies are told by its own rules.
          appliedTo: { workloads: [{ kind: 'Pod', namespace: 'default', name: 'web' }] },
        }), ruleTable('open', { rules: [{ id: 20, direction: 'inout', protocol: 'any', action: 'accept' }], appliedTo: { workloads: [{ kind: 'Pod', namespace: 'default', name: 'client' }] } })],
      },
    });
    for (const protocol of ['udp', 'tcp'] as const) await traffic.listen(world.workload('web').netns, PORT, protocol);
  });
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  const controls = async (): Promise<TrafficControlView[]> => (await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls;
  async function load(...documents: readonly Manifest[]): Promise<void> {
    await agent.write('control.yaml', documents);
    await agent.sync();
    await eventually('settled controls', async () => ((await controls()).length === documents.length ? true : undefined));
  }
  async function active(...documents: readonly Manifest[]): Promise<void> {
    await load(...documents);
    const now = await controls();
    expect(now.map(({ state }) => state)).toEqual(documents.map(() => 'active'));
    before = { packets: now[0]?.packets ?? 0, capped: now[0]?.capped ?? 0 };
  }

  const address = (name: string, family: 4 | 6): string => (family === 4 ? world.workload(name).ipv4 : world.workload(name).ipv6);
  async function talk(request: { from?: string; to?: string; family: 4 | 6; port?: number; kind?: 'udp' | 'tcp'; connections?: number; messages?: number; size?: number; waitSeconds?: number }): Promise<number> {
    const { from = 'client', to = 'web', family, port = PORT, kind = 'udp', connections = 1, messages = 1, size = 20, waitSeconds = 2 } = request;
    // No two connections of a test are the same.
    nextPort += connections;
    const result = await world.exec(world.workload(from).netns, '/usr/bin/python3', ['-c', TALK, address(to, family), String(port), kind, String(connections), String(messages), String(size), String(waitSeconds), String(nextPort - connections)], { timeoutMs: 40_000 });
    return Number(result.stdout);
  }

  /** What comes by at a device of a namespace meanwhile, by connection. */
  async function seen(places: readonly (readonly [netns: string, device: string])[], during: () => Promise<unknown>): Promise<Seen[]> {
    const sniffers = await Promise.all(places.map(([netns, device]) => sniff(netns, device, '(ip or ip6) and not icmp and not icmp6')));
    await sniffed(sniffers, during);
    return sniffers.map((sniffer) => {
      const counts = new Map<string, number>();
      for (const [, from = '', to = ''] of sniffer.text().matchAll(/ IP6? (\S+) > (\S+): /g)) {
        const key = [from, to].sort().join(' ');
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return counts;
    });
  }
  const reader = (): [string, string] => [world.host, 'reader0'];
  const vnic = (): [string, string] => [world.workload('web').netns, 'eth0'];

  /** The first control with what is counted since it is active, when the switch has looked at its cache. */
  async function counted(expected: number): Promise<TrafficControlView | undefined> {
    const known = before.packets + before.capped;
    await eventually(`${expected} counted`, async () => ((await controls()).reduce((sum, { packets, capped }) => sum + packets + capped, 0) - known >= expected ? true : undefined), 8_000, 200).catch(() => undefined);
    const [first] = await controls();
    return first === undefined ? undefined : { ...first, packets: first.packets - before.packets, capped: first.capped - before.capped };
  }

  describe('sampling', () => {
    it.each([['udp', 4], ['udp', 6], ['tcp', 4], ['tcp', 6]] as const)('one connection in four, whole and both ways: %s over IPv%i', async (kind, family) => {
      // Of IPv6 only what is looked at: neighbours are asked for at any time.
      await active(control('some', { sampling: { connections: 4 }, ...(family === 6 ? { match: [{ protocol: kind }] } : {}) }));
      const [there = new Map<string, number>(), copies = new Map<string, number>()] = await seen([vnic(), reader()], () => talk({ family, kind, connections: 240, messages: 3 }));
      const connections = [...there].filter(([, packets]) => packets >= 6);
      // All but those whose end a busy machine delivered after the look.
      expect(connections.length).toBeGreaterThan(200);
      // All of its packets, or none.
      for (const [key, packets] of connections) expect([0, packets], key).toContain(copies.get(key) ?? 0);
      // 60 of 240 on average; five standard deviations are 34, of 200 they are 31 below 50.
      expect(copies.size).toBeGreaterThan(19);
      expect(copies.size).toBeLessThan(94);
      expect([...copies.keys()].filter((key) => !there.has(key))).toEqual([]);
      expect((await counted(total(copies)))?.packets).toBe(total(copies));
    });

    it('goes with what else is asked: ports that match, one direction', async () => {
      await active(control('some', { sampling: { connections: 2 }, direction: 'Ingress', match: [{ protocol: 'udp', ports: [PORT] }] }));
      const [copies = new Map<string, number>()] = await seen([reader()], async () => {
        await talk({ family: 4, connections: 60, messages: 2 });
        await talk({ family: 6, kind: 'tcp', connections: 10 });
      });
      expect(copies.size).toBeGreaterThan(10);
      expect(copies.size).toBeLessThan(50);
      expect(new Set(copies.values())).toEqual(new Set([2]));
    });

    it.each([4, 6] as const)('fragments are copied, all of them: no connection has holes (IPv%i)', async (family) => {
      await active(control('few', { sampling: { connections: 65_536 } }));
      // 3,000 bytes are three fragments. Of the userspace datapath they come no further (its tracker), so they are looked at where they come from.
      const send = (): Promise<number> => talk({ from: 'web', to: 'client', family, connections: 5, messages: 2, size: 3_000, waitSeconds: 0.02 });
      const [there = new Map<string, number>(), copies = new Map<string, number>()] = await seen([vnic(), reader()], send);
      expect(total(there)).toBe(30);
      expect(total(copies)).toBe(30);
    });

    it('of several that lead to one device, the sample comes in its turn, and nothing comes twice', async () => {
      await active(control('a-some', { sampling: { connections: 2 } }), control('b-tcp', { match: [{ protocol: 'tcp' }] }));
      const [there = new Map<string, number>(), copies = new Map<string, number>()] = await seen([vnic(), reader()], async () => {
        await talk({ family: 4, connections: 60 });
        await talk({ family: 4, kind: 'tcp', connections: 20 });
      });
      const ports = (key: string): boolean => key.includes(`.${PORT}`);
      for (const [key, packets] of [...there].filter(([name]) => ports(name))) expect([0, packets], key).toContain(copies.get(key) ?? 0);
      expect([...copies.values()].filter((packets) => packets > 2).length).toBe(20);
      const udp = [...copies.values()].filter((packets) => packets === 2).length;
      expect(udp).toBeGreaterThan(10);
      expect(udp).toBeLessThan(50);
    });
  });

  describe('rateLimit', () => {
    it.each([4, 6] as const)('copies above it are not made, and counted; the traffic is as it was (IPv%i)', async (family) => {
      // Another burst for each: what is the same goes on counting where it was.
      await active(control('limited', { rateLimit: { packetsPerSecond: 20, burst: 30 - family }, match: [{ protocol: 'udp' }] }));
      const began = performance.now();
      const [copies = new Map<string, number>()] = await seen([reader()], async () => expect(await talk({ family, messages: 500 })).toBe(500));
      const seconds = (performance.now() - began) / 1_000;
      expect(total(copies)).toBeGreaterThanOrEqual(30 - family);
      expect(total(copies)).toBeLessThanOrEqual(31 - family + 20 * seconds);
      const view = await counted(1_000);
      expect(view?.packets).toBe(total(copies));
      expect((view?.packets ?? 0) + (view?.capped ?? 0)).toBe(1_000);
    });

    it('is one for all that a control copies, whichever of its matches it is by, and for both directions', async () => {
      await active(control('limited', { rateLimit: { packetsPerSecond: 5, burst: 40 }, match: [{ protocol: 'udp', ports: [PORT] }, { protocol: 'udp', ports: ['1024-65535'] }, { protocol: 'udp' }] }));
      const began = performance.now();
      const [copies = new Map<string, number>()] = await seen([reader()], async () => {
        expect(await talk({ family: 4, messages: 100 })).toBe(100);
        expect(await talk({ family: 6, messages: 100 })).toBe(100);
      });
      expect(total(copies)).toBeGreaterThanOrEqual(40);
      expect(total(copies)).toBeLessThanOrEqual(41 + 5 * ((performance.now() - began) / 1_000));
      const view = await counted(400);
      expect([view?.packets, (view?.packets ?? 0) + (view?.capped ?? 0)]).toEqual([total(copies), 400]);
    });

    it('in bytes', async () => {
      await active(control('limited', { rateLimit: { bytesPerSecond: 20_000 } }));
      const began = performance.now();
      const [copies = new Map<string, number>()] = await seen([reader()], async () => expect(await talk({ family: 4, messages: 100, size: 1_000 })).toBe(100));
      const seconds = (performance.now() - began) / 1_000;
      expect(total(copies)).toBeGreaterThanOrEqual(18);
      expect(total(copies)).toBeLessThanOrEqual(21 + 20 * seconds);
      const view = await counted(200);
      expect([view?.packets, (view?.packets ?? 0) + (view?.capped ?? 0)]).toEqual([total(copies), 200]);
    });

    it('takes nothing from another without a limit that leads to the same device', async () => {
      await active(control('a-limited', { rateLimit: { packetsPerSecond: 1, burst: 1 } }), control('b-all', {}));
      const also = (await controls())[1]?.packets ?? 0;
      const [copies = new Map<string, number>()] = await seen([reader()], async () => expect(await talk({ family: 4, messages: 50 })).toBe(50));
      expect(total(copies)).toBe(100);
      await counted(100);
      const now = await controls();
      expect(now.map(({ name, capped }) => [name, capped])).toEqual([['a-limited', 0], ['b-all', 0]]);
      expect([now[0]?.packets, (now[1]?.packets ?? 0) - also]).toEqual([0, 100]);
    });

    it('another rate counts from the beginning; without one there is no limit', async () => {
      await active(control('limited', { rateLimit: { packetsPerSecond: 1, burst: 10 } }));
      expect(await talk({ family: 4, messages: 50 })).toBe(50);
      expect((await counted(100))?.capped).toBeGreaterThan(80);
      await active(control('limited', { rateLimit: { packetsPerSecond: 1_000, burst: 1_000 } }));
      expect(await talk({ family: 4, messages: 50 })).toBe(50);
      expect(await counted(100)).toMatchObject({ packets: 100, capped: 0 });
      await active(control('limited', {}));
      const [copies = new Map<string, number>()] = await seen([reader()], async () => expect(await talk({ family: 4, messages: 50 })).toBe(50));
      expect(total(copies)).toBe(100);
    });

    it('an agent that starts again finds it, with what it has counted, and changes nothing', async () => {
      await active(control('limited', { sampling: { connections: 1 }, rateLimit: { packetsPerSecond: 10, bytesPerSecond: 1_000_000, burst: 20 } }));
      expect(await talk({ family: 4, messages: 50 })).toBe(50);
      await counted(100);
      const [then] = await controls();
      await agent.stop();
      const lines = (await agent.log()).length;
      await agent.start();
      const [now] = await controls();
      expect([now?.packets, now?.capped]).toEqual([then?.packets, then?.capped]);
      const since = (await agent.log()).slice(lines).map((line) => line['event'] ?? line['msg']);
      expect(since.filter((name) => name === 'netdev.committed' || name === 'ovs.rebuilt')).toEqual([]);
    });
  });

  describe('what rules refuse', () => {
    const MESSAGES = 20;
    const refusedTo = (family: 4 | 6): Promise<number> => talk({ family, port: REFUSED, messages: MESSAGES, waitSeconds: 0.01 });
    const refusedFrom = (family: 4 | 6): Promise<number> => talk({ from: 'web', to: 'client', family, port: REFUSED, messages: MESSAGES, waitSeconds: 0.01 });
    async function copiesOf(direction: string, refused: string | undefined, during: () => Promise<number>): Promise<number | string | undefined> {
      await load(control('one', { direction, ...(refused === undefined ? {} : { refused }) }));
      const [view] = await controls();
      if (view?.state !== 'active') return view?.state;
      const [copies = new Map<string, number>()] = await seen([reader()], during);
      return total(copies);
    }

    it.each([4, 6] as const)('on its way to the workload (IPv%i)', async (family) => {
      const unsaid = await copiesOf('Ingress', undefined, () => refusedTo(family));
      expect((await controls())[0]?.refused).toEqual({ ingress: datapath === 'ovs' ? 'copied' : 'left-out' });
      expect(unsaid).toBe(datapath === 'ovs' ? MESSAGES : 0);
      expect(await copiesOf('Ingress', 'left-out', () => refusedTo(family))).toBe(0);
      const copied = await copiesOf('Ingress', 'copied', () => refusedTo(family));
      if (datapath === 'ovs') expect(copied).toBe(MESSAGES);
      else expect(copied).toMatch(/^pending: what rules refuse on its way to a workload is not seen/);
    });

    it.each([4, 6] as const)('from the workload (IPv%i)', async (family) => {
      expect(await copiesOf('Egress', undefined, () => refusedFrom(family))).toBe(MESSAGES);
      expect((await controls())[0]?.refused).toEqual({ egress: 'copied' });
      expect(await copiesOf('Egress', 'copied', () => refusedFrom(family))).toBe(MESSAGES);
      const left = await copiesOf('Egress', 'left-out', () => refusedFrom(family));
      if (datapath === 'ovs') expect(left).toBe(0);
      else expect(left).toMatch(/^pending: the nftables datapath copies what workloads send before/);
    });

    it.each(datapath === 'ovs' ? ([4, 6] as const) : [])('what they let pass is copied once all the same (IPv%i)', async (family) => {
      for (const documents of [
        [control('left', { refused: 'left-out' })], [control('seen', {}), control('left', { refused: 'left-out' })],
        [control('a-udp', { match: [{ protocol: 'udp' }], direction: 'Ingress' }), control('left', { refused: 'left-out' })],
      ]) {
        await active(...documents);
        const [copies = new Map<string, number>()] = await seen([reader()], async () => expect(await talk({ family, messages: MESSAGES })).toBe(MESSAGES));
        expect(total(copies), JSON.stringify(documents)).toBe(2 * MESSAGES);
      }
    });
  });

  it('agentctl and the metrics say what was copied, capped and lost', async () => {
    await active(control('told', { sampling: { connections: 1 }, rateLimit: { packetsPerSecond: 1, burst: 10 } }));
    expect(await talk({ family: 4, messages: 50 })).toBe(50);
    const view = await counted(100);
    expect(view).toMatchObject({ rateLimit: { packetsPerSecond: 1, burst: 10 }, dropped: 0 });
    expect(view?.sampling).toBeUndefined();
    const text = (await agent.agentctl('gettrafficcontrol')).stdout;
    expect(text).toMatch(/CAPPED\s+DROPPED\s+ENGINE-DROPPED/);
    expect(text).toContain('all <=1 packets/s; refused: ');
    const label = '{policy="told"}';
    const { packets = 0, bytes = 0, capped = 0 } = view ?? {};
    expect((await agent.metric('dfw_mirror_capped_total'))[label]).toBeGreaterThanOrEqual(capped);
    expect((await agent.metric('dfw_mirror_packets_total'))[label]).toBeGreaterThanOrEqual(packets);
    expect((await agent.metric('dfw_mirror_bytes_total'))[label]).toBeGreaterThanOrEqual(bytes);
  });
});
