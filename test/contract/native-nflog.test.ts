/** NflogReader against the real kernel: what rules with `log group` copy to us. */
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { NflogPacket } from '../../src/native/binding.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { createWorld, HOST_IPV4, type World } from '../support/netns.js';
import { LineProcess } from '../support/probe/line-process.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';
import { ADDON } from './flow-world.js';

type Packet = Omit<NflogPacket, 'payload' | 'link'> & { readonly payload: number[]; readonly link: number[] };
interface Answer<T> { readonly result: T; readonly error?: { readonly code: string } }

const GROUP = 7;
const NF_INET_FORWARD = 2;
const NF_NETDEV_INGRESS = 0;
const NF_NETDEV_EGRESS = 1;

let world: World;
let traffic: Traffic;
let reader: LineProcess;

async function open(options: { copyRange: number; receiveBuffer?: number; atOnce?: boolean }): Promise<void> {
  const [program, args] = inNetns(world.host, process.execPath, [fileURLToPath(new URL('children/nflog-reader.mjs', import.meta.url))]);
  reader = new LineProcess(program, args);
  world.cleanup.defer('nflog reader', () => reader.stop());
  await reader.start({ addon: ADDON, options: { group: GROUP, ...options } });
}
async function call<T>(verb: string, more: Readonly<Record<string, unknown>> = {}): Promise<T> {
  const answer = await reader.request<Answer<T>>({ do: verb, ...more });
  if (answer.error !== undefined) throw new Error(answer.error.code);
  return answer.result;
}
function packets(atLeast: number): Promise<Packet[]> {
  const all: Packet[] = [];
  return eventually(`${atLeast} logged packets`, async () => {
    all.push(...(await call<Packet[]>('packets')));
    return all.length >= atLeast ? all : undefined;
  });
}
const rules = (...lines: string[]): Promise<string> => mustRun(...inNetns(world.host, 'nft', ['-f', '-']), { input: `${lines.join('\n')}\n` });
async function indexOf(name: string): Promise<number> {
  const [link] = JSON.parse(await mustRun('ip', ['-n', world.host, '-j', 'link', 'show', 'dev', name])) as { ifindex: number }[];
  return link?.ifindex ?? 0;
}
const ask = (destination: string, port: number, extra: object = {}): Promise<boolean> =>
  traffic.asks({ netns: world.workload(0).netns, destination, port, ...extra }, 200);

beforeEach(async () => {
  world = await createWorld({ workloads: 2 });
  traffic = await startTraffic(world);
});
afterEach(() => world.close());

describe('a logged packet', () => {
  beforeEach(async () => {
    await rules('table inet t {', ' chain f {', '  type filter hook forward priority 0', `  udp dport 9000-9099 log prefix "dfw 1006 D" group ${GROUP} drop`, ' }', '}');
  });

  test('IPv4: prefix, interfaces, hook, time, length and the first bytes', async () => {
    await open({ copyRange: 30 });
    await call('start');
    const before = Date.now();
    await ask(world.workload(1).ipv4, 9001, { sourcePort: 5555 });
    const [packet] = await packets(1);
    expect(packet).toMatchObject({
      prefix: 'dfw 1006 D', indev: await indexOf('veth0'), outdev: await indexOf('veth1'), hook: NF_INET_FORWARD, ethertype: 0x0800,
    });
    expect(packet?.payload).toHaveLength(30);
    expect(packet?.length).toBe(20 + 8 + 'm1\n'.length);
    expect(packet?.payload[0]).toBe(0x45);
    expect(packet?.payload.slice(12, 24)).toEqual([10, 10, 0, 2, 10, 10, 1, 2, 5555 >> 8, 5555 & 255, 9001 >> 8, 9001 & 255]);
    expect(packet?.timestampMs).toBeGreaterThan(before - 1_000);
    expect(packet?.timestampMs).toBeLessThan(Date.now() + 1_000);
  });

  test('IPv6, and a whole packet when the range allows it', async () => {
    await open({ copyRange: 256 });
    await call('start');
    await ask(world.workload(1).ipv6, 9002);
    const [packet] = await packets(1);
    expect(packet).toMatchObject({ ethertype: 0x86dd, length: 40 + 8 + 3 });
    expect(packet?.payload).toHaveLength(51);
    expect(packet?.payload.slice(-3)).toEqual([...Buffer.from('m1\n')]);
  });

  test('after stop nothing comes; the group can be bound again; two at a time cannot', async () => {
    await open({ copyRange: 64 });
    await call('start');
    await expect(call('start')).rejects.toThrow('EALREADY');
    await expect(call('second')).rejects.toThrow('EPERM'); // the kernel's answer when somebody else has the group
    await call('stop');
    await call('stop');
    await ask(world.workload(1).ipv4, 9003);
    expect(await call('packets')).toEqual([]);
    await call('start');
    await ask(world.workload(1).ipv4, 9004);
    const [packet, ...others] = await packets(1);
    expect(others).toEqual([]);
    expect(packet?.payload.slice(22, 24)).toEqual([9004 >> 8, 9004 & 255]);
    expect(await call('lost')).toBe(0);
  });
});

test('netdev hooks: the payload begins at the network header on the way in and on the way out', async () => {
  await rules(
    'table netdev t {',
    ' chain i {', '  type filter hook ingress device veth0 priority 0', `  udp dport 9000 log prefix "in" group ${GROUP}`, ' }',
    ' chain e {', '  type filter hook egress device veth1 priority 0', `  udp dport 9000 log prefix "out" group ${GROUP}`, ' }',
    '}',
  );
  await open({ copyRange: 128 });
  await call('start');
  await ask(world.workload(1).ipv4, 9000);
  const logged = await packets(2);
  expect(logged.map((packet) => [packet.prefix, packet.hook, packet.ethertype, packet.payload[0], packet.length, packet.payload.length])).toEqual([
    ['in', NF_NETDEV_INGRESS, 0x0800, 0x45, 31, 31],
    ['out', NF_NETDEV_EGRESS, 0x0800, 0x45, 31, 31],
  ]);
});

describe('family bridge', () => {
  const macs = (to: string, from: string, ...rest: number[]): number[] => [...Buffer.from(`${to}${from}`.replaceAll(':', ''), 'hex'), ...rest];

  beforeEach(async () => {
    await world.close();
    world = await createWorld({ workloads: 2, datapath: 'bridge' });
    traffic = await startTraffic(world);
    await rules(
      'table bridge t {', ' chain f {', '  type filter hook forward priority 0', `  udp dport 9000 log prefix "forward" group ${GROUP}`, ' }',
      ' chain i {', '  type filter hook input priority 0', `  udp dport 9000 log prefix "input" group ${GROUP}`, ' }',
      ' chain o {', '  type filter hook output priority 0', `  udp dport 9000 log prefix "output" group ${GROUP}`, ' }', '}',
    );
    await open({ copyRange: 128, atOnce: true });
    await call('start');
  });

  test('ports, not the bridge, and the Ethernet header beside the packet', async () => {
    const [first, second] = [world.workload(0), world.workload(1)];
    await ask(second.ipv4, 9000);
    const [packet] = await packets(1);
    expect(packet).toMatchObject({ prefix: 'forward', indev: await indexOf('veth0'), outdev: await indexOf('veth1'), ethertype: 0x0800, length: 31, link: macs(second.mac, first.mac, 0x08, 0x00) });
    expect(packet?.payload[0]).toBe(0x45);
  });

  test('to the host: the port it came by; from the host: the port it goes to, and no header', async () => {
    const first = world.workload(0);
    await ask(HOST_IPV4, 9000);
    await traffic.asks({ netns: world.host, destination: first.ipv4, port: 9000 }, 100);
    const [input, output] = await packets(2);
    expect(input).toMatchObject({ prefix: 'input', indev: await indexOf('veth0'), outdev: 0, link: macs(first.hostMac, first.mac, 0x08, 0x00) });
    expect(output).toMatchObject({ prefix: 'output', indev: 0, outdev: await indexOf('veth0') });
  });

  test('a VLAN tag is back in its place', async () => {
    const [first, second] = [world.workload(0), world.workload(1)];
    // IPv4, UDP to port 9000, one byte.
    const frame = Buffer.from([...macs(second.mac, first.mac, 0x81, 0x00, 0x00, 0x07, 0x08, 0x00), ...Buffer.from('4500001d00004000401126ba0a4d00010a4d0002138823280009000078', 'hex')]);
    const send = `import socket\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind(('eth0', 0))\ns.send(bytes.fromhex('${frame.toString('hex')}'))`;
    await mustRun(...inNetns(first.netns, '/usr/bin/python3', ['-c', send]));
    const [packet] = await packets(1);
    expect(packet).toMatchObject({ prefix: 'forward', ethertype: 0x0800, link: macs(second.mac, first.mac, 0x81, 0x00, 0x00, 0x07, 0x08, 0x00) });
  });
});

test('what the reader was too slow for is counted exactly', async () => {
  await rules('table inet t {', ' chain o {', '  type filter hook output priority 0', `  udp dport 9 log group ${GROUP}`, ' }', '}');
  await open({ copyRange: 128, receiveBuffer: 16_384 });
  await call('start');
  const sent = 3_000;
  const flood = `import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor _ in range(${sent}): s.sendto(b'x', ('127.0.0.1', 9))`;
  await Promise.all([call('block', { milliseconds: 1_500 }), mustRun(...inNetns(world.host, 'python3', ['-c', flood]))]);
  // One more packet carries the number that tells how many are missing.
  await mustRun(...inNetns(world.host, 'python3', ['-c', "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'last', ('127.0.0.1', 9))"]));
  const seen: Packet[] = [];
  await eventually('the last packet', async () => {
    seen.push(...(await call<Packet[]>('packets')));
    return seen.some((packet) => Buffer.from(packet.payload).toString('latin1').endsWith('last')) ? true : undefined;
  });
  const lost = await call<number>('lost');
  expect(lost).toBeGreaterThan(0);
  expect(seen.length + lost).toBe(sent + 1);
});
