/** Tunnels as targets of mirrors on nftables: the devices that they are, and what becomes of large frames and of copies of copies. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Cleanup } from '../support/cleanup.js';
import { eventually, mustRun } from '../support/command.js';
import { ip, mirror, MirroredPings, PINGS, VNI } from '../support/mirrored-pings.js';
import { ping } from '../support/probe/ping.js';

const cleanup = new Cleanup();
let t: MirroredPings;
beforeAll(async () => {
  t = await MirroredPings.start('nftables', cleanup);
});
afterAll(() => cleanup.run());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await t.agent.tail())));

it('copies that go by IPv6 are not copied again', async () => {
  const end = await t.vxlanEnd(6);
  await t.declareCollector();
  await t.loadActive(mirror('all', t.vxlan(6), { appliedTo: { podSelector: {} } }));
  expect(await t.pinged(4, [end.read])).toEqual([4 * PINGS]);
});

it('copies that come in fragments are not copied again', async () => {
  const end = await t.vxlanEnd(4);
  await t.declareCollector();
  await t.loadActive(mirror('all', t.vxlan(4), { appliedTo: { podSelector: {} } }));
  expect(await t.pinged(4, [end.read], { size: 1472 })).toEqual([4 * PINGS]);
});

const device = async (): Promise<string> => (await t.controls())[0]?.device ?? '';
const ours = async (): Promise<string[]> => (await t.links(t.world.host)).map(({ ifname }) => ifname).filter((name) => name.startsWith('dfw')).sort();

it.each([
  ['geneve', { geneve: { vni: 43 } }, ['id', '43', 'remote', 'HOST']],
  ['gre', { gre: { key: 44 } }, ['key', '44', 'local', 'REMOTE', 'remote', 'HOST']],
  ['erspan, version 1', { erspan: { sessionID: 45, version: 1, index: 3 } }, ['seq', 'key', '45', 'local', 'REMOTE', 'remote', 'HOST', 'erspan_ver', '1', 'erspan', '3']],
  ['erspan, version 2', { erspan: { sessionID: 46, version: 2, dir: 1, hardwareID: 4 } }, ['seq', 'key', '46', 'local', 'REMOTE', 'remote', 'HOST', 'erspan_ver', '2', 'erspan_dir', 'egress', 'erspan_hwid', '4']],
] as const)('%s: copies arrive, or the kernel lacks it and the control says so', async (_, target, kind) => {
  const [[type, options] = ['', {}]] = Object.entries(target);
  const document = mirror('other', { [type]: { remoteIP: t.remote[4], ...options } });
  const args = kind.map((word) => (word === 'HOST' ? '169.254.1.1' : word === 'REMOTE' ? t.remote[4] : word));
  const end = await t.decapsulator('dec1', type === 'gre' ? 'gretap' : type, ...args);
  if (end !== undefined) {
    await t.loadActive(document);
    for (const family of [4, 6] as const) expect(await t.pinged(family, [end.read])).toEqual([2 * PINGS]);
  } else {
    await t.load(document);
    expect((await t.controls())[0]?.state).toBe(`pending: the kernel has no tunnels of type ${type}`);
    expect(await ours()).toEqual([]);
    expect(await t.pinged(4, [], { count: 5 })).toEqual([]);
  }
});

it('gre over IPv6 is refused, with the reason', async () => {
  await t.load(mirror('gre', { gre: { remoteIP: t.remote[6], key: 1 } }));
  expect((await t.controls())[0]?.state).toMatch(/^pending: a gre tunnel over IPv6 is not supported by the nftables datapath/);
});

it('go with the control, and leave those of others', async () => {
  const end = await t.vxlanEnd(4);
  const second = await t.mustUnpack('dec1', 'vxlan', 'id', String(VNI), 'dstport', '4790');
  const [first, other] = await t.loadActive(mirror('a', t.vxlan(4)), mirror('b', t.vxlan(4, { destinationPort: 4790 })));
  expect(await t.pinged(4, [end.read, second.read])).toEqual([2 * PINGS, 2 * PINGS]);
  await t.loadActive(mirror('b', t.vxlan(4, { destinationPort: 4790 })));
  await eventually('one tunnel', async () => ((await ours()).length === 3 ? true : undefined));
  expect((await ours())[0]).toBe(other?.device);
  expect(first?.device).not.toBe(other?.device);
  expect(await t.pinged(4, [end.read, second.read])).toEqual([0, 2 * PINGS]);
  await t.load();
  expect(await ours()).toEqual([]);
});

it('two collectors may have the same network id and port', async () => {
  // Addresses of the collector that are the same to vxlan devices, which tell nothing but port and id: one counts both.
  await ip(t.collector.netns, 'addr', 'add', '10.20.2.9/32', 'dev', 'eth0');
  const end = await t.mustUnpack('dec0', 'vxlan', 'id', String(VNI), 'dstport', '4789');
  await t.loadActive(mirror('a', t.vxlan(4)), mirror('b', { vxlan: { remoteIP: '10.20.2.9', vni: VNI } }));
  expect(await t.pinged(4, [end.read])).toEqual([4 * PINGS]);
  expect(await ours()).toHaveLength(6);
});

it.each(['', '_i', '_t'])('are made again when somebody deletes them: dfw...%s', async (which) => {
  const end = await t.vxlanEnd(4);
  await t.loadActive(mirror('lasting', t.vxlan(4)));
  const name = await device();
  const before = await t.links(t.world.host, `${name}${which}`);
  await ip(t.world.host, 'link', 'del', `${name}${which}`);
  await eventually('another device', async () => {
    const [now] = await t.links(t.world.host, `${name}${which}`);
    return now !== undefined && now.ifindex !== before[0]?.ifindex && (await t.controls())[0]?.state === 'active' ? true : undefined;
  });
  expect(await t.pinged(4, [end.read])).toEqual([2 * PINGS]);
});

it('are brought up again', async () => {
  const end = await t.vxlanEnd(4);
  await t.loadActive(mirror('lasting', t.vxlan(4)));
  const name = await device();
  for (const one of [name, `${name}_i`, `${name}_t`]) await ip(t.world.host, 'link', 'set', one, 'down');
  await eventually('copies', async () => {
    const before = await end.read();
    await ping(t.world, { netns: t.client.netns, destination: t.web.ipv4, count: 2 });
    return (await end.read()) > before ? true : undefined;
  });
  expect(await t.pinged(4, [end.read])).toEqual([2 * PINGS]);
});

it.each(['', '_t'])("one of somebody else's by that name is left alone, and said: dfw...%s", async (which) => {
  await t.loadActive(mirror('taken', t.vxlan(4)));
  const name = await device();
  await t.load();
  await ip(t.world.host, 'link', 'add', `${name}${which}`, 'type', 'bridge');
  const [before] = await t.links(t.world.host, `${name}${which}`);
  await t.load(mirror('taken', t.vxlan(4)));
  expect((await t.controls())[0]?.state).toBe(`pending: interface ${name}${which} exists and is not the agent's`);
  await t.load();
  expect(await t.links(t.world.host, `${name}${which}`)).toEqual([before]);
  await t.load(mirror('taken', t.vxlan(4)));
  await ip(t.world.host, 'link', 'del', `${name}${which}`);
  await eventually('an active control', async () => ((await t.controls())[0]?.state === 'active' ? true : undefined));
});

it('a port that something else uses is said, and tried again', async () => {
  // A device that takes all network ids of its port.
  await ip(t.world.host, 'link', 'add', 'all0', 'type', 'vxlan', 'external', 'dstport', '4795');
  await ip(t.world.host, 'link', 'set', 'all0', 'up');
  await t.load(mirror('busy', t.vxlan(4, { destinationPort: 4795 })));
  expect((await t.controls())[0]?.state).toBe('pending: the port of the vxlan tunnel is in use on this host, by something else');
  expect(await ours()).toEqual([]);
  // Trying makes and removes a device, which must not be the reason for the next try.
  const tries = async (): Promise<number> => (await t.agent.log()).filter(({ event }) => event === 'apply.done' || event === 'tunnel.failed').length;
  const before = await tries();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(await tries()).toBeLessThanOrEqual(before + 1);
  await ip(t.world.host, 'link', 'del', 'all0');
  await eventually('an active control', async () => ((await t.controls())[0]?.state === 'active' ? true : undefined), 15_000);
});

it('stay over a restart', async () => {
  const end = await t.vxlanEnd(4);
  await t.loadActive(mirror('lasting', t.vxlan(4)));
  const name = await device();
  const before = await Promise.all(['', '_i', '_t'].map((which) => t.links(t.world.host, `${name}${which}`)));
  await t.agent.kill();
  expect(await t.pinged(6, [end.read])).toEqual([2 * PINGS]);
  await t.agent.start();
  expect(await Promise.all(['', '_i', '_t'].map((which) => t.links(t.world.host, `${name}${which}`)))).toEqual(before);
  expect(await t.pinged(4, [end.read])).toEqual([2 * PINGS]);
  await t.agent.kill();
  await t.agent.write('control.yaml', []);
  await t.agent.start();
  expect(await ours()).toEqual([]);
});

it('answers that nobody takes copies are not copied either', async () => {
  await t.declareCollector();
  await t.loadActive(mirror('all', t.vxlan(4), { appliedTo: { podSelector: {} } }));
  const name = await device();
  const [sent = 0] = await t.pinged(4, [() => t.counter(t.world.host, `${name}_t`, 'tx_packets')]);
  expect(sent).toBeGreaterThanOrEqual(4 * PINGS);
  expect(sent).toBeLessThanOrEqual(4 * PINGS + 10);
});

it.each([4, 6] as const)('frames as large as the way: copies come in fragments, and what they were made of is not told to be smaller, IPv%i', async (family) => {
  const end = await t.vxlanEnd(4);
  await t.loadActive(mirror('large', t.vxlan(4)));
  expect(await t.pinged(family, [end.read], { size: family === 4 ? 1472 : 1452 })).toEqual([2 * PINGS]);
  expect(await ip(t.world.host, 'route', 'get', family === 4 ? t.web.ipv4 : t.web.ipv6)).not.toContain('mtu');
});

it('frames too large for a way of IPv6 are counted as lost, and what they were made of passes', async () => {
  const end = await t.vxlanEnd(6);
  await t.loadActive(mirror('large', t.vxlan(6)));
  expect(await t.pinged(4, [end.read], { size: 1472 })).toEqual([0]);
  expect((await t.controls())[0]).toMatchObject({ dropped: 2 * PINGS });
  expect(await ip(t.world.host, 'route', 'get', t.web.ipv4)).not.toContain('mtu');
});

it.each([4, 6] as const)('streams of TCP arrive whole, of IPv%i', async (family) => {
  await t.vxlanEnd(4);
  const bytes = (): Promise<number> => t.counter(t.collector.netns, 'dec0', 'rx_bytes');
  await t.loadActive(mirror('stream', t.vxlan(4)));
  const size = 20_000_000;
  const server = `import socket\ns=socket.create_server(('::',7100),family=socket.AF_INET6,dualstack_ipv6=True)\ns.settimeout(60)\nprint('ready',flush=True)\nc,_=s.accept()\nn=0\nwhile True:\n  d=c.recv(1<<20)\n  if not d: break\n  n+=len(d)\nprint(n)`;
  const before = await bytes();
  const serving = t.world.exec(t.web.netns, '/usr/bin/python3', ['-c', server]);
  const sending = `import socket,time\nfor n in range(1000):\n  try:\n    s=socket.create_connection(('${family === 4 ? t.web.ipv4 : t.web.ipv6}',7100),5); break\n  except OSError: time.sleep(0.05)\ns.sendall(bytes(${size})); s.close()`;
  expect((await t.world.exec(t.client.netns, '/usr/bin/python3', ['-c', sending])).code).toBe(0);
  expect((await serving).stdout).toContain(String(size));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [view] = await t.controls();
  // Headers and acknowledgements come on top.
  expect({ lost: view?.dropped, whole: (await bytes()) - before >= size }).toEqual({ lost: 0, whole: true });
});

it('nothing comes out of a tunnel, whoever sends it', async () => {
  await t.loadActive(mirror('oneway', t.vxlan(4)));
  const name = await device();
  const [shown] = JSON.parse(await ip(t.world.host, '-d', '-j', 'link', 'show', `${name}_t`)) as { linkinfo: { info_data: { id: number } } }[];
  await t.mustUnpack('dec1', 'vxlan', 'id', String(shown?.linkinfo.info_data.id ?? 0), 'remote', '169.254.1.1', 'dstport', '4789');
  const received = (): Promise<number> => t.counter(t.world.host, `${name}_t`);
  const before = await received();
  const send = `import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(('dec1',0))\nfor n in range(5): s.send(b'\\xff'*6+bytes.fromhex('02dd00000302')+b'\\x08\\x00'+bytes(60))`;
  expect((await t.world.exec(t.collector.netns, '/usr/bin/python3', ['-c', send])).code).toBe(0);
  await eventually('frames', async () => ((await received()) === before + 5 ? true : undefined));
  expect(await mustRun('ip', ['netns', 'exec', t.world.host, 'nft', 'list', 'table', 'netdev', 'dfw'])).toMatch(new RegExp(`counter packets 5 bytes \\d+ drop comment "dfw: not wanted, out of ${name}_t`));
});

it('the listing of the table loads again', async () => {
  await t.loadActive(mirror('a', t.vxlan(4)), mirror('b', t.vxlan(6), { match: [{ protocol: 'tcp', ports: [80] }] }));
  const listing = await mustRun('ip', ['netns', 'exec', t.world.host, 'nft', 'list', 'table', 'netdev', 'dfw']);
  expect(listing).toContain('fwd to');
  await mustRun('ip', ['netns', 'exec', t.world.host, 'nft', '-c', '-f', '-'], { input: `delete table netdev dfw\n${listing}` });
});

it('go with a cleanup', async () => {
  await t.loadActive(mirror('last', t.vxlan(4)));
  const name = await device();
  const { removed } = await t.agent.ask<{ removed: string[] }>('cleanup', '--yes');
  expect(removed).toContain(`tunnel ${name}_t`);
  expect(await ours()).toEqual([]);
});
