/** Behaviours 1-14 of docs/behaviours.md: what one policy does to whom, with real packets between nine pods. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Cluster, nine, ping, sctp, tcp, udp, type Contact } from '../support/cluster.js';
import { mustRun } from '../support/command.js';
import { acnp, annp, denyAll, namespace, pods, port, type Manifest } from '../support/policies.js';
import { proxyServices } from '../support/service-proxy.js';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.create(nine());
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await cluster.agent.tail())));
afterEach(() => cluster.reset());

const isolated: readonly Manifest[] = ['x', 'y', 'z'].map((name) => denyAll(name, 'Ingress'));
const [TCP80, TCP81] = [tcp(80), tcp(81)];

it('1. no policy: everything is connected', async () => {
  await cluster.expectReach([cluster.all('Con'), TCP80, TCP81, udp(80), udp(81), sctp(80), ping]);
});

it('2. default deny everywhere and an ACNP that allows x/b to pods a on 80: that, and nothing else', async () => {
  const allow = acnp('allow-xb-to-a', { appliedTo: [pods('a')], ingress: [{ action: 'Allow', from: [pods('b', 'x')], ports: [port(80)] }] });
  await cluster.policies(...isolated);
  await cluster.expectReach([cluster.all('Drp'), TCP80, TCP81, udp(80), sctp(80), ping]);
  await cluster.policies(...isolated, allow);
  await cluster.expectReach([cluster.all('Drp').set('x/b', '*/a', 'Con'), TCP80], [cluster.all('Drp'), TCP81, udp(80), sctp(80), ping]);
});

it('3. the same with a port by its name', async () => {
  const allow = acnp('allow-xb-to-ya', { priority: 2, appliedTo: [pods('a', 'y')], ingress: [{ action: 'Allow', from: [pods('b', 'x')], ports: [port('serve-81')] }] });
  await cluster.policies(...isolated, allow);
  await cluster.expectReach([cluster.all('Drp').set('x/b', 'y/a', 'Con'), TCP81], [cluster.all('Drp'), TCP80, udp(81)]);
});

it('4. default deny, a drop of priority 1 before an allow of priority 2', async () => {
  const allow = acnp('priority-2', { priority: 2, appliedTo: [namespace('x')], ingress: [{ action: 'Allow', from: [namespace('z')], ports: [port(80)] }] });
  const drop = acnp('priority-1', { priority: 1, appliedTo: [pods('a', 'x')], ingress: [{ action: 'Drop', from: [namespace('z')], ports: [port(80)] }] });
  await cluster.policies(...isolated, allow, drop);
  await cluster.expectReach([cluster.all('Drp').set('z/*', ['x/b', 'x/c'], 'Con'), TCP80]);
});

it('5. an ACNP that only allows isolates nobody, for TCP, UDP and SCTP', async () => {
  const ports = ['TCP', 'UDP', 'SCTP'].map((protocol) => port(81, protocol));
  await cluster.policies(acnp('allow-only', {
    priority: 1.1, appliedTo: [namespace('x')], ingress: [{ action: 'Allow', from: [namespace('y')], ports }], egress: [{ action: 'Allow', to: [namespace('z')], ports }],
  }));
  await cluster.expectReach([cluster.all('Con'), TCP80, TCP81, udp(81), sctp(81)]);
});

it.each([['TCP and UDP', ['TCP', 'UDP'], [tcp, udp]], ['SCTP', ['SCTP'], [sctp]]] as const)('6. drop of egress from pods a to namespace z, for %s', async (_, protocols, kinds) => {
  await cluster.policies(acnp('drop-a-to-z', { appliedTo: [pods('a')], egress: [{ action: 'Drop', to: [namespace('z')], ports: protocols.map((protocol) => port(80, protocol)) }] }));
  await cluster.expectReach([cluster.all('Con').set('*/a', 'z/*', 'Drp'), ...kinds.map((kind) => kind(80))], [cluster.all('Con'), ...kinds.map((kind) => kind(81))]);
});

it('7. drop of all ingress of a namespace, without from: also between its own pods, not of a pod with itself', async () => {
  await cluster.policies(acnp('drop-ingress-of-x', { appliedTo: [namespace('x')], ingress: [{ name: 'drop-all-ingress', action: 'Drop', ports: [port(80)] }] }));
  await cluster.expectReach([cluster.all('Con').set('*/*', 'x/*', 'Drp'), TCP80], [cluster.all('Con'), TCP81]);
  await cluster.expectContacts(cluster.toPod('x/a', 'x/a', TCP80, 'Con'));
});

it('8. drop of egress to ipBlocks with exceptions; a shrunk exception and a rule below bind what was excepted', async () => {
  const addresses = (...references: readonly string[]): string[] => references.flatMap((reference) => [`${cluster.pod(reference).ipv4}/32`, `${cluster.pod(reference).ipv6}/128`]);
  const blocks = (...except: readonly string[]): Manifest => acnp('drop-all-but', {
    appliedTo: [pods('a', 'y')],
    egress: ['0.0.0.0/0', '::/0'].map((cidr, index) => ({
      name: `egress-drop-${index}`, action: 'Drop', ports: [port(80)],
      to: [{ ipBlock: { cidr, except: except.filter((address) => address.includes(':') === cidr.includes(':')) } }],
    })),
  });
  const xb = cluster.all('Con').set('y/a', '*/*', 'Drp').set('y/a', 'x/b', 'Con');
  await cluster.policies(blocks(...addresses('x/a', 'x/b')));
  await cluster.expectReach([cluster.all('Con').set('y/a', '*/*', 'Drp').set('y/a', ['x/a', 'x/b'], 'Con'), TCP80], [cluster.all('Con'), TCP81]);
  const below = acnp('drop-ya-to-xa', { priority: 2, appliedTo: [pods('a', 'y')], egress: [{ action: 'Drop', to: [pods('a', 'x')], ports: [port(80)] }] });
  await cluster.policies(blocks(...addresses('x/a', 'x/b')), below);
  await cluster.expectReach([xb, TCP80]);
  await cluster.policies(blocks(...addresses('x/b')));
  await cluster.expectReach([xb, TCP80]);
});

it('9. drop of TCP leaves UDP and SCTP of the same port', async () => {
  await cluster.policies(acnp('drop-tcp', { appliedTo: [pods('a')], ingress: [{ action: 'Drop', from: [namespace('z')], ports: [port(80)] }] }));
  await cluster.expectReach([cluster.all('Con').set('z/*', '*/a', 'Drp'), TCP80], [cluster.all('Con'), udp(80), sctp(80)]);
});

it('10. a port range binds every port of it, in an ACNP and in an ANNP', async () => {
  const range = [port(8080, 'TCP', { endPort: 8082 })];
  await cluster.policies(acnp('drop-range', { appliedTo: [pods('a')], egress: [{ action: 'Drop', to: [namespace('z')], ports: range }] }));
  await cluster.expectReach([cluster.all('Con').set('*/a', 'z/*', 'Drp'), tcp(8080), tcp(8081), tcp(8082)], [cluster.all('Con'), TCP80]);
  await cluster.policies(annp('y', 'drop-range', { appliedTo: [pods('b')], egress: [{ action: 'Drop', to: [pods('c', 'x')], ports: range }] }));
  await cluster.expectReach([cluster.all('Con').set('y/b', 'x/c', 'Drp'), tcp(8080), tcp(8081), tcp(8082)], [cluster.all('Con'), TCP80]);
});

it('11. drop by source port: the range that clients use, alone and with a destination port', async () => {
  const drop = (...ports: readonly unknown[]): Manifest => acnp('source-port', { appliedTo: [pods('a')], ingress: [{ action: 'Drop', from: [pods('b', 'x')], ports }] });
  const ephemeral = { sourcePort: 32_768, sourceEndPort: 60_999 };
  const bound = cluster.all('Con').set('x/b', '*/a', 'Drp');
  const outOfRange: Contact[] = cluster.toPod('x/b', 'y/a', { ...TCP80, sourcePort: 20_001 }, 'Con');
  await cluster.policies(drop({ protocol: 'TCP', ...ephemeral }));
  await cluster.expectReach([bound, TCP80, TCP81], [cluster.all('Con'), udp(80)]);
  await cluster.expectContacts(outOfRange);
  await cluster.policies(drop(port(80, 'TCP', ephemeral)));
  await cluster.expectReach([bound, TCP80], [cluster.all('Con'), TCP81]);
  await cluster.policies(drop(port(80, 'TCP', { endPort: 81, ...ephemeral })));
  await cluster.expectReach([bound, TCP80, TCP81], [cluster.all('Con'), tcp(8080)]);
});

it.each([['a reset for TCP, an ICMP error for UDP', ['TCP', 'UDP'], [tcp, udp]], ['an ICMP error for SCTP', ['SCTP'], [sctp]]] as const)('12. reject: %s; egress and ingress', async (_, protocols, kinds) => {
  const ports = protocols.map((protocol) => port(80, protocol));
  const [bound, free] = [kinds.map((kind) => kind(80)), kinds.map((kind) => kind(81))];
  await cluster.policies(acnp('reject-a-to-z', { appliedTo: [pods('a')], egress: [{ action: 'Reject', to: [namespace('z')], ports }] }));
  await cluster.expectReach([cluster.all('Con').set('*/a', 'z/*', 'Rej'), ...bound], [cluster.all('Con'), ...free]);
  await cluster.policies(acnp('reject-z-to-a', { appliedTo: [pods('a')], ingress: [{ action: 'Reject', from: [namespace('z')], ports }] }));
  await cluster.expectReach([cluster.all('Con').set('z/*', '*/a', 'Rej'), ...bound], [cluster.all('Con'), ...free]);
});

const [CLIENT, SERVERS] = [pods('c', 'z'), [pods('a', 'x'), pods('b', 'y')]];
it.each([
  ['an egress rule', acnp('egress', { appliedTo: [CLIENT], egress: SERVERS.map((to) => ({ action: 'Reject', to: [to], ports: [port(80)] })) })],
  ['an ingress rule', acnp('ingress', { appliedTo: SERVERS, ingress: [{ action: 'Reject', from: [CLIENT], ports: [port(80)] }] })],
])('13. reject of traffic to a Service by %s reaches the client', async (_, policy) => {
  const [one, two] = [cluster.pod('x/a'), cluster.pod('y/b')];
  const addresses = ['10.96.0.11', '10.96.0.12', 'fd96::11', 'fd96::12'];
  await proxyServices(cluster.world, [one.ipv4, two.ipv4, one.ipv6, two.ipv6].map((to, index) => ({ address: addresses[index] ?? '', port: 80, to, toPort: 80 })));
  try {
    const contacts = (expected: Contact['expected']): Contact[] => addresses.map((address) => ({ ...TCP80, from: 'z/c', address, expected }));
    await cluster.expectContacts(contacts('Con'));
    await cluster.policies(policy);
    await cluster.expectContacts(contacts('Rej'));
  } finally {
    await proxyServices(cluster.world, []);
  }
});

it('14. reject in both directions answers once and does not loop', async () => {
  const [client, server] = [pods('a', 'x'), pods('b', 'y')];
  const rule = (peer: 'from' | 'to', other: unknown, appliedTo?: unknown): Record<string, unknown> =>
    ({ action: 'Reject', [peer]: [other], ports: [{ protocol: 'TCP' }], ...(appliedTo === undefined ? {} : { appliedTo: [appliedTo] }) });
  const both = [
    acnp('ingress-of-both', { ingress: [rule('from', server, client), rule('from', client, server)] }),
    acnp('egress-of-both', { egress: [rule('to', server, client), rule('to', client, server)] }),
    acnp('both-of-the-server', { appliedTo: [server], ingress: [rule('from', client)], egress: [rule('to', client)] }),
    acnp('both-of-the-client', { appliedTo: [client], ingress: [rule('from', server)], egress: [rule('to', server)] }),
  ];
  for (const policy of both) {
    await cluster.policies(policy);
    const before = await packets();
    await cluster.expectContacts([...cluster.toPod('x/a', 'y/b', TCP80, 'Rej'), ...cluster.toPod('x/a', 'y/b', tcp(443), 'Rej')]);
    // Four SYNs, four resets, each seen at most by two interfaces, and some neighbour discovery; a loop would be thousands.
    expect(await packets() - before, policy.metadata.name).toBeLessThan(100);
  }
});

/** Through the interfaces of x/a and y/b, both ways. */
async function packets(): Promise<number> {
  let sum = 0;
  for (const reference of ['x/a', 'y/b']) {
    const text = await mustRun('ip', ['-n', cluster.world.host, '-s', '-j', 'link', 'show', 'dev', cluster.pod(reference).interface]);
    const [link] = JSON.parse(text) as { stats64: { rx: { packets: number }; tx: { packets: number } } }[];
    sum += (link?.stats64.rx.packets ?? 0) + (link?.stats64.tx.packets ?? 0);
  }
  return sum;
}
