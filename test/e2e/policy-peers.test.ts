/** Behaviours 41-47 and 61-64 of docs/behaviours.md: Services, service accounts, nodes, ICMP, IGMP and multicast, named ports, the pod's own node. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fileURLToPath } from 'node:url';
import { Cluster, HOST, KUBELET, nine, NODE_PORTS, OUTSIDE, ping, tcp, udp, type Contact } from '../support/cluster.js';
import { eventually, mustRun } from '../support/command.js';
import { watchWrites } from '../support/kernel.js';
import { NODE, OTHER_NODE } from '../support/inventory.js';
import { HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6, WORLD_BRIDGE } from '../support/netns.js';
import { startProbe, type ProbePacket } from '../support/probe/probe.js';
import type { Verdict } from '../support/probe/reach.js';
import { startTraffic } from '../support/probe/traffic.js';
import { acnp, denyAll, labels, namespace, networkPolicy, pods, port, type Manifest } from '../support/policies.js';
import { proxyServices } from '../support/service-proxy.js';

let cluster: Cluster;
beforeAll(async () => {
  // x/b runs under an account of its own; http is 80 at x/a and 8080 at x/b.
  const { namespaces, pods: nineOf } = nine();
  const http: Readonly<Record<string, number>> = { 'x/a': 80, 'x/b': 8080 };
  cluster = await Cluster.create({
    namespaces,
    pods: nineOf.map((pod) => {
      const containerPort = http[`${pod.namespace}/${pod.name}`];
      return {
        ...pod, ...(containerPort === undefined ? {} : { ports: [{ name: 'http', containerPort, protocol: 'TCP' }] }),
        ...(pod.namespace === 'x' && pod.name === 'b' ? { serviceAccount: 'test-sa' } : {}),
      };
    }),
  });
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await cluster.agent.tail())));
afterEach(async () => {
  await proxyServices(cluster.world, []);
  await cluster.reset();
});

const [TCP80, TCP81] = [tcp(80), tcp(81)];
const NODE_PORT = NODE_PORTS[0] ?? 0;
const node = (name: string): Record<string, unknown> => ({ nodeSelector: labels({ 'kubernetes.io/hostname': name }) });
const to = (from: string, addresses: readonly string[], number: number, expected: Verdict): Contact[] => addresses.map((address) => ({ ...tcp(number), from, address, expected }));

it('42. a service account as peer and as target', async () => {
  const serviceAccount = { namespace: 'x', name: 'test-sa' };
  await cluster.policies(acnp('from-account', { appliedTo: [pods('a', 'y')], ingress: [{ action: 'Drop', from: [{ serviceAccount }], ports: [port(80)] }] }));
  await cluster.expectReach([cluster.all('Con').set('x/b', 'y/a', 'Drp'), TCP80], [cluster.all('Con'), TCP81]);
  await cluster.policies(acnp('of-account', { appliedTo: [{ serviceAccount }], ingress: [{ action: 'Drop', from: [namespace('z')], ports: [port(80)] }] }));
  await cluster.expectReach([cluster.all('Con').set('z/*', 'x/b', 'Drp'), TCP80]);
});

it('43. drop of egress to the port of a node: of the pod that is bound, to the other node and to its own', async () => {
  const nodes = { [OTHER_NODE]: [OUTSIDE_IPV4, OUTSIDE_IPV6], [NODE]: [HOST_IPV4, HOST_IPV6] };
  for (const [name, addresses] of Object.entries(nodes)) {
    await cluster.policies(acnp('to-node', { appliedTo: [pods('a', 'x')], egress: [{ action: 'Drop', to: [node(name)], ports: [port(NODE_PORT)] }] }));
    const others = Object.values(nodes).filter((one) => one !== addresses).flat();
    await cluster.expectContacts([...to('x/a', addresses, NODE_PORT, 'Drp'), ...to('x/a', others, NODE_PORT, 'Con'), ...to('x/b', addresses, NODE_PORT, 'Con')]);
  }
});

it('44. drop of ingress from a node: the other one, and the pod\'s own, which Antrea would let pass', async () => {
  for (const [name, from, other] of [[OTHER_NODE, OUTSIDE, HOST], [NODE, HOST, OUTSIDE]] as const) {
    await cluster.policies(acnp('from-node', { appliedTo: [namespace('x')], ingress: [{ action: 'Drop', from: [node(name)], ports: [port(80)] }] }));
    await cluster.expectContacts([...cluster.toPod(from, 'x/a', TCP80, 'Drp'), ...cluster.toPod(from, 'y/a', TCP80, 'Con'), ...cluster.toPod(other, 'x/a', TCP80, 'Con')]);
  }
});

it('45. ICMP: one type and code rejected at one server, all of it dropped at another, TCP as before', async () => {
  // Antrea reads a type by the family of the packet: 8 is the echo request of IPv4, 128 that of IPv6.
  const echo = [8, 128].map((icmpType) => ({ icmp: { icmpType, icmpCode: 0 } }));
  await cluster.policies(acnp('icmp', {
    appliedTo: [pods('c', 'z')],
    egress: [{ name: 'all', action: 'Drop', to: [pods('b', 'x')], protocols: [{ icmp: {} }] }, { name: 'echo', action: 'Reject', to: [pods('a', 'x')], protocols: echo }],
  }));
  await cluster.expectReach([cluster.all('Con').set('z/c', 'x/a', 'Rej').set('z/c', 'x/b', 'Drp'), ping], [cluster.all('Con'), TCP80, udp(80)]);
});

it('46. a policy applied to a NodePort is refused with the reason, and changes nothing', async () => {
  await cluster.writePolicies(acnp('nodeport', { appliedTo: [{ service: { namespace: 'x', name: 'svc' } }], ingress: [{ action: 'Reject', from: [{ ipBlock: { cidr: '1.1.1.0/24' } }] }] }));
  const result = await cluster.agent.agentctl('sync', '-o', 'json');
  expect(result.code).toBe(1);
  expect((result.json() as { errors: { message: string }[] }).errors.map((error) => error.message)).toContainEqual(expect.stringMatching(/NodePort/));
  await cluster.expectReach([cluster.all('Con'), TCP80]);
});

describe('multicast', () => {
  interface Message { readonly group: string; readonly igmp?: number; readonly port?: number }
  /** Whether one message gets from the pod to its node, or the other way. */
  async function arrives(reference: string, direction: 'in' | 'out', message: Message): Promise<boolean> {
    const pod = cluster.pod(reference);
    const [own, its] = [{ netns: pod.netns, device: 'eth0' }, { netns: cluster.world.host, device: cluster.world.ovs === undefined ? pod.interface : WORLD_BRIDGE }];
    const request = { ...message, waitMs: 150, ...(direction === 'in' ? { from: its, to: own } : { from: own, to: its }) };
    const script = fileURLToPath(new URL('../support/probe/multicast.py', import.meta.url));
    return (await mustRun('/usr/bin/python3', [script, JSON.stringify(request)])).trim() === 'true';
  }

  it('47. IGMP queries and reports by their group, allowed and dropped', async () => {
    const query: Message = { group: '224.0.0.1', igmp: 0x11 };
    const report: Message = { group: '225.1.2.3', igmp: 0x16 };
    for (const [action, passes] of [['Allow', true], ['Drop', false]] as const) {
      await cluster.policies(acnp('igmp', {
        appliedTo: [pods('a', 'x')],
        ingress: [{ action, protocols: [{ igmp: { igmpType: 0x11, groupAddress: query.group } }] }], egress: [{ action, protocols: [{ igmp: { igmpType: 0x16, groupAddress: report.group } }] }],
      }));
      expect([await arrives('x/a', 'in', query), await arrives('x/a', 'out', report), await arrives('x/a', 'out', { ...report, group: '225.1.2.4' })]).toEqual([passes, passes, true]);
      expect([await arrives('x/b', 'in', query), await arrives('x/b', 'out', report)]).toEqual([true, true]);
    }
  });

  it('47. egress to a multicast group, allowed and dropped', async () => {
    const data: Message = { group: '225.1.2.3', port: 3457 };
    for (const [action, passes] of [['Allow', true], ['Drop', false]] as const) {
      await cluster.policies(acnp('multicast', { appliedTo: [pods('a', 'x')], egress: [{ action, to: [{ ipBlock: { cidr: '225.1.2.3/32' } }], ports: [{ protocol: 'UDP' }] }] }));
      expect([await arrives('x/a', 'out', data), await arrives('x/a', 'out', { ...data, group: '225.1.2.4' }), await arrives('x/b', 'out', data)]).toEqual([passes, true, true]);
    }
  });
});

describe('Kubernetes NetworkPolicy', () => {
  it('61. one port name that is another number at each of two servers', async () => {
    await cluster.policies(networkPolicy('x', 'http-from-c', {
      podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['a', 'b'] }] }, ingress: [{ from: [{ podSelector: labels({ pod: 'c' }) }], ports: [port('http')] }],
    }));
    const isolated = (): ReturnType<Cluster['all']> => cluster.all('Con').set('*/*', ['x/a', 'x/b'], 'Drp');
    await cluster.expectReach([isolated().set('x/c', 'x/a', 'Con'), TCP80], [isolated().set('x/c', 'x/b', 'Con'), tcp(8080)], [isolated(), TCP81]);
  });

  it('62. default deny of ingress lets the pod\'s own node in, and not what comes through a NodePort from outside', async () => {
    const { ipv4, ipv6 } = cluster.pod('x/a');
    await proxyServices(cluster.world, [{ address: HOST_IPV4, port: 30_080, to: ipv4, toPort: 80 }, { address: HOST_IPV6, port: 30_080, to: ipv6, toPort: 80 }]);
    const external = (expected: Verdict): Contact[] => [...to(OUTSIDE, [HOST_IPV4, HOST_IPV6], 30_080, expected), ...cluster.toPod(OUTSIDE, 'x/a', TCP80, expected)];
    await cluster.expectContacts([...external('Con'), ...cluster.toPod(HOST, 'x/a', TCP80, 'Con')]);
    await cluster.policies(denyAll('x', 'Ingress'));
    await cluster.expectContacts([...external('Drp'), ...cluster.toPod(HOST, 'x/a', TCP80, 'Con'), ...cluster.toPod(HOST, 'x/a', ping, 'Con'), ...cluster.toPod(HOST, 'x/a', udp(80), 'Con'), ...cluster.toPod(KUBELET, 'x/a', TCP80, 'Con')]);
    await cluster.expectReach([cluster.all('Con').set('*/*', 'x/*', 'Drp'), TCP80]);
    // The other direction: a pod that may not send still reaches its node.
    await cluster.policies(denyAll('x', 'Egress'));
    await cluster.expectContacts([...to('x/a', [HOST_IPV4, HOST_IPV6], NODE_PORT, 'Con'), ...to('x/a', [OUTSIDE_IPV4, OUTSIDE_IPV6], NODE_PORT, 'Drp'), ...cluster.toPod(HOST, 'x/a', TCP80, 'Con')]);
  });

  it('63. a protocol without a port, and a range of ports', async () => {
    const toXa = (...ports: readonly unknown[]): Manifest => networkPolicy('x', 'ports', { podSelector: labels({ pod: 'a' }), policyTypes: ['Ingress'], ingress: [{ ports }] });
    const closed = (): ReturnType<Cluster['all']> => cluster.all('Con').set('*/*', 'x/a', 'Drp');
    await cluster.policies(toXa({ protocol: 'TCP' }));
    await cluster.expectReach([cluster.all('Con'), TCP80, TCP81, tcp(8080)], [closed(), udp(80), ping]);
    await cluster.policies(toXa(port(8080, 'TCP', { endPort: 8081 })));
    await cluster.expectReach([cluster.all('Con'), tcp(8080), tcp(8081)], [closed(), TCP80, tcp(8082), udp(8080)]);
  });

  describe('64. a pod and its own Service', () => {
    const SERVICE = ['10.96.0.64', 'fd96::64'];
    const ECHO_PORT = 7640;
    beforeEach(async () => {
      const { ipv4, ipv6 } = cluster.pod('x/a');
      const addresses = [[SERVICE[0] ?? '', ipv4], [SERVICE[1] ?? '', ipv6]] as const;
      await proxyServices(cluster.world, addresses.flatMap(([address, to]) => [
        ...(['tcp', 'udp'] as const).map((protocol) => ({ address, port: 80, protocol, to, toPort: 80 })), { address, port: ECHO_PORT, to, toPort: ECHO_PORT },
      ]));
    });
    const service = (from: string, expected: Verdict): Contact[] => SERVICE.flatMap((address) => [TCP80, udp(80)].map((kind) => ({ ...kind, from, address, expected })));
    const isolated = (): Manifest[] => [
      networkPolicy('x', 'isolated', { podSelector: labels({ pod: 'a' }), policyTypes: ['Ingress', 'Egress'] }),
      acnp('none-to-itself', { appliedTo: [pods('a', 'x')], ingress: [{ action: 'Reject', from: [pods('a', 'x')] }], egress: [{ action: 'Drop', to: [pods('a', 'x')] }] }),
    ];

    it('reaches itself whatever policies say, also after a restart; nobody else reaches it', async () => {
      await cluster.expectContacts([...service('x/a', 'Con'), ...service('x/b', 'Con')]);
      await cluster.policies(...isolated());
      const contacts = [...service('x/a', 'Con'), ...service('x/b', 'Drp'), ...cluster.toPod('x/b', 'x/a', TCP80, 'Drp'), ...cluster.toPod('x/a', 'x/b', TCP80, 'Drp')];
      await cluster.expectContacts(contacts);
      const written = await watchWrites(cluster.world);
      await cluster.agent.kill();
      await cluster.expectContacts(contacts);
      await cluster.agent.start();
      await cluster.expectContacts(contacts);
      // Taken over as it was.
      expect(await written()).toBe(false);
    });

    it('a connection to itself lives on when policies come', async () => {
      const traffic = await startTraffic(cluster.world);
      const { netns } = cluster.pod('x/a');
      await traffic.listen(netns, ECHO_PORT);
      const connections = await Promise.all(SERVICE.map((destination) => traffic.connect({ netns, destination, port: ECHO_PORT, interval: 10 })));
      const echoed = (): Promise<number[]> => Promise.all(connections.map(async (connection) => (await connection.stats()).echoed));
      expect(connections.map(({ state }) => state)).toEqual(['open', 'open']);
      await cluster.policies(...isolated());
      const before = await echoed();
      await eventually('more echoes over both families', async () => (await echoed()).every((count, index) => count > (before[index] ?? 0) + 5) || undefined);
      for (const connection of connections) expect((await connection.stats()).state).toBe('open');
    });

    it('a forged source gets no connection whose other direction would pass for a reply', async () => {
      const [{ ipv4, ipv6 }, other] = [cluster.pod('x/a'), cluster.pod('y/b')];
      const probe = await startProbe(cluster.world);
      const packet = (source: string, destination: string, sourcePort: number): ProbePacket & { readonly sourcePort: number } =>
        ({ from: 'x/a', family: source.includes(':') ? 6 : 4, protocol: 6, source, destination, sourcePort, destinationPort: 80 });
      const forged = [packet(other.ipv4, SERVICE[0] ?? '', 50_001), packet(other.ipv6, SERVICE[1] ?? '', 50_002)];
      const own = [packet(ipv4, SERVICE[0] ?? '', 50_003), packet(ipv6, SERVICE[1] ?? '', 50_004)];
      const seen = async (packets: readonly ProbePacket[]): Promise<string[]> => (await probe.send(packets, 100)).map((result) => result.delivered.join(' '));
      expect(await seen([...forged, ...own])).toEqual(['x/a', 'x/a', 'x/a', 'x/a']);
      await cluster.policies(...isolated());
      const again = (packets: typeof own): ProbePacket[] => packets.map((one) => ({ ...one, sourcePort: one.sourcePort + 100 }));
      expect(await seen([...again(forged), ...again(own)])).toEqual(['', '', 'x/a', 'x/a']);
    });
  });
});
