/** The harness itself: worlds, and the probe against verdicts that plain nft rules give. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateCase } from '../oracle/generate.js';
import { OUTSIDE, endpointOf } from '../oracle/plan.js';
import { command, eventually, mustRun } from '../support/command.js';
import { createWorld, HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6, type World } from '../support/netns.js';
import { startTraffic } from '../support/probe/traffic.js';
import { observation, startProbe, type Probe, type ProbePacket } from '../support/probe/probe.js';

let world: World;
let probe: Probe;
beforeAll(async () => {
  world = await createWorld({ workloads: 4, outside: true });
  await world.ovs?.forwardAll(world.workloads);
  probe = await startProbe(world);
});
afterAll(() => world.close());

const tcp = (from: string, source: string, destination: string, destinationPort: number): ProbePacket => {
  return { from, family: source.includes(':') ? 6 : 4, protocol: 6, source, destination, sourcePort: 40_000, destinationPort };
};

it('routes both families between workloads, host and outside', async () => {
  const [first, last] = [world.workload(0), world.workload(3)];
  const packets = [
    tcp('vm-0', first.ipv4, last.ipv4, 80), tcp('vm-0', first.ipv6, last.ipv6, 80),
    tcp('vm-0', first.ipv4, HOST_IPV4, 80), tcp('vm-0', first.ipv6, HOST_IPV6, 80),
    tcp('vm-0', first.ipv4, OUTSIDE_IPV4, 80), tcp('vm-0', first.ipv6, OUTSIDE_IPV6, 80),
    tcp('host', HOST_IPV4, last.ipv4, 81), tcp('host', HOST_IPV6, last.ipv6, 81),
    tcp('outside', OUTSIDE_IPV4, last.ipv4, 80), tcp('outside', OUTSIDE_IPV6, last.ipv6, 80),
    tcp('vm-0', '10.20.0.9', '10.20.3.77', 80), tcp('vm-0', 'fd20:0:0:0::9', 'fd20:0:0:3::77', 80),
    tcp('vm-0', '192.0.2.1', last.ipv4, 80),
  ];
  const results = await probe.send(packets);
  expect(results.map((result) => result.delivered)).toEqual(
    packets.map((packet) => [endpointOf(world.plan, packet.destination)]));
});

it('delivers every generated packet where no filter stands', async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const packets = generateCase(seed, world.plan, { packets: 60 }).packets.map(({ from, packet }): ProbePacket => ({ ...packet, from }));
    const results = await probe.send(packets);
    const lost = packets.filter((packet, index) => results[index]?.delivered[0] !== endpointOf(world.plan, packet.destination));
    expect(lost, `seed ${seed}`).toEqual([]);
  }
});

describe('with nft rules on the host', () => {
  const rules = `
    table inet plain {
      chain verdict {
        tcp dport 1 drop
        tcp dport 2 reject with tcp reset
        udp dport 1 drop
        udp dport 2 reject with icmpx admin-prohibited
        meta l4proto 50 reject with icmpx admin-prohibited
        meta l4proto 253 drop
        icmp type echo-request reject with icmpx admin-prohibited
        icmpv6 type echo-request drop
        icmp type timestamp-request drop
      }
      chain forward { type filter hook forward priority 0; ct state established accept; ct state new jump verdict; }
      chain input { type filter hook input priority 0; ct state established accept; ct state new jump verdict; }
      chain output { type filter hook output priority 0; ct state established accept; ct state new jump verdict; }
    }`;
  beforeAll(async () => {
    await mustRun('ip', ['netns', 'exec', world.host, 'nft', '-f', '-'], { input: rules });
  });
  afterAll(() => mustRun('ip', ['netns', 'exec', world.host, 'nft', 'delete table inet plain']));

  it('tells delivered, refused and silent apart, for forwarded, incoming and outgoing packets', async () => {
    const [first, last] = [world.workload(0), world.workload(3)];
    const ways: [string, string, string][] = [
      ['vm-0', first.ipv4, last.ipv4], ['vm-0', first.ipv6, last.ipv6],
      ['vm-0', first.ipv4, HOST_IPV4], ['vm-0', first.ipv6, HOST_IPV6],
      ['host', HOST_IPV4, last.ipv4], ['host', HOST_IPV6, last.ipv6],
      ['outside', OUTSIDE_IPV4, last.ipv4], ['outside', OUTSIDE_IPV6, last.ipv6],
    ];
    for (const [from, source, destination] of ways) {
      const base = { from, family: source.includes(':') ? 6 as const : 4 as const, source, destination };
      const port = (protocol: number, destinationPort: number): ProbePacket => ({ ...base, protocol, sourcePort: 41_000 + destinationPort, destinationPort });
      const echo: ProbePacket = { ...base, protocol: base.family === 4 ? 1 : 58, icmpType: base.family === 4 ? 8 : 128, icmpCode: 0 };
      const packets = [port(6, 1), port(6, 2), port(6, 3), port(17, 1), port(17, 2), port(17, 3), { ...base, protocol: 50 }, { ...base, protocol: 253 }, { ...base, protocol: 47 }, echo];
      const results = await probe.send(packets);
      expect(results.map(observation), `${from} ${source} -> ${destination}`).toEqual(
        ['silent', 'refused', 'delivered', 'silent', 'refused', 'delivered', 'refused', 'silent', 'delivered', base.family === 4 ? 'refused' : 'silent']);
    }
  });

  it('says who got the refusal, also for a source that belongs to somebody else', async () => {
    const [spoofed] = await probe.send([tcp('vm-0', '203.0.113.9', world.workload(1).ipv4, 2)]);
    expect(spoofed).toEqual({ delivered: [], replies: [{ kind: 'rst', at: OUTSIDE }] });
  });
});

describe('real connections', () => {
  it('open, echo, are pushed to, are refused, and show losses', async () => {
    const traffic = await startTraffic(world);
    const [client, server] = [world.workload(0), world.workload(1)];
    await traffic.listen(server.netns, 7000);
    await traffic.listen(server.netns, 7000, 'udp');
    for (const destination of [server.ipv4, server.ipv6]) {
      const connection = await traffic.connect({ netns: client.netns, destination, port: 7000, interval: 5 });
      expect(connection.state).toBe('open');
      await connection.push('hello');
      await eventually('echoes and the push', async () => ((await connection.stats()).echoed > 10 && (await connection.received()) === 'hello\n' ? true : undefined));
      expect(await traffic.tries({ netns: client.netns, destination, port: 7001 })).toBe('refused');
      expect(await traffic.asks({ netns: client.netns, destination, port: 7000 })).toBe(true);
      expect(await traffic.asks({ netns: client.netns, destination, port: 7001 }, 100)).toBe(false);
      await connection.close();
    }
    const cut = await traffic.connect({ netns: client.netns, destination: server.ipv4, port: 7000, interval: 5 });
    await mustRun('ip', ['-n', world.host, 'link', 'set', server.interface, 'down']);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const during = await cut.stats();
    expect(during.retransmits).toBeGreaterThan(0);
    expect(during.pending).toBeGreaterThan(5);
    await mustRun('ip', ['-n', world.host, 'link', 'set', server.interface, 'up']);
  });
});

it('takes one more workload while it stands', async () => {
  const added = await world.addWorkload({ name: 'late' });
  const other = await startProbe(world);
  const [result] = await other.send([tcp('vm-0', world.workload(0).ipv4, added.ipv4, 80)]);
  expect(result?.delivered).toEqual(['late']);
});

it('leaves nothing behind', async () => {
  const other = await createWorld({ workloads: 1 });
  await other.close();
  expect((await command('ip', ['netns', 'list'])).stdout).not.toContain(other.host);
});
