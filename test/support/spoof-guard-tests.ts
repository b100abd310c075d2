/** What SpoofGuard must do, on whatever datapath. Frames are made by hand in a workload's namespace, and looked for in another's. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FilterStatView } from '../../src/model/views.js';
import { Agent } from './agent.js';
import { command, eventually, inNetns } from './command.js';
import { dashed, sendFrames } from './frames.js';
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
  const { interface: last } = world.workload(2);
  return [[OWN, OWN6, true], [OWN, OWN6, false]].flatMap(([four, six, declares], index): Manifest[] => {
    const { interface: device, mac } = world.workload(index);
    const name = `vm-${index}`;
    return [
      { apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name }, spec: { nics: [{ name: 'eth0', addresses: [four, six] }] } },
      { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name }, spec: { workload: { kind: 'VirtualMachine', name }, vnic: 'eth0', interface: device, ...(declares === true ? { mac } : {}) } },
    ];
  }).concat({ apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'vm-2' }, spec: { workload: { kind: 'VirtualMachine', name: 'vm-2' }, vnic: 'eth0', interface: last } });
}

/** Declares the tests. `config`: besides spoofGuard. `shown`: what to print when one fails. */
export function spoofGuardTests(datapath: WorldOptions['datapath'] & string, config: Readonly<Record<string, unknown>>, shown: (of: World) => Promise<unknown>, more: (of: () => World) => void = () => undefined): void {
  beforeAll(async () => {
    world = await createWorld({ workloads: 3, datapath, staticNeighbours: false });
    agent = await Agent.run(world, {
      config: { spoofGuard: 'declared', ipDiscovery: { mode: 'firstUse' }, ...config },
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

  it('addresses that are only learned bind nobody, where declared ones do', async () => {
    const mine = dashed(world.workload(2).mac);
    await sendFrames(world.workload(2).netns, [`arp|${mine}|${mine}/${OTHER}|${OWN}`]);
    await eventually('an address', async () => ((await agent.ask<{ addresses: { address: string }[] }>('addresses', 'list', 'vm-2')).addresses.some(({ address }) => address === OTHER) ? true : undefined));
    expect(await arriving(2, [`udp4|${mine}|10.40.0.88|10.40.0.255`], 0)).toEqual([0]);
  });

  it('where none is declared, any', async () => {
    const others = '02-00-00-00-00-98';
    expect(await arriving(1, [`udp4|${others}|${OWN}|10.40.0.255`, `arp|${others}|${others}/${OWN}|${OTHER}`])).toEqual([0, 1]);
  });
  more(() => world);
}

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

/** Which of the frames arrive at the third workload, or another. */
async function arriving(from: number, frames: readonly string[], to = 2): Promise<number[]> {
  const sniffing = command(...inNetns(world.workload(to).netns, '/usr/bin/python3', ['-c', SNIFFER]), { timeoutMs: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 900));
  await sendFrames(world.workload(from).netns, frames);
  return JSON.parse((await sniffing).stdout.split('\n').find((line) => line.startsWith('[')) ?? '[]') as number[];
}
