/** What SpoofGuard must do, on whatever datapath. Frames are made by hand in a workload's namespace, and looked for in another's. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FilterStatView } from '../../src/model/views.js';
import { Agent } from './agent.js';
import { command, eventually, inNetns } from './command.js';
import { ruleTable, type Manifest } from './manifests.js';
import { createWorld, type World, type WorldOptions } from './netns.js';

let world: World;
let agent: Agent;
const OWN = '10.40.0.1';
const OWN6 = 'fd40::1';
const OTHER = '10.40.0.9';
const OTHER6 = 'fd40::9';
const LINK_LOCAL = 'fe80::1234';

/** The first declares its MAC address and both addresses; the second its addresses only; the third sees what arrives. */
function manifests(): Manifest[] {
  return [[OWN, OWN6, true], [OWN, OWN6, false]].flatMap(([four, six, declares], index): Manifest[] => {
    const { interface: device, mac } = world.workload(index);
    const name = `vm-${index}`;
    return [
      { apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name }, spec: { nics: [{ name: 'eth0', addresses: [four, six] }] } },
      { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name }, spec: { workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: device, ...(declares === true ? { mac } : {}) } },
    ];
  });
}

/** Declares the tests. `config`: besides spoofGuard. `shown`: what to print when one fails. */
export function spoofGuardTests(datapath: WorldOptions['datapath'] & string, config: Readonly<Record<string, unknown>>, shown: (of: World) => Promise<unknown>, more: (of: () => World) => void = () => undefined): void {
  beforeAll(async () => {
    world = await createWorld({ workloads: 3, datapath, staticNeighbours: false });
    agent = await Agent.run(world, {
      config: { spoofGuard: 'declared', ...config },
      manifests: { 'workloads.yaml': manifests(), 'table.yaml': [ruleTable('table', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] })] },
    });
  });
  afterAll(() => world.close());
  beforeEach(async ({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail(), await shown(world))));

  describe.each([0, 1])('workload %i', (from) => {
    it('sends from its own addresses, and from none yet', async () => {
      const mine = dashed(world.workload(from).mac);
      const frames = [
        `udp4|${mine}|${OWN}|10.40.0.255`, `udp6|${mine}|${OWN6}|ff02::1`, `udp6|${mine}|${LINK_LOCAL}|ff02::1`, `dhcp4|${mine}|0.0.0.0|255.255.255.255`,
        `arp|${mine}|${mine}/${OWN}|${OTHER}`, `arp|${mine}|${mine}/0.0.0.0|${OWN}`, `ns|${mine}|${OWN6}|${OTHER6}`, `ns|${mine}|::|${OWN6}`, `na|${mine}|${OWN6}|${OWN6}`, `na|${mine}|${LINK_LOCAL}|${LINK_LOCAL}`,
      ];
      expect(await arriving(from, frames)).toEqual(frames.map((_, place) => place));
    });

    it('not from those of others, and claims none of them', async () => {
      const mine = dashed(world.workload(from).mac);
      expect(await arriving(from, [
        `udp4|${mine}|${OTHER}|10.40.0.255`, `udp4|${mine}|0.0.0.0|255.255.255.255`, `udp6|${mine}|${OTHER6}|ff02::1`, `udp6|${mine}|::|ff02::1`,
        `arp|${mine}|${mine}/${OTHER}|${OWN}`, `na|${mine}|${OWN6}|${OTHER6}`, `na|${mine}|${OTHER6}|${OTHER6}`, `ns|${mine}|${OTHER6}|${OWN6}`,
      ])).toEqual([]);
    });
  });

  it('a declared MAC address is the only one, on the wire and in ARP', async () => {
    const [mine, others] = [dashed(world.workload(0).mac), '02-00-00-00-00-99'];
    expect(await arriving(0, [`udp4|${others}|${OWN}|10.40.0.255`, `arp|${mine}|${others}/${OWN}|${OTHER}`, `na|${others}|${OWN6}|${OWN6}`, `udp4|${mine}|${OWN}|10.40.0.255`])).toEqual([3]);
  });

  it('counts what it refuses', async () => {
    const dropped = async (): Promise<number> => (await agent.ask<FilterStatView>('getfilterstat', '-f', 'vm-0')).packets.v4DropOut;
    const before = await dropped();
    await arriving(0, [`udp4|${dashed(world.workload(0).mac)}|${OTHER}|10.40.0.255`]);
    // The switch looks at its cache now and then.
    await eventually('the count', async () => ((await dropped()) > before ? true : undefined), 5_000, 200);
    expect(await dropped()).toBe(before + 1);
  });

  it('where none is declared, any', async () => {
    const others = '02-00-00-00-00-98';
    expect(await arriving(1, [`udp4|${others}|${OWN}|10.40.0.255`, `arp|${others}|${others}/${OWN}|${OTHER}`])).toEqual([0, 1]);
  });
  more(() => world);
}

/** argv: own MAC, frames as KIND:MAC:SOURCE:TARGET joined by blanks. Each frame's payload or target ends in a marker of its place. */
const SENDER = `
import socket, struct, sys
def mac(text): return bytes(int(part, 16) for part in text.split('-'))
def checksum(data):
    if len(data) % 2: data += b'\\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(('eth0', 0))
for place, text in enumerate(sys.argv[1:]):
    kind, source_mac, source, target = text.split('|')
    mark = b'MARK%04d' % place
    ethernet = b'\\xff' * 6 + mac(source_mac)
    if kind == 'arp':
        sender_mac, source = source.split('/')
        frame = ethernet + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, 1) + mac(sender_mac) + socket.inet_aton(source) + b'\\0' * 6 + socket.inet_aton(target) + mark
    elif kind in ('udp4', 'dhcp4'):
        udp = struct.pack('!HHHH', 68 if kind == 'dhcp4' else 9, 67 if kind == 'dhcp4' else 9, 8 + len(mark), 0) + mark
        header = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + socket.inet_aton(source) + socket.inet_aton(target)
        header = header[:10] + struct.pack('!H', checksum(header)) + header[12:]
        frame = ethernet + b'\\x08\\x00' + header + udp
    else:
        addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target if kind == 'udp6' else 'ff02::1')
        if kind == 'udp6': protocol, body = 17, struct.pack('!HHHH', 9, 9, 8 + len(mark), 0) + mark
        else: protocol, body = 58, bytes([136 if kind == 'na' else 135, 0, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, target) + b'\\xfe\\x01' + mark[2:8]
        place_of_sum = 2 if protocol == 58 else 6
        total = checksum(addresses + struct.pack('!II', len(body), protocol) + body)
        body = body[:place_of_sum] + struct.pack('!H', total) + body[place_of_sum + 2:]
        frame = ethernet + b'\\x86\\xdd' + struct.pack('!IHBB', 0x60000000, len(body), protocol, 255) + addresses + body
    raw.send(frame.ljust(60, b'\\0'))
`;
const SNIFFER = `
import re, socket, time
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); raw.bind(('eth0', 0)); raw.settimeout(0.2)
print('ready', flush=True)
found = set(); end = time.time() + 2.5
while time.time() < end:
    try: found.update(int(place) for place in re.findall(rb'(?:MA)?RK(\\d{4})', raw.recv(2048)))
    except TimeoutError: pass
print(sorted(found))
`;

/** Which of the frames arrive at the third workload. */
async function arriving(from: number, frames: readonly string[]): Promise<number[]> {
  const sniffing = command(...inNetns(world.workload(2).netns, '/usr/bin/python3', ['-c', SNIFFER]), { timeoutMs: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 900));
  const sent = await command(...inNetns(world.workload(from).netns, '/usr/bin/python3', ['-c', SENDER, ...frames]));
  if (sent.code !== 0) throw new Error(sent.stderr);
  return JSON.parse((await sniffing).stdout.split('\n').find((line) => line.startsWith('[')) ?? '[]') as number[];
}
const dashed = (mac: string): string => mac.replaceAll(':', '-');
